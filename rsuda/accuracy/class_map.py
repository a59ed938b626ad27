"""Open a map whose accuracy is asked for: a raster of classes, or a folder or glob of tiles that are one map."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from rsuda.core.errors import InputError, MissingError
from rsuda.core.legend import IGNORE, Legend
from rsuda.core.spelling import spell
from rsuda.geo.grids.grid import Grid
from rsuda.geo.maps.class_raster import DECLARED_GSD, ClassRaster, raster_tags
from rsuda.geo.maps.mosaic import Mosaic
from rsuda.geo.rasters.raster import RasterFile, is_remote
from rsuda.geo.scenes.files import is_pattern, rasters_in
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.confidence_file import confidence_beside

_CHUNK = 1 << 22  # bytes that are digested at once


@dataclass(frozen=True)
class ClassMap:
    """A map and what is known of its pixels.

    Attributes:
        place: what the user named.
        files: the rasters; several are tiles of one map.
        classes: the raster of classes, a mosaic of the tiles.
        confidence: its raster of confidence, 0 to 254 for 0 to 1; None without one.
        grid: of the pixels.
        pixel_m2: square metres of the central pixel; None where the GSD is unknown.
        notes: sentences for the user.
    """

    place: str
    files: tuple[Path | str, ...]
    classes: ClassRaster
    confidence: RasterFile | None
    grid: Grid
    pixel_m2: float | None
    notes: tuple[str, ...]

    @property
    def legend(self) -> Legend:
        """The classes."""
        return self.classes.legend

    def strips(self, *, confidence: bool = False) -> Iterator[tuple[int, np.ndarray, np.ndarray | None]]:
        """Read the map from top to bottom: first row, classes (rows, width) uint8, confidence (rows, width) uint8 or None.

        Classes are 255 where the map has none, and where its confidence has no data.

        Raises InputError after the last strip if most of the map is outside the legend.
        """
        file = self.confidence if confidence else None
        outside = inside = 0
        with file.opened() if file else nullcontext():
            for first, classes, count in self.classes.strips((0, 0, self.grid.height, self.grid.width)):
                outside, inside = outside + count, inside + int(np.count_nonzero(classes != IGNORE))
                if file is None:
                    yield first, classes, None
                else:
                    pixels = file.pixels([1], (first, 0, *classes.shape))[0][0]
                    yield first, np.where(pixels == IGNORE, np.uint8(IGNORE), classes), pixels
        self.check_legend(outside, inside)

    def check_legend(self, outside: int, inside: int) -> None:
        """Raise InputError if more pixels are outside the legend than have a class."""
        if outside > inside:
            raise InputError(
                f"{outside / (outside + inside):.0%} of the pixels of {self.place} are outside the legend "
                f"({', '.join(self.legend.names)}): choose another {spell('legend')}"
            )

    def classes_at(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Read the classes (n,) uint8 of pixels; 255 outside of the map and where it has no class."""
        values = np.full(len(rows), IGNORE, np.uint8)
        inside = (rows >= 0) & (rows < self.grid.height) & (cols >= 0) & (cols < self.grid.width)
        with self.classes.file.opened():
            for place in np.flatnonzero(inside):
                window = (int(rows[place]), int(cols[place]), 1, 1)
                _, classes, _ = next(self.classes.strips(window))
                values[place] = classes[0, 0]
        return values

    @cached_property
    def has_equal_areas(self) -> bool:
        """Whether all pixels have the same ground area, up to 1 %."""
        return self.grid.has_equal_areas

    def areas(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Measure the ground area (n,) of the pixels around positions, in square metres, or in pixels without a GSD."""
        unit = 1.0 if self.pixel_m2 is None else self.pixel_m2
        factors = None if self.has_equal_areas else self.grid.area_factors(rows, cols)
        return np.full(len(rows), unit) if factors is None else factors * unit

    def digest(self) -> str:
        """Digest the bytes of the map's files; '' for files that are read over a network."""
        state = hashlib.blake2b(digest_size=16)
        for path in self.files:
            if is_remote(path):
                return ""
            with open(path, "rb") as file:
                while chunk := file.read(_CHUNK):
                    state.update(chunk)
        return state.hexdigest()


@contextmanager
def open_map(
    place: str | os.PathLike[str],
    legend: Legend | None = None,
    *,
    nodata: float | None = None,
    gsd: float | None = None,
    crs: str | None = None,
) -> Iterator[ClassMap]:
    """Open a map for the block.

    Args:
        place: raster, or folder or glob of the tiles of one map; in a folder with maps of rsuda only those count.
        legend: that of the raster by default.
        nodata, gsd, crs: what the raster lacks; see ``rsuda.polygonize``.

    Raises:
        InputError, MissingError: it is not a raster of classes, or its tiles differ in CRS, GSD or data type.
    """
    name = os.fspath(place)
    files = _files(name)
    with tempfile.TemporaryDirectory() as folder:
        path, notes = _joined(files, Path(folder, "map_classes.vrt"))
        classes = ClassRaster.of(RasterFile(path, nodata=nodata), legend)
        confidence, reason = _confidence(files, classes, Path(folder))
        notes += [f"{reason} and is not read"] if reason else []
        gsd_text = raster_tags(path).get(DECLARED_GSD)
        scene = Scene(name, path, declared_gsd=gsd or (float(gsd_text) if gsd_text else None), crs=crs, nodata=nodata)
        pixel = _pixel_m2(scene)
        if scene.grid.crs is None:
            notes.append(f"{name} has no CRS, so neither have its points ({spell('crs')} declares one)")
        if pixel is None:
            notes.append(f"the GSD of {name} is unknown, so areas are in pixels ({spell('gsd')} declares it)")
        yield ClassMap(name, tuple(files), classes, confidence, scene.grid, pixel, tuple(notes))


def _files(place: str) -> list[Path | str]:
    """List the rasters of a map."""
    if is_remote(place):
        return [place]
    path = Path(place).expanduser()
    if not path.is_dir() and not is_pattern(str(path)):
        return [path]
    rasters = rasters_in(str(path))
    own_maps = [file for file in rasters if Path(file).stem.endswith("_classes")]
    if not rasters:
        raise MissingError(f"there is no raster in {place}: name a raster of classes, or a folder of its tiles")
    return [Path(file) for file in own_maps or rasters]


def _joined(files: Sequence[Path | str], virtual: Path) -> tuple[Path | str, list[str]]:
    """Return the only raster, or a virtual one of all tiles, and notes."""
    if len(files) == 1:
        return files[0], []
    mosaic = Mosaic.of(files)
    virtual.write_text(mosaic.as_vrt(virtual.parent), encoding="utf-8")
    return virtual, [*mosaic.notes]


def _confidence(
    files: Sequence[Path | str], classes: ClassRaster, folder: Path
) -> tuple[RasterFile | None, str | None]:
    """Find the confidence of a map; of tiles only if all have it."""
    if len(files) == 1:
        return confidence_beside(classes.file)
    parts = [confidence_beside(RasterFile(file)) for file in files]
    reason = next((reason for _, reason in parts if reason), None)
    rasters = [part.path for part, _ in parts if part is not None]
    if len(rasters) < len(files):
        return None, reason
    return RasterFile(_joined(rasters, folder / "map_confidence.vrt")[0]), None


def _pixel_m2(scene: Scene) -> float | None:
    try:
        down, across = scene.gsd
    except InputError:
        if scene.declared_gsd is not None or scene.grid.crs is not None:
            raise
        return None
    return down * across
