"""Fit a scaling of logits to labelled pixels, and measure how well it is calibrated on pixels that were not fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from rsuda.core.errors import InputError
from rsuda.core.spelling import spell
from rsuda.evaluation.labelled_pixels import LabelledPixels
from rsuda.evaluation.reliability import Reliability, tally
from rsuda.learning.calibration import fit_temperature, fit_vector, log_losses, tempered

NONE = "none"
TEMPERATURE, VECTOR, AUTO = SCALINGS = ("temperature", "vector", "auto")
ENOUGH_GROUPS = 5  # of a class that gets numbers of its own
FOLDS = 5  # parts of the places, each of which is measured once
PLACE = 10  # independent labels that a place is worth at most, since its pixels are alike
SPREAD = 0.5  # standard deviation of 1/T and of biases that is expected before any label is seen


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
    """How a scaling is fitted. Few labels end near no scaling, and classes near all classes (ridge, by ``SPREAD``).

    Attributes:
        kind: 'temperature', 'vector', or 'none', which is a temperature of 1.
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
        if self.kind == NONE:
            return Scaling((1.0,))
        if self.kind == VECTOR:
            classes = self._enough(pixels, pixels.labels)
            if len(classes) > 1:
                probabilities, labels = torch.from_numpy(pixels.probabilities), torch.from_numpy(pixels.labels)
                return Scaling(*fit_vector(probabilities, labels, classes, prior=_prior(pixels)), tuple(classes))
        common = _temperature(pixels, 1.0)
        predicted = pixels.probabilities.argmax(1)
        separate = self._enough(pixels, predicted) if self.by_class and self.kind == TEMPERATURE else []
        if not separate:
            return Scaling((common,))
        numbers = [
            _temperature(pixels.part(predicted == k), common) if k in separate else common
            for k in range(pixels.probabilities.shape[1])
        ]
        return Scaling(tuple(numbers), (), tuple(separate))

    def _enough(self, pixels: LabelledPixels, classes: np.ndarray) -> list[int]:
        parts = ((k, pixels.part(classes == k)) for k in range(pixels.probabilities.shape[1]))
        return [k for k, part in parts if len(part) >= self.enough and part.group_count >= ENOUGH_GROUPS]

    def held_out(self, pixels: LabelledPixels) -> HeldOut | None:
        """Measure on groups that were not fitted: each of FOLDS parts of them is measured once and fitted otherwise.

        None where there is one group.
        """
        groups = np.unique(pixels.groups)
        if len(groups) == 1:
            return None
        counts, losses = np.zeros(0), np.zeros(len(groups))
        order = np.random.default_rng(0).permutation(groups)
        for part in np.array_split(order, min(FOLDS, len(groups))):
            inside = np.isin(pixels.groups, part)
            measured = pixels.part(inside)
            reliability, pixel_losses = _reliability(measured, self.fit(pixels.part(~inside)))
            counts = reliability.counts + (counts if counts.size else 0)
            places = np.searchsorted(groups, measured.groups)
            losses += np.bincount(places, pixel_losses, minlength=len(groups)) / len(pixels)
        every = Reliability(counts, reliability.names)
        return HeldOut(Measure(every.ece, float(losses.sum()), every.confidence, every.accuracy), losses)


@dataclass(frozen=True)
class HeldOut:
    """A measure on groups that were not fitted, and what each of the G groups adds to its log loss (G,)."""

    measure: Measure
    losses: np.ndarray

    def is_better_than(self, other: HeldOut) -> bool:
        """Whether the log loss is lower than another by more than the standard error of the difference over groups."""
        gain = other.losses - self.losses
        return bool(gain.sum() > np.sqrt(len(gain) * gain.var(ddof=1)))


def _prior(pixels: LabelledPixels) -> float:
    """Return the weight of the ridge: the smaller, the more places there are."""
    counts = np.unique(pixels.groups, return_counts=True)[1]
    return float(1 / (SPREAD**2 * np.minimum(counts, PLACE).sum()))


def _temperature(pixels: LabelledPixels, centre: float) -> float:
    """Fit a temperature near a centre."""
    probabilities, labels = torch.from_numpy(pixels.probabilities), torch.from_numpy(pixels.labels)
    return fit_temperature(probabilities, labels, prior=_prior(pixels), centre=centre)


def choose(pixels: LabelledPixels, kind: str, *, by_class: bool, enough: int) -> tuple[Scaling, Measure | None]:
    """Fit the simplest scaling of those that a kind allows, unless held-out groups show that another is better.

    From simple to less simple: none at all (a temperature of 1), one temperature, one for each class, and a vector. A
    'temperature' may be the first three, 'auto' all of them, and a 'vector' is one. A scaling is better if its log loss on
    held-out groups is lower by more than the standard error of the difference.

    Returns:
        the scaling of all pixels, and its measure on held-out groups; None where there is one group.

    Raises InputError for too few labels of a vector that is asked for.
    """
    vectors = [Fitting(VECTOR, by_class, enough)] if kind in (VECTOR, AUTO) else []
    classes = (False, True) if by_class else (False,)
    plain = [Fitting(NONE, False, enough), *(Fitting(TEMPERATURE, each, enough) for each in classes)]
    best, *others = vectors if kind == VECTOR else [*plain, *vectors]
    result = best.held_out(pixels)
    if result is None and kind != VECTOR:
        best = plain[1]  # one temperature
    for fitting in others:
        other = fitting.held_out(pixels)
        if other is not None and result is not None and other.is_better_than(result):
            best, result = fitting, other
    fitted = best.fit(pixels)
    if kind == VECTOR and not fitted.bias:
        raise InputError(
            f"the labels are too few for a vector scaling, which needs two classes of {enough} labelled pixels or points in "
            f"{ENOUGH_GROUPS} places: label more, or pass {spell('scaling', TEMPERATURE)}"
        )
    return fitted, None if result is None else result.measure


def measure(pixels: LabelledPixels, scaling: Scaling) -> Measure:
    """Measure the calibration of pixels under a scaling."""
    reliability, losses = _reliability(pixels, scaling)
    return Measure(reliability.ece, float(losses.mean()), reliability.confidence, reliability.accuracy)


def _reliability(pixels: LabelledPixels, scaling: Scaling) -> tuple[Reliability, np.ndarray]:
    """Return the reliability of pixels under a scaling, and their log losses (N,)."""
    raw = torch.from_numpy(pixels.probabilities)
    probabilities = tempered(raw, scaling.temperature, axis=1, bias=scaling.bias)
    best, predicted = (values.numpy() for values in probabilities.max(1))
    classes = pixels.probabilities.shape[1]
    counts = tally(pixels.labels, predicted.astype(np.uint8), best, classes)
    losses = log_losses(probabilities, torch.from_numpy(pixels.labels)).numpy()
    return Reliability(counts, ("",) * classes), losses
