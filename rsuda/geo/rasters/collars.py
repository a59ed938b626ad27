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
from rsuda.geo.rasters.sparse_sample import sparse_sample
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
    try:
        with quiet(), open_raster(file.path) as dataset:
            if is_remote(file.path) and not dataset.overviews(1):
                return []
            values = sparse_sample(dataset, numbers)
    except READ_ERRORS:
        return []  # a read of the pixels says it better
    nodata = validity.is_nodata(values, numbers)
    known = np.isfinite(values).all(0) & (True if nodata is None else ~nodata)
    is_byte = all(validity.types[n - 1] == "uint8" for n in numbers)
    return [_collar_of(values, known, value, is_byte) for value in _border_values(values, known)]


def _border_values(values: np.ndarray, known: np.ndarray) -> list[float]:
    """The values that all bands share at many pixels of the border."""
    border = np.ones(known.shape, bool)
    border[1:-1, 1:-1] = False
    grey = values[:, border & known]
    grey = grey[0, (grey == grey[:1]).all(0)]
    shared, counts = np.unique(grey, return_counts=True)
    return [float(value) for value in shared[np.argsort(-counts)][:3]]


def _collar_of(values: np.ndarray, known: np.ndarray, value: float, is_byte: bool) -> Collar | None:
    """The collar of one value: regions that touch the border and are mostly of exactly this value."""
    exact = (values == value).all(0) & known
    near = exact
    if is_byte and value in (0, 255):  # lossy compression leaves noise beside the picture
        near = (np.abs(values.astype(np.int16) - int(value)) <= NEAR).all(0) & known
    regions, count = ndimage.label(near)
    if not count:
        return None
    numbers = range(1, count + 1)
    areas, exactly = (np.asarray(ndimage.sum_labels(part, regions, numbers)) for part in (near, exact))
    touching = np.unique(np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]]))
    large = [k for k in touching if k and areas[k - 1] >= _LEAST * near.size / 2 and exactly[k - 1] >= areas[k - 1] / 2]
    collar = np.isin(regions, large)
    rest = ~collar & known
    if collar.mean() < _LEAST or rest.mean() < _LEAST:
        return None
    colours = np.unique(values[:, rest], axis=1).shape[1]
    parts, _ = ndimage.label(~collar)
    sizes = np.bincount(parts.ravel())[1:]
    if colours < _COLOURS or sizes.max() < sizes.sum() / 2:
        return None
    return Collar(value, float(collar.mean()))
