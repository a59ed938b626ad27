"""rsuda push."""

from __future__ import annotations

from typing import Annotated

import typer

from rsuda.cli.app import app, log
from rsuda.cli.options import Run


@app.command()
def push(
    run: Run,
    address: Annotated[str, typer.Argument(help="hf://ORG/NAME[@BRANCH], or file:///FOLDER.")],
    license: Annotated[str | None, typer.Option(help="Licence of the weights, such as cc-by-4.0.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")] = False,
) -> None:
    """Push a run to a hub of models: weights, spec, settings without folders, scores and card. Logs and checkpoints stay."""
    import json

    from rsuda.sharing.push import push as upload

    log()
    model = upload(run, address, license=license, private=private, overwrite=overwrite)
    if as_json:
        print(json.dumps(model.as_fields()))
        return
    print(f"pushed {len(model.files)} files, {model.bytes / 1e6:.1f} MB: {', '.join(model.files)}")
    print(f"Next: rsuda predict SCENE.tif --model {model.address}")
