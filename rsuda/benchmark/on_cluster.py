"""Run a benchmark on the workers of a Dask cluster, which share its folder and data with this machine."""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from rsuda.benchmark.job import RESULT, BenchmarkRun, write_job
from rsuda.cluster.client import connect
from rsuda.cluster.tasks import run_on_each, run_tasks
from rsuda.core.atomic import make_folder
from rsuda.core.errors import MissingError
from rsuda.core.settings import Settings, dump

_APPEARS = 60.0  # seconds that a file system may take to show what another machine has written


def spread_jobs(
    jobs: list[BenchmarkRun], device: str, scheduler: str, workers: int, threads: int | None
) -> Iterator[tuple[BenchmarkRun, dict[str, Any] | str]]:
    """Run jobs on the workers, one at a time on each of their threads. Yields each job with its result or its error sentence.

    The run of a worker that dies continues from its checkpoint on another one.

    Raises:
        InputError: before anything runs, a worker does not see the folder or the data; or Dask is missing.
        MissingError: the cluster is missing, or the connection to it is lost.
    """
    if scheduler == "local":
        threads = threads or max(1, torch.get_num_threads() // max(1, workers))
    with connect(scheduler, workers) as client, _shared(jobs) as folder:
        if scheduler != "local":  # a worker that joins later is checked by its runs
            for error in run_on_each(client, ["rsuda.benchmark.shared_folder", str(folder)]):
                if error is not None:
                    raise error

        def command(job: BenchmarkRun) -> list[str]:
            write_job(job)
            return ["rsuda.benchmark.run", str(job.folder), "--device", device, "--shared", str(folder)]

        for job, error in run_tasks(client, command, jobs, threads):
            if error is None and not _appeared(job):
                error = MissingError(
                    f"a worker has finished it, but this machine does not see {job.folder / RESULT}: check the shared file "
                    "system"
                )
            yield job, json.loads((job.folder / RESULT).read_text(encoding="utf-8")) if error is None else str(error)


def one_a_pair(jobs: Sequence[BenchmarkRun]) -> list[Settings]:
    """Return the settings of one job of each pair of domains."""
    pairs = {(job.settings.source.names, job.settings.target.name, job.settings.data): job.settings for job in jobs}
    return list(pairs.values())


@contextmanager
def _shared(jobs: Sequence[BenchmarkRun]) -> Iterator[Path]:
    """Make a folder beside the runs, with the settings of each pair, that a worker must see; remove it at the end."""
    runs = jobs[0].folder.parents[2]
    make_folder(runs)
    folder = runs / f".cluster-{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        for i, pair in enumerate(one_a_pair(jobs)):
            (folder / f"{i}.yaml").write_text(dump(pair), encoding="utf-8", newline="\n")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _appeared(job: BenchmarkRun) -> bool:
    """Wait for a result; a network file system remembers for a while that a file was missing."""
    until = time.monotonic() + _APPEARS
    while not job.done and time.monotonic() < until:
        os.listdir(job.folder if job.folder.is_dir() else job.folder.parents[2])  # refreshes what the system remembers
        time.sleep(0.5)
    return job.done
