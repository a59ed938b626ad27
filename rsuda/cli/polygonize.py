"""rsuda polygonize."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsuda.cli import completion
from rsuda.cli.app import app, log
from rsuda.cli.class_raster_options import CrsOption, GsdOption, LegendOption, NodataOption
from rsuda.core.map_options import MapOptions

_HELP = {name: field.description for name, field in MapOptions.model_fields.items()}


@app.command()
def polygonize(
    rasters: Annotated[
        list[str],
        typer.Argument(help="Rasters of classes, maps of rsuda or of any other program: files, folders or globs."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder, or file for one raster; NAME_polygons.gpkg beside each raster by default."
        ),
    ] = None,
    polygons: Annotated[
        str | None,
        typer.Option(
            "--format", help="Format of the polygons; by the ending of --out.", autocompletion=completion.formats
        ),
    ] = None,
    legend: LegendOption = None,
    min_area: Annotated[float, typer.Option(help=_HELP["min_area"])] = 0.0,
    simplify: Annotated[float, typer.Option(help=_HELP["simplify"])] = 0.0,
    regularise: Annotated[list[str] | None, typer.Option(help=_HELP["regularise"])] = None,
    gsd: GsdOption = None,
    nodata: NodataOption = None,
    crs: CrsOption = None,
    aoi: Annotated[Path | None, typer.Option(help="File of polygons: convert only the area inside.")] = None,
    bounds: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(help="LEFT BOTTOM RIGHT TOP in the raster's CRS: convert only this rectangle."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help=_HELP["overwrite"])] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON for each raster, for scripts.")] = False,
) -> None:
    """Convert rasters of classes to polygons again, in seconds and without a model."""
    import json

    from rsuda.cli.terminal import print_polygons
    from rsuda.inference.polygonize_several import polygonize_several

    log(quiet)
    results = polygonize_several(
        rasters,
        out,
        polygons=polygons,
        legend=legend,
        min_area=min_area,
        simplify=simplify,
        regularise=tuple(regularise or ()),
        gsd=gsd,
        nodata=nodata,
        crs=crs,
        aoi=aoi,
        bounds=bounds,
        overwrite=overwrite,
    )
    for result in results:
        if as_json:
            print(json.dumps(result.as_fields()), flush=True)
        elif not quiet:
            print_polygons(result)
