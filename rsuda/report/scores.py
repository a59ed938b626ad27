"""How good a run is on its target: scores where there are labels, areas and confidences where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from rsuda.core.errors import InputError
from rsuda.core.legend import IGNORE
from rsuda.data.domain import Domain
from rsuda.evaluation.label_free import label_free
from rsuda.evaluation.metrics import Scores, confusion
from rsuda.geo.scene import Scene
from rsuda.inference.sliding_window import predict_scene
from rsuda.report.views import RunView

MOST_PIXELS = 40e6  # of scenes without labels that are predicted to tell areas


@dataclass(frozen=True)
class Quality:
    """A run on scenes of its target.

    Attributes:
        scores: None without labels.
        clutter: name of the class that the domain's protocol leaves out of a second mean, or ''.
        area: (K,) square metres predicted: of the labelled pixels where there are labels, of all valid ones otherwise.
        true_area: (K,) square metres labelled, or None.
        confidence: (K,) mean probability of the class where it is predicted, nan where it is not.
        scenes: how many were predicted; ``of`` how many there are.
        worst: (scene, mIoU) of the labelled scenes, worst first.
    """

    scores: Scores | None
    clutter: str
    area: np.ndarray
    true_area: np.ndarray | None
    confidence: np.ndarray
    scenes: int
    of: int
    worst: tuple[tuple[str, float], ...]


def measure(eyes: RunView, scenes: Sequence[Scene], labelled: bool, of: int) -> Quality:
    """Predict whole scenes. Raises InputError when no pixel is labelled with a class of the network."""
    legend, domain = eyes.run.trained.spec.legend, eyes.target_domain
    classes = len(legend)
    matrix, area, true_area = np.zeros((classes, classes), np.int64), np.zeros(classes), np.zeros(classes)
    sure, seen, by_scene = np.zeros(classes), np.zeros(classes), []
    for scene in scenes:
        found, pixel = predict_scene(eyes.engine, scene), float(np.prod(scene.gsd))
        there = found.classes != IGNORE
        seen += np.bincount(found.classes[there], minlength=classes)
        sure += np.bincount(found.classes[there], found.confidence[there] / 254, minlength=classes)
        if not labelled:
            area += np.bincount(found.classes[there], minlength=classes) * pixel
            continue
        assert domain.legend is not None
        label = legend.mapping_from(domain.legend)[scene.whole_label(domain.legend)[0]]
        counted = confusion(label, found.classes, classes)
        matrix += counted
        area += counted.sum(0) * pixel
        true_area += counted.sum(1) * pixel
        if counted.any():
            by_scene.append((scene.name, Scores(counted, legend.names).miou))
    if labelled and not matrix.any():
        raise InputError(
            f"no labelled pixel of {domain.name} belongs to a class of the network ({', '.join(legend.names)})"
        )
    clutter = domain.clutter if domain.clutter in legend.names else ""
    with np.errstate(invalid="ignore", divide="ignore"):
        confidence = sure / seen
    return Quality(
        Scores(matrix, legend.names) if labelled else None, clutter or "", area, true_area if labelled else None, confidence,
        len(scenes), of, tuple(sorted(by_scene, key=lambda s: s[1])),
    )  # fmt: skip


def scenes_to_measure(domain: Domain, score_split: str, target_split: str) -> tuple[list[Scene], bool, int, str]:
    """The labelled split; or, where there is none, scenes evenly chosen of the target's until there are enough pixels.
    (scenes, whether labelled, how many there are, their split)."""
    if domain.has_labels(score_split):
        scenes = domain.labelled(score_split)
        return scenes, True, len(scenes), score_split
    split = target_split if domain.splits.get(target_split) else "all"
    scenes = domain.split(split)
    sizes = [s.grid.height * s.grid.width for s in scenes]
    number = max(1, min(len(scenes), int(MOST_PIXELS / (sum(sizes) / len(sizes)))))
    return [scenes[round(i)] for i in np.linspace(0, len(scenes) - 1, number)], False, len(scenes), split


def quality_without_labels(eyes: RunView) -> dict[str, float]:
    """The label-free scores of the run's folder, or anew where it holds none."""
    if eyes.run.label_free is not None:
        return eyes.run.label_free
    return asdict(label_free(eyes.engine, eyes.target_domain, eyes.run.settings.target_split))
