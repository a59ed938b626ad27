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
SHARES = (0.25, 0.5, 0.75, 1.0)  # of the way from no scaling to the fitted one; held-out places choose


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

    def nearer_to_none(self, share: float) -> Scaling:
        """Return the scaling at a share of the way from none, 0..1, on the scale of 1/T and of biases.

        The log loss of a vector is convex on this way. So a share of it keeps at least this share of a gain, and has at most
        this share of a loss. Classes without numbers of their own stay alike.
        """
        if share == 1:
            return self
        temperature = tuple(round(1 / (1 + share * (1 / number - 1)), 4) for number in self.temperature)
        return Scaling(temperature, tuple(round(share * number, 4) for number in self.bias), self.classes)


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
        """Check whether the result of this scaling is better than none: its log loss beyond chance, and its error no higher.

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
        prediction = pixels.probabilities.argmax(1)
        separate = self._enough(pixels, prediction) if self.by_class and self.kind == TEMPERATURE else []
        if not separate:
            return Scaling((common,))
        numbers = [
            self._temperature(pixels.part(prediction == k), common) if k in separate else common
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

    def held_out(self, pixels: LabelledPixels) -> list[HeldOut]:
        """Measure each of SHARES of the scaling on groups that were not fitted.

        Each of PARTS parts of the groups is measured once with what the others fitted. A part has groups of neighbouring
        numbers, which are mostly neighbours: they tell less of other places than they seem to. Empty where there is one group.
        """
        groups = np.unique(pixels.groups)
        if len(groups) == 1:
            return []
        masks = [np.isin(pixels.groups, part) for part in np.array_split(groups, min(PARTS, len(groups)))]
        fits = [(pixels.part(mask), self.fit(pixels.part(~mask))) for mask in masks]
        shares = (1.0,) if self.kind == NONE else SHARES
        return [HeldOut.of([(part, fit.nearer_to_none(share)) for part, fit in fits]) for share in shares]


@dataclass(frozen=True)
class HeldOut:
    """A measure on groups that were not fitted, and what each of the P parts of them adds to its log loss (P,)."""

    measure: Measure
    losses: np.ndarray

    @staticmethod
    def of(fits: Sequence[tuple[LabelledPixels, Scaling]]) -> HeldOut:
        """Measure parts, each with a scaling of its own."""
        results = [_reliability(part, scaling) for part, scaling in fits]
        every = Reliability(np.sum([each.counts for each, _ in results], 0), results[0][0].names)
        losses = np.array([pixel_losses.sum() for _, pixel_losses in results]) / sum(len(part) for part, _ in fits)
        return HeldOut(Measure.of(every, float(losses.sum())), losses)

    def gain_over(self, other: HeldOut) -> tuple[float, float]:
        """Return how much lower the log loss is than another, and the standard error of this difference over parts."""
        gain = other.losses - self.losses
        return float(gain.sum()), float(np.sqrt(len(gain) * gain.var(ddof=1)))

    def is_lower_than(self, other: HeldOut, *, chance: float) -> bool:
        """Check whether the log loss is lower beyond chance: a one-sided t test over parts."""
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


@dataclass(frozen=True)
class Candidate:
    """A share of a fitted scaling, 0..1, and its measure on groups that were not fitted."""

    fitting: Fitting
    share: float
    held_out: HeldOut


def choose(pixels: LabelledPixels, kind: str, *, by_class: bool, enough: int) -> tuple[Scaling, Measure | None]:
    """Fit the simplest scaling that is as good as any on held-out groups, or none unless one is clearly better than none.

    From simple to less simple they are none (a temperature of 1), one temperature and one for each class. Vectors with a narrow
    and a wide ridge follow. Each of them may be taken in part: SHARES of the way from none, the least first. A 'temperature' may
    be the first three, 'auto' all of them, and a 'vector' is one. Candidates are better than none beyond chance
    (``Fitting.is_better``). The simplest wins whose log loss is within one standard error of the lowest (Breiman et al.,
    "Classification and regression trees", 1984, here with errors of paired differences).

    Returns:
        the scaling of all pixels, and its measure on held-out groups; None where there is one group.

    Raises InputError for too few labels of a vector that is asked for.
    """
    vectors = [Fitting(VECTOR, by_class, enough, spread) for spread in SPREADS] if kind in (VECTOR, AUTO) else []
    classes = (False, True) if by_class else (False,)
    none, *plain = Fitting(NONE, False, enough), *(Fitting(TEMPERATURE, each, enough) for each in classes)
    fittings = vectors if kind == VECTOR else [*plain, *vectors]
    candidates = [
        Candidate(fitting, share, held_out)
        for fitting in fittings
        for share, held_out in zip(SHARES, fitting.held_out(pixels), strict=False)
    ]
    if candidates:
        base = Candidate(none, 1.0, none.held_out(pixels)[0])
        if kind != VECTOR:
            candidates = [each for each in candidates if each.fitting.is_better(each.held_out, base.held_out)]
        best = _simplest(candidates) if candidates else base
        scaling, result = best.fitting.fit(pixels).nearer_to_none(best.share), best.held_out.measure
    else:  # of one place nothing is held out
        scaling, result = fittings[0].fit(pixels), None
    if kind == VECTOR and not scaling.bias:
        raise InputError(
            f"the labels are too few for a vector scaling, which needs two classes of {enough} labelled pixels or points in "
            f"{ENOUGH_GROUPS} places: label more, or pass {spell('scaling', TEMPERATURE)}"
        )
    return scaling, result


def _simplest(candidates: Sequence[Candidate]) -> Candidate:
    """Take the first whose log loss is within one standard error of the lowest; they are in the order from simple."""
    lowest = min((each.held_out for each in candidates), key=lambda held_out: held_out.measure.log_loss)
    for each in candidates:
        gain, error = lowest.gain_over(each.held_out)
        if gain <= error:
            return each
    raise AssertionError("the lowest is within reach of itself")


def measure(pixels: LabelledPixels, scaling: Scaling) -> Measure:
    """Measure the calibration of pixels under a scaling."""
    reliability, losses = _reliability(pixels, scaling)
    return Measure.of(reliability, float(losses.mean()))


def _reliability(pixels: LabelledPixels, scaling: Scaling) -> tuple[Reliability, np.ndarray]:
    """Return the reliability of pixels under a scaling, and their log losses (N,)."""
    raw = torch.from_numpy(pixels.probabilities)
    probabilities = tempered(raw, scaling.temperature, axis=1, bias=scaling.bias)
    best, prediction = (values.numpy() for values in probabilities.max(1))
    classes = pixels.probabilities.shape[1]
    counts = tally(pixels.labels, prediction.astype(np.uint8), best, classes)
    losses = log_losses(probabilities, torch.from_numpy(pixels.labels)).numpy()
    return Reliability(counts, ("",) * classes), losses
