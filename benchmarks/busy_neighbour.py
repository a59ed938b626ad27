"""Time training steps beside no, one and two busy processes, with several ways to let OpenMP's threads wait.

    python benchmarks/busy_neighbour.py [--steps 60] [--rounds 3] [--neighbours 0 1 2]
    python benchmarks/busy_neighbour.py --predict 8192     a map of a scene of so many pixels a side instead, file to file

Each run is a process of its own with all cores; each neighbour computes in one thread. Runs of all variants take turns, and
the median of the rounds counts. The load of the machine is printed too: beside other work the numbers mean little.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import rsuda  # it sets how threads wait, before torch is imported

VARIANTS: dict[str, dict[str, str]] = {
    "rsuda": {},
    "OpenMP's own": {"GOMP_SPINCOUNT": "300000"},
    "spin 1 000": {"GOMP_SPINCOUNT": "1000"},
    "spin 3 000": {"GOMP_SPINCOUNT": "3000"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    # it changes how sums round
    "one thread": {"OMP_NUM_THREADS": "1"},
}
BUSY = "x = 0\nwhile True:\n    x += 1"
CHILD = "--child"
OPTIONS = ("steps", "window", "predict")  # of the child


def train(steps: int, window: int) -> None:
    """Train the network of preset small for some steps, and print the seconds without the first three."""
    import torch

    from rsuda.learning.losses import cross_entropy
    from rsuda.learning.network import Architecture, Network

    network = (
        Network(Architecture("mobilenet_v2", "segformer", 5, 3, 128)).to(memory_format=torch.channels_last).train()
    )
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    image = torch.rand(4, 3, window, window).contiguous(memory_format=torch.channels_last)
    label = torch.randint(0, 5, (4, window, window))
    began = 0.0
    for step in range(steps + 3):
        if step == 3:
            began = time.perf_counter()
        optimizer.zero_grad()
        cross_entropy(network(image).logits, label).backward()
        optimizer.step()
    print(time.perf_counter() - began)


def map_scene(side: int) -> None:
    """Predict a scene with the network of preset small, and print the seconds."""
    from predict import make_scene, network  # benchmarks/predict.py

    trained = network(None)
    with tempfile.TemporaryDirectory() as folder:
        scene = make_scene(Path(folder, "scene.tif"), side, side, trained.spec.gsd)
        (prediction,) = rsuda.predict(scene, trained, folder, polygons=None, device="cpu")
        print(prediction.seconds)


def timed(variant: dict[str, str], neighbours: int, args: argparse.Namespace) -> float:
    """Seconds of a run in a process of its own beside busy neighbours."""
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS", "RSUDA_SPINCOUNT")
    environment = {name: value for name, value in os.environ.items() if name not in names} | variant
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(neighbours)]
    try:
        words = [sys.executable, __file__, CHILD, *(f"--{name}={getattr(args, name)}" for name in OPTIONS)]
        return float(subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout)
    finally:
        for process in busy:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=int, default=192)
    parser.add_argument("--predict", type=int, default=0, metavar="SIDE")
    parser.add_argument("--neighbours", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument(CHILD, action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        if args.predict:
            map_scene(args.predict)
        else:
            train(args.steps, args.window)
        return
    times: dict[tuple[str, int], list[float]] = {}
    for _ in range(args.rounds):
        for neighbours in args.neighbours:
            for name in args.variants:
                times.setdefault((name, neighbours), []).append(timed(VARIANTS[name], neighbours, args))
    work = f"a map of {args.predict} x {args.predict} px" if args.predict else f"{args.steps} steps"
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load} (1, 5, 15 min), {work}, seconds (median of {args.rounds})\n")
    print("| waiting | " + " | ".join(f"{count} neighbours" for count in args.neighbours) + " |")
    print("| --- | " + " | ".join("---" for _ in args.neighbours) + " |")
    for name in args.variants:
        cells = [f"{statistics.median(times[name, count]):.1f}" for count in args.neighbours]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
