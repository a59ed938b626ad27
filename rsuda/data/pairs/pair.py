"""Match a source and a target domain: common bands, GSD, legend and pixel scaling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from rsuda.core.errors import InputError
from rsuda.core.legend import Legend
from rsuda.core.setting_sections import SourceSettings
from rsuda.core.settings import Settings
from rsuda.core.spec import Spec
from rsuda.core.spelling import spell
from rsuda.data.checks.files import no_data_note
from rsuda.data.checks.gsd_limit import check_gsd
from rsuda.data.checks.labels import class_notes, label_notes, label_set_note, outside_note, scene_notes
from rsuda.data.checks.pixel_types import byte_bands
from rsuda.data.checks.scaling import scaling_gap, scaling_notes
from rsuda.data.checks.validity import collar_notes, label_nodata_notes
from rsuda.data.domains.domain import Domain
from rsuda.data.pairs.alignment_choice import SIMILAR_GSD, Alignment, choose_alignment, common_gsd
from rsuda.data.pairs.colours import ColourMatching
from rsuda.data.pairs.hints import training_hints
from rsuda.data.pairs.look import FedBands, PairLook, band_notes, look_at
from rsuda.data.statistics.class_locations import ClassLocations
from rsuda.data.statistics.colour_sample import ColourSample
from rsuda.data.statistics.domain_statistics import class_statistics, make_spec, sample_pixels
from rsuda.geo.scenes.scene import Scene


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
        source, target: training scenes; the target's labels are removed here, so that no later step can open them. The
            source is empty where a run adapts without the source's data.
        source_spec, target_spec: how each domain's pixels enter the network; the target's is saved with the network.
        legend: the source's own legend, which its label files are read with.
        gsd: common metres per pixel; None to read both domains at their own GSD.
        class_shares: shares of the source's labelled pixels.
        class_locations: locations of the source's classes, for rare-class sampling.
        matching: maps source patches to the target's colours; None without colour matching.
        notes: sentences on the choices made, for the user.
        alignment: the settings that bring the domains nearer, none of them 'auto'.
        source_is_target: whether the source is labelled windows of the target's own scenes, which need no alignment.
        parts: the sources, where there are several; ``source`` has the scenes of all, ``source_spec`` is the first's.
        hints: target scenes by name, each with an old map or rough polygons in place of its label.
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
    alignment: Alignment
    source_is_target: bool = False
    parts: tuple[SourcePart, ...] = ()
    hints: Mapping[str, Scene] = field(default_factory=dict)


def pair(source: Domain, target: Domain, settings: Settings, start: Spec | None = None) -> Pair:
    """Match two domains: bands, a common GSD, one legend. Reads all source labels once to check them.

    Settings of ``settings.align`` that are 'auto' are chosen by a look at both domains (``choose_alignment``).

    Args:
        start: spec of the network that training starts from. Target patches enter the network by it; source patches too
            if they are of the target's own scenes (annotated windows).

    Raises:
        InputError: the source lacks labels, labels are outside the legend, no bands match, or the bands, GSD or classes
            differ from those of ``start``.
    """
    look = look_at(source, target, settings, start)
    sources, targets, legend = look.sources, look.targets, source.legend
    assert legend is not None
    if start is not None:
        _check_start(start, source, settings)
    notes = [*source.notes, *(note for note in target.notes if note not in source.notes)]
    alignment = choose_alignment(settings.align, look)
    model_bands = look.fed("name" if source.parts else alignment.band_matching)
    gsd = common_gsd(look, alignment.gsd)
    notes += [*alignment.notes, *band_notes(look, model_bands), *_gsd_notes(look, settings, gsd)]
    notes += scene_notes([*sources, *targets])
    for scenes, bands in (*((scenes, model_bands[0]) for _, scenes in look.groups), (targets, model_bands[1])):
        byte_bands(scenes, bands)  # errors in headers show now, not in the middle of training
        for scene in scenes:
            check_gsd(scene, gsd)
    notes += scaling_notes(source.name, sources, model_bands[0]) + scaling_notes(target.name, targets, model_bands[1])
    notes += collar_notes(source.name, sources, model_bands[0])
    for _, scenes in look.groups:
        notes += label_nodata_notes(scenes, scenes[0].legend or legend)
    if target is not source:
        notes += collar_notes(target.name, targets, model_bands[1])
    notes += [f"{target.name}: {note}" for note in (no_data_note(targets),) if note]
    hints, hint_notes = training_hints(target, targets, start.legend if start is not None else legend)
    notes += hint_notes
    places = [note for _, scenes in look.groups for note in label_notes(scenes, scenes[0].legend or legend)]
    shares, locations, (off_palette, off_share) = class_statistics(sources, legend)
    sets = [label_set_note(part) for part in source.parts or (source,)]
    notes += [note for note in (*sets, *places, *class_notes(source, target, shares)) if note]
    if off_palette:
        notes.append(f"{off_palette} label pixels ({off_share:.3%}) are {outside_note(sources, legend)}")
    has_target_labels = start is not None and look.within_target
    if has_target_labels and (alignment.band_mixing or settings.align.colours == "match"):
        notes.append(
            f"the scenes of {source.name} are scenes of {target.name}: their bands are not mixed and their colours not matched"
        )
    locations.weights = _pixel_weights(list(look.groups), settings.source, gsd)
    source_specs, target_spec = _make_specs(look, model_bands, gsd, alignment.standardise)
    notes += scaling_gap(source_specs, target_spec, alignment.standardise)
    if start is not None:
        source_specs, target_spec = [start if has_target_labels else source_specs[0], *source_specs[1:]], start
    matchings: list[ColourMatching | None] = [None] * len(source_specs)
    first = source_specs[0]
    if settings.align.colours == "match" and not has_target_labels:
        matchings = [
            _matching(scenes, spec, targets, target_spec, gsd)
            for (_, scenes), spec in zip(look.groups, source_specs, strict=True)
        ]
        # matched patches have the target's colours
        first = replace(first, mean=target_spec.mean, std=target_spec.std)
    parts = tuple(
        SourcePart(name, tuple(scene.name for scene in scenes), spec, matching)
        for (name, scenes), spec, matching in zip(look.groups, [first, *source_specs[1:]], matchings, strict=True)
    )
    return Pair(
        sources,
        targets,
        first,
        target_spec,
        legend,
        gsd,
        shares,
        locations,
        matchings[0],
        tuple(notes),
        alignment,
        source_is_target=has_target_labels,
        parts=parts if source.parts else (),
        hints=hints,
    )


def _pixel_weights(
    groups: list[tuple[str, list[Scene]]], settings: SourceSettings, gsd: float | None
) -> np.ndarray | None:
    """Compute the weight of one pixel of each scene: its area on the common GSD, times the weight of its source."""
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
    """Fit the map from a source's colours to the target's."""
    source, target = (
        pixels.unit(sample_pixels(domain, pixels.bands, gsd))
        for domain, pixels in ((scenes, spec), (targets, target_spec))
    )
    return ColourMatching(source, target)


def _gsd_notes(look: PairLook, settings: Settings, gsd: float | None) -> list[str]:
    """Note large differences of GSD."""
    notes = []
    target = look.target
    for source in look.source.parts or (look.source,):
        ratio = max(target.gsd, source.gsd) / min(target.gsd, source.gsd)
        if gsd is None and ratio > SIMILAR_GSD:
            notes.append(f"GSDs differ {ratio:.1f}-fold ({source.gsd:g} and {target.gsd:g} m) and are not resampled")
        if settings.align.gsd is None and source.gsd > SIMILAR_GSD * target.gsd:
            notes.append(
                f"the source ({source.gsd:g} m) is coarser than the target ({target.gsd:g} m) and lacks its fine detail; "
                f"{spell('gsd', source.gsd)} reads both at {source.gsd:g} m"
            )
    return notes


def _make_specs(look: PairLook, fed: FedBands, gsd: float | None, standardise: str) -> tuple[list[Spec], Spec]:
    """Make the specs of each source and of the target."""
    legend = look.source.legend
    assert legend is not None
    palette_legend = Legend(legend.names, tuple((colour,) for colour in legend.palette))
    samples: list[ColourSample | None] = [None] * len(look.groups)
    target_sample = None
    if look.sampled:
        samples[:], target_sample = look.colours(fed, gsd)
    domains = [
        *((scenes, fed[0], sample) for (_, scenes), sample in zip(look.groups, samples, strict=True)),
        (look.targets, fed[1], target_sample),
    ]
    *sources, target = (
        make_spec(
            scenes,
            bands,
            gsd or look.target.gsd,
            palette_legend,
            sampled_at=gsd,
            standardise=standardise,
            pixels=None if sample is None else sample.pixels,
        )
        for scenes, bands, sample in domains
    )
    return sources, target


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
            f"{spell('gsd')} is {settings.align.gsd}, but the model of {settings.network.start} was trained at {start.gsd:g} m: "
            "leave it out"
        )
