"""Measure patches a second from full-size scenes: rsuda's loader and torchgeo's Potsdam2DDataModule on the same files.

    python benchmarks/loading.py [--side 6000] [--scenes 2] [--window 512] [--patches 64] [--workers 1] [--out FILE.json]

The script makes scenes as ISPRS delivers Potsdam (4 bands, uncompressed strips, label colours) in a temporary
folder, about 250 MB a scene. It links them to the names of the 24 training tiles, so an epoch has the same length.
An item of both loaders is one image and label patch. Both have the same number of workers, and each loader has a
separate process. The first batch starts the workers and does not count. rsuda's patches have a random scale, as in
training, so each is resampled. torchgeo reads whole scenes and cuts one patch of each, so its batch is one scene.

Memory is that of the largest worker, in MB. *private* belongs to it alone: the cost of one more worker.
*proportional* counts pages shared with the parent process (Python, torch, the data set) by halves. *resident*
counts these pages in full, so its peak is at least the memory of the parent at the fork.

*Waiting* is the share of a training step of source-only that passes before its batch arrives, with rsuda's loader.
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
from rsuda.data.pairs.pair import Pair, pair
from rsuda.data.pairs.patches import loader
from rsuda.learning.device import autocast, keep_freed_memory, pick_device, pick_precision
from rsuda.methods import presets_of
from rsuda.training.build import build, check_run

COLOURS = np.array([[255, 0, 0], [255, 255, 255], [0, 0, 255], [0, 255, 255], [0, 255, 0], [255, 255, 0]], np.uint8)
NAMES = ("clutter", "impervious surface", "building", "low vegetation", "tree", "car")
# the training tiles of ISPRS, as in torchgeo's Potsdam2D.splits
TILES = (
    "2_10 2_11 2_12 3_10 3_11 3_12 4_10 4_11 4_12 5_10 5_11 5_12 6_10 6_11 6_12 6_7 6_8 6_9 7_10 7_11 7_12 7_7 7_8 7_9"
)
MEMORY = {"private": ("Private_Clean", "Private_Dirty"), "proportional": ("Pss",), "resident": ("Rss",)}


def make(folder: Path, scenes: int, side: int) -> None:
    rng = np.random.default_rng(0)
    (folder / "4_Ortho_RGBIR").mkdir()
    names = [f"top_potsdam_{tile}" for tile in TILES.split()]
    for number, name in enumerate(names):
        files = [folder / "4_Ortho_RGBIR" / f"{name}_RGBIR.tif", folder / f"{name}_label.tif"]
        if number >= scenes:
            first = names[number % scenes]
            files[0].symlink_to(files[0].with_name(f"{first}_RGBIR.tif"))
            files[1].symlink_to(files[1].with_name(f"{first}_label.tif"))
            continue
        blocks = rng.integers(0, 6, (-(-side // 60), -(-side // 60)), np.uint8)
        classes = np.kron(blocks, np.ones((60, 60), np.uint8))[:side, :side]
        image = rng.integers(0, 90, (4, side, side), np.uint8) + classes * np.uint8(25)
        profile = {"driver": "GTiff", "height": side, "width": side, "dtype": "uint8", "crs": "EPSG:32633"}
        profile |= {"transform": from_origin(360_000 + 300 * number, 5_800_000, 0.05, 0.05), "interleave": "pixel"}
        with rasterio.open(files[0], "w", count=4, **profile) as file:
            file.write(image)
        with rasterio.open(files[1], "w", count=3, **profile) as file:
            file.write(np.moveaxis(COLOURS[classes], -1, 0))
    fields = {
        "name": "full", "gsd": 0.05, "images": {"RGBIR": {"files": "4_Ortho_RGBIR/{tile}_RGBIR.tif", "bands": "RGBIR"}},
        "labels": ["{tile}_label.tif"], "splits": {"train": ["*"]},
        "legend": [{"name": name, "colour": colour.tolist()} for name, colour in zip(NAMES, COLOURS, strict=True)],
    }  # fmt: skip
    (folder / "full.yaml").write_text(yaml.safe_dump(fields))


def rsuda_pair(folder: Path, args: argparse.Namespace) -> tuple[Settings, Pair]:
    domain = str(folder / "full.yaml")
    settings = make_settings(
        {
            "source.name": domain,
            "target.name": domain,
            "data": str(folder),
            "method.name": "source-only",
            "patches.window": args.window,
            "training.batch_size": 4,
            "network.weights": "none",
            "patches.workers": args.workers,
        },
        presets_of=presets_of,
    )
    settings, _ = check_run(settings)
    return settings, pair(*find_domains(settings), settings)


def rsuda_batches(folder: Path, args: argparse.Namespace) -> Iterator[Any]:
    settings, cities = rsuda_pair(folder, args)
    return iter(loader(cities, settings, with_target=False))


def torchgeo_batches(folder: Path, args: argparse.Namespace) -> Iterator[Any]:
    from torchgeo.datamodules import Potsdam2DDataModule

    module = Potsdam2DDataModule(
        batch_size=1, patch_size=args.window, val_split_pct=0.0, num_workers=args.workers, root=folder, checksum=False
    )
    module.setup("fit")
    while True:
        for batch in module.train_dataloader():
            yield module.train_aug(batch)


def memory(pid: int) -> dict[str, float]:
    """Return the present memory of a process in MB."""
    lines = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    sizes = {name[:-1]: int(kilobytes) / 1024 for name, kilobytes, *_ in lines}
    return {name: sum(sizes[field] for field in fields) for name, fields in MEMORY.items()}


def measure(
    batches: Callable[..., Iterator[Any]], folder: Path, args: argparse.Namespace, patches: int
) -> dict[str, Any]:
    """Measure patches a second, and then the peak memory of a worker during three more batches, because reading it takes time."""
    stream = batches(folder, args)
    batch = next(stream)
    count, began = 0, time.monotonic()
    while count < patches:
        batch = next(stream)
        count += len(batch.get("source_image", batch.get("image")))
    speed = count / (time.monotonic() - began)
    workers = [process.pid for process in multiprocessing.active_children() if process.pid]
    peak, more = dict.fromkeys(MEMORY, 0.0), Thread(target=lambda: [next(stream) for _ in range(3)])
    more.start()
    while more.is_alive():
        for sizes in map(memory, workers):
            peak = {name: max(mb, sizes[name]) for name, mb in peak.items()}
        time.sleep(0.02)
    return {"patches_per_second": speed, "patches": count, "worker_mb": {name: round(mb) for name, mb in peak.items()}}


def waiting(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Measure seconds a step, and the share of it that passes before its batch arrives."""
    settings, cities = rsuda_pair(folder, args)
    device = pick_device("auto")
    if device.type == "cpu":
        keep_freed_memory()
    precision = pick_precision("auto", device)
    module = build(settings, cities).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(module.parameters())
    batches, waits, steps = iter(loader(cities, settings, with_target=False)), [], []
    for _ in range(args.steps + 3):
        began = time.monotonic()
        batch = {name: tensor.to(device) for name, tensor in next(batches).items()}
        waits.append(time.monotonic() - began)
        source = module.augmentation.source(batch)
        with autocast(precision, device):
            loss, _ = module.method.loss(source)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()  # waits for a GPU
        steps.append(time.monotonic() - began)
    return {
        "network": settings.network.encoder, "batch_size": settings.training.batch_size, "precision": precision,
        "device": str(device), "steps": args.steps,
        "seconds_per_step": sum(steps[3:]) / args.steps, "waiting": sum(waits[3:]) / sum(steps[3:]),
    }  # fmt: skip


def apart(function: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Run a function in a separate process, so that neither loader has the other's libraries in memory."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_by_fork, function, *arguments).result()


def _by_fork(function: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Run a function with forked workers, the default of Linux; without this a spawned process spawns its workers."""
    multiprocessing.set_start_method("fork", force=True)
    return function(*arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (
        ("side", 6000),
        ("scenes", 2),
        ("window", 512),
        ("patches", 64),
        ("workers", 1),
        ("steps", 20),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", type=Path, help="JSON of the figures")
    args = parser.parse_args()
    about = {name: value for name, value in vars(args).items() if name != "out"} | {"threads": torch.get_num_threads()}
    print(
        f"{args.scenes} scenes of {args.side} x {args.side} px, 4 bands; patches of {args.window} px, {args.workers} worker(s)\n"
    )
    print("| loader | patches / s | a worker's private MB | proportional MB | resident MB |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(folder, args.scenes, args.side)
        rows = {}
        # whole scenes take seconds each, so torchgeo reads fewer
        for name, batches, patches in (
            ("rsuda", rsuda_batches, args.patches), ("torchgeo", torchgeo_batches, max(3, args.patches // 8)),
        ):  # fmt: skip
            rows[name] = row = apart(measure, batches, folder, args, patches)
            sizes = " | ".join(str(mb) for mb in row["worker_mb"].values())
            print(f"| {name} | {row['patches_per_second']:.2f} | {sizes} |", flush=True)
        step = apart(waiting, folder, args)
    ratio = rows["rsuda"]["patches_per_second"] / rows["torchgeo"]["patches_per_second"]
    print(f"\nrsuda reads {ratio:.0f} times as many patches a second")
    print(
        f"a step of source-only ({step['network']}, batch {step['batch_size']}, {step['precision']} on {step['device']}, "
        f"{about['threads']} threads): {step['seconds_per_step']:.2f} s, {step['waiting']:.1%} of it waiting for data"
    )
    if args.out:
        args.out.write_text(json.dumps({"about": about, **rows, "times": ratio, "step": step}, indent=1) + "\n")


if __name__ == "__main__":
    main()
