"""Where the network puts the pixels of both domains: its fused feature, brought to a plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from rsuda.core.legend import IGNORE
from rsuda.geo.scene import Scene
from rsuda.report.svg import scatter
from rsuda.report.views import DomainView, RunView, Window, draw_windows

WINDOWS, EACH, POINTS = 12, 400, 60  # windows of a domain, pixels sampled of each, points drawn of each class


@dataclass(frozen=True)
class Features:
    """A run's features of sampled pixels.

    Attributes:
        explained: share of the variance that the plane shows, 0 to 1.
        apart: by class, the distance of the domains' means over the mean distance of the source's pixels to theirs; None
            for a class with too few pixels of either domain.
        true: whether the target's classes are those of its labels rather than those predicted.
    """

    run: str
    drawing: Markup
    explained: float
    apart: dict[str, float | None]
    true: bool


def features(eyes: RunView, scenes: Sequence[Scene], labelled: bool) -> Features | None:
    """None for a network without a decoder, or without the source's images."""
    if eyes.source is None or eyes.source_domain is None:
        return None
    split = eyes.source_domain.labelled(eyes.run.settings.source_split)
    of_source = _sample(eyes.source, draw_windows(split, eyes.source.gsd, WINDOWS, 2), eyes.source_domain, 0)
    of_target = _sample(
        eyes.target, draw_windows(scenes, eyes.target.gsd, WINDOWS, 3), eyes.target_domain if labelled else None, 1
    )
    if of_source is None or of_target is None:
        return None
    (source, own), (target, other) = of_source, of_target
    both = np.concatenate([source, target])
    mean = both.mean(0)
    _, spread, axes = np.linalg.svd(both - mean, full_matrices=False)
    plane = (both - mean) @ axes[:2].T
    if plane.shape[1] < 2:
        plane = np.pad(plane, [(0, 0), (0, 1)])
    domains = {"source": (plane[: len(source)], own), "target": (plane[len(source) :], other)}
    # few far points would press all others together
    low, high = np.percentile(plane, [0.5, 99.5], axis=0)
    room = 0.06 * (high - low) + 1e-9
    limits = (np.array([low[0] - room[0], high[0] + room[0]]), np.array([low[1] - room[1], high[1] + room[1]]))
    legend, rng, groups = eyes.run.trained.spec.legend, np.random.default_rng(0), []
    for domain, (points, classes) in domains.items():
        for k, colour in enumerate(legend.palette):
            here = np.flatnonzero(classes == k)
            groups.append((points[rng.permutation(here)[:POINTS]], colour, domain))
    apart: dict[str, float | None] = {}
    for k, name in enumerate(legend.names):
        one, two = source[own == k], target[other == k]
        within = np.linalg.norm(one - one.mean(0), axis=1).mean() if len(one) >= 20 else 0.0
        enough = within > 0 and len(two) >= 20
        apart[name] = float(np.linalg.norm(one.mean(0) - two.mean(0)) / within) if enough else None
    share = float((spread[:2] ** 2).sum() / max(1e-12, (spread**2).sum()))
    return Features(eyes.run.name, scatter(groups, limits), share, apart, labelled)


def _sample(
    sight: DomainView, windows: Sequence[Window], labels: object, seed: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """(n, F) features of sampled pixels and (n,) their classes: the label's, or those predicted where there is none."""
    rng, found, classes = np.random.default_rng(seed), [], []
    for window in windows:
        feature = sight.features(window)
        if feature is None:
            return None
        height, width = feature.shape[1:]
        _, valid = sight.pixels(window)
        legend = getattr(labels, "legend", None)
        if legend is not None:
            label = window.scene.read_label(legend, sight.gsd, window.at(sight.gsd))[0]
            label = sight.spec.legend.mapping_from(legend)[label]
        else:
            label = sight.probabilities(window, min(valid.shape)).argmax(0).astype(np.uint8)
            valid = valid[: label.shape[0], : label.shape[1]]
        label = np.where(valid, label, IGNORE)
        # the label at the centre of each cell of the feature
        rows, cols = (
            ((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip((height, width), label.shape, strict=True)
        )
        at = label[np.ix_(rows, cols)].ravel()
        use = rng.permutation(np.flatnonzero(at != IGNORE))[:EACH]
        found.append(feature.reshape(len(feature), -1).T[use])
        classes.append(at[use])
    if not sum(map(len, classes)):
        return None
    return np.concatenate(found), np.concatenate(classes)
