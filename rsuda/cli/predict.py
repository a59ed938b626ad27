"""rsuda predict."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rsuda.cli import completion
from rsuda.cli.app import app, log
from rsuda.cli.options import Scheduler, Threads, Workers


@app.command()
def predict(
    scenes: Annotated[
        list[str], typer.Argument(help="Rasters to map: files, or what GDAL can open (https://…, /vsi…).")
    ],
    model: Annotated[
        Path | None, typer.Option(help="Run folder; the newest in runs/ by default.", autocompletion=completion.runs)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the outputs; beside each scene by default.")
    ] = None,
    format: Annotated[
        str, typer.Option(help="Polygons: gpkg, fgb, geojson, parquet or none.", autocompletion=completion.formats)
    ] = "gpkg",
    min_area: Annotated[
        float, typer.Option(help="Square metres; smaller patches of the polygons join a neighbour.")
    ] = 0.0,
    simplify: Annotated[float, typer.Option(help="Metres by which borders are simplified, neighbours' alike.")] = 0.0,
    regularise: Annotated[
        list[str] | None,
        typer.Option(help="Class whose footprints are squared, in a file of their own; may be repeated."),
    ] = None,
    confidence: Annotated[
        bool, typer.Option("--confidence", help="Raster of the class's probability, 0 to 254.")
    ] = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Raster of the probabilities of all classes, 0 to 254.")
    ] = False,
    aoi: Annotated[Path | None, typer.Option(help="File of polygons: predict only what lies in them.")] = None,
    bounds: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(help="LEFT BOTTOM RIGHT TOP in the scene's CRS: predict only this rectangle."),
    ] = None,
    bands: Annotated[
        str | None, typer.Option(help="Band order of the scenes, where the files do not tell, e.g. RGBIR.")
    ] = None,
    gsd: Annotated[float | None, typer.Option(help="Metres per pixel of scenes without a georeference.")] = None,
    crs: Annotated[
        str | None, typer.Option(help="CRS of scenes that have a transform but none, e.g. EPSG:32632.")
    ] = None,
    tile_size: Annotated[int, typer.Option(help="Window in pixels of the network's GSD, a multiple of 32.")] = 512,
    overlap: Annotated[int, typer.Option(help="Overlap of windows in pixels.")] = 128,
    batch_size: Annotated[int, typer.Option(help="Windows at once.")] = 4,
    tta: Annotated[
        str, typer.Option(help="Mean over 'flips' (4 views) or 'all' flips and right-angle turns (8); none.")
    ] = "none",
    precision: Annotated[str, typer.Option(help="auto, bf16 or fp32.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    co: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE: creation option of GDAL's COG driver; may be repeated.")
    ] = None,
    stac: Annotated[bool, typer.Option("--stac", help="A STAC item of the outputs, <scene>_stac.json.")] = False,
    scheduler: Scheduler = None,
    workers: Workers = 2,
    threads: Threads = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON per scene, for scripts.")] = False,
) -> None:
    """Write a class GeoTIFF and polygons for each scene.

    Scenes that an earlier run finished are skipped, and a scene that was broken off goes on where it stood.
    """
    import json

    from rsuda.cli.terminal import PixelBar, tell
    from rsuda.inference.predict import predict as run
    from rsuda.runs.resolve import newest_run

    log(quiet)
    told = not (quiet or as_json)
    if model is None:
        model = newest_run()
        if told:
            print(f"Using the newest run, {model}")
    bar = PixelBar(told and sys.stderr.isatty())
    found = run(
        scenes, model, out, None if format == "none" else format, min_area=min_area, simplify=simplify,
        regularise=regularise or (), confidence=confidence, probabilities=probabilities, aoi=aoi, bounds=bounds, bands=bands,
        gsd=gsd, crs=crs, co=co or (), overwrite=overwrite, stac=stac, scheduler=scheduler, workers=workers, threads=threads,
        progress=bar, device=device, precision=precision, window=tile_size, overlap=overlap, batch_size=batch_size, tta=tta,
    )  # fmt: skip
    try:
        for done in found:
            bar.close()
            if as_json:
                print(json.dumps(done.as_fields()), flush=True)
            elif told:
                tell(done)
    except KeyboardInterrupt:
        bar.close()
        print("Interrupted: the same command goes on from the last finished band.", file=sys.stderr)
        raise typer.Exit(130) from None
