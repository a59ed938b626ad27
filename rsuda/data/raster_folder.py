"""Make a domain of the rasters of a folder, of a glob, or of one file."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from rsuda.core.errors import MissingError
from rsuda.core.spec import band_names
from rsuda.data.domain import Domain
from rsuda.geo.raster import SUFFIXES
from rsuda.geo.scene import Scene


def domain_of_rasters(place: str, bands: str | None, gsd: float | None) -> Domain:
    """All rasters of a folder, a glob or one file, as a domain without labels."""
    path = Path(place)
    if path.is_file():
        files = [place]
    elif path.is_dir():
        visible = [
            file for file in path.rglob("*") if not any(part.startswith(".") for part in file.relative_to(path).parts)
        ]
        files = sorted(str(file) for file in visible if file.suffix.lower() in SUFFIXES)
    else:
        files = sorted(file for file in glob.glob(place, recursive=True) if file.lower().endswith(SUFFIXES))
    if not files:
        raise MissingError(f"no raster ({', '.join(SUFFIXES)}) in {place}")
    scenes: dict[str, Scene] = {}
    for file in files:
        name = Path(file).stem if Path(file).stem not in scenes else file.replace(os.sep, "_")
        scenes[name] = Scene(name=name, image=Path(file), bands=band_names(bands) if bands else None, declared_gsd=gsd)
    first = next(iter(scenes.values()))
    label = path.name if path.is_dir() else (path.parent.name if path.suffix else path.stem) or "rasters"
    names = list(scenes)
    return Domain(label, scenes, first.file.band_order, None, {"all": names, "train": names})
