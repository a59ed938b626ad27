"""rsuda benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsuda.cli.app import app, log
from rsuda.cli.options import Scheduler, Threads, Workers
from rsuda.core.errors import InputError

if TYPE_CHECKING:
    from rsuda.benchmark.job import BenchmarkRun


@app.command()
def benchmark(
    file: Annotated[Path, typer.Argument(help="Benchmark file: pairs, methods, seeds.")],
    data: Annotated[Path | None, typer.Option(envvar="RSUDA_DATA", help="Folder of the data of all pairs.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for runs and table; runs/<name of the file> by default.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Encoder weights: imagenet, packaged, none or a file.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of every run, instead of the file's.")] = None,
    device: Annotated[
        list[str] | None, typer.Option(help="auto, cpu or cuda:N; repeat it to run one process on each.")
    ] = None,
    scheduler: Scheduler = None,
    workers: Workers = 2,
    threads: Threads = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file and list the runs; run nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: the runs as JSON, for scripts.")] = False,
) -> None:
    """Run methods x seeds x pairs, run by run; finished runs are kept. Writes table.md, table.csv and table.png."""
    import json

    from rsuda.benchmark.benchmark import benchmark as run_benchmark

    log()
    if as_json and not dry_run:
        raise InputError("--json lists the runs of a --dry-run; the table is written as table.csv")
    plan = run_benchmark(file, out, data=data, weights=weights, steps=steps, dry_run=True).plan
    waiting = [job for job in plan.jobs if not job.done]
    if as_json:
        print(json.dumps([_fields(job) for job in plan.jobs]))
        return
    print(f"{plan.name}: {len(plan.jobs)} runs, {len(plan.jobs) - len(waiting)} of them done")
    if dry_run:
        for job in waiting:
            how = job.settings
            print(f"  {job.pair} / {job.method} / seed {job.seed}: {how.method.name}, {how.training.steps} steps")
        return
    count = 0

    def show(job: BenchmarkRun, result: dict[str, Any] | str) -> None:
        nonlocal count
        count += 1
        what = f"[{count} of {len(waiting)}] {job.pair} / {job.method} / seed {job.seed}"
        if isinstance(result, str):
            print(f"{what}: failed: {result}", flush=True)
        else:
            seconds = result["seconds_per_step"]
            speed = "" if seconds is None else f", {seconds} s a step"
            print(f"{what}: mIoU {100 * result['miou']:.2f}{speed}", flush=True)

    outcome = run_benchmark(
        file,
        out,
        data=data,
        weights=weights,
        steps=steps,
        devices=device or ["auto"],
        scheduler=scheduler,
        workers=workers,
        threads=threads,
        on_run=show,
    )
    table, *_ = outcome.tables
    print(f"\n{table.read_text(encoding='utf-8')}\nTable: {table}, also as .csv and .png")
    if outcome.failed:
        raise InputError(f"{len(outcome.failed)} of {len(waiting)} runs failed; the sentences above say why")


def _fields(job: BenchmarkRun) -> dict[str, Any]:
    return {
        "pair": job.pair,
        "row": job.method,
        "seed": job.seed,
        "method": job.settings.method.name,
        "steps": job.settings.training.steps,
        "folder": str(job.folder),
        "done": job.done,
    }
