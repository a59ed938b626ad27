"""Map eight NAIP tiles, sample the map, take the labels from the masks, and compare the intervals with the truth.

RSUDA_REAL_DATA=DATA python benchmarks/accuracy_of_naip.py OUT

The map is that of a Gaussian classifier of pixels which learns from four of the tiles. The masks cover all pixels, so that the
true accuracies and areas of the map are known.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
from scipy.ndimage import uniform_filter

import rsuda
from rsuda.core.legend import Legend
from rsuda.geo.cog import write_cog
from rsuda.geo.grid import Grid

SEEDS = 100
NAMES = ("background", "building", "road", "bare", "forest")
COLOURS = ((190, 186, 160), (200, 60, 50), (90, 90, 100), (224, 180, 110), (40, 110, 60))
LEGEND = Legend(NAMES, tuple((colour,) for colour in COLOURS), tuple((k,) for k in range(len(NAMES))))


def features(path: Path) -> np.ndarray:
    """Bands, their ratio and their means over 7 x 7 pixels: (H, W, 9)."""
    with rasterio.open(path) as file:
        bands = file.read().astype(float) / 255
    greenness = (bands[3] - bands[0]) / (bands[3] + bands[0] + 0.01)
    means = [uniform_filter(band, 7) for band in bands]
    return np.stack([*bands, greenness, *means], -1)


def mask_of(path: Path) -> Path:
    return path.parents[1] / "mask" / path.name.replace("tile", "mask")


def write_maps(data: Path, out: Path) -> list[Path]:
    """Write a class raster and its confidence for each tile; return the tiles."""
    tiles = sorted(data.glob("geotiffs/naip/*/img/*.tif"))
    learnt = [tile for tile in tiles if tile.parents[1].name == "train"]
    pixels = np.concatenate([features(tile).reshape(-1, 9) for tile in learnt])
    labels = np.concatenate([rasterio.open(mask_of(tile)).read(1).ravel() for tile in learnt])
    parts = [pixels[labels == k] for k in range(len(NAMES))]
    for tile in tiles:
        values = features(tile).reshape(-1, 9)
        scores = np.stack([_log_density(values, part, len(part) / len(pixels)) for part in parts], 1)
        chances = np.exp(scores - scores.max(1, keepdims=True))
        chances /= chances.sum(1, keepdims=True)
        with rasterio.open(tile) as file:
            grid = Grid(file.height, file.width, file.transform, file.crs)
        classes = scores.argmax(1).astype(np.uint8).reshape(grid.height, grid.width)
        sure = np.round(254 * chances.max(1)).astype(np.uint8).reshape(classes.shape)
        for name, raster, legend in (("classes", classes, LEGEND), ("confidence", sure, None)):
            band = (name, lambda row, count, raster=raster: raster[row : row + count])
            path = out / "map" / f"{tile.stem}_{name}.tif"
            write_cog(path, [band], grid, legend, tags={"RSUDA_KEY": "naip"}, overwrite=True)
    return tiles


def _log_density(values: np.ndarray, part: np.ndarray, prior: float) -> np.ndarray:
    covariance = np.cov(part.T) + 1e-4 * np.eye(part.shape[1])
    away = values - part.mean(0)
    distance = np.einsum("ij,jk,ik->i", away, np.linalg.inv(covariance), away)
    density: np.ndarray = np.log(prior) - 0.5 * (distance + np.linalg.slogdet(covariance)[1])
    return density


def label(points: gpd.GeoDataFrame, tiles: list[Path]) -> gpd.GeoDataFrame:
    """Take the labels of points from the masks."""
    for tile in tiles:
        with rasterio.open(mask_of(tile)) as mask:
            left, bottom, right, top = mask.bounds
            x, y = points.geometry.x, points.geometry.y
            inside = (x > left) & (x < right) & (y > bottom) & (y < top)
            values = [int(value[0]) for value in mask.sample(zip(x[inside], y[inside], strict=True))]
            points.loc[inside, "reference"] = [NAMES[value] for value in values]
    return points


def true_values(out: Path, tiles: list[Path]) -> dict[str, float]:
    """Compare all pixels of the map with the masks."""
    matrix = np.zeros((len(NAMES), len(NAMES)))
    for tile in tiles:
        with rasterio.open(out / "map" / f"{tile.stem}_classes.tif") as file, rasterio.open(mask_of(tile)) as mask:
            np.add.at(matrix, (file.read(1), mask.read(1)), 1)
    right, shares = np.diag(matrix), matrix.sum(0) * 0.36
    truth = {"overall": right.sum() / matrix.sum()}
    for k, name in enumerate(NAMES):
        truth |= {f"{name} users": right[k] / matrix[k].sum(), f"{name} producers": right[k] / matrix[:, k].sum()}
        truth[f"{name} area"] = shares[k]
    return truth


def estimated(result: rsuda.Assessment) -> dict[str, Any]:
    values: dict[str, Any] = {"overall": result.overall}
    for part in result.classes:
        values |= {f"{part.name} {what}": getattr(part, what) for what in ("users", "producers", "area")}
    return values


def main() -> None:
    out = Path(sys.argv[1])
    tiles = write_maps(Path(os.environ["RSUDA_REAL_DATA"]), out)
    truth, designs = (
        true_values(out, tiles),
        {"class": {}, "confidence": {"strata": "confidence", "allocation": "optimal"}},
    )
    for design, options in designs.items():
        hits, errors = dict.fromkeys(truth, 0), []
        for seed in range(SEEDS):
            file = out / "points.gpkg"
            rsuda.sample(out / "map", file, points=300, seed=seed, overwrite=True, **options)
            labelled = label(gpd.read_file(file, layer="points"), tiles)
            labelled.to_file(file, layer="points")  # the strata stay
            result = rsuda.assess(out / "map", file)
            values = estimated(result)
            errors.append(result.overall.se)
            for name, value in truth.items():
                hits[name] += values[name].low <= value <= values[name].high
            if seed == 0:
                print(f"{design}: 300 points, seed 0: estimate (interval), truth")
                for name, value in truth.items():
                    part = values[name]
                    print(f"  {name:20} {part.value:9.3f} ({part.low:.3f} to {part.high:.3f})  {value:9.3f}")
        covered = sum(hits.values()) / SEEDS / len(hits)
        print(
            f"{design}: {SEEDS} seeds, standard error of overall accuracy {np.mean(errors):.4f}; {covered:.1%} of intervals cover"
        )


if __name__ == "__main__":
    main()
