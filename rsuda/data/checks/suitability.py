"""Say what is doubtful about a scene for a model: its bands, its GSD, its values, its colours and its nodata."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rsuda.core.errors import InputError, MissingError
from rsuda.core.spec import IMAGENET_MEAN, IMAGENET_STD, Spec
from rsuda.data.checks.scaling import scaling_doubts
from rsuda.geo.rasters.info import sample
from rsuda.geo.scenes.scene import Scene

MOST_GSD_RATIO = 1.5  # predictions lose accuracy beyond it
DIFFERENT, VERY_DIFFERENT = 0.5, 1.0  # colour distances in standard deviations of training
_MOST_SCENES = 20  # of a domain whose pixels are sampled


def doubts(scene: Scene, spec: Spec, *, of_bands: bool = True) -> tuple[dict[str, Any], list[str]]:
    """Compare a sample of a scene's pixels with what a model expects.

    Args:
        of_bands: whether to say how bands are taken that the file does not name; predict and adapt have notes of it.

    Returns:
        the facts of ``rsuda info`` but its verdict, and sentences about 'its' bands, pixels and values.

    Raises:
        InputError: the whole scene has no valid pixel, or lacks the bands.
        MissingError: a part of the sample cannot be read.
    """
    numbers = scene.file.band_numbers(spec.bands)
    pixels, _, whole = sample(scene.file, numbers)
    if not pixels.size and whole:
        raise InputError(f"{scene.image} has no valid pixel: all pixels are nodata or transparent")
    order = scene.file.band_order
    missing_bands = [band for band in spec.bands if order is None or band not in order]
    ratio = sum(scene.gsd) / 2 / spec.gsd
    reasons = [*(_band_reasons(order, missing_bands, spec) if of_bands else []), *_gsd_reasons(scene, ratio, spec)]
    reasons += scaling_doubts(scene, spec)
    facts: dict[str, Any] = {
        "bands": {
            "needed": list(spec.bands),
            "in_file": list(order) if order else None,
            "missing_by_name": missing_bands,
        },
        "gsd_ratio": round(ratio, 4),
    }
    if pixels.size:
        values, unit, value_reasons = _values(pixels.astype(np.float64), spec)
        distance, colour_reasons = _colour_distance(unit, spec)
        facts |= {"values": values, "colour_distance": distance}
        reasons += value_reasons + colour_reasons
    return facts, reasons


def scene_doubts(scene: Scene, spec: Spec) -> list[str]:
    """Name a scene and say what is doubtful about it, a sentence each; nothing for pixels that cannot be sampled."""
    try:
        reasons = doubts(scene, spec, of_bands=False)[1]
    except (InputError, MissingError):
        return []
    return [f"{scene.image}: {reason}" for reason in reasons]


def domain_doubts(scenes: Sequence[Scene], spec: Spec) -> list[str]:
    """Say what is doubtful about some scenes of a domain, a sentence for each kind of doubt, which names the first scene."""
    step = max(1, -(-len(scenes) // _MOST_SCENES))
    first: dict[str, list[str]] = {}
    for scene in scenes[::step]:
        for sentence in scene_doubts(scene, spec):
            kind = "".join(sign for sign in sentence.removeprefix(f"{scene.image}: ") if not sign.isdigit())
            first.setdefault(kind, []).append(sentence)
    return [
        sentences[0] + (f" (and {len(sentences) - 1} more scenes)" if len(sentences) > 1 else "")
        for sentences in first.values()
    ]


def _band_reasons(names_in_file: tuple[str, ...] | None, missing_bands: list[str], spec: Spec) -> list[str]:
    if not missing_bands:
        return []
    names = f"are named {', '.join(names_in_file)}" if names_in_file else "have no names"
    return [f"its bands {names}, and would be taken as {', '.join(spec.bands)} in file order"]


def _gsd_reasons(scene: Scene, ratio: float, spec: Spec) -> list[str]:
    if 1 / MOST_GSD_RATIO <= ratio <= MOST_GSD_RATIO:
        return []
    kind = "coarser" if ratio > 1 else "finer"
    effect = "but missing detail cannot be restored" if ratio > 1 else "which removes its finest detail"
    return [
        f"its pixels are {max(ratio, 1 / ratio):.1f} times {kind} than the model's ({sum(scene.gsd) / 2:g} and "
        f"{spec.gsd:g} m): it is resampled, {effect}"
    ]


def _values(pixels: np.ndarray, spec: Spec) -> tuple[dict[str, Any], list[np.ndarray], list[str]]:
    """Return value ranges by band, pixels on the spec's 0..1 scale by band, and reasons for doubt."""
    values, units, reasons = {}, [], []
    for name, row, low, high in zip(spec.bands, pixels, spec.low, spec.high, strict=True):
        unit = (row - low) / (high - low)
        outside = float(np.mean((unit < -0.01) | (unit > 1.01)))
        bottom, top = (float(value) for value in np.percentile(row, (0.5, 99.5)))
        values[name] = {"scene": [bottom, top], "network": [low, high], "outside": round(outside, 4)}
        units.append(unit)
        if outside > 0.05:
            reasons.append(f"{outside:.0%} of its {name} values are outside of the model's range {low:g} to {high:g}")
        elif float(np.percentile(unit, 99.5)) < 0.05:
            reasons.append(
                f"its {name} values end at {top:g}, near the bottom of the model's range {low:g} to {high:g}"
            )
    return values, units, reasons


def _colour_distance(unit_values: list[np.ndarray], spec: Spec) -> tuple[dict[str, Any], list[str]]:
    distances = {}
    for name, unit, mean, std in zip(spec.bands, unit_values, spec.mean, spec.std, strict=True):
        standard = (unit - mean) / std
        distances[name] = round(float(np.hypot(standard.mean(), standard.std() - 1)), 3)
    distance = round(float(np.mean(list(distances.values()))), 3)
    word = "similar" if distance < DIFFERENT else "different" if distance < VERY_DIFFERENT else "very different"
    reasons = []
    if distance >= VERY_DIFFERENT and not imagenet(spec):
        reasons.append(
            f"its colours are very different from the training imagery's ({distance:.2f} standard deviations): adapt to "
            "scenes like it"
        )
    facts = {
        "mean": distance,
        "meaning": f"{word}; 0 is equal",
        "from": "ImageNet's photographs (standardise: imagenet)" if imagenet(spec) else "the training imagery",
        "bands": distances,
    }
    return facts, reasons


def imagenet(spec: Spec) -> bool:
    """Check whether a model is standardised by ImageNet's statistics, which do not describe its training imagery."""
    return spec.mean[0] == IMAGENET_MEAN[0] and spec.std[0] == IMAGENET_STD[0]
