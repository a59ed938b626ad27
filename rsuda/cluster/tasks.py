"""Work of minutes or hours spread over a Dask cluster, each piece in a process of its own on the worker it falls to."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from rsuda.cluster.child_process import UnwantedError, ask
from rsuda.cluster.client import Threads, slots, threads_of
from rsuda.core.errors import MissingError, RsudaError

Piece = TypeVar("Piece")
_LOOK = 5.0  # seconds between looks at whether more workers have come


def spread(
    client: Any, work: Callable[..., Any], pieces: Sequence[Piece], threads: int | None, *given: Any
) -> Iterator[tuple[Piece, Any]]:
    """Call ``work(piece, *given, threads)`` for each piece on some worker; yields pieces as they end, with what was returned
    or the RsudaError that was raised.

    A worker that dies has its piece done again by another one, so ``work`` is to go on from what it finds. When the caller
    stops asking, or dies, the processes that work for it end.

    Args:
        threads: CPU threads of each piece; by default a machine's cores, shared by what may run on it at once.

    Raises:
        RuntimeError: what else was wrong on a worker, with its traceback.
        MissingError: the scheduler has gone.
    """
    from distributed import wait

    waiting = list(pieces)
    running: dict[Any, Piece] = {}
    try:
        while waiting or running:
            share = threads_of(client, threads)
            while waiting and len(running) < slots(client):
                piece = waiting.pop(0)
                asked = pickle.dumps((work, piece, *given))
                running[client.submit(_done, asked, os.getcwd(), share, pure=False)] = piece
            try:
                ended = wait(list(running), timeout=_LOOK, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                continue
            for future in ended:
                yield running.pop(future), _result(future)
    except (CancelledError, OSError):
        if client.status == "running":
            raise
        raise MissingError(
            "the Dask scheduler, or the way to it, has gone: run again when it is back, and what was begun goes on"
        ) from None
    finally:
        if client.status == "running":
            client.cancel(list(running))


def on_each(client: Any, work: Callable[..., Any], *given: Any) -> list[Any]:
    """Call ``work(*given, threads)`` on each worker that is there; what was returned or the RsudaError, in their order."""
    asked, share = pickle.dumps((work, *given)), threads_of(client, 1)
    running = [client.submit(_done, asked, os.getcwd(), share, workers=[w], pure=False) for w in client.ncores()]
    return [_result(future) for future in running]


def _done(asked: bytes, folder: str, share: Threads) -> Any:
    """On a worker."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def wanted() -> bool:
        """Dask cannot stop a task that runs, but marks it as cancelled; a worker that leaves does not wait for it."""
        task = worker.state.tasks.get(key)
        return task is not None and task.state == "executing" and worker.status.name not in ("closing", "closed")

    try:
        return ask(asked, folder, share.here(), wanted)
    except RsudaError as error:
        return error
    except UnwantedError:
        return None


def _result(future: Any) -> Any:
    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        return MissingError(
            "several workers died one after another at it (out of memory?): give them more memory; run again, and it goes on "
            f"from its checkpoint; last worker {error.last_worker.address}"
        )
