"""rsuda adapt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rsuda.cli import completion
from rsuda.cli.app import app, log


@app.command()
def adapt(
    source: Annotated[
        str | None,
        typer.Option(help="Labelled domain: a known name or a domain file.", autocompletion=completion.domains),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="Domain to adapt to: name, domain file, folder or glob of rasters.", autocompletion=completion.domains
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="st-dasegnet by default; rsuda methods lists all.", autocompletion=completion.methods),
    ] = None,
    data: Annotated[Path | None, typer.Option(envvar="RSUDA_DATA", help="Folder of the data of both domains.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run folder; runs/<pair>_<method> by default.")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(help="Run folder whose network training starts from; what is not given is as in that run."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of options; flags override it.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="small, paper, mit-b0, mit-b5, resnet50.", autocompletion=completion.presets)
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Patches of each domain in a batch of one process.")] = None,
    accumulate: Annotated[int | None, typer.Option(help="Batches that make one optimiser step.")] = None,
    window: Annotated[
        int | None, typer.Option("--window", "--crop", help="Patch size in pixels, a multiple of 32.")
    ] = None,
    gsd: Annotated[
        str | None, typer.Option(help="Common metres per pixel (the target's by default), or 'native'.")
    ] = None,
    source_bands: Annotated[str | None, typer.Option(help="Band order of the source, e.g. RGB or IRRG.")] = None,
    target_bands: Annotated[str | None, typer.Option(help="Band order of the target.")] = None,
    weights: Annotated[str | None, typer.Option(help="Encoder weights: imagenet, none or a file.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, patches and augmentation.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, bf16 or fp32.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    devices: Annotated[str | None, typer.Option(help="Devices of each machine that train together, or auto.")] = None,
    nodes: Annotated[int | None, typer.Option(help="Machines that train together; each runs this command.")] = None,
    strategy: Annotated[str | None, typer.Option(help="How they train together: ddp.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that read patches, for each that trains.")] = None,
    score_every: Annotated[
        int | None,
        typer.Option(help="Steps after which the target's labelled split is scored, for a curve to look at."),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--set", help="setting=value, such as optimizer.lr=1e-3 or method.NAME=value; may be repeated."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing run.")] = False,
    resume: Annotated[bool, typer.Option(help="Go on with the run in --out (or the newest checkpoint).")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with one line of JSON: run, scores.")] = False,
) -> None:
    """Train on a labelled source and an unlabelled target, and leave a run folder."""
    import json

    from rsuda import api
    from rsuda.cli.terminal import tell_label_free, tell_scores
    from rsuda.core.settings import parse_option

    log()

    def tell(text: str) -> None:
        print(text, file=sys.stderr if as_json else sys.stdout, flush=True)

    run = api.adapt(
        source, target, method=method, data=data, out=out, preset=preset, config=config, start=start, steps=steps,
        batch_size=batch_size, accumulate=accumulate, window=window, gsd=gsd, source_bands=source_bands,
        target_bands=target_bands, weights=weights, seed=seed, precision=precision, device=device, devices=devices,
        nodes=nodes, strategy=strategy, workers=workers, score_every=score_every,
        settings=dict(parse_option(text) for text in option or []), overwrite=overwrite, resume=resume,
        progress=not quiet and sys.stderr.isatty(), tell=tell,
    )  # fmt: skip
    if as_json:
        print(json.dumps(run.as_fields()))
        return
    tell_label_free(run.label_free, run.path)
    if run.scores:
        tell_scores(run.scores, run.path)
    print(f"Next: rsuda predict SCENE.tif --model {run.path}")
