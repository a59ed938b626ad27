"""Compare windows to annotate by a classifier alone: cheap enough for many draws, without the chance of training.

    python benchmarks/annotate_classifier.py RUN [RUN ...] --data DATA --domain configs/domains/mumbai.yaml --out FILE.json

Each run has a plain network (fused feature, 1 x 1 classifier), which stays frozen. Its classifier is fitted to the
labels of k windows of the train split by Adam over all their pixels, starting from the run's own classifier, and is
scored on val. Both use every fourth pixel, where the fused features are. The ways to choose windows are compared
over several seeds or draws.
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
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.predictor import Predictor
from rsuda.runs.weights import load_run, saved_settings

WINDOW, STRIDE, STEPS, LR = 608, 4, 150, 0.01


class Features:
    """Fused features (F, h, w) of a scene that fits into a window, and its labels at the same places."""

    def __init__(self, predictor: Predictor, legend: object) -> None:
        self.predictor, self.legend, self.fused = predictor, legend, torch.empty(0)
        body = predictor.model.network.decoder.body
        body.register_forward_hook(lambda module, image, fused: setattr(self, "fused", fused))

    def of(self, scene: Scene) -> tuple[Tensor, Tensor]:
        spec, whole = self.predictor.trained.spec, (0, 0, WINDOW, WINDOW)
        patch = scene.read(spec.bands, spec.gsd, whole)
        self.predictor.uncalibrated_probabilities_of(self.predictor.standardise(patch.values[None], patch.valid[None]))
        label, _ = scene.read_label(self.legend, spec.gsd, whole)
        return self.fused[0].half().clone(), torch.from_numpy(label[2::STRIDE, 2::STRIDE].copy())


def fit(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Fit a classifier (K, F), (K,) to features (n, F) and classes (n,), starting from ``weight`` and ``bias``."""
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


def ways(windows: list[Candidate], colours: np.ndarray, k: int) -> dict[str, Callable[[int], np.ndarray]]:
    """Return the ways to choose windows: name, and a function of a seed."""
    unsure = np.array([candidate.uncertainty for candidate in windows])
    first = np.argsort(-unsure, kind="stable")
    predictions = [np.concatenate([candidate.wavering, candidate.shares]) for candidate in windows]
    both = [np.concatenate([x, y]) for x, y in zip(colours, predictions, strict=True)]
    alike = np.ones(len(windows))
    return {
        "random": lambda seed: np.random.default_rng((1, seed)).permutation(len(windows))[:k],
        "most uncertain": lambda seed: first[:k],
        "clusters of the 10 k most uncertain": lambda seed: first[: 10 * k][
            clusters([predictions[i] for i in first[: 10 * k]], unsure[first[: 10 * k]], k, seed)
        ],
        "weighted clusters, predictions": lambda seed: clusters(predictions, unsure, k, seed),
        "weighted clusters, predictions and colours": lambda seed: clusters(both, unsure, k, seed),
        "clusters, predictions and colours": lambda seed: clusters(both, alike, k, seed),
        "clusters, fused features": lambda seed: clusters([candidate.fused for candidate in windows], alike, k, seed),
        "suggested (weighted clusters, fused features)": lambda seed: np.array(choose(windows, k, seed)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, help="without runs: print the table of a finished file")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--domain", default="configs/domains/mumbai.yaml")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--draws", type=int, default=10)
    args = parser.parse_args()
    rows = json.loads(args.out.read_text()) if args.out.exists() else []
    for run in args.runs:
        rows += measure(run, args)
        args.out.write_text(json.dumps(rows, indent=1) + "\n")
    seeds = sorted({row["seed"] for row in rows})
    print("| windows | draws | mIoU | " + " | ".join(f"run {seed}" for seed in seeds) + " |")
    print("|---" * (3 + len(seeds)) + "|")
    for way in dict.fromkeys(row["way"] for row in rows):
        group = [row for row in rows if row["way"] == way]
        values = [100 * row["miou"] for row in group]
        means = [np.mean([100 * row["miou"] for row in group if row["seed"] == seed]) for seed in seeds]
        cells = [f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}", *(f"{mean:.1f}" for mean in means)]
        print(f"| {way} | {len(values)} | " + " | ".join(cells) + " |")


def measure(run: Path, args: argparse.Namespace) -> list[dict]:
    city, trained = domain(args.domain, args.data), load_run(run)
    classifier = trained.model.network.decoder.classifier
    weight, bias = classifier.weight.detach()[:, :, 0, 0].clone(), classifier.bias.detach().clone()
    predictor = Predictor.of(trained, "cpu", "fp32", window=WINDOW)
    windows = list(candidates(predictor, city.split("train"), args.size))
    features = Features(predictor, city.legend)
    train = {scene.name: features.of(scene) for scene in city.labelled("train")}
    val = [features.of(scene) for scene in city.labelled("val")]
    side = args.size // STRIDE

    def pixels(chosen: list[Candidate]) -> tuple[Tensor, Tensor]:
        x, y = [], []
        for window in chosen:
            feature, label = train[window.scene]
            area = np.s_[..., window.row // STRIDE :, window.col // STRIDE :]
            x.append(feature[area][:, :side, :side].flatten(1).T.float())
            y.append(label[area][:side, :side].flatten().long())
        x, y = torch.cat(x), torch.cat(y)
        return x[y < len(bias)], y[y < len(bias)]

    def score(way: str, draw: int, weight: Tensor, bias: Tensor) -> dict:
        matrix = sum(
            confusion(
                y.numpy(), F.conv2d(x[None].float(), weight[:, :, None, None], bias)[0].argmax(0).numpy(), len(bias)
            )
            for x, y in val
        )
        scores = Scores(matrix, predictor.trained.spec.legend.names).as_fields()
        iou = {name: values["iou"] for name, values in scores["classes"].items()}
        print(run, way, draw, f"{100 * scores['miou']:.1f}", flush=True)
        return {"run": run.parent.name, "seed": seed, "way": way, "draw": draw, "miou": scores["miou"], "iou": iou}

    seed = saved_settings(run).training.seed
    spec = predictor.trained.spec
    colours = np.stack([colour(city.scenes[window.scene], window, args.size, spec) for window in windows])
    rows = [score("no window", 0, weight, bias)]
    for way, chooser in ways(windows, colours, args.k).items():
        for draw in range(1 if way == "most uncertain" else args.draws):
            rows.append(score(way, draw, *fit(*pixels([windows[i] for i in chooser(draw)]), weight, bias)))
    rows.append(score("a quarter of all windows", 0, *fit(*pixels(windows[::4]), weight, bias)))
    return rows


def colour(scene: Scene, window: Candidate, size: int, spec: Spec) -> np.ndarray:
    """Return mean and deviation of a window's bands, in 0..1."""
    bands = spec.unit(scene.read(spec.bands, spec.gsd, (window.row, window.col, size, size)).values)
    return np.concatenate([bands.mean((1, 2)), bands.std((1, 2))])


if __name__ == "__main__":
    main()
