"""Match a source and a target domain: common bands, GSD, legend and pixel scaling."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rsuda.core.band_names import example_order
from rsuda.core.errors import InputError
from rsuda.core.legend import Legend
from rsuda.core.setting_sections import SourceSettings
from rsuda.core.settings import Settings
from rsuda.core.spec import Spec, band_code
from rsuda.data.check_files import check_readable
from rsuda.data.class_locations import ClassLocations
from rsuda.data.colours import ColourMatching
from rsuda.data.domain import Domain
from rsuda.data.label_notes import class_notes, label_notes, label_set_note, scene_notes
from rsuda.data.pixel_types import byte_bands
from rsuda.data.statistics import class_statistics, make_spec, sample_pixels
from rsuda.data.validity_notes import collar_notes, label_nodata_notes
from rsuda.geo.scene import Scene

_SIMILAR_GSD = 1.5  # ratio of GSDs above which a note is given


@dataclass(frozen=True)
class SourcePart:
    """One of several sources.

    Attributes:
        name: of its domain.
        scenes: names of its training scenes in the joined source.
        spec: how its pixels are scaled to 0..1; it shares bands, GSD and legend with the other parts.
        matching: maps its patches to the target's colours; None without colour matching.
    """

    name: str
    scenes: tuple[str, ...]
    spec: Spec
    matching: ColourMatching | None

    def unit(self, values: np.ndarray, first: Spec) -> np.ndarray:
        """Scale pixels (bands, H, W) to 0..1 and, where the mean or deviation differs, to those of the first source."""
        image = self.spec.unit(values)
        if self.matching is not None:
            return self.matching(image)
        if (self.spec.mean, self.spec.std) == (first.mean, first.std):
            return image
        mean, std = (np.array(field, np.float32)[:, None, None] for field in (first.mean, first.std))
        return self.spec.standardise_unit(image) * std + mean


@dataclass(frozen=True)
class Pair:
    """A source with labels and a target without, with a common input of the network.

    Attributes:
        source, target: training scenes; the target's labels are removed here, so that no later step can open them.
        source_spec, target_spec: how each domain's pixels enter the network; the target's is saved with the network.
        legend: the source's own legend, which its label files are read with.
        gsd: common metres per pixel; None to read both domains at their own GSD.
        class_shares: shares of the source's labelled pixels.
        class_locations: locations of the source's classes, for rare-class sampling.
        matching: maps source patches to the target's colours; None without colour matching.
        notes: sentences on the choices made, for the user.
        annotated: whether the source is labelled windows of the target's own scenes, which need no alignment.
        parts: the sources, where there are several; ``source`` has the scenes of all, ``source_spec`` is the first's.
    """

    source: list[Scene]
    target: list[Scene]
    source_spec: Spec
    target_spec: Spec
    legend: Legend
    gsd: float | None
    class_shares: tuple[float, ...]
    class_locations: ClassLocations
    matching: ColourMatching | None
    notes: tuple[str, ...]
    annotated: bool = False
    parts: tuple[SourcePart, ...] = ()


def pair(source: Domain, target: Domain, settings: Settings, start: Spec | None = None) -> Pair:
    """Match two domains: bands by name, a common GSD, one legend. Reads all source labels once to check them.

    Args:
        start: spec of the network that training starts from. Target patches enter the network by it; source patches too
            if they are of the target's own scenes (annotated windows).

    Raises:
        InputError: the source lacks labels, labels are outside the legend, no bands match, or the bands, GSD or classes
            differ from those of ``start``.
    """
    for part in source.parts:
        part.labelled(settings.source.split)
    sources = source.labelled(settings.source.split)
    targets = _unlabelled_scenes(target, settings.target.split)
    check_readable([*sources, *targets])
    notes = [*source.notes, *(note for note in target.notes if note not in source.notes)]
    fed, band_notes = _fed_bands(source, target, targets[0], settings, start)
    gsd, gsd_notes = common_gsd(source, target, settings, start)
    notes += band_notes + gsd_notes + scene_notes([*sources, *targets])
    groups = _groups(source, sources)
    for scenes, bands in (*((scenes, fed[0]) for _, scenes in groups), (targets, fed[1])):
        byte_bands(scenes, bands)  # errors in headers show now, not in the middle of training
        for scene in scenes:
            scene.step(gsd)
    assert source.legend is not None
    notes += collar_notes(source.name, sources, fed[0])
    for _, scenes in groups:
        notes += label_nodata_notes(scenes, scenes[0].legend or source.legend)
    if target is not source:
        notes += collar_notes(target.name, targets, fed[1])
    places = [note for _, scenes in groups for note in label_notes(scenes, scenes[0].legend or source.legend)]
    shares, locations, (off_palette, off_share) = class_statistics(sources, source.legend)
    sets = [label_set_note(part) for part in source.parts or (source,)]
    notes += [note for note in (*sets, *places, *class_notes(source, target, shares)) if note]
    if off_palette:
        notes.append(f"{off_palette} label pixels ({off_share:.3%}) are outside the legend and ignored")
    annotated = start is not None and _are_scenes_of(sources, target)
    locations.weights = _pixel_weights(groups, settings.source, gsd)
    how = (gsd or target.gsd, gsd), source.legend, settings.align.standardise
    specs = _make_specs((groups[0][1], targets), fed, *how)
    if start is not None:
        specs = (start if annotated else specs[0], start)
    matching = None
    others = [_make_specs((scenes, targets), fed, *how)[0] for _, scenes in groups[1:]]
    if annotated and (settings.align.band_mixing or settings.align.colours == "match"):
        notes.append(
            f"the scenes of {source.name} are scenes of {target.name}: their bands are not mixed and their colours not matched"
        )
    if settings.align.colours == "match" and not annotated:
        matchings = [
            _matching(scenes, spec, targets, specs[1], gsd)
            for (_, scenes), spec in zip(groups, (specs[0], *others), strict=True)
        ]
        matching = matchings[0]
        # matched patches have the target's colours
        specs = (replace(specs[0], mean=specs[1].mean, std=specs[1].std), specs[1])
    parts = tuple(
        SourcePart(name, tuple(scene.name for scene in scenes), spec, matchings[k] if matching else None)
        for k, ((name, scenes), spec) in enumerate(zip(groups, (specs[0], *others), strict=True))
    )
    return Pair(
        sources,
        targets,
        *specs,
        source.legend,
        gsd,
        shares,
        locations,
        matching,
        tuple(notes),
        annotated=annotated,
        parts=parts if source.parts else (),
    )


def _groups(source: Domain, scenes: list[Scene]) -> list[tuple[str, list[Scene]]]:
    """The training scenes of each source by its name."""
    if not source.parts:
        return [(source.name, scenes)]
    groups: dict[str, list[Scene]] = {}
    for scene in scenes:
        groups.setdefault(scene.name.partition(":")[0], []).append(scene)
    return list(groups.items())


def _pixel_weights(
    groups: list[tuple[str, list[Scene]]], settings: SourceSettings, gsd: float | None
) -> np.ndarray | None:
    """Weight of one pixel of each scene of several sources: its area on the common GSD, times the weight of its source."""
    if settings.weights is not None and len(settings.weights) != len(groups):
        raise InputError(
            f"source.weights has {len(settings.weights)} numbers, and there are {len(groups)} sources "
            f"({', '.join(name for name, _ in groups)}): give one for each"
        )
    if len(groups) == 1:
        return None
    areas = [np.array([_pixels(scene, gsd) for scene in scenes]) for _, scenes in groups]
    weights = settings.weights or [area.sum() for area in areas]
    factors = [weight / area.sum() for weight, area in zip(weights, areas, strict=True)]
    native = [np.array([_pixels(scene, None) for scene in scenes]) for _, scenes in groups]
    return np.concatenate([k * area / pixels for k, area, pixels in zip(factors, areas, native, strict=True)])


def _pixels(scene: Scene, gsd: float | None) -> float:
    grid = scene.grid_at(gsd)
    return float(grid.height * grid.width)


def _matching(
    scenes: list[Scene], spec: Spec, targets: list[Scene], target_spec: Spec, gsd: float | None
) -> ColourMatching:
    """The map from a source's colours to the target's."""
    source, target = (
        pixels.unit(sample_pixels(domain, pixels.bands, gsd))
        for domain, pixels in ((scenes, spec), (targets, target_spec))
    )
    return ColourMatching(source, target)


def _unlabelled_scenes(target: Domain, split: str) -> list[Scene]:
    scenes = target.split(split if split in target.splits else "all")
    return [scene.without_label() for scene in scenes]


def _are_scenes_of(scenes: list[Scene], domain: Domain) -> bool:
    images = {Path(scene.image).resolve() for scene in domain.scenes.values()}
    return all(Path(scene.image).resolve() in images for scene in scenes)


def _fed_bands(
    source: Domain, target: Domain, first: Scene, settings: Settings, start: Spec | None
) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], list[str]]:
    """Bands of source and target that the network is fed, and notes on the choice."""
    target_bands, notes = _target_bands(source, target, first)
    assert source.bands is not None
    order = "name" if source.parts else settings.align.band_matching
    of_source, of_target = match_bands(source.bands, target_bands, order)
    if source.parts and set(of_target) != set(target_bands):
        notes.append(
            f"the network is fed {band_code(of_target)}, the bands that all sources and {target.name} have, of "
            f"{band_code(target_bands)}"
        )
    if start is not None:
        _check_start(start, source, settings)
        of_source = of_target = start.bands
    if of_source != of_target:
        notes.append(
            f"the network is fed {band_code(of_source)} of {source.name} and {band_code(of_target)} of {target.name}, "
            "band by band: they differ (band_matching: name feeds only those that both have)"
        )
    return (of_source, of_target), notes


def _target_bands(source: Domain, target: Domain, first: Scene) -> tuple[tuple[str, ...], list[str]]:
    """The target's band names; the source's, with a note, where the files have as many bands and no names."""
    if target.bands is not None:
        return target.bands, []
    file = first.file
    if source.bands is None or len(file.image_numbers) != len(source.bands):
        fed = f", and the source has {len(source.bands)}" if source.bands else ""
        raise InputError(
            f"{file.path} has {file.count} band{'s' * (file.count > 1)} of unknown order{fed}: name "
            f"{'them' if file.count > 1 else 'it'} in file order, for example --target-bands {example_order(file.count)} "
            "(bands: in a domain file)"
        )
    note = f"the bands of {target.name} have no names in its files and are assumed to be {band_code(source.bands)}"
    return source.bands, [note]


def match_bands(
    source: tuple[str, ...], target: tuple[str, ...], matching: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Choose the bands that are fed from each domain.

    If one domain has all bands of the other, these are fed by name. Otherwise 'name' feeds the bands that both have, and
    'order' the first bands of each in file order.

    Raises:
        InputError: matching by name finds no common band.
    """
    if set(target) <= set(source):
        return target, target
    if set(source) <= set(target):
        return source, source
    if matching == "name":
        both = tuple(band for band in target if band in source)
        if not both:
            raise InputError(
                f"bands {band_code(source)} and {band_code(target)} have no name in common: use band_matching: order "
                "(one source), or name the bands alike"
            )
        return both, both
    count = min(len(source), len(target))
    return source[:count], target[:count]


def common_gsd(
    source: Domain, target: Domain, settings: Settings, start: Spec | None
) -> tuple[float | None, list[str]]:
    """Choose the metres per pixel of the network's input (None for each scene's own) and note large differences."""
    gsd: float | None = target.gsd
    if start is not None:
        gsd = start.gsd
    elif settings.align.gsd is not None:
        gsd = None if settings.align.gsd == "native" else float(settings.align.gsd)
    notes = [note for part in source.parts or (source,) for note in _gsd_notes(part, target, settings, gsd)]
    return gsd, notes


def _gsd_notes(source: Domain, target: Domain, settings: Settings, gsd: float | None) -> list[str]:
    notes = []
    ratio = max(target.gsd, source.gsd) / min(target.gsd, source.gsd)
    if gsd is None and ratio > _SIMILAR_GSD:
        notes.append(f"GSDs differ {ratio:.1f}-fold ({source.gsd:g} and {target.gsd:g} m) and are not resampled")
    if settings.align.gsd is None and source.gsd > _SIMILAR_GSD * target.gsd:
        notes.append(
            f"the source ({source.gsd:g} m) is coarser than the target ({target.gsd:g} m) and lacks its fine detail; "
            f"--gsd {source.gsd:g} reads both at {source.gsd:g} m"
        )
    return notes


def _make_specs(
    scenes: tuple[list[Scene], list[Scene]],
    bands: tuple[tuple[str, ...], tuple[str, ...]],
    gsd: tuple[float, float | None],
    legend: Legend,
    standardise: str,
) -> tuple[Spec, Spec]:
    """Specs of source and target; ``gsd`` is the network's and the one to sample statistics at."""
    drawn = Legend(legend.names, tuple((colour,) for colour in legend.palette))
    source, target = (
        make_spec(*domain, gsd[0], drawn, sampled_at=gsd[1], standardise=standardise)
        for domain in zip(scenes, bands, strict=True)
    )
    return source, target


def _check_start(start: Spec, source: Domain, settings: Settings) -> None:
    """Raise InputError if the run that training starts from does not fit this source or these settings."""
    assert source.legend is not None
    if start.legend.names != source.legend.names:
        raise InputError(
            f"the classes of {source.name} ({', '.join(source.legend.names)}) differ from those of the model of "
            f"{settings.network.start} ({', '.join(start.legend.names)}): use the same names in the same order"
        )
    if isinstance(settings.align.gsd, float) and settings.align.gsd != start.gsd:
        raise InputError(
            f"--gsd is {settings.align.gsd}, but the model of {settings.network.start} was trained at {start.gsd:g} m: "
            "leave --gsd out"
        )
