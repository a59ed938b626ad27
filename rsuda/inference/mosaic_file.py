"""Write neighbouring scenes as one virtual raster, which is then predicted as any scene."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rsuda.core.atomic import atomic_write
from rsuda.core.errors import ExistsError, InputError
from rsuda.core.map_options import MapOptions
from rsuda.core.spelling import spell
from rsuda.geo.maps.mosaic import Mosaic, Tile
from rsuda.geo.rasters.raster import is_remote
from rsuda.geo.scenes.files import MOSAIC_TAG
from rsuda.inference.choose_scenes import choose_scenes

logger = logging.getLogger("rsuda")
NAME = "mosaic"


class MosaicFile(list[str | Path]):
    """The scene of a mosaic, as a list of one file, with the tiles that it joins."""

    def __init__(self, file: Path, tiles: Sequence[Tile]) -> None:
        super().__init__([file])
        self.tiles = tuple(tiles)


@contextmanager
def joined(scenes: Sequence[str | Path], options: MapOptions) -> Iterator[Sequence[str | Path]]:
    """Yield the scenes, or the mosaic of them if options ask for it.

    The mosaic is in the folder of the outputs. A new one is removed if the block fails.

    Raises:
        InputError, MissingError: the scenes are not tiles of one scene.
        ExistsError: another mosaic is there, and it may not be overwritten.
    """
    if not options.mosaic:
        yield scenes
        return
    places, notes, _ = choose_scenes(scenes)
    mosaic = Mosaic.of(places)
    for note in (*notes, *mosaic.notes):
        logger.info("note: %s", note)
    _check_names(mosaic.tiles, options)
    folder = options.out or (Path() if is_remote(places[0]) else Path(places[0]).parent)
    file = folder / f"{NAME}.vrt"
    before = file.read_text(encoding="utf-8") if file.is_file() else None
    text = _with_state(mosaic.as_vrt(folder), mosaic.tiles)
    if text != before:  # the date of the file is part of the key of its map
        if before is not None and not options.overwrite:
            raise ExistsError(
                f"{file} exists, of other or changed tiles: pass {spell('overwrite', True)} to replace it, or "
                f"choose another {spell('out')}"
            )
        _write(file, text)
    try:
        yield MosaicFile(file, mosaic.tiles)
    except BaseException:
        if text != before:
            _write(file, before)
        raise


def _write(file: Path, text: str | None) -> None:
    if text is None:
        file.unlink(missing_ok=True)
        return
    with atomic_write(file, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _with_state(text: str, tiles: Sequence[Tile]) -> str:
    """Note sizes and dates of the tiles in the virtual raster, so that a changed tile changes it and the key of its map."""
    states = []
    for tile in tiles:
        if not is_remote(tile.file.path):
            state = os.stat(tile.file.path)
            states.append(f"{state.st_size}-{state.st_mtime_ns}")
    entry = f'  <Metadata domain="{MOSAIC_TAG}">\n    <MDI key="TILES">{" ".join(states)}</MDI>\n  </Metadata>\n'
    return text.replace("</VRTDataset>", f"{entry}</VRTDataset>")


def _check_names(tiles: Sequence[Tile], options: MapOptions) -> None:
    """Raise InputError for two tiles of one name, whose rasters would be one file."""
    owners: dict[str, Tile] = {}
    for tile in tiles if options.per_tile else ():
        other = owners.setdefault(tile.name.casefold(), tile)
        if other is not tile or tile.name.casefold() == NAME:
            raise InputError(
                f"rasters of the tile {tile.file.path} would have the names of those of {other.file.path} or of the mosaic: "
                f"rename it, or leave out {spell('per_tile')}"
            )
