"""Run long tasks on a Dask cluster, each as a command in its own process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from rsuda.cluster.client import Threads, slots, threads_of
from rsuda.cluster.command import UnwantedError, run_command
from rsuda.core.errors import MissingError, RsudaError

Task = TypeVar("Task")
_POLL = 5.0  # seconds between two checks for more workers


def run_tasks(
    client: Any, command: Callable[[Task], list[str]], tasks: Sequence[Task], threads: int | None
) -> Iterator[tuple[Task, RsudaError | None]]:
    """Run the command of each task on some worker. Yields tasks as they end, each with its error or None.

    When a worker dies, another one runs its command again, so a command should continue from the files it finds. When the
    caller stops iterating or dies, its processes end.

    Args:
        client: a Dask client.
        command: a module's name and its arguments for a task, see ``run_command``.
        threads: CPU threads of each task; by default a machine's cores, shared by the tasks that run on it at once.

    Raises:
        RuntimeError: a bug in a command, with its traceback.
        MissingError: the connection to the scheduler is lost.
    """
    from distributed import wait

    waiting = list(tasks)
    running: dict[Any, Task] = {}
    try:
        while waiting or running:
            share = threads_of(client, threads)
            while waiting and len(running) < slots(client):
                task = waiting.pop(0)
                running[client.submit(_run, command(task), os.getcwd(), share, pure=False)] = task
            try:
                futures = wait(list(running), timeout=_POLL, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                continue
            for future in futures:
                yield running.pop(future), _result(future)
    except (CancelledError, OSError):
        if client.status == "running":
            raise
        raise MissingError(
            "lost the connection to the Dask scheduler: run the same command again when it is back, and unfinished runs "
            "continue"
        ) from None
    finally:
        if client.status == "running":
            client.cancel(list(running))


def run_on_each(client: Any, words: list[str]) -> list[RsudaError | None]:
    """Run one command on each present worker; returns their errors, or None, in the workers' order."""
    share = threads_of(client, 1)
    running = [client.submit(_run, words, os.getcwd(), share, workers=[name], pure=False) for name in client.ncores()]
    return [_result(future) for future in running]


def _run(words: list[str], folder: str, share: Threads) -> RsudaError | None:
    """Run a command on a worker while Dask needs it. Returns its error, or None."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def is_needed() -> bool:
        """Return whether the task is neither cancelled nor left by a closing worker; Dask itself cannot stop a task."""
        task = worker.state.tasks.get(key)
        return task is not None and task.state == "executing" and worker.status.name not in ("closing", "closed")

    try:
        run_command(words, folder, share.of_task(), is_needed)
    except RsudaError as error:
        return error
    except UnwantedError:
        pass
    return None


def _result(future: Any) -> RsudaError | None:
    from distributed import KilledWorker

    try:
        error: RsudaError | None = future.result()
    except KilledWorker as killed:
        return MissingError(
            f"several workers died one after another (out of memory?), the last at {killed.last_worker.address}: give them "
            "more memory and run again; it continues from its checkpoint"
        )
    return error
