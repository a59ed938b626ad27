"""Explain the colours of a target by another mix of the source's classes: a city has other shares of water and roofs.

Colours that only the mix sets apart are those of one sensor, and standardising each domain by itself would then pull
equal things apart. The mix is estimated by expectation maximisation, as in Saerens et al., "Adjusting the outputs of a
classifier to new a priori probabilities", Neural Computation 2002. Histograms take the place of a classifier.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

_CELLS = 64  # of the histograms; nearest of so many colours drawn from both domains
_PIXELS = 60_000  # of each domain
_PRIOR = 100.0  # pixels of the mean histogram that each class has in addition, so that a rare class is not drawn far too often
_ROUNDS = 300


class ClassMix(NamedTuple):
    """The mix of classes that explains a target's colours best.

    Attributes:
        shares: of the source's classes, (K,), sum 1.
        unexplained: share of the target's pixels whose colours the mix leaves over (total variation distance), 0 to 1.
    """

    shares: np.ndarray
    unexplained: float


def explain_by_classes(source: np.ndarray, classes: np.ndarray, target: np.ndarray) -> ClassMix:
    """Find the mix of the source's classes whose colours are nearest to the target's.

    Args:
        source: values (bands, n) of source pixels.
        classes: class (n,) of each, from 0 up; K is one more than the highest.
        target: values (bands, m) of target pixels, in the same units.
    """
    rng = np.random.default_rng(0)
    sample = rng.permutation(source.shape[1])[:_PIXELS]
    source, classes = source[:, sample], classes[sample]
    target = target[:, rng.permutation(target.shape[1])[:_PIXELS]]
    both = np.concatenate([_draw(rng, source, _CELLS // 2), _draw(rng, target, _CELLS // 2)], 1)
    cells = cKDTree(both.T)
    by_class = _histograms(cells.query(source.T)[1], classes)
    histogram = np.bincount(cells.query(target.T)[1], minlength=_CELLS) / target.shape[1]
    shares = np.full(len(by_class), 1 / len(by_class))
    for _ in range(_ROUNDS):
        posterior = shares[:, None] * by_class
        shares = (posterior / posterior.sum(0) * histogram).sum(1)
    return ClassMix(shares, float(np.abs(histogram - shares @ by_class).sum() / 2))


def _draw(rng: np.random.Generator, values: np.ndarray, number: int) -> np.ndarray:
    """Draw the values (bands, number) of pixels; of fewer pixels, some twice."""
    return values[:, rng.integers(values.shape[1], size=number)]


def _histograms(cells: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Measure the shares (K, cells) of each class's pixels by cell; a class without pixels has the shares of all."""
    counts = np.zeros((int(classes.max()) + 1, _CELLS))
    np.add.at(counts, (classes, cells), 1)
    mean = (counts.sum(0) + 1) / (counts.sum() + _CELLS)
    counts += _PRIOR * mean
    histograms: np.ndarray = counts / counts.sum(1, keepdims=True)
    return histograms
