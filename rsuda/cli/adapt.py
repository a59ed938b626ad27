"""rsuda adapt."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rsuda.cli.app import app, log
from rsuda.cli.run_options import Config, Domains, Set, domains_of, with_settings

RUN = "Run"


@app.command()
@with_settings(before="out")
def adapt(
    domains: Domains = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run folder; runs/<pair>_<method> by default.")
    ] = None,
    config: Config = None,
    option: Set = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing run.", rich_help_panel=RUN)
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the run in --out (or the newest checkpoint).", rich_help_panel=RUN),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only notes and results.", rich_help_panel=RUN)
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print every term of the loss.", rich_help_panel=RUN)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="End with one line of JSON: run, scores.", rich_help_panel=RUN)
    ] = False,
    **settings: Any,
) -> None:
    """Train on a labelled source and an unlabelled target, and leave a run folder."""
    import json
    import logging

    from rsuda import api
    from rsuda.cli.terminal import print_comparison, print_label_free, print_scores
    from rsuda.core.settings import parse_option

    log(verbose=verbose, level=logging.WARNING if quiet else None)

    def tell(text: str) -> None:
        print(text, file=sys.stderr if as_json else sys.stdout, flush=True)

    source, target = domains_of(
        domains, settings.pop("source", None), settings.pop("target", None), settings.get("start")
    )
    finished = api.adapt(
        source,
        target,
        out=out,
        config=config,
        **settings,
        settings=dict(parse_option(text) for text in option or []),
        overwrite=overwrite,
        resume=resume,
        progress=not quiet and sys.stderr.isatty(),
        tell=tell,
    )
    if as_json:
        print(json.dumps(finished.as_fields()))
        return
    print_label_free(finished.label_free, finished.path)
    if finished.scores:
        print_scores(finished.scores, finished.path)
    print_comparison(finished)
    windows = "before and after" if finished.before else "image and map"
    print(f"Three windows of the target, {windows}: {finished.preview}")
    print(f"Next: rsuda predict {_scenes_of(target)} --model {finished.path}")


def _scenes_of(target: str | None) -> str:
    """Name the scenes to predict: those of the target where it is a folder, a glob or a raster itself."""
    from rsuda.data.domain_files.domain_file import KNOWN
    from rsuda.geo.rasters.raster import SUFFIXES
    from rsuda.geo.scenes.files import rasters_in

    if target is None or target in KNOWN:
        return "SCENE.tif"
    is_raster = Path(target).is_file() and target.lower().endswith(SUFFIXES)
    return shlex.quote(target) if is_raster or rasters_in(target) else "SCENE.tif"
