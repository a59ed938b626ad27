"""Run one benchmark run as a command: ``python -m rsuda.benchmark.run FOLDER``.

The folder holds the question, ``settings.yaml`` and ``job.json`` (pair, row, seed), and in the end the answer,
``result.json``. A run that was interrupted continues from its checkpoint.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rsuda.benchmark.run import BenchmarkRun, run_job
from rsuda.cluster.command import ATTACHED, exit_code
from rsuda.core.atomic import atomic_write
from rsuda.core.documents import read_json
from rsuda.core.errors import InputError
from rsuda.core.settings import dump, make_settings

SETTINGS, JOB = "settings.yaml", "job.json"


def write_job(job: BenchmarkRun) -> None:
    """Write the files in a run's folder that the command reads.

    Raises WriteError, ExistsError or MissingError where the folder cannot be written to.
    """
    with atomic_write(job.folder / SETTINGS, overwrite=True) as temporary:
        temporary.write_text(dump(job.settings), encoding="utf-8", newline="\n")
    with atomic_write(job.folder / JOB, overwrite=True) as temporary:
        temporary.write_text(
            json.dumps({"pair": job.pair, "row": job.method, "seed": job.seed}) + "\n", encoding="utf-8", newline="\n"
        )


def read_job(folder: Path) -> BenchmarkRun:
    """Read what ``write_job`` wrote. Raises MissingError or InputError for a folder without a valid job."""
    fields = read_json(folder / JOB, "benchmark job")
    if not isinstance(fields, dict) or {"pair", "row", "seed"} - fields.keys() or not isinstance(fields["seed"], int):
        raise InputError(f"{folder / JOB} is invalid: start the run by rsuda benchmark, which writes it")
    return BenchmarkRun(
        str(fields["pair"]), str(fields["row"]), fields["seed"], make_settings(file=folder / SETTINGS), folder
    )


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser of the options that every command in a process of its own takes."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--threads", type=int, default=1, help="CPU threads.")
    options.add_argument(ATTACHED, action="store_true", help="End when standard input closes.")
    return options


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 2 after one sentence for wrong input.

    Args:
        words: arguments of the command line; those of this process by default.
    """
    options = parser("Train and score one run of a benchmark; writes result.json into its folder.")
    options.add_argument("folder", type=Path, help="Run folder with settings.yaml and job.json.")
    options.add_argument("--device", default="auto", help="auto, cpu or cuda:N.")
    options.add_argument("--shared", type=Path, help="A path that this machine must see, too.")
    values = options.parse_args(words)

    def work() -> None:
        if values.shared is not None:
            from rsuda.benchmark.on_cluster import check_shared

            check_shared(values.shared)
        run_job(read_job(values.folder), values.device, values.threads)

    return exit_code(work, values.attached)
