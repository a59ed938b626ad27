"""Merge small components of a class raster into their neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array

from rsuda.core.legend import IGNORE
from rsuda.geo.polygons.run_lengths import BLOCK, Components, RunLengths, connected, overlaps, totals

_PART = 1 << 18  # pixels whose neighbours are looked up at a time
_LARGEST = 1 << 60  # more than any component's pixels, counted with the numbers of components


@dataclass(frozen=True)
class Borders:
    """Components that touch over edges: ``one`` < ``other`` (int32, each pair once) share ``length`` pixel edges."""

    one: np.ndarray
    other: np.ndarray
    length: np.ndarray


def _touching(runs: RunLengths, components: Components) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pair components that touch, from runs side by side and runs one above the other: component, component and length."""
    of_run = components.of_run
    for i in range(0, len(runs) - 1, BLOCK):
        left, right = of_run[i : i + BLOCK], of_run[i + 1 : i + BLOCK + 1]
        yield _apart(left[: len(right)], right, np.ones(len(right), np.int32))
    for at, upper, lower in overlaps(runs):
        length = np.diff(at)
        real = length > 0
        yield _apart(of_run[upper[real]], of_run[lower[real]], length[real].astype(np.int32))


def _apart(one: np.ndarray, other: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Leave out pairs with nodata and of one component; the smaller number of each pair comes first."""
    apart = (one != other) & (one >= 0) & (other >= 0)
    one, other = one[apart], other[apart]
    return np.minimum(one, other), np.maximum(one, other), length[apart]


def _borders(pairs: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]], n: int) -> Borders:
    """Add up border lengths by pair, from arrays of component, component and length as ``_apart`` returns them."""
    columns: tuple[list[np.ndarray], ...] = [], [], []
    for pair in pairs:
        for column, values in zip(columns, pair, strict=True):
            column.append(values)
    one, other, length = (_joined(column) for column in columns)
    table = coo_array((length, (one, other)), shape=(n, n)).tocsr()  # adds up repeated entries
    del one, other, length
    return Borders(np.repeat(np.arange(n, dtype=np.int32), np.diff(table.indptr)), table.indices, table.data)


def _joined(pieces: list[np.ndarray]) -> np.ndarray:
    """Concatenate whole numbers, and forget the pieces."""
    whole = np.concatenate([np.zeros(0, np.int32), *pieces])
    pieces.clear()
    return whole


def find_borders(runs: RunLengths, components: Components) -> Borders:
    """Find the borders between components."""
    return _borders(_touching(runs, components), len(components))


def have_borders(runs: RunLengths, components: Components) -> bool:
    """Check whether any two components touch."""
    return any(len(one) for one, _, _ in _touching(runs, components))


def merge_single_pixels(runs: RunLengths, components: Components) -> RunLengths:
    """Merge components of one pixel, as the first round of ``merge_small`` does; runs that have one class then are joined.

    The neighbours of a pixel are looked up, so no table of borders is held: noise has two of them for each pixel.
    """
    n, of_run, goal = len(components), components.of_run, np.arange(len(components), dtype=np.int32)
    singles = np.flatnonzero(np.append(components.pixels == 1, False)[of_run])  # the last entry is for -1, nodata
    for k in range(0, len(singles), _PART):
        run = singles[k : k + _PART]
        place = runs.start[run]
        rows = (np.searchsorted(runs.start, place + step, "right") - 1 for step in (-runs.stride, runs.stride))
        around = of_run[np.stack([run - 1, run + 1, *rows], 1)]
        size = components.pixels[around] * n + around  # all different
        size[(around < 0) | (size < n + of_run[run, None])] = -1
        edges = (around[:, :, None] == around[:, None, :]).sum(2) * (size >= 0)
        best = (edges * _LARGEST + size).argmax(1)[:, None]
        moves = np.take_along_axis(size, best, 1)[:, 0] >= 0
        goal[of_run[run[moves]]] = np.take_along_axis(around, best, 1)[moves, 0]
    if (goal == np.arange(n)).all():
        return runs
    return runs.of_values(np.append(components.value[_followed(goal)], np.uint8(IGNORE))[of_run])


def merge_small(components: Components, borders: Borders, least: int) -> tuple[Components, Borders]:
    """Merge components of fewer than ``least`` pixels into neighbours, small ones first; without a neighbour they stay.

    Each takes the class of the larger neighbour with the longest common border. Components of one class that touch
    afterwards are joined.
    """
    limit = 2
    while limit < least:
        components, borders = _merge_below(components, borders, limit)
        limit *= 2
    return _merge_below(components, borders, least)


def _merge_below(components: Components, borders: Borders, limit: int) -> tuple[Components, Borders]:
    n, value, pixels = len(components), components.value, components.pixels
    into = np.arange(n, dtype=np.int32)  # the component of each input component
    while True:
        small = pixels < limit
        goal = _goals(small, pixels, borders, n)
        if goal is None:
            break
        one, other = goal[borders.one], goal[borders.other]
        joins = (value[one] == value[other]) & (one != other)
        # a component that moves is linked to its goal, so a group is numbered by its first pixel
        movers = np.flatnonzero(goal != np.arange(n))
        count, group = connected(n, np.concatenate([movers, one[joins]]), np.concatenate([goal[movers], other[joins]]))
        present = np.empty(count, np.uint8)
        present[group] = value[goal]
        into, pixels, value = group[into], np.bincount(group, pixels, count).astype(np.int64), present
        borders, n = _borders([_apart(group[borders.one], group[borders.other], borders.length)], count), count
    if n == len(components):
        return components, borders
    of_run = np.append(into, np.int32(-1))[components.of_run]  # the last entry is for -1, nodata
    confidence, confidence_pixels = (
        totals(into, n, amounts) for amounts in (components.confidence, components.confidence_pixels)
    )
    return Components(of_run, value, pixels, confidence, confidence_pixels), borders


def _goals(small: np.ndarray, pixels: np.ndarray, borders: Borders, n: int) -> np.ndarray | None:
    """Find the component that each component merges into (itself if it stays); None if all stay.

    Small components follow one another from smaller to larger, by pixels and then by number, so there are no cycles.
    """
    size = pixels * n + np.arange(n)  # all different
    grows = size[borders.other] > size[borders.one]
    less, more = np.where(grows, borders.one, borders.other), np.where(grows, borders.other, borders.one)
    goes = small[less]
    if not goes.any():
        return None
    less, more, length = less[goes], more[goes], borders.length[goes]
    longest = np.zeros(n, length.dtype)
    np.maximum.at(longest, less, length)
    ahead = length == longest[less]
    less, more = less[ahead], more[ahead]
    largest = np.zeros(n, np.int64)  # of neighbours with equal borders
    np.maximum.at(largest, less, size[more])
    goal = np.arange(n, dtype=np.int32)
    is_goal = size[more] == largest[less]
    goal[less[is_goal]] = more[is_goal]
    return _followed(goal)


def _followed(goal: np.ndarray) -> np.ndarray:
    """Follow goals to the last of each chain."""
    while True:
        further = goal[goal]
        if (further == goal).all():
            return goal
        goal = further
