"""Patches a second from full-size scenes: rsuda's loader, and torchgeo's Potsdam2DDataModule on the same files.

    python benchmarks/loading.py [--side 6000] [--scenes 2] [--crop 512] [--patches 64] [--workers 1] [--out FILE.json]

Makes scenes as ISPRS delivers Potsdam (4 bands, uncompressed strips, label colours) in a temporary folder, some 250 MB a scene,
and links them to the names of its 24 training tiles, so that an epoch is as long as there. Both loaders give one image and label
patch an item, by the same number of workers, each in a process of its own; the first batch, which starts the workers, is not
counted. rsuda's patches have a random scale, as in training, so each is resampled. torchgeo reads whole scenes and crops a batch
of them, a patch a scene, so its batch is one scene.

Memory of the largest worker, in MB. *private* is what nobody else has: what the machine spends on one more worker. *proportional*
counts a page that is shared with the process that started it (Python, torch, the data set) by halves. *resident* counts all such
pages in full: its peak is at least what that process had when the worker was forked from it.

*Waiting* is the share of source-only's training steps that passes before their batch is there, with rsuda's loader.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import rasterio
import torch
import yaml
from rasterio.transform import from_origin

from rsuda.core.settings import Settings, make_settings
from rsuda.data.find_domain import find_domains
from rsuda.data.pair import Pair, pair
from rsuda.data.patches import loader
from rsuda.learning.device import autocast, keep_freed_memory, pick_device, pick_precision
from rsuda.methods import presets_of
from rsuda.training.build import build, check_run

COLOURS = np.array([[255, 0, 0], [255, 255, 255], [0, 0, 255], [0, 255, 255], [0, 255, 0], [255, 255, 0]], np.uint8)
NAMES = ("clutter", "impervious surface", "building", "low vegetation", "tree", "car")
# of torchgeo's Potsdam2D.splits, which names the training tiles of ISPRS
TILES = (
    "2_10 2_11 2_12 3_10 3_11 3_12 4_10 4_11 4_12 5_10 5_11 5_12 6_10 6_11 6_12 6_7 6_8 6_9 7_10 7_11 7_12 7_7 7_8 7_9"
)
MEMORY = {"private": ("Private_Clean", "Private_Dirty"), "proportional": ("Pss",), "resident": ("Rss",)}


def make(folder: Path, scenes: int, side: int) -> None:
    rng = np.random.default_rng(0)
    (folder / "4_Ortho_RGBIR").mkdir()
    names = [f"top_potsdam_{tile}" for tile in TILES.split()]
    for n, name in enumerate(names):
        files = [folder / "4_Ortho_RGBIR" / f"{name}_RGBIR.tif", folder / f"{name}_label.tif"]
        if n >= scenes:
            first = names[n % scenes]
            files[0].symlink_to(files[0].with_name(f"{first}_RGBIR.tif"))
            files[1].symlink_to(files[1].with_name(f"{first}_label.tif"))
            continue
        blocks = rng.integers(0, 6, (-(-side // 60), -(-side // 60)), np.uint8)
        classes = np.kron(blocks, np.ones((60, 60), np.uint8))[:side, :side]
        image = rng.integers(0, 90, (4, side, side), np.uint8) + classes * np.uint8(25)
        profile = {"driver": "GTiff", "height": side, "width": side, "dtype": "uint8", "crs": "EPSG:32633"}
        profile |= {"transform": from_origin(360_000 + 300 * n, 5_800_000, 0.05, 0.05), "interleave": "pixel"}
        with rasterio.open(files[0], "w", count=4, **profile) as file:
            file.write(image)
        with rasterio.open(files[1], "w", count=3, **profile) as file:
            file.write(np.moveaxis(COLOURS[classes], -1, 0))
    fields = {
        "name": "full", "gsd": 0.05, "images": {"RGBIR": {"files": "4_Ortho_RGBIR/{tile}_RGBIR.tif", "bands": "RGBIR"}},
        "labels": ["{tile}_label.tif"], "splits": {"train": ["*"]},
        "legend": [{"name": n, "colour": c.tolist()} for n, c in zip(NAMES, COLOURS, strict=True)],
    }  # fmt: skip
    (folder / "full.yaml").write_text(yaml.safe_dump(fields))


def rsuda_pair(folder: Path, a: argparse.Namespace) -> tuple[Settings, Pair]:
    domain = str(folder / "full.yaml")
    s = make_settings(
        {
            "source.name": domain,
            "target.name": domain,
            "data": str(folder),
            "method.name": "source-only",
            "patches.window": a.crop,
            "training.batch_size": 4,
            "network.weights": "none",
            "patches.workers": a.workers,
        },
        presets_of=presets_of,
    )
    s, _ = check_run(s)
    return s, pair(*find_domains(s), s)


def rsuda_batches(folder: Path, a: argparse.Namespace) -> Iterator[Any]:
    s, found = rsuda_pair(folder, a)
    return iter(loader(found, s, with_target=False))


def torchgeo_batches(folder: Path, a: argparse.Namespace) -> Iterator[Any]:
    from torchgeo.datamodules import Potsdam2DDataModule

    module = Potsdam2DDataModule(
        batch_size=1, patch_size=a.crop, val_split_pct=0.0, num_workers=a.workers, root=folder, checksum=False
    )
    module.setup("fit")
    while True:
        for batch in module.train_dataloader():
            yield module.train_aug(batch)


def memory(pid: int) -> dict[str, float]:
    """MB that a process has now."""
    lines = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    held = {name[:-1]: int(kilobytes) / 1024 for name, kilobytes, *_ in lines}
    return {name: sum(held[f] for f in fields) for name, fields in MEMORY.items()}


def measured(
    batches: Callable[..., Iterator[Any]], folder: Path, a: argparse.Namespace, patches: int
) -> dict[str, Any]:
    """Patches a second, and then, since looking takes time, what a worker has in memory at most while it makes three batches
    more."""
    found = batches(folder, a)
    batch = next(found)
    seen, began = 0, time.monotonic()
    while seen < patches:
        batch = next(found)
        seen += len(batch.get("source_image", batch.get("image")))
    speed = seen / (time.monotonic() - began)
    workers = [p.pid for p in multiprocessing.active_children() if p.pid]
    held, more = dict.fromkeys(MEMORY, 0.0), Thread(target=lambda: [next(found) for _ in range(3)])
    more.start()
    while more.is_alive():
        for now in map(memory, workers):
            held = {name: max(mb, now[name]) for name, mb in held.items()}
        time.sleep(0.02)
    return {"patches_per_second": speed, "patches": seen, "worker_mb": {k: round(v) for k, v in held.items()}}


def waiting(folder: Path, a: argparse.Namespace) -> dict[str, Any]:
    """Seconds a step, and the share of it that passes before its batch is there."""
    s, found = rsuda_pair(folder, a)
    device = pick_device("auto")
    if device.type == "cpu":
        keep_freed_memory()
    precision = pick_precision("auto", device)
    method = build(s, found).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(method.parameters())
    batches, waits, steps = iter(loader(found, s, with_target=False)), [], []
    for _ in range(a.steps + 3):
        began = time.monotonic()
        batch = {k: v.to(device) for k, v in next(batches).items()}
        waits.append(time.monotonic() - began)
        image, label = method.augmentation.source(batch["source_image"], batch["source_label"])
        with autocast(precision, device):
            loss, _ = method.loss({"source_image": image, "source_label": label})
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()  # waits for a GPU
        steps.append(time.monotonic() - began)
    return {
        "network": s.network.encoder, "batch_size": s.training.batch_size, "precision": precision, "device": str(device),
        "steps": a.steps,
        "seconds_per_step": sum(steps[3:]) / a.steps, "waiting": sum(waits[3:]) / sum(steps[3:]),
    }  # fmt: skip


def apart(function: Callable[..., dict[str, Any]], *given: Any) -> dict[str, Any]:
    """In a process of its own, so that neither has the other's libraries in memory."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_by_fork, function, *given).result()


def _by_fork(function: Callable[..., dict[str, Any]], *given: Any) -> dict[str, Any]:
    """With workers that are forked, as they are where nobody chose another way; a spawned process spawns its own."""
    multiprocessing.set_start_method("fork", force=True)
    return function(*given)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("side", 6000), ("scenes", 2), ("crop", 512), ("patches", 64), ("workers", 1), ("steps", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", type=Path, help="JSON of the figures")
    a = parser.parse_args()
    about = {k: v for k, v in vars(a).items() if k != "out"} | {"threads": torch.get_num_threads()}
    print(f"{a.scenes} scenes of {a.side} x {a.side} px, 4 bands; patches of {a.crop} px, {a.workers} worker(s)\n")
    print("| loader | patches / s | a worker's private MB | proportional MB | resident MB |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(folder, a.scenes, a.side)
        rows = {}
        # whole scenes take seconds each, so fewer are asked for
        for name, batches, patches in (
            ("rsuda", rsuda_batches, a.patches), ("torchgeo", torchgeo_batches, max(3, a.patches // 8)),
        ):  # fmt: skip
            rows[name] = row = apart(measured, batches, folder, a, patches)
            held = " | ".join(str(mb) for mb in row["worker_mb"].values())
            print(f"| {name} | {row['patches_per_second']:.2f} | {held} |", flush=True)
        step = apart(waiting, folder, a)
    ratio = rows["rsuda"]["patches_per_second"] / rows["torchgeo"]["patches_per_second"]
    print(f"\nrsuda gives {ratio:.0f} times as many patches a second")
    print(
        f"a step of source-only ({step['network']}, batch {step['batch_size']}, {step['precision']} on {step['device']}, "
        f"{about['threads']} threads): {step['seconds_per_step']:.2f} s, {step['waiting']:.1%} of it waiting for data"
    )
    if a.out:
        a.out.write_text(json.dumps({"about": about, **rows, "times": ratio, "step": step}, indent=1) + "\n")


if __name__ == "__main__":
    main()
