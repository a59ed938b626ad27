"""Does a scene fit a network? What predict would refuse, and how far the scene is from what the network was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rsuda.core.errors import InputError, MissingError
from rsuda.core.spec import Spec
from rsuda.geo.raster_info import sample
from rsuda.inference.open_scene import open_scene

FAR_GSD = 1.5  # times; beyond it predictions lose
NEAR, FAR = 0.5, 1.0  # of the colour distance, in standard deviations of training


def fit(
    path: str | Path, spec: Spec, bands: str | None = None, gsd: float | None = None, crs: str | None = None
) -> dict[str, Any]:
    """How a scene fits a network.

    Args:
        bands, gsd, crs: as for predict, where the file does not tell.

    Returns:
        ``verdict``: 'fits', 'doubtful' or 'refused', and ``reasons``, sentences for it. For a scene that is not refused
        also ``bands`` (needed, and by name in the file), ``gsd_ratio`` (scene over network), ``values`` (by band, the
        scene's 0.5 and 99.5 percentiles, the network's range, and the share outside of it) and ``colour_distance``.

    The colour distance of a band is the 2-Wasserstein distance of two normal distributions, the scene's values and those
    that the network is standardised by, in standard deviations of the latter: sqrt((mean difference)² + (deviation
    difference)²). 0 is alike; from 1 on, colours are those of another sensor, season or exposure.
    """
    try:
        scene = open_scene(path, spec, bands=bands, gsd=gsd, crs=crs)
        numbers = scene.file.band_numbers(spec.bands)
        pixels, _, whole = sample(scene.file, numbers)
        if not pixels.size and whole:
            raise InputError(f"{path} has no valid pixel: all of it is nodata or transparent")
    except (InputError, MissingError) as error:
        return {"verdict": "refused", "reasons": [str(error)]}
    reasons = []
    named = scene.file.named_bands
    missing = [b for b in spec.bands if named is None or b not in named]
    if missing:
        told = f"named {', '.join(named)}" if named else "not named"
        reasons.append(f"its bands are {told}, and would be taken as {', '.join(spec.bands)} in file order")
    ratio = sum(scene.gsd) / 2 / spec.gsd
    if not 1 / FAR_GSD <= ratio <= FAR_GSD:
        kind = "coarser" if ratio > 1 else "finer"
        reasons.append(
            f"its pixels are {max(ratio, 1 / ratio):.1f} times {kind} than the network's ({sum(scene.gsd) / 2:g} and "
            f"{spec.gsd:g} m): it is resampled, "
            + ("but detail that is not there cannot be seen" if ratio > 1 else "which costs its finest detail")
        )
    found: dict[str, Any] = {
        "bands": {"needed": list(spec.bands), "in_file": list(named) if named else None, "missing_by_name": missing},
        "gsd_ratio": round(ratio, 4),
    }
    if pixels.size:
        found |= _values(pixels.astype(np.float64), spec, reasons)
    return {"verdict": "doubtful" if reasons else "fits", "reasons": reasons, **found}


def _values(pixels: np.ndarray, spec: Spec, reasons: list[str]) -> dict[str, Any]:
    values, distances = {}, {}
    for name, row, low, high, mean, std in zip(
        spec.bands, pixels, spec.low, spec.high, spec.mean, spec.std, strict=True
    ):
        unit = (row - low) / (high - low)
        outside = float(np.mean((unit < -0.01) | (unit > 1.01)))
        values[name] = {
            "scene": [float(v) for v in np.percentile(row, (0.5, 99.5))], "network": [low, high],
            "outside": round(outside, 4),
        }  # fmt: skip
        if outside > 0.05:
            reasons.append(f"{outside:.0%} of its {name} values are outside of the network's {low:g} to {high:g}")
        elif float(np.percentile(unit, 99.5)) < 0.05:
            reasons.append(
                f"its {name} values end at {np.percentile(row, 99.5):g}, near the bottom of the network's {low:g} to {high:g}"
            )
        standard = (unit - mean) / std
        distances[name] = round(float(np.hypot(standard.mean(), standard.std() - 1)), 3)
    mean_distance = round(float(np.mean(list(distances.values()))), 3)
    word = "near" if mean_distance < NEAR else "some way off" if mean_distance < FAR else "far"
    if mean_distance >= FAR and not imagenet(spec):
        reasons.append(
            f"its colours are far ({mean_distance:.2f} standard deviations) from those the network is standardised by: "
            "adapt to scenes like it"
        )
    against = "ImageNet's photographs (standardise: imagenet)" if imagenet(spec) else "the training imagery"
    return {
        "values": values,
        "colour_distance": {
            "mean": mean_distance,
            "meaning": f"{word}; 0 is alike",
            "from": against,
            "bands": distances,
        },
    }


def imagenet(spec: Spec) -> bool:
    """Whether a network is standardised by the statistics of ImageNet, which tell nothing of its training imagery."""
    return spec.mean[0] == 0.485 and spec.std[0] == 0.229
