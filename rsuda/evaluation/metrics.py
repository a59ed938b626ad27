"""One confusion matrix, from which every score is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rsuda.core.legend import IGNORE


def confusion(label: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """(K, K) int64 counts, rows the label's class, columns the predicted one. Pixels labelled 255 are left out.

    A prediction of 255 on a labelled pixel (nodata in the image) is left out too: nothing was predicted there.
    """
    use = (label != IGNORE) & (predicted != IGNORE)
    code = label[use].astype(np.int64) * classes + predicted[use]
    return np.bincount(code, minlength=classes * classes).reshape(classes, classes)


@dataclass(frozen=True)
class Scores:
    """Scores of a confusion matrix (K, K), in 0..1; nan for a class that neither the label nor the prediction holds.

    Means are over classes that have a score; ``left_out`` classes (clutter) do not enter the means, but the pixels that
    are wrongly given to them still count as missed.
    """

    matrix: np.ndarray
    names: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def _hit(self) -> np.ndarray:
        return np.diag(self.matrix).astype(float)

    @property
    def iou(self) -> np.ndarray:
        return _share(self._hit, self.matrix.sum(0) + self.matrix.sum(1) - self._hit)

    @property
    def precision(self) -> np.ndarray:
        return _share(self._hit, self.matrix.sum(0))

    @property
    def recall(self) -> np.ndarray:
        return _share(self._hit, self.matrix.sum(1))

    @property
    def f1(self) -> np.ndarray:
        return _share(2 * self._hit, self.matrix.sum(0) + self.matrix.sum(1))

    @property
    def _kept(self) -> np.ndarray:
        return np.array([n not in self.left_out for n in self.names])

    @property
    def miou(self) -> float:
        return _mean(self.iou[self._kept])

    @property
    def mf1(self) -> float:
        return _mean(self.f1[self._kept])

    @property
    def accuracy(self) -> float:
        """Overall accuracy over labelled pixels of the classes kept."""
        rows = self.matrix[self._kept]
        return float(_share(self._hit[self._kept].sum(), rows.sum()))

    @property
    def kappa(self) -> float:
        """Cohen's kappa over labelled pixels of the classes kept."""
        kept = self.matrix * self._kept[:, None]
        total = kept.sum()
        if not total:
            return float("nan")
        observed, chance = np.diag(kept).sum() / total, (kept.sum(0) * kept.sum(1)).sum() / total**2
        return float((observed - chance) / (1 - chance)) if chance < 1 else float("nan")

    def as_fields(self) -> dict[str, Any]:
        per_class = {
            name: {"iou": i, "precision": p, "recall": r, "f1": f, "pixels": int(n)}
            for name, i, p, r, f, n in zip(
                self.names,
                *(_plain(v) for v in (self.iou, self.precision, self.recall, self.f1)),
                self.matrix.sum(1),
                strict=True,
            )
        }
        means = {"miou": self.miou, "mf1": self.mf1, "accuracy": self.accuracy, "kappa": self.kappa}
        return {
            **{k: None if np.isnan(v) else round(v, 6) for k, v in means.items()},
            "left_out": list(self.left_out),
            "classes": per_class,
        }


def _share(part: Any, whole: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(whole) > 0, np.asarray(part, float) / whole, np.nan)


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _plain(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(v) else round(float(v), 6) for v in values]
