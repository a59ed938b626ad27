"""Compare the scales and offsets by which files say that their stored numbers become physical values."""

from __future__ import annotations

from collections.abc import Sequence

from rsuda.core.spec import Spec
from rsuda.geo.scenes.scene import Scene

Scaling = tuple[tuple[float, float], ...]  # scale and offset of each band


def scaling_of(scene: Scene, bands: tuple[str, ...]) -> Scaling:
    """Read scale and offset of a scene's bands; () where all bands store the values themselves. Only the header is read."""
    every = scene.file.scaling
    pairs = tuple(every[number - 1] for number in scene.file.band_numbers(bands))
    return pairs if any(pair != (1.0, 0.0) for pair in pairs) else ()


def scaling_notes(name: str, scenes: Sequence[Scene], bands: tuple[str, ...]) -> list[str]:
    """Say that files of one domain have different scales or offsets, so that their numbers cannot be compared."""
    first = scaling_of(scenes[0], bands)
    others = [scene for scene in scenes if scaling_of(scene, bands) != first]
    if not others:
        return []
    return [
        f"scenes of {name} differ in scale or offset ({len(others)} of {len(scenes)} from {scenes[0].image}), and rsuda reads "
        f"the stored numbers; {others[0].image}: {_advice(scaling_of(others[0], bands), first, bands)}"
    ]


def scaling_gap(sources: Sequence[Spec], target: Spec, standardise: str) -> list[str]:
    """Say that scales or offsets of sources and the target differ, and what that means for the run."""
    if all(source.scaling == target.scaling for source in sources):
        return []
    is_stretched = standardise == "domain" or any(high != 255 for high in target.high)
    effect = (
        "each has its own standardisation, which makes up for it" if is_stretched else "set align.standardise to domain"
    )
    return [f"source and target differ in scale or offset, and rsuda reads the stored numbers: {effect}"]


def scaling_doubts(scene: Scene, spec: Spec) -> list[str]:
    """Say what to do with a scene whose scales or offsets are not those that a model was trained on."""
    scaling = scaling_of(scene, spec.bands)
    if scaling == spec.scaling:
        return []
    return [
        "its bands and the training imagery differ in scale or offset, and rsuda reads the stored numbers: "
        f"{_advice(scaling, spec.scaling, spec.bands)}"
    ]


def _advice(scaling: Scaling, other: Scaling, bands: tuple[str, ...]) -> str:
    """Describe how to convert numbers of one scale and offset to another; advise a check where one is unknown."""
    if not (scaling and other):
        scale, offset = next(pair for pair in scaling or other if pair != (1.0, 0.0))
        numbers = f"scale {scale:g} and offset {offset:g}"
        which = f"it declares {numbers}, the others none" if scaling else f"it declares none, the others {numbers}"
        return f"{which}; check that the numbers mean the same"
    factors = [
        (scale / other_scale, (offset - other_offset) / other_scale)
        for (scale, offset), (other_scale, other_offset) in zip(scaling, other, strict=True)
    ]
    number = next(k for k, pair in enumerate(factors) if pair != (1.0, 0.0))
    factor, shift = factors[number]
    steps = [f"multiply by {factor:g}"] * (factor != 1) + [f"add {shift:g}"] * (shift != 0)
    where = "all bands" if len(set(factors)) == 1 else f"band {bands[number]}, and others likewise"
    return f"{' and '.join(steps)} in {where} first"
