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

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from rsuda.geo.run_lengths import RunLengths, overlaps


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
    exists = (around != np.roll(around, 1, 1)) & (around >= 0)
    start, direction = np.divmod(np.flatnonzero(exists), 4)
    start, direction, owner = start.astype(np.int32), direction.astype(np.uint8), around[exists]
    number = np.cumsum(exists, dtype=np.int32).reshape(n, 4) - 1
    follows = np.empty(len(start), np.int32)
    for k, end in enumerate((None, south, None, north)):
        pieces = np.flatnonzero(direction == k)
        end = start[pieces] + (1 - k) if end is None else end[start[pieces]]
        at_end, right = around[end], owner[pieces]
        # A component that meets itself across a corner turns left, which separates a hole's ring from the shell's;
        # before another component or nodata it stays on its own side.
        left, ahead = at_end[:, k - 1] == right, at_end[:, k] == right
        turn = np.where(left, (k - 1) % 4, np.where(ahead, k, (k + 1) % 4))
        follows[pieces] = number[end, turn]
    return start, owner, follows


def _walk(follows: np.ndarray, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
    row, col = (part.astype(np.int32) for part in np.divmod(place, runs.stride))
    start, owner, follows = _steps(col, around)
    if not clockwise:
        back = np.empty_like(follows)
        back[follows] = np.arange(len(follows), dtype=np.int32)
        follows = back
    path, cycle, owners = _walk(follows, owner)
    # the first point of each ring is repeated at its end
    length = np.diff(cycle)
    ring = cycle + np.arange(len(cycle))
    points = np.empty(ring[-1], np.int32)
    closing = np.zeros(len(points), bool)
    closing[ring[1:] - 1] = True
    points[~closing] = start[path]
    points[closing] = start[path[cycle[:-1]]]
    assert (length >= 4).all()
    return Rings(col[points], row[points] - 1, ring, np.searchsorted(owners, np.arange(components + 1)))
