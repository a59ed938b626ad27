"""How fast prediction is, file to file: against the bare network, and against the ways it is done elsewhere.

    python benchmarks/predict.py ratio  [--size 10240] [--model RUN]   end to end / bare forward of the same windows
    python benchmarks/predict.py peers  [--size 4096]  [--model RUN]   torchgeo's GridGeoSampler, pytorch-toolbelt's tiles
    python benchmarks/predict.py memory [--width 4096] [--model RUN]   peak memory at heights h, 2h, 4h
    python benchmarks/predict.py scene --width 36000 --height 18000    one scene, start to finish

Without --model the network of preset 'small' with random weights. Peers need pip install torchgeo requests pytorch_toolbelt.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.transform import from_origin
from rasterio.windows import Window

from rsuda.core.legend import Legend
from rsuda.core.settings import make_settings
from rsuda.core.spec import Spec
from rsuda.geo.windows import window_starts
from rsuda.inference.predict import predict
from rsuda.inference.predictor import Predictor
from rsuda.learning.device import autocast
from rsuda.learning.networks import build_network
from rsuda.methods import presets_of
from rsuda.runs.weights import TrainedNetwork, architecture, load_run

NAMES = ("building", "land", "road", "vegetation", "water")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def network(model: str | None) -> TrainedNetwork:
    if model:
        return load_run(model)
    s = make_settings({"method.name": "source-only", "network.weights": "none"}, presets_of=presets_of)
    legend = Legend(NAMES, tuple(((50 * k, 250 - 50 * k, 99),) for k in range(len(NAMES))))
    spec = Spec(("red", "green", "blue"), 0.5, (0.0,) * 3, (255.0,) * 3, MEAN, STD, legend)
    model = build_network("plain", architecture(s, spec))
    return TrainedNetwork(model.eval(), spec, Path("random"), "source-only", "random")


def make_scene(path: Path, height: int, width: int, gsd: float) -> Path:
    """A tiled, compressed RGB scene of smooth random colours, written in strips."""
    rng = np.random.default_rng(0)
    profile = {
        "driver": "GTiff", "height": height, "width": width, "count": 3, "dtype": "uint8", "crs": "EPSG:32632", "tiled": True,
        "blockxsize": 512, "blockysize": 512, "compress": "deflate", "photometric": "RGB", "BIGTIFF": "IF_SAFER",
        "interleave": "pixel", "transform": from_origin(500_000, 6_000_000, gsd, gsd),
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as out:
        for row in range(0, height, 512):
            coarse = rng.integers(0, 200, (3, 8, -(-width // 64)))
            strip = np.kron(coarse, np.ones((1, 64, 64)))[:, :, :width] + rng.integers(0, 50, (3, 512, width))
            rows = min(512, height - row)
            out.write(strip[:, :rows].astype(np.uint8), window=Window(0, row, width, rows))
    return path


def bare(model: torch.nn.Module, engine: Predictor, batches: int, held: int = 8) -> float:
    """Seconds a batch of a network alone, on windows that are in memory already."""
    x = [torch.rand(engine.batch_size, 3, engine.window, engine.window) for _ in range(min(held, batches))]
    x = [b.to(engine.device).contiguous(memory_format=torch.channels_last) for b in x]
    with torch.inference_mode(), autocast(engine.precision, engine.device):
        model(x[0])
        began = time.perf_counter()
        for k in range(batches):
            model(x[k % len(x)])
        if engine.device.type == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - began) / batches


def options(a: argparse.Namespace) -> dict[str, object]:
    return {
        "device": a.device,
        "precision": a.precision,
        "window": a.window,
        "overlap": a.overlap,
        "batch_size": a.batch_size,
    }


def ratio(a: argparse.Namespace) -> None:
    trained = network(a.model)
    engine = Predictor.of(trained, **options(a))
    trained.model.to(memory_format=torch.channels_last)
    with tempfile.TemporaryDirectory(dir=a.folder) as folder:
        scene = make_scene(Path(folder, "scene.tif"), a.size, a.size, trained.spec.gsd)
        windows = len(window_starts(a.size, a.window, a.window - a.overlap)) ** 2
        some = min(40, max(1, windows // a.batch_size))
        alone: dict[str, list[float]] = {"as it was trained": [], "batch norms folded": []}
        written = {}
        for polygons in (None, "gpkg", "end"):  # the bare network before, between and after
            for times, model in zip(alone.values(), (trained.model, engine.model), strict=True):
                times.append(bare(model, engine, some))
            if polygons != "end":
                (done,) = predict([scene], trained, Path(folder, str(polygons)), polygons=polygons, **options(a))
                written["file to file, polygons too" if polygons else "file to file"] = done.seconds
    print(
        f"{a.size} x {a.size} px, {windows} windows of {a.window} px, overlap {a.overlap}, batches of {a.batch_size}, "
        f"{engine.precision} on {engine.device}, {torch.get_num_threads()} threads\n"
    )
    plain, folded = (float(np.mean(t)) * windows / a.batch_size for t in alone.values())
    print(
        "| what | seconds | Mpx/s | times the bare network | times it with folded batch norms |\n|---|---|---|---|---|"
    )
    for name, seconds in {"bare network": plain, "bare network, batch norms folded": folded, **written}.items():
        mpx = a.size**2 / 1e6 / seconds
        print(f"| {name} | {seconds:.1f} | {mpx:.2f} | {seconds / plain:.2f} | {seconds / folded:.2f} |")
    told = "; ".join(f"{name} {', '.join(f'{t:.3f}' for t in times)}" for name, times in alone.items())
    print(f"\nseconds a batch of the bare network before, between and after: {told}")


def peers(a: argparse.Namespace) -> None:
    trained = network(a.model)
    model, spec = trained.model, trained.spec
    mean, std = torch.tensor(spec.mean)[:, None, None], torch.tensor(spec.std)[:, None, None]
    times = {}
    with tempfile.TemporaryDirectory(dir=a.folder) as folder:
        scene = make_scene(Path(folder, "scene.tif"), a.size, a.size, spec.gsd)

        def others(how: str) -> None:
            for name, way in {
                "torchgeo GridGeoSampler loop": _torchgeo,
                "pytorch-toolbelt slicer and merger": _toolbelt,
            }.items():
                began = time.perf_counter()
                way(scene, model=model.to(memory_format=torch.contiguous_format), mean=mean, std=std, a=a)
                times[f"{name}, fp32{how}"] = time.perf_counter() - began

        others("")  # before rsuda sets how the process keeps its memory, which cannot be taken back
        engine = Predictor.of(trained, **options(a))
        others(", freed memory kept as by rsuda")
        for precision in dict.fromkeys(["fp32", engine.precision]):
            (done,) = predict(
                [scene], trained, Path(folder, precision), polygons=None, **{**options(a), "precision": precision}
            )
            times[f"rsuda, {precision}"] = done.seconds
    own = times[f"rsuda, {engine.precision}"]
    print(
        f"{a.size} x {a.size} px, windows {a.window}, stride {a.window - a.overlap}, {torch.get_num_threads()} threads\n"
    )
    print("| way | seconds | Mpx/s | times rsuda |\n|---|---|---|---|")
    for name, seconds in times.items():
        print(f"| {name} | {seconds:.1f} | {a.size**2 / 1e6 / seconds:.2f} | {seconds / own:.2f} |")


def _torchgeo(
    scene: Path, model: torch.nn.Module, mean: torch.Tensor, std: torch.Tensor, a: argparse.Namespace
) -> None:
    """As its tutorials show it: samples of a grid, one model call a batch, each window's classes written over the last's."""
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler

    data = RasterDataset([str(scene)])
    sampler = GridGeoSampler(data, size=a.window, stride=a.window - a.overlap)
    out = np.zeros((a.size, a.size), np.uint8)
    with rasterio.open(scene) as file:
        profile, transform = file.profile, file.transform
    with torch.inference_mode():
        for batch in DataLoader(data, batch_size=a.batch_size, sampler=sampler, collate_fn=stack_samples):
            classes = model((batch["image"].float() / 255 - mean) / std).argmax(1).byte().numpy()
            for part, box in zip(classes, batch["bounds"], strict=True):
                x0, y1 = (box.minx, box.maxy) if hasattr(box, "minx") else (float(box[0].start), float(box[1].stop))
                col, row = (round(v) for v in ~transform * (x0, y1))
                here = out[max(row, 0) : row + a.window, max(col, 0) : col + a.window]
                here[:] = part[: here.shape[0], : here.shape[1]]
    with rasterio.open(scene.with_name("torchgeo.tif"), "w", **{**profile, "count": 1, "photometric": None}) as file:
        file.write(out, 1)


def _toolbelt(
    scene: Path, model: torch.nn.Module, mean: torch.Tensor, std: torch.Tensor, a: argparse.Namespace
) -> None:
    """As its readme shows it: the whole image sliced, a weighted merge of logits, classes at the end."""
    from pytorch_toolbelt.inference.tiles import ImageSlicer, TileMerger

    with rasterio.open(scene) as file:
        profile, image = file.profile, file.read().transpose(1, 2, 0)
    slicer = ImageSlicer(image.shape, tile_size=a.window, tile_step=a.window - a.overlap, weight="pyramid")
    merger = TileMerger(slicer.target_shape, len(NAMES), slicer.weight)
    tiles, crops = slicer.split(image), slicer.crops
    with torch.inference_mode():
        for k in range(0, len(tiles), a.batch_size):
            x = torch.from_numpy(np.stack(tiles[k : k + a.batch_size]).transpose(0, 3, 1, 2).copy()).float() / 255
            merger.integrate_batch(model((x - mean) / std), crops[k : k + a.batch_size])
    classes = slicer.crop_to_orignal_size(merger.merge().numpy().transpose(1, 2, 0)).argmax(2).astype(np.uint8)
    with rasterio.open(scene.with_name("toolbelt.tif"), "w", **{**profile, "count": 1, "photometric": None}) as file:
        file.write(classes, 1)


def memory(a: argparse.Namespace) -> None:
    print(
        "| scene, px | Mpx | seconds | Mpx/s | peak memory above the loaded network, MB |\n|---|---|---|---|---|",
        flush=True,
    )
    for height in (a.height, 2 * a.height, 4 * a.height):
        _one(a, height)


def scene(a: argparse.Namespace) -> None:
    print(
        "| scene, px | Mpx | seconds | Mpx/s | peak memory above the loaded network, MB |\n|---|---|---|---|---|",
        flush=True,
    )
    _one(a, a.height)


def _one(a: argparse.Namespace, height: int) -> None:
    """In a process of its own, which made no scene."""
    with tempfile.TemporaryDirectory(dir=a.folder) as folder:
        path = make_scene(Path(folder, "scene.tif"), height, a.width, network(a.model).spec.gsd)
        given = [
            f"--{k.replace('_', '-')}={v}" for k, v in {**options(a), "model": a.model, "format": a.format}.items() if v
        ]
        told = subprocess.run(
            [sys.executable, __file__, "child", f"--folder={path}", *given], check=True, capture_output=True
        )
    found = json.loads(told.stdout.splitlines()[-1])
    mpx = height * a.width / 1e6
    print(
        f"| {a.width} x {height} | {mpx:.0f} | {found['seconds']:.0f} | {mpx / found['seconds']:.2f} | {found['mb']:.0f} |",
        flush=True,
    )


def child(a: argparse.Namespace) -> None:
    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    trained = network(a.model)
    Predictor.of(trained, **options(a))
    before = peak()
    (done,) = predict([a.folder], trained, Path(a.folder).parent / "out", polygons=a.format, **options(a))
    print(json.dumps({"seconds": done.seconds, "mb": peak() - before}))


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["ratio", "peers", "memory", "scene", "child"])
    p.add_argument("--model")
    p.add_argument("--size", type=int)
    p.add_argument("--width", type=int, default=4096)
    p.add_argument("--height", type=int, default=2048)
    p.add_argument("--format", default="none")
    p.add_argument("--window", type=int, default=512)
    p.add_argument("--overlap", type=int, default=128)
    p.add_argument("--batch-size", type=int, default=4)
    p.add_argument("--precision", default="auto")
    p.add_argument("--device", default="auto")
    p.add_argument("--folder", help="for the scenes; the system's temporary folder by default")
    a = p.parse_args()
    a.size = a.size or (10240 if a.what == "ratio" else 4096)
    {"ratio": ratio, "peers": peers, "memory": memory, "scene": scene, "child": child}[a.what](a)


if __name__ == "__main__":
    main()
