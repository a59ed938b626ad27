"""Add a class for pixels whose most likely class is not probable enough."""

from __future__ import annotations

from rsuda.core.errors import InputError
from rsuda.core.legend import Legend
from rsuda.core.spelling import spell

UNDECIDED = "undecided"
_GREYS = tuple((level, level, level) for level in range(150, 256)) + tuple((level, 0, level) for level in range(256))


def with_undecided(legend: Legend) -> Legend:
    """Add the class 'undecided' after the last, in a grey that no other class has.

    Raises InputError for a legend that has such a class, or no place for one more.
    """
    if UNDECIDED in legend.names:
        raise InputError(f"the model has a class '{UNDECIDED}' already: leave out {spell('min_confidence')}")
    grey = next(grey for grey in _GREYS if grey not in legend.palette)
    return Legend((*legend.names, UNDECIDED), (*((colour,) for colour in legend.palette), (grey,)))
