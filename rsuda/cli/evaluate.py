"""rsuda evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsuda.cli import completion
from rsuda.cli.app import app, log
from rsuda.cli.options import Overlap, Run, Threads, Window


@app.command()
def evaluate(
    run: Run,
    domain: Annotated[
        str | None,
        typer.Option(help="Domain to score on; the run's target by default.", autocompletion=completion.domains),
    ] = None,
    split: Annotated[str, typer.Option(help="Labelled split.")] = "val",
    protocol: Annotated[
        str, typer.Option(help="scenes (each pixel once) or st-dasegnet (the paper's 512-px tiles).")
    ] = "scenes",
    data: Annotated[
        Path | None, typer.Option(envvar="RSUDA_DATA", help="Folder of the data; the run's by default.")
    ] = None,
    bands: Annotated[str | None, typer.Option(help="Band order to use where the domain has several.")] = None,
    window: Window = 512,
    overlap: Overlap = 128,
    precision: Annotated[str | None, typer.Option(help="auto, bf16 or fp32; the run's own by default.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    threads: Threads = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace scores that differ.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")] = False,
) -> None:
    """Score a run: per-class IoU, precision, recall, F1, their means, accuracy, kappa, confusion matrix."""
    import json

    from rsuda import api
    from rsuda.cli.terminal import print_scores
    from rsuda.core.hub import run_folder
    from rsuda.learning.device import use_threads

    log()
    use_threads(threads)
    folder = run_folder(run)
    scores = api.evaluate(
        folder,
        domain,
        split,
        protocol,
        data=data,
        bands=bands,
        device=device,
        precision=precision,
        window=window,
        overlap=overlap,
        overwrite=overwrite,
    )
    if as_json:
        print(json.dumps(scores.as_fields()))
    else:
        print_scores(scores, folder)
