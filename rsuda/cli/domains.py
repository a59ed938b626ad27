"""rsuda domains."""

from __future__ import annotations

from typing import Annotated

import typer

from rsuda.cli import completion
from rsuda.cli.app import app


@app.command()
def domains(
    name: Annotated[
        str | None,
        typer.Argument(help="One domain, known or a domain file, in full.", autocompletion=completion.domains),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")] = False,
) -> None:
    """List the known domains: a description, the files that are searched, and how to get the data."""
    import json

    from rsuda.cli.terminal import print_facts
    from rsuda.info.catalogue import domains as describe_domains

    entries = describe_domains(name)
    if as_json:
        print(json.dumps(entries, indent=2))
        return
    for domain, about in entries.items():
        facts = about if name else {key: about[key] for key in ("about", "gsd", "bands", "classes", "get")}
        print(f"{domain}:")
        print_facts({key: value for key, value in facts.items() if key != "name"}, 2)
