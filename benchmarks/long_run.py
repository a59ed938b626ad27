"""Measure the resident memory of a long run of a tiny network on tiny data, and its slope.

    python benchmarks/long_run.py --steps 10000 --out benchmarks/results/long_run.json

The script draws the data, two scenes of 128 x 128 px. Scoring is off. The slope is that of a least-squares line
through all points after the first thousand steps (after half of a shorter run), in MB (1e6 bytes) per 1,000 steps.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
import yaml
from lightning.pytorch.callbacks import Callback
from rasterio.transform import from_origin

from rsuda.core.settings import make_settings
from rsuda.methods import presets_of
from rsuda.training.train import train

COLOURS = np.array([[255, 255, 255], [0, 0, 255], [0, 255, 0]], np.uint8)


class Memory(Callback):
    """Records steps, seconds and resident megabytes."""

    def __init__(self, every: int) -> None:
        self.every, self.began = every, time.monotonic()
        self.rows: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step % self.every == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            used = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
            self.rows.append(
                {"step": trainer.global_step, "s": round(time.monotonic() - self.began, 1), "mb": round(used, 2)}
            )
            print(self.rows[-1], flush=True)


def draw(folder: Path) -> None:
    rng = np.random.default_rng(0)
    profile = {"driver": "GTiff", "width": 128, "height": 128, "count": 3, "dtype": "uint8", "crs": "EPSG:32632"}
    for city, gain in (("east", 1.0), ("west", 0.8)):
        classes = np.kron(rng.integers(0, 3, (4, 4)), np.ones((32, 32), int))
        image = ((COLOURS[classes] * 0.7 + rng.normal(30, 15, (128, 128, 3))) * gain).clip(0, 255).astype(np.uint8)
        for kind, values in (("image", image), ("label", COLOURS[classes])):
            path = folder / f"{city}_0_{kind}.tif"
            with rasterio.open(path, "w", transform=from_origin(0, 64, 0.5, 0.5), **profile) as file:
                file.write(np.moveaxis(values, -1, 0))
        fields = {
            "name": city, "gsd": 0.5, "images": {"RGB": {"files": f"{city}_{{n}}_image.tif", "bands": "RGB"}},
            "labels": [f"{city}_{{n}}_label.tif"], "splits": {"train": ["0"]},
            "legend": [{"name": name, "colour": colour.tolist()} for name, colour in zip("abc", COLOURS, strict=True)],
        }  # fmt: skip
        (folder / f"{city}.yaml").write_text(yaml.safe_dump(fields))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=500)
    parser.add_argument("--method", default="source-only")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/long_run.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    memory = Memory(args.every)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        draw(data)
        settings = make_settings(
            {
                "source.name": str(data / "east.yaml"),
                "target.name": str(data / "west.yaml"),
                "data": folder,
                "preset": "sample",
                "patches.window": 64,
                "training.batch_size": 2,
                "network.channels": 16,
                "patches.workers": 0,
                "training.precision": "fp32",
                "training.device": "cpu",
                "method.name": args.method,
                "training.steps": args.steps,
            },
            presets_of=presets_of,
        )
        train(settings, data / "run", quiet=True, callbacks=[memory])
    late = [row for row in memory.rows if row["step"] > min(1000, args.steps // 2)]
    slope = (
        float(np.polyfit([row["step"] / 1000 for row in late], [row["mb"] for row in late], 1)[0])
        if len(late) > 1
        else None
    )
    result = {
        "method": args.method, "steps": args.steps, "mb_per_1000_steps": slope and round(slope, 3),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, 1 thread", "torch": torch.__version__, "curve": memory.rows,
    }  # fmt: skip
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    first = min(1000, args.steps // 2)
    print(f"{slope:.3f} MB per 1,000 steps after step {first}" if slope is not None else "too few steps for a slope")


if __name__ == "__main__":
    main()
