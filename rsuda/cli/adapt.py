"""rsuda adapt."""

from __future__ import annotations

import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from rsuda.cli.app import app, log
from rsuda.cli.evaluate import score, score_label_free
from rsuda.errors import InputError, MissingError

SAMPLE_DOMAINS = ("potsdam", "vaihingen")


@app.command()
def adapt(
    source: Annotated[str | None, typer.Option(help="Labelled domain: a known name or a domain file.")] = None,
    target: Annotated[
        str | None, typer.Option(help="Domain to adapt to: name, domain file, folder or glob of rasters.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="st-dasegnet by default; rsuda methods lists all.")] = None,
    data: Annotated[Path | None, typer.Option(envvar="RSUDA_DATA", help="Folder of the data of both domains.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run folder; runs/<pair>_<method> by default.")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(help="Run folder whose network training starts from; what is not given is as in that run."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of options; flags override it.")] = None,
    preset: Annotated[str | None, typer.Option(help="small, paper, mit-b0, mit-b5, resnet50.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Patches of each domain in a step.")] = None,
    crop: Annotated[int | None, typer.Option(help="Patch size in pixels, a multiple of 32.")] = None,
    gsd: Annotated[
        str | None, typer.Option(help="Common metres per pixel (the target's by default), or 'native'.")
    ] = None,
    source_bands: Annotated[str | None, typer.Option(help="Band order of the source, e.g. RGB or IRRG.")] = None,
    target_bands: Annotated[str | None, typer.Option(help="Band order of the target.")] = None,
    weights: Annotated[str | None, typer.Option(help="Encoder weights: imagenet, none or a file.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, patches and augmentation.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, bf16 or fp32.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that read patches.")] = None,
    score_every: Annotated[
        int | None,
        typer.Option(help="Steps after which the target's labelled split is scored, for a curve to look at."),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("--set", help="option=value of the method; may be repeated.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing run.")] = False,
    resume: Annotated[bool, typer.Option(help="Go on with the run in --out (or the newest checkpoint).")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Train on a labelled source and an unlabelled target, and leave a run folder."""
    from rsuda.config import parse_option, settings

    log()
    given: dict[str, Any] = {
        "source": source, "target": target, "method": method, "preset": preset, "steps": steps, "batch_size": batch_size,
        "crop": crop, "gsd": gsd, "source_bands": source_bands, "target_bands": target_bands, "weights": weights,
        "seed": seed, "precision": precision, "device": device, "workers": workers, "score_every": score_every,
        "data": str(data) if data else None, "start": str(start) if start else None,
        "options": dict(parse_option(o) for o in option or []),
    }  # fmt: skip
    if resume:
        folder = out or _newest_checkpoint()
        s = settings(folder / "config.yaml", **given)
        kept = settings(folder / "config.yaml")
        free = ("steps", "data", "device", "precision", "workers", "score_every")
        changed = [f.name for f in fields(s) if f.name not in free and getattr(s, f.name) != getattr(kept, f.name)]
        if changed or config:
            raise InputError(
                f"--resume goes on with the options of {folder} and cannot change {', '.join(changed) or 'them by --config'} "
                f"(only {', '.join(f.replace('_', '-') for f in free)})"
            )
    else:
        s = settings(config, **given)
        if not s.source or not s.target:
            raise InputError("--source and --target are needed, or a --config that names them")
        if s.data is None and {s.source, s.target} <= set(SAMPLE_DOMAINS):
            tiles = _sample_tiles()
            s = settings(config, **{**given, "data": str(tiles), "preset": preset or "sample"})
            print(
                f"No data folder is given: using the synthetic {tiles.name}/ and the small preset 'sample' "
                f"({s.steps} steps, a few minutes on 2 cores). For real imagery pass --data DIR."
            )
        folder = out or _free_folder(s.source, s.target, s.method)

    from rsuda.verbs.adapt import adapt as run
    from rsuda.verbs.adapt import domains_of

    run(s, folder, overwrite, resume, quiet or not sys.stderr.isatty())
    domain = domains_of(s)[1]
    score_label_free(folder, domain, s.target_split, s.device, s.precision)
    if domain.has_labels(s.score_split):
        score(folder, domain, s.score_split, "scenes", s.device, s.precision)
    else:
        print(f"{domain.name} has no labelled split '{s.score_split}', so nothing was scored.")
    print(f"Next: rsuda predict SCENE.tif --model {folder}")


def _sample_tiles() -> Path:
    """sample_tiles/ of the working folder, or of the checkout that rsuda is installed from."""
    for place in (Path("sample_tiles"), Path(__file__).parents[2] / "sample_tiles"):
        if (place / "potsdam").is_dir():
            return place
    raise MissingError(
        "no data folder is given, and sample_tiles/ is not here: pass --data DIR (or set RSUDA_DATA), or work in a "
        "checkout of rsuda"
    )


def _free_folder(source: str, target: str, method: str) -> Path:
    """runs/<source>_<target>_<method>, with a number if that exists."""
    names = [Path(n).stem or "target" for n in (source, target)]
    stem = Path("runs") / f"{names[0]}_{names[1]}_{method}"
    folder, number = stem, 2
    while folder.exists():
        folder, number = Path(f"{stem}_{number}"), number + 1
    return folder


def _newest_checkpoint() -> Path:
    found = sorted(Path("runs").glob("*/last.ckpt"), key=os.path.getmtime)
    if not found:
        raise MissingError("there is no run to resume in runs/: pass --out RUN")
    print(f"Resuming {found[-1].parent}")
    return found[-1].parent
