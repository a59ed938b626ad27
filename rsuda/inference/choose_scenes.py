"""Turn the places that a user names into scenes: files, folders and globs, without the maps that rsuda has written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rsuda.core.errors import InputError, MissingError
from rsuda.data.domains.archives import ARCHIVE, rasters_in_archives
from rsuda.data.drafts.pairing import is_label_name
from rsuda.geo.rasters.raster import SUFFIXES, is_remote
from rsuda.geo.scenes.files import is_pattern, is_raster, note_of_own_maps, rasters_in, without_own_maps

_SIDECARS = (
    *(
        ".aux.xml",
        ".ovr",
        ".msk",
        ".tfw",
        ".tifw",
        ".pgw",
        ".pngw",
        ".jgw",
        ".jpgw",
        ".j2w",
        ".wld",
        ".prj",
        ".qml",
        ".hdr",
    ),
    *(".xml", ".txt", ".csv", ".md", ".pdf", ".json", ".cpg", ".dbf", ".shx"),
)


class ChosenScenes(NamedTuple):
    """The scenes that names stand for.

    Attributes:
        scenes: each file once.
        notes: sentences for the user.
        unnamed: scenes that a folder, a glob or an archive holds, without a name of their own.
    """

    scenes: list[str | Path]
    notes: list[str]
    unnamed: frozenset[str | Path]


def choose_scenes(places: Sequence[str | Path]) -> ChosenScenes:
    """List the scenes of files, folders (with their inner folders), globs and what GDAL reads elsewhere.

    Raises:
        MissingError: a folder or a glob has no raster.
        InputError: all files are maps that rsuda has written.
    """
    files: list[str] = []
    user_files: list[str] = []
    places, sidecars = _without_sidecars([os.fspath(place) for place in places])
    for place in places:
        inside = _inside(place)
        is_named = inside == [os.path.expanduser(place)]
        # a name that is written twice is kept, to be refused; one of a folder that was listed before is the same scene
        files += _new(inside, [file for file in files if file not in user_files] if is_named else files)
        user_files += inside if is_named else []
    scenes, maps = without_own_maps(files)
    if maps and not scenes:
        raise InputError(f"{maps[0]} is a map that rsuda has written: name the scene that was mapped")
    scenes, label_notes = _without_labels(scenes, user_files)
    paths = {file: file if is_remote(file) else Path(file) for file in scenes}
    notes = [*([note_of_own_maps(maps)] if maps else []), *sidecars, *label_notes]
    unnamed = frozenset(scene for file, scene in paths.items() if file not in user_files)
    return ChosenScenes([paths[file] for file in scenes], notes, unnamed)


def _without_sidecars(places: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide names, which a shell may have expanded from 'tiles/*', into scenes and a note of the files beside scenes."""
    beside = [place for place in places if place.lower().endswith(_SIDECARS) and os.path.isfile(place)]
    if not beside or len(beside) == len(places):
        return list(places), []
    others = f" and {len(beside) - 1} more" if len(beside) > 1 else ""
    left_out = f"{beside[0]}{others}: left out, since files of this kind go with a raster and are none"
    return [place for place in places if place not in beside], [left_out]


def _without_labels(files: Sequence[str], user_files: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide files into scenes and a note of the labels beside them, known by the words of their names and folders.

    Files that were named themselves stay, and so do all files where every one of them is a label.
    """
    unnamed = [file for file in files if file not in user_files and not is_remote(file)]
    folder = os.path.commonpath([os.path.dirname(file) for file in unnamed]) if unnamed else ""
    labels = {file for file in unnamed if is_label_name(Path(os.path.relpath(file, folder or ".")).as_posix())}
    scenes = [file for file in files if file not in labels]
    if not labels or not scenes:
        return list(files), []
    more = f" and {len(labels) - 1} more" if len(labels) > 1 else ""
    are = "are labels by their names, and are" if more else "is a label by its name, and is"
    return scenes, [f"{min(labels)}{more} {are} left out: to map such a file, name it itself"]


def _inside(place: str) -> list[str]:
    """List the rasters of a folder or a glob; any other place stands for itself, also a folder that GDAL may open as a raster."""
    if is_remote(place):
        return [place]
    path = os.path.expanduser(place)
    if os.path.isdir(path):
        files = rasters_in(path)
        if not files and not is_raster(path):
            raise MissingError(f"no raster ({', '.join(SUFFIXES)}) in the folder {place}")
        return files or [path]
    if is_pattern(path):
        files = rasters_in(path)
        if not files:
            raise MissingError(f"no raster ({', '.join(SUFFIXES)}) has a name like {place}")
        return files
    if path.lower().endswith(ARCHIVE) and os.path.isfile(path):
        files = rasters_in_archives(Path(path))
        if not files:
            raise MissingError(f"no raster ({', '.join(SUFFIXES)}) in the archive {place}")
        return files
    if path.lower().endswith((".yaml", ".yml")):
        raise InputError(f"{place} is a domain file, and scenes are rasters: name files, a folder or a glob in quotes")
    return [path]


def _new(files: Sequence[str], earlier_files: Sequence[str]) -> list[str]:
    """Return the files that are not among earlier ones, by their absolute paths."""
    places = {os.path.abspath(file) for file in earlier_files}
    return [file for file in files if os.path.abspath(file) not in places]
