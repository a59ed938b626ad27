"""Compare the pixel values of both domains, band by band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from rsuda.geo.scenes.scene import Scene
from rsuda.report.svg import histogram
from rsuda.report.views import DomainView, RunView, draw_windows

WINDOWS, BINS = 24, 48


@dataclass(frozen=True)
class Band:
    """A band of the model's input; source values are None where the source's data are missing.

    Attributes:
        source_name, target_name: of the band in each domain's files.
        source, target: (mean, standard deviation) of raw pixel values.
        overlap: share that the two distributions of raw values have in common, 0 to 1; ``overlap_input`` the same of the
            model's input.
    """

    source_name: str
    target_name: str
    drawing: Markup
    source: tuple[float, float] | None
    target: tuple[float, float]
    overlap: float | None
    overlap_input: float | None


def band_histograms(view: RunView, target_scenes: Sequence[Scene]) -> list[Band]:
    """Draw the histograms of each band; none for a target without a valid pixel."""
    target, source = _pixels(view.target, target_scenes), None
    if view.source is not None and view.source_domain is not None:
        source = _pixels(view.source, view.source_domain.split(view.run.settings.source.split))
    if target is None:
        return []
    return [_band(view, i, source, target) for i in range(len(view.target.spec.bands))]


def _band(view: RunView, i: int, source: np.ndarray | None, target: np.ndarray) -> Band:
    name, target_raw = view.target.spec.bands[i], _raw(target, view.target, i)
    if source is None or view.source is None:
        edges = _edges(target_raw)
        return Band(
            "", name, histogram(edges, None, _shares(target_raw, edges)), None, _moments(target_raw), None, None
        )
    source_raw = _raw(source, view.source, i)
    edges = _edges(np.concatenate([target_raw, source_raw]))
    return Band(
        view.source.spec.bands[i],
        name,
        histogram(edges, _shares(source_raw, edges), _shares(target_raw, edges)),
        _moments(source_raw),
        _moments(target_raw),
        _overlap(source_raw, target_raw),
        _overlap(view.source.network_input(source)[i], view.target.network_input(target)[i]),
    )


def _edges(values: np.ndarray) -> np.ndarray:
    edges = np.linspace(np.percentile(values, 0.1), np.percentile(values, 99.9), BINS + 1)
    return edges if edges[-1] > edges[0] else np.linspace(edges[0] - 0.5, edges[0] + 0.5, BINS + 1)


def _shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.histogram(values.clip(edges[0], edges[-1]), edges)[0] / len(values)


def _moments(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std())


def _pixels(view: DomainView, scenes: Sequence[Scene]) -> np.ndarray | None:
    """Read the valid pixels (bands, n) on 0..1 of random windows; None without any."""
    parts = []
    for window in draw_windows(scenes, view.gsd, WINDOWS, 4, 128):
        image, valid = view.pixels(window)
        parts.append(image[:, valid])
    pixels = np.concatenate(parts, 1)
    return pixels if pixels.shape[1] else None


def _raw(unit: np.ndarray, view: DomainView, band: int) -> np.ndarray:
    low, high = view.spec.low[band], view.spec.high[band]
    raw: np.ndarray = unit[band] * (high - low) + low
    return raw


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    edges = np.linspace(min(one.min(), other.min()), max(one.max(), other.max()) + 1e-6, 65)
    shares = [np.histogram(values, edges)[0] / len(values) for values in (one, other)]
    return float(np.minimum(*shares).sum())
