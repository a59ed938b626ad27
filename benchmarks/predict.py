"""Measure the speed of prediction, file to file, against the bare network and against other libraries.

    python benchmarks/predict.py ratio  [--size 10240] [--model RUN]   end to end / bare forward of the same windows
    python benchmarks/predict.py peers  [--size 4096]  [--model RUN]   torchgeo's GridGeoSampler, pytorch-toolbelt's tiles
    python benchmarks/predict.py memory [--width 4096] [--model RUN]   peak memory at heights h, 2h, 4h
    python benchmarks/predict.py scene --width 36000 --height 18000    one scene, start to finish

Without --model the network is that of preset 'small' with random weights, or another one by --encoder, --decoder,
--channels and --output-stride. For peers: pip install torchgeo requests
pytorch_toolbelt.
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
from rsuda.geo.grids.windows import window_starts
from rsuda.inference.predict import predict
from rsuda.inference.predictor import Predictor
from rsuda.learning.device import autocast
from rsuda.learning.folding import without_batch_norm
from rsuda.learning.networks import build_network
from rsuda.methods import presets_of
from rsuda.runs.weights import TrainedNetwork, architecture, load_run

NAMES = ("building", "land", "road", "vegetation", "water")
NETWORK = {"encoder": str, "decoder": str, "channels": int, "output_stride": int}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def network(model: str | None, **choices: object) -> TrainedNetwork:
    """Load a run, or build a network with random weights.

    Args:
        choices: settings of the network, by name; None for those of preset small.
    """
    if model:
        return load_run(model)
    values = {"method.name": "source-only", "network.weights": "none"}
    values |= {f"network.{name}": value for name, value in choices.items() if value is not None}
    settings = make_settings(values, presets_of=presets_of)
    legend = Legend(NAMES, tuple(((50 * k, 250 - 50 * k, 99),) for k in range(len(NAMES))))
    spec = Spec(("red", "green", "blue"), 0.5, (0.0,) * 3, (255.0,) * 3, MEAN, STD, legend)
    torch.manual_seed(0)  # other weights draw other polygons, up to five times as many
    model = build_network("plain", architecture(settings, spec))
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


def bare(model: torch.nn.Module, predictor: Predictor, batches: int, most: int = 8) -> float:
    """Measure seconds a batch of a network alone, on windows in memory."""
    x = [torch.rand(predictor.batch_size, 3, predictor.window, predictor.window) for _ in range(min(most, batches))]
    x = [batch.to(predictor.device).contiguous(memory_format=torch.channels_last) for batch in x]
    with torch.inference_mode(), autocast(predictor.precision, predictor.device):
        model(x[0])
        began = time.perf_counter()
        for k in range(batches):
            model(x[k % len(x)])
        if predictor.device.type == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - began) / batches


def options(args: argparse.Namespace) -> dict[str, object]:
    return {
        "device": args.device,
        "precision": args.precision,
        "window": args.window,
        "overlap": args.overlap,
        "batch_size": args.batch_size,
    }


def choices(args: argparse.Namespace) -> dict[str, object]:
    return {name: getattr(args, name) for name in NETWORK}


def ratio(args: argparse.Namespace) -> None:
    trained = network(args.model, **choices(args))
    predictor = Predictor.of(trained, **options(args))
    trained.model.to(memory_format=torch.channels_last)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        scene = make_scene(Path(folder, "scene.tif"), args.size, args.size, trained.spec.gsd)
        windows = len(window_starts(args.size, args.window, args.window - args.overlap)) ** 2
        some = min(40, max(1, windows // args.batch_size))
        folded = without_batch_norm(trained.model, len(trained.spec.bands)).to(memory_format=torch.channels_last)
        networks = {
            "as it was trained": trained.model,
            "batch norms folded": folded,
            "as rsuda runs it": predictor.model,
        }
        alone: dict[str, list[float]] = {name: [] for name in networks}
        written = {}
        for polygons in (None, "gpkg", "end"):  # the bare network before, between and after
            for name, model in networks.items():
                alone[name].append(bare(model, predictor, some))
            if polygons != "end":
                (prediction,) = predict(
                    [scene], trained, Path(folder, str(polygons)), polygons=polygons, **options(args)
                )
                written["file to file, polygons too" if polygons else "file to file"] = prediction.seconds
                polygon_count = prediction.polygon_count
    print(
        f"{args.size} x {args.size} px, {windows} windows of {args.window} px, overlap {args.overlap}, "
        f"batches of {args.batch_size}, {predictor.precision} on {predictor.device}, {torch.get_num_threads()} threads\n"
    )
    plain, folded, prepared = (float(np.mean(seconds)) * windows / args.batch_size for seconds in alone.values())
    print("| pass | seconds | Mpx/s | times the bare network | times the folded network | times rsuda's network |")
    print("|---|---|---|---|---|---|")
    bare_passes = {"bare network": plain, "batch norms folded": folded, "as rsuda runs it": prepared}
    for name, seconds in {**bare_passes, **written}.items():
        ratios = " | ".join(f"{seconds / reference:.2f}" for reference in bare_passes.values())
        print(f"| {name} | {seconds:.1f} | {args.size**2 / 1e6 / seconds:.2f} | {ratios} |")
    figures = "; ".join(f"{name} {', '.join(f'{seconds:.3f}' for seconds in times)}" for name, times in alone.items())
    print(f"\n{polygon_count} polygons; seconds a batch of the bare network before, between and after: {figures}")


def peers(args: argparse.Namespace) -> None:
    trained = network(args.model, **choices(args))
    model, spec = trained.model, trained.spec
    mean, std = torch.tensor(spec.mean)[:, None, None], torch.tensor(spec.std)[:, None, None]
    times = {}
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        scene = make_scene(Path(folder, "scene.tif"), args.size, args.size, spec.gsd)

        def others(memory: str) -> None:
            for name, way in {
                "torchgeo GridGeoSampler loop": _torchgeo,
                "pytorch-toolbelt slicer and merger": _toolbelt,
            }.items():
                began = time.perf_counter()
                way(scene, model=model.to(memory_format=torch.contiguous_format), mean=mean, std=std, args=args)
                times[f"{name}, fp32{memory}"] = time.perf_counter() - began

        others("")  # before rsuda changes the memory setting of the process, which cannot be undone
        predictor = Predictor.of(trained, **options(args))
        others(", freed memory reused as by rsuda")
        for precision in dict.fromkeys(["fp32", predictor.precision]):
            (prediction,) = predict(
                [scene], trained, Path(folder, precision), polygons=None, **{**options(args), "precision": precision}
            )
            times[f"rsuda, {precision}"] = prediction.seconds
    reference = times[f"rsuda, {predictor.precision}"]
    print(
        f"{args.size} x {args.size} px, windows {args.window}, stride {args.window - args.overlap}, "
        f"{torch.get_num_threads()} threads\n"
    )
    print("| way | seconds | Mpx/s | times rsuda |\n|---|---|---|---|")
    for name, seconds in times.items():
        print(f"| {name} | {seconds:.1f} | {args.size**2 / 1e6 / seconds:.2f} | {seconds / reference:.2f} |")


def _torchgeo(
    scene: Path, model: torch.nn.Module, mean: torch.Tensor, std: torch.Tensor, args: argparse.Namespace
) -> None:
    """Predict as in its tutorials: samples of a grid, one model call a batch, each window's classes written over the last's."""
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler

    data = RasterDataset([str(scene)])
    sampler = GridGeoSampler(data, size=args.window, stride=args.window - args.overlap)
    out = np.zeros((args.size, args.size), np.uint8)
    with rasterio.open(scene) as file:
        profile, transform = file.profile, file.transform
    with torch.inference_mode():
        for batch in DataLoader(data, batch_size=args.batch_size, sampler=sampler, collate_fn=stack_samples):
            classes = model((batch["image"].float() / 255 - mean) / std).argmax(1).byte().numpy()
            for part, box in zip(classes, batch["bounds"], strict=True):
                x0, y1 = (box.minx, box.maxy) if hasattr(box, "minx") else (float(box[0].start), float(box[1].stop))
                col, row = (round(v) for v in ~transform * (x0, y1))
                here = out[max(row, 0) : row + args.window, max(col, 0) : col + args.window]
                here[:] = part[: here.shape[0], : here.shape[1]]
    with rasterio.open(scene.with_name("torchgeo.tif"), "w", **{**profile, "count": 1, "photometric": None}) as file:
        file.write(out, 1)


def _toolbelt(
    scene: Path, model: torch.nn.Module, mean: torch.Tensor, std: torch.Tensor, args: argparse.Namespace
) -> None:
    """As its readme shows it: the whole image sliced, a weighted merge of logits, classes at the end."""
    from pytorch_toolbelt.inference.tiles import ImageSlicer, TileMerger

    with rasterio.open(scene) as file:
        profile, image = file.profile, file.read().transpose(1, 2, 0)
    slicer = ImageSlicer(image.shape, tile_size=args.window, tile_step=args.window - args.overlap, weight="pyramid")
    merger = TileMerger(slicer.target_shape, len(NAMES), slicer.weight)
    tiles, crops = slicer.split(image), slicer.crops
    with torch.inference_mode():
        for k in range(0, len(tiles), args.batch_size):
            x = torch.from_numpy(np.stack(tiles[k : k + args.batch_size]).transpose(0, 3, 1, 2).copy()).float() / 255
            merger.integrate_batch(model((x - mean) / std), crops[k : k + args.batch_size])
    classes = slicer.crop_to_orignal_size(merger.merge().numpy().transpose(1, 2, 0)).argmax(2).astype(np.uint8)
    with rasterio.open(scene.with_name("toolbelt.tif"), "w", **{**profile, "count": 1, "photometric": None}) as file:
        file.write(classes, 1)


def memory(args: argparse.Namespace) -> None:
    print(
        "| scene, px | Mpx | seconds | Mpx/s | peak memory above the loaded network, MB |\n|---|---|---|---|---|",
        flush=True,
    )
    for height in (args.height, 2 * args.height, 4 * args.height):
        _one(args, height)


def scene(args: argparse.Namespace) -> None:
    print(
        "| scene, px | Mpx | seconds | Mpx/s | peak memory above the loaded network, MB |\n|---|---|---|---|---|",
        flush=True,
    )
    _one(args, args.height)


def _one(args: argparse.Namespace, height: int) -> None:
    """Predict in a separate process, which did not make the scene."""
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path = make_scene(Path(folder, "scene.tif"), height, args.width, network(args.model, **choices(args)).spec.gsd)
        arguments = [
            f"--{name.replace('_', '-')}={value}"
            for name, value in {
                **options(args),
                **choices(args),
                "model": args.model,
                "format": args.format,
            }.items()
            if value
        ]
        process = subprocess.run(
            [sys.executable, __file__, "child", f"--folder={path}", *arguments], check=True, capture_output=True
        )
    result = json.loads(process.stdout.splitlines()[-1])
    mpx = height * args.width / 1e6
    print(
        f"| {args.width} x {height} | {mpx:.0f} | {result['seconds']:.0f} | {mpx / result['seconds']:.2f} | {result['mb']:.0f} |",
        flush=True,
    )


def child(args: argparse.Namespace) -> None:
    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    trained = network(args.model, **choices(args))
    Predictor.of(trained, **options(args))
    before = peak()
    (prediction,) = predict(
        [args.folder], trained, Path(args.folder).parent / "out", polygons=args.format, **options(args)
    )
    print(json.dumps({"seconds": prediction.seconds, "mb": peak() - before}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["ratio", "peers", "memory", "scene", "child"])
    parser.add_argument("--model")
    for name, kind in NETWORK.items():  # of the random network; those of preset small by default
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind)
    parser.add_argument("--size", type=int)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--height", type=int, default=2048)
    parser.add_argument("--format", default="none")
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--overlap", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--folder", help="folder of the scenes; the system's temporary folder by default")
    args = parser.parse_args()
    args.size = args.size or (10240 if args.what == "ratio" else 4096)
    {"ratio": ratio, "peers": peers, "memory": memory, "scene": scene, "child": child}[args.what](args)


if __name__ == "__main__":
    main()
