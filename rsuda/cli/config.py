"""rsuda config."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from rsuda.cli.app import app, log
from rsuda.cli.run_options import Config, Domains, Set, domains_of, with_settings


@app.command()
@with_settings(before="config")
def config(
    domains: Domains = None,
    config: Config = None,
    option: Set = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="The JSON schema of the settings, with the options of the method.")
    ] = False,
    **settings: Any,
) -> None:
    """Print the settings of a run as YAML, as ``rsuda adapt`` with the same options would resolve them; run nothing."""
    import json

    from rsuda import api
    from rsuda.core.settings import dump, parse_option
    from rsuda.training.schema import settings_schema

    log()
    if schema:
        print(json.dumps(settings_schema(settings.get("method")), indent=2))
        return
    changes = dict(parse_option(text) for text in option or [])
    source, target = domains_of(
        domains, settings.pop("source", None), settings.pop("target", None), settings.get("start")
    )
    run_settings, notes = api.resolve_settings(source, target, config=config, settings=changes, **settings)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    print(dump(run_settings), end="")
