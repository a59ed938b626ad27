"""rsuda export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsuda.cli.app import app, log


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    format: Annotated[
        str, typer.Option(help="onnx (QGIS, onnxruntime), torch-export, or stac (an item that describes the run).")
    ] = "onnx",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File; model.onnx, model.pt2 or stac.json in the run by default.")
    ] = None,
    window: Annotated[int, typer.Option(help="Pixels per side of the network's input, a multiple of 32.")] = 512,
    overlap: Annotated[int, typer.Option(help="Pixels that Deepness in QGIS is told to overlap windows by.")] = 128,
    output: Annotated[
        str | None,
        typer.Option(help="probabilities (default of onnx: Deepness wants them) or logits (of torch-export)."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="What was written as JSON, for scripts.")] = False,
) -> None:
    """Write a run's network for other programs, checked against the original, or describe it as a STAC item."""
    import json

    from rsuda.export.export import export as write

    log()
    done = write(run, format, out, window, overlap, output, overwrite)
    if as_json:
        print(json.dumps(done.as_fields()))
    elif done.difference is None:
        print(f"wrote {done.file}")
    else:
        print(
            f"wrote {done.file}: {done.output} of windows of {done.window} px; its logits differ from the network's by "
            f"at most {done.difference:.1e}"
        )
