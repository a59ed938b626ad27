"""Which windows of a target to annotate next: those a network is unsure of, and unlike each other.

k-means of all candidate windows, each weighted by its uncertainty, and of each cluster the window nearest to its centre: CLUE
of Prabhu, Chandrasekaran, Saenko, Hoffman, "Active domain adaptation via clustering uncertainty-weighted embeddings", ICCV
2021, arXiv 2010.08666. The most uncertain windows alone are much alike, and between two domains a network is wrong and sure as
well. The features are the network's fused ones, in the mean over a window; of a network that has none, the window's class
probabilities and these times their entropy. BENCHMARKS.md says what was tried.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import geopandas as gpd
import numpy as np
from shapely import Polygon

from rsuda.annotation.candidates import Candidate, candidates
from rsuda.core.atomic import atomic_write
from rsuda.core.errors import ExistsError, InputError
from rsuda.core.spec import Spec
from rsuda.data.domain import Domain
from rsuda.geo.scene import Scene
from rsuda.inference.predictor import Predictor


@dataclass(frozen=True)
class Suggestion:
    """A window to annotate.

    Attributes:
        scene: name of the scene.
        row, col, size: pixels of ``scene.grid_at(spec.gsd)``, the network's GSD.
        uncertainty: mean entropy of the window's valid pixels over log K, 0 to 1.
        rank: from 1, the most uncertain first.
        classes: the predicted classes' shares of the window, by name, 0 to 1.
        valid: share of the window's pixels that hold data.
        of: number of windows that could have been chosen.
    """

    scene: str
    row: int
    col: int
    size: int
    uncertainty: float
    rank: int
    classes: dict[str, float] = field(default_factory=dict)
    valid: float = 1.0
    of: int = 0


def suggest(
    engine: Predictor, domain: Domain, split: str = "all", k: int = 10, size: int = 128, seed: int = 0
) -> list[Suggestion]:
    """The ``k`` windows of a split's images that are most worth a label; no label is read.

    Candidates are the windows of an evenly spread grid of each scene, which do not touch each other; those with less than half
    of their pixels valid are passed over. Fewer than ``k`` come back where there are no more.

    Args:
        size: pixels per side of a window, of the network's GSD.
        seed: of the spreading.

    Raises:
        InputError: ``k`` or ``size`` below 1, an unknown split, no scene as large as a window, no window that holds data.
    """
    if k < 1:
        raise InputError(f"at least 1 window must be asked for, not {k}")
    if size < 1:
        raise InputError(f"a window must be at least 1 px long, not {size}")
    names, gsd = engine.trained.spec.legend.names, engine.trained.spec.gsd
    found = list(candidates(engine, domain.split(split), size))
    if not found:
        raise InputError(
            f"no window of {size} x {size} px of {gsd:g} m in split '{split}' of {domain.name} holds data in half of its pixels"
        )
    chosen = [found[i] for i in choose(found, k, seed)]
    return [
        Suggestion(
            c.scene, c.row, c.col, size, round(c.uncertainty, 6), rank,
            {n: round(float(v), 4) for n, v in zip(names, c.predicted, strict=True)}, round(c.valid, 4), len(found),
        )
        for rank, c in enumerate(chosen, 1)
    ]  # fmt: skip


def choose(found: list[Candidate], k: int, seed: int) -> list[int]:
    """Indices of ``k`` candidates, or all, the most uncertain first: of each of ``k`` clusters the window nearest to its
    centre."""
    unsure = np.array([c.uncertainty for c in found])
    chosen = np.arange(len(found))
    if len(found) > k:
        points = np.stack([c.fused if c.fused.size else np.concatenate([c.wavering, c.shares]) for c in found])
        points = (points - points.mean(0)) / np.maximum(points.std(0), 1e-6)
        chosen = weighted_kmeans(points, unsure, k, np.random.default_rng(seed))
    picked: list[int] = chosen[np.argsort(-unsure[chosen], kind="stable")].tolist()
    return picked


def weighted_kmeans(points: np.ndarray, weight: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of ``k`` different points (n, d), each nearest to the centre of one cluster of k-means with weights (n,)."""
    weight = np.maximum(weight, 1e-9)
    first = int(np.argmax(weight))
    chosen, distance = [first], ((points - points[first]) ** 2).sum(1)
    while len(chosen) < k:  # k-means++
        chance = distance * weight
        chance[chosen] = 0
        if not chance.sum() > 0:  # equal points: any of the others
            chance = weight.copy()
            chance[chosen] = 0
        new = int(rng.choice(len(points), p=chance / chance.sum()))
        chosen.append(new)
        distance = np.minimum(distance, ((points - points[new]) ** 2).sum(1))
    centres = points[chosen].copy()
    for _ in range(100):
        cluster = _apart(points, centres).argmin(1)
        moved = centres.copy()
        for j in range(k):
            if (cluster == j).any():
                moved[j] = np.average(points[cluster == j], axis=0, weights=weight[cluster == j])
        if np.allclose(moved, centres):
            break
        centres = moved
    apart = _apart(points, centres)
    taken: list[int] = []
    for j in range(k):
        apart[taken, j] = np.inf
        taken.append(int(apart[:, j].argmin()))
    return np.array(taken)


def _apart(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(n, k) squared distances, without holding n x k x d numbers."""
    squares: np.ndarray = (points**2).sum(1)[:, None] - 2 * points @ centres.T + (centres**2).sum(1)
    return squares


def write_suggestions(
    found: list[Suggestion], domain: Domain, spec: Spec, path: Path | str, overwrite: bool = False
) -> Path:
    """The windows as squares of one layer in a GeoPackage, with rank, scene, row, col, uncertainty and a column of the
    predicted share of each class, to lay over the scenes in a GIS.

    The layer has the CRS of the first window's scene; windows of scenes in other CRSs are brought to it corner by corner.

    Raises:
        InputError: a scene has no CRS, so that its windows have no place in a GIS.
        ExistsError: the file is there and ``overwrite`` is not set.
    """
    path = Path(path)
    layer = None
    for s in found:
        scene = domain.scenes[s.scene]
        _check_place(scene)
        grid = scene.grid_at(spec.gsd).window(s.row, s.col, s.size, s.size)
        corners = [grid.world(*c) for c in ((0, 0), (s.size, 0), (s.size, s.size), (0, s.size))]
        main = max(s.classes, key=lambda name: s.classes[name])
        columns = {"rank": s.rank, "scene": s.scene, "row": s.row, "col": s.col, "size": s.size}
        columns |= {"uncertainty": s.uncertainty, "predicted": main, **{f"share_{n}": v for n, v in s.classes.items()}}
        one = gpd.GeoDataFrame([columns], geometry=[Polygon(corners)], crs=scene.grid.crs)
        layer = one if layer is None else _below(layer, one)
    if layer is None:
        raise InputError("there is no window to write")
    with atomic_write(path, overwrite) as temporary:
        layer.to_file(temporary, driver="GPKG", layer=path.stem, engine="pyogrio")
    return path


def check_places(domain: Domain, split: str, path: Path | str, overwrite: bool = False) -> None:
    """Raises InputError or ExistsError when ``write_suggestions`` could not write what will be found."""
    if Path(path).exists() and not overwrite:
        raise ExistsError(f"{path} exists: pass --overwrite to replace it, or choose another --out")
    for scene in domain.split(split):
        _check_place(scene)


def _check_place(scene: Scene) -> None:
    if scene.grid.crs is None or not scene.grid.georeferenced:
        raise InputError(
            f"scene '{scene.name}' ({scene.image}) has no CRS, so its windows have no place in a GIS: give its domain a "
            "'crs', or leave out --out and take rows and columns from the table"
        )


def _below(layer: gpd.GeoDataFrame, more: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    import pandas as pd

    return gpd.GeoDataFrame(pd.concat([layer, more.to_crs(layer.crs)], ignore_index=True), crs=layer.crs)
