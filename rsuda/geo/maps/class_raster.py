"""Read any raster of classes for polygons: its legend, and its pixels as class indices in strips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import rasterio

from rsuda.core.errors import InputError
from rsuda.core.legend import Legend
from rsuda.core.legend_fields import Colour
from rsuda.core.spelling import spell
from rsuda.geo.grids.windows import Window4
from rsuda.geo.maps.class_names import class_colours, names_in_files
from rsuda.geo.rasters.labels import read_classes, read_label_pixels
from rsuda.geo.rasters.raster import RasterFile, quiet

STRIP = 512  # rows that are read at once
_MOST = 250  # classes of a legend
DECLARED_GSD = "RSUDA_SCENE_GSD"  # tag of a map: metres per pixel that were declared for its scene
_OWN_NAME = "CLASS_"  # begins the tags that name the classes of rsuda's maps


@dataclass(frozen=True)
class ClassRaster:
    """A raster of classes and the legend that it is read with.

    Attributes:
        numbers: value of each class in the attribute 'class' of polygons: its pixel value, or its place in a legend
            that the user has chosen.
        has_user_legend: whether the user has chosen the legend.
    """

    file: RasterFile
    legend: Legend
    numbers: tuple[int, ...]
    has_user_legend: bool

    @staticmethod
    def of(file: RasterFile, legend: Legend | None = None) -> ClassRaster:
        """Find the legend of a raster: the chosen one, or the names and colours of the raster itself.

        Raises:
            InputError: the raster has several bands, fractions, more than 250 values, or no valid pixel.
            MissingError: it is unreadable.
        """
        if file.dtype.startswith("complex"):
            raise InputError(
                f"{file.path} holds complex numbers ({file.dtype}): pass a raster of whole numbers, one for each class"
            )
        bands = len(file.image_numbers)
        if bands != 1 and not (legend is not None and bands == 3):
            raise InputError(
                f"{file.path} has {bands} bands, and a raster of classes has one"
                + (
                    f": for classes by colour, name their legend by {spell('legend')}"
                    if bands == 3 and legend is None
                    else ""
                )
            )
        if legend is not None:
            return ClassRaster(file, legend, tuple(range(len(legend))), has_user_legend=True)
        legend = _own_legend(file) or _legend_of_values(file)
        return ClassRaster(file, legend, tuple(values[0] for values in legend.values), has_user_legend=False)

    def strips(self, window: Window4) -> Iterator[tuple[int, np.ndarray, int]]:
        """Read the class indices of a window from top to bottom.

        Yields:
            the first row within the window; indices (rows, width) uint8, 255 for nodata and for what is outside the legend;
            the number of pixels outside the legend.

        Raises:
            InputError: the legend lists colours, and the raster has one band and no palette.
        """
        row, col, height, width = window
        with self.file.opened():
            for first in range(0, height, STRIP):
                part = (row + first, col, min(STRIP, height - first), width)
                try:
                    yield first, *read_classes(self.file, self.legend, part)
                except InputError as error:
                    raise InputError(f"{self.file.path}: {error}") from None


def _own_legend(file: RasterFile) -> Legend | None:
    """Read the legend of a map of rsuda: the tags CLASS_0, CLASS_1, … and the palette; None for any other raster."""
    tags, palette = raster_tags(file.path), file.palette
    count = sum(name.startswith(_OWN_NAME) and name[len(_OWN_NAME) :].isdigit() for name in tags)
    if file.dtype != "uint8" or not palette or not count:
        return None
    if any(f"{_OWN_NAME}{k}" not in tags or k not in palette for k in range(count)):
        return None
    values = range(count)
    names = tuple(tags[f"{_OWN_NAME}{k}"] for k in values)
    return Legend(names, tuple((_rgb(palette[k]),) for k in values), tuple((k,) for k in values))


def raster_tags(path: Path | str) -> dict[str, str]:
    """Read the tags of a raster and of its first band."""
    with quiet(), rasterio.open(path) as file:
        return {**file.tags(), **file.tags(1)}


def _legend_of_values(file: RasterFile) -> Legend:
    """Make a legend of the values that occur, with the names and colours that the raster or files beside it have."""
    values = _values(file)
    if not values:
        raise InputError(f"no pixel of {file.path} holds data")
    names_by_value, palette = names_in_files(file.path), file.palette or {}
    names = [names_by_value.get(str(value), (f"class {value}",))[0] for value in values]
    spare = list(islice(class_colours(names), len(values)))
    several = {name for name, count in Counter(names).items() if count > 1}
    colours: list[tuple[Colour, ...]] = []
    for place, value in enumerate(values):
        entry = names_by_value.get(str(value), ())
        colour = _rgb(palette[value]) if value in palette else _from_hex(spare[place])
        colours.append((_from_hex(entry[1]) if len(entry) > 1 else colour,))
    distinct = (f"{name} {value}" if name in several else name for name, value in zip(names, values, strict=True))
    return Legend(tuple(distinct), tuple(colours), tuple((value,) for value in values))


def _values(file: RasterFile) -> list[int]:
    """List the values of all valid pixels in rising order, one strip of them in memory at a time."""
    values: set[float] = set()
    height, width = file.grid.height, file.grid.width
    with file.opened():
        for row in range(0, height, STRIP):
            pixels, valid = read_label_pixels(file, (row, 0, min(STRIP, height - row), width))
            values.update(_distinct(pixels[0] if valid.all() else pixels[0][valid]))
            fraction = next((value for value in values if value != int(value)), None)
            if fraction is not None:
                raise InputError(
                    f"{file.path} holds fractions, such as {fraction:g}: pass a raster of whole numbers, one for each class"
                )
            if len(values) > _MOST:
                raise InputError(
                    f"{file.path} holds more than {_MOST} values, such as {max(values):g}, too many for classes: "
                    f"pass a raster of classes, or name its classes by {spell('legend')}"
                )
    return sorted(int(value) for value in values)


def _distinct(pixels: np.ndarray) -> list[float]:
    if pixels.dtype == np.uint8:
        return [float(value) for value in np.flatnonzero(np.bincount(pixels.ravel()))]
    return [float(value) for value in np.unique(pixels)]


def _rgb(colour: tuple[int, ...]) -> Colour:
    return colour[0], colour[1], colour[2]


def _from_hex(text: str) -> Colour:
    digits = text.lstrip("#")
    return int(digits[0:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)


def class_raster_name(path: Path | str) -> str:
    """Name the outputs of a class raster after its scene: NAME of NAME_classes.tif, else the raster's own name."""
    return Path(str(path)).stem.removesuffix("_classes")
