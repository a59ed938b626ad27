"""rsuda benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsuda.cli.app import app, log
from rsuda.cli.options import Scheduler, Threads, Workers
from rsuda.core.errors import InputError


@app.command()
def benchmark(
    file: Annotated[Path, typer.Argument(help="Benchmark file: pairs, methods, seeds.")],
    data: Annotated[Path | None, typer.Option(envvar="RSUDA_DATA", help="Folder of the data of all pairs.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for runs and table; runs/<name of the file> by default.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Encoder weights: imagenet, none or a file.")] = None,
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

    from rsuda.benchmark.plan import read_plan, run_plan
    from rsuda.benchmark.table import write_table

    log()
    if as_json and not dry_run:
        raise InputError("--json lists the runs of a --dry-run; the table is written as table.csv")
    folder = out or Path("runs") / file.stem
    changes = {"data": data, "network.weights": weights, "training.steps": steps}
    plan = read_plan(file, folder, {name: value for name, value in changes.items() if value is not None})
    waiting = [j for j in plan.jobs if not j.done]
    if as_json:
        print(json.dumps([
            {"pair": j.pair, "row": j.method, "seed": j.seed, "method": j.settings.method.name,
             "steps": j.settings.training.steps, "folder": str(j.folder), "done": j.done} for j in plan.jobs
        ]))  # fmt: skip
        return
    print(f"{plan.name}: {len(plan.jobs)} runs, {len(plan.jobs) - len(waiting)} of them done")
    if dry_run:
        for job in waiting:
            print(
                f"  {job.pair} / {job.method} / seed {job.seed}: {job.settings.method.name}, {job.settings.training.steps} steps"
            )
        return
    failed = 0
    for ended, (job, found) in enumerate(run_plan(plan, device or ["auto"], scheduler, workers, threads), 1):
        what = f"[{ended} of {len(waiting)}] {job.pair} / {job.method} / seed {job.seed}"
        if isinstance(found, str):
            failed += 1
            print(f"{what}: failed: {found}", flush=True)
        else:
            print(f"{what}: mIoU {100 * found['miou']:.2f}, {found['seconds_per_step']} s a step", flush=True)
        write_table(plan, folder)
    table, *_ = write_table(plan, folder)
    print(f"\n{table.read_text()}\nTable: {table}, also as .csv and .png")
    if failed:
        raise InputError(f"{failed} of {len(waiting)} runs failed; the sentences above say why")
