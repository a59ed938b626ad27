"""List the scenes of a folder or a pattern, and leave out the maps that rsuda itself has written beside them."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import rasterio

from rsuda.core.errors import InputError, MissingError
from rsuda.geo.rasters.raster import READ_ERRORS, SUFFIXES, RasterFile, is_remote, quiet

FileName = TypeVar("FileName", str, str | Path)

WILDCARDS = "*?["
OWN_TAG = "RSUDA_"  # begins the tags of all rasters and pictures that rsuda writes
MOSAIC_TAG = "RSUDA_MOSAIC"  # domain of the metadata of a virtual raster that joins tiles
OWN_ENDINGS = ("_classes", "_confidence", "_probabilities")  # of the names that rsuda writes rasters under
_READERS = 8  # headers that are read at once


def rasters_in(place: str) -> list[str]:
    """List the rasters of a folder and its inner folders, or of a glob, by their suffixes; hidden folders are skipped."""
    path = Path(place)
    if path.is_dir():
        files = (file for file in path.rglob("*") if not any(p.startswith(".") for p in file.relative_to(path).parts))
        return sorted(str(file) for file in files if file.suffix.lower() in SUFFIXES and not _is_mosaic(file))
    files_of_glob = glob.glob(place, recursive=True)
    return sorted(file for file in files_of_glob if file.lower().endswith(SUFFIXES) and not _is_mosaic(Path(file)))


def _is_mosaic(file: Path) -> bool:
    """Check whether a file is a virtual raster of rsuda, whose tiles are scenes already, or a map of them."""
    try:
        return file.suffix.lower() == ".vrt" and "RSUDA_" in file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def is_pattern(place: str) -> bool:
    """Check whether a text is a glob: it has a wildcard, and no file has this very name."""
    return any(sign in place for sign in WILDCARDS) and not is_remote(place) and not os.path.exists(place)


def is_raster(path: str) -> bool:
    """Check whether GDAL opens a path as a raster, which may be a folder."""
    try:
        with quiet(), rasterio.open(path):
            return True
    except READ_ERRORS:
        return False


def is_own_map(path: str | Path) -> bool:
    """Check whether a file is a raster that rsuda has written, by its tags. A file that cannot be read counts as a scene."""
    if is_remote(path) or Path(path).suffix.lower() not in (".tif", ".tiff", ".png"):
        return False
    try:
        with quiet(), rasterio.open(path) as file:
            return any(name.startswith(OWN_TAG) for name in file.tags())
    except READ_ERRORS:
        return False


def without_own_maps(files: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide files into scenes and the maps that rsuda has written, both in the order of the files."""
    with quiet(), ThreadPoolExecutor(_READERS) as readers:  # warnings are filtered outside of the threads
        pairs = list(zip(files, readers.map(is_own_map, files), strict=True))
    return [file for file, map_ in pairs if not map_], [file for file, map_ in pairs if map_]


def without_unreadable(files: Sequence[FileName]) -> tuple[list[FileName], list[MissingError]]:
    """Divide files into those whose headers can be read, and the errors of the others."""
    with quiet(), ThreadPoolExecutor(_READERS) as readers:
        pairs = list(zip(files, readers.map(_header_error, files), strict=True))
    return [file for file, error in pairs if error is None], [error for _, error in pairs if error is not None]


def _header_error(file: str | Path) -> MissingError | None:
    try:
        RasterFile(file)
    except MissingError as error:
        return error
    except InputError:  # a header that can be read, of a raster that cannot be used
        return None
    return None


def note_of_unreadable(errors: Sequence[MissingError], count: int) -> str:
    """Note how many of ``count`` files were left out because their headers cannot be read."""
    are = "is" if len(errors) == 1 else "are"
    return f"{len(errors)} of {count} rasters {are} left out: {errors[0]}{', …' if len(errors) > 1 else ''}"


def without_maps_beside(images: Mapping[str, str], root: Path) -> tuple[dict[str, str], list[str]]:
    """Divide the images of a domain's scenes, by scene, as ``without_own_maps``; only files named as rsuda's are opened.

    Raises:
        InputError: rsuda has written all images.
    """
    suspects = [file for file in images.values() if Path(file).stem.endswith(OWN_ENDINGS)]
    maps = {file for file in suspects if is_own_map(root / file)}
    if images and len(maps) == len(set(images.values())):
        raise InputError(
            f"{root / min(maps)} is a map that rsuda has written, as are all images: name the scenes' own files"
        )
    return {scene: file for scene, file in images.items() if file not in maps}, sorted(maps)


def note_of_own_maps(maps: Sequence[str]) -> str:
    """Note how many files were left out because rsuda has written them."""
    more = f" and {len(maps) - 1} more" if len(maps) > 1 else ""
    one = len(maps) == 1
    return f"{maps[0]}{more} {'was' if one else 'were'} written by rsuda, and {'is' if one else 'are'} left out"
