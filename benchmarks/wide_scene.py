"""Map a very wide scene in a process of its own, and say how much memory that took.

    python benchmarks/wide_scene.py [--width 200000] [--height 600] [--window 512]

The model is a small one with random weights and six classes; the scene is noise. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

from rsuda.core.legend import Legend
from rsuda.core.machine import peak_memory
from rsuda.core.spec import IMAGENET_MEAN, IMAGENET_STD, Spec
from rsuda.inference.predict import predict
from rsuda.learning.network import Architecture, PlainNetwork
from rsuda.runs.weights import save_run

CLASSES = 6
BLOCK = 512


def write_scene(path: Path, height: int, width: int) -> None:
    """Write noise in three bands, block by block."""
    profile = {"driver": "GTiff", "count": 3, "height": height, "width": width, "dtype": "uint8", "crs": "EPSG:32632"}
    tiles = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK}
    rng = np.random.default_rng(0)
    with rasterio.open(path, "w", **profile, **tiles, transform=from_origin(0, 0, 0.5, 0.5)) as file:
        for col in range(0, width, BLOCK):
            columns = min(BLOCK, width - col)
            noise = rng.integers(0, 256, (3, height, columns), np.uint8)
            file.write(noise, window=Window(col, 0, columns, height))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=200_000)
    parser.add_argument("--height", type=int, default=600)
    parser.add_argument("--window", type=int, default=512)
    args = parser.parse_args()
    colours = tuple(((40 * k, 0, 0),) for k in range(CLASSES))
    legend = Legend(tuple(f"class {k}" for k in range(CLASSES)), colours)
    spec = Spec(("red", "green", "blue"), 0.5, (0,) * 3, (255,) * 3, IMAGENET_MEAN, IMAGENET_STD, legend)
    model = PlainNetwork(Architecture("tu-lcnet_050", "segformer", CLASSES, 3, 16))
    with tempfile.TemporaryDirectory() as folder:
        scene, run = Path(folder) / "wide.tif", Path(folder) / "run"
        run.mkdir()
        save_run(run, model, spec, "source-only")
        write_scene(scene, args.height, args.width)
        before, began = peak_memory() or 0, time.monotonic()
        predict(
            [scene],
            run,
            Path(folder) / "maps",
            window=args.window,
            overlap=args.window // 4,
            device="cpu",
            precision="fp32",
            polygons=None,  # those of noise would take more memory than the map
        )
        seconds = time.monotonic() - began
    print(
        json.dumps(
            {
                "size": f"{args.width} x {args.height} px",
                "window": args.window,
                "most memory in MB": round((peak_memory() or 0) / 1e6),
                "of which before the map": round(before / 1e6),
                "seconds": round(seconds),
            }
        )
    )


if __name__ == "__main__":
    main()
