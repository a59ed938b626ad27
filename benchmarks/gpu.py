"""Measure rsuda on one GPU in at most 25 minutes, and write one page of tables with hardware and date.

    python benchmarks/gpu.py --out gpu.md [--minutes 25] [--plan PLAN.yaml --data DATA --weights FILE]
    python benchmarks/gpu.py --out cpu.md --tiny          rehearse every part on a CPU, in a minute

Parts, in order; a part that the time does not allow is listed as not run:

* **steps**: seconds and peak memory of a step of each method in the size of the papers (MiT-B5, crops of 512 px);
* **prediction**: megapixels per second, file to file, beside the bare network (benchmarks/predict.py);
* **streams**: share of a prediction's time in which the GPU computes or copies, and copies beside computing;
* **precision**: classes and probabilities in bf16 and fp32, on the GPU and on the CPU;
* **processes**: a collective of NCCL (gloo on a CPU) with one process;
* **adaptation**: the rows of a plan of `rsuda benchmark`, if --plan names one.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import io
import logging
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))

import method_cost
import predict as prediction_benchmark

from rsuda.core.atomic import atomic_write
from rsuda.geo.scenes.region import Region
from rsuda.inference.open_scene import open_scene
from rsuda.inference.predict import predict
from rsuda.inference.predictor import Predictor
from rsuda.inference.sliding_window import blended

PAPER = {"encoder": "mit_b5", "decoder": "segformer", "channels": 256, "window": 512, "batch_size": 2}
TINY = {"encoder": "mit_b0", "decoder": "segformer", "channels": 16, "window": 192, "batch_size": 2}
METHODS = ("source-only", "st-dasegnet", "daformer", "hrda", "mic", "bicl", "cluda")


def steps(args: argparse.Namespace) -> str:
    """Measure each method in a process of its own: the median of steps after two for warming up."""
    size = SimpleNamespace(**(TINY if args.tiny else PAPER), device=args.device)
    lines = [f"{size.encoder}, {size.batch_size} + {size.batch_size} patches of {size.window} px", ""]
    lines += ["| method | s / step | peak MB |", "|---|---|---|"]
    context = multiprocessing.get_context("spawn")
    for name in METHODS[: 2 if args.tiny else None]:
        with context.Pool(1) as pool:
            seconds, megabytes = pool.apply(_step, (name, size, 1 if args.tiny else 8))
        lines.append(f"| {name} | {seconds:.3f} | {megabytes:.0f} |")
    return "\n".join(lines)


def _step(name: str, size: Any, count: int) -> tuple[float, float]:
    bench = method_cost.Bench(name, size)
    seconds = sorted([bench.step() for _ in range(count + 2)][2:])
    return seconds[len(seconds) // 2], method_cost.peak(name, size)


def prediction(args: argparse.Namespace) -> str:
    """Run benchmarks/predict.py: one scene, file to file, beside the bare network."""
    options = [f"--size={640 if args.tiny else 16384}", f"--batch-size={1 if args.tiny else 16}"]
    words = [sys.executable, prediction_benchmark.__file__, "ratio", f"--device={args.device}", *options]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def streams(args: argparse.Namespace) -> str:
    """Profile a prediction, and add up the time in which the GPU computes, copies, and does both."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if args.device == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    trained = prediction_benchmark.network(None)
    with tempfile.TemporaryDirectory() as folder:
        side = 640 if args.tiny else 8192
        scene = prediction_benchmark.make_scene(Path(folder, "scene.tif"), side, side, trained.spec.gsd)
        how: dict[str, Any] = {"polygons": None, "device": args.device, "batch_size": 1 if args.tiny else 16}
        predict([scene], trained, Path(folder, "warm"), **how)
        with torch.profiler.profile(activities=activities) as profile:
            began = time.perf_counter()
            predict([scene], trained, Path(folder, "out"), **how)
            seconds = time.perf_counter() - began
    events = [event for event in profile.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    if not events:
        return f"one scene of {side} px: {seconds:.1f} s; no GPU, so no streams"
    spans = {
        copies: _union([(e.time_range.start, e.time_range.end) for e in events if ("emcpy" in e.name) == copies])
        for copies in (False, True)
    }
    computes, copies = (sum(end - start for start, end in spans[kind]) / 1e6 for kind in (False, True))
    busy = sum(end - start for start, end in _union(spans[False] + spans[True])) / 1e6
    return (
        f"one scene of {side} px: {seconds:.2f} s; the GPU computes {computes / seconds:.0%}, copies {copies / seconds:.0%}, "
        f"copies beside computing {(computes + copies - busy) / seconds:.0%}, rests {1 - busy / seconds:.0%} of the time"
    )


def _union(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Join spans that overlap."""
    joined: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def precision(args: argparse.Namespace) -> str:
    """Compare the blended probabilities of one scene with those of fp32 on the CPU."""
    trained = prediction_benchmark.network(None)
    lines = ["| device | precision | other classes, % | largest difference of a probability |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        side = 256 if args.tiny else 1024
        path = prediction_benchmark.make_scene(Path(folder, "scene.tif"), side, side, trained.spec.gsd)

        def probabilities(device: str, kind: str) -> np.ndarray:
            predictor = Predictor.of(trained, device, kind, window=256, overlap=64)
            scene = open_scene(path, trained.spec)
            return np.concatenate(
                [part.float().cpu().numpy() for _, part in blended(predictor, scene, Region.of(scene))], 1
            )

        reference = probabilities("cpu", "fp32")
        for device, kind in dict.fromkeys([("cpu", "bf16"), (args.device, "fp32"), (args.device, "bf16")]):
            answer = probabilities(device, kind)
            other = 100 * float((answer.argmax(0) != reference.argmax(0)).mean())
            lines.append(f"| {device} | {kind} | {other:.3f} | {np.abs(answer - reference).max():.1e} |")
    return "\n".join(lines)


def processes(args: argparse.Namespace) -> str:
    """Reduce 100 MB among one process."""
    backend = "nccl" if args.device == "cuda" else "gloo"
    with tempfile.TemporaryDirectory() as folder:
        torch.distributed.init_process_group(backend, init_method=f"file://{folder}/meet", rank=0, world_size=1)
        try:
            numbers = torch.ones((1 << 10) if args.tiny else 25 << 20, device=args.device)
            times = []
            for _ in range(6):
                began = time.perf_counter()
                torch.distributed.all_reduce(numbers)
                total = float(numbers.sum())  # waits for the device
                times.append(time.perf_counter() - began)
        finally:
            torch.distributed.destroy_process_group()
    assert total == len(numbers), "one process adds nothing"
    return f"{backend}: all_reduce of {numbers.nbytes / 2**20:.0f} MB in {1e3 * min(times):.1f} ms"


def adaptation(args: argparse.Namespace) -> str:
    """Run a plan of `rsuda benchmark` until the time is over; its finished runs are kept."""
    if args.plan is None:
        return "no --plan"
    words = [sys.executable, "-m", "rsuda.cli", "benchmark", str(args.plan), "--out", f"{args.out}.runs"]
    words += [f"--{name}={value}" for name in ("data", "weights") if (value := getattr(args, name))]
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(words, check=True, timeout=max(1.0, args.end - time.monotonic()))
    table = Path(f"{args.out}.runs", "table.md")
    return table.read_text(encoding="utf-8") if table.is_file() else "no run was finished"


PARTS: tuple[Callable[[argparse.Namespace], str], ...] = (steps, prediction, streams, precision, processes, adaptation)


def hardware(device: str) -> str:
    """Describe the machine and the date."""
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    return (
        f"{name}, {os.cpu_count()} cores, torch {torch.__version__.partition('+')[0]}, CUDA {torch.version.cuda}, "
        f"{datetime.date.today()}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="page of tables")
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--tiny", action="store_true", help="a tiny network and scene, for rehearsals")
    parser.add_argument("--parts", nargs="+", default=[part.__name__ for part in PARTS])
    parser.add_argument("--plan", type=Path, help="plan of rsuda benchmark")
    parser.add_argument("--data", help="of the plan")
    parser.add_argument("--weights", help="of the plan")
    args = parser.parse_args()
    logging.getLogger("rsuda").setLevel(logging.ERROR)
    args.device = "cuda" if torch.cuda.is_available() else "cpu"
    if args.device == "cpu" and not args.tiny:
        parser.exit(2, f"{parser.prog}: this machine has no CUDA device: rehearse with --tiny\n")
    args.end = time.monotonic() + 60 * args.minutes
    page = io.StringIO()
    page.write(f"# rsuda on {hardware(args.device)}\n")
    for part in PARTS:
        if part.__name__ not in args.parts:
            continue
        began = time.monotonic()
        if began > args.end:
            answer = f"not run: {args.minutes:g} minutes were over"
        else:
            try:
                answer = part(args)
            except Exception as error:  # the other parts are measured all the same
                answer = f"failed: {type(error).__name__}: {error}"
        page.write(f"\n## {part.__name__}, {time.monotonic() - began:.0f} s\n\n{answer.strip()}\n")
        with atomic_write(args.out, overwrite=True) as temporary:  # what is measured stays, whatever comes
            temporary.write_text(page.getvalue(), encoding="utf-8")
    print(page.getvalue())


if __name__ == "__main__":
    main()
