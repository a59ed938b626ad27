"""Run a benchmark on this machine: one process for each device, which does one run after the other."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import torch

from rsuda.benchmark.run import BenchmarkRun, run_job
from rsuda.core.errors import RsudaError

logger = logging.getLogger("rsuda")


def run_here(
    jobs: Sequence[BenchmarkRun], devices: Sequence[str], threads: int | None
) -> Iterator[tuple[BenchmarkRun, dict[str, Any] | str]]:
    """Run jobs, as many at a time as there are devices. Yields each as it ends, with its result or its error sentence.

    A run that fails, or whose process dies, does not stop the others.

    Args:
        devices: a process for each; two entries 'cuda:0' are two processes on one GPU.
        threads: CPU threads of each run; by default this machine's, shared by the devices.
    """
    threads = threads or max(1, torch.get_num_threads() // len(devices))
    waiting: SimpleQueue[BenchmarkRun] = SimpleQueue()
    ended: SimpleQueue[tuple[BenchmarkRun, dict[str, Any] | BaseException]] = SimpleQueue()
    for job in jobs:
        waiting.put(job)
    each = [Thread(target=_work, args=(waiting, ended, device, threads)) for device in devices[: len(jobs)]]
    for thread in each:
        thread.start()
    try:
        for _ in jobs:
            job, result = ended.get()
            if isinstance(result, BaseException):
                yield job, _sentence(job, result)
            else:
                yield job, result
    finally:  # after Ctrl-C, or where the caller stops: runs that wait must not start
        _empty(waiting)
        for thread in each:
            thread.join()


def _work(waiting: SimpleQueue[Any], ended: SimpleQueue[Any], device: str, threads: int) -> None:
    """Do waiting jobs in a process of their own until none is left. A failure that may have spoilt it ends the process."""
    pool = _process()
    try:
        while True:
            job = waiting.get_nowait()
            try:
                ended.put((job, pool.submit(run_job, job, device, threads).result()))
            except RsudaError as error:
                ended.put((job, error))
            except BaseException as error:
                pool.shutdown()
                pool = _process()
                ended.put((job, error))
    except Empty:
        pool.shutdown()


def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    """End this process when the one that started it dies."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _empty(waiting: SimpleQueue[Any]) -> None:
    while not waiting.empty():
        try:
            waiting.get_nowait()
        except Empty:
            return


def _sentence(job: BenchmarkRun, error: BaseException) -> str:
    """Return why a run has no result. Raises what is no failure of this run, such as Ctrl-C."""
    if isinstance(error, RsudaError):
        return str(error)
    if isinstance(error, BrokenProcessPool):
        return "its process was killed (out of memory?): run again, finished runs are not repeated"
    if not isinstance(error, Exception):
        raise error
    logger.error("%s failed", job.folder, exc_info=error)
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
