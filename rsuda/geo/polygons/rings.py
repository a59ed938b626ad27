"""Trace components as rings of corners on the pixel lattice, so that neighbours share all vertices of their borders.

A vertex is a point where a border turns or borders meet. Between two vertices a border is straight and has the same component on
each side. The border of a component is walked with the component on the right (rows run down). Directions and quadrants around a
vertex are numbered clockwise,

    NW = 2 | NE = 3      west = 2, north = 3,
    -------+-------      east = 0, south = 1
    SW = 1 | SE = 0

so that the way out in direction k has quadrant k on its right and quadrant k - 1 on its left. A walk that arrives in direction k
has quadrant k + 1 on its right.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from rsuda.geo.polygons.run_lengths import RunLengths, overlaps

PART = 1 << 20  # vertices or pieces at a time, so that memory holds few numbers of each
_MOST = 1 << 22  # pieces that are walked at a time
_COUNT = np.array([bits.bit_count() for bits in range(16)], np.int32)  # of ways out, by their bits


@dataclass(frozen=True)
class Rings:
    """Closed rings: the shell of each component, then its holes.

    Attributes:
        col, row: (points,) int32 on the pixel lattice.
        ring: the points of ring i begin at ``ring[i]`` and end before ``ring[i + 1]``; the last point is the first one.
        component: the rings of component p are ``component[p]`` to before ``component[p + 1]``.
    """

    col: np.ndarray
    row: np.ndarray
    ring: np.ndarray
    component: np.ndarray

    def part(self, first: int, end: int) -> Rings:
        """Return the rings of the components ``first`` to before ``end``."""
        component = self.component[first : end + 1]
        ring = self.ring[component[0] : component[-1] + 1]
        points = slice(ring[0], ring[-1])
        return Rings(self.col[points], self.row[points], ring - ring[0], component - component[0])


def find_vertices(runs: RunLengths, of_run: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the points where borders turn or meet.

    Returns:
        positions (n,) on the line of pixels: of the pixel southeast of the vertex, in ascending order;
        around (n, 4) int32: the components in the quadrants, -1 for nodata.
    """
    places, quadrants = [], []
    for at, upper, lower in overlaps(runs):
        above, below = of_run[upper], of_run[lower]
        nw, ne, sw, se = above[:-1], above[1:], below[:-1], below[1:]
        north, south, west, east = nw != ne, sw != se, nw != sw, ne != se
        turns = (north != south) | (west != east) | (north & west)
        places.append(at[1:-1][turns])
        quadrants.append(np.stack([q[turns] for q in (se, sw, nw, ne)], 1))
    return np.concatenate(places), np.concatenate(quadrants)


def _steps(column: np.ndarray, around: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """List the straight pieces of all rings, numbered by vertex and then by direction.

    Returns:
        start vertex, component and following piece of each.
    """
    n = column.size
    # vertices column by column; the input is row by row. NumPy sorts short numbers several times as fast
    down = np.argsort(column.astype(np.uint16) if column.max() < 1 << 16 else column, kind="stable").astype(np.int32)
    north, south = np.empty(n, np.int32), np.empty(n, np.int32)
    north[down[1:]], south[down[:-1]] = down[:-1], down[1:]
    del down
    ways = np.empty(n, np.uint8)  # a bit for each direction in which a piece leaves a vertex
    starts, directions, owners = [], [], []
    for k in range(0, n, PART):
        quadrants = around[k : k + PART]
        exists = (quadrants != np.roll(quadrants, 1, 1)) & (quadrants >= 0)
        ways[k : k + PART] = np.packbits(exists, 1, bitorder="little")[:, 0]
        vertex, direction = np.divmod(np.flatnonzero(exists), 4)
        starts.append((vertex + k).astype(np.int32))
        directions.append(direction.astype(np.uint8))
        owners.append(quadrants[exists])
    start, direction, owner = (np.concatenate(parts) for parts in (starts, directions, owners))
    del starts, directions, owners
    first = np.cumsum(_COUNT[ways], dtype=np.int32) - _COUNT[ways]  # the number of each vertex's first piece
    follows = np.empty(len(start), np.int32)
    for begin in range(0, len(start), PART):
        part = slice(begin, begin + PART)
        for k, ends in enumerate((None, south, None, north)):
            pieces = np.flatnonzero(direction[part] == k) + begin
            end = start[pieces] + (1 - k) if ends is None else ends[start[pieces]]
            at_end, right = around[end], owner[pieces]
            # A component that meets itself across a corner turns left, which separates a hole's ring from the shell's.
            # Before another component or nodata it stays on its own side.
            left, ahead = at_end[:, k - 1] == right, at_end[:, k] == right
            turn = np.where(left, (k - 1) % 4, np.where(ahead, k, (k + 1) % 4))
            follows[pieces] = first[end] + _COUNT[ways[end] & ((1 << turn) - 1)]
    return start, owner, follows


def _walk(follows: np.ndarray, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Walk as ``_walk_all``, the components in parts, since a walk takes ten times the memory of its pieces."""
    if len(follows) <= _MOST:
        return _walk_all(follows, owner)
    last = np.cumsum(np.bincount(owner))  # pieces up to each component
    ends = np.searchsorted(last, np.arange(0, len(follows), _MOST), "right")
    number = np.empty(len(follows), np.int32)
    paths, cycles, owners, length = [], [np.zeros(1, np.int64)], [], 0
    for first, end in pairwise([*ends.tolist(), len(last)]):
        part = np.flatnonzero((owner >= first) & (owner < end)).astype(np.int32)
        if not len(part):
            continue
        number[part] = np.arange(len(part), dtype=np.int32)
        path, cycle, of = _walk_all(number[follows[part]], owner[part])
        paths.append(part[path])
        cycles.append(cycle[1:] + length)
        owners.append(of)
        length += len(part)
    return np.concatenate(paths), np.concatenate(cycles), np.concatenate(owners)


def _walk_all(follows: np.ndarray, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort the cycles of a permutation by owner and then by their first element.

    The first corner of a component in reading order is on its shell, so the shell comes before the holes.

    Returns:
        path: all elements cycle by cycle, each cycle from its first element on;
        cycle: begins of the cycles in the path, and its end;
        owners: owner of each cycle.
    """
    n = len(follows)

    def graph(to: np.ndarray) -> csr_array:
        return csr_array((np.ones(n), to, np.arange(n + 1, dtype=np.int32)), shape=(n, n))

    # the strong components of a permutation are its cycles; undirected ones would need the transposed graph too
    count, label = connected_components(graph(follows), connection="strong")
    first = np.empty(count, np.int32)
    first[label[::-1]] = np.arange(n - 1, -1, -1, dtype=np.int32)  # the last of several writes remains
    order = np.lexsort((first, owner[first]))
    length = np.bincount(label, minlength=count)[order]
    first = first[order]
    # Each cycle is cut before its first element and linked to the next cycle: one search follows the whole chain.
    following = np.empty(count, np.int32)
    following[order] = np.roll(first, -1)
    begins = np.zeros(n, bool)
    begins[first] = True
    last = np.flatnonzero(begins[follows])
    chain = follows.copy()
    chain[last] = following[label[last]]
    path = breadth_first_order(graph(chain), first[0], return_predecessors=False)
    return path, np.concatenate([[0], np.cumsum(length)]), owner[first]


def _looked_up(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return ``values[index]``; NumPy would convert all of a short index at once."""
    selection = np.empty(len(index), values.dtype)
    for k in range(0, len(index), PART):
        selection[k : k + PART] = values[index[k : k + PART]]
    return selection


def find_rings(runs: RunLengths, of_run: np.ndarray, components: int, *, clockwise: bool = True) -> Rings:
    """Trace the rings of components.

    Args:
        of_run: (runs,) int32, each run's component, -1 for nodata. Components must be connected over pixel edges.
        components: number of components.
        clockwise: direction of shells, with rows drawn downwards.
    """
    if not components:
        nothing = np.zeros(0, np.int32)
        return Rings(nothing, nothing, np.zeros(1, np.int64), np.zeros(1, np.int64))
    place, around = find_vertices(runs, of_run)
    row = (place // runs.stride).astype(np.int32)
    col = (place - row * place.dtype.type(runs.stride)).astype(np.int32)
    del place
    start, owner, follows = _steps(col, around)
    del around
    if not clockwise:
        back = np.empty_like(follows)
        back[follows] = np.arange(len(follows), dtype=np.int32)
        follows = back
    path, cycle, owners = _walk(follows, owner)
    del follows, owner
    vertex = _looked_up(start, path)
    del start, path
    # the first point of each ring is repeated at its end
    length = np.diff(cycle)
    ring = cycle + np.arange(len(cycle))
    points = np.empty(ring[-1], np.int32)
    closing = np.zeros(len(points), bool)
    closing[ring[1:] - 1] = True
    points[closing] = vertex[cycle[:-1]]
    points[np.logical_not(closing, out=closing)] = vertex
    del closing, vertex
    assert (length >= 4).all()
    row -= 1
    return Rings(
        _looked_up(col, points), _looked_up(row, points), ring, np.searchsorted(owners, np.arange(components + 1))
    )
