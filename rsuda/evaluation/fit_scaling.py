"""Fit a scaling of logits to labelled pixels, and measure how well it is calibrated on pixels that were not fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rsuda.core.errors import InputError
from rsuda.core.spelling import spell
from rsuda.evaluation.labelled_pixels import LabelledPixels
from rsuda.evaluation.reliability import Reliability, tally
from rsuda.learning.calibration import fit_temperature, fit_vector, log_loss, tempered

TEMPERATURE, VECTOR, AUTO = SCALINGS = ("temperature", "vector", "auto")
ENOUGH_GROUPS = 5  # of a class that gets numbers of its own


@dataclass(frozen=True)
class Scaling:
    """A fitted scaling of logits.

    Attributes:
        temperature, bias: see ``rsuda.core.spec.Spec``; without a bias it is a temperature, which changes no class.
        classes: indices of the classes with numbers of their own.
    """

    temperature: tuple[float, ...] = ()
    bias: tuple[float, ...] = ()
    classes: tuple[int, ...] = ()

    @property
    def kind(self) -> str:
        """'temperature' or 'vector'."""
        return VECTOR if self.bias else TEMPERATURE


@dataclass(frozen=True)
class Measure:
    """The calibration of probabilities on labelled pixels: ECE, negative log-likelihood, mean confidence, accuracy."""

    ece: float
    log_loss: float
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Fitting:
    """How a scaling is fitted.

    Attributes:
        kind: 'temperature' or 'vector'.
        by_class: whether predicted classes may have temperatures of their own.
        enough: pixels of a class that gets numbers of its own.
    """

    kind: str
    by_class: bool
    enough: int

    def fit(self, pixels: LabelledPixels) -> Scaling:
        """Fit a scaling. Classes with ``enough`` pixels in ENOUGH_GROUPS groups have numbers of their own.

        Pixels of a class are those predicted as it for a temperature, and those labelled as it for a vector.
        """
        probabilities, labels = torch.from_numpy(pixels.probabilities), torch.from_numpy(pixels.labels)
        if self.kind == VECTOR:
            classes = self._enough(pixels, pixels.labels)
            if len(classes) > 1:
                return Scaling(*fit_vector(probabilities, labels, classes), tuple(classes))
        common = fit_temperature(probabilities, labels)
        predicted = pixels.probabilities.argmax(1)
        separate = self._enough(pixels, predicted) if self.by_class and self.kind == TEMPERATURE else []
        if not separate:
            return Scaling((common,))
        numbers = [
            fit_temperature(probabilities[predicted == k], labels[predicted == k]) if k in separate else common
            for k in range(pixels.probabilities.shape[1])
        ]
        return Scaling(tuple(numbers), (), tuple(separate))

    def _enough(self, pixels: LabelledPixels, classes: np.ndarray) -> list[int]:
        parts = ((k, pixels.part(classes == k)) for k in range(pixels.probabilities.shape[1]))
        return [k for k, part in parts if len(part) >= self.enough and part.group_count >= ENOUGH_GROUPS]

    def held_out(self, pixels: LabelledPixels) -> Measure | None:
        """Measure on groups that were not fitted: half of them is fitted, the other half measured, and the other way round.

        None where there is one group.
        """
        groups = np.unique(pixels.groups)
        if len(groups) == 1:
            return None
        first = np.isin(pixels.groups, np.random.default_rng(0).permutation(groups)[::2])
        halves = [pixels.part(first), pixels.part(~first)]
        counts: list[Any] = []
        losses = []
        for fitted, other in (halves, halves[::-1]):
            reliability, loss = _reliability(other, self.fit(fitted))
            counts.append(reliability.counts)
            losses.append(loss * len(other) / len(pixels))
        both = Reliability(np.add(*counts), reliability.names)
        return Measure(both.ece, sum(losses), both.confidence, both.accuracy)


def choose(pixels: LabelledPixels, kind: str, *, by_class: bool, enough: int) -> tuple[Scaling, Measure | None]:
    """Fit a scaling of one kind; 'auto' takes the vector where its log loss on held-out groups is the lower one.

    Returns:
        the scaling of all pixels, and its measure on held-out groups; None where there is one group.

    Raises InputError for too few labels of a vector that is asked for.
    """
    kinds = [TEMPERATURE, VECTOR] if kind == AUTO else [kind]
    fittings = [Fitting(name, by_class, enough) for name in kinds]
    measures = [fitting.held_out(pixels) for fitting in fittings]
    losses = [measure.log_loss if measure else 0.0 for measure in measures]
    best = losses.index(min(losses))
    fitted = fittings[best].fit(pixels)
    if kind == VECTOR and not fitted.bias:
        raise InputError(
            f"the labels are too few for a vector scaling, which needs two classes of {enough} labelled pixels or points in "
            f"{ENOUGH_GROUPS} places: label more, or pass {spell('scaling', TEMPERATURE)}"
        )
    return fitted, measures[best]


def measure(pixels: LabelledPixels, scaling: Scaling) -> Measure:
    """Measure the calibration of pixels under a scaling."""
    reliability, loss = _reliability(pixels, scaling)
    return Measure(reliability.ece, loss, reliability.confidence, reliability.accuracy)


def _reliability(pixels: LabelledPixels, scaling: Scaling) -> tuple[Reliability, float]:
    raw = torch.from_numpy(pixels.probabilities)
    probabilities = tempered(raw, scaling.temperature, axis=1, bias=scaling.bias)
    best, predicted = (values.numpy() for values in probabilities.max(1))
    classes = pixels.probabilities.shape[1]
    counts = tally(pixels.labels, predicted.astype(np.uint8), best, classes)
    return Reliability(counts, ("",) * classes), log_loss(probabilities, torch.from_numpy(pixels.labels))
