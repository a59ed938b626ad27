"""rsuda info."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsuda.cli import completion
from rsuda.cli.app import app, log


@app.command()
def info(
    what: Annotated[
        str, typer.Argument(help="Raster, run folder, hf://ORG/NAME, or domain: name, domain file, folder or glob.")
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            help="Run whose model a raster is to fit; the newest in runs/ by default.", autocompletion=completion.runs
        ),
    ] = None,
    data: Annotated[Path | None, typer.Option(envvar="RSUDA_DATA", help="Folder of the data of a domain.")] = None,
    bands: Annotated[str | None, typer.Option(help="Band order of a raster whose file lacks it, e.g. RGBIR.")] = None,
    gsd: Annotated[float | None, typer.Option(help="Metres per pixel of a raster without a georeference.")] = None,
    nodata: Annotated[
        float | None, typer.Option(help="Value that marks pixels of a raster without data; the file's own by default.")
    ] = None,
    crs: Annotated[str | None, typer.Option(help="CRS of a raster that has a transform but no CRS.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")] = False,
) -> None:
    """Describe a raster, a run or a domain, list warnings, and check a raster against a run's model."""
    import json

    from rsuda.cli.terminal import print_facts
    from rsuda.info.info import info as facts_of
    from rsuda.info.info import with_old_keys

    log()
    facts = facts_of(what, model, data, bands, gsd, crs, nodata)
    if as_json:
        print(json.dumps(with_old_keys(facts), indent=2))
    else:
        print_facts(facts)
