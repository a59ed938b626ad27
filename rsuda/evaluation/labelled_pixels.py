"""Gather the probabilities of labelled pixels, from scenes with labels or from points with a class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np

from rsuda.core.display import quoted
from rsuda.core.errors import InputError, unknown
from rsuda.core.legend import IGNORE, Legend
from rsuda.core.spelling import spell
from rsuda.geo.polygons.input import read_frame, split_layer
from rsuda.geo.scenes.region import Region
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.predictor import Predictor
from rsuda.inference.sliding_window import blended

MOST = 200_000  # pixels that are drawn from all scenes
_SQUARE = 256  # side in pixels of the squares that are grouped where there are few scenes
_FEW = 5  # scenes below which squares are grouped
POINT_COLUMNS = ("reference", "class", "name")


@dataclass(frozen=True)
class LabelledPixels:
    """Labelled pixels with their probabilities before any temperature.

    Attributes:
        probabilities: (N, K) float32.
        labels: (N,) class indices, uint8.
        groups: (N,) int64; pixels of one group are near each other, and groups of neighbouring numbers mostly are.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def group_count(self) -> int:
        return len(np.unique(self.groups))

    def part(self, mask: np.ndarray) -> LabelledPixels:
        """Return the pixels that a mask (N,) bool chooses."""
        return LabelledPixels(self.probabilities[mask], self.labels[mask], self.groups[mask])


def pixels_of_scenes(
    predictor: Predictor, scenes: Sequence[Scene], legend: Legend, table: np.ndarray
) -> LabelledPixels:
    """Predict labelled scenes and draw up to MOST of their labelled pixels, with a fixed seed.

    Args:
        legend: of the labels.
        table: (256,) uint8, from indices of ``legend`` to those of the model; 255 for pixels that do not count.
    """
    quota, parts = MOST // len(scenes), []
    for number, scene in enumerate(scenes):
        label = table[scene.whole_label(legend)[0]]
        count = int((label != IGNORE).sum())
        if count:
            in_sample = np.random.default_rng([0, number]).random(label.shape, np.float32) < quota / count
            places = np.nonzero((label != IGNORE) & in_sample)
            parts.append(_read(predictor, scene, places, label[places], number, by_square=len(scenes) < _FEW))
    return _joined(parts, len(predictor.trained.spec.legend))


def _read(
    predictor: Predictor,
    scene: Scene,
    places: tuple[np.ndarray, ...],
    labels: np.ndarray,
    number: int,
    *,
    by_square: bool,
) -> LabelledPixels:
    """Read the probabilities of the places (rows, columns) of a scene, which is predicted whole."""
    rows, cols = places
    probabilities = np.zeros((len(rows), len(predictor.trained.spec.legend)), np.float32)
    for first, blend in blended(predictor, scene, Region.of(scene)):
        inside = (rows >= first) & (rows < first + blend.shape[1])
        probabilities[inside] = blend.cpu().numpy()[:, rows[inside] - first, cols[inside]].T
    valid = scene.valid(predictor.trained.spec.bands, (0, 0, scene.grid.height, scene.grid.width))
    use = np.ones(len(rows), bool) if valid is None else valid[rows, cols]
    squares = (rows // _SQUARE) * 10_000 + cols // _SQUARE if by_square else np.zeros_like(rows)
    return LabelledPixels(probabilities[use], labels[use], (number * 10**9 + squares.astype(np.int64))[use])


def pixels_of_points(
    predictor: Predictor, scenes: Sequence[Scene], layer: str | Path, attribute: str | None = None
) -> LabelledPixels:
    """Predict the surroundings of labelled points; each point is a group. Points without a class or a scene are left out.

    Args:
        layer: vector file of points, ``file|layername=…`` for one of several layers.
        attribute: column with the class names; the first of POINT_COLUMNS by default.

    Raises:
        InputError: the file has no such column or other names, or no point lies on a scene.
    """
    legend = predictor.trained.spec.legend
    frame, column = _points(layer, attribute)
    points = frame[frame[column].notna()]
    spellings = {name.casefold(): name for name in legend.names} | {name: name for name in legend.names}
    texts = points[column].astype(str).str.strip()
    names = texts.map(lambda text: spellings.get(text, spellings.get(text.casefold(), text)))
    others = sorted({*names} - {*legend.names, ""})
    if others and not {*names} & {*legend.names}:
        raise InputError(
            f"column '{column}' of {layer} holds {', '.join(others[:5])}, and the model's classes are "
            f"{', '.join(legend.names)}: name the column of classes by {spell('attribute')}"
        )
    points = points.assign(**{column: names})[names.isin(legend.names)]
    parts: list[LabelledPixels] = []
    for scene in scenes:
        scene_points = points if points.crs is None or scene.grid.crs is None else _projected(points, scene)
        classes = [legend.names.index(name) for name in scene_points[column]]
        first = 1 + int(parts[-1].groups[0]) if parts else 0
        parts += _of_scene(predictor, scene, scene_points, np.array(classes, np.uint8), first)
    return _joined(
        parts, len(legend), f"no point of {layer} with a class lies on a scene: name their scenes by {spell('scene')}"
    )


def _points(layer: str | Path, attribute: str | None) -> tuple[gpd.GeoDataFrame, str]:
    path, name = split_layer(str(layer))
    frame = read_frame(Path(path), name)
    frame = frame[frame.geometry.notna() & (frame.geometry.geom_type == "Point")]
    if frame.empty:
        raise InputError(f"{layer} has no points")
    columns = [str(column) for column in frame.columns if column != frame.geometry.name]
    if attribute is not None and attribute not in columns:
        raise unknown(f"column of {layer}", attribute, columns)
    column = attribute or next((name for name in POINT_COLUMNS if name in columns), None)
    if column is None:
        raise InputError(
            f"{layer} has none of the columns {', '.join(POINT_COLUMNS)}: name the one of classes by "
            f"{spell('attribute')}; "
            f"it has {', '.join(columns) or 'no column'}"
        )
    return frame, column


def _projected(frame: gpd.GeoDataFrame, scene: Scene) -> gpd.GeoDataFrame:
    assert scene.grid.crs is not None
    try:
        return frame.to_crs(scene.grid.crs.to_wkt())
    except Exception as error:  # of pyproj, for many kinds of invalid CRS
        raise InputError(f"the points over {scene.image} cannot be projected to its CRS: {quoted(error)}") from None


def _of_scene(
    predictor: Predictor, scene: Scene, frame: gpd.GeoDataFrame, labels: np.ndarray, first: int
) -> list[LabelledPixels]:
    """Read the pixels under points, one small region for each. Groups are numbered from ``first`` on, row by row."""
    parts, grid, places = [], scene.grid, []
    for number, point in enumerate(frame.geometry):
        place = grid.pixel(point.x, point.y)
        row, col = (int(np.floor(value)) if np.isfinite(value) else -1 for value in place)
        if 0 <= row < grid.height and 0 <= col < grid.width:
            places.append((row, col, number))
    for group, (row, col, number) in enumerate(sorted(places), first):
        region = Region(grid.window(row, col, 1, 1), (row, col, 1, 1))
        valid = scene.valid(predictor.trained.spec.bands, region.window)
        if valid is not None and not valid[0, 0]:
            continue
        ((_, blend),) = blended(predictor, scene, region)
        probabilities = blend[:, 0, 0].cpu().numpy()[None].copy()
        parts.append(LabelledPixels(probabilities, labels[number : number + 1], np.array([group])))
    return parts


def _joined(parts: Iterable[LabelledPixels], classes: int, sentence: str = "") -> LabelledPixels:
    parts = [part for part in parts if len(part)]
    if not parts:
        raise InputError(sentence or f"no labelled pixel belongs to one of the {classes} classes of the model")
    arrays = ([getattr(part, name) for part in parts] for name in ("probabilities", "labels", "groups"))
    return LabelledPixels(*map(np.concatenate, arrays))
