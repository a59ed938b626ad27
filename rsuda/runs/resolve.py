"""What a new or resumed run is to do, from options, files and defaults; nothing heavy is loaded to find out."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from rsuda.core.errors import InputError, MissingError
from rsuda.core.settings import CHECKPOINT, CONFIG, OBJECT, WEIGHTS, Settings, settings

SAMPLE_DOMAINS = ("potsdam", "vaihingen")
FREE_TO_CHANGE = ("steps", "data", "device", "precision", "workers", "score_every")  # when a run goes on


def resolve(
    config: str | Path | None,
    chosen: dict[str, Any],
    out: str | Path | None,
    resume: bool,
    tell: Callable[[str], None],
) -> tuple[Settings, Path]:
    """The settings of a run and its folder.

    Args:
        config: YAML file of options.
        chosen: options that override it, by the names of Settings; None counts as not given.
        out: run folder; the first free one of runs/<source>_<target>_<method> by default, the newest to resume.
        tell: what is told to the user on the way.

    Raises:
        InputError, MissingError: options that cannot be, or no run to resume.
    """
    if resume:
        folder = Path(out) if out else newest_checkpoint()
        if not out:
            tell(f"Resuming {folder}")
        s = _resumed(folder, config, chosen)
        _same_folder(s, out)
        return s, folder
    s = _new(config, chosen, tell)
    _same_folder(s, out)
    return s, Path(out) if out else free_folder(s.source, s.target, s.method)


def _same_folder(s: Settings, out: str | Path | None) -> None:
    """Several processes each settle their own settings, and the first free folder of one is taken for the next."""
    if not out and (s.devices != "1" or s.nodes > 1):
        raise InputError(
            f"training by several processes (devices {s.devices}, nodes {s.nodes}) needs --out, the run folder"
        )


def _new(config: str | Path | None, chosen: dict[str, Any], tell: Callable[[str], None]) -> Settings:
    """Settings of a new run; without a data folder the sample tiles stand for the domains they are drawn after."""
    s = settings(config, **chosen)
    if not s.source or not s.target:
        raise InputError("--source and --target are needed, or a --config that names them")
    if s.data is None and {s.source, s.target} <= set(SAMPLE_DOMAINS):
        tiles = sample_tiles()
        s = settings(config, **{**chosen, "data": str(tiles), "preset": chosen.get("preset") or "sample"})
        tell(
            f"No data folder is given: using the synthetic {tiles.name}/ and the small preset 'sample' "
            f"({s.steps} steps, a few minutes on 2 cores). For real imagery pass --data DIR."
        )
    return s


def _resumed(folder: Path, config: str | Path | None, chosen: dict[str, Any]) -> Settings:
    s, kept = settings(folder / CONFIG, **chosen), settings(folder / CONFIG)
    changed = [
        f.name for f in fields(s) if f.name not in FREE_TO_CHANGE and getattr(s, f.name) != getattr(kept, f.name)
    ]
    if changed or config:
        raise InputError(
            f"--resume goes on with the options of {folder} and cannot change {', '.join(changed) or 'them by --config'} "
            f"(only {', '.join(f.replace('_', '-') for f in FREE_TO_CHANGE)})"
        )
    return s


def sample_tiles() -> Path:
    """sample_tiles/ of the working folder, or of the checkout that rsuda is installed from."""
    for place in (Path("sample_tiles"), Path(__file__).parents[2] / "sample_tiles"):
        if (place / "potsdam").is_dir():
            return place
    raise MissingError(
        "no data folder is given, and sample_tiles/ is not here: pass --data DIR (or set RSUDA_DATA), or work in a "
        "checkout of rsuda"
    )


def free_folder(source: str, target: str, method: str) -> Path:
    """runs/<source>_<target>_<method>, with a number if that exists."""
    names = [Path(n.removeprefix(OBJECT)).stem or "target" for n in (source, target)]
    *_, name = method.split(":")  # the class of a method in a file of one's own
    stem = Path("runs") / f"{names[0]}_{names[1]}_{name}"
    folder, number = stem, 2
    while folder.exists():
        folder, number = Path(f"{stem}_{number}"), number + 1
    return folder


def newest_checkpoint() -> Path:
    """The run folder in runs/ whose checkpoint was written last, or that was begun since and stopped before its first.

    Raises MissingError when there is none.
    """
    begun = [f for f in Path("runs").glob(f"*/{CONFIG}") if not (f.parent / WEIGHTS).is_file()]
    found = sorted([*Path("runs").glob(f"*/{CHECKPOINT}"), *begun], key=os.path.getmtime)
    if not found:
        raise MissingError("there is no run to resume in runs/: pass --out RUN")
    return found[-1].parent


def saved_settings(folder: Path) -> Settings:
    """The settings of a run. Raises MissingError for a folder that is none."""
    if not (folder / CONFIG).is_file():
        raise MissingError(f"{folder} holds no {CONFIG}: it is no run folder")
    return settings(folder / CONFIG)


def newest_run(folder: str | Path = "runs") -> Path:
    """The run folder whose weights were written last."""
    found = sorted(Path(folder).glob(f"*/{WEIGHTS}"), key=lambda p: p.stat().st_mtime)
    if not found:
        raise MissingError(f"there is no finished run in {Path(folder).resolve()}: adapt first, or pass --model RUN")
    return found[-1].parent
