"""run.json of a run folder: with which versions, on which machine, and on which data a run was made."""

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
from rsuda.core.version import __version__
from rsuda.data.pair import Pair

ABOUT = "run.json"
_PACKAGES = ("torch", "lightning", "segmentation-models-pytorch", "timm", "kornia", "numpy", "rasterio")
_END = 1 << 16  # bytes at either end of a file that its digest is of


def about_run(pair: Pair, device: torch.device, precision: str) -> dict[str, Any]:
    """Versions, machine, and the files of both domains, whose labels are the source's alone."""
    files = [("source", s.image) for s in pair.source] + [("source", s.label) for s in pair.source if s.label]
    files += [("target", s.image) for s in pair.target]
    return {
        "versions": {
            "rsuda": __version__, "python": platform.python_version(), **{p: _version(p) for p in _PACKAGES},
            "gdal": rasterio.__gdal_version__,
        },
        "machine": {
            "system": platform.platform(), "processor": _processor(), "cores": os.cpu_count(),
            "threads": torch.get_num_threads(), "precision": precision,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        },
        "data": [{"domain": domain, **fingerprint(file)} for domain, file in files],
    }  # fmt: skip


def fingerprint(file: Path | str) -> dict[str, Any]:
    """A file's name, bytes, time of its last change (UTC), and SHA-256 of its size and its first and last 64 KiB.

    Of what GDAL reads over a network, the name alone.
    """
    told: dict[str, Any] = {"file": Path(str(file)).name}
    if not isinstance(file, Path) or not file.is_file():
        return told
    found = file.stat()
    digest = hashlib.sha256(str(found.st_size).encode())
    with file.open("rb") as opened:
        digest.update(opened.read(_END))
        opened.seek(max(0, found.st_size - _END))
        digest.update(opened.read(_END))
    changed = datetime.fromtimestamp(found.st_mtime, UTC).isoformat(timespec="milliseconds")
    return {**told, "bytes": found.st_size, "changed": changed, "sha256_of_ends": digest.hexdigest()}


def write_about(folder: Path, about: dict[str, Any]) -> None:
    with atomic_write(folder / ABOUT, overwrite=True) as temporary:
        temporary.write_text(json.dumps(about, indent=2) + "\n")


def resumed_otherwise(folder: Path, now: dict[str, Any], step: int) -> list[str]:
    """What is no longer as it was when a run began, as notes; run.json keeps how it began and notes each going on.

    Scenes are compared by what is in them: a copy elsewhere, with another date, is the same.
    """
    try:
        was: dict[str, Any] = json.loads((folder / ABOUT).read_text())
        before, after = ([_content(f) for f in about["data"]] for about in (was, now))
        moved = {
            name: (was[part].get(name), value)
            for part in ("versions", "machine")
            for name, value in now[part].items()
            if was[part].get(name) != value
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        write_about(folder, now)  # a run of an earlier version, or a file that somebody edited
        return []
    notes = []
    if moved:
        told = ", ".join(f"{name} was {a} and is {b}" for name, (a, b) in moved.items())
        notes.append(f"{told}: numbers may round otherwise than in an uninterrupted run")
    files = sorted({name for name, *_ in set(before) ^ set(after)})
    if files:
        some = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
        notes.append(f"the data are not those that the run began with ({some}): it goes on with what is there now")
    was.setdefault("resumed", []).append({"step": step, "otherwise": notes})
    write_about(folder, was)
    return notes


def _content(file: dict[str, Any]) -> tuple[Any, ...]:
    return file["file"], file["domain"], file.get("bytes"), file.get("sha256_of_ends")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """The processor's name, which Python does not tell on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((v.strip() for k, _, v in (x.partition(":") for x in lines) if k.strip() == "model name"), "")
