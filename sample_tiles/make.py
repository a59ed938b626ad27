"""Write small synthetic aerial tiles in the layout and file format of the two ISPRS benchmarks.

python sample_tiles/make.py [--out DIR]
"""

import argparse
import math
import sys
import warnings
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also when loaded by path, from a test

import garden_town
import grid_city
from scene import BOUNDARY, Scene, erode_boundaries, expose

CLASSES = ("impervious", "building", "low vegetation", "tree", "car", "clutter")
COLOURS = np.uint8([(255, 255, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0)])
POTSDAM_TILES = ("2_10", "2_11", "3_10", "3_11", "2_13", "3_13")
POTSDAM_SIZE, POTSDAM_GSD = 1200, 0.05
VAIHINGEN_GSD = 0.09
# Rows, columns, and the world position of the top-left corner.
VAIHINGEN_AREAS = {
    "1": (896, 808, 496_853.0, 5_420_512.0),
    "3": (912, 796, 497_102.0, 5_420_496.0),
    "11": (884, 820, 497_034.0, 5_420_301.0),
    "15": (872, 832, 496_921.0, 5_420_188.0),
    "2": (904, 788, 496_978.0, 5_420_517.0),
    "5": (868, 816, 497_206.0, 5_420_405.0),
}
SEEDS = {"potsdam": 33, "vaihingen": 32}


def render(city: str, tile: str) -> tuple[np.ndarray, np.ndarray]:
    """Render a tile: image (H, W, 4: IR, R, G, B; uint8) and class index (H, W; uint8, 255 on class boundaries)."""
    sensor = {"potsdam": grid_city.SENSOR, "vaihingen": garden_town.SENSOR}[city]
    if city == "potsdam":
        row, col = map(int, tile.split("_"))
        rows = cols = POTSDAM_SIZE
        gsd, seed = POTSDAM_GSD, SEEDS[city]
        x0, y0 = (col - 10) * cols * gsd, (row - 2) * rows * gsd
    else:
        rows, cols, *_ = VAIHINGEN_AREAS[tile]
        gsd, seed, x0, y0 = VAIHINGEN_GSD, SEEDS[city] * 100 + int(tile), 0.0, 0.0
    # Objects outside the tile cast shadows into it, so the canvas extends towards the sun.
    reach = math.ceil(13 / math.tan(math.radians(sensor.elevation)) / gsd)
    dx, dy = sensor.towards_sun()
    rim = 12
    left, right = (rim + math.ceil(max(0, side * dx) * reach) for side in (-1, 1))
    top, bottom = (rim + math.ceil(max(0, side * dy) * reach) for side in (-1, 1))
    scene = Scene(x0 - left * gsd, y0 - top * gsd, rows + top + bottom, cols + left + right, gsd, seed)
    if city == "potsdam":
        grid_city.draw(scene)
    else:
        garden_town.draw(scene, tile, cols * gsd, rows * gsd)
    inner = slice(top, top + rows), slice(left, left + cols)
    light = scene.radiance(sensor, 6.0, grid_city.TWIGS)[inner]
    salt = [seed, *(ord(c) for c in tile)]
    return expose(light, sensor, np.random.default_rng(salt)), erode_boundaries(scene.cls)[inner]


def colours(labels: np.ndarray) -> np.ndarray:
    """Convert class indices to the ISPRS colours; boundaries are black."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(COLOURS)] = COLOURS
    return table[labels]


def shares(labels: np.ndarray) -> list[float]:
    """Compute the percentage of each class among the pixels outside of boundaries."""
    count = np.bincount(labels[labels != BOUNDARY], minlength=len(CLASSES))
    return [round(100 * float(n / count.sum()), 1) for n in count]


def write(path: Path, image: np.ndarray, east: float, north: float, gsd: float, lossy: bool) -> None:
    """Write a tiled TIFF without internal georeference, and a world file with it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    how = {"compress": "jpeg", "photometric": "ycbcr", "jpeg_quality": 88} if lossy else {
        "compress": "deflate", "predictor": 2, "zlevel": 9, "photometric": "rgb"}  # fmt: skip
    rows, cols, bands = image.shape
    partial = path.with_suffix(".part")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(partial, "w", driver="GTiff", width=cols, height=rows, count=bands, dtype="uint8",
                           tiled=True, blockxsize=256, blockysize=256, **how) as target:  # fmt: skip
            target.write(image.transpose(2, 0, 1))
    world = (gsd, 0, 0, -gsd, east + gsd / 2, north - gsd / 2)  # centre of the top-left pixel
    path.with_suffix(".tfw").write_text("".join(f"{value:.10f}\n" for value in world))
    partial.replace(path)


def write_potsdam(out: Path, tile: str, image: np.ndarray, labels: np.ndarray) -> None:
    row, col = map(int, tile.split("_"))
    side = POTSDAM_SIZE * POTSDAM_GSD
    place = 366_000.0 + (col - 10) * side, 5_807_000.0 - (row - 2) * side, POTSDAM_GSD
    base = out / "potsdam"
    write(base / "2_Ortho_RGB" / f"top_potsdam_{tile}_RGB.tif", image[..., 1:], *place, True)
    write(base / "3_Ortho_IRRG" / f"top_potsdam_{tile}_IRRG.tif", image[..., :3], *place, True)
    truth = base / "5_Labels_all_noBoundary" / f"top_potsdam_{tile}_label_noBoundary.tif"
    write(truth, colours(labels), *place, False)


def write_vaihingen(out: Path, area: str, image: np.ndarray, labels: np.ndarray) -> None:
    place = *VAIHINGEN_AREAS[area][2:], VAIHINGEN_GSD
    base, stem = out / "vaihingen", f"top_mosaic_09cm_area{area}"
    write(base / "top" / f"{stem}.tif", image[..., :3], *place, True)
    write(base / "ground_truth_eroded" / f"{stem}_noBoundary.tif", colours(labels), *place, False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    out = parser.parse_args().out
    print(f"{'tile':18}" + "".join(f"{name:>16}" for name in CLASSES))
    for city, tiles, save in (
        ("potsdam", POTSDAM_TILES, write_potsdam),
        ("vaihingen", VAIHINGEN_AREAS, write_vaihingen),
    ):
        for tile in tiles:
            image, labels = render(city, tile)
            save(out, tile, image, labels)
            print(f"{city + ' ' + tile:18}" + "".join(f"{share:16.1f}" for share in shares(labels)), flush=True)


if __name__ == "__main__":
    main()
