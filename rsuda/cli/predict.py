"""rsuda predict."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsuda.cli import completion
from rsuda.cli.app import app, log
from rsuda.cli.options import with_fields
from rsuda.core.map_options import MapOptions

if TYPE_CHECKING:
    from rsuda.inference.prediction import Prediction

GROUPS = {
    "Polygons and further files": (
        *("polygons", "min_area", "simplify", "regularise", "confidence", "probabilities", "co", "stac"),
    ),
    "Scenes": ("bands", "gsd", "nodata", "crs", "aoi", "bounds"),
    "Prediction": ("window", "overlap", "batch_size", "tta", "adapt", "min_confidence"),
    "Machine": ("device", "precision", "threads"),
    "Cluster": ("scheduler", "workers"),
}


@app.command()
@with_fields(MapOptions, before="quiet", complete={"polygons": completion.formats}, groups=GROUPS)
def predict(
    scenes: Annotated[
        list[str], typer.Argument(help="Rasters to map: files, folders, globs, or what GDAL can open (https://…).")
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            help="Run folder, ONNX file of rsuda export, or hf://ORG/NAME[@REVISION]; the newest in runs/ by default.",
            autocompletion=completion.runs,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON per scene, for scripts.")] = False,
    **options: Any,
) -> None:
    """Write a class GeoTIFF and polygons for each scene.

    Finished scenes are skipped. An interrupted scene continues after its last finished strip.
    """
    import json

    from rsuda.cli.terminal import Notes, PixelBar, print_map
    from rsuda.inference.predict import predict as predict_scenes
    from rsuda.runs.folders import newest_run

    log(quiet)
    talkative = not (quiet or as_json)
    if model is None:
        model = newest_run()
        if talkative:
            print(f"Using the newest run, {model}")
    bar = PixelBar(talkative and sys.stderr.isatty())

    notes = Notes()

    def show(prediction: Prediction) -> None:
        bar.close()
        if as_json:
            print(json.dumps(prediction.as_fields()), flush=True)
        elif talkative:
            print_map(prediction, notes)

    try:
        predict_scenes(scenes, model, progress=bar, on_scene=show, **options)
        notes.close()
    except KeyboardInterrupt:
        bar.close()
        print("Interrupted. Run the same command again to continue.", file=sys.stderr)
        raise typer.Exit(130) from None
