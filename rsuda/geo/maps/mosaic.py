"""Join neighbouring rasters to one virtual raster (GDAL's VRT) on a common grid.

GDAL describes the first tile as a virtual raster, with all that its bands declare. The sources of the bands are then
replaced by those of all tiles.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np
from rasterio.enums import MaskFlags
from rasterio.shutil import copy

from rsuda.core.errors import InputError
from rsuda.core.spelling import spell
from rsuda.geo.grids.grid import Grid
from rsuda.geo.rasters.raster import RasterFile, is_remote, quiet

_SAME = 1e-5  # relative difference of two pixel sizes
_OFF = 0.05  # pixels by which a tile may lie beside the grid of the first one without a note


@dataclass(frozen=True)
class Tile:
    """A raster of a mosaic and its place: (row, col, height, width) in pixels of the mosaic."""

    file: RasterFile
    window: tuple[int, int, int, int]

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return Path(str(self.file.path)).stem


@dataclass(frozen=True)
class Mosaic:
    """Neighbouring rasters on one grid; of overlapping ones the first counts, where it holds data.

    Attributes:
        notes: sentences for the user.
    """

    tiles: tuple[Tile, ...]
    grid: Grid
    notes: tuple[str, ...]

    @staticmethod
    def of(paths: Sequence[str | Path]) -> Mosaic:
        """Place rasters on the grid of the first one.

        Raises:
            InputError: a raster has no georeference or is rotated; or two rasters differ in CRS, pixel size, bands, data type
                or nodata value.
            MissingError: a raster is missing or unreadable.
        """
        files = [RasterFile(path) for path in paths]
        for file in files:
            _check_place(file)
            _check_alike(files[0], file)
        first = files[0].grid
        corners = [first.pixel(*file.grid.world(0, 0)) for file in files]
        places = [(round(row), round(col)) for row, col in corners]
        off = max(max(abs(row - at[0]), abs(col - at[1])) for (row, col), at in zip(corners, places, strict=True))
        top, left = min(row for row, _ in places), min(col for _, col in places)
        tiles = tuple(
            Tile(file, (row - top, col - left, file.grid.height, file.grid.width))
            for file, (row, col) in zip(files, places, strict=True)
        )
        height = max(tile.window[0] + tile.window[2] for tile in tiles)
        width = max(tile.window[1] + tile.window[3] for tile in tiles)
        notes = (f"tiles lie up to {off:.2f} pixels beside the grid of {files[0].path} and are moved onto it",)
        corner = next((tile.file.grid for tile in tiles if tile.window[:2] == (0, 0)), first.window(top, left, 1, 1))
        return Mosaic(tiles, corner.window(0, 0, height, width), notes if off > _OFF else ())

    @property
    def has_gaps(self) -> bool:
        """Whether a pixel of the grid is in no tile."""
        edges = [
            sorted({edge for tile in self.tiles for edge in (tile.window[k], tile.window[k] + tile.window[k + 2])})
            for k in (0, 1)
        ]
        rows, cols = ({edge: place for place, edge in enumerate(part)} for part in edges)
        coverage = np.zeros((len(rows) - 1, len(cols) - 1), bool)
        for row, col, height, width in (tile.window for tile in self.tiles):
            coverage[rows[row] : rows[row + height], cols[col] : cols[col + width]] = True
        return not coverage.all()

    def as_vrt(self, folder: Path) -> str:
        """Make the text of a VRT that lies in a folder; its paths are relative to the folder where that is possible."""
        root = _described(self.tiles[0].file.path)
        root.set("rasterXSize", str(self.grid.width))
        root.set("rasterYSize", str(self.grid.height))
        for name in ("OverviewList", "MaskBand"):
            for element in root.findall(name):
                root.remove(element)
        transform = root.find("GeoTransform")
        assert transform is not None
        transform.text = ", ".join(f"{value:.17g}" for value in self.grid.transform.to_gdal())
        for band in root.findall("VRTRasterBand"):
            number = int(band.get("band", "1"))
            for source in [*band.findall("SimpleSource"), *band.findall("ComplexSource")]:
                band.remove(source)
            for tile in reversed(self.tiles):  # the last one is drawn on top
                nodata = tile.file.validity.nodata[number - 1]
                source = _source(band, tile, folder, str(number), nodata is not None or _has_mask(tile.file))
                if nodata is not None:
                    SubElement(source, "NODATA").text = f"{nodata:.17g}"
                if _has_mask(tile.file):
                    SubElement(source, "UseMaskBand").text = "true"
        if self._needs_mask:
            mask = SubElement(SubElement(root, "MaskBand"), "VRTRasterBand", {"dataType": "Byte"})
            for tile in reversed(self.tiles):
                self._add_mask(mask, tile, folder)
        ElementTree.indent(root)
        return ElementTree.tostring(root, encoding="unicode") + "\n"

    @property
    def _needs_mask(self) -> bool:
        """Whether only a mask can mark the gaps, or what the tiles' own masks hide."""
        if any(_has_mask(tile.file) for tile in self.tiles):
            return True
        first = self.tiles[0].file
        return first.nodata is None and not first.alpha_is_real and self.has_gaps

    @staticmethod
    def _add_mask(mask: Element, tile: Tile, folder: Path) -> None:
        if _has_mask(tile.file) or not tile.file.validity.tagged_alpha:
            _source(mask, tile, folder, "mask,1", complex_source=False)
            return
        source = _source(mask, tile, folder, "1", complex_source=True)  # GDAL takes infrared tagged alpha for a mask
        SubElement(source, "ScaleOffset").text = "255"
        SubElement(source, "ScaleRatio").text = "0"


def _has_mask(file: RasterFile) -> bool:
    return any(MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags for flags in file.validity.flags)


def _source(band: Element, tile: Tile, folder: Path, number: str, complex_source: bool) -> Element:
    """Add a tile to a band of a VRT."""
    source = SubElement(band, "ComplexSource" if complex_source else "SimpleSource")
    path, relative = _path_from(tile.file.path, folder)
    SubElement(source, "SourceFilename", {"relativeToVRT": str(int(relative))}).text = path
    SubElement(source, "SourceBand").text = number
    row, col, height, width = tile.window
    size = {"xSize": str(width), "ySize": str(height)}
    types = {"DataType": band.get("dataType", "Byte")}
    SubElement(source, "SourceProperties", {"RasterXSize": str(width), "RasterYSize": str(height), **types})
    SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0", **size})
    SubElement(source, "DstRect", {"xOff": str(col), "yOff": str(row), **size})
    return source


def _path_from(path: Path | str, folder: Path) -> tuple[str, bool]:
    if is_remote(path):
        return str(path), False
    try:
        return Path(os.path.relpath(Path(path).resolve(), folder.resolve())).as_posix(), True
    except ValueError:  # another drive of Windows
        return str(Path(path).resolve()), False


def _described(path: Path | str) -> Element:
    """Read GDAL's description of a raster as a virtual raster."""
    with tempfile.TemporaryDirectory() as folder, quiet():
        virtual = Path(folder, "tile.vrt")
        copy(path, virtual, driver="VRT")
        return ElementTree.fromstring(virtual.read_text(encoding="utf-8"))


def _check_place(file: RasterFile) -> None:
    if is_remote(file.path) and not str(file.path).startswith("/vsi"):
        raise InputError(
            f"{file.path} is a web address, and a mosaic needs a path of GDAL: write /vsicurl/https://… or /vsis3/…"
        )
    grid = file.grid
    if not grid.georeferenced:
        raise InputError(f"{file.path} has no georeference, so its place in the mosaic is unknown: predict it alone")
    if grid.transform.b or grid.transform.d or grid.transform.a < 0:
        raise InputError(
            f"{file.path} is rotated or mirrored: warp it (gdalwarp), or predict it without {spell('mosaic')}"
        )


def _check_alike(first: RasterFile, other: RasterFile) -> None:
    """Raise InputError with both values for two rasters that cannot be tiles of one scene."""
    questions: dict[str, Callable[[RasterFile], Any]] = {
        "CRS": lambda file: file.grid.crs and file.grid.crs.to_string(),
        "number of bands": lambda file: file.count,
        "band order": lambda file: ", ".join(file.band_order or ()),
        "data type": lambda file: ", ".join(dict.fromkeys(file.dtypes)),
        "nodata value": lambda file: file.nodata,
    }
    for what, value in questions.items():
        one, two = value(first), value(other)
        if one != two and not (one != one and two != two):  # NaN
            raise _unlike(what, first, one, other, two)
    sizes = [(file.grid.transform.a, file.grid.transform.e) for file in (first, other)]
    if any(abs(a - b) > _SAME * abs(a) for a, b in zip(*sizes, strict=True)):
        texts = [f"{across:.6g} x {abs(down):.6g}" for across, down in sizes]
        raise _unlike("pixel size (GSD)", first, texts[0], other, texts[1])


def _unlike(what: str, first: RasterFile, one: object, other: RasterFile, two: object) -> InputError:
    values = [f"{value}" if value not in (None, "") else "none" for value in (one, two)]
    return InputError(
        f"the tiles of a mosaic need the same {what}: that of {first.path} is {values[0]}, that of {other.path} is "
        f"{values[1]}"
    )
