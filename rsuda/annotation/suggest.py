"""Suggest the windows of a target to label next: those where a model is uncertain, and which differ from each other.

k-means clusters all candidate windows, each weighted by its uncertainty; each cluster gives the window nearest to its centre.
This is CLUE: Prabhu, Chandrasekaran, Saenko, Hoffman, "Active domain adaptation via clustering uncertainty-weighted
embeddings", ICCV 2021, arXiv 2010.08666. The most uncertain windows alone resemble each other, and between two domains a model
can be wrong and confident. The features of a window are the mean of the model's fused features. For a model without them they
are the window's class probabilities, and these times their entropy. BENCHMARKS.md lists the variants that were tried.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import geopandas as gpd
import numpy as np
from shapely import Polygon

from rsuda.annotation.candidates import Candidate, Progress, candidates
from rsuda.core.atomic import atomic_write, check_writable
from rsuda.core.errors import InputError, exists
from rsuda.core.spec import Spec
from rsuda.core.spelling import spell
from rsuda.core.vector_formats import FORMATS
from rsuda.data.domains.domain import Domain
from rsuda.geo.maps.qgis_styles import window_style, write_style
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.predictor import Predictor

logger = logging.getLogger("rsuda")


@dataclass(frozen=True)
class Suggestion:
    """A window to label.

    Attributes:
        scene: name of the scene.
        row, col, size: pixels of ``scene.grid_at(spec.gsd)``, the model's GSD.
        uncertainty: mean entropy of the window's valid pixels over log K, 0 to 1, of calibrated probabilities where the model
            has a scaling.
        rank: from 1, the most uncertain first.
        classes: shares of the predicted classes in the window, by name, 0 to 1.
        valid: share of the window's pixels that have data.
        candidates: number of windows among which it was chosen.
    """

    scene: str
    row: int
    col: int
    size: int
    uncertainty: float
    rank: int
    classes: dict[str, float] = field(default_factory=dict)
    valid: float = 1.0
    candidates: int = 0


def suggest(
    predictor: Predictor,
    domain: Domain,
    split: str = "all",
    k: int = 10,
    size: int = 128,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Suggestion]:
    """Suggest the ``k`` windows of a split that are most worth a label. No label is read.

    Candidates are the windows of an evenly spaced grid on each scene, which do not touch each other. Windows with less than
    half of their pixels valid do not count. The result is shorter than ``k`` where there are fewer candidates.

    Args:
        size: pixels per side of a window, at the model's GSD.
        seed: of k-means.
        progress: called with finished and all pixels.

    Raises:
        InputError: ``k`` or ``size`` is below 1, the split is unknown, no scene is as large as a window, or no window has data.
    """
    if k < 1:
        raise InputError(f"the number of windows is {k}; it must be at least 1")
    if size < 1:
        raise InputError(f"{spell('size')} is {size}; it must be at least 1")
    names, gsd = predictor.trained.spec.legend.names, predictor.trained.spec.gsd
    windows = list(candidates(predictor, domain.split(split), size, progress))
    if not windows:
        raise InputError(
            f"no window of {size} x {size} px of {gsd:g} m in split '{split}' of {domain.name} has data in half of its pixels: "
            "choose a smaller size"
        )
    return [
        Suggestion(
            window.scene,
            window.row,
            window.col,
            size,
            round(window.uncertainty, 6),
            rank,
            {name: round(float(share), 4) for name, share in zip(names, window.class_shares, strict=True)},
            round(window.valid, 4),
            len(windows),
        )
        for rank, window in enumerate((windows[i] for i in choose(windows, k, seed)), 1)
    ]


def choose(windows: list[Candidate], k: int, seed: int) -> list[int]:
    """Return the indices of ``k`` candidates, or of all, the most uncertain first: one of each of ``k`` clusters."""
    uncertainty = np.array([window.uncertainty for window in windows])
    indices = np.arange(len(windows))
    if len(windows) > k:
        points = np.stack(
            [
                window.fused if window.fused.size else np.concatenate([window.entropy, window.shares])
                for window in windows
            ]
        )
        points = (points - points.mean(0)) / np.maximum(points.std(0), 1e-6)
        indices = weighted_kmeans(points, uncertainty, k, np.random.default_rng(seed))
    order: list[int] = indices[np.argsort(-uncertainty[indices], kind="stable")].tolist()
    return order


def weighted_kmeans(points: np.ndarray, weight: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Return the indices of ``k`` different points (n, d), each nearest to the centre of one cluster of k-means.

    Args:
        weight: (n,) weights of the points, at least 0.
    """
    weight = np.maximum(weight, 1e-9)
    first = int(np.argmax(weight))
    indices, distance = [first], ((points - points[first]) ** 2).sum(1)
    while len(indices) < k:  # k-means++
        chance = distance * weight
        chance[indices] = 0
        if not chance.sum() > 0:  # equal points: any of the others
            chance = weight.copy()
            chance[indices] = 0
        new = int(rng.choice(len(points), p=chance / chance.sum()))
        indices.append(new)
        distance = np.minimum(distance, ((points - points[new]) ** 2).sum(1))
    centres = points[indices].copy()
    for _ in range(100):
        cluster = _squared_distances(points, centres).argmin(1)
        new_centres = centres.copy()
        for i in range(k):
            if (cluster == i).any():
                new_centres[i] = np.average(points[cluster == i], axis=0, weights=weight[cluster == i])
        if np.allclose(new_centres, centres):
            break
        centres = new_centres
    distances = _squared_distances(points, centres)
    nearest: list[int] = []
    for i in range(k):
        distances[nearest, i] = np.inf
        nearest.append(int(distances[:, i].argmin()))
    return np.array(nearest)


def _squared_distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return (n, k) squared distances, without an array of n x k x d numbers."""
    squares: np.ndarray = (points**2).sum(1)[:, None] - 2 * points @ centres.T + (centres**2).sum(1)
    return squares


def write_suggestions(
    suggestions: list[Suggestion], domain: Domain, spec: Spec, path: Path | str, *, overwrite: bool = False
) -> Path:
    """Write the windows as squares of one layer in a GeoPackage, to lay over the scenes in a GIS.

    Columns are rank, scene, row, col, size, uncertainty, the main predicted class, and the share of each class. The layer has
    the CRS of the first window's scene; windows of scenes in other CRSs are transformed corner by corner.

    Args:
        spec: of the model, for its GSD.

    Raises:
        InputError: a scene has no CRS, so a GIS cannot place its windows.
        ExistsError: the file exists and ``overwrite`` is False.
    """
    path = Path(path).expanduser()
    layer = None
    for window in suggestions:
        scene, size = domain.scenes[window.scene], window.size
        _check_georeferenced(scene)
        grid = scene.grid_at(spec.gsd).window(window.row, window.col, size, size)
        corners = [grid.world(x, y) for x, y in ((0, 0), (size, 0), (size, size), (0, size))]
        columns: dict[str, str | float] = {
            "rank": window.rank,
            "scene": window.scene,
            "row": window.row,
            "col": window.col,
            "size": size,
            "uncertainty": window.uncertainty,
            "predicted": max(window.classes, key=lambda name: window.classes[name]),
            **{f"share_{name}": share for name, share in window.classes.items()},
        }
        row = gpd.GeoDataFrame([columns], geometry=[Polygon(corners)], crs=scene.grid.crs)
        layer = row if layer is None else _append(layer, row)
    if layer is None:
        raise InputError("no window to write: suggest at least one")
    with atomic_write(path, overwrite=overwrite) as temporary:
        options = dict(FORMATS["gpkg"].options)
        layer.to_file(temporary, driver="GPKG", layer=path.stem, engine="pyogrio", **options)
    write_style(window_style(), path.with_suffix(".qml"))
    return path


def write_if_located(
    suggestions: list[Suggestion], domain: Domain, spec: Spec, path: Path | str, *, overwrite: bool = False
) -> Path | None:
    """Write the windows as ``write_suggestions``; None, with a note, where a scene has no CRS."""
    try:
        return write_suggestions(suggestions, domain, spec, path, overwrite=overwrite)
    except InputError as error:
        logger.warning("note: %s is not written: %s", path, error)
        return None


def check_output(path: Path | str, *, overwrite: bool = False) -> None:
    """Check, before anything is computed, that ``write_suggestions`` can write.

    Raises InputError for the name of another format, ExistsError, WriteError.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() != ".gpkg":
        raise InputError(
            f"{path} does not end with .gpkg, and the windows are written as a GeoPackage: name it NAME.gpkg"
        )
    if path.exists() and not overwrite:
        raise exists(path)
    check_writable(path.parent)


def _check_georeferenced(scene: Scene) -> None:
    if scene.grid.crs is None or not scene.grid.georeferenced:
        raise InputError(
            f"scene '{scene.name}' ({scene.image}) has no CRS, so a GIS cannot place its windows: add 'crs' to its domain "
            "file, or use the rows and columns of the table"
        )


def _append(layer: gpd.GeoDataFrame, more: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    import pandas as pd

    return gpd.GeoDataFrame(pd.concat([layer, more.to_crs(layer.crs)], ignore_index=True), crs=layer.crs)
