"""rsuda config."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from rsuda.cli import run_options as run
from rsuda.cli.app import app, log


@app.command()
def config(
    source: run.Source = None,
    target: run.Target = None,
    method: run.Method = None,
    data: run.Data = None,
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
    schema: Annotated[
        bool, typer.Option("--schema", help="The JSON schema of the settings, with the options of the method.")
    ] = False,
) -> None:
    """Print the settings of a run as YAML, as ``rsuda adapt`` with the same options would resolve them; run nothing."""
    import json

    from rsuda import api
    from rsuda.core.settings import dump, parse_option
    from rsuda.training.schema import settings_schema

    log()
    chosen: dict[str, Any] = {
        "method": method,
        "data": data,
        "preset": preset,
        "start": start,
        "steps": steps,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "window": crop if window is None else window,
        "gsd": gsd,
        "source_bands": source_bands,
        "target_bands": target_bands,
        "target_nodata": target_nodata,
        "weights": weights,
        "seed": seed,
        "precision": precision,
        "device": device,
        "devices": devices,
        "nodes": nodes,
        "strategy": strategy,
        "workers": workers,
        "score_every": score_every,
        "bank": bank,
    }
    if schema:
        print(json.dumps(settings_schema(method), indent=2))
        return
    changes = dict(parse_option(text) for text in option or [])
    settings, notes = api.resolve_settings(source, target, config=config, settings=changes, **chosen)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    print(dump(settings), end="")
