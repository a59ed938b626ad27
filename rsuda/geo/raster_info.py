"""What a raster file is, as rsuda sees it: header, a sample of its pixels, and what is odd about it."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags

from rsuda.core.errors import InputError, MissingError
from rsuda.geo.grid import Grid
from rsuda.geo.raster import READ_ERRORS, RasterFile, is_remote, quiet

WHOLE = 4_000_000  # pixels of a file that are all looked at; of larger ones, windows spread over it
_ACROSS, _SIZE = 5, 256  # windows along each axis, and their side


def raster_facts(path: str | Path, bands: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Driver, size, bands, GSD, CRS, bounds, mask, blocks, value ranges; ``odd`` lists sentences about what may surprise.

    Args:
        bands: band names in file order, where the caller knows them.

    Raises:
        MissingError: there is no such file, or GDAL cannot open it. A file whose pixels cannot be read is told by ``odd``.
    """
    odd: list[str] = []
    try:
        facts, listed, interp = _header(path, odd)
    except READ_ERRORS as error:
        RasterFile(path)  # which says what is wrong in its own words
        raise MissingError(f"cannot read the header of {path}: {str(error).splitlines()[0]}") from error
    try:
        opened = RasterFile(path, bands)
        names = opened.named_bands
        for band, name in zip(listed, names or (), strict=False):
            band["name"] = name
        _odd_bands(opened, interp, odd)
        facts |= _pixels(opened, listed, odd)
    except (InputError, MissingError) as error:
        odd.append(f"rsuda cannot use it: {error}")
    facts["odd"] = odd
    return facts


def _header(path: str | Path, odd: list[str]) -> tuple[dict[str, Any], list[dict[str, Any]], Any]:
    """Facts of a file's header, those of each band (which are among them), and the bands' colours."""
    with quiet(), rasterio.open(path) as file:
        interp, flags = file.colorinterp, file.mask_flag_enums
        grid = Grid(file.height, file.width, file.transform, file.crs)
        facts: dict[str, Any] = {
            "kind": "raster", "file": str(path), "driver": file.driver, "width": file.width, "height": file.height,
            "bytes": None if is_remote(path) or not Path(path).is_file() else os.path.getsize(path),
            "gsd": _gsd(grid, odd), "crs": file.crs.to_string() if file.crs else None,
            "bounds": [_plain(v) for v in grid.bounds] if grid.georeferenced else None,
            "nodata": [_plain(v) for v in file.nodatavals] if any(v is not None for v in file.nodatavals) else None,
            "mask": _mask(flags), "tiled": bool(file.profile.get("tiled", False)), "block": list(file.block_shapes[0]),
            "overviews": file.overviews(1), "compression": file.compression.value if file.compression else None,
        }  # fmt: skip
        listed = [
            {"band": n, "name": None, "type": t, "colour": c.name, "description": d}
            for n, (t, c, d) in enumerate(zip(file.dtypes, interp, file.descriptions, strict=True), 1)
        ]
        placed = "ground control points" if file.gcps[0] else "RPCs" if file.rpcs is not None else None
    facts["bands"] = listed
    if placed and not grid.georeferenced:
        odd.append(f"it is placed by {placed}, not by a grid: warp it first (gdalwarp), or declare --gsd")
    for k, value in enumerate(file.nodatavals):
        if value is not None and not _holds(file.dtypes[k], value):
            odd.append(f"nodata {value:g} of band {k + 1} is no {file.dtypes[k]}, so no pixel can be it")
            break
    return facts, listed, interp


def sample(file: RasterFile, numbers: list[int]) -> tuple[np.ndarray, np.ndarray, bool]:
    """Valid pixels (bands, n) of a file, the mask they were taken by, and whether that is all of it."""
    height, width = file.grid.height, file.grid.width
    if height * width <= WHOLE:
        windows = [(0, 0, height, width)]
    else:
        rows, cols = (sorted({int(v) for v in np.linspace(0, max(0, n - _SIZE), _ACROSS)}) for n in (height, width))
        windows = [(r, c, min(_SIZE, height - r), min(_SIZE, width - c)) for r in rows for c in cols]
    with file.kept_open():
        read = [file.read(numbers, w) for w in windows]
    valid = np.concatenate([r.valid.ravel() for r in read])
    values = np.concatenate([r.values.reshape(len(numbers), -1) for r in read], 1)
    return values[:, valid], valid, len(windows) == 1


def _pixels(file: RasterFile, listed: list[dict[str, Any]], odd: list[str]) -> dict[str, Any]:
    values, valid, whole = sample(file, list(range(1, file.count + 1)))
    share = float(valid.mean()) if valid.size else 0.0
    if not values.size:
        odd.append(f"no pixel {'' if whole else 'of the sample '}holds data: all is nodata or transparent")
        return {"data_share": share, "sampled": not whole}
    for band, row in zip(listed, values.astype(np.float64), strict=True):
        band |= {"min": float(row.min()), "max": float(row.max()), "mean": float(row.mean())}
    if file.dtype in ("uint16", "int16"):
        top = float(values.max())
        bits = max(1, math.ceil(math.log2(max(top, 1) + 1)))
        odd.append(f"its 16-bit values reach {top:g}, as of a {bits}-bit sensor: rsuda stretches them by the spec")
    if file.dtype.startswith("float") and float(np.abs(values).max()) <= 1.5:
        odd.append("its values lie about 0 to 1 (reflectances?): a network trained on 0 to 255 sees nothing but black")
    if all(float(row.min()) == float(row.max()) for row in values):
        odd.append("all its pixels have one value")
    return {"data_share": share, "sampled": not whole}


def _odd_bands(file: RasterFile, interp: Any, odd: list[str]) -> None:
    if ColorInterp.alpha in interp and not file.alpha_is_real:
        number = interp.index(ColorInterp.alpha) + 1
        odd.append(f"band {number} is tagged as alpha but is no mask: rsuda takes it for imagery (near infrared)")
    if file.count == 1 and interp[0] == ColorInterp.palette:
        odd.append(
            "its values are numbers of a palette: it is a class raster, or gdal_translate -expand rgb makes colours"
        )
    if file.named_bands is None:
        odd.append(
            f"its {file.count} band{'s are' if file.count > 1 else ' is'} not named: declare them (--bands RGBIR)"
        )


def _gsd(grid: Grid, odd: list[str]) -> list[float] | None:
    try:
        found = grid.metres()
    except InputError as error:
        odd.append(str(error))
        return None
    if found is None:
        odd.append("it has no georeference, so its GSD is unknown: declare it (--gsd)")
        return None
    if grid.crs is None:
        odd.append("it has a transform but no CRS: its units are taken as metres (--crs declares one)")
    return [float(v) for v in found]


def _mask(flags: Any) -> str:
    every = {f for band in flags for f in band}
    names = ((MaskFlags.alpha, "alpha band"), (MaskFlags.nodata, "nodata value"), (MaskFlags.per_dataset, "mask"))
    return next((name for flag, name in names if flag in every), "none")


def _holds(dtype: str, value: float) -> bool:
    if dtype.startswith(("float", "complex")):
        return True
    limits = np.iinfo(dtype)
    return limits.min <= value <= limits.max and value == int(value)


def _plain(value: float | None) -> float | str | None:
    """JSON has no nan."""
    return str(value) if value is not None and not math.isfinite(value) else value
