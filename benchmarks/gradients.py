"""Measure what each term of a method's loss does to the encoder: the norm of its weighted gradient while it trains.

    python benchmarks/gradients.py --method cluda
    python benchmarks/gradients.py --method bicl --config pair.yaml --data DATA --weights mobilenet_v2.safetensors --every 40 \
        --set network.start=RUN

The values of terms mislead: that of a contrast is mostly a constant, the logarithm of the number of its negatives. "share" is a
term's part of the sum of all norms, "cosine" the angle of its gradient to that of the cross entropy on the source: a term
that turns against it unlearns the source. Measuring changes nothing of the run.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rsuda.core.settings import make_settings, parse_option
from rsuda.data.find_domain import find_domains
from rsuda.learning.device import pick_device, pick_precision
from rsuda.methods import option_names, presets_of
from rsuda.methods.base import Method
from rsuda.training.build import build, check_run, common_ground, options_for_pair
from rsuda.training.loop import fit
from rsuda.training.processes import processes

Loss = tuple[Tensor, dict[str, Tensor]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="cluda")
    parser.add_argument("--source", help="default: the sample tiles")
    parser.add_argument("--target")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--data")
    parser.add_argument("--weights")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--every", type=int, default=20, help="steps between two measurements")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="any setting, such as method.contrast_weight=0.3")
    parser.add_argument("--out", type=Path, help="JSON file of all measurements")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    train(args, lambda row: (rows.append(row), print(line(row), flush=True)))
    print("\nmean of all measurements")
    for row in means(rows):
        print(line(row))
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1))


def train(args: argparse.Namespace, report: Callable[[dict[str, Any]], Any]) -> None:
    """Train a method as ``rsuda adapt`` does, and report every term of every measured step."""
    changes: dict[str, Any] = {"method.name": args.method, "training.steps": args.steps, "training.seed": args.seed}
    if not args.config:
        changes |= {"source.name": "potsdam", "target.name": "vaihingen", "preset": "sample", "data": "sample_tiles"}
    flags = {
        "source.name": args.source, "target.name": args.target, "data": args.data, "network.weights": args.weights,
    }  # fmt: skip
    changes |= {name: value for name, value in flags.items() if value is not None}
    changes |= dict(parse_option(text) for text in args.set)
    settings = make_settings(changes, args.config, presets_of=presets_of, option_names=option_names)
    device = pick_device(settings.training.device)
    team = processes("1", 1, device)
    settings, _ = check_run(settings)
    pair, start = common_ground(settings, find_domains(settings))
    settings = options_for_pair(settings, pair)
    module = build(settings, pair, start)
    module.to(memory_format=torch.channels_last)
    measure(module.method, args.every, report)
    precision = pick_precision(settings.training.precision, device)
    with tempfile.TemporaryDirectory() as folder:
        fit(module, settings, pair, Path(folder), device, precision, resume=False, quiet=True, callbacks=[], team=team)


def measure(method: Method, every: int, report: Callable[[dict[str, Any]], Any]) -> None:
    """Have a method measure its loss, after every ``every`` steps, before it returns it."""
    outside = {id(parameter) for part in [*method.heads(), *method.discriminators()] for parameter in part.parameters()}
    encoder = [p for p in method.model.parameters() if p.requires_grad and id(p) not in outside]
    plain = method.loss

    def loss_and_report(batch: dict[str, Tensor]) -> Loss:
        loss, terms = plain(batch)
        if method.step % every == 0:
            for row in gradients(loss, terms or {"ce": loss}, encoder):
                report({"step": method.step, **row})
        return loss, terms

    method.loss = loss_and_report  # type: ignore[method-assign]


def gradients(loss: Tensor, terms: dict[str, Tensor], parameters: list[Tensor]) -> list[dict[str, Any]]:
    """Value, weight in the loss, norm and share of each term that reaches the parameters, and its cosine to the first one's."""
    rows, flat = [], []
    for name, term in terms.items():
        weight = (
            torch.autograd.grad(loss, term, retain_graph=True, allow_unused=True)[0] if term.requires_grad else None
        )
        if weight is None or not weight:
            continue
        parts = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
        reached = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, parts, strict=True)]
        flat.append(torch.cat([g.flatten().double() for g in reached]) * weight)
        rows.append(
            {"term": name, "value": float(term.detach()), "weight": float(weight), "norm": float(flat[-1].norm())}
        )
    total = sum(row["norm"] for row in rows) or 1.0
    for row, gradient in zip(rows, flat, strict=True):
        row["share"] = row["norm"] / total
        row["cosine"] = float(torch.cosine_similarity(gradient, flat[0], 0))
    return rows


def means(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The mean of each term over the steps that had it."""
    averages = []
    for term in dict.fromkeys(row["term"] for row in rows):
        of_term = [row for row in rows if row["term"] == term]
        numbers = {k: sum(row[k] for row in of_term) / len(of_term) for k in of_term[0] if k not in ("step", "term")}
        averages.append({"step": f"{len(of_term)} x", "term": term, **numbers})
    return averages


def line(row: dict[str, Any]) -> str:
    return (
        f"{row['step']!s:>6} {row['term']:<14} value {row['value']:8.4f}  weight {row['weight']:6.3f}  "
        f"norm {row['norm']:9.4f}  share {row['share']:6.1%}  cosine {row['cosine']:6.2f}"
    )


if __name__ == "__main__":
    main()
