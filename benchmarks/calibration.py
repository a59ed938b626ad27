"""Calibrate runs by a few labelled windows of their target, and judge them on scenes of another split, over many draws.

    python benchmarks/calibration.py RUN TARGET.yaml --data DATA --keep FILE.npz

Four windows of 128 px of each of 24 scenes of the split train stand in for those that a person labels. A draw takes some of them,
at most one of a scene where there are enough, fits each scaling as `rsuda calibrate` does, and measures it on all scenes of the
split val. Prints rows of a table: means over draws, and the worst draw. Predictions are kept in a file, so that a second call
only fits.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import rsuda
from rsuda.data.domains.domain import Domain
from rsuda.evaluation.calibrate import ENOUGH_PIXELS
from rsuda.evaluation.evaluate import class_table, predictor_of_run
from rsuda.evaluation.fit_scaling import Measure, Scaling, choose, measure
from rsuda.evaluation.labelled_pixels import LabelledPixels, pixels_of_scenes
from rsuda.geo.scenes.region import Region
from rsuda.inference.predictor import Predictor
from rsuda.inference.sliding_window import blended

SIZE, EACH = 128, 4  # side of a window in pixels, windows of a scene
THIN = 128  # one of so many pixels of a window is fitted, to save time
KINDS = ("temperature", "vector", "auto")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder; it stays as it is")
    parser.add_argument("target", help="file of the target domain")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data")
    parser.add_argument("--keep", type=Path, required=True, help="file for the predictions, NAME.npz")
    parser.add_argument("--scenes", type=int, default=24, help="of the split train that windows are cut out of")
    parser.add_argument("--windows", type=int, nargs="+", default=[10, 20, 40], help="numbers of labelled windows")
    parser.add_argument("--draws", type=int, default=20, help="of windows, for each number")
    args = parser.parse_args()
    if not args.keep.exists():
        predictor = predictor_of_run(args.run).uncalibrated()
        keep(args.keep, predictor, rsuda.domain(args.target, args.data), args.scenes)
    file = np.load(args.keep)
    judged, windows = (
        LabelledPixels(*(file[f"{name}_{part}"][::step] for part in ("probabilities", "labels", "groups")))
        for name, step in (("val", 4), ("train", THIN))
    )
    before = measure(judged, Scaling())
    print(f"confidence {before.confidence:.1%}, accuracy {before.accuracy:.1%} on val")
    print("| windows | scaling | ECE, mean | worst | log loss, mean | worst | accuracy | chosen |")
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| 0 | none | {100 * before.ece:.1f} | | {before.log_loss:.3f} | | {100 * before.accuracy:.1f} | |", flush=True
    )
    for count in args.windows:
        draws = [drawn(windows, count, seed) for seed in range(args.draws)]
        for kind in KINDS:
            fits = [fit(pixels, kind) for pixels in draws]
            row(count, kind, fits, [measure(judged, scaling) for scaling in fits])


def keep(path: Path, predictor: Predictor, domain: Domain, scenes: int) -> None:
    """Predict both splits once and keep labelled pixels; groups of the windows are 10 times the scene and the window."""
    assert domain.legend is not None
    table = class_table(predictor.trained.spec.legend, domain.legend, domain.name)
    judged = pixels_of_scenes(predictor, domain.labelled("val"), domain.legend, table)
    rng, parts = np.random.default_rng(0), []
    learnt = domain.labelled("train")
    for number in sorted(rng.permutation(len(learnt))[:scenes].tolist()):
        scene = learnt[number]
        label = table[scene.whole_label(domain.legend)[0]]
        blends = [blend.cpu().numpy() for _, blend in blended(predictor, scene, Region.of(scene))]
        probabilities = np.concatenate(blends, 1)
        for window in range(EACH):
            row, col = (int(rng.integers(0, side - SIZE + 1)) for side in label.shape)
            place = np.s_[row : row + SIZE, col : col + SIZE]
            use = label[place] != 255
            group = np.full(int(use.sum()), 10 * number + window)
            parts.append((probabilities[:, *place][:, use].T, label[place][use], group))
    columns = ("probabilities", "labels", "groups")
    windows = dict(zip(columns, map(np.concatenate, zip(*parts, strict=True)), strict=True))
    fields = {f"val_{name}": getattr(judged, name) for name in columns}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **fields, **{f"train_{name}": values for name, values in windows.items()})


def drawn(windows: LabelledPixels, count: int, seed: int) -> LabelledPixels:
    """Draw windows, at first one of each scene; groups are the scenes, as in `rsuda calibrate`."""
    rng = np.random.default_rng(seed)
    scenes = np.unique(windows.groups // 10)
    order = np.concatenate([rng.permutation(scenes) * 10 + window for window in range(EACH)])[:count]
    pixels = windows.part(np.isin(windows.groups, order))
    return LabelledPixels(pixels.probabilities, pixels.labels, pixels.groups // 10)


def fit(pixels: LabelledPixels, kind: str) -> Scaling:
    """Fit as the command does; a vector of too few labels is a temperature."""
    try:
        return choose(pixels, kind, by_class=True, enough=ENOUGH_PIXELS // THIN)[0]
    except rsuda.InputError:
        return fit(pixels, "temperature")


def row(count: int, kind: str, fits: list[Scaling], results: list[Measure]) -> None:
    """Print a row of the table."""
    errors, losses = ([getattr(result, name) for result in results] for name in ("ece", "log_loss"))
    accuracy = np.mean([result.accuracy for result in results])
    names = [fit.kind for fit in fits]
    chosen = ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(sorted(names)))
    print(
        f"| {count} | {kind} | {100 * np.mean(errors):.1f} | {100 * max(errors):.1f} | {np.mean(losses):.3f} | "
        f"{max(losses):.3f} | {100 * accuracy:.1f} | {chosen} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
