"""Runs of a benchmark on the workers of a Dask cluster, which share its folder and the data with the machine that asks."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from rsuda.benchmark.run import RESULT, BenchmarkRun, run_job
from rsuda.cluster.client import connected
from rsuda.cluster.tasks import on_each, spread
from rsuda.core.atomic import make_folder
from rsuda.core.errors import InputError, MissingError, RsudaError
from rsuda.core.settings import Settings
from rsuda.data.find_domain import find_domains

_APPEARS = 60.0  # seconds that a file system may take to show what another machine has written


def spread_jobs(
    jobs: list[BenchmarkRun], device: str, scheduler: str, workers: int, threads: int | None
) -> Iterator[tuple[BenchmarkRun, dict[str, Any] | str]]:
    """Run jobs, one a thread of a worker at a time, each in a process of its own; yields each with its result, or with the
    sentence that says why it has none. The run of a worker that dies goes on from its checkpoint on another one.

    Raises:
        InputError, MissingError: no such cluster; before anything runs, workers that do not see the folder or the data.
    """
    if scheduler == "local":
        threads = threads or max(1, torch.get_num_threads() // max(1, workers))
    with connected(scheduler, workers) as client, _marked(jobs[0].folder.parents[2]) as mark:
        if scheduler != "local":  # of workers that come later, each run looks for itself
            for found in on_each(client, look_around, mark, one_a_pair(jobs)):
                if found is not None:
                    raise found
        for job, found in spread(client, run_there, jobs, threads, device, mark):
            if not isinstance(found, RsudaError) and not _appeared(job):
                found = MissingError(f"a worker has finished it, but {job.folder / RESULT} is not to be seen here")
            yield job, str(found) if isinstance(found, RsudaError) else found


def one_a_pair(jobs: list[BenchmarkRun]) -> list[Settings]:
    """Settings of one job of each pair of domains."""
    return list({(j.settings.source, j.settings.target, j.settings.data): j.settings for j in jobs}.values())


@contextmanager
def _marked(folder: Path) -> Iterator[Path]:
    """A file that no folder but this one has, for workers to see that theirs is the same."""
    make_folder(folder)
    mark = folder / f".cluster-{uuid.uuid4().hex}"
    mark.touch()
    try:
        yield mark
    finally:
        mark.unlink(missing_ok=True)


def look_around(mark: Path, pairs: list[Settings], threads: int) -> None:
    """On a worker: raises InputError if it does not share the folder of the runs, or cannot read the data."""
    here = f"the worker on {os.uname().nodename}"
    if not mark.is_file():
        raise InputError(
            f"{here} does not see the folder {mark.parent} of this machine: put the runs (--out) where all machines of the "
            "cluster see them under the same path"
        )
    if not os.access(mark.parent, os.W_OK):
        raise InputError(f"{here} may not write to {mark.parent}, where the runs are to lie")
    for s in pairs:
        try:
            find_domains(s)
        except RsudaError as error:
            raise InputError(
                f"{here} cannot read the data, which must lie under the same path on all machines of the cluster: {error}"
            ) from error


def run_there(job: BenchmarkRun, device: str, mark: Path, threads: int) -> dict[str, Any]:
    """On a worker, in a process of its own."""
    look_around(mark, [job.settings], threads)
    return run_job(job, device, threads)


def _appeared(job: BenchmarkRun) -> bool:
    """Whether a result is there. A network's file system remembers for a while that a file was not."""
    until = time.monotonic() + _APPEARS
    while not job.done and time.monotonic() < until:
        os.listdir(job.folder if job.folder.is_dir() else job.folder.parents[2])  # makes it ask again
        time.sleep(0.5)
    return job.done
