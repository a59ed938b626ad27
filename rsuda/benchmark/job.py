"""A benchmark run as files: the question in ``settings.yaml`` and ``job.json``, and in the end the answer, ``result.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rsuda.core.atomic import atomic_write
from rsuda.core.documents import read_json
from rsuda.core.errors import InputError
from rsuda.core.settings import Settings, dump, make_settings

RESULT, SETTINGS, JOB = "result.json", "settings.yaml", "job.json"


@dataclass(frozen=True)
class BenchmarkRun:
    """One run of a benchmark."""

    pair: str
    method: str
    seed: int
    settings: Settings
    folder: Path

    @property
    def done(self) -> bool:
        return (self.folder / RESULT).is_file()


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
