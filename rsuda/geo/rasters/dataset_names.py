"""Tell names that GDAL opens from paths: addresses, files in archives, and data sets within a file (netcdf:a.nc:red)."""

from __future__ import annotations

import re
from pathlib import Path

# as GDAL writes the names of data sets within a file
_DATA_SET = re.compile(
    r'(?i)(?:netcdf|hdf5|hdf4_\w+|zarr|gpkg|sentinel2_\w+|eedai?):"?(?P<file>[^"]+?)"?:(?P<set>[^:]+)', re.DOTALL
)


def is_remote(path: str | Path) -> bool:
    """Check whether a name is more than a plain path: a URL, a '/vsi…' path of GDAL, or a data set within a file."""
    return isinstance(path, str) and ("://" in path or path.startswith("/vsi") or _DATA_SET.fullmatch(path) is not None)


def data_set_name(path: str | Path) -> str | None:
    """Make a file name of a data set within a file, 'scene_red' of 'netcdf:scene.nc:red'; None for all else."""
    match = _DATA_SET.fullmatch(str(path))
    if match is None:
        return None
    inner = re.sub(r"\W+", "_", match["set"]).strip("_")
    return f"{Path(match['file']).stem}_{inner}"


def local_file(path: str | Path) -> Path | None:
    """Name the file on this machine that holds a raster; None for an address or a file in an archive."""
    match = _DATA_SET.fullmatch(str(path))
    file = path if match is None else match["file"]
    return None if is_remote(file) else Path(file)
