"""Describe a raster file: header, statistics of a sample of its pixels, and warnings."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.enums import ColorInterp

from rsuda.core.band_names import example_order
from rsuda.core.display import quoted
from rsuda.core.errors import InputError, MissingError
from rsuda.core.spelling import spell
from rsuda.geo.grids.grid import Grid
from rsuda.geo.rasters.collars import find_collar
from rsuda.geo.rasters.header_limits import check_bands
from rsuda.geo.rasters.openers import open_raster
from rsuda.geo.rasters.projection_file import grid_of
from rsuda.geo.rasters.raster import READ_ERRORS, Raster, RasterFile, is_remote, quiet
from rsuda.geo.rasters.stack import RasterStack
from rsuda.geo.rasters.validity import compression_of

WHOLE = 4_000_000  # pixels of a file that is read whole; larger files are sampled in windows
_ACROSS, _SIZE = 5, 256  # number of windows along each axis, and their side in pixels


def raster_facts(path: str | Path, bands: tuple[str, ...] | None = None, nodata: float | None = None) -> dict[str, Any]:
    """Describe a raster: driver, size, bands, GSD, CRS, bounds, mask, blocks, value ranges; ``warnings`` lists sentences.

    Args:
        bands: band names in file order, if the caller knows them.
        nodata: value that marks pixels without data, in place of the file's own.

    Raises:
        MissingError: the file is missing, or GDAL cannot open it. Unreadable pixels are a warning instead.
    """
    warnings: list[str] = []
    try:
        facts, band_facts, interpretation = _header(path, warnings)
    except READ_ERRORS as error:
        RasterFile(path)  # raises its own, clearer error
        raise MissingError(f"cannot read the header of {path}: {quoted(error)}") from error
    try:
        file = RasterFile(path, bands, nodata)
        for fact, name in zip(band_facts, file.band_order or (), strict=False):
            fact["name"] = name
        for fact, (scale, offset) in zip(band_facts, file.scaling, strict=True):
            fact |= {"scale": scale, "offset": offset} if (scale, offset) != (1.0, 0.0) else {}
        _warn_of_bands(file, interpretation, warnings)
        facts["mask"] = _mask(file)
        facts |= _pixels(file, band_facts, warnings)
        if collar := find_collar(file, file.image_numbers):
            warnings.append(str(collar))
    except (InputError, MissingError) as error:
        warnings.append(f"rsuda cannot use it: {error}")
    facts["warnings"] = warnings
    return facts


def _header(path: str | Path, warnings: list[str]) -> tuple[dict[str, Any], list[dict[str, Any]], Any]:
    """Read the facts of a header, those of each band (part of the first), and the bands' colour interpretation."""
    with quiet(), open_raster(path) as file:
        check_bands(file, path)
        interpretation = file.colorinterp
        grid = grid_of(file, path)
        facts: dict[str, Any] = {
            "kind": "raster",
            "file": str(path),
            "driver": file.driver,
            "width": file.width,
            "height": file.height,
            "bytes": None if is_remote(path) or not Path(path).is_file() else os.path.getsize(path),
            "gsd": _gsd(grid, warnings),
            "crs": grid.crs.to_string() if grid.crs else None,
            "bounds": [_plain(v) for v in grid.bounds] if grid.georeferenced else None,
            "nodata": [_plain(v) for v in file.nodatavals] if any(v is not None for v in file.nodatavals) else None,
            "mask": None,
            "tiled": bool(file.profile.get("tiled", False)),
            "block": list(file.block_shapes[0]),
            "overviews": file.overviews(1),
            "compression": compression_of(file),
        }
        band_facts = [
            {"band": number, "name": None, "type": dtype, "colour": colour.name, "description": description}
            for number, (dtype, colour, description) in enumerate(
                zip(file.dtypes, interpretation, file.descriptions, strict=True), 1
            )
        ]
        located_by = "ground control points" if file.gcps[0] else "RPCs" if file.rpcs is not None else None
    facts["bands"] = band_facts
    if located_by and not grid.georeferenced:
        warnings.append(
            f"it is located by {located_by}, not by a grid: warp it first (gdalwarp), or declare {spell('gsd')}"
        )
    for number, (dtype, value) in enumerate(zip(file.dtypes, file.nodatavals, strict=True), 1):
        if value is not None and not _holds(dtype, value):
            warnings.append(f"nodata {value:g} of band {number} is outside of {dtype}, so no pixel can have it")
            break
    return facts, band_facts, interpretation


def sample(file: RasterFile | RasterStack, numbers: list[int]) -> tuple[np.ndarray, np.ndarray, bool]:
    """Sample a file.

    Returns:
        valid pixels (bands, n), the mask (pixels read,) that selected them, and whether the whole file was read.
    """
    rasters = sample_windows(file, numbers)
    valid = np.concatenate([raster.valid.ravel() for raster in rasters])
    values = np.concatenate([raster.values.reshape(len(numbers), -1) for raster in rasters], 1)
    return values[:, valid], valid, valid.size == file.grid.height * file.grid.width


def sample_windows(file: RasterFile | RasterStack, numbers: list[int]) -> list[Raster]:
    """Read a file of up to 4 million pixels whole, and windows all over a larger one."""
    height, width = file.grid.height, file.grid.width
    if height * width <= WHOLE:
        windows = [(0, 0, height, width)]
    else:
        rows, cols = (sorted({int(v) for v in np.linspace(0, max(0, n - _SIZE), _ACROSS)}) for n in (height, width))
        windows = [(row, col, min(_SIZE, height - row), min(_SIZE, width - col)) for row in rows for col in cols]
    with file.opened():
        return [file.read(numbers, window) for window in windows]


def frequent_values(file: RasterFile, most: int = 4) -> str:
    """List the most frequent values or colours of a sample of a label, with their shares."""
    bands = file.image_numbers
    pixels = sample(file, bands[:3] if len(bands) >= 3 else bands[:1])[0].T
    values, counts = np.unique(pixels, axis=0, return_counts=True)
    first = np.argsort(-counts, kind="stable")[:most]
    names = (
        f"({', '.join(f'{part:.9g}' for part in value)})" if len(value) > 1 else f"{value[0]:.9g}"
        for value in values[first]
    )
    return ", ".join(f"{name} ({count / len(pixels):.0%})" for name, count in zip(names, counts[first], strict=True))


def highest_colour(file: RasterFile) -> float:
    """Find the highest number in the three bands of a label, 1 of one band for each class; 0 where all bands are equal."""
    bands = file.image_numbers[:3]
    pixels = sample(file, bands)[0]
    return float(pixels.max()) if len(bands) == 3 and (pixels != pixels[0]).any() else 0.0


def _pixels(file: RasterFile, band_facts: list[dict[str, Any]], warnings: list[str]) -> dict[str, Any]:
    numbers = file.all_numbers
    values, valid, whole = sample(file, numbers)
    share = float(valid.mean()) if valid.size else 0.0
    if not values.size:
        warnings.append(f"no pixel {'' if whole else 'of the sample '}holds data: all pixels are nodata or transparent")
        return {"data_share": share, "sampled": not whole}
    for fact, row in zip(band_facts, values.astype(np.float64), strict=True):
        fact |= {"min": float(row.min()), "max": float(row.max()), "mean": float(row.mean())}
    types = [file.dtypes[n - 1] for n in numbers]
    sixteen = [row for row, kind in zip(values, types, strict=True) if kind in ("uint16", "int16")]
    floats = [row for row, kind in zip(values, types, strict=True) if kind.startswith("float")]
    if sixteen:
        top = float(max(row.max() for row in sixteen))
        bits = max(1, math.ceil(math.log2(max(top, 1) + 1)))
        warnings.append(f"its 16-bit values reach {top:g}, as of a {bits}-bit sensor: rsuda stretches them by the spec")
    if floats and max(float(np.abs(row).max()) for row in floats) <= 1.5:
        warnings.append(
            "its values are about 0 to 1 (reflectances?): a model trained on 0 to 255 sees them as black, so scale them first"
        )
    if all(float(row.min()) == float(row.max()) for row in values):
        warnings.append("all its pixels have one value")
    return {"data_share": share, "sampled": not whole}


def _warn_of_bands(file: RasterFile, interpretation: Any, warnings: list[str]) -> None:
    if ColorInterp.alpha in interpretation and not file.alpha_is_real:
        number = interpretation.index(ColorInterp.alpha) + 1
        warnings.append(
            f"band {number} is tagged as alpha but is not a mask: rsuda reads it as imagery (near infrared)"
        )
    if file.count == 1 and interpretation[0] == ColorInterp.palette:
        warnings.append(
            "its values are numbers of a palette: it is a class raster, or gdal_translate -expand rgb makes colours"
        )
    if file.band_order is None:
        count = len(file.image_numbers)
        warnings.append(
            f"its {count} bands have no names: declare them ({spell('bands', example_order(count))})"
            if count > 1
            else f"its band has no name: declare it ({spell('bands', 'pan')})"
        )


def _gsd(grid: Grid, warnings: list[str]) -> list[float] | None:
    try:
        metres = grid.metres()
    except InputError as error:
        warnings.append(str(error))
        return None
    if metres is None:
        warnings.append(f"it has no georeference, so its GSD is unknown: declare it ({spell('gsd')})")
        return None
    if grid.crs is None:
        warnings.append(
            f"it has a transform but no CRS: its units are assumed to be metres ({spell('crs')} declares one)"
        )
    return [float(v) for v in metres]


def _mask(file: RasterFile) -> str:
    """Name what marks pixels without data."""
    numbers, alphas = file.all_numbers, len(file.transparency)
    kinds = [
        "mask" if file.validity.masks(numbers) else "",
        ("alpha band" if alphas == 1 else f"{alphas} alpha bands") if alphas else "",
        "nodata value" if any(value is not None for value in file.validity.nodata) else "",
    ]
    return ", ".join(kind for kind in kinds if kind) or "none"


def _holds(dtype: str, value: float) -> bool:
    """Check whether a data type can represent a value."""
    if dtype.startswith(("float", "complex")):
        return True
    limits = np.iinfo(dtype)
    return limits.min <= value <= limits.max and value == int(value)


def _plain(value: float | None) -> float | str | None:
    """Replace nan and infinity, which JSON lacks, by text."""
    return str(value) if value is not None and not math.isfinite(value) else value
