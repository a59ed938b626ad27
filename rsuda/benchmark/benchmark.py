"""Run a benchmark file and write its table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rsuda.benchmark.job import BenchmarkRun
    from rsuda.benchmark.plan import Plan


@dataclass(frozen=True)
class Benchmark:
    """The outcome of a benchmark.

    Attributes:
        plan: pairs, methods and runs of the file.
        tables: table.md, table.csv and table.png; none after a dry run.
        failed: runs without a result, by the sentence that says why.
    """

    plan: Plan
    tables: tuple[Path, ...] = ()
    failed: tuple[tuple[BenchmarkRun, str], ...] = ()


def benchmark(
    file: str | Path,
    out: str | Path | None = None,
    *,
    data: str | Path | None = None,
    weights: str | Path | None = None,
    steps: int | None = None,
    settings: Mapping[str, Any] | None = None,
    devices: Sequence[str] = ("auto",),
    scheduler: str | None = None,
    workers: int = 2,
    threads: int | None = None,
    dry_run: bool = False,
    on_run: Callable[[BenchmarkRun, dict[str, Any] | str], None] | None = None,
) -> Benchmark:
    """Run methods x seeds x pairs of a file, run by run, and write table.md, table.csv and table.png.

    Finished runs are not repeated, and interrupted runs continue from their checkpoint.

    Args:
        file: benchmark file (YAML); see ``read_plan``.
        out: folder for runs and tables; runs/<name of the file> by default.
        data: folder of the data of all pairs.
        weights: of the encoder: 'imagenet', 'packaged', 'none' or a file.
        steps: steps of every run, instead of the file's.
        settings: other settings for every run, by their dotted names.
        devices: one process runs on each of them at a time.
        scheduler, workers, threads: spread the runs over a Dask cluster; see ``run_plan``.
        dry_run: check the file and list the runs; run nothing.
        on_run: called with each run that ends and its result, or the sentence that says why it has none.

    Raises:
        InputError, MissingError: an invalid file, or settings that cannot run; before anything runs.
    """
    from rsuda.benchmark.plan import read_plan, run_plan
    from rsuda.benchmark.table import write_table

    folder = Path(out).expanduser() if out is not None else Path("runs") / Path(file).stem
    common = {"data": data, "network.weights": weights, "training.steps": steps}
    changes = {name: value for name, value in common.items() if value is not None} | dict(settings or {})
    plan = read_plan(file, folder, changes)
    if dry_run:
        return Benchmark(plan)
    failures = []
    for job, result in run_plan(plan, list(devices), scheduler, workers, threads):
        if isinstance(result, str):
            failures.append((job, result))
        if on_run is not None:
            on_run(job, result)
        write_table(plan, folder)
    return Benchmark(plan, tuple(write_table(plan, folder)), tuple(failures))
