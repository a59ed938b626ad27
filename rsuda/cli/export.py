"""rsuda export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsuda.cli.app import app, log
from rsuda.cli.options import Run, Threads


@app.command()
def export(
    run: Run,
    format: Annotated[
        str, typer.Option(help="onnx (QGIS, onnxruntime), torch-export, or stac (an item that describes the run).")
    ] = "onnx",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File; model.onnx, model.pt2 or stac.json in the run by default.")
    ] = None,
    window: Annotated[int, typer.Option(help="Pixels per side of the model's input, a multiple of 32.")] = 512,
    overlap: Annotated[int, typer.Option(help="Pixels by which Deepness in QGIS overlaps windows.")] = 128,
    output: Annotated[
        str | None,
        typer.Option(
            help="probabilities (default of onnx, as Deepness reads them) or logits (default of torch-export)."
        ),
    ] = None,
    int8: Annotated[
        str | None,
        typer.Option(
            metavar="DOMAIN",
            help="Write ONNX in 8-bit integers, calibrated on imagery like yours: a folder, raster or domain file.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="RSUDA_DATA", help="Folder of the imagery of --int8 if that is a known domain or domain file."
        ),
    ] = None,
    bands: Annotated[str | None, typer.Option(help="Band order of the imagery of --int8.")] = None,
    gsd: Annotated[
        float | None, typer.Option(help="Metres per pixel of rasters of --int8 without a georeference.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    threads: Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")] = False,
) -> None:
    """Write the model of a run for other programs, checked against the original, or describe it as a STAC item."""
    import json

    from rsuda.export.export import export as write
    from rsuda.learning.device import use_threads

    log()
    use_threads(threads)
    model = write(
        run,
        format,
        out,
        window=window,
        overlap=overlap,
        output=output,
        int8=int8,
        data=data,
        bands=bands,
        gsd=gsd,
        overwrite=overwrite,
    )
    if as_json:
        print(json.dumps(model.as_fields()))
    elif model.difference is None:
        print(f"wrote {model.file}")
    elif model.loss is not None:
        print(f"wrote {model.file}: {model.output} of windows of {model.window} px in 8-bit integers; {model.loss}")
    else:
        print(
            f"wrote {model.file}: {model.output} of windows of {model.window} px; its logits differ from the "
            f"model's by at most {model.difference:.1e}"
        )
