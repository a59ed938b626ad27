"""Turn the places that a user names into scenes: files, folders and globs, without the maps that rsuda has written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rsuda.core.errors import InputError, MissingError
from rsuda.geo.raster import SUFFIXES, is_remote
from rsuda.geo.scene_files import is_pattern, is_raster, note_of_own_maps, rasters_in, without_own_maps


def choose_scenes(places: Sequence[str | Path]) -> tuple[list[str | Path], list[str]]:
    """List the scenes of files, folders (with their inner folders), globs and what GDAL reads elsewhere.

    Returns:
        scenes, each file once, and notes for the user.

    Raises:
        MissingError: a folder or a glob has no raster.
        InputError: all files are maps that rsuda has written.
    """
    files: list[str] = []
    for place in places:
        inside = _inside(os.fspath(place))
        files += inside if inside == [os.path.expanduser(place)] else _new(inside, files)
    scenes, maps = without_own_maps(files)
    if maps and not scenes:
        raise InputError(f"{maps[0]} is a map that rsuda has written: name the scene that was mapped")
    chosen: list[str | Path] = [file if is_remote(file) else Path(file) for file in scenes]
    return chosen, [note_of_own_maps(maps)] if maps else []


def _inside(place: str) -> list[str]:
    """The rasters of a folder or a glob; the place itself for all else, also for a folder that GDAL may open as a raster."""
    if is_remote(place):
        return [place]
    expanded = os.path.expanduser(place)
    if os.path.isdir(expanded):
        files = rasters_in(expanded)
        if not files and not is_raster(expanded):
            raise MissingError(f"no raster ({', '.join(SUFFIXES)}) in the folder {place}")
        return files or [expanded]
    if is_pattern(expanded):
        files = rasters_in(expanded)
        if not files:
            raise MissingError(f"no raster ({', '.join(SUFFIXES)}) has a name like {place}")
        return files
    if expanded.lower().endswith((".yaml", ".yml")):
        raise InputError(f"{place} is a domain file, and scenes are rasters: name files, a folder or a glob in quotes")
    return [expanded]


def _new(files: Sequence[str], known: Sequence[str]) -> list[str]:
    """Those files that are not known yet."""
    places = {os.path.abspath(file) for file in known}
    return [file for file in files if os.path.abspath(file) not in places]
