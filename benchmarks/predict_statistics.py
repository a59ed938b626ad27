"""Score models with and without the batch norm statistics of each scene (rsuda predict --adapt statistics).

    python benchmarks/predict_statistics.py --data DATA --weights FILE [--fields 1 2 3 4] [--seeds 0 1 2] [--steps 200]
        [--rows raw matched] [--out runs/predict_statistics] [--device auto] [--threads N]
    python benchmarks/predict_statistics.py --runs RUN RUN --data DATA

The first form trains source-only on the fields of configs/benchmarks/four_fields.yaml where a run is missing: *raw* aligns
nothing, *matched* has what brings the domains nearer, the target's statistics included. The second form takes finished runs.
Both score the val scenes of the target, print a row a run, and write OUT/predict_statistics.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from rsuda.benchmark.plan import read_plan
from rsuda.benchmark.run import run_job
from rsuda.data.find_domain import find_domains
from rsuda.evaluation.evaluate import evaluate
from rsuda.inference.predictor import Predictor
from rsuda.runs.folders import saved_settings
from rsuda.runs.weights import load_run

PLAN = Path(__file__).parents[1] / "configs" / "benchmarks" / "four_fields.yaml"
ROWS = {"raw": "source-only", "matched": "source-only, matched"}


def trained(args: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    """Train what is missing; yield a label and the folder of each run."""
    changes = {"data": str(args.data), "network.weights": args.weights, "training.steps": args.steps}
    plan = read_plan(PLAN, args.out, {name: value for name, value in changes.items() if value is not None})
    pairs = [plan.pairs[number - 1] for number in args.fields]
    for row in args.rows:
        for job in plan.jobs:
            if job.method == ROWS[row] and job.pair in pairs and job.seed in args.seeds:
                if not job.done:
                    run_job(job, args.device, args.threads)
                yield f"{job.pair}, {row}, seed {job.seed}", job.folder


def score(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Score a run on the val scenes of its target, without and with the statistics of each scene."""
    settings = saved_settings(folder)
    if args.data:
        settings = settings.changed({"data": str(args.data)})
    target = find_domains(settings)[1]
    predictor = Predictor.of(load_run(folder), args.device, settings.training.precision)
    scores = {
        adapt: evaluate(predictor, target, settings.validation.split, adapt=adapt).scores
        for adapt in ("none", "statistics")
    }
    return {adapt: {"miou": 100 * s.miou, "iou": [100 * float(v) for v in s.iou]} for adapt, s in scores.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, nargs="+", help="finished runs; nothing is trained")
    parser.add_argument("--fields", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--weights")
    parser.add_argument("--out", type=Path, default=Path("runs/predict_statistics"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = []
    print(f"{'run':48} {'none':>6} {'statistics':>10} {'change':>7}")
    for label, folder in [(str(run), run) for run in args.runs] if args.runs else trained(args):
        fields = score(folder, args)
        change = fields["statistics"]["miou"] - fields["none"]["miou"]
        rows.append({"run": label, "change": change, **fields})
        print(
            f"{label:48} {fields['none']['miou']:6.1f} {fields['statistics']['miou']:10.1f} {change:+7.1f}", flush=True
        )
    changes = [row["change"] for row in rows]
    print(f"{'mean':48} {'':6} {'':10} {statistics.mean(changes):+7.1f}")
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "predict_statistics.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
