"""Declare how commands read a class raster, of rsuda or of another program: its legend, nodata, GSD and CRS."""

from __future__ import annotations

from typing import Annotated

import typer

from rsuda.cli import completion

LegendOption = Annotated[
    str | None,
    typer.Option(
        help="YAML file with a legend, or a known domain; by default the raster's own names and colours.",
        autocompletion=completion.domains,
    ),
]
NodataOption = Annotated[
    float | None, typer.Option(help="Value that marks pixels without a class; the raster's own by default.")
]
GsdOption = Annotated[float | None, typer.Option(help="Metres per pixel of a raster without a georeference.")]
CrsOption = Annotated[
    str | None, typer.Option(help="CRS of a raster that has a transform but no CRS, e.g. EPSG:32632.")
]
