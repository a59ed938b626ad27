"""A predicted scene as a map to click on: photograph, and polygons with class, area and confidence."""

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
from rsuda.geo.grid import Grid
from rsuda.geo.polygons import polygonise
from rsuda.geo.region import Region
from rsuda.geo.scene import Scene
from rsuda.inference.predictor import Predictor
from rsuda.inference.sliding_window import strips
from rsuda.report.images import photo
from rsuda.report.views import DomainView, small

PHOTO = 1400  # pixels of the photograph's longer side
POLYGONS, CORNERS = 1500, 60_000  # at most, so that the page stays light
GRAIN = 3000  # pixels of the longer side that polygons are drawn from
FAR = 1000.0  # metres from the target's scenes from which a scene counts as another place


@dataclass(frozen=True)
class Shape:
    """A polygon: its class, square metres, mean confidence (None unknown) and SVG path in pixels of the map."""

    index: int
    area: float
    confidence: float | None
    path: str


@dataclass(frozen=True)
class SceneMap:
    """A predicted scene.

    Attributes:
        width, height: of the map's own coordinates, the photograph's pixels.
        metres: of the ground that one of them is long.
        areas: (K,) square metres predicted, of all the scene's pixels.
        notes: what was left out or merged.
    """

    name: str
    image: str
    width: int
    height: int
    metres: float
    shapes: tuple[Shape, ...]
    areas: tuple[float, ...]
    notes: tuple[str, ...]


def scene_map(engine: Predictor, scene: Scene, others: Sequence[Scene]) -> SceneMap:
    """Predict a scene strip by strip. ``others`` are the target's scenes, to tell whether it lies among them.

    Raises InputError for a scene without a valid pixel.
    """
    spec, own = engine.trained.spec, scene.grid
    every = max(1, math.ceil(max(own.height, own.width) / GRAIN))
    counts = np.zeros(256, np.int64)
    classes, confidence, row = [], [], 0
    for strip in strips(engine, scene, Region.of(scene)):
        counts += np.bincount(strip.classes.ravel(), minlength=256)
        first = -row % every
        classes.append(strip.classes[first::every, ::every])
        confidence.append(strip.confidence[first::every, ::every])
        row += len(strip.classes)
    pixel = float(np.prod(scene.gsd))
    areas = counts[: len(spec.legend)] * pixel
    if not areas.any():
        raise InputError(f"{scene.image} has no valid pixel: all of it is nodata or transparent")
    unit, valid = small(DomainView(engine, spec, spec.gsd), scene, PHOTO)
    height, width = valid.shape
    shapes, notes = _shapes(
        np.concatenate(classes), np.concatenate(confidence), scene, spec.legend, every, (height, width)
    )
    if every > 1:
        notes.insert(0, f"polygons are drawn from every {every}th pixel of the scene")
    metres = own.width * scene.gsd[1] / width
    return SceneMap(
        scene.name, photo(unit, valid, quality=72), width, height, metres, tuple(shapes), tuple(map(float, areas)),
        tuple([*_elsewhere(scene, others), *notes]),
    )  # fmt: skip


def _shapes(
    classes: np.ndarray, confidence: np.ndarray, scene: Scene, legend: Legend, every: int, shown: tuple[int, int]
) -> tuple[list[Shape], list[str]]:
    """Polygons in pixels of the map, few enough for a page; those of the file that rsuda predict writes are whole."""
    height, width = classes.shape
    gsd = (scene.gsd[0] * every, scene.gsd[1] * every)
    scale = (shown[1] / width, shown[0] / height)
    simplify, most = max(gsd) * max(0.7, 0.5 / scale[0]), POLYGONS
    while True:
        frame = polygonise([(classes, confidence)], Grid(height, width), legend, gsd, simplify=simplify, most=most)
        if shapely.get_num_coordinates(frame.geometry.values).sum() <= CORNERS or most < 100:
            break
        simplify, most = simplify * 1.6, most // 2
    shapes = [
        Shape(int(k), float(a), None if c != c else float(c), _path(g, scale))
        for k, a, c, g in zip(frame["class"], frame["area_m2"], frame["confidence"], frame.geometry, strict=True)
    ]
    return shapes, [n.replace("; --min-area chooses", "") for n in frame.attrs["notes"]]


def _path(polygon: Any, scale: tuple[float, float]) -> str:
    """Rings in SVG's letters; x is the column and y minus the row."""
    pieces = []
    for ring in (polygon.exterior, *polygon.interiors):
        points = shapely.get_coordinates(ring)[:-1] * (scale[0], -scale[1])
        pieces.append(
            "M" + "L".join(f"{x:.4g},{y:.4g}" if max(x, y) < 100 else f"{x:.1f},{y:.1f}" for x, y in points) + "Z"
        )
    return "".join(pieces)


def _elsewhere(scene: Scene, others: Sequence[Scene]) -> list[str]:
    """A sentence where the scene lies far from all scenes of the target."""
    grid = scene.grid
    placed = [o.grid for o in others if o.grid.crs is not None and o.grid.georeferenced]
    if grid.crs is None or not grid.georeferenced or not placed:
        return []
    there = CRS.from_epsg(4326)
    own = transform_bounds(grid.crs, there, *grid.bounds)
    gap = min(_gap(own, transform_bounds(g.crs, there, *g.bounds)) for g in placed)
    if gap < FAR:
        return []
    return [
        f"this scene lies {gap / 1000:,.0f} km from the nearest of the target's: the scores on this page do not speak for it"
    ]


def _gap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Metres between two rectangles in degrees, roughly."""
    across = max(0.0, one[0] - other[2], other[0] - one[2]) * math.cos(math.radians((one[1] + one[3]) / 2))
    down = max(0.0, one[1] - other[3], other[1] - one[3])
    return math.hypot(across, down) * 111_200
