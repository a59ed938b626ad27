"""Count how often pixels of each confidence are right: reliability diagrams and expected calibration errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rsuda.core.legend import IGNORE

BINS = 15  # of equal width over 0..1


def tally(label: np.ndarray, prediction: np.ndarray, confidence: np.ndarray, classes: int) -> np.ndarray:
    """Count pixels by predicted class and bin of confidence.

    Args:
        label, prediction: class indices of the same shape, uint8; pixels with 255 in either do not count.
        confidence: probability of the predicted class, 0..1, of the same shape.
        classes: number of classes K.

    Returns:
        (3, K, BINS) float64: pixels, right pixels, and the sum of their confidences.
    """
    use = (label != IGNORE) & (prediction != IGNORE)
    prediction, confidence = prediction[use].astype(np.int64), confidence[use].astype(np.float64)
    place = prediction * BINS + (confidence * BINS).astype(np.int64).clip(0, BINS - 1)
    weights = (np.ones_like(confidence), (label[use] == prediction).astype(np.float64), confidence)
    sums = [np.bincount(place, weight, minlength=classes * BINS) for weight in weights]
    return np.stack(sums).reshape(3, classes, BINS)


@dataclass(frozen=True)
class Reliability:
    """How far confidence is from accuracy, over labelled pixels.

    The expected calibration error (ECE; Naeini, Cooper and Hauskrecht, AAAI 2015) is the mean of |accuracy - mean
    confidence| over BINS bins of confidence, weighted by their pixels. That of a class is over the pixels predicted as it
    (Gupta and Ramdas, "Top-label calibration", ICLR 2022).

    Attributes:
        counts: (3, K, BINS), see ``tally``.
    """

    counts: np.ndarray
    names: tuple[str, ...]

    @property
    def pixels(self) -> int:
        return int(self.counts[0].sum())

    @property
    def ece(self) -> float:
        """Return the expected calibration error, 0..1; nan without pixels."""
        return _ece(self.counts.sum(1))

    @property
    def top_label_ece(self) -> float:
        """Return the mean of ``class_ece`` by pixels, 0..1: where one class is too sure and another too unsure, it shows both."""
        return _share(np.abs(self.counts[1] - self.counts[2]).sum(), self.counts[0].sum())

    @property
    def class_ece(self) -> np.ndarray:
        """Return that of each predicted class, (K,) in 0..1; nan for a class that is never predicted."""
        return np.array([_ece(self.counts[:, k]) for k in range(len(self.names))])

    @property
    def confidence(self) -> float:
        """Return the mean confidence, 0..1."""
        return _share(self.counts[2].sum(), self.counts[0].sum())

    @property
    def accuracy(self) -> float:
        """Return the share of right pixels, 0..1."""
        return _share(self.counts[1].sum(), self.counts[0].sum())

    def bins(self) -> list[tuple[float, float, float]]:
        """List the bins that hold pixels: mean confidence, accuracy, and share of all pixels, 0..1."""
        pixels, hits, confidence = self.counts.sum(1)
        return [
            (confidence[i] / pixels[i], hits[i] / pixels[i], pixels[i] / pixels.sum())
            for i in range(BINS)
            if pixels[i] > 0
        ]

    def as_fields(self) -> dict[str, Any]:
        """Return plain values for JSON; None for a class that is never predicted."""
        by_class = zip(self.names, self.class_ece, strict=True)
        return {
            "bins": BINS,
            "pixels": self.pixels,
            "ece": round(self.ece, 6),
            "confidence": round(self.confidence, 6),
            "accuracy": round(self.accuracy, 6),
            "class_ece": {name: None if np.isnan(value) else round(float(value), 6) for name, value in by_class},
            "diagram": [[round(float(value), 6) for value in row] for row in self.bins()],
        }


def _ece(counts: np.ndarray) -> float:
    """Return the error of (3, BINS) counts."""
    pixels, hits, confidence = counts
    return _share(np.abs(hits - confidence).sum(), pixels.sum())


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")
