"""Adapt finished runs without the source's data, beside their starts.

    python benchmarks/source_free.py --data DATA --weights imagenet --out results/source_free

For each field of configs/benchmarks/four_fields.yaml and each seed, source-only with the field's matched settings is
trained for some steps: the start. Then `rsuda adapt --start START --target TARGET` goes on for as many steps with the
target's images alone. Both are scored by their last checkpoint on the target's labelled split. Finished runs are not
repeated, interrupted ones go on. Prints the table at the end, and after each run what it scored.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean, stdev

import rsuda
from rsuda.benchmark.plan import read_plan
from rsuda.core.settings import Settings
from rsuda.runs.folders import CHECKPOINT, WEIGHTS
from rsuda.training.train import train

PLAN = Path("configs/benchmarks/four_fields.yaml")
START = "source-only, matched"
FIELDS = ("dubai → mumbai", "mumbai → dubai")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of the fields' data")
    parser.add_argument("--weights", default="imagenet", help="encoder weights of the starts")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--fields", nargs="+", default=FIELDS, help="pairs of the plan")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=200, help="of the start, and of the adaptation")
    parser.add_argument("--table", action="store_true", help="print the table of finished runs only")
    args = parser.parse_args()
    changes = {
        "data": args.data,
        "network.weights": args.weights,
        "training.device": args.device,
        "training.steps": args.steps,
    }
    jobs = {
        (job.pair, job.seed): job.settings for job in read_plan(PLAN, args.out, changes).jobs if job.method == START
    }
    scores: dict[str, dict[int, tuple[float, float]]] = {}
    for seed in args.seeds:
        for field in args.fields:
            folder = args.out / "_".join(field.replace("→", "").replace(".", "").split()) / f"seed_{seed}"
            if args.table and not (folder / "source-free" / WEIGHTS).is_file():
                continue
            scores.setdefault(field, {})[seed] = pair = run(jobs[field, seed], folder)
            print(f"{field}, seed {seed}: start {pair[0]:.1f}, source-free {pair[1]:.1f}", flush=True)
    print(table(scores))


def run(settings: Settings, folder: Path) -> tuple[float, float]:
    """Train a start and adapt it without its source. Return the mIoU of both in percent."""
    start, adapted = folder / "start", folder / "source-free"
    if not (start / WEIGHTS).is_file():
        train(settings, start, resume=(start / CHECKPOINT).is_file(), quiet=True)
    if not (adapted / WEIGHTS).is_file():
        if (adapted / CHECKPOINT).is_file():
            rsuda.adapt(out=adapted, resume=True)
        else:
            rsuda.adapt(start=start, target=settings.target.name, out=adapted, overwrite=adapted.is_dir())
    split = settings.validation.split
    one, other = (rsuda.evaluate(path, split=split).scores.miou for path in (start, adapted))
    return 100 * one, 100 * other


def table(scores: dict[str, dict[int, tuple[float, float]]]) -> str:
    """Compare both: mean and deviation over seeds, and of the gain of each seed."""
    lines = ["| field | seeds | start | source-free | gain, paired |", "|---|---|---|---|---|"]
    for field, by_seed in scores.items():
        starts, adapted = zip(*by_seed.values(), strict=True)
        gains = [after - before for before, after in by_seed.values()]
        columns = [field, ", ".join(map(str, by_seed)), *(spread(list(v)) for v in (starts, adapted, gains))]
        lines.append("| " + " | ".join(columns) + " |")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    """Write mean ± deviation of one number for each seed."""
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
