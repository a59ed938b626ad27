"""Run one benchmark run: train, score with and without labels, write ``result.json``.

It is a command as well, ``python -m rsuda.benchmark.run FOLDER``, for a folder with the files of job.py. A run that was
interrupted continues from its checkpoint.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from rsuda.benchmark.callbacks import PseudoLabelCurve, StepClock
from rsuda.benchmark.job import RESULT, BenchmarkRun, read_job
from rsuda.benchmark.shared_folder import check_shared
from rsuda.cluster.command import exit_code, parser
from rsuda.core.atomic import atomic_write
from rsuda.core.machine import peak_memory, reset_peak_memory
from rsuda.data.find_domain import find_domains
from rsuda.evaluation.evaluate import evaluate
from rsuda.evaluation.label_free import label_free
from rsuda.evaluation.target_curve import watch_target
from rsuda.inference.predictor import Predictor
from rsuda.learning.device import pick_device
from rsuda.runs.folders import CHECKPOINT
from rsuda.runs.weights import load_run
from rsuda.training.train import train


def run_job(job: BenchmarkRun, on: str, threads: int) -> dict[str, Any]:
    """Train, or go on from a checkpoint; score with and without labels; write and return the fields of ``result.json``.

    Raises InputError, MissingError, ExistsError as ``rsuda.training.train.train``.
    """
    torch.set_num_threads(threads)
    before = _start_peak()
    settings = job.settings.changed({"training.device": on})
    domains = find_domains(settings)
    target = domains[1]
    clock, curve = StepClock(), PseudoLabelCurve(settings, target)
    resume = (job.folder / CHECKPOINT).is_file()
    callbacks = [*watch_target(settings, target, job.folder), clock, curve]
    train(settings, job.folder, overwrite=not resume, resume=resume, quiet=True, callbacks=callbacks, objects=domains)
    engine = Predictor.of(load_run(job.folder), settings.training.device, settings.training.precision)
    results = evaluate(engine, target, settings.validation.split)
    device = pick_device(settings.training.device)
    gpu = device.type == "cuda"
    fields = {
        "pair": job.pair,
        "row": job.method,
        "method": settings.method.name,
        "seed": job.seed,
        "steps": settings.training.steps,
        "options": settings.method.options,
        "seconds_per_step": clock.typical,
        "peak_memory_mb": _peak(device, before),
        "threads": threads,
        "device": torch.cuda.get_device_name(device) if gpu else "cpu",
        "precision": engine.precision,
        "label_free": label_free(engine, target, settings.target.split).as_fields(),
        "pseudo_labels": curve.curve,
        **results.as_fields(),
        "confusion_by_scene": {name: matrix.tolist() for name, matrix in results.by_scene.items()},
    }
    with atomic_write(job.folder / RESULT, overwrite=True) as temporary:
        temporary.write_text(_a_line_each(fields), encoding="utf-8", newline="\n")
    return fields


def _a_line_each(fields: dict[str, Any]) -> str:
    """Format fields as JSON with one line for each."""
    lines = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in fields.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _start_peak() -> int:
    """Free what an earlier run of this process holds, and count peaks from now on. Returns the process's peak in bytes."""
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
        for device in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(device)
    reset_peak_memory()
    return peak_memory() or 0


def _peak(device: torch.device, before: int) -> int | None:
    """Measure the highest memory of the run in MB, of the GPU or of this process.

    None where an earlier run's peak hides it.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) // 2**20
    peak = peak_memory() or 0
    return peak // 2**20 if peak > before else None


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 2 after one sentence for wrong input.

    Args:
        words: arguments of the command line; those of this process by default.
    """
    options = parser("Train and score one run of a benchmark; writes result.json into its folder.")
    options.add_argument("folder", type=Path, help="Run folder with settings.yaml and job.json.")
    options.add_argument("--device", default="auto", help="auto, cpu or cuda:N.")
    options.add_argument("--shared", type=Path, help="A path that this machine must see, too.")
    values = options.parse_args(words)

    def work() -> None:
        if values.shared is not None:
            check_shared(values.shared)
        run_job(read_job(values.folder), values.device, values.threads)

    return exit_code(work, values.attached)


if __name__ == "__main__":
    raise SystemExit(main())
