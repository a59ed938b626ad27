"""Fit a scaling of logits to labelled pixels, and measure how well it is calibrated on pixels that were not fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import t as student

from rsuda.core.errors import InputError
from rsuda.core.spelling import spell
from rsuda.evaluation.labelled_pixels import LabelledPixels
from rsuda.evaluation.reliability import Reliability, tally
from rsuda.learning.calibration import fit_temperature, fit_vector, log_losses, tempered

NONE = "none"
TEMPERATURE, VECTOR, AUTO = SCALINGS = ("temperature", "vector", "auto")
ENOUGH_GROUPS = 5  # of a class that gets numbers of its own
PARTS = 5  # of the places, neighbours together; each is measured with what the others fitted
SPREAD = 0.5  # standard deviation of 1/T that is expected before any label is seen
CHANCES = (0.16, 0.05)  # of a test: one temperature (one standard error), and numbers of each class
SPREADS = (0.25, 0.75)  # of 1/T and of biases under vector scaling; held-out places choose


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
    """The calibration of probabilities on labelled pixels.

    Attributes:
        ece, class_ece: of all pixels together, and the mean of that of each predicted class, 0..1.
        log_loss: mean negative log-likelihood, nats.
        confidence, accuracy: means, 0..1.
    """

    ece: float
    log_loss: float
    confidence: float
    accuracy: float
    class_ece: float

    @staticmethod
    def of(reliability: Reliability, log_loss: float) -> Measure:
        """Gather the numbers of a reliability."""
        confidence, accuracy = reliability.confidence, reliability.accuracy
        return Measure(reliability.ece, log_loss, confidence, accuracy, reliability.top_label_ece)


@dataclass(frozen=True)
class Fitting:
    """How a scaling is fitted. Few labels end near no scaling, and classes near all classes: a ridge, as wide as ``spread``.

    Attributes:
        kind: 'temperature', 'vector', or 'none', which is a temperature of 1.
        by_class: whether predicted classes may have temperatures of their own.
        enough: pixels of a class that gets numbers of its own.
        spread: standard deviation of the numbers that is expected before any label is seen.
    """

    kind: str
    by_class: bool
    enough: int
    spread: float = SPREAD

    @property
    def differs_by_class(self) -> bool:
        """Whether classes may have numbers of their own."""
        return self.kind == VECTOR or self.by_class

    @property
    def chance(self) -> float:
        """Return the probability of a test by which this scaling is taken: one temperature alone can do little harm."""
        return CHANCES[self.differs_by_class]

    def is_better(self, result: HeldOut, none: HeldOut) -> bool:
        """Whether the result of this scaling is better than none: its log loss beyond chance, and its error no higher.

        Numbers by class are judged by the mean of the classes' ECE: in that of all together, errors of classes may cancel.
        """
        kind = "class_ece" if self.differs_by_class else "ece"
        no_higher = getattr(result.measure, kind) <= getattr(none.measure, kind)
        return no_higher and result.is_lower_than(none, chance=self.chance)

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
                return Scaling(*fit_vector(probabilities, labels, classes, prior=self._prior(pixels)), tuple(classes))
        common = self._temperature(pixels, 1.0)
        predicted = pixels.probabilities.argmax(1)
        separate = self._enough(pixels, predicted) if self.by_class and self.kind == TEMPERATURE else []
        if not separate:
            return Scaling((common,))
        numbers = [
            self._temperature(pixels.part(predicted == k), common) if k in separate else common
            for k in range(pixels.probabilities.shape[1])
        ]
        return Scaling(tuple(numbers), (), tuple(separate))

    def _prior(self, pixels: LabelledPixels) -> float:
        """Return the weight of the ridge: the smaller, the more the labels are worth."""
        return 1 / (self.spread**2 * independent_labels(pixels))

    def _temperature(self, pixels: LabelledPixels, centre: float) -> float:
        """Fit a temperature near a centre."""
        probabilities, labels = torch.from_numpy(pixels.probabilities), torch.from_numpy(pixels.labels)
        return fit_temperature(probabilities, labels, prior=self._prior(pixels), centre=centre)

    def _enough(self, pixels: LabelledPixels, classes: np.ndarray) -> list[int]:
        parts = ((k, pixels.part(classes == k)) for k in range(pixels.probabilities.shape[1]))
        return [k for k, part in parts if len(part) >= self.enough and part.group_count >= ENOUGH_GROUPS]

    def held_out(self, pixels: LabelledPixels) -> HeldOut | None:
        """Measure on groups that were not fitted: each of PARTS parts of them is measured once and fitted otherwise.

        A part has groups of neighbouring numbers, which are mostly neighbours: they tell less of other places than they seem to.
        None where there is one group.
        """
        groups = np.unique(pixels.groups)
        if len(groups) == 1:
            return None
        parts = np.array_split(groups, min(PARTS, len(groups)))
        counts, losses = np.zeros(0), np.zeros(len(parts))
        for number, part in enumerate(parts):
            inside = np.isin(pixels.groups, part)
            reliability, pixel_losses = _reliability(pixels.part(inside), self.fit(pixels.part(~inside)))
            counts = reliability.counts + (counts if counts.size else 0)
            losses[number] = pixel_losses.sum() / len(pixels)
        every = Reliability(counts, reliability.names)
        return HeldOut(Measure.of(every, float(losses.sum())), losses)


@dataclass(frozen=True)
class HeldOut:
    """A measure on groups that were not fitted, and what each of the P parts of them adds to its log loss (P,)."""

    measure: Measure
    losses: np.ndarray

    def gain_over(self, other: HeldOut) -> tuple[float, float]:
        """Return how much lower the log loss is than another, and the standard error of this difference over parts."""
        gain = other.losses - self.losses
        return float(gain.sum()), float(np.sqrt(len(gain) * gain.var(ddof=1)))

    def is_lower_than(self, other: HeldOut, *, chance: float) -> bool:
        """Whether the log loss is lower beyond chance: a one-sided t test over parts."""
        gain, error = self.gain_over(other)
        level = float(student.ppf(1 - chance, len(self.losses) - 1))
        return gain > level * error


def independent_labels(pixels: LabelledPixels) -> float:
    """Estimate how many independent labels the pixels are worth, since those of a place are alike.

    It is the sum of n / (1 + (n - 1) rho) over places with n pixels (Kish, "Survey sampling", 1965). Here rho is the
    intraclass correlation of label minus probability, by an analysis of variance over all classes.
    """
    places, counts = np.unique(pixels.groups, return_inverse=True, return_counts=True)[1:]
    total, groups = len(pixels), len(counts)
    if total == groups:
        return float(total)
    rest = -pixels.probabilities.astype(float)
    rest[np.arange(total), pixels.labels] += 1
    rest -= rest.mean(0)
    sums = np.stack([np.bincount(places, column, minlength=groups) for column in rest.T])
    between, every = float((sums**2 / counts).sum()), float((rest**2).sum())
    within = (every - between) / (total - groups)
    if groups == 1 or every <= 0:
        return 1.0
    size = (total - (counts**2).sum() / total) / (groups - 1)
    spread = between / (groups - 1)
    alike = float(np.clip((spread - within) / max(spread + (size - 1) * within, 1e-300), 0, 1))
    return float((counts / (1 + (counts - 1) * alike)).sum())


def choose(pixels: LabelledPixels, kind: str, *, by_class: bool, enough: int) -> tuple[Scaling, Measure | None]:
    """Fit the simplest scaling that is as good as any on held-out groups, or none unless one is clearly better than none.

    From simple to less simple they are none (a temperature of 1), one temperature and one for each class. Vectors with a narrow
    and a wide ridge follow. A 'temperature' may be the first three, 'auto' all of them, and a 'vector' is one. Candidates are
    better than none beyond chance (``Fitting.is_better``). The simplest wins whose log loss is within one standard error
    of the lowest (Breiman et al., "Classification and regression trees", 1984, here with errors of paired differences).

    Returns:
        the scaling of all pixels, and its measure on held-out groups; None where there is one group.

    Raises InputError for too few labels of a vector that is asked for.
    """
    vectors = [Fitting(VECTOR, by_class, enough, spread) for spread in SPREADS] if kind in (VECTOR, AUTO) else []
    classes = (False, True) if by_class else (False,)
    none, *plain = Fitting(NONE, False, enough), *(Fitting(TEMPERATURE, each, enough) for each in classes)
    candidates = vectors if kind == VECTOR else [*plain, *vectors]
    results = [(fitting, held_out) for fitting in candidates if (held_out := fitting.held_out(pixels)) is not None]
    best, result = candidates[0], None  # of one place nothing is held out
    if results:
        base = none.held_out(pixels)
        assert base is not None
        if kind != VECTOR:
            results = [(fitting, part) for fitting, part in results if fitting.is_better(part, base)]
        best, result = _simplest(results) if results else (none, base)
    fitted = best.fit(pixels)
    if kind == VECTOR and not fitted.bias:
        raise InputError(
            f"the labels are too few for a vector scaling, which needs two classes of {enough} labelled pixels or points in "
            f"{ENOUGH_GROUPS} places: label more, or pass {spell('scaling', TEMPERATURE)}"
        )
    return fitted, None if result is None else result.measure


def _simplest(results: Sequence[tuple[Fitting, HeldOut]]) -> tuple[Fitting, HeldOut]:
    """Take the first whose log loss is within one standard error of the lowest; they are in the order from simple."""
    lowest = min((other for _, other in results), key=lambda other: other.measure.log_loss)
    for fitting, other in results:
        gain, error = lowest.gain_over(other)
        if gain <= error:
            return fitting, other
    raise AssertionError("the lowest is within reach of itself")


def measure(pixels: LabelledPixels, scaling: Scaling) -> Measure:
    """Measure the calibration of pixels under a scaling."""
    reliability, losses = _reliability(pixels, scaling)
    return Measure.of(reliability, float(losses.mean()))


def _reliability(pixels: LabelledPixels, scaling: Scaling) -> tuple[Reliability, np.ndarray]:
    """Return the reliability of pixels under a scaling, and their log losses (N,)."""
    raw = torch.from_numpy(pixels.probabilities)
    probabilities = tempered(raw, scaling.temperature, axis=1, bias=scaling.bias)
    best, predicted = (values.numpy() for values in probabilities.max(1))
    classes = pixels.probabilities.shape[1]
    counts = tally(pixels.labels, predicted.astype(np.uint8), best, classes)
    losses = log_losses(probabilities, torch.from_numpy(pixels.labels)).numpy()
    return Reliability(counts, ("",) * classes), losses
