"""Colours of both domains, band by band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from rsuda.geo.scene import Scene
from rsuda.report.svg import histogram
from rsuda.report.views import DomainView, RunView, draw_windows

WINDOWS, BINS = 24, 48


@dataclass(frozen=True)
class Band:
    """A band that the network is fed; source values are None where the source's data are not at hand.

    Attributes:
        source_name, target_name: of the band in each domain's files.
        source, target: (mean, standard deviation) of raw pixel values.
        overlap: share that the two distributions have in common, 0 to 1, of raw values and as the network is fed.
    """

    source_name: str
    target_name: str
    drawing: Markup
    source: tuple[float, float] | None
    target: tuple[float, float]
    overlap: float | None
    overlap_fed: float | None


def bands(eyes: RunView, target_scenes: Sequence[Scene]) -> list[Band]:
    """Raises nothing of its own; a domain without a valid pixel gives no bands."""
    target = _pixels(eyes.target, target_scenes)
    source = None
    if eyes.source is not None and eyes.source_domain is not None:
        source = _pixels(eyes.source, eyes.source_domain.split(eyes.run.settings.source_split))
    if target is None:
        return []
    found = []
    for b, name in enumerate(eyes.target.spec.bands):
        raw_t = _raw(target, eyes.target, b)
        raw_s = None if source is None else _raw(source, eyes.source, b)  # type: ignore[arg-type]
        seen = raw_t if raw_s is None else np.concatenate([raw_t, raw_s])
        edges = np.linspace(np.percentile(seen, 0.1), np.percentile(seen, 99.9), BINS + 1)
        if edges[-1] <= edges[0]:
            edges = np.linspace(edges[0] - 0.5, edges[0] + 0.5, BINS + 1)
        shares = [
            None if v is None else np.histogram(v.clip(edges[0], edges[-1]), edges)[0] / len(v) for v in (raw_s, raw_t)
        ]
        fed = None
        if source is not None and eyes.source is not None:
            fed = _overlap(eyes.source.fed(source)[b], eyes.target.fed(target)[b])
        found.append(
            Band(
                eyes.source.spec.bands[b] if eyes.source else "", name, histogram(edges, shares[0], shares[1]),  # type: ignore[arg-type]
                None if raw_s is None else (float(raw_s.mean()), float(raw_s.std())), (float(raw_t.mean()), float(raw_t.std())),
                None if raw_s is None else _overlap(raw_s, raw_t), fed,
            )
        )  # fmt: skip
    return found


def _pixels(sight: DomainView, scenes: Sequence[Scene]) -> np.ndarray | None:
    """(bands, n) valid pixels on 0..1 of random windows."""
    found = []
    for window in draw_windows(scenes, sight.gsd, WINDOWS, 4, 128):
        image, valid = sight.pixels(window)
        found.append(image[:, valid])
    pixels = np.concatenate(found, 1)
    return pixels if pixels.shape[1] else None


def _raw(unit: np.ndarray, sight: DomainView, band: int) -> np.ndarray:
    low, high = sight.spec.low[band], sight.spec.high[band]
    raw: np.ndarray = unit[band] * (high - low) + low
    return raw


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    edges = np.linspace(min(one.min(), other.min()), max(one.max(), other.max()) + 1e-6, 65)
    shares = [np.histogram(v, edges)[0] / len(v) for v in (one, other)]
    return float(np.minimum(*shares).sum())
