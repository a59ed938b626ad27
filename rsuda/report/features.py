"""Project the model's features of both domains to a plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from rsuda.core.legend import IGNORE, Legend
from rsuda.geo.scenes.scene import Scene
from rsuda.report.svg import scatter
from rsuda.report.views import DomainView, RunView, Window, draw_windows

WINDOWS, EACH, POINTS = 12, 400, 60  # windows of a domain, pixels sampled from each, points drawn of each class
LEAST_PIXELS = 20  # of a class, for a distance between the domains

Sample = tuple[np.ndarray, np.ndarray]  # (n, F) features of pixels, and (n,) their classes


@dataclass(frozen=True)
class Features:
    """A run's features of sampled pixels.

    Attributes:
        variance_share: share of the variance that the plane shows, 0 to 1.
        distance: by class, the distance of the domains' means over the mean distance of the source's pixels to their
            mean. None for a class with too few pixels in either domain.
        from_labels: whether the target's classes come from its labels instead of the prediction.
    """

    run: str
    drawing: Markup
    variance_share: float
    distance: dict[str, float | None]
    from_labels: bool


def features(view: RunView, scenes: Sequence[Scene], *, labelled: bool) -> Features | None:
    """Sample and draw features of both domains; None for a model without a decoder, or without the source's images."""
    if view.source is None or view.source_domain is None:
        return None
    legend = view.run.trained.spec.legend
    source_scenes = view.source_domain.labelled(view.run.settings.source.split)
    target_legend = view.target_domain.legend if labelled else None
    windows = [
        draw_windows(source_scenes, view.source.gsd, WINDOWS, 2),
        draw_windows(scenes, view.target.gsd, WINDOWS, 3),
    ]
    source = _sample(view.source, windows[0], view.source_domain.legend, 0)
    target = _sample(view.target, windows[1], target_legend, 1)
    if source is None or target is None:
        return None
    drawing, variance_share = _plane(source, target, legend)
    distance = {name: _distance(source, target, k) for k, name in enumerate(legend.names)}
    return Features(view.run.name, drawing, variance_share, distance, labelled)


def _plane(source: Sample, target: Sample, legend: Legend) -> tuple[Markup, float]:
    """Draw both domains on their two main axes; returns the share of the variance on them, too."""
    both = np.concatenate([source[0], target[0]])
    mean = both.mean(0)
    _, deviations, axes = np.linalg.svd(both - mean, full_matrices=False)
    plane = (both - mean) @ axes[:2].T
    if plane.shape[1] < 2:
        plane = np.pad(plane, [(0, 0), (0, 1)])
    domains = {
        "source": (plane[: len(source[0])], source[1]),
        "target": (plane[len(source[0]) :], target[1]),
    }
    # a few distant points would press all others together
    low, high = np.percentile(plane, [0.5, 99.5], axis=0)
    margin = 0.06 * (high - low) + 1e-9
    limits = (np.array([low[0] - margin[0], high[0] + margin[0]]), np.array([low[1] - margin[1], high[1] + margin[1]]))
    rng, groups = np.random.default_rng(0), []
    for domain, (points, classes) in domains.items():
        for k, colour in enumerate(legend.palette):
            of_class = np.flatnonzero(classes == k)
            groups.append((points[rng.permutation(of_class)[:POINTS]], colour, domain))
    variance_share = float((deviations[:2] ** 2).sum() / max(1e-12, (deviations**2).sum()))
    return scatter(groups, limits), variance_share


def _distance(source: Sample, target: Sample, k: int) -> float | None:
    one, other = (features[classes == k] for features, classes in (source, target))
    if len(one) < LEAST_PIXELS or len(other) < LEAST_PIXELS:
        return None
    within = np.linalg.norm(one - one.mean(0), axis=1).mean()
    return float(np.linalg.norm(one.mean(0) - other.mean(0)) / within) if within > 0 else None


def _sample(view: DomainView, windows: Sequence[Window], legend: Legend | None, seed: int) -> Sample | None:
    """Sample features of pixels with their classes: the label's, or the predicted ones without a legend."""
    rng, samples, classes = np.random.default_rng(seed), [], []
    for window in windows:
        feature = view.features(window)
        if feature is None:
            return None
        label = _label(view, window, legend)
        # the label at the centre of each cell of the feature
        rows, cols = (
            ((np.arange(cells) + 0.5) * pixels / cells).astype(int)
            for cells, pixels in zip(feature.shape[1:], label.shape, strict=True)
        )
        values = label[np.ix_(rows, cols)].ravel()
        use = rng.permutation(np.flatnonzero(values != IGNORE))[:EACH]
        samples.append(feature.reshape(len(feature), -1).T[use])
        classes.append(values[use])
    if not sum(map(len, classes)):
        return None
    return np.concatenate(samples), np.concatenate(classes)


def _label(view: DomainView, window: Window, legend: Legend | None) -> np.ndarray:
    """Return a window's classes (h, w) uint8, 255 where invalid."""
    _, valid = view.pixels(window)
    if legend is not None:
        label = window.scene.read_label(legend, view.gsd, window.at(view.gsd))[0]
        label = view.spec.legend.mapping_from(legend)[label]
    else:
        label = view.probabilities(window, min(valid.shape)).argmax(0).astype(np.uint8)
        valid = valid[: label.shape[0], : label.shape[1]]
    return np.where(valid, label, IGNORE)
