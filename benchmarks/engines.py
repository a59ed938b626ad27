"""Compare what runs a network on a CPU: rsuda, onnxruntime and OpenVINO, in float32, bfloat16 and 8-bit integers, in turns.

    python benchmarks/engines.py --run RUN --imagery DOMAIN [--data DATA] [--threads 1] [--window 512] [--rounds 7]
    python benchmarks/engines.py [--encoder tu-tf_efficientnet_lite0] [--decoder segformer] [--channels 128] …

The first line measures a trained network on imagery like that of rsuda export --int8, the second one with random weights
on noise, whose classes say nothing. Each engine gets the windows one by one and all at once; the table has the faster of
the two. Seconds are medians. OpenVINO is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rsuda.core.legend import IGNORE
from rsuda.data.find_domain import domain
from rsuda.evaluation.metrics import class_iou, confusion
from rsuda.export.calibration_windows import CalibrationWindow, choose_windows
from rsuda.export.int8 import to_int8
from rsuda.export.programs import INPUT, quiet, to_onnx, traced
from rsuda.learning.device import autocast, keep_freed_memory
from rsuda.learning.folding import for_prediction, without_batch_norm
from rsuda.learning.network import Architecture
from rsuda.learning.networks import build_network
from rsuda.runs.weights import load_run

WINDOWS = 4  # of one measurement
Engine = Callable[[np.ndarray], np.ndarray]  # images (B, bands, H, W) -> logits (B, K, H, W), float32


def main() -> None:
    args = arguments()
    keep_freed_memory()  # as prediction does
    torch.set_num_threads(args.threads)
    network, calibrated, images, windows = subject(args)
    engines = engines_of(network, calibrated, args.threads)
    seconds = measured(engines, images[:WINDOWS], args.rounds)
    expected = classes_of(engines["rsuda, fp32"], images)
    print(
        f"{args.run or args.encoder}, {WINDOWS} windows of {args.window} px, {args.threads} threads, {args.rounds} rounds; "
        f"classes of {len(images)} windows\n"
    )
    print(
        "| network | windows at once | processor s | s | pixels with the class of rsuda, fp32 | mIoU |\n|---|---|---|---|---|---|"
    )
    for name, engine in engines.items():
        at_once = min((1, WINDOWS), key=lambda count: seconds[name, count])
        processor, wall = seconds[name, at_once]
        classes = classes_of(engine, images)
        same, miou = np.mean(classes == expected), mean_iou(classes, windows)
        print(f"| {name} | {at_once} | {processor:.3f} | {wall:.3f} | {same:.1%} | {miou} |", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a finished run, measured on --imagery")
    parser.add_argument("--imagery", help="a domain, as in rsuda export --int8")
    parser.add_argument("--data", type=Path, help="the folder of its files")
    parser.add_argument("--encoder", default="tu-tf_efficientnet_lite0")
    parser.add_argument("--decoder", default="segformer")
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    if (args.run is None) != (args.imagery is None):
        parser.error("--run and --imagery belong together")
    return args


def subject(args: argparse.Namespace) -> tuple[nn.Module, list[np.ndarray], np.ndarray, list[CalibrationWindow]]:
    """Return a network, images to calibrate on, images (N, bands, H, W) to compare on, and their windows if they have any."""
    if args.run is None:
        torch.manual_seed(0)
        network = build_network("plain", Architecture(args.encoder, args.decoder, 5, 3, args.channels)).eval()
        noise = np.random.default_rng(0).normal(size=(2 * WINDOWS, 3, args.window, args.window)).astype(np.float32)
        return network, [*noise[:WINDOWS]], noise[WINDOWS:], []
    trained = load_run(args.run)
    calibrated, compared = choose_windows(domain(args.imagery, args.data), trained.spec, args.window)
    images = np.stack([window.image() for window in compared])
    return trained.model.eval(), [window.image() for window in calibrated], images, compared


def engines_of(network: nn.Module, calibrated: list[np.ndarray], threads: int) -> dict[str, Engine]:
    """Prepare all engines that are installed."""
    bands, window = calibrated[0].shape[:2]
    engines = {f"rsuda, {precision}": of_rsuda(network, bands, precision) for precision in ("fp32", "bf16")}
    fp32 = to_onnx(traced(without_batch_norm(network, bands), bands, window))
    int8 = to_int8(fp32, calibrated)
    engines |= {
        "onnxruntime, fp32": of_onnxruntime(fp32, threads),
        "onnxruntime, 8 bits": of_onnxruntime(int8, threads),
    }
    if find_spec("openvino"):
        engines |= {f"OpenVINO, {name}": of_openvino(fp32, name, threads) for name in ("fp32", "bf16")}
        engines["OpenVINO, 8 bits"] = of_openvino(int8, "fp32", threads)
    return engines


def of_rsuda(network: nn.Module, bands: int, precision: str) -> Engine:
    device = torch.device("cpu")
    folded = for_prediction(network, bands, precision, device)

    @torch.inference_mode()
    def run(images: np.ndarray) -> np.ndarray:
        with autocast(precision, device):
            logits = folded(torch.from_numpy(images).contiguous(memory_format=torch.channels_last))
        result: np.ndarray = logits.float().numpy()
        return result

    return run


def of_onnxruntime(model: Any, threads: int) -> Engine:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {INPUT: images})[0]


def of_openvino(model: Any, precision: str, threads: int) -> Engine:
    import openvino

    with tempfile.TemporaryDirectory() as folder, quiet():
        file = Path(folder, "model.onnx")
        file.write_bytes(model.SerializeToString())
        settings = {
            "INFERENCE_PRECISION_HINT": precision.replace("fp32", "f32"),
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
        }
        request = openvino.Core().compile_model(file, "CPU", settings).create_infer_request()
    return lambda images: request.infer({0: images})[0]


def one_by_one(engine: Engine, images: np.ndarray) -> np.ndarray:
    return np.concatenate([engine(images[k : k + 1]) for k in range(len(images))])


def measured(engines: dict[str, Engine], images: np.ndarray, rounds: int) -> dict[tuple[str, int], tuple[float, float]]:
    """Measure processor and wall seconds by engine and windows at once: medians of rounds in turns, after one that warms up."""
    times: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for number in range(rounds + 1):
        for name, engine in engines.items():
            for at_once in (1, len(images)):
                began = time.process_time(), time.perf_counter()
                engine(images) if at_once > 1 else one_by_one(engine, images)
                spent = time.process_time() - began[0], time.perf_counter() - began[1]
                if number:
                    times.setdefault((name, at_once), []).append(spent)
    return {
        key: (statistics.median(p for p, _ in spent), statistics.median(w for _, w in spent))
        for key, spent in times.items()
    }


def classes_of(engine: Engine, images: np.ndarray) -> np.ndarray:
    """Predict the classes (N, H, W) of images."""
    return np.concatenate([engine(images[k : k + 1]).argmax(1) for k in range(len(images))])


def mean_iou(classes: np.ndarray, windows: list[CalibrationWindow]) -> str:
    """Score classes (N, H, W) by the labels of their windows; '' where there are none."""
    matrices = [
        confusion(np.where(window.valid(), label, IGNORE), predicted.astype(np.uint8), len(window.spec.legend))
        for predicted, window in zip(classes, windows, strict=False)
        if (label := window.label()) is not None
    ]
    return f"{np.nanmean(class_iou(np.sum(matrices, axis=0))):.1%}" if matrices else ""


if __name__ == "__main__":
    main()
