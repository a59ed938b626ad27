"""rsuda adapt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rsuda.cli import run_options as run
from rsuda.cli.app import app, log


@app.command()
def adapt(
    source: run.Source = None,
    target: run.Target = None,
    method: run.Method = None,
    data: run.Data = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run folder; runs/<pair>_<method> by default.")
    ] = None,
    start: run.Start = None,
    config: run.Config = None,
    preset: run.Preset = None,
    steps: run.Steps = None,
    batch_size: run.BatchSize = None,
    accumulate: run.Accumulate = None,
    window: run.Window = None,
    crop: run.HiddenCrop = None,
    gsd: run.GSD = None,
    source_bands: run.SourceBands = None,
    target_bands: run.TargetBands = None,
    target_nodata: run.TargetNodata = None,
    weights: run.Weights = None,
    seed: run.Seed = None,
    precision: run.Precision = None,
    device: run.Device = None,
    devices: run.Devices = None,
    nodes: run.Nodes = None,
    strategy: run.Strategy = None,
    workers: run.Workers = None,
    score_every: run.ScoreEvery = None,
    bank: run.Bank = None,
    option: run.Set = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing run.")] = False,
    resume: Annotated[bool, typer.Option(help="Go on with the run in --out (or the newest checkpoint).")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with one line of JSON: run, scores.")] = False,
) -> None:
    """Train on a labelled source and an unlabelled target, and leave a run folder."""
    import json

    from rsuda import api
    from rsuda.cli.terminal import print_label_free, print_scores
    from rsuda.core.settings import parse_option

    log()

    def tell(text: str) -> None:
        print(text, file=sys.stderr if as_json else sys.stdout, flush=True)

    finished = api.adapt(
        source,
        target,
        method=method,
        data=data,
        out=out,
        preset=preset,
        config=config,
        start=start,
        steps=steps,
        batch_size=batch_size,
        accumulate=accumulate,
        window=crop if window is None else window,
        gsd=gsd,
        source_bands=source_bands,
        target_bands=target_bands,
        target_nodata=target_nodata,
        weights=weights,
        seed=seed,
        precision=precision,
        device=device,
        devices=devices,
        nodes=nodes,
        strategy=strategy,
        workers=workers,
        score_every=score_every,
        bank=bank,
        settings=dict(parse_option(text) for text in option or []),
        overwrite=overwrite,
        resume=resume,
        progress=not quiet and sys.stderr.isatty(),
        tell=tell,
    )
    if as_json:
        print(json.dumps(finished.as_fields()))
        return
    print_label_free(finished.label_free, finished.path)
    if finished.scores:
        print_scores(finished.scores, finished.path)
    print(f"Next: rsuda predict SCENE.tif --model {finished.path}")
