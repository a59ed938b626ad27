"""Run a benchmark on this machine: one process for each device, which does one run after the other."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import torch

from rsuda.benchmark.job import BenchmarkRun
from rsuda.benchmark.run import run_job
from rsuda.core.display import quoted
from rsuda.core.errors import RsudaError

logger = logging.getLogger("rsuda")

_SPAWN = multiprocessing.get_context("spawn")
_KILLED = "its process was killed (out of memory?): run again, finished runs are not repeated"
Result = dict[str, Any] | str  # fields of result.json, or the sentence that says why there are none


def run_here(
    jobs: Sequence[BenchmarkRun], devices: Sequence[str], threads: int | None
) -> Iterator[tuple[BenchmarkRun, Result]]:
    """Run jobs, as many at a time as there are devices. Yields each as it ends, with its result or its error sentence.

    A run that fails, or whose process dies, does not stop the others. When the caller stops iterating, the processes end;
    their runs continue from their checkpoints another time.

    Args:
        devices: a process for each; two entries 'cuda:0' are two processes on one GPU.
        threads: CPU threads of each run; by default this machine's, shared by the devices.
    """
    threads = threads or max(1, torch.get_num_threads() // len(devices))
    waiting: SimpleQueue[BenchmarkRun] = SimpleQueue()
    results: SimpleQueue[tuple[BenchmarkRun, Result]] = SimpleQueue()
    for job in jobs:
        waiting.put(job)
    workers = [_Worker(waiting, results, device, threads) for device in devices[: len(jobs)]]
    for worker in workers:
        worker.start()
    try:
        for _ in jobs:
            yield results.get()
    finally:
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.join()


class _Worker(Thread):
    """A thread that lets a process of its own do the waiting jobs on one device."""

    def __init__(self, waiting: SimpleQueue[Any], ended: SimpleQueue[Any], device: str, threads: int) -> None:
        super().__init__(daemon=True)
        self.waiting, self.ended, self.device, self.threads = waiting, ended, device, threads
        self.process: multiprocessing.process.BaseProcess | None = None
        self.stopped = False

    def run(self) -> None:
        while not self.stopped:
            try:
                job = self.waiting.get_nowait()
            except Empty:
                return
            self.ended.put((job, self._do(job)))

    def stop(self) -> None:
        """Kill the process, and start none any more."""
        self.stopped = True
        self._kill()

    def _do(self, job: BenchmarkRun) -> Result:
        try:
            if self.process is None:
                self._start_process()
            self.connection.send((job, self.device, self.threads))
            answer = self.connection.recv()
        except (EOFError, OSError):  # the process died, or there is no memory to start it
            self._kill()
            return _KILLED
        if isinstance(answer, _Bug):
            self._kill()  # a bug may have spoilt the process, such as the state of its GPU
            logger.error("%s failed:\n%s", job.folder, answer.traceback)
            return answer.sentence
        result: Result = answer
        return result

    def _start_process(self) -> None:
        self.connection, other = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_serve, args=(other,))
        self.process.start()
        other.close()  # so that its end closes the connection
        if self.stopped:
            self._kill()

    def _kill(self) -> None:
        process, self.process = self.process, None
        if process is not None and process.pid is not None:
            process.kill()
            process.join()


@dataclass(frozen=True)
class _Bug:
    """Sentence and traceback of a process for a failure that no rsuda error explains."""

    sentence: str
    traceback: str


def _serve(connection: Connection) -> None:
    """Do the jobs that the connection brings, until the process that started this one ends it or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches this process too, but its parent decides
    Thread(target=_end_with_parent, daemon=True).start()
    while True:
        connection.send(_answer(*connection.recv()))


def _answer(job: BenchmarkRun, device: str, threads: int) -> Result | _Bug:
    try:
        return run_job(job, device, threads)
    except RsudaError as error:
        return str(error)
    except Exception as error:
        return _Bug(f"{type(error).__name__}: {quoted(error)}", traceback.format_exc())


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
