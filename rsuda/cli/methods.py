"""rsuda methods."""

from __future__ import annotations

from typing import Annotated

import typer

from rsuda.cli import completion
from rsuda.cli.app import app


@app.command()
def methods(
    name: Annotated[
        str | None,
        typer.Argument(help="One method, with what each of its options does.", autocompletion=completion.methods),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
) -> None:
    """List the methods: paper, what each needs, options with defaults."""
    import json

    from rsuda.info.catalogue import methods as describe_methods

    described = describe_methods(name)
    if as_json:
        print(json.dumps(described, indent=2))
        return
    for method, about in described.items():
        print(f"{method}: {about['paper']}")
        print(f"  in memory: {about['networks']}; a step costs about {about['cost']:.1f} times one of source-only")
        print(f"  window: a multiple of {about['window_multiple']} px; batch: 2 or more; {about['reads']}")
        for option, (default, what) in about["options"].items():
            print(f"  --set method.{option}={default}" + (f"\n      {what}" if name else ""))
