"""rsuda calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsuda.cli import completion
from rsuda.cli.app import app, log
from rsuda.cli.options import Overlap, Run, Threads, Window


@app.command()
def calibrate(
    run: Run,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Domain with labelled windows or scenes, or a vector file of points with a class.",
            autocompletion=completion.domains,
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Labelled split of the domain.")] = "train",
    scene: Annotated[list[str] | None, typer.Option(help="Raster that the points lie on; may be repeated.")] = None,
    attribute: Annotated[
        str | None,
        typer.Option(help="Column of the points that holds the class; reference, class or name by default."),
    ] = None,
    by_class: Annotated[
        bool,
        typer.Option("--by-class/--no-by-class", help="Fit a temperature of its own to each class with enough labels."),
    ] = True,
    scaling: Annotated[
        str,
        typer.Option(
            help="temperature, vector (a temperature and a bias for each class), or auto: the better on other scenes."
        ),
    ] = "temperature",
    from_source: Annotated[
        bool,
        typer.Option(
            "--from-source", help="Fit to the source's labels instead; wrong where the target looks different."
        ),
    ] = False,
    data: Annotated[
        Path | None, typer.Option(envvar="RSUDA_DATA", help="Folder of the data; the run's by default.")
    ] = None,
    bands: Annotated[str | None, typer.Option(help="Band order of the domain or the scenes.")] = None,
    window: Window = 512,
    overlap: Overlap = 128,
    precision: Annotated[str | None, typer.Option(help="auto, bf16 or fp32; the run's own by default.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    threads: Threads = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier calibration.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")] = False,
) -> None:
    """Make the confidence of a run honest: fit a temperature to a few labels and write it into the run.

    Under a temperature maps keep their classes and their confidence changes; a vector scaling may change classes too.
    """
    import json

    from rsuda.cli.terminal import print_calibration
    from rsuda.evaluation.calibrate import calibrate as fit
    from rsuda.learning.device import use_threads

    log()
    use_threads(threads)
    result = fit(
        run,
        labels,
        split,
        scaling=scaling,
        from_source=from_source,
        scene=scene or (),
        attribute=attribute,
        by_class=by_class,
        data=data,
        bands=bands,
        overwrite=overwrite,
        window=window,
        overlap=overlap,
        precision=precision,
        device=device,
    )
    if as_json:
        print(json.dumps(result.as_fields()))
    else:
        print_calibration(result)
