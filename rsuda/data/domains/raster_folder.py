"""Make a domain of the rasters of a folder, of a glob, or of one file."""

from __future__ import annotations

from pathlib import Path

from rsuda.core.errors import InputError, MissingError, joined_error
from rsuda.core.spec import band_names
from rsuda.data.domains.archives import ARCHIVE, note_of_archives, rasters_in_archives
from rsuda.data.domains.domain import Domain
from rsuda.geo.rasters.dataset_names import data_set_name, is_remote
from rsuda.geo.rasters.raster import SUFFIXES
from rsuda.geo.scenes.files import (
    is_raster,
    note_of_own_maps,
    note_of_unreadable,
    rasters_in,
    without_own_maps,
    without_unreadable,
)
from rsuda.geo.scenes.scene import Scene


def domain_of_rasters(place: str, bands: str | None, gsd: float | None) -> Domain:
    """Make a domain without labels of all rasters of a folder, a glob, one file, or one file that GDAL reads elsewhere.

    The maps that rsuda has written are left out, and so are files of a folder that GDAL cannot open, each with a note.

    Raises:
        MissingError: there is no raster, or GDAL can open none.
        InputError: all rasters are maps of rsuda.
    """
    path = Path(place)
    is_archive = path.is_file() and path.suffix.lower() == ARCHIVE
    is_named = is_remote(place) or (path.is_file() and not is_archive)
    files = [place] if is_named else rasters_in(place) or rasters_in_archives(path)
    if not files and path.is_dir() and is_raster(place):  # Zarr, and other formats of which a folder is one raster
        files, is_named = [place], True
    if not files:
        raise MissingError(f"no raster ({', '.join(SUFFIXES)}) in {place}")
    files, maps = without_own_maps(files)
    if not files:
        more = f" and so are {len(maps) - 1} more in {place}" if len(maps) > 1 else ""
        raise InputError(f"{maps[0]} is a map that rsuda has written{more}: name the scenes that were mapped")
    readable, errors = (files, []) if is_named else without_unreadable(files)
    if not readable:
        raise joined_error(errors, len(files), "rasters cannot be read")
    scenes: dict[str, Scene] = {}
    for file in readable:
        name = data_set_name(file) or Path(file).stem
        if name in scenes:
            name = Path(file).as_posix().replace("/", "_").replace(":", "_")
        image = file if is_remote(file) else Path(file)
        scenes[name] = Scene(name=name, image=image, bands=band_names(bands) if bands else None, assumed_gsd=gsd)
    first = next(iter(scenes.values()))
    if is_remote(place) and data_set_name(place) is None:
        _check_is_file(first)
    names, inside = list(scenes), note_of_archives(scene.image for scene in scenes.values())
    unreadable_note = note_of_unreadable(errors, len(files)) if errors else None
    notes = tuple(filter(None, (note_of_own_maps(maps) if maps else None, unreadable_note, inside)))
    splits = {"all": names, "train": names}
    return Domain(_label(place), scenes, first.file.band_order, None, splits, notes=notes)


def _label(place: str) -> str:
    """Name a domain after its folder, or the folder of its files."""
    if (data_set := data_set_name(place)) is not None:
        return data_set
    path = Path(place) if is_remote(place) else Path(place).absolute()
    return path.name if path.is_dir() else (path.parent.name if path.suffix else path.stem) or "rasters"


def _check_is_file(scene: Scene) -> None:
    """Raise MissingError with advice if a remote place is something other than a raster, such as a folder."""
    try:
        scene.file  # noqa: B018 (reads the header)
    except MissingError as error:
        if str(scene.image).lower().partition("?")[0].endswith(SUFFIXES):
            raise
        raise MissingError(
            f"{error}; folders are not listed over a network: name a raster, a virtual raster (.vrt) or a STAC item (.json)"
        ) from None
