"""Which windows of a target to annotate next: those a network is unsure of, and unlike each other.

What is known of a candidate window is a mean over its pixels of the class probabilities p, and of p times their entropy:
which classes the network sees there, and between which it wavers. The first chooses by the second's sum; k-means of both,
weighted by uncertainty, spreads the choice (Zhdanov, "Diverse mini-batch active learning", 2019, arXiv 1901.05954).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import geopandas as gpd
import numpy as np
import torch
from shapely import Polygon
from torch import Tensor

from rsuda.bands import check_gsd, finished_rows
from rsuda.domains import Domain
from rsuda.engine import Engine
from rsuda.errors import ExistsError, InputError
from rsuda.raster import whole_file
from rsuda.scene import Scene
from rsuda.spec import Spec

LEAST_VALID = 0.5  # of a window's pixels; those with less are passed over
MOST_UNCERTAIN = 10  # times k windows, the most uncertain ones, are those that are spread over


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


@dataclass(frozen=True)
class Candidate:
    """A window that could be annotated: ``shares`` (K,) mean class probabilities, ``wavering`` (K,) mean of p times
    entropy over log K, whose sum is the uncertainty; ``predicted`` (K,) shares of the classes predicted."""

    scene: str
    row: int
    col: int
    shares: np.ndarray
    wavering: np.ndarray
    predicted: np.ndarray
    valid: float

    @property
    def uncertainty(self) -> float:
        return float(self.wavering.sum())


def suggest(
    engine: Engine, domain: Domain, split: str = "all", k: int = 10, size: int = 128, seed: int = 0
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
    """Indices of ``k`` candidates, or all, the most uncertain first: of each of ``k`` clusters of the uncertain ones the window
    nearest to the cluster's centre."""
    unsure = np.array([c.uncertainty for c in found])
    order = np.argsort(-unsure, kind="stable")
    if len(found) <= k:
        return order.tolist()
    pool = order[: MOST_UNCERTAIN * k]
    points = np.array([np.concatenate([found[i].shares, found[i].wavering]) for i in pool])
    points /= np.maximum(points.std(0), 1e-6)
    nearest = weighted_kmeans(points, unsure[pool], k, np.random.default_rng(seed))
    chosen = pool[nearest]
    return chosen[np.argsort(-unsure[chosen], kind="stable")].tolist()


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
        cluster = ((points[:, None] - centres[None]) ** 2).sum(2).argmin(1)
        moved = centres.copy()
        for j in range(k):
            if (cluster == j).any():
                moved[j] = np.average(points[cluster == j], axis=0, weights=weight[cluster == j])
        if np.allclose(moved, centres):
            break
        centres = moved
    apart = ((points[:, None] - centres[None]) ** 2).sum(2)
    taken: list[int] = []
    for j in range(k):
        apart[taken, j] = np.inf
        taken.append(int(apart[:, j].argmin()))
    return np.array(taken)


def candidates(engine: Engine, scenes: list[Scene], size: int) -> Iterator[Candidate]:
    """Windows of all scenes that hold data, scene by scene; scenes stream through the network.

    Raises InputError when no scene is as large as a window.
    """
    gsd = engine.trained.spec.gsd
    insides = [_inside(scene, gsd) for scene in scenes]
    if not any(min(i) >= size for i in insides):
        height, width = max(insides, key=min)
        raise InputError(
            f"no scene is as large as a window of {size} px: the largest is {width} x {height} px of {gsd:g} m"
        )
    for scene, (height, width) in zip(scenes, insides, strict=True):
        check_gsd(scene, gsd)
        if min(height, width) >= size:
            yield from _of_scene(engine, scene, _spread(height, size), _spread(width, size), size)


def _inside(scene: Scene, gsd: float) -> tuple[int, int]:
    """(height, width) in whole pixels of ``gsd`` that lie inside the scene."""
    down, across = scene.step(gsd)
    return int(scene.grid.height / down + 1e-6), int(scene.grid.width / across + 1e-6)


def _spread(length: int, size: int) -> list[int]:
    """First positions of as many windows as fit side by side, evenly spread."""
    count = length // size
    return [0] if count == 1 else [round(i * (length - size) / (count - 1)) for i in range(count)]


def _of_scene(engine: Engine, scene: Scene, rows: list[int], cols: list[int], size: int) -> Iterator[Candidate]:
    """Candidates at all of ``rows`` x ``cols``, each as soon as its last row is through."""
    spec = engine.trained.spec
    classes = len(spec.legend)
    sums = np.zeros((len(rows), 3 * classes + 1, len(cols)))
    done = 0
    end = cols[-1] + size
    for top, blend in finished_rows(engine, scene, rows[0], rows[-1] + size, 0, end):
        bottom = top + blend.shape[1]
        maps = _maps(blend, _valid(scene, spec, top, bottom - top, end))
        for i, row in enumerate(rows):
            a, b = max(top, row), min(bottom, row + size)
            if a < b:
                line = maps[:, a - top : b - top].sum(1, dtype=torch.float64).cumsum(1).cpu().numpy()
                line = np.pad(line, [(0, 0), (1, 0)])
                sums[i] += line[:, np.array(cols) + size] - line[:, cols]
        while done < len(rows) and rows[done] + size <= bottom:
            for j, col in enumerate(cols):
                total = sums[done, :, j]
                if total[-1] >= LEAST_VALID * size * size:
                    shares, wavering, predicted = (total[:-1] / total[-1]).reshape(3, classes)
                    yield Candidate(
                        scene.name, rows[done], col, shares, wavering, predicted, float(total[-1]) / size**2
                    )
            done += 1


def _maps(blend: Tensor, valid: np.ndarray | None) -> Tensor:
    """(3 K + 1, h, W): of each valid pixel the probabilities, these times entropy over log K, 1 for the class predicted; 1."""
    p = blend / blend.sum(0).clamp_min(1e-12)
    entropy = -torch.special.xlogy(p, p).sum(0) / np.log(max(2, len(p)))
    winner = torch.nn.functional.one_hot(p.argmax(0), len(p)).permute(2, 0, 1)
    maps = torch.cat([p, p * entropy, winner, torch.ones_like(p[:1])])
    return maps if valid is None else maps * torch.from_numpy(valid).to(maps.device)


def _valid(scene: Scene, spec: Spec, row: int, height: int, width: int) -> np.ndarray | None:
    """Where rows of the scene at the network's GSD hold data; None where all of the file does."""
    if scene.valid(spec.bands, (0, 0, 1, 1)) is None:
        return None
    return scene.read(spec.bands, spec.gsd, (row, 0, height, width)).valid


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
    with whole_file(path, overwrite) as temporary:
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
