"""Find collars: rims without data that no nodata value, mask or transparency marks, also after lossy compression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rasterio.enums import ColorInterp
from scipy import ndimage

from rsuda.core.spelling import spell
from rsuda.geo.rasters.openers import open_raster
from rsuda.geo.rasters.raster import READ_ERRORS, RasterFile, is_remote, quiet
from rsuda.geo.rasters.sparse_sample import POINTS, is_sampled_by_points, rim_points, sparse_sample
from rsuda.geo.rasters.stack import RasterStack
from rsuda.geo.rasters.validity import NEAR

_LEAST = 0.01  # share of a file that a collar has
_COLOURS = 16  # different colours that the rest has; drawings and class rasters have fewer


@dataclass(frozen=True)
class Collar:
    """A region of one value that touches the border of a file.

    Attributes:
        value: of all bands.
        share: of the pixels of the file.
    """

    value: float
    share: float

    def __str__(self) -> str:
        return (
            f"{max(self.share, 0.01):.0%} of its pixels are one region of value {self.value:g} at the border, which no nodata "
            f"value, mask or alpha band marks: if they hold no data, declare it ({spell('nodata', float(self.value))}; "
            f"nodata: in a domain file; {spell('target_nodata')} of adapt)"
        )


def find_collar(file: RasterFile | RasterStack, numbers: Sequence[int]) -> Collar | None:
    """Find the largest collar of some bands (by 1-based number) of a file, in a sparse sample of it.

    Files with a mask, transparency or a palette are left out, and so are remote files without overviews.
    """
    if isinstance(file, RasterStack):
        collars = [find_collar(part, inner) for part, inner in file.files_of(numbers)]
    else:
        collars = _collars(file, numbers)
    return max((collar for collar in collars if collar), key=lambda collar: collar.share, default=None)


def _collars(file: RasterFile, numbers: Sequence[int]) -> list[Collar | None]:
    validity = file.validity
    if file.transparency or validity.masks(numbers) or ColorInterp.palette in validity.colours:
        return []
    is_byte = all(validity.types[n - 1] == "uint8" for n in numbers)
    try:
        with quiet(), open_raster(file.path) as dataset:
            if is_remote(file.path) and not dataset.overviews(1):
                return []
            if is_sampled_by_points(dataset, numbers) and _rim_excludes(
                *((points, _has_data(file, points, numbers)) for points in rim_points(dataset, numbers)),
                is_byte=is_byte,
            ):
                return []
            values = sparse_sample(dataset, numbers)
    except READ_ERRORS:
        return []  # a read of the pixels says it better
    has_data = _has_data(file, values, numbers)
    border = np.ones(has_data.shape, bool)
    border[1:-1, 1:-1] = False
    return [_collar_of(values, has_data, value, is_byte) for value in _shared_values(values[:, border & has_data])]


def _has_data(file: RasterFile, values: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    """Mark the pixels of a sample (bands, ...) that hold data."""
    nodata = file.validity.is_nodata(values, numbers)
    has_data: np.ndarray = np.isfinite(values).all(0) & (True if nodata is None else ~nodata)
    return has_data


def _rim_excludes(outer: tuple[np.ndarray, np.ndarray], inner: tuple[np.ndarray, np.ndarray], *, is_byte: bool) -> bool:
    """Check whether the rim of a sample rules out every collar, so that the rest need not be decoded.

    Args:
        outer, inner: the outermost points (bands, n) with a mask (n,) of the known ones, and those next to them.
    """
    for value in _shared_values(outer[0][:, outer[1]]):
        # a region of the border that reaches no inner point lies in the rim
        if _near(*inner, value, is_byte).any() or _near(*outer, value, is_byte).sum() >= _LEAST * POINTS**2:
            return False
    return True


def _shared_values(border: np.ndarray) -> list[float]:
    """Find the values that all bands share at many pixels of the border (bands, n)."""
    grey = border[0, (border == border[:1]).all(0)]
    levels, counts = np.unique(grey, return_counts=True)
    return [float(value) for value in levels[np.argsort(-counts)][:3]]


def _near(values: np.ndarray, has_data: np.ndarray, value: float, is_byte: bool) -> np.ndarray:
    """Mark the known pixels of a value, or near it where lossy compression leaves noise beside the picture."""
    if is_byte and value in (0, 255):
        near: np.ndarray = (np.abs(values.astype(np.int16) - int(value)) <= NEAR).all(0) & has_data
        return near
    exact: np.ndarray = (values == value).all(0) & has_data
    return exact


def _collar_of(values: np.ndarray, has_data: np.ndarray, value: float, is_byte: bool) -> Collar | None:
    """Find the collar of one value: regions that touch the border and are mostly of exactly this value."""
    exact = (values == value).all(0) & has_data
    near = _near(values, has_data, value, is_byte)
    regions, count = ndimage.label(near)
    if not count:
        return None
    numbers = range(1, count + 1)
    areas, exactly = (np.asarray(ndimage.sum_labels(part, regions, numbers)) for part in (near, exact))
    rim_regions = np.unique(np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]]))
    large = [
        k for k in rim_regions if k and areas[k - 1] >= _LEAST * near.size / 2 and exactly[k - 1] >= areas[k - 1] / 2
    ]
    collar = np.isin(regions, large)
    rest = ~collar & has_data
    if collar.mean() < _LEAST or rest.mean() < _LEAST:
        return None
    colours = np.unique(values[:, rest], axis=1).shape[1]
    parts, _ = ndimage.label(~collar)
    sizes = np.bincount(parts.ravel())[1:]
    if colours < _COLOURS or sizes.max() < sizes.sum() / 2:
        return None
    return Collar(value, float(collar.mean()))
