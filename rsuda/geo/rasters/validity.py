"""Say which pixels of a raster hold data: nodata values, NaN, masks and transparency, of images and of labels.

This is the one place of the rule. A pixel is invalid where a band that is read is NaN or infinite, and where it is
nodata. It is also invalid where a mask or a transparent band (less than half opaque) covers it. In bands of 8 bits, 0
and 255 are also dark and bright pixels. So a pixel is nodata where all bands of 8 bits that are read have their nodata
values. In bands of other types it is nodata where any band has its nodata value. Bands that are not read do not count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.enums import ColorInterp, MaskFlags

from rsuda.core.errors import InputError
from rsuda.geo.rasters.sparse_sample import sparse_sample

_BYTES = ("uint8", "int8")
_OPAQUE = 0.5  # share of the pixels of an alpha band above 0 that have its maximum; near infrared has far fewer
_LOSSY = ("JPEG", "YCbCr JPEG", "WEBP", "JPEG2000")
NEAR = 15  # greatest distance of a lossy pixel from the nodata value that a user declares; as in GDAL's nearblack


@dataclass(frozen=True)
class Validity:
    """Facts of a file's header about valid pixels.

    Attributes:
        types: numpy data type of each band.
        nodata: nodata value of each band, or None.
        flags: GDAL's mask flags of each band.
        colours: colour interpretation of each band.
        near: greatest distance from the nodata value that still counts as nodata.
        lossy: whether the file's compression changes values, as that of JPEG does.
    """

    types: tuple[str, ...]
    nodata: tuple[float | None, ...]
    flags: tuple[tuple[MaskFlags, ...], ...]
    colours: tuple[ColorInterp, ...]
    near: int = 0
    lossy: bool = False

    @staticmethod
    def of(file: Any, nodata_value: float | None = None) -> Validity:
        """Read the header of an open dataset. A declared nodata value replaces that of every band."""
        types = tuple(str(t) for t in file.dtypes)
        lossy = file.driver == "JPEG" or compression_of(file) in _LOSSY
        return Validity(
            types,
            tuple(file.nodatavals) if nodata_value is None else (nodata_value,) * file.count,
            tuple(tuple(flags) for flags in file.mask_flag_enums),
            tuple(file.colorinterp),
            NEAR if nodata_value is not None and lossy else 0,
            lossy,
        )

    @property
    def tagged_alpha(self) -> tuple[int, ...]:
        """1-based numbers of the bands that are tagged as alpha, whatever they hold."""
        return tuple(number for number, colour in enumerate(self.colours, 1) if colour == ColorInterp.alpha)

    def common_type(self, numbers: Sequence[int]) -> np.dtype[Any]:
        """Find the data type that holds the values of all these bands."""
        return np.result_type(*(np.dtype(self.types[n - 1]) for n in numbers))

    def masks(self, numbers: Sequence[int]) -> list[int]:
        """List the 1-based numbers of the bands whose GDAL masks hold for these bands: one for a mask of the file."""
        own_masks = [n for n in numbers if not self.flags[n - 1]]
        file_mask = [
            n
            for n in numbers
            if MaskFlags.per_dataset in self.flags[n - 1] and MaskFlags.alpha not in self.flags[n - 1]
        ]
        return own_masks + file_mask[:1]

    def may_be_invalid(self, numbers: Sequence[int], alphas: Sequence[int]) -> bool:
        """Check whether any pixel of these bands can be invalid, by the header alone."""
        bands = [n - 1 for n in numbers]
        return (
            bool(alphas)
            or bool(self.masks(numbers))
            or any(self.types[k].startswith("float") or self.nodata[k] is not None for k in bands)
        )

    def is_nodata(self, values: np.ndarray, numbers: Sequence[int]) -> np.ndarray | None:
        """Find the pixels that are nodata by value: (H, W) bool, or None where no pixel can be.

        Args:
            values: (bands, H, W) of the bands ``numbers``, as read, with NaN.
        """
        in_bytes: list[np.ndarray | None] = []
        anywhere: list[np.ndarray | None] = []
        for band, number in zip(values, numbers, strict=True):
            value, is_byte = self.nodata[number - 1], self.types[number - 1] in _BYTES
            (in_bytes if is_byte else anywhere).append(self._equal(band, value, self.near if is_byte else 0))
        parts = [part for part in anywhere if part is not None]
        whole = [part for part in in_bytes if part is not None]
        if whole and len(whole) == len(in_bytes):
            parts.append(np.logical_and.reduce(whole))
        return np.logical_or.reduce(parts) if parts else None

    @staticmethod
    def _equal(band: np.ndarray, value: float | None, near: int) -> np.ndarray | None:
        """Compare a band with its nodata value; None where no pixel of its type can be equal."""
        if value is None or not math.isfinite(value):
            return None  # NaN and infinite pixels are invalid in any case
        if np.issubdtype(band.dtype, np.floating):
            slack, limits = abs(value) * 1e-6 + near, np.finfo(band.dtype)  # files round their nodata values
            low, high = (float(np.clip(edge, limits.min, limits.max)) for edge in (value - slack, value + slack))
            return np.asarray((band >= low) & (band <= high))
        whole = np.iinfo(band.dtype)
        if not whole.min <= value <= whole.max or value != int(value):
            return None
        if not near:
            return np.asarray(band == band.dtype.type(value))
        return np.asarray(np.abs(band.astype(np.int32) - int(value)) <= near)


def compression_of(file: Any) -> str | None:
    """Name the compression of an open dataset; rasterio has names of its own for some, and GDAL's for others."""
    name = file.compression
    return None if name is None else str(getattr(name, "value", name))


def opaque_from(file: Any, numbers: Sequence[int]) -> dict[int, float]:
    """Find which bands of an open dataset, all tagged as alpha, are transparency and not near infrared.

    A band is transparency if over half of its pixels above 0 have its maximum.

    Returns:
        by 1-based number: the least value that is opaque, which is half of the band's maximum.
    """
    result = {}
    for number, band in zip(numbers, sparse_sample(file, numbers), strict=True) if numbers else ():
        top = float(band.max())
        has_value = band > 0
        if not has_value.any() or float(np.mean(band[has_value] == top)) > _OPAQUE:
            result[number] = max(top / 2, np.finfo(np.float64).tiny)
    return result


def is_one_hot(file: Any) -> bool:
    """Check whether an open dataset of four bands has one class in each: no pixel of a sample has a value in two bands.

    GDAL tags the last of four such bands as alpha, and so the file looks like colours with transparency.
    """
    if file.count != 4:
        return False
    has_value = sparse_sample(file, [1, 2, 3, 4]) != 0
    return bool((has_value.sum(0) <= 1).all() and has_value[3].any() and has_value[:3].any())


def check_nodata(value: object, what: str = "nodata") -> float | None:
    """Read a declared nodata value: a number, or text such as 'nan'. Raises InputError for anything else."""
    if value is None:
        return None
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    raise InputError(f"{what} is {value!r}; it must be a number, such as 0 or -9999")
