"""Make an old map of a domain from its labels, to measure hints: blocks of several metres, part of which are wrong.

    python benchmarks/simulate_hints.py configs/domains/dubai-05m.yaml OUT --data DATA [--block 16] [--wrong 0.2] [--seed 0]

Each block of the map has the majority of its labels. Patches of 4 x 4 blocks are wrong together, as where a district was
built since: all their blocks get one class, drawn at random. OUT gets a raster for each scene of the domain in its
legend's colours, and ``hinted.yaml``, the domain with these hints. The share of the map that agrees with the labels is
printed.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import rasterio
import yaml
from rasterio.errors import NotGeoreferencedWarning

from rsuda.core.legend import IGNORE, Legend
from rsuda.data.find_domain import domain
from rsuda.geo.scenes.scene import Scene

PATCH = 4  # blocks, the side of what is wrong together


def old_map(scene: Scene, legend: Legend, block: float, wrong: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the map of a scene, (H, W) uint8 class indices on the scene's own pixels, 255 where nothing is labelled.

    Args:
        block: side of a block in metres.
        wrong: share of the patches that are wrong.
    """
    coarse, own = scene.grid_at(block), scene.grid
    blocks, _ = scene.read_label(legend, block, (0, 0, coarse.height, coarse.width))
    patches = -(-coarse.height // PATCH), -(-coarse.width // PATCH)
    is_wrong, drawn = rng.random(patches) < wrong, rng.integers(len(legend), size=patches)
    rows, cols = np.arange(coarse.height)[:, None] // PATCH, np.arange(coarse.width) // PATCH
    blocks = np.where(is_wrong[rows, cols] & (blocks != IGNORE), drawn[rows, cols], blocks)
    rows, cols = (
        (np.arange(length) / step).astype(int).clip(max=last - 1)
        for length, step, last in zip(
            (own.height, own.width), scene.step(block), (coarse.height, coarse.width), strict=True
        )
    )
    whole: np.ndarray = blocks[np.ix_(rows, cols)].astype(np.uint8)
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domain", type=Path, help="domain file with labels")
    parser.add_argument("out", type=Path, help="folder of the map and of hinted.yaml")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--block", type=float, default=16.0, help="side of a block in metres")
    parser.add_argument("--wrong", type=float, default=0.2, help="share of the map's patches that are wrong")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
    labelled, rng = domain(str(args.domain), args.data), np.random.default_rng(args.seed)
    legend = labelled.legend
    assert legend is not None
    colours = np.array([*legend.palette, *[(1, 2, 3)] * (256 - len(legend))], np.uint8)
    args.out.mkdir(parents=True, exist_ok=True)
    right = pixels = 0
    for scene in labelled.split("train"):
        classes = old_map(scene, legend, args.block, args.wrong, rng)
        label, _ = scene.whole_label(legend)
        both = (label != IGNORE) & (classes != IGNORE)
        right, pixels = right + int((classes == label)[both].sum()), pixels + int(both.sum())
        height, width = classes.shape
        place = {"transform": scene.grid.transform, "crs": scene.grid.crs} if scene.grid.georeferenced else {}
        with rasterio.open(
            args.out / f"{scene.name}.tif",
            "w",
            driver="GTiff",
            width=width,
            height=height,
            count=3,
            dtype="uint8",
            **place,
        ) as file:
            file.write(np.moveaxis(colours[classes], 2, 0))
    hinted = {"extends": str(args.domain.resolve()), "name": labelled.name, "hints": f"{args.out.resolve()}/"}
    (args.out / "hinted.yaml").write_text(yaml.safe_dump(hinted), encoding="utf-8")
    print(f"{right / pixels:.1%} of the labelled pixels are right in the map; wrote {args.out / 'hinted.yaml'}")


if __name__ == "__main__":
    main()
