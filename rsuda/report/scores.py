"""Measure a run on its target: scores with labels, areas and confidences without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from rsuda.core.errors import InputError
from rsuda.core.legend import IGNORE
from rsuda.data.domains.domain import Domain
from rsuda.evaluation.label_free import label_free, with_selection
from rsuda.evaluation.metrics import Scores, confusion
from rsuda.evaluation.reliability import BINS, Reliability, tally
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.sliding_window import predict_scene
from rsuda.report.views import RunView

MOST_PIXELS = 40e6  # of scenes without labels that are predicted for their areas


@dataclass(frozen=True)
class Quality:
    """A run's predictions on scenes of its target.

    Attributes:
        scores: None without labels.
        clutter: name of the class that the domain's protocol leaves out of a second mean, or ''.
        area: (K,) predicted square metres: of the labelled pixels, or of all valid ones without labels.
        true_area: (K,) labelled square metres, or None.
        confidence: (K,) mean probability of a class where it is predicted; nan where it never is.
        scenes: number of predicted scenes, of ``scenes_total``.
        worst: (scene, mIoU) of the labelled scenes, worst first.
        reliability: how far confidence is from accuracy; None without labels.
    """

    scores: Scores | None
    clutter: str
    area: np.ndarray
    true_area: np.ndarray | None
    confidence: np.ndarray
    scenes: int
    scenes_total: int
    worst: tuple[tuple[str, float], ...]
    reliability: Reliability | None


def measure(
    view: RunView,
    scenes: Sequence[Scene],
    scenes_total: int,
    *,
    labelled: bool,
    progress: Callable[[float, float], None] = lambda done, total: None,
) -> Quality:
    """Predict whole scenes and measure them, calling ``progress`` with finished and all scenes.

    Raises InputError when no pixel is labelled with a class of the model.
    """
    legend, domain = view.run.trained.spec.legend, view.target_domain
    classes = len(legend)
    matrix, area, true_area = np.zeros((classes, classes), np.int64), np.zeros(classes), np.zeros(classes)
    confidence_sum, counts, by_scene = np.zeros(classes), np.zeros(classes), []
    by_confidence = np.zeros((3, classes, BINS))
    for number, scene in enumerate(scenes):
        progress(number, len(scenes))
        strip, pixel = predict_scene(view.predictor, scene), float(np.prod(scene.gsd))
        valid = strip.classes != IGNORE
        of_scene = np.bincount(strip.classes[valid], minlength=classes)
        counts += of_scene
        confidence_sum += np.bincount(strip.classes[valid], strip.confidence[valid] / 254, minlength=classes)
        if not labelled:
            area += of_scene * pixel
            continue
        assert domain.legend is not None
        label = legend.mapping_from(domain.legend)[scene.whole_label(domain.legend)[0]]
        matrix_of_strip = confusion(label, strip.classes, classes)
        matrix += matrix_of_strip
        by_confidence += tally(label, strip.classes, strip.confidence / 254, classes)
        area += matrix_of_strip.sum(0) * pixel
        true_area += matrix_of_strip.sum(1) * pixel
        if matrix_of_strip.any():
            by_scene.append((scene.name, Scores(matrix_of_strip, legend.names).miou))
    if labelled and not matrix.any():
        raise InputError(
            f"no labelled pixel of {domain.name} belongs to a class of the model ({', '.join(legend.names)}): check the legend"
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        confidence = confidence_sum / counts
    return Quality(
        Scores(matrix, legend.names) if labelled else None,
        domain.clutter if domain.clutter and domain.clutter in legend.names else "",
        area,
        true_area if labelled else None,
        confidence,
        len(scenes),
        scenes_total,
        tuple(sorted(by_scene, key=lambda scene: scene[1])),
        Reliability(by_confidence, legend.names) if labelled else None,
    )


def scenes_to_measure(domain: Domain, val_split: str, target_split: str) -> tuple[list[Scene], bool, int, str]:
    """Choose the scenes to measure: the labelled split, or without one evenly spaced scenes up to ``MOST_PIXELS``.

    Returns:
        the scenes; whether they are labelled; the number of scenes of their split; its name.
    """
    if domain.has_labels(val_split):
        scenes = domain.labelled(val_split)
        return scenes, True, len(scenes), val_split
    split = target_split if domain.splits.get(target_split) else "all"
    scenes = domain.split(split)
    sizes = [scene.grid.height * scene.grid.width for scene in scenes]
    number = max(1, min(len(scenes), int(MOST_PIXELS / (sum(sizes) / len(sizes)))))
    return [scenes[round(i)] for i in np.linspace(0, len(scenes) - 1, number)], False, len(scenes), split


def quality_without_labels(view: RunView) -> dict[str, float]:
    """Return the label-free scores from the run's folder, or compute them where it has none."""
    if view.run.label_free is not None:
        return view.run.label_free
    return with_selection(asdict(label_free(view.predictor, view.target_domain, view.run.settings.target.split)))
