"""Windows to annotate, by a classifier alone: cheap enough for many draws, and free of the chances of training.

    python benchmarks/annotate_classifier.py RUN [RUN ...] --data DATA --domain configs/domains/mumbai.yaml --out FILE.json

Of each run of a plain network (fused feature, 1 x 1 classifier), that network stays as it is; its classifier is fitted to the
labels of k windows of the train split by Adam over all their pixels, from the run's own, and scored on val, all on every
fourth pixel, where fused features lie. Ways to choose the windows are compared over several seeds or draws.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rsuda.annotation.candidates import Candidate, candidates
from rsuda.annotation.suggest import choose, weighted_kmeans
from rsuda.core.spec import Spec
from rsuda.data.find_domain import domain
from rsuda.evaluation.metrics import Scores, confusion
from rsuda.geo.scene import Scene
from rsuda.inference.predictor import Predictor
from rsuda.runs.weights import load_run, saved_settings

WINDOW, STRIDE, STEPS, LR = 608, 4, 150, 0.01


class Features:
    """Fused features of an engine's network, (F, h, w) of a scene that fits into a window, and its labels there."""

    def __init__(self, engine: Predictor, legend: object) -> None:
        self.engine, self.legend, self.seen = engine, legend, torch.empty(0)
        body = engine.model.network.decoder.body
        body.register_forward_hook(lambda module, image, fused: setattr(self, "seen", fused))

    def of(self, scene: Scene) -> tuple[Tensor, Tensor]:
        spec, whole = self.engine.trained.spec, (0, 0, WINDOW, WINDOW)
        patch = scene.read(spec.bands, spec.gsd, whole)
        self.engine.view_logits(self.engine.standardise(patch.values[None], patch.valid[None]))
        label, _ = scene.read_label(self.legend, spec.gsd, whole)
        return self.seen[0].half().clone(), torch.from_numpy(label[2::STRIDE, 2::STRIDE].copy())


def fitted(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """A classifier (K, F), (K,) fitted to features (n, F) and classes (n,), from the one given."""
    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    optimiser = torch.optim.Adam([weight, bias], LR)
    for _ in range(STEPS):
        optimiser.zero_grad()
        F.cross_entropy(F.linear(x, weight, bias), y).backward()
        optimiser.step()
    return weight.detach(), bias.detach()


def clusters(points: list[np.ndarray], weight: np.ndarray, k: int, seed: int) -> np.ndarray:
    x = np.stack(points)
    return weighted_kmeans((x - x.mean(0)) / x.std(0).clip(1e-6), weight, k, np.random.default_rng(seed))


def ways(found: list[Candidate], colours: np.ndarray, k: int) -> dict[str, Callable[[int], np.ndarray]]:
    """Names of the ways to choose, and what chooses by a seed."""
    unsure = np.array([c.uncertainty for c in found])
    first = np.argsort(-unsure, kind="stable")
    told = [np.concatenate([c.wavering, c.shares]) for c in found]
    seen = [np.concatenate([x, y]) for x, y in zip(colours, told, strict=True)]
    alike = np.ones(len(found))
    return {
        "random": lambda seed: np.random.default_rng((1, seed)).permutation(len(found))[:k],
        "most uncertain": lambda seed: first[:k],
        "clusters of the 10 k most uncertain": lambda seed: first[: 10 * k][
            clusters([told[i] for i in first[: 10 * k]], unsure[first[: 10 * k]], k, seed)
        ],
        "weighted clusters, predictions": lambda seed: clusters(told, unsure, k, seed),
        "weighted clusters, predictions and colours": lambda seed: clusters(seen, unsure, k, seed),
        "clusters, predictions and colours": lambda seed: clusters(seen, alike, k, seed),
        "clusters, fused features": lambda seed: clusters([c.fused for c in found], alike, k, seed),
        "suggested (weighted clusters, fused features)": lambda seed: np.array(choose(found, k, seed)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, help="none: the table of a finished file")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--domain", default="configs/domains/mumbai.yaml")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--draws", type=int, default=10)
    a = parser.parse_args()
    rows = json.loads(a.out.read_text()) if a.out.exists() else []
    for run in a.runs:
        rows += measure(run, a)
        a.out.write_text(json.dumps(rows, indent=1) + "\n")
    seeds = sorted({r["seed"] for r in rows})
    print("| windows | draws | mIoU | " + " | ".join(f"run {s}" for s in seeds) + " |")
    print("|---" * (3 + len(seeds)) + "|")
    for way in dict.fromkeys(r["way"] for r in rows):
        some = [100 * r["miou"] for r in rows if r["way"] == way]
        means = [np.mean([100 * r["miou"] for r in rows if r["way"] == way and r["seed"] == s]) for s in seeds]
        cells = [f"{np.mean(some):.1f} ± {np.std(some, ddof=1):.1f}", *(f"{m:.1f}" for m in means)]
        print(f"| {way} | {len(some)} | " + " | ".join(cells) + " |")


def measure(run: Path, a: argparse.Namespace) -> list[dict]:
    found, trained = domain(a.domain, a.data), load_run(run)
    classifier = trained.model.network.decoder.classifier
    weight, bias = classifier.weight.detach()[:, :, 0, 0].clone(), classifier.bias.detach().clone()
    engine = Predictor.of(trained, "cpu", "fp32", window=WINDOW)
    windows = list(candidates(engine, found.split("train"), a.size))
    features = Features(engine, found.legend)
    held = {s.name: features.of(s) for s in found.labelled("train")}
    val = [features.of(s) for s in found.labelled("val")]
    side = a.size // STRIDE

    def pixels(some: list[Candidate]) -> tuple[Tensor, Tensor]:
        x, y = [], []
        for w in some:
            feature, label = held[w.scene]
            here = np.s_[..., w.row // STRIDE :, w.col // STRIDE :]
            x.append(feature[here][:, :side, :side].flatten(1).T.float())
            y.append(label[here][:side, :side].flatten().long())
        x, y = torch.cat(x), torch.cat(y)
        return x[y < len(bias)], y[y < len(bias)]

    def score(way: str, draw: int, weight: Tensor, bias: Tensor) -> dict:
        matrix = sum(
            confusion(
                y.numpy(), F.conv2d(x[None].float(), weight[:, :, None, None], bias)[0].argmax(0).numpy(), len(bias)
            )
            for x, y in val
        )
        s = Scores(matrix, engine.trained.spec.legend.names).as_fields()
        iou = {n: v["iou"] for n, v in s["classes"].items()}
        print(run, way, draw, f"{100 * s['miou']:.1f}", flush=True)
        return {"run": run.parent.name, "seed": seed, "way": way, "draw": draw, "miou": s["miou"], "iou": iou}

    seed = saved_settings(run).training.seed
    spec = engine.trained.spec
    colours = np.stack([colour(found.scenes[w.scene], w, a.size, spec) for w in windows])
    rows = [score("no window", 0, weight, bias)]
    for way, chooser in ways(windows, colours, a.k).items():
        for draw in range(1 if way == "most uncertain" else a.draws):
            rows.append(score(way, draw, *fitted(*pixels([windows[i] for i in chooser(draw)]), weight, bias)))
    rows.append(score("a quarter of all windows", 0, *fitted(*pixels(windows[::4]), weight, bias)))
    return rows


def colour(scene: Scene, w: Candidate, size: int, spec: Spec) -> np.ndarray:
    """Mean and deviation of a window's bands, on 0..1."""
    bands = spec.unit(scene.read(spec.bands, spec.gsd, (w.row, w.col, size, size)).values)
    return np.concatenate([bands.mean((1, 2)), bands.std((1, 2))])


if __name__ == "__main__":
    main()
