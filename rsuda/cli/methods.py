"""rsuda methods."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rsuda.cli import completion
from rsuda.cli.app import app


@app.command()
def methods(
    name: Annotated[
        str | None,
        typer.Argument(help="One method, with what each of its options does.", autocompletion=completion.methods),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")] = False,
) -> None:
    """List the methods with cost, memory and paper, or explain one with its options."""
    import json

    from rsuda.info.catalogue import methods as describe_methods

    entries = describe_methods(name)
    if as_json:
        print(json.dumps(entries, indent=2))
        return
    if name is None:
        _print_table(entries)
        return
    for method, about in entries.items():
        print(f"{method}: {about['paper']}\n  {about['summary']}")
        print(f"  in memory: {about['networks']}; a step costs about {about['cost']:.1f} times one of source-only")
        print(f"  window: a multiple of {about['window_multiple']} px; batch: 2 or more; {about['reads']}")
        for option, (default, what) in about["options"].items():
            print(f"  --set method.{option}={default}\n      {what}")


def _print_table(entries: dict[str, Any]) -> None:
    from rich.console import Console

    from rsuda.cli.terminal import make_table

    table = make_table("method", "what it does", "cost", "in memory", "paper")
    for method, about in entries.items():
        table.add_row(method, about["summary"], f"{about['cost']:.1f}", about["networks"], about["paper"])
    console = Console(markup=False, highlight=False, emoji=False)
    console.print(table)
    console.print("cost: of a step, relative to source-only. rsuda methods NAME explains a method and its options.")
