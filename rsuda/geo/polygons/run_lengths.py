"""Encode a class raster as run lengths, and find its connected components.

Only one strip of the raster is in memory at a time. The raster is treated as one line of pixels, row after row. One
nodata pixel follows each row, and one nodata row lies before the first and after the last. The left neighbour of
position p is p - 1, the upper one p - stride, also at the raster's edges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from rsuda.core.capacity import check_memory
from rsuda.core.legend import IGNORE
from rsuda.core.spelling import spell

Strip = np.ndarray | tuple[np.ndarray, np.ndarray]
BLOCK = 1 << 22  # pixels processed at a time, so that the arrays stay in the processor's cache
_PART = 1 << 20  # numbers that are looked up at a time

UNKNOWN = 255  # a pixel without a confidence
CERTAIN = 254  # a confidence of 1

BYTES = 60  # of memory that polygons take for each run, as measured on noise


@dataclass(frozen=True)
class RunLengths:
    """Runs of a raster in order: pixels of one class in one row, or nodata (which may continue over the ends of rows).

    Attributes:
        start: (n + 1,) positions on the line; the last one is the line's end.
        value: (n,) uint8 classes.
        confidence: (n,) sums of the pixels' confidences.
        confidence_pixels: (n,) numbers of pixels that have a confidence.
    """

    height: int
    width: int
    start: np.ndarray
    value: np.ndarray
    confidence: np.ndarray | None = None
    confidence_pixels: np.ndarray | None = None

    @property
    def stride(self) -> int:
        return self.width + 1

    def __len__(self) -> int:
        return len(self.value)

    def of_values(self, value: np.ndarray) -> RunLengths:
        """Give each run another class, and join those that have one class then. Nodata stays."""

        def joined(amounts: np.ndarray | None) -> np.ndarray | None:
            return None if amounts is None else np.add.reduceat(amounts, at, dtype=amounts.dtype)

        new = np.ones(len(value), bool)
        np.not_equal(value[1:], value[:-1], out=new[1:])
        at = np.flatnonzero(new)
        start = np.append(self.start[at], self.start[-1])
        confidence, confidence_pixels = joined(self.confidence), joined(self.confidence_pixels)
        return RunLengths(self.height, self.width, start, value[at], confidence, confidence_pixels)


@dataclass(frozen=True)
class Components:
    """Areas of one class, connected over pixel edges, numbered in the order of their first pixels.

    Attributes:
        of_run: (runs,) int32, each run's component, -1 for nodata.
        value: uint8 class of each component.
        pixels: int64 size of each component.
        confidence, confidence_pixels: int64 sums as in RunLengths.
    """

    of_run: np.ndarray
    value: np.ndarray
    pixels: np.ndarray
    confidence: np.ndarray | None = None
    confidence_pixels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.value)


def _blocks(strips: Iterable[Strip], width: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Cut strips into pieces of at most BLOCK pixels, each with its confidence or None."""
    rows = max(1, BLOCK // (width + 1))
    for strip in strips:
        classes, confidence = strip if isinstance(strip, tuple) else (strip, None)
        if classes.ndim != 2 or classes.shape[1] != width or classes.dtype != np.uint8:
            raise ValueError(f"a strip is {classes.shape} {classes.dtype}, not (rows, {width}) uint8")
        if confidence is not None and (confidence.shape != classes.shape or confidence.dtype != np.uint8):
            raise ValueError(
                f"a strip {classes.shape} has confidences {confidence.shape} {confidence.dtype}, not uint8"
            )
        for row in range(0, len(classes), rows):
            yield classes[row : row + rows], None if confidence is None else confidence[row : row + rows]


def encode(strips: Iterable[Strip], height: int, width: int) -> RunLengths:
    """Encode a (height, width) raster that comes in strips from top to bottom.

    Args:
        strips: (h, width) uint8 classes, 255 for nodata, or pairs of these and (h, width) uint8 confidences, 254 for 1 and
            255 for unknown. Strips may have any heights.

    Raises:
        InputError: polygons of so many runs need more memory than there is, as those of noise do.
        ValueError: a strip has the wrong width or dtype, the number of rows is not ``height``, or only some strips have
            confidences.
    """
    stride, end = width + 1, (height + 2) * (width + 1)
    kind = np.int32 if end < 2**31 else np.int64
    starts, values = [np.zeros(1, kind)], [np.full(1, IGNORE, np.uint8)]
    sums, counts = [np.zeros(1, np.uint32)], [np.zeros(1, np.uint32)]
    row, runs, with_confidence = 0, 0, set()
    for classes, confidence in _blocks(strips, width):
        rows = np.full((len(classes), stride), IGNORE, np.uint8)
        rows[:, :width] = classes
        line = rows.ravel()
        new = np.empty(len(line), bool)
        new[:1] = line[:1] != IGNORE  # each row follows a nodata pixel
        np.not_equal(line[1:], line[:-1], out=new[1:])
        at = np.flatnonzero(new)
        starts.append((at + (row + 1) * stride).astype(kind))
        values.append(line[at])
        with_confidence.add(confidence is not None)
        if confidence is not None and len(at):
            rows[:, :width] = confidence  # values are copied above, so the line is free for these
            has_value = line != UNKNOWN  # the pixel after each row is still 255
            line *= has_value
            sums.append(np.add.reduceat(line, at, dtype=np.uint32))
            counts.append(np.add.reduceat(has_value, at, dtype=np.uint32))
        row, runs = row + len(classes), runs + len(at)
        _check_runs(runs)
    if row != height:
        raise ValueError(f"the strips have {row} rows together, not {height}")
    if len(with_confidence) > 1:
        raise ValueError("some strips have confidences and others have none")
    start = np.concatenate([*starts, np.array([end], kind)])
    if with_confidence != {True}:
        return RunLengths(height, width, start, np.concatenate(values))
    return RunLengths(height, width, start, np.concatenate(values), np.concatenate(sums), np.concatenate(counts))


def _check_runs(count: int) -> None:
    check_memory(
        count * BYTES,
        f"drawing polygons of {count / 1e6:.3g} million stretches of one class, as noise has them,",
        f"map without polygons ({spell('polygons', 'none')}), or smooth the classes first",
    )


def overlaps(runs: RunLengths) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pair each run with the runs above it, block by block along the line of pixels.

    Yields:
        at (k + 2,): the block's begin, the k positions in it where a run or a run of the row above begins, its end;
        upper, lower (k + 1,): from at[i] to at[i + 1] the run ``upper[i]`` is above the run ``lower[i]``. The first pair
            ends at at[1] and is empty if at[1] == at[0].
    """
    start, stride = runs.start, runs.stride
    for begin in range(stride, int(start[-1]), BLOCK):
        end = min(begin + BLOCK, int(start[-1]))
        # of the positions' own type, since NumPy would convert all of them
        places = np.array([begin, end, begin - stride, end - stride], start.dtype)
        i, i_end, j, j_end = np.searchsorted(start[:-1], places)
        # both are in order, so sorting merges them; an odd number is that of a run above
        low = (start[i:i_end] - begin).astype(np.int32) * 2
        up = (start[j:j_end] - (begin - stride)).astype(np.int32) * 2 + 1
        begins = np.sort(np.concatenate([low, up]), kind="stable")
        above = begins & 1
        begins >>= 1
        last = np.ones(len(begins), bool)  # of the runs that begin at one position
        np.not_equal(begins[1:], begins[:-1], out=last[:-1])
        uppers = np.cumsum(above, dtype=np.int32)
        lowers = np.arange(1, len(begins) + 1, dtype=np.int32) - uppers
        # j - 1 is -1 at first: the last run, which is nodata too
        first = np.array([i - 1], np.int32), np.array([j - 1], np.int32)
        lower, upper = (
            np.concatenate([one, one + count[last]]) for one, count in zip(first, (lowers, uppers), strict=True)
        )
        yield np.concatenate([[begin], begins[last] + begin, [end]]), upper, lower


def connected(nodes: int, one: np.ndarray, other: np.ndarray) -> tuple[int, np.ndarray]:
    """Find the connected components of a graph, numbered in the order of their first nodes.

    Args:
        one, other: (n,) the nodes of each link.

    Returns:
        the number of components; (nodes,) int32 the component of each node.
    """
    # of one type: SciPy up to 1.12 prints an error for mixed types and returns no components
    ends = one.astype(np.int32, copy=False), other.astype(np.int32, copy=False)
    links = coo_array((np.ones(len(one)), ends), shape=(nodes, nodes))
    count, of_node = connected_components(links, directed=False)
    del links
    highest = np.maximum.accumulate(of_node)
    if nodes and highest[0] == 0 and (highest[1:] - highest[:-1] <= 1).all():  # SciPy numbers them so
        return count, of_node
    first = np.empty(count, np.int32)
    first[of_node[::-1]] = np.arange(nodes - 1, -1, -1, dtype=np.int32)  # the last of several writes remains
    rank = np.empty(count, np.int32)
    rank[np.argsort(first)] = np.arange(count, dtype=np.int32)
    return count, rank[of_node]


def totals(groups: np.ndarray, count: int, amounts: np.ndarray | None) -> np.ndarray | None:
    """Add up amounts by group: (count,) int64. Amounts of the group -1 are left out."""
    if amounts is None:
        return None
    sums = np.zeros(count + 1, np.int64)
    for k in range(0, len(groups), _PART):  # NumPy would convert all of them
        np.add.at(sums, groups[k : k + _PART].astype(np.intp), amounts[k : k + _PART].astype(np.int64))
    return sums[:count]


def find_components(runs: RunLengths) -> Components:
    """Join runs of one class that touch over pixel edges to components."""
    links: list[tuple[np.ndarray, np.ndarray]] = []
    for at, upper, lower in overlaps(runs):
        same = (runs.value[upper] == runs.value[lower]) & (runs.value[lower] != IGNORE)
        same[0] &= at[1] > at[0]  # an empty pair has no overlap
        links.append((upper[same], lower[same]))
    one, other = (np.concatenate(ends) for ends in zip(*links, strict=True))
    del links
    count, label = connected(len(runs), one, other)
    del one, other
    present = np.empty(count, bool)
    for k in range(0, len(runs), _PART):  # NumPy would convert all numbers
        present[label[k : k + _PART]] = runs.value[k : k + _PART] != IGNORE
    number = np.cumsum(present, dtype=np.int32)
    n = int(number[-1]) if count else 0
    number -= 1
    number[~present] = -1
    of_run, value = np.empty(len(runs), np.int32), np.empty(n + 1, np.uint8)
    for k in range(0, len(runs), _PART):
        of_run[k : k + _PART] = number[label[k : k + _PART]]
        value[of_run[k : k + _PART]] = runs.value[k : k + _PART]  # that of nodata, -1, comes last
    del label, number, present
    pixels = totals(of_run, n, np.diff(runs.start))
    assert pixels is not None
    return Components(
        of_run, value[:n], pixels, totals(of_run, n, runs.confidence), totals(of_run, n, runs.confidence_pixels)
    )
