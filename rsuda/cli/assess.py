"""rsuda assess."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsuda.cli.app import app, log
from rsuda.cli.class_raster_options import CrsOption, GsdOption, LegendOption, NodataOption

if TYPE_CHECKING:
    from rsuda.accuracy.results import Assessment


@app.command()
def assess(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="MAP [MAP] POINTS",
            help="Map, perhaps a second one to compare, and the labelled points. A map is a raster of classes, or a folder or "
            "glob of tiles.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the results as JSON, CSV, text and an HTML page.")
    ] = None,
    reference: Annotated[
        str, typer.Option(help="Column of the labels: names or values of the map's classes.")
    ] = "reference",
    target_error: Annotated[
        float | None,
        typer.Option(
            help="Half the interval that you want, such as 0.02: how many more points it takes. Of an area it is a share of it."
        ),
    ] = None,
    target_measure: Annotated[
        str,
        typer.Option(help="What this interval is of: overall accuracy, or users, producers or area of one class."),
    ] = "overall",
    target_class: Annotated[str | None, typer.Option(help="The class that --target-measure is of.")] = None,
    legend: LegendOption = None,
    nodata: NodataOption = None,
    gsd: GsdOption = None,
    crs: CrsOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON, for scripts.")] = False,
) -> None:
    """Estimate accuracies and areas of a map from labelled points, with standard errors and 95 % intervals.

    Areas are corrected for the errors of the map. Points of ``rsuda sample`` may be labelled in part; your own points count as
    random places of the map.
    """
    import json

    from rsuda.accuracy.assess import assess as estimate
    from rsuda.core.errors import InputError

    log()
    if not 2 <= len(files) <= 3:
        raise InputError(
            f"rsuda assess takes a map, perhaps a second one, and points, not {len(files)} of them: MAP POINTS"
        )
    result = estimate(
        files[0],
        files[-1],
        files[1] if len(files) == 3 else None,
        out=out,
        reference=reference,
        target_error=target_error,
        target_measure=target_measure,
        target_class=target_class,
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


def _print(result: Assessment) -> None:
    """Print overall accuracy, the tables of classes, the comparison, and the points that are missing."""
    from rsuda.accuracy.display import area, area_interval, area_unit, percent
    from rsuda.cli.terminal import make_table, print_notes, print_table
    from rsuda.core.display import printable

    print_notes(result.notes)
    unit = area_unit(result.total_area, result.unit)
    accuracies = make_table("class", "points", "user's %", "producer's %", "F1 %", right=4)
    areas = make_table("class", f"mapped {unit[0]}", f"area {unit[0]}", right=2)
    for part in result.classes:
        name, shares = printable(part.name), (part.users, part.producers, part.f1)
        accuracies.add_row(name, str(part.points_mapped), *(percent(share, 0) for share in shares))
        areas.add_row(name, area(part.mapped_area, unit), area_interval(part.area, unit))
    print_table(accuracies)
    print_table(areas)
    print(
        f"Overall accuracy {percent(result.overall)} %, standard error {100 * result.overall.se:.1f}; "
        f"{result.labelled} labelled points, {result.design} sample; parentheses are 95 % intervals"
    )
    if result.comparison is not None:
        print(f"{printable(result.comparison.map)}: overall accuracy {percent(result.comparison.overall)} %")
        difference = result.comparison.difference
        print(f"Difference, second minus first: {percent(difference)} points, standard error {100 * difference.se:.1f}")
    if result.more is not None:
        _print_more(result)
    if result.folder is not None:
        print(
            f"Wrote {printable(result.folder)}: accuracy.html, accuracy.json, accuracy.csv, confusion.csv, methods.txt"
        )


def _print_more(result: Assessment) -> None:
    """Print how many points a wanted interval takes, which are missing, and the command that draws them."""
    from rsuda.core.display import printable
    from rsuda.core.spelling import spell, spell_command

    more = result.more
    assert more is not None
    counts = {name: count for name, count in more.more.items() if count}
    sentence = f"{more.width} of the {printable(more.measure)} take about {more.points} points"
    if not counts:
        print(f"{sentence}: you have enough")
        return
    shortfall = ", ".join(f"{count} of {printable(name)}" for name, count in counts.items())
    print(f"{sentence} in the best allocation; missing are {shortfall}")
    if more.extendable:
        command = spell_command("sample", result.map, out="more.gpkg", extend=str(result.file))
        additions = (spell("add", f"{name}={count}") for name, count in counts.items())
        print(f"To draw them: {printable(' '.join([command, *additions]))}")
