"""The domain pair: what a source and a target have in common, and how the pixels of both enter one network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rsuda.core.errors import InputError
from rsuda.core.legend import Legend
from rsuda.core.settings import Settings
from rsuda.core.spec import Spec, band_code
from rsuda.data.class_locations import ClassLocations
from rsuda.data.colours import ColourMatching
from rsuda.data.domain import Domain
from rsuda.geo.scene import Scene
from rsuda.geo.windows import random_window

# Mean and standard deviation of ImageNet photos on 0..1, in file channel order: the networks' usual input scale. An IRRG
# file's IR gets the statistics of red, as in all the ISPRS papers. Bands past the third get those of green.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Pair:
    """A source with labels and a target without, on common ground.

    Attributes:
        source, target: scenes to train on; the target's labels are dropped here, so nothing later can open them.
        source_spec, target_spec: how each domain's pixels enter the network; the target's is saved with the network.
        legend: the source's own legend, for reading its labels.
        gsd: common metres per pixel, or None to read both domains as they are.
        class_shares: of the source's labelled pixels.
        places: where the source's classes lie, for rare-class sampling.
        matching: brings source patches to the target's colours, when they are to be.
        notes: what the user should know about the choice.
        annotated: the source is labelled windows of the target's own scenes, so that there is nothing to bring nearer.
    """

    source: list[Scene]
    target: list[Scene]
    source_spec: Spec
    target_spec: Spec
    legend: Legend
    gsd: float | None
    class_shares: tuple[float, ...]
    places: ClassLocations
    matching: ColourMatching | None
    notes: tuple[str, ...]
    annotated: bool = False


def pair(source: Domain, target: Domain, s: Settings, start: Spec | None = None) -> Pair:
    """Match two domains: bands by name, a common GSD, one legend; reads all source labels once to check them.

    Args:
        start: what the network that training starts from expects. Target patches enter it so; source patches too where they
            are of the target's own scenes (annotated windows), else as they would without.

    Raises InputError when the source lacks labels, colours are outside the legend, band counts differ, the start's bands,
    GSD or classes are others, …
    """
    sources = source.labelled(s.source_split)
    targets = [
        Scene(t.name, t.image, None, t.bands, t.declared_gsd, t.crs)
        for t in target.split(s.target_split if s.target_split in target.splits else "all")
    ]
    notes = [*source.notes, *(n for n in target.notes if n not in source.notes)]
    source_bands, target_bands = source.bands, target.bands
    if target_bands is None:
        first = targets[0].file
        if source_bands is None or first.count < len(source_bands):
            raise InputError(f"the band order of {first.path} is unknown: name it, for example --target-bands RGB")
        target_bands = source_bands[: first.count] if first.count == len(source_bands) else None
        if target_bands is None:
            raise InputError(
                f"{first.path} has {first.count} bands of unknown order: name them, for example --target-bands RGBIR"
            )
        notes.append(f"the bands of {target.name} are not named in its files and taken as {band_code(target_bands)}")
    assert source_bands is not None
    fed_source, fed_target = _fed(source_bands, target_bands, s.band_matching)
    if start is not None:
        _check_start(start, source, s)
        fed_source = fed_target = start.bands
    if fed_source != fed_target:
        notes.append(
            f"the network is fed {band_code(fed_source)} of {source.name} and {band_code(fed_target)} of {target.name}, "
            "band by band: they differ (band_matching: name feeds only those that both have)"
        )
    gsd = target.gsd if s.gsd is None else None if s.gsd == "native" else float(s.gsd)
    gsd = gsd if start is None else start.gsd
    ratio = max(target.gsd, source.gsd) / min(target.gsd, source.gsd)
    if gsd is None and ratio > 1.5:
        notes.append(f"GSDs differ {ratio:.1f}-fold ({source.gsd:g} and {target.gsd:g} m) and are not resampled")
    if s.gsd is None and source.gsd > 1.5 * target.gsd:
        notes.append(
            f"the source ({source.gsd:g} m) is coarser than the target ({target.gsd:g} m), and is read without the detail it "
            f"lacks; --gsd {source.gsd:g} reads both alike"
        )
    for scenes, fed in ((sources, fed_source), (targets, fed_target)):
        for scene in scenes:  # each header now, rather than an error in the middle of training
            scene.file.band_numbers(fed)
            scene.step(gsd)
    assert source.legend is not None
    shares, places = _survey(sources, source.legend, notes)
    legend = Legend(source.legend.names, tuple((c,) for c in source.legend.palette))
    specs = [
        _spec(scenes, bands, gsd or target.gsd, gsd, legend, s.standardise)
        for scenes, bands in ((sources, fed_source), (targets, fed_target))
    ]
    own = {Path(t.image).resolve() for t in target.scenes.values()}
    annotated = start is not None and all(Path(scene.image).resolve() in own for scene in sources)
    if start is not None:
        specs = [start if annotated else specs[0], start]
    if annotated and (s.band_mixing or s.colours == "match"):
        notes.append(
            f"{source.name} is scenes of {target.name} itself: its bands are not mixed and its colours not matched"
        )
    matching = None
    if s.colours == "match" and not annotated:
        matching = ColourMatching(*(
            spec.unit(np.concatenate(_windows(scenes, spec.bands, gsd, 128, 64), 1))
            for scenes, spec in ((sources, specs[0]), (targets, specs[1]))
        ))  # fmt: skip
        specs[0] = replace(specs[0], mean=specs[1].mean, std=specs[1].std)  # its patches now have the target's colours
    return Pair(
        sources, targets, specs[0], specs[1], source.legend, gsd, shares, places, matching, tuple(notes), annotated
    )


def _check_start(start: Spec, source: Domain, s: Settings) -> None:
    """Raises InputError when the network that training starts from is not one for this source and these settings."""
    assert source.legend is not None
    if start.legend.names != source.legend.names:
        raise InputError(
            f"the classes of {source.name} ({', '.join(source.legend.names)}) are not those of the network of {s.start} "
            f"({', '.join(start.legend.names)}): the same names in the same order are needed"
        )
    if isinstance(s.gsd, float) and s.gsd != start.gsd:
        raise InputError(f"the network of {s.start} was trained at {start.gsd:g} m, so --gsd cannot be {s.gsd}")


def _fed(source: tuple[str, ...], target: tuple[str, ...], matching: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Bands fed from each domain: the target's, by name, if the source has them; else the first ones in file order, or
    with ``matching`` 'name' those that both have. Raises InputError when there are none of these."""
    if set(target) <= set(source):
        return target, target
    if set(source) <= set(target):
        return source, source
    if matching == "name":
        both = tuple(b for b in target if b in source)
        if not both:
            raise InputError(
                f"bands {band_code(source)} and {band_code(target)} have no name in common: use band_matching: order"
            )
        return both, both
    common = min(len(source), len(target))
    return source[:common], target[:common]


def _survey(scenes: list[Scene], legend: Legend, notes: list[str]) -> tuple[tuple[float, ...], ClassLocations]:
    """Class shares of labelled pixels and where they lie; refuses labels that are mostly outside the legend, reports the
    odd pixels."""
    counts, off, total, places = np.zeros(256, np.int64), 0, 0, ClassLocations(len(legend))
    for number, scene in enumerate(scenes):
        label, outside = scene.whole_label(legend)
        counts += np.bincount(label.ravel(), minlength=256)
        places.add(number, label)
        off, total = off + outside, total + label.size
    if off:
        notes.append(f"{off} label pixels ({off / total:.3%}) are outside the legend and ignored")
    labelled = counts[: len(legend)].sum()
    if not labelled:
        raise InputError(f"no pixel of the {len(scenes)} source labels belongs to a class of the legend")
    return tuple(float(c) for c in counts[: len(legend)] / labelled), places


def _spec(
    scenes: list[Scene], bands: tuple[str, ...], gsd: float, read_at: float | None, legend: Legend, standardise: str
) -> Spec:
    dtype = np.dtype(scenes[0].file.dtype)
    low, high = (0.0,) * len(bands), (255.0,) * len(bands)
    mean, std = (tuple((v * 2)[: len(bands)]) for v in (_MEAN, _STD))
    if dtype != np.uint8 or standardise == "domain":
        pixels = np.concatenate(_windows(scenes, bands, read_at, 128, 64), 1).astype(np.float64)
        if dtype != np.uint8:  # a fixed stretch of the whole domain, never of a tile
            low, high = (tuple(map(float, np.percentile(pixels, q, axis=1))) for q in (0.5, 99.5))
            high = tuple(max(h, lo + 1e-6) for lo, h in zip(low, high, strict=True))
        if standardise == "domain":
            unit = (pixels - np.array(low)[:, None]) / (np.array(high) - np.array(low))[:, None]
            mean, std = tuple(map(float, unit.mean(1))), tuple(map(float, unit.std(1).clip(1e-3)))
    return Spec(bands, gsd, low, high, mean, std, legend)


def _windows(
    scenes: list[Scene], bands: tuple[str, ...], gsd: float | None, size: int, number: int
) -> list[np.ndarray]:
    """Valid pixels (bands, n) of random windows, for statistics."""
    rng, found = np.random.default_rng(0), []
    for _ in range(number):
        scene = scenes[int(rng.integers(len(scenes)))]
        grid = scene.grid_at(gsd)
        row, col = random_window(rng, grid.height, grid.width, size)
        patch = scene.read(bands, gsd, (row, col, size, size))
        if patch.valid.any():
            found.append(patch.values[:, patch.valid])
    if not found:
        raise InputError(
            f"no valid pixel in {number} windows of {Path(scenes[0].image).parent}: are its scenes all nodata?"
        )
    return found
