r"""Measure how right pseudo labels are in the course of a run: those of the model, of its second witness, and of both.

    python benchmarks/witnesses.py --source configs/domains/dubai.yaml --target configs/domains/mumbai.yaml \
        --data DATA --weights imagenet --method st-dasegnet --steps 400 --every 40 --out RUN

Trains a run as `rsuda adapt` does, and every N steps labels the same windows of the target's labelled split by each witness.
Target labels are read for this table alone. Training is as without it. An interrupted run goes on. Of a finished run the last
checkpoint is measured: pass --out RUN alone. The table goes to the screen and to RUN/witnesses.csv.

The model is the teacher that labels the target. The second witness is the votes of source cells, or source-free's prototypes.
Both is what training learns from: the weighted mean of model and votes, spread over similar target cells, or the model denoised
by prototypes. Before the votes are ready they have no row, and both is the model. Before its first labels
(source_only_share) a teacher with the statistics of the target has none of its own and normalises by the batch.
"""

from __future__ import annotations

import argparse
import copy
import csv
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from rsuda.core.atomic import atomic_write
from rsuda.core.errors import InputError
from rsuda.core.settings import Settings, parse_option
from rsuda.data.domains.domain import Domain
from rsuda.data.find_domain import training_domains
from rsuda.evaluation.metrics import Scores, confusion
from rsuda.geo.grids.windows import random_window
from rsuda.learning.device import autocast, pick_device, pick_precision
from rsuda.learning.network import resize
from rsuda.methods import find_method, option_names, presets_of
from rsuda.methods.base import Method
from rsuda.methods.blocks.teacher import Teacher
from rsuda.methods.source_free import SourceFree
from rsuda.runs.folders import CHECKPOINT, WEIGHTS, saved_settings
from rsuda.runs.resolve import resolve
from rsuda.training.build import build, check_run, common_ground
from rsuda.training.train import train

WITNESSES = ("model", "votes", "prototypes", "both")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="run folder")
    parser.add_argument("--every", type=int, default=40, help="steps between two measurements")
    parser.add_argument("--windows", type=int, default=32, help="windows of the target that are labelled")
    parser.add_argument("--split", default="val", help="labelled split of the target")
    parser.add_argument("--config", type=Path, help="YAML file of settings")
    parser.add_argument("--set", action="append", default=[], metavar="SETTING=VALUE")
    names = {
        "source": "source.name",
        "target": "target.name",
        "method": "method.name",
        "data": "data",
        "weights": "network.weights",
        "steps": "training.steps",
        "seed": "training.seed",
        "device": "training.device",
        "precision": "training.precision",
        "workers": "patches.workers",
    }
    for name, setting in names.items():
        parser.add_argument(
            f"--{name}", help=f"setting {setting}", type=int if name in ("steps", "seed", "workers") else str
        )
    args = parser.parse_args()
    changes = {setting: getattr(args, name) for name, setting in names.items() if getattr(args, name) is not None}
    changes |= dict(map(parse_option, args.set))
    logging.basicConfig(format="%(message)s")
    logging.getLogger("rsuda").setLevel(logging.INFO)
    try:
        curve = measured(args.config, changes, args.out, args.every, args.windows, args.split)
    except InputError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    print(table(curve))


def measured(
    config: Path | None, changes: dict[str, Any], out: Path, every: int, windows: int, split: str
) -> list[dict[str, Any]]:
    """Train a run or go on with it, or take a finished one. Return the rows of its table."""
    begun = (out / CHECKPOINT).is_file()
    settings = saved_settings(out) if begun else None
    if settings is None:
        settings, _ = resolve(config, changes, out, False, print, presets_of=presets_of, option_names=option_names)
    if not any(hasattr(find_method(settings.method.name), name) for name in ("teacher_logits", "denoised")):
        raise InputError(
            f"method {settings.method.name} has no teacher whose labels a witness corrects: choose another --method"
        )
    domains = training_domains(settings)
    if not domains[1].has_labels(split):
        raise InputError(f"{domains[1].name} has no labelled split '{split}': name one by --split")
    witnesses = Witnesses(settings, domains[1], split, windows, every, out / "witnesses.csv")
    if begun and (out / WEIGHTS).is_file():
        step, method = finished(settings, domains, out)
        witnesses.read(step - 1)
        witnesses.measure(step, method)
    else:
        train(settings, out, resume=begun, quiet=True, callbacks=[witnesses], objects=domains)
    return witnesses.rows


def finished(settings: Settings, domains: Any, out: Path) -> tuple[int, Method]:
    """Build the method of a finished run as its last checkpoint left it. Return the step and the method."""
    settings, pair, start = common_ground(check_run(settings)[0], domains)
    module = build(settings, pair, start)
    checkpoint = torch.load(out / CHECKPOINT, map_location="cpu", weights_only=True)
    module.on_load_checkpoint(checkpoint)
    module.load_state_dict(checkpoint["state_dict"])
    return checkpoint["global_step"], module.method.to(pick_device(settings.training.device))


class Witnesses(Callback):
    """Callback that labels fixed windows of the target by each witness, every N steps, and keeps the scores.

    A copy of the method labels them, so training is as without it.

    Args:
        domain, split: where the windows come from.
        windows: their number.
        every: optimizer steps between two measurements.
        file: where the rows are written.
    """

    def __init__(self, settings: Settings, domain: Domain, split: str, windows: int, every: int, file: Path) -> None:
        self.settings, self.domain, self.split, self.every, self.file = settings, domain, split, every, file
        self.windows, self.patches = windows, []
        self.rows: list[dict[str, Any]] = []

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self.read(trainer.global_step)

    def read(self, last: int) -> None:
        """Read the rows of an earlier table up to a step."""
        if last > 0 and self.file.is_file():
            with self.file.open(newline="", encoding="utf-8") as stream:
                rows = [{k: int(v) if k == "step" else v for k, v in row.items()} for row in csv.DictReader(stream)]
            self.rows = [row for row in rows if row["step"] <= last]

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        step = trainer.global_step
        measured = any(row["step"] == step for row in self.rows)
        if step and not measured and (step % self.every == 0 or step == trainer.max_steps):
            self.measure(step, module.method)

    def measure(self, step: int, method: Method) -> None:
        """Score each witness at a step, and write all rows."""
        device = next(method.parameters()).device
        if not self.patches:
            self.patches = self._read(method)
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            scores = self._scores(copy.deepcopy(method).eval(), device)
        for name, score in scores.items():
            classes = {n: percent(value) for n, value in zip(score.names, score.iou, strict=True)}
            row = {"step": step, "witness": name, "accuracy": percent(score.accuracy), "mIoU": percent(score.miou)}
            self.rows.append(row | classes)
        print(table(self.rows[-len(scores) :]), flush=True)
        self._write()

    def _write(self) -> None:
        with (
            atomic_write(self.file, overwrite=True) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as stream,
        ):
            writer = csv.DictWriter(stream, self.rows[0])
            writer.writeheader()
            writer.writerows(self.rows)

    def _scores(self, method: Any, device: torch.device) -> dict[str, Scores]:
        """Scores of each witness that can label, by its name."""
        for teacher in (module for module in method.modules() if isinstance(module, Teacher)):
            if (
                teacher.statistics == "target" and not teacher.looks
            ):  # it has not labelled yet: no statistics of its own
                teacher.statistics = "batch"
                teacher.train()
        names, size = method.spec.legend.names, self.settings.training.batch_size
        totals: dict[str, np.ndarray] = {}
        for first in range(
            0, len(self.patches), size
        ):  # as training labels them, by whose statistics teachers may normalise
            part = self.patches[first : first + size]
            images = torch.from_numpy(np.stack([image for image, _ in part])).to(device)
            label = np.stack([label for _, label in part])
            with torch.no_grad(), autocast(pick_precision(self.settings.training.precision, device), device):
                answers = witnesses_of(method, images)
            for name, answer in answers.items():
                predicted = answer.argmax(1).byte().cpu().numpy()
                totals[name] = totals.get(name, 0) + confusion(label, predicted, len(names))
        return {name: Scores(totals[name], names) for name in WITNESSES if name in totals}

    def _read(self, method: Method) -> list[tuple[np.ndarray, np.ndarray]]:
        """Read standardised images (bands, size, size) and labels (size, size) in the model's classes, at its GSD."""
        spec, size, legend = method.spec, self.settings.patches.window, self.domain.legend
        assert legend is not None
        classes, scenes = spec.legend.mapping_from(legend), self.domain.labelled(self.split)
        rng = np.random.default_rng(7)
        patches = []
        for number in range(self.windows):
            scene = scenes[number % len(scenes)]
            grid = scene.grid_at(spec.gsd)
            window = (*random_window(rng, grid.height, grid.width, size), size, size)
            patch = scene.read(spec.bands, spec.gsd, window)
            label = classes[scene.read_label(legend, spec.gsd, window)[0]]
            image = spec.standardise_unit((spec.unit(patch.values) * patch.valid)[None])[0]
            patches.append((image.astype(np.float32), np.where(patch.valid, label, 255).astype(np.uint8)))
        return patches


def witnesses_of(method: Any, images: Tensor) -> dict[str, Tensor]:
    """Scores (B, K, H, W) of each class by each witness; no votes before they are ready, no prototypes of no cell."""
    if isinstance(method, SourceFree):
        logits = method.teacher(images)
        answers = {"model": logits, "both": method.denoised(logits, images)}
        if method.cells is not None:
            answers["prototypes"] = resize(method.prototypes(method.cells(images)), images.shape[-2:])
        return answers
    logits = method.teacher_logits(images)
    answers = {"model": logits, "both": method.votes(logits, images)}
    if method.votes.ready:
        answers["votes"] = resize(method.votes.vote(images), images.shape[-2:])
    return answers


def percent(value: float) -> str:
    """Write a share in percent; nothing for a missing one."""
    return "" if value != value else f"{100 * value:.1f}"


def table(rows: list[dict[str, Any]]) -> str:
    """Write rows as a table in Markdown."""
    if not rows:
        return "nothing was measured: the run is shorter than --every"
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


if __name__ == "__main__":
    main()
