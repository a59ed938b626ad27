"""Make the fourth real playing field: Mumbai as one sensor sees it, and as another would.

The first half of the train scenes by name keeps its RGB and becomes the source; the other half and the val scenes pass
through an IRRG-like response, a blur and a tone curve, and become the target. Labels are copied as they are.

    python benchmarks/simulate_sensor.py DATA/mumbai OUT
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import rasterio
from scipy.ndimage import gaussian_filter


def seen_by_another_sensor(rgb: np.ndarray) -> np.ndarray:
    """(3, H, W) uint8 RGB as a false-colour image of another sensor."""
    r, g, b = rgb.astype(np.float64) / 255
    vegetation = np.clip(1.5 * (2 * g - r - b), 0, 1)
    bands = np.stack([np.clip(0.55 * g + 0.9 * vegetation + 0.15, 0, 1), 0.8 * r + 0.05, 0.7 * g + 0.1])
    blurred = gaussian_filter(bands, (0, 0.6, 0.6))
    return np.rint(255 * np.clip(0.12 + 0.8 * blurred**0.75, 0, 1)).astype(np.uint8)


def main(data: Path, out: Path) -> None:
    train = sorted((data / "train" / "images").glob("*.png"))
    half = (len(train) + 1) // 2
    jobs = [(p, "source", "train") for p in train[:half]] + [(p, "target", "train") for p in train[half:]]
    jobs += [(p, "target", "val") for p in sorted((data / "val" / "images").glob("*.png"))]
    for image, city, split in jobs:
        folder = out / f"mumbai-{city}" / split
        for kind in ("images", "masks"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image.parent.parent / "masks" / image.name, folder / "masks" / image.name)
        if city == "source":
            shutil.copyfile(image, folder / "images" / image.name)
            continue
        with rasterio.open(image) as file:
            seen = seen_by_another_sensor(file.read([1, 2, 3]))
        with rasterio.open(
            folder / "images" / image.name,
            "w",
            driver="PNG",
            width=seen.shape[2],
            height=seen.shape[1],
            count=3,
            dtype="uint8",
        ) as file:
            file.write(seen)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
