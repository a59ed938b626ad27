"""Draw a predicted scene as a map to click on: photograph, and polygons with class, area and confidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from rasterio.crs import CRS
from rasterio.warp import transform_bounds

from rsuda.core.errors import InputError
from rsuda.core.legend import Legend
from rsuda.core.spelling import spell
from rsuda.geo.grids.grid import Grid
from rsuda.geo.polygons.polygonise import polygon_table
from rsuda.geo.scenes.region import Region
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.predictor import Predictor
from rsuda.inference.sliding_window import strips
from rsuda.report.images import photo
from rsuda.report.views import DomainView, thumbnail

PHOTO = 1400  # pixels of the photograph's longer side
POLYGONS, CORNERS = 1500, 60_000  # at most, so that the page stays light
GRAIN = 3000  # pixels of the longer side that polygons are drawn from
FAR = 1000.0  # metres to the target's scenes beyond which a scene counts as another place


@dataclass(frozen=True)
class Shape:
    """A polygon: its class, square metres, mean confidence (None where unknown) and SVG path in pixels of the map."""

    index: int
    area: float
    confidence: float | None
    path: str


@dataclass(frozen=True)
class SceneMap:
    """A predicted scene.

    Attributes:
        width, height: pixels of the photograph, which are the map's coordinates.
        metres: length of such a pixel on the ground.
        areas: (K,) predicted square metres, from all the scene's pixels.
        notes: sentences about what was left out or merged.
    """

    name: str
    image: str
    width: int
    height: int
    metres: float
    shapes: tuple[Shape, ...]
    areas: tuple[float, ...]
    notes: tuple[str, ...]


def scene_map(predictor: Predictor, scene: Scene, others: Sequence[Scene]) -> SceneMap:
    """Predict a scene strip by strip and draw it.

    Args:
        others: the target's scenes, for the distance to the nearest one.

    Raises InputError for a scene without a valid pixel.
    """
    spec, grid = predictor.trained.spec, scene.grid
    every = max(1, math.ceil(max(grid.height, grid.width) / GRAIN))
    counts = np.zeros(256, np.int64)
    classes, confidence, row = [], [], 0
    for strip in strips(predictor, scene, Region.of(scene)):
        counts += np.bincount(strip.classes.ravel(), minlength=256)
        first = -row % every
        classes.append(strip.classes[first::every, ::every])
        confidence.append(strip.confidence[first::every, ::every])
        row += len(strip.classes)
    pixel = float(np.prod(scene.gsd))
    areas = counts[: len(spec.legend)] * pixel
    if not areas.any():
        raise InputError(f"{scene.image} has no valid pixel, only nodata or transparent ones: choose another scene")
    unit, valid = thumbnail(DomainView(predictor, spec, spec.gsd), scene, PHOTO)
    height, width = valid.shape
    shapes, notes = _shapes(
        np.concatenate(classes), np.concatenate(confidence), scene, spec.legend, every, (height, width)
    )
    if every > 1:
        notes.insert(0, f"polygons come from every {every}th pixel of the scene")
    metres = grid.width * scene.gsd[1] / width
    return SceneMap(
        scene.name,
        photo(unit, valid, quality=72),
        width,
        height,
        metres,
        tuple(shapes),
        tuple(map(float, areas)),
        tuple([*_elsewhere(scene, others), *notes]),
    )


def _shapes(
    classes: np.ndarray, confidence: np.ndarray, scene: Scene, legend: Legend, every: int, size: tuple[int, int]
) -> tuple[list[Shape], list[str]]:
    """Draw polygons in pixels of a map of (height, width) ``size``, few enough for a page; rsuda predict writes all of them."""
    height, width = classes.shape
    gsd = (scene.gsd[0] * every, scene.gsd[1] * every)
    scale = (size[1] / width, size[0] / height)
    simplify, most = max(gsd) * max(0.7, 0.5 / scale[0]), POLYGONS
    while True:
        table = polygon_table([(classes, confidence)], Grid(height, width), legend, gsd, simplify=simplify, most=most)
        frame = table.frame()
        if shapely.get_num_coordinates(frame.geometry.values).sum() <= CORNERS or most < 100:
            break
        simplify, most = simplify * 1.6, most // 2
    shapes = [
        Shape(int(index), float(area), None if value != value else float(value), _path(polygon, scale))
        for index, area, value, polygon in zip(
            frame["class"], frame["area_m2"], frame["confidence"], frame.geometry, strict=True
        )
    ]
    return shapes, [note.removesuffix(f"; {spell('min_area')} sets the limit") for note in frame.attrs["notes"]]


def _path(polygon: Any, scale: tuple[float, float]) -> str:
    """Write a polygon's rings as an SVG path; x is the column and y minus the row."""
    pieces = []
    for ring in (polygon.exterior, *polygon.interiors):
        points = shapely.get_coordinates(ring)[:-1] * (scale[0], -scale[1])
        pieces.append(
            "M" + "L".join(f"{x:.4g},{y:.4g}" if max(x, y) < 100 else f"{x:.1f},{y:.1f}" for x, y in points) + "Z"
        )
    return "".join(pieces)


def _elsewhere(scene: Scene, others: Sequence[Scene]) -> list[str]:
    """Return a sentence where the scene is far from all scenes of the target."""
    grid = scene.grid
    grids = [other.grid for other in others if other.grid.crs is not None and other.grid.georeferenced]
    if grid.crs is None or not grid.georeferenced or not grids:
        return []
    degrees = CRS.from_epsg(4326)
    bounds = transform_bounds(grid.crs, degrees, *grid.bounds)
    gap = min(_gap(bounds, transform_bounds(other.crs, degrees, *other.bounds)) for other in grids)
    if gap < FAR:
        return []
    return [
        f"this scene is {gap / 1000:,.0f} km from the nearest target scene: the scores on this page do not apply to it"
    ]


def _gap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Estimate the metres between two rectangles in degrees."""
    across = max(0.0, one[0] - other[2], other[0] - one[2]) * math.cos(math.radians((one[1] + one[3]) / 2))
    down = max(0.0, one[1] - other[3], other[1] - one[3])
    return math.hypot(across, down) * 111_200
