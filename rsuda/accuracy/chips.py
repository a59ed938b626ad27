"""Cut a picture of each point out of a scene: its surroundings, and its pixel from near."""

from __future__ import annotations

import math
import os
from pathlib import Path

import geopandas as gpd
import numpy as np
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from rsuda.core.atomic import atomic_write
from rsuda.core.display import OWN_PICTURE
from rsuda.core.errors import InputError
from rsuda.geo.grids.grid import Grid
from rsuda.geo.rasters.raster import RasterFile, is_remote

_SIDE = 384  # pixels of each of the two pictures
_FAR, _NEAR = 128, 32  # pixels of the map that they show
_LOOKS = 40  # points around which the range of values is read
_LIGHT, _MARK = (255, 255, 255), (227, 26, 28)


def write_chips(
    points: gpd.GeoDataFrame, image: str | os.PathLike[str], folder: Path, grid: Grid, *, overwrite: bool
) -> tuple[list[str], list[str]]:
    """Write a PNG of each point, ID.png, and return their paths and notes for the user.

    Args:
        points: with columns id, row and col of the map's pixels.
        image: the scene; its first three bands are shown, or the first as grey.
        grid: of the map.

    Raises:
        InputError: the scene does not cover a point.
    """
    name = os.fspath(image)
    scene = RasterFile(name if is_remote(name) else Path(name).expanduser())
    rows, cols = points["row"].to_numpy() + 0.5, points["col"].to_numpy() + 0.5
    if grid.georeferenced and scene.grid.georeferenced:
        places = grid.points_in(scene.grid, rows, cols)
        steps = grid.points_in(scene.grid, rows + 1, cols)
        scale = float(np.nanmedian(np.hypot(steps[0] - places[0], steps[1] - places[1])))
    else:
        places, scale = (rows, cols), 1.0
    inside = (places[0] >= 0) & (places[0] < scene.grid.height) & (places[1] >= 0) & (places[1] < scene.grid.width)
    if not inside.all():
        outside = points["id"].to_numpy()[~inside]
        raise InputError(
            f"{name} does not cover {len(outside)} of {len(points)} points, such as {outside[0]}: name its scene"
        )
    bands = scene.image_numbers[:3] if len(scene.image_numbers) >= 3 else scene.image_numbers[:1]
    centres = list(zip(*places, strict=True))
    limits = _limits(scene, bands, centres)
    folder.mkdir(parents=True, exist_ok=True)
    names, tags = [], PngInfo()
    tags.add_text(OWN_PICTURE, "a point of a sample")
    with scene.opened():
        for number, centre in zip(points["id"], centres, strict=True):
            far = _view(scene, bands, centre, _FAR * scale, limits, Image.Resampling.BICUBIC)
            near = _view(scene, bands, centre, _NEAR * scale, limits, Image.Resampling.NEAREST)
            picture = Image.new("RGB", (2 * _SIDE + 8, _SIDE), _LIGHT)
            picture.paste(_marked(far, 0), (0, 0))
            picture.paste(_marked(near, _SIDE / _NEAR), (_SIDE + 8, 0))
            file = folder / f"{number:04d}.png"
            with atomic_write(file, overwrite=overwrite) as temporary:
                picture.save(temporary, "PNG", pnginfo=tags)
            names.append(str(file))
    return names, []


def _limits(scene: RasterFile, bands: list[int], centres: list[tuple[float, float]]) -> tuple[float, float]:
    """Find the darkest and the brightest value to show: percentiles 1 and 99 around some of the points."""
    parts = []
    with scene.opened():
        for row, col in centres[:_LOOKS]:
            patch = scene.read_at(bands, (1.0, 1.0), (int(row) - _FAR // 2, int(col) - _FAR // 2, _FAR, _FAR))
            parts.append(patch.values[:, patch.valid].astype(float).ravel())
    values = np.concatenate(parts)
    low, high = np.percentile(values, (1, 99)) if values.size else (0.0, 1.0)
    return float(low), max(float(high), float(low) + 1e-9)


def _view(
    scene: RasterFile,
    bands: list[int],
    centre: tuple[float, float],
    side: float,
    limits: tuple[float, float],
    resampling: Image.Resampling,
) -> Image.Image:
    """Draw a square around a position of the scene; what is outside of the scene is grey."""
    top, left = math.floor(centre[0] - side / 2), math.floor(centre[1] - side / 2)
    length = math.ceil(side) + 2
    patch = scene.read_at(bands, (1.0, 1.0), (top, left, length, length))
    unit = (patch.values.astype(float) - limits[0]) / (limits[1] - limits[0])
    pixels = (np.nan_to_num(unit).clip(0, 1) * 255).astype(np.uint8)
    pixels = np.where(patch.valid, pixels if len(bands) == 3 else np.repeat(pixels, 3, 0), np.uint8(128))
    image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    down, across = centre[0] - side / 2 - top, centre[1] - side / 2 - left
    return image.resize((_SIDE, _SIDE), resampling, box=(across, down, across + side, down + side))


def _marked(view: Image.Image, pixel: float) -> Image.Image:
    """Draw a cross that leaves the centre free, and the outline of the pixel where it is large."""
    draw, middle = ImageDraw.Draw(view), _SIDE / 2
    gap, end = max(10, pixel * 0.75 + 4), max(26, pixel * 0.75 + 20)
    for colour, width in ((_LIGHT, 4), (_MARK, 2)):
        for across, down in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            line = [middle + across * gap, middle + down * gap, middle + across * end, middle + down * end]
            draw.line(line, fill=colour, width=width)
        if pixel:
            half = pixel / 2
            draw.rectangle([middle - half, middle - half, middle + half, middle + half], outline=colour, width=width)
    return view
