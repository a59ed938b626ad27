"""rsuda gap."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rsuda.cli import completion
from rsuda.cli.app import app, log
from rsuda.cli.options import with_options
from rsuda.cli.run_options import run_option
from rsuda.cli.terminal import make_table

SETTINGS = ("data", "source_bands", "target_bands", "target_nodata")


@app.command()
@with_options([run_option(name) for name in SETTINGS], before="plot")
def gap(
    source: Annotated[
        str, typer.Argument(help="Labelled domain: a known name or a domain file.", autocompletion=completion.domains)
    ],
    target: Annotated[
        str,
        typer.Argument(
            help="Domain to adapt to: name, domain file, folder or glob of rasters.", autocompletion=completion.domains
        ),
    ],
    plot: Annotated[Path | None, typer.Option(help="PNG to draw the comparison in.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing plot.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")] = False,
    **settings: Any,
) -> None:
    """Compare a source and a target as ``rsuda adapt`` does before training: what differs, what is chosen, what to expect."""
    import json

    from rsuda.info.gap import gap as measure_gap

    log()
    facts = measure_gap(
        source,
        target,
        **settings,
        plot=plot,
        overwrite=overwrite,
    )
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    _print(facts)
    if plot is not None:
        print(f"Wrote {plot}")


def _print(facts: dict[str, Any]) -> None:
    """Print tables of the domains, their bands, the classes and the settings, and the expected risk."""
    from rich.console import Console

    from rsuda.core.display import printable

    console = Console(markup=False, highlight=False, emoji=False, soft_wrap=False)
    for note in facts["notes"]:
        console.print(f"note: {printable(note)}")
    for table in (_domains(facts), *_bands(facts), _classes(facts), _settings(facts)):
        console.print(table)
    risk = facts["risk"]
    console.print(f"Expected risk, by a rule of thumb: {risk['level']}")
    for reason in risk["reasons"]:
        console.print(f"  {reason['level']}: {printable(reason['text'])}")


def _row(table: Any, *cells: Any) -> None:
    from rsuda.core.display import printable

    table.add_row(*(printable(cell) for cell in cells))


def _domains(facts: dict[str, Any]) -> Any:
    table = make_table("", "domain", "scenes", "bands", "GSD, m", "pixels")
    for role, domain in [*(("source", part) for part in facts["sources"]), ("target", facts["target"])]:
        gsd = " to ".join(f"{size:g}" for size in dict.fromkeys(domain["gsd"]))
        _row(table, role, domain["name"], domain["scenes"], domain["bands"], gsd, ", ".join(domain["types"]))
    return table


def _bands(facts: dict[str, Any]) -> list[Any]:
    """Make a table for each source."""
    tables = []
    for name, bands in facts["bands"].items():
        table = make_table("band", name, facts["target"]["name"], "means differ", "values differ", "aligned", right=5)
        table.title = (
            "pixel values of each band: mean ± deviation; differences in units of the deviation, and after alignment"
        )
        table.title_style, table.title_justify = "", "left"
        for band in bands:
            names = " for ".join(dict.fromkeys((band["source_band"], band["target_band"])))
            values = [
                f"{band[f'{domain}_mean']:.4g} ± {band[f'{domain}_deviation']:.3g}" for domain in ("source", "target")
            ]
            distances = [f"{band[key]:.2f}" for key in ("means_apart", "apart", "apart_aligned")]
            _row(table, names, *values, *distances)
        tables.append(table)
    return tables


def _classes(facts: dict[str, Any]) -> Any:
    table = make_table("class of the source", "share", right=1)
    for name, share in sorted(facts["classes"].items(), key=lambda entry: -entry[1]):
        _row(table, name, f"{share:.1%}")
    return table


def _settings(facts: dict[str, Any]) -> Any:
    table = make_table("setting", "chosen", "why")
    for name, choice in facts["settings"].items():
        value = "target" if choice["value"] is None else choice["value"]
        _row(table, name, str(value).lower(), choice["reason"] or "")
    return table
