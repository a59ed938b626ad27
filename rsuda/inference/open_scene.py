"""Open a scene for a model: name it, find its bands, and check its GSD against the model's."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rsuda.core.errors import InputError
from rsuda.core.spec import Spec, band_names
from rsuda.data.checks.gsd_limit import check_gsd
from rsuda.geo.rasters.dataset_names import data_set_name, is_remote
from rsuda.geo.scenes.scene import Scene

_MAX_NAME = 200  # bytes; file systems allow 255, and outputs append to it


def open_scene(
    path: str | Path,
    spec: Spec,
    *,
    bands: str | None = None,
    gsd: float | None = None,
    crs: str | None = None,
    nodata: float | None = None,
) -> Scene:
    """Open a scene and check everything about it that prediction needs. No pixel is read.

    Args:
        spec: what the model expects of pixels.
        bands, gsd, crs, nodata: of the scene, where its file does not declare them.

    Raises:
        MissingError: the file is missing, or is not a raster.
        InputError: its bands, its GSD, its size or its name cannot be used.
    """
    scene = Scene(
        scene_name(path),
        path if is_remote(path) else Path(path),
        bands=band_names(bands) if bands else None,
        declared_gsd=gsd,
        crs=crs,
        nodata=nodata,
    )
    if len(os.fsencode(scene.name)) > _MAX_NAME or not scene.name:
        raise InputError(f"outputs cannot be named after '{scene.name[:50]}…': rename the file {path}")
    scene.file.band_numbers(spec.bands)
    check_gsd(scene, spec.gsd)
    if scene.file.grid.height * scene.file.grid.width == 0:
        raise InputError(f"{path} has no pixels")
    return scene


def scene_name(path: str | Path) -> str:
    """Name a scene after its file, without suffix; a URL's query and fragment are left out."""
    if (data_set := data_set_name(path)) is not None:
        return data_set
    name = re.sub(r"[?#].*", "", str(path)).rstrip("/").rpartition("/")[2] if is_remote(path) else Path(path).name
    return re.sub(r"[\x00-\x1f\x7f]", "_", Path(name).stem)  # GDAL's writers accept no line breaks
