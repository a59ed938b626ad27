"""Compare two maps of one legend: what changed into what, as a raster, polygons and areas."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rsuda.accuracy.class_map import ClassMap, open_map
from rsuda.accuracy.strata import cells
from rsuda.core.atomic import atomic_write, make_folder
from rsuda.core.display import csv_cell
from rsuda.core.errors import ExistsError, InputError, exists
from rsuda.core.legend import IGNORE, Legend
from rsuda.core.legend_fields import Colour
from rsuda.core.map_options import MapOptions
from rsuda.core.spelling import spell
from rsuda.core.version import __version__
from rsuda.data.domain_files.legend import read_legend
from rsuda.geo.grids.grid import Grid
from rsuda.geo.maps.attribute_table import SUFFIX, attribute_table, write_attributes
from rsuda.geo.maps.cog import write_cog
from rsuda.geo.maps.qgis_styles import raster_style, write_style
from rsuda.inference.write_layers import write_layers

PathLike = str | os.PathLike[str]
RASTER, POLYGONS, TABLE, FACTS = "change_classes.tif", "change_polygons.gpkg", "transitions.csv", "change.json"
_STRIP, _MOST = 512, 250


@dataclass(frozen=True, kw_only=True)
class Change:
    """What changed between two maps.

    Attributes:
        first, second: the maps.
        classes: names of the classes, in the order of the first map's legend.
        pixels: (K, K) pixels by class of the first map (row) and of the second (column).
        area: (K, K) their area.
        unit: of areas: 'm2', or 'pixels' where the GSD is unknown.
        folder: of the files: the raster and the polygons of changes, a table and JSON.
        notes: sentences for the user.
    """

    first: str
    second: str
    classes: tuple[str, ...]
    pixels: np.ndarray
    area: np.ndarray
    unit: str
    folder: Path
    notes: tuple[str, ...]

    @property
    def raster(self) -> Path:
        """The raster of transitions: a raster of classes for ``rsuda.sample`` and ``rsuda.assess``."""
        return self.folder / RASTER

    @property
    def changed_share(self) -> float:
        """Share of the area that has another class in the second map, 0 to 1."""
        return 1 - float(np.trace(self.area) / self.area.sum())

    def as_fields(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "first": self.first,
            "second": self.second,
            "classes": list(self.classes),
            "pixels": self.pixels.tolist(),
            "area": self.area.tolist(),
            "unit": self.unit,
            "changed_share": self.changed_share,
            "folder": str(self.folder),
            "notes": list(self.notes),
        }


def change(
    first: PathLike,
    second: PathLike,
    out: PathLike = "change",
    *,
    min_area: float = 0.0,
    legend: PathLike | Legend | None = None,
    nodata: float | None = None,
    gsd: float | None = None,
    crs: str | None = None,
    overwrite: bool = False,
) -> Change:
    """Compare two maps of one legend, pixel by pixel.

    A difference of two maps holds the errors of both, so it overstates change. Sample the raster of transitions by
    ``rsuda.sample`` and label its points for both dates. ``rsuda.assess`` then gives the areas of change with their
    intervals.

    Args:
        first, second: rasters of classes, or folders or globs of tiles, with the same class names. Other grids are compared on
            the coarser one, by the nearest pixel.
        out: folder for the raster and the polygons of transitions, transitions.csv and change.json.
        min_area: least square metres of a polygon.
        legend, nodata, gsd, crs: what the rasters lack; see ``rsuda.polygonize``.
        overwrite: whether to replace existing files.

    Returns:
        pixels and areas by both classes, and the files.

    Raises:
        InputError, MissingError, ExistsError: before anything is written.
    """
    folder, options = Path(out).expanduser(), MapOptions.of(polygons="gpkg", min_area=min_area)
    _check_folder(folder, overwrite=overwrite)
    how: dict[str, Any] = {"nodata": nodata, "gsd": gsd, "crs": crs}
    with ExitStack() as stack:
        maps = [stack.enter_context(open_map(place, read_legend(legend), **how)) for place in (first, second)]
        pair, notes = _pair(*maps)
        pixels, area = pair.count()
        if not pixels.any():
            for map_ in maps:
                _check_classes(map_)
            raise InputError(
                f"{pair.first.place} and {pair.second.place} have no pixel with a class in common: check their CRS"
            )
        legend_of_changes, table = _transitions(pair.first.legend, pixels)
        result = Change(
            first=str(maps[0].place),
            second=str(maps[1].place),
            classes=pair.first.legend.names,
            pixels=pixels,
            area=area,
            unit="pixels" if pair.base.pixel_m2 is None else "m2",
            folder=folder,
            notes=tuple(dict.fromkeys((*maps[0].notes, *maps[1].notes, *notes))),
        )
        make_folder(folder)
        _write_polygons(pair, legend_of_changes, table, folder, options, overwrite=overwrite)
        _write_raster(pair, legend_of_changes, table, result, overwrite=overwrite)
    _write_tables(result, overwrite=overwrite)
    return result


def _check_folder(folder: Path, *, overwrite: bool) -> None:
    if folder.is_file():
        raise ExistsError(f"{folder} is a file: name a folder by {spell('out')}")
    for name in (RASTER, POLYGONS, TABLE, FACTS):
        if (folder / name).exists() and not overwrite:
            raise exists(folder / name)


@dataclass(frozen=True)
class _Pair:
    """Two maps on the grid of one of them.

    Attributes:
        same_pixels: whether both maps have the pixels of this grid.
        to_first: (256,) from the second map's classes to the first's.
    """

    first: ClassMap
    second: ClassMap
    base: ClassMap
    to_first: np.ndarray
    same_pixels: bool

    @property
    def grid(self) -> Grid:
        return self.base.grid

    def rows(self, row: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Read the classes of both maps, (count, width) uint8 each, 255 where either has none."""
        window = self.grid.window(row, 0, count, self.grid.width)
        one, two = (
            _classes_on(map_, window, row, same=self.same_pixels or map_ is self.base)
            for map_ in (self.first, self.second)
        )
        two = self.to_first[two]
        nodata = (one == IGNORE) | (two == IGNORE)
        return np.where(nodata, np.uint8(IGNORE), one), np.where(nodata, np.uint8(IGNORE), two)

    def strips(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        for row in range(0, self.grid.height, _STRIP):
            yield row, *self.rows(row, min(_STRIP, self.grid.height - row))

    def count(self) -> tuple[np.ndarray, np.ndarray]:
        """Sum pixels and areas (K, K) by both classes."""
        count = len(self.first.legend)
        pixels, area = np.zeros((count, count), np.int64), np.zeros((count, count))
        side = None if self.base.has_equal_areas else self.grid.height
        for first, one, two in self.strips():
            for rows, cols in cells(one.shape, side):
                valid = one[rows, cols] != IGNORE
                index = one[rows, cols][valid].astype(np.int64) * count + two[rows, cols][valid]
                counts = np.bincount(index, minlength=count * count).reshape(count, count)
                middle = np.array([first + (rows.start + rows.stop) / 2]), np.array([(cols.start + cols.stop) / 2])
                pixels += counts
                area += counts * self.base.areas(*middle)
        return pixels, area


def _pair(first: ClassMap, second: ClassMap) -> tuple[_Pair, list[str]]:
    """Check that two maps can be compared, and choose the grid; return also notes."""
    if set(first.legend.names) != set(second.legend.names):
        raise InputError(
            f"the maps have different classes: {first.place} has {', '.join(first.legend.names)}, {second.place} has "
            f"{', '.join(second.legend.names)}: pass one {spell('legend')} for both"
        )
    if not first.grid.same_pixels(second.grid) and not (first.grid.georeferenced and second.grid.georeferenced):
        raise InputError(
            f"{first.place} and {second.place} differ in size and lack a georeference, so they cannot be compared"
        )
    for map_ in (first, second):
        if map_.classes.has_user_legend:  # a legend of the map's own has all of its values
            _check_classes(map_)
    table = first.legend.mapping_from(second.legend)
    if first.grid.same_pixels(second.grid):
        base = first if first.grid.georeferenced else second
        return _Pair(first, second, base, table, same_pixels=True), []
    base = second if (second.pixel_m2 or 0) > 1.01 * (first.pixel_m2 or 0) else first
    note = f"the maps have different grids and are compared on that of {base.place}, by the nearest pixel of the other"
    return _Pair(first, second, base, table, same_pixels=False), [note]


def _check_classes(map_: ClassMap) -> None:
    """Raise InputError for a map without a class, or most of which is outside the legend."""
    strips = [bool((classes != IGNORE).any()) for _, classes, _ in map_.strips()]
    if not any(strips):
        raise InputError(f"no pixel of {map_.place} holds a class")


def _classes_on(map_: ClassMap, window: Grid, row: int, *, same: bool) -> np.ndarray:
    """Read a map's classes at the pixel centres of rows of the common grid, which may be its own; 255 outside of it."""
    if same:
        parts = map_.classes.strips((row, 0, window.height, window.width))
        return np.concatenate([classes for _, classes, _ in parts])
    rows, cols = window.positions_in(map_.grid)
    with np.errstate(invalid="ignore"):
        inside = (rows >= 0) & (cols >= 0) & (rows < map_.grid.height) & (cols < map_.grid.width)
    result = np.full(rows.shape, IGNORE, np.uint8)
    if inside.any():
        down, across = rows[inside].astype(np.int64), cols[inside].astype(np.int64)
        first_row, first_col = int(down.min()), int(across.min())
        part = (first_row, first_col, int(down.max()) - first_row + 1, int(across.max()) - first_col + 1)
        classes = np.concatenate([strip for _, strip, _ in map_.classes.strips(part)])
        result[inside] = classes[down - first_row, across - first_col]
    return result


def _transitions(legend: Legend, pixels: np.ndarray) -> tuple[Legend, np.ndarray]:
    """Make the classes of the raster: unchanged classes, then changes; and the table (256, 256) uint8 from both classes."""
    stable = [(k, k) for k in range(len(legend)) if pixels[k, k]]
    changes = sorted(
        ((i, k) for i, k in zip(*np.nonzero(pixels), strict=True) if i != k), key=lambda pair: -pixels[pair]
    )
    pairs = [*stable, *changes]
    if len(pairs) > _MOST:
        raise InputError(
            f"the maps have {len(pairs)} transitions, more than {_MOST}: merge classes by {spell('legend')}"
        )
    table = np.full((256, 256), IGNORE, np.uint8)
    names, colours = [], []
    for number, (before, after) in enumerate(pairs):
        table[before, after] = number
        names.append(legend.names[before] if before == after else f"{legend.names[before]} → {legend.names[after]}")
        colours.append((_pale(legend.palette[before]) if before == after else legend.palette[after],))
    return Legend(tuple(names), tuple(colours), tuple((k,) for k in range(len(pairs)))), table


def _pale(colour: Colour) -> Colour:
    red, green, blue = (round(255 - (255 - part) * 0.22) for part in colour)
    return red, green, blue


def _write_polygons(
    pair: _Pair, legend: Legend, table: np.ndarray, folder: Path, options: MapOptions, *, overwrite: bool
) -> None:
    """Write the polygons of changed places."""
    is_unchanged = np.array([" → " not in name for name in legend.names] + [True] * (256 - len(legend)))

    def strips() -> Iterator[np.ndarray]:
        for _, one, two in pair.strips():
            classes = table[one, two]
            yield np.where(is_unchanged[classes], np.uint8(IGNORE), classes)

    side = math.sqrt(pair.base.pixel_m2 or 1.0)
    write_layers(
        strips(), pair.grid, legend, (side, side), options, {"polygons": folder / POLYGONS}, overwrite=overwrite
    )


def _write_raster(pair: _Pair, legend: Legend, table: np.ndarray, result: Change, *, overwrite: bool) -> None:
    path = result.raster
    band = ("transition", lambda row, count: table[pair.rows(row, count)])
    tags = {"SOFTWARE": f"rsuda {__version__}"}
    write_cog(path, [band], pair.grid, legend, tags=tags, overwrite=overwrite)
    places = sorted(zip(*np.nonzero(table != IGNORE), strict=True), key=lambda place: table[place])
    counts = [int(result.pixels[place]) for place in places]
    write_attributes(
        attribute_table(legend, counts, pair.base.pixel_m2 or 1.0),
        path.with_name(path.name + SUFFIX),
    )
    write_style(raster_style(legend), path.with_suffix(".qml"))


def _write_tables(result: Change, *, overwrite: bool) -> None:
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(["from", "to", "pixels", f"area, {result.unit}"])
    for before, after in zip(*np.nonzero(result.pixels), strict=True):
        names = csv_cell(result.classes[before]), csv_cell(result.classes[after])
        rows.writerow([*names, int(result.pixels[before, after]), f"{result.area[before, after]:.10g}"])
    for name, text in ((TABLE, stream.getvalue()), (FACTS, json.dumps(result.as_fields(), indent=2) + "\n")):
        with atomic_write(result.folder / name, overwrite=overwrite) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
