"""Run folders: the names of their files, and which folder is the newest, or free."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rsuda.core.errors import MissingError
from rsuda.core.hub import SPEC as SPEC
from rsuda.core.hub import WEIGHTS as WEIGHTS
from rsuda.core.settings import CONFIG, OBJECT, Settings, make_settings
from rsuda.core.spelling import spell

CHECKPOINT = "last.ckpt"
CURVE = "target_curve.csv"
PREVIEW = "preview.png"
BEFORE, BEFORE_WEIGHTS = "before.json", ".before.safetensors"  # scores and weights before adaptation


def free_folder(sources: Sequence[str], target: str, method: str) -> Path:
    """Name runs/<source>_<target>_<method>, with a number if that exists; several sources are joined by '+'.

    Without a source the name begins with the target.
    """
    names = [Path(name.removeprefix(OBJECT)).stem or "target" for name in (*sources, target)]
    domains = ["+".join(names[:-1])] * bool(sources) + names[-1:]
    stem = Path("runs") / "_".join((*domains, Path(method.replace(":", "-")).name))
    folder, number = stem, 2
    while folder.exists():
        folder, number = Path(f"{stem}_{number}"), number + 1
    return folder


def newest_checkpoint() -> Path:
    """Find the run folder in runs/ whose checkpoint is the newest, or that began later and stopped before its first.

    Raises MissingError without such a run.
    """
    unfinished_runs = [file for file in Path("runs").glob(f"*/{CONFIG}") if not (file.parent / WEIGHTS).is_file()]
    files = sorted([*Path("runs").glob(f"*/{CHECKPOINT}"), *unfinished_runs], key=os.path.getmtime)
    if not files:
        raise MissingError(f"runs/ holds no run to resume: pass {spell('out', 'RUN')}")
    return files[-1].parent


def newest_run(folder: str | Path = "runs") -> Path:
    """Find the run folder with the newest weights. Raises MissingError without a finished run."""
    files = sorted(Path(folder).glob(f"*/{WEIGHTS}"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise MissingError(
            f"{Path(folder).resolve()} holds no finished run: adapt first, or pass {spell('model', 'RUN')}"
        )
    return files[-1].parent


def saved_settings(folder: Path) -> Settings:
    """Read the settings of a run. Raises MissingError for a folder without a configuration."""
    if not folder.exists():
        raise MissingError(f"the run {folder} is missing: name a run folder")
    if not (folder / CONFIG).is_file():
        raise MissingError(f"{folder} holds no {CONFIG}: it is not a run folder")
    return make_settings(file=folder / CONFIG)
