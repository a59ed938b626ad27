"""Measure the seconds from a command's start to its first training step, first window or first answer.

    python benchmarks/start_up.py [--rounds 5]

Each command runs in a new process on the sample tiles, and ends where its work begins. Importing torch alone is measured in
turns with them. Prints the median and the range.
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

import rsuda

SCENE = "sample_tiles/vaihingen/top/top_mosaic_09cm_area2.tif"
ADAPT = ["adapt", "--source", "potsdam", "--target", "vaihingen"]


def until(module: str, function: str, words: list[str]) -> list[str]:
    """A process that runs a command and ends at its first call of a function, so that only what is before it is measured."""
    # a function of another name would let the command run to its end
    code = f"import os, {module}\ndef end(*_, **__): os._exit(0)\n{module}.{function}\n{module}.{function} = end\n"
    return [sys.executable, "-c", f"{code}from rsuda.cli import main\nmain({words!r})\nraise SystemExit(3)"]


def seconds(words: list[str], folder: Path) -> float:
    """Run a process in a folder and return how long it took. Raises RuntimeError if it failed."""
    began = time.perf_counter()
    answer = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    elapsed = time.perf_counter() - began
    if answer.returncode:
        raise RuntimeError(f"{words[-1]} ended with {answer.returncode}: {answer.stderr[-500:]}")
    return elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rsuda.sample_tiles(folder / "sample_tiles")
        command = [sys.executable, "-m", "rsuda.cli"]
        subprocess.run(
            [*command, *ADAPT, "--steps", "2", "--out", "runs/one"], cwd=folder, check=True, capture_output=True
        )
        predicts = ["predict", SCENE, "--model", "runs/one"]
        step = "rsuda.training.method_module", "MethodModule.training_step"
        processes = {
            "import torch": [sys.executable, "-c", "import torch"],
            "rsuda --help": [*command, "--help"],
            "rsuda info, a scene": [*command, "info", SCENE],
            "rsuda predict, first window": until(
                "rsuda.inference.predictor", "Predictor.uncalibrated_probabilities_of", predicts
            ),
            "rsuda adapt, first step": until(*step, [*ADAPT, "--out", "runs/two", "--overwrite"]),
        }
        times: dict[str, list[float]] = {what: [] for what in processes}
        for turn in range(args.rounds + 1):
            for what, words in processes.items():
                elapsed = seconds(words, folder)
                if turn:  # the first one reads the libraries from the disk
                    times[what].append(elapsed)
    print(f"{os.cpu_count()} cores, {args.rounds} rounds\n\n| what | s | range |\n|---|---|---|")
    for what, measured in times.items():
        print(f"| {what} | {statistics.median(measured):.2f} | {min(measured):.2f} to {max(measured):.2f} |")


if __name__ == "__main__":
    main()
