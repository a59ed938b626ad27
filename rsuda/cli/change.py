"""rsuda change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsuda.cli.app import app, log
from rsuda.cli.class_raster_options import CrsOption, GsdOption, LegendOption, NodataOption

if TYPE_CHECKING:
    from rsuda.accuracy.change import Change


@app.command()
def change(
    first: Annotated[str, typer.Argument(help="Earlier map: a raster of classes, or a folder or glob of tiles.")],
    second: Annotated[str, typer.Argument(help="Later map with the same classes.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the raster and polygons of changes, a table and JSON.")
    ] = Path("change"),
    min_area: Annotated[float, typer.Option(help="Least square metres of a polygon.")] = 0.0,
    legend: LegendOption = None,
    nodata: NodataOption = None,
    gsd: GsdOption = None,
    crs: CrsOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON, for scripts.")] = False,
) -> None:
    """Compare two maps of one legend: what changed into what, as a raster, polygons and areas.

    The difference of two maps holds the errors of both. ``rsuda sample`` and ``rsuda assess`` on the raster of changes give
    areas of change with their intervals.
    """
    import json

    from rsuda.accuracy.change import change as compare

    log()
    result = compare(
        first,
        second,
        out,
        min_area=min_area,
        legend=legend,
        nodata=nodata,
        gsd=gsd,
        crs=crs,
        overwrite=overwrite,
    )
    if as_json:
        print(json.dumps(result.as_fields()))
    else:
        _print(result)


def _print(result: Change) -> None:
    """Print the matrix of areas, the share that changed, and the files."""
    from rsuda.accuracy.display import area, area_unit
    from rsuda.cli.terminal import make_table, print_notes, print_table
    from rsuda.core.display import printable

    print_notes(result.notes)
    unit = area_unit(float(result.area.sum()), result.unit)
    present = [k for k in range(len(result.classes)) if result.pixels[k].any() or result.pixels[:, k].any()]
    names = [printable(result.classes[k]) for k in present]
    table = make_table(f"from / to, {unit[0]}", *names, right=len(names))
    for name, before in zip(names, present, strict=True):
        table.add_row(name, *(area(float(result.area[before, after]), unit) for after in present))
    print_table(table)
    print(f"{result.changed_share:.1%} of the area has another class in the second map, errors of both maps included")
    print(f"Wrote {printable(result.folder)}; to know the errors: rsuda sample {printable(result.raster)}")
