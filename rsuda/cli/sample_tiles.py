"""rsuda sample-tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsuda.cli.app import app


@app.command("sample-tiles")
def sample_tiles(
    out: Annotated[Path, typer.Option(help="Folder to make.")] = Path("sample_tiles"),
) -> None:
    """Copy the synthetic sample tiles of two cities into a folder, to try the commands on."""
    from rsuda.core.display import printable
    from rsuda.core.sample_data import sample_tiles as copy_tiles

    folder = copy_tiles(out)
    data = "" if out == Path("sample_tiles") else f" --data {out}"
    print(
        f"The sample tiles are in {printable(folder)}. Next:\n  rsuda adapt --source potsdam --target vaihingen{printable(data)}"
    )
