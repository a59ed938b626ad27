"""rsuda suggest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsuda.cli.app import app, log
from rsuda.cli.options import Run, Threads


@app.command()
def suggest(
    run: Run,
    domain: Annotated[str | None, typer.Option(help="Domain to annotate; the run's target by default.")] = None,
    split: Annotated[str, typer.Option(help="Split whose scenes may be annotated.")] = "all",
    k: Annotated[int, typer.Option("-k", help="Number of windows.")] = 10,
    size: Annotated[int, typer.Option(help="Pixels per side of a window, of the model's GSD.")] = 128,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="GeoPackage of the windows; only the table by default.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(envvar="RSUDA_DATA", help="Folder of the data; the run's by default.")
    ] = None,
    bands: Annotated[str | None, typer.Option(help="Band order to use where the domain has several.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the clustering.")] = 0,
    precision: Annotated[str | None, typer.Option(help="auto, bf16 or fp32; the run's own by default.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")] = False,
    threads: Threads = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Suggest the windows of a domain that are most worth a label: uncertain, and unlike each other. No label is read."""
    import json
    from dataclasses import asdict

    from rsuda import api
    from rsuda.cli.terminal import suggestion_table
    from rsuda.core.progress_lines import PercentLines
    from rsuda.learning.device import use_threads

    log()
    use_threads(threads)
    suggestions = api.suggest(
        run,
        domain,
        split,
        k=k,
        size=size,
        out=out,
        data=data,
        bands=bands,
        seed=seed,
        device=device,
        precision=precision,
        overwrite=overwrite,
        progress=PercentLines().show,
    )
    windows = list(suggestions.windows)
    if as_json:
        print(json.dumps([asdict(window) for window in windows], indent=2))
        return
    print(suggestion_table(windows, suggestions.domain, suggestions.spec))
    if suggestions.spec.temperature:
        print("note: uncertainties are those of the calibrated confidence")
    if len(windows) < k:
        print(f"note: {k} windows were asked for, but {suggestions.domain.name} has {len(windows)} only")
    if suggestions.file is not None:
        print(f"{len(windows)} of {windows[0].candidates} windows: {suggestions.file}")
