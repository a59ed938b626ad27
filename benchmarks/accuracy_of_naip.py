"""Map eight NAIP tiles, sample the map, take the labels from the masks, and compare the intervals with the truth.

    python benchmarks/accuracy_of_naip.py DATA OUT

The map is that of a Gaussian classifier of pixels which learns from four of the tiles. The masks cover all pixels, so that the
true accuracies and areas of the map are known. One sample goes through `rsuda.sample` and `rsuda.assess`, which prints estimates
beside the truth. Many more are drawn from the counts of pixels by stratum, class of the map and class of the mask: a stratified
random sample depends on nothing else, wherever the pixels lie. They show how many intervals hold the truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
from scipy.ndimage import uniform_filter

import rsuda
from rsuda.accuracy.allocation import ALLOCATIONS, allocate
from rsuda.accuracy.class_map import open_map
from rsuda.accuracy.estimators import MEASURES, Sample, ratios
from rsuda.accuracy.intervals import Choices, interval
from rsuda.accuracy.strata import census, divide
from rsuda.core.legend import Legend
from rsuda.geo.grids.grid import Grid
from rsuda.geo.maps.cog import write_cog

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


def print_one(out: Path, tiles: list[Path], truth: dict[str, float], points: int, seed: int) -> None:
    """Sample and assess the map once, as a user does, and print estimates beside the truth."""
    file = out / "points.gpkg"
    rsuda.sample(out / "map", file, points=points, seed=seed, overwrite=True)
    labelled = label(gpd.read_file(file, layer="points"), tiles)
    labelled.to_file(file, layer="points")  # the strata stay
    values = estimated(rsuda.assess(out / "map", file))
    print(f"{points} points by class, seed {seed}: estimate (interval), truth")
    for name, value in truth.items():
        part = values[name]
        inside = "" if part.low <= value <= part.high else "  outside"
        print(f"  {name:20} {part.value:9.3f} ({part.low:.3f} to {part.high:.3f})  {value:9.3f}{inside}")


def population(out: Path, tiles: list[Path], bands: int) -> tuple[np.ndarray, list[str], list[float]]:
    """Count pixels (strata, classes of the map, classes of the masks); names and expected accuracies of the strata."""
    with open_map(out / "map") as map_:
        parts, table = divide(map_, census(map_, confidence=True), bands, {})
    counts = np.zeros((len(parts), len(NAMES), len(NAMES)), np.int64)
    for tile in tiles:
        rasters = (out / "map" / f"{tile.stem}_{name}.tif" for name in ("classes", "confidence"))
        classes, sure, reference = (rasterio.open(path).read(1) for path in (*rasters, mask_of(tile)))
        np.add.at(counts, (table[classes, sure], classes, reference), 1)
    return counts, [part.name for part in parts], [part.expected for part in parts]


def coverage(counts: np.ndarray, numbers: np.ndarray, draws: int, seed: int) -> tuple[dict[str, float], float, float]:
    """Draw samples; return the share of intervals that hold the truth by quantity, the mean width of the intervals, and the mean
    standard error of overall accuracy.
    """
    rng, classes = np.random.default_rng(seed), len(NAMES)
    sizes, total = counts.sum((1, 2)), counts.sum(0)
    hit, rows, columns = np.diag(total), total.sum(1), total.sum(0)
    truth = {"overall": np.array([hit.sum() / total.sum()]), "users": hit / rows, "producers": hit / columns,
             "area": columns / total.sum()}  # fmt: skip
    mapped = np.repeat(counts.sum(2).argmax(1), numbers)  # a stratum has one class of the map
    labels = np.concatenate([_labels(part.sum(0), n, draws, rng) for part, n in zip(counts, numbers, strict=True)])
    two = (labels[:, :, None] == np.arange(classes)).astype(float)
    one = np.broadcast_to((mapped[:, None] == np.arange(classes)).astype(float)[:, None], two.shape)
    sample = Sample(sizes.astype(float), np.repeat(np.arange(len(sizes)), numbers), np.ones(len(mapped)))
    shares, widths, error = {}, [], 0.0
    for what, true in truth.items():
        seen = [marks.reshape(len(mapped), -1) for marks in (one, two)]
        if what == "overall":
            right = (one * two).sum(2)
            seen = [np.ones_like(right), right]
        measure = MEASURES["users" if what == "overall" else what]
        y, x = measure(*seen)
        value, errors = ratios(sample, y, x)
        low, high = interval(sample, y, x, Choices.of(sample, measure, seen[0]), value)
        held = ((low.reshape(draws, -1) <= true) & (true <= high.reshape(draws, -1))).sum(0)
        known = np.isfinite(value).reshape(draws, -1).sum(0)
        names = [what] if what == "overall" else [f"{what} {name}" for name in NAMES]
        shares |= dict(zip(names, (held / known).tolist(), strict=True))
        widths.append(np.nanmean((high - low).reshape(draws, -1), 0))
        error = float(errors.mean()) if what == "overall" else error
    return shares, float(np.concatenate(widths).mean()), error


def _labels(pixels: np.ndarray, points: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the labels (points, draws) of pixels of a stratum, which has so many of each class."""
    numbers = rng.multivariate_hypergeometric(pixels, points, draws)
    return np.stack([np.repeat(np.arange(len(pixels)), row) for row in numbers], 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with geotiffs/naip/*/img/*.tif and geotiffs/naip/*/mask/*.tif")
    parser.add_argument("out", type=Path, help="folder for the map and the points")
    parser.add_argument("--points", type=int, default=300)
    parser.add_argument("--draws", type=int, default=1000, help="samples of which the intervals are checked")
    parser.add_argument("--minimum", type=int, nargs="+", default=[20], help="least points of a stratum")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    tiles = write_maps(args.data, args.out)
    print_one(args.out, tiles, true_values(args.out, tiles), args.points, args.seed)
    print(
        "| strata | allocation | minimum | points of a stratum | s.e. | width | intervals that hold | by quantity, worst first |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for bands, what in ((1, "class"), (2, "confidence")):
        counts, _, expected = population(args.out, tiles, bands)
        sizes = counts.sum((1, 2))
        for how in ALLOCATIONS:
            for minimum in args.minimum:
                numbers, _ = allocate(args.points, sizes.tolist(), expected, how, minimum)
                shares, width, error = coverage(counts, numbers, args.draws, args.seed)
                worst = ", ".join(
                    f"{name} {share:.1%}" for name, share in sorted(shares.items(), key=lambda item: item[1])[:4]
                )
                listed = " ".join(map(str, numbers))
                mean = np.mean(list(shares.values()))
                print(
                    f"| {what} | {how} | {minimum} | {listed} | {error:.4f} | {width:.3f} | {mean:.1%} | {worst} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
