"""Write `run.json`: versions, machine and data of a run."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import rasterio
import torch

from rsuda.core.atomic import atomic_write
from rsuda.core.machine import processor
from rsuda.core.version import __version__
from rsuda.data.pairs.pair import Pair

ABOUT = "run.json"
_PACKAGES = ("torch", "lightning", "segmentation-models-pytorch", "timm", "kornia", "numpy", "rasterio")
_END = 1 << 16  # bytes at each end of a file that enter its digest


def about_run(pair: Pair, device: torch.device, precision: str) -> dict[str, Any]:
    """Describe a run: versions, machine, and the files of both domains; labels are the source's, and hints the target's."""
    files = [("source", file) for scene in pair.source for file in scene.images]
    files += [("source", scene.label) for scene in pair.source if scene.label]
    files += [("target", file) for scene in pair.target for file in scene.images]
    files += [("target", scene.label) for scene in pair.hints.values() if scene.label]
    return {
        "versions": {
            "rsuda": __version__,
            "python": platform.python_version(),
            **{package: _version(package) for package in _PACKAGES},
            "gdal": rasterio.__gdal_version__,
        },
        "machine": {
            "system": platform.platform(),
            "processor": processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "precision": precision,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        },
        "data": [{"domain": domain, **fingerprint(file)} for domain, file in files],
    }


def fingerprint(file: Path | str) -> dict[str, Any]:
    """Describe a file: name, bytes, time of the last change (UTC), SHA-256 of its size and its first and last 64 KiB.

    A file that GDAL reads over a network is described by its name only.
    """
    fields: dict[str, Any] = {"file": Path(str(file)).name}
    if not isinstance(file, Path) or not file.is_file():
        return fields
    status = file.stat()
    digest = hashlib.sha256(str(status.st_size).encode())
    with file.open("rb") as stream:
        digest.update(stream.read(_END))
        stream.seek(max(0, status.st_size - _END))
        digest.update(stream.read(_END))
    modification = datetime.fromtimestamp(status.st_mtime, UTC).isoformat(timespec="milliseconds")
    return {**fields, "bytes": status.st_size, "changed": modification, "sha256_of_ends": digest.hexdigest()}


def write_about(folder: Path, about: dict[str, Any]) -> None:
    """Write a run's description into its folder."""
    with atomic_write(folder / ABOUT, overwrite=True) as temporary:
        temporary.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8", newline="\n")


def changes_on_resume(folder: Path, now: dict[str, Any], step: int) -> list[str]:
    """Compare a resumed run with its start and return the differences as notes; add them to run.json.

    Scenes are compared by content, so a copy with another path or date is the same.

    Args:
        now: the description of the resumed run, see ``about_run``.
        step: the step that it continues from.
    """
    try:
        start: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        before, after = ([_content(file) for file in about["data"]] for about in (start, now))
        differences = {
            name: (start[part].get(name), value)
            for part in ("versions", "machine")
            for name, value in now[part].items()
            if start[part].get(name) != value
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        write_about(folder, now)  # a run of an earlier version, or an edited file
        return []
    notes = []
    if differences:
        words = ", ".join(f"{name} was {old} and is {new}" for name, (old, new) in differences.items())
        notes.append(f"{words}: numbers may be rounded differently than in an uninterrupted run")
    files = sorted({name for name, *_ in set(before) ^ set(after)})
    if files:
        some = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
        notes.append(f"the data have changed since the run began ({some}): it continues with the present files")
    start.setdefault("resumed", []).append({"step": step, "changes": notes})
    write_about(folder, start)
    return notes


def _content(file: dict[str, Any]) -> tuple[Any, ...]:
    return file["file"], file["domain"], file.get("bytes"), file.get("sha256_of_ends")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
