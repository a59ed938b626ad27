"""rsuda sample."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from rsuda.cli.app import app, log
from rsuda.cli.class_raster_options import CrsOption, GsdOption, LegendOption, NodataOption

if TYPE_CHECKING:
    from rsuda.accuracy.sample import PointSample

Number = TypeVar("Number", int, float)


@app.command()
def sample(
    map: Annotated[str, typer.Argument(help="Raster of classes, or a folder or glob of the tiles of one map.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="GeoPackage of the points, with a style and a form for QGIS.")
    ] = Path("points.gpkg"),
    points: Annotated[
        int | None,
        typer.Option("--points", "-n", help="Number of points; 300, or what --target-error takes, by default."),
    ] = None,
    strata: Annotated[
        str,
        typer.Option(help="class, or confidence: bands of confidence within each class, of the raster beside the map."),
    ] = "class",
    bands: Annotated[int | None, typer.Option(help="Bands of confidence in each class; 2 by default.")] = None,
    allocation: Annotated[
        str, typer.Option(help="proportional to pixels, equal, or optimal for overall accuracy.")
    ] = "proportional",
    minimum: Annotated[int, typer.Option(help="Least number of points of a class or band.")] = 20,
    expected: Annotated[
        list[str] | None,
        typer.Option(
            help="CLASS=SHARE that you expect to be right, such as water=0.95; the mean confidence by default."
        ),
    ] = None,
    target_error: Annotated[
        float | None,
        typer.Option(help="Half the interval of overall accuracy that you want, such as 0.03; it gives -n."),
    ] = None,
    extend: Annotated[
        Path | None,
        typer.Option(
            help="Earlier sample of the same map and strata: its points and labels stay, and --points counts all."
        ),
    ] = None,
    add: Annotated[
        list[str] | None,
        typer.Option(help="STRATUM=N points beyond those of --extend, such as water=40; rsuda assess says how many."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draws; equal seeds give equal points.")] = 0,
    chips: Annotated[Path | None, typer.Option(help="Folder for a picture of each point, with --image.")] = None,
    image: Annotated[str | None, typer.Option(help="Scene that the pictures are cut out of.")] = None,
    show_class: Annotated[
        bool, typer.Option("--show-class", help="Show the map's class in the form; it may sway who labels.")
    ] = False,
    legend: LegendOption = None,
    nodata: NodataOption = None,
    gsd: GsdOption = None,
    crs: CrsOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON, for scripts.")] = False,
) -> None:
    """Draw random points of a map, by class or confidence, to label in QGIS. ``rsuda assess`` turns the labels into accuracies.

    The points are numbered in random order, so you may stop after any of them.
    """
    import json

    from rsuda.accuracy.sample import sample as draw

    log()
    result = draw(
        map,
        out,
        points=points,
        strata=strata,
        bands=bands,
        allocation=allocation,
        minimum=minimum,
        expected=_by_name(expected or [], "expected", float, "CLASS=SHARE, such as water=0.95"),
        target_error=target_error,
        extend=extend,
        add=_by_name(add, "add", int, "STRATUM=N, such as water=40") if add else None,
        seed=seed,
        legend=legend,
        nodata=nodata,
        gsd=gsd,
        crs=crs,
        show_class=show_class,
        chips=chips,
        image=image,
        overwrite=overwrite,
    )
    if as_json:
        print(json.dumps(result.as_fields()))
        return
    _print(result)


def _by_name(texts: list[str], option: str, kind: Callable[[str], Number], example: str) -> dict[str, Number]:
    """Read NAME=NUMBER. Raises InputError for other texts."""
    from rsuda.core.errors import InputError

    numbers = {}
    for text in texts:
        name, sign, value = text.rpartition("=")
        try:
            numbers[name] = kind(value)
        except ValueError:
            sign = ""
        if not sign or not name:
            raise InputError(f"--{option} is '{text}'; write {example}")
    return numbers


def _print(result: PointSample) -> None:
    """Print the strata, the file and how to go on."""
    from rsuda.cli.terminal import make_table, print_notes, print_table
    from rsuda.core.display import printable

    print_notes(result.notes)
    table = make_table("stratum", "pixels", "share", "points", "expected right", right=4)
    total = sum(stratum.pixels for stratum in result.strata)
    for stratum in result.strata:
        cells = stratum.pixels, f"{stratum.pixels / total:.1%}", stratum.points, f"{stratum.expected:.0%}"
        table.add_row(printable(stratum.name), *map(str, cells))
    print_table(table)
    print(
        f"{result.points} point{'s' * (result.points != 1)}: {printable(result.file)}; label them in "
        "QGIS, from number 1 on, then rsuda assess"
    )
    if result.chips is not None:
        print(f"Pictures of the points: {printable(result.chips)}")
