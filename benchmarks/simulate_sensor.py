"""Make the fourth real playing field: Mumbai as its own sensor and a simulated one see it.

The first half of the train scenes, by name, becomes the source with its RGB. The other half and the val scenes
become the target, after an IRRG-like response, a blur and a tone curve. Labels are copied unchanged.

    python benchmarks/simulate_sensor.py DATA/mumbai OUT
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import rasterio
from scipy.ndimage import gaussian_filter


def simulated(rgb: np.ndarray) -> np.ndarray:
    """Turn RGB (3, H, W) uint8 into a false-colour image of another sensor, of the same shape and type."""
    red, green, blue = rgb.astype(np.float64) / 255
    vegetation = np.clip(1.5 * (2 * green - red - blue), 0, 1)
    bands = np.stack([np.clip(0.55 * green + 0.9 * vegetation + 0.15, 0, 1), 0.8 * red + 0.05, 0.7 * green + 0.1])
    blurred = gaussian_filter(bands, (0, 0.6, 0.6))
    return np.rint(255 * np.clip(0.12 + 0.8 * blurred**0.75, 0, 1)).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "data", type=Path, help="folder of Mumbai, with train/images, train/masks, val/images and val/masks"
    )
    parser.add_argument("out", type=Path, help="folder for mumbai-source and mumbai-target")
    args = parser.parse_args()
    data, out = args.data, args.out
    train = sorted((data / "train" / "images").glob("*.png"))
    half = (len(train) + 1) // 2
    jobs = [(path, "source", "train") for path in train[:half]] + [(path, "target", "train") for path in train[half:]]
    jobs += [(path, "target", "val") for path in sorted((data / "val" / "images").glob("*.png"))]
    for image, city, split in jobs:
        folder = out / f"mumbai-{city}" / split
        for kind in ("images", "masks"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image.parent.parent / "masks" / image.name, folder / "masks" / image.name)
        if city == "source":
            shutil.copyfile(image, folder / "images" / image.name)
            continue
        with rasterio.open(image) as file:
            target = simulated(file.read([1, 2, 3]))
        with rasterio.open(
            folder / "images" / image.name,
            "w",
            driver="PNG",
            width=target.shape[2],
            height=target.shape[1],
            count=3,
            dtype="uint8",
        ) as file:
            file.write(target)


if __name__ == "__main__":
    main()
