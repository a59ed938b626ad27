"""rsuda card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsuda.cli.app import app, log
from rsuda.cli.options import Run


@app.command()
def card(
    run: Run,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File; README.md in the run folder by default.")
    ] = None,
    address: Annotated[
        str, typer.Option(help="Where the model will be, for the commands of the card.")
    ] = "hf://ORG/NAME",
    license: Annotated[str | None, typer.Option(help="Licence of the weights, such as cc-by-4.0.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write the card of a run: what its model is for, how good it is, its limits and licences."""
    from rsuda.sharing.card import card as write

    log()
    print(f"wrote {write(run, out, address=address, license=license, overwrite=overwrite)}")
