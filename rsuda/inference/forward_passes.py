"""Predict the windows of a scene in order; on a CPU several batches at once, each on threads of its own.

A forward pass on two threads waits for the slower one after every layer, and reading, blending and writing leave a core idle.
Batches side by side wait for nothing, so that all cores have work (BENCHMARKS.md, Prediction). The network is shared: its
forward pass in evaluation mode must leave it unchanged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass

import torch
from torch import Tensor

from rsuda.inference.predictor import Predictor
from rsuda.inference.window_grid import WindowGrid, WindowRow

MOST = 8  # batches at once: each takes the memory of a forward pass


@dataclass(frozen=True)
class PredictedWindows:
    """A batch of windows with their class probabilities.

    Attributes:
        row: number of their row of windows.
        columns: numbers of their columns; none for a row of windows without data.
        probabilities: (B, K, window, window) float32 on the device, before any temperature; None without windows.
    """

    row: int
    columns: list[int]
    probabilities: Tensor | None


def passes_at_once(predictor: Predictor) -> int:
    """Count the batches that are predicted at once: one a thread on a CPU, at most MOST."""
    if predictor.device.type != "cpu":
        return 1
    threads = torch.get_num_threads()
    return -(-threads // -(-threads // MOST))


def predicted_windows(
    predictor: Predictor, windows: WindowGrid, rows: Sequence[int], *, at_once: int | None = None
) -> Iterator[PredictedWindows]:
    """Predict rows of windows, batch by batch in their order.

    The next row is read while the model predicts this one.

    Args:
        rows: numbers of rows of ``windows``.
        at_once: batches that are predicted at once; ``passes_at_once`` by default. With 1 the forward passes run in the
            thread of the caller, one for each batch that is taken.
    """
    count = passes_at_once(predictor) if at_once is None else at_once
    # rasterio finds the openers of files by the context
    with windows.scene.file.opened(), ThreadPoolExecutor(1) as reader:
        read_rows = _read_ahead(windows, rows, reader)
        batches = ((i, row, batch) for i, row in read_rows for batch in [*row.batches(predictor.batch_size)] or [[]])
        if count == 1:
            for i, row, batch in batches:
                yield PredictedWindows(i, batch, _probabilities(predictor, row, batch))
            return
        with (
            _divided_threads(count) as threads,
            ThreadPoolExecutor(count, initializer=_use, initargs=(threads,)) as passes,
        ):
            coming: deque[tuple[int, list[int], Future[Tensor | None]]] = deque()
            try:
                for i, row, batch in batches:
                    coming.append((i, batch, passes.submit(_probabilities, predictor, row, batch)))
                    if len(coming) > count:  # one more than there are threads, so that none waits for the blending
                        yield _first(coming)
                while coming:
                    yield _first(coming)
            finally:  # after an error or Ctrl-C nobody waits for the rest
                for _, _, probabilities in coming:
                    probabilities.cancel()


def _first(coming: deque[tuple[int, list[int], Future[Tensor | None]]]) -> PredictedWindows:
    i, batch, probabilities = coming.popleft()
    return PredictedWindows(i, batch, probabilities.result())


def _read_ahead(
    windows: WindowGrid, rows: Sequence[int], reader: ThreadPoolExecutor
) -> Iterator[tuple[int, WindowRow]]:
    """Read rows of windows, each while the one before is used."""
    run = copy_context().run
    coming = reader.submit(run, windows.row, rows[0])
    for i, following in zip(rows, [*rows[1:], None], strict=True):
        row = coming.result()
        if following is not None:
            coming = reader.submit(run, windows.row, following)
        yield i, row


def _probabilities(predictor: Predictor, row: WindowRow, batch: list[int]) -> Tensor | None:
    if not batch:
        return None
    return predictor.uncalibrated_probabilities_of(predictor.standardise(*row.pixels(batch)))


@contextmanager
def _divided_threads(count: int) -> Iterator[int]:
    """Divide torch's threads by ``count`` for a while, in this thread and in those that begin meanwhile; yields the number."""
    before = torch.get_num_threads()
    threads = -(-before // count)
    torch.set_num_threads(threads)
    try:
        yield threads
    finally:
        torch.set_num_threads(before)


def _use(threads: int) -> None:
    torch.get_num_threads()  # torch sets up the thread, which would undo the next line at the first operation
    torch.set_num_threads(threads)
