"""Compute scores from one confusion matrix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rsuda.core.legend import IGNORE

MEANS = ("miou", "mf1", "accuracy", "kappa")


def confusion(label: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    """Count pixels by labelled and predicted class.

    Args:
        label, prediction: class indices of the same shape, uint8. Pixels with 255 in either do not count: they have no label,
            or the image has no data.
        classes: number of classes K.

    Returns:
        (K, K) int64 counts, rows by the label's class, columns by the predicted class.
    """
    use = (label != IGNORE) & (prediction != IGNORE)
    code = label[use].astype(np.int64) * classes + prediction[use]
    return np.bincount(code, minlength=classes * classes).reshape(classes, classes)


def class_iou(matrices: np.ndarray) -> np.ndarray:
    """Compute the IoU of each class from confusion matrices (..., K, K).

    Returns:
        (..., K) in 0..1; nan for a class that neither the label nor the prediction contains.
    """
    hit = np.diagonal(matrices, axis1=-2, axis2=-1).astype(float)
    result: np.ndarray = _share(hit, matrices.sum(-2) + matrices.sum(-1) - hit)
    return result


@dataclass(frozen=True)
class Scores:
    """Scores of a confusion matrix (K, K), in 0..1; nan for a class that neither the label nor the prediction contains.

    Means are over classes that have a score. Classes in ``left_out`` (clutter) do not enter the means, but pixels that are
    wrongly predicted as such a class still count as missed.

    Attributes:
        matrix: (K, K) int64 pixels by labelled class (row) and predicted class (column).
        names: of the K classes.
        left_out: names of the classes that do not enter the means.
    """

    matrix: np.ndarray
    names: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def _hit(self) -> np.ndarray:
        return np.diag(self.matrix).astype(float)

    @property
    def iou(self) -> np.ndarray:
        """Return the intersection over union of each class, (K,)."""
        return class_iou(self.matrix)

    @property
    def precision(self) -> np.ndarray:
        """Return the share of right pixels among those predicted as each class, (K,)."""
        return _share(self._hit, self.matrix.sum(0))

    @property
    def recall(self) -> np.ndarray:
        """Return the share of right pixels among those labelled as each class, (K,)."""
        return _share(self._hit, self.matrix.sum(1))

    @property
    def f1(self) -> np.ndarray:
        """Return the harmonic mean of precision and recall of each class, (K,)."""
        return _share(2 * self._hit, self.matrix.sum(0) + self.matrix.sum(1))

    @property
    def _in_means(self) -> np.ndarray:
        return np.array([name not in self.left_out for name in self.names])

    @property
    def miou(self) -> float:
        """Return the mean of ``iou``; nan where no class has a score."""
        return _mean(self.iou[self._in_means])

    @property
    def mf1(self) -> float:
        """Return the mean of ``f1``; nan where no class has a score."""
        return _mean(self.f1[self._in_means])

    @property
    def accuracy(self) -> float:
        """Return the overall accuracy over labelled pixels of the classes in the means."""
        rows = self.matrix[self._in_means]
        return float(_share(self._hit[self._in_means].sum(), rows.sum()))

    @property
    def kappa(self) -> float:
        """Return Cohen's kappa over labelled pixels of the classes in the means."""
        counts = self.matrix * self._in_means[:, None]
        total = counts.sum()
        if not total:
            return float("nan")
        agreement, chance = np.diag(counts).sum() / total, (counts.sum(0) * counts.sum(1)).sum() / total**2
        return float((agreement - chance) / (1 - chance)) if chance < 1 else float("nan")

    def as_fields(self) -> dict[str, Any]:
        """Return means and scores by class as JSON holds them; None for a missing score."""
        columns = {name: _plain(getattr(self, name)) for name in ("iou", "precision", "recall", "f1")}
        columns["pixels"] = self.matrix.sum(1).tolist()
        classes = {name: {score: column[k] for score, column in columns.items()} for k, name in enumerate(self.names)}
        means = dict(zip(MEANS, _plain([getattr(self, name) for name in MEANS]), strict=True))
        return {**means, "left_out": list(self.left_out), "classes": classes}


def _share(part: Any, whole: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(whole) > 0, np.asarray(part, float) / whole, np.nan)


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _plain(values: Iterable[float]) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 6) for value in values]
