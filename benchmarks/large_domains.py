"""Measure how training begins and reads on a domain of many small files, and on one of a single large scene.

    python benchmarks/large_domains.py [--files 10000] [--side 40000] [--patches 200] [--folder DIR] [--out FILE.json]

The script makes both domains in a temporary folder, or in DIR, which it uses again. The many files have 256 x 256 px, the
large scene is one tiled GeoTIFF with its label raster. Each measurement runs in a process of its own:

*start* is the time from the names of the domains to the pair: files are listed, headers and all source labels are read.
*memory* is the largest resident memory of the process, in MB. *patches a second* are source and target patches of 256 px, read
in this process.

To compare two versions, run the script twice with PYTHONPATH set to each and the same DIR.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml
from rasterio.transform import from_origin
from rasterio.windows import Window

from rsuda.core.errors import RsudaError
from rsuda.core.settings import make_settings
from rsuda.data.find_domain import find_domains
from rsuda.data.pairs.pair import pair
from rsuda.data.pairs.patches import PatchDataset
from rsuda.methods import presets_of
from rsuda.training.build import check_run

SMALL = 256  # pixels per side of each of the many files
TILE = 512  # pixels per side of a block of the large scene
LEGEND = [
    {"name": name, "value": value, "colour": colour}
    for value, (name, colour) in enumerate({"land": "#C08040", "road": "#808080", "water": "#2060C0"}.items())
]


def classes_of(rng: np.random.Generator, side: int) -> np.ndarray:
    blocks = rng.integers(0, 3, (side // 32, side // 32), np.uint8)
    return np.kron(blocks, np.ones((32, 32), np.uint8))


def image_of(classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noise = rng.integers(0, 16, (3, *classes.shape), np.uint8)
    return np.stack([40 + 60 * ((classes + k) % 3) for k in range(3)]).astype(np.uint8) + noise


def profile_of(side: int, count: int, left: float) -> dict[str, Any]:
    return {
        "driver": "GTiff",
        "height": side,
        "width": side,
        "count": count,
        "dtype": "uint8",
        "crs": "EPSG:32633",
        "transform": from_origin(left, 5_800_000, 0.5, 0.5),
        "compress": "deflate",
        "zlevel": 1,
    }


def make_files(folder: Path, count: int) -> None:
    """Make the domain of many small files."""
    rng = np.random.default_rng(0)
    for kind in ("image", "label"):
        (folder / kind).mkdir(parents=True)
    classes = [classes_of(rng, SMALL) for _ in range(20)]
    images = [image_of(label, rng) for label in classes]
    for number in range(count):
        left = 300_000 + SMALL * 0.5 * number
        for kind, values in (("image", images[number % 20]), ("label", classes[number % 20][None])):
            name = folder / kind / f"{number:05}.tif"
            with rasterio.open(name, "w", **profile_of(SMALL, len(values), left)) as file:
                file.write(values)


def make_scene(folder: Path, side: int) -> None:
    """Make the domain of one large scene, block by block."""
    rng = np.random.default_rng(0)
    for kind in ("image", "label"):
        (folder / kind).mkdir(parents=True)
    classes = [classes_of(rng, TILE) for _ in range(20)]
    images = [image_of(label, rng) for label in classes]
    tiled = {"tiled": True, "blockxsize": TILE, "blockysize": TILE, "bigtiff": "YES", "num_threads": "all_cpus"}
    for kind, blocks in (("image", images), ("label", [label[None] for label in classes])):
        with rasterio.open(
            folder / kind / "scene.tif", "w", **profile_of(side, len(blocks[0]), 300_000), **tiled
        ) as file:
            for row in range(0, side, TILE):
                for col in range(0, side, TILE):
                    height, width = min(TILE, side - row), min(TILE, side - col)
                    block = blocks[(row // TILE * 7 + col // TILE) % 20][:, :height, :width]
                    file.write(block, window=Window(col, row, width, height))


def write_domain(folder: Path) -> Path:
    fields = {
        "name": folder.name,
        "images": {"RGB": {"files": "image/{tile}.tif", "bands": "RGB"}},
        "labels": ["label/{tile}.tif"],
        "legend": LEGEND,
        "splits": {"train": ["*"]},
    }
    file = folder / "domain.yaml"
    file.write_text(yaml.safe_dump(fields), encoding="utf-8")
    return file


def measure(folder: Path, patches: int) -> dict[str, Any]:
    """Start as training does, and read patches. A refusal is returned as its sentence."""
    values = {
        "source.name": str(folder / "domain.yaml"),
        "target.name": str(folder / "domain.yaml"),
        "data": str(folder),
        "method.name": "source-only",
        "patches.window": 256,
        "training.batch_size": 4,
        "network.weights": "none",
        "patches.workers": 0,
    }
    settings, _ = check_run(make_settings(values, presets_of=presets_of))
    began = time.monotonic()
    try:
        cities = pair(*find_domains(settings), settings)
    except RsudaError as error:
        return {"refused": str(error)}
    start = time.monotonic() - began
    dataset = PatchDataset(cities, settings, with_target=True)
    dataset[0]
    began = time.monotonic()
    for number in range(1, patches + 1):
        dataset[number]
    speed = 2 * patches / (time.monotonic() - began)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"start_s": round(start, 2), "memory_mb": round(memory), "patches_per_second": round(speed, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=40_000, help="pixels per side of the large scene")
    parser.add_argument("--patches", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where the domains are kept for another run")
    parser.add_argument("--out", type=Path, help="JSON of the figures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.folder or Path(temporary)
        makers = {
            f"files-{arguments.files}": lambda folder: make_files(folder, arguments.files),
            f"scene-{arguments.side}": lambda folder: make_scene(folder, arguments.side),
        }
        results: dict[str, Any] = {}
        for name, make in makers.items():
            if not (root / name / "domain.yaml").is_file():
                make(root / name)
                write_domain(root / name)
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                results[name] = pool.submit(measure, root / name, arguments.patches).result()
            print(name, json.dumps(results[name]), flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
