"""rsuda init."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsuda.cli.app import app, log


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder of images and, for a source, of masks or vector files.")],
    out: Annotated[
        Path | None, typer.Option(help="Domain file to write; FOLDER.yaml in the working directory by default.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="The labels where names do not say it, such as 'masks/*' or 'city.gpkg|layername=houses'."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing domain file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")] = False,
) -> None:
    """Look through a folder of images and labels, and write a commented domain file to edit."""
    import json

    from rsuda.cli.terminal import print_facts, print_notes
    from rsuda.core.display import printable
    from rsuda.data.drafts.init import init as write_draft

    log()
    facts = write_draft(folder, out, labels=labels, overwrite=overwrite)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    print_facts({key: value for key, value in facts.items() if key not in ("file", "next", "notes")})
    print_notes(facts["notes"])
    print(f"Wrote {printable(facts['file'])}. Check it, name the classes, then:")
    for command in facts["next"]:
        print(f"  {printable(command)}")
