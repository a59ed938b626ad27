"""Read the classes of a raster of labels, and which of its pixels hold none: nodata, NaN, masks and transparency."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from rsuda.core.errors import InputError
from rsuda.core.legend import IGNORE, Legend
from rsuda.geo.grids.label_windows import resample_labels
from rsuda.geo.grids.windows import Window4
from rsuda.geo.rasters.raster import RasterFile

LEAST_GAP = 32  # between values that can be distinguished in a lossy file
JOIN_BANDS = (
    "if each band is a class, write the number of the highest band, from 0, to one band (argmax in gdal_calc.py)"
)
SMEARED = 64  # greatest distance of a pixel of a lossy file from the colour or value of its class


def labels_at(file: RasterFile, legend: Legend, step: tuple[float, float], window: Window4) -> tuple[np.ndarray, int]:
    """Read the class indices of a window as in ``RasterFile.read_at``, by majority over the covered label pixels.

    Returns:
        (height, width) uint8, 255 where ignored or outside; the number of off-palette file pixels read.
    """
    return resample_labels(file.grid, len(legend), step, window, lambda inner: read_classes(file, legend, inner))


def read_classes(file: RasterFile, legend: Legend, window: Window4) -> tuple[np.ndarray, int]:
    """Read the class indices of a window (row, col, height, width) inside a label, at the label's own resolution.

    NaN, masked, transparent and nodata pixels are ignored. A nodata value that is a class of the legend is that class. In
    files of lossy compression, such as JPEG, a pixel has the class of the colour or value that is clearly the nearest.

    Returns:
        (height, width) uint8, 255 where ignored; the number of pixels that hold data outside the legend.

    Raises:
        InputError: the legend lists colours, and the label has one band and no palette; or the label has no bands of values
            or colours.
    """
    check_label_bands(file, by_value=legend.by_value)
    values, valid = read_label_pixels(file, window, by_value=nodata_class(file, legend) is None)
    colours = _palette(file)
    if not valid.any():  # a window without data needs no palette
        return np.full(valid.shape, IGNORE, np.uint8), 0
    return legend.encode(values, colours, valid, SMEARED if file.validity.lossy else 0)


def check_label_bands(file: RasterFile, *, by_value: bool) -> None:
    """Raise InputError for a label whose bands are neither one value nor colours, such as one band for each class."""
    bands = file.count if file.is_one_hot else len(file.image_numbers)
    if bands not in (1, 3) and (bands != 4 or by_value or file.is_one_hot):
        raise InputError(
            f"the label has {bands} bands, and a label has one band of values or three of colours: {JOIN_BANDS}"
        )


def read_label_pixels(file: RasterFile, window: Window4, *, by_value: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Read the pixels of a window of a label as the file has them, with NaN.

    Args:
        by_value: whether pixels with the nodata value are invalid.

    Returns:
        values (bands, height, width) without bands of transparency; valid (height, width) bool.
    """
    numbers = file.image_numbers
    values, mask = file.pixels(numbers, window)
    valid = np.ones(values.shape[1:], bool) if mask is None else mask.copy()
    if np.issubdtype(values.dtype, np.floating):
        valid &= np.isfinite(values).all(0)
    nodata = file.validity.is_nodata(values, numbers) if by_value else None
    return values, valid if nodata is None else valid & ~nodata


def nodata_class(file: RasterFile, legend: Legend) -> int | None:
    """Find the class of a legend whose value or colour is the nodata of a label's file; None without one.

    Raises InputError if the legend lists colours, and the label has one band and no palette.
    """
    nodata = [file.validity.nodata[n - 1] for n in file.image_numbers]
    if any(value is None or not np.isfinite(value) for value in nodata):
        return None
    pixel = np.array(nodata, np.float64).reshape(-1, 1, 1)
    legend = replace(legend, tolerance=0) if legend.tolerance else legend
    index = int(legend.encode(pixel, _palette(file))[0].item())
    return None if index == IGNORE else index


def nodata_note(file: RasterFile, legend: Legend) -> str | None:
    """Say that the nodata value of a label's file is a class of the legend; None where it is not."""
    try:
        index = nodata_class(file, legend)
    except InputError:
        return None  # the reader raises it
    if index is None:
        return None
    return (
        f"{file.nodata:g} is the nodata value of label {file.path} and class '{legend.names[index]}' of the legend: "
        "these pixels are read as the class; if they hold no data, leave the class out of the legend"
    )


def blurred_note(file: RasterFile, legend: Legend) -> str | None:
    """Say that a label's file is lossy and that values of the legend are too near each other for it; None otherwise."""
    if not (file.validity.lossy and legend.by_value):
        return None
    values = sorted({value for values in legend.values for value in values} | set(legend.ignored_values))
    gap = min((after - before for before, after in pairwise(values)), default=SMEARED)
    if gap >= LEAST_GAP:
        return None
    return (
        f"label {file.path} is compressed with losses ({file.driver}), which change values by more than the {gap} between "
        "those of the legend: classes at borders are wrong, so export the labels as PNG or GeoTIFF"
    )


def _palette(file: RasterFile) -> dict[int, tuple[int, ...]] | None:
    return file.palette if file.count == 1 else None
