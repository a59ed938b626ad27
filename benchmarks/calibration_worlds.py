"""Draw worlds whose truth is known, calibrate by few of their places, and print how the log loss of other places changes.

    python benchmarks/calibration_worlds.py [--draws 30] [--whole]

A world has pixels with logits of five classes. Each quarter and each place prefers classes of its own. The model sees logits that
are divided by 1/T and have a bias. `--whole` takes a scaling whole or not at all, without shares of it.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.special import softmax

from rsuda.evaluation import fit_scaling
from rsuda.evaluation.fit_scaling import Scaling, choose, measure
from rsuda.evaluation.labelled_pixels import LabelledPixels

CLASSES, PIXELS, QUARTERS, OTHERS, ENOUGH = 5, 64, 5, 60, 20
BIAS = (1.0, 0.5, 0.0, -0.5, -1.0)
# title: temperature that mends the model, its bias, and how far quarters and places go their own way
WORLDS = {
    "honest model": (1.0, None, 0.0, 0.3),
    "quarters that prefer other classes": (1.0, None, 0.7, 0.3),
    "the same, more so": (1.0, None, 1.2, 0.5),
    "too sure, T = 1.3": (1.3, None, 0.5, 0.5),
    "not sure enough, T = 0.75": (0.75, None, 0.5, 0.5),
    "wrong shares of classes": (1.0, BIAS, 0.5, 0.5),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=30, help="of each world")
    parser.add_argument("--whole", action="store_true", help="without shares of a scaling")
    args = parser.parse_args()
    if args.whole:
        fit_scaling.SHARES = (1.0,)
    print("| world | places | log loss before | gain, mean | worst | left as it is |")
    print("|---|---|---|---|---|---|")
    for title, world in WORLDS.items():
        for places in (10, 40):
            before, gains, none = [], [], 0
            for draw in range(args.draws):
                pixels = drawn(np.random.default_rng([draw, places]), places, QUARTERS, *world)
                others = drawn(np.random.default_rng([99, draw]), OTHERS, OTHERS, *world)
                scaling, _ = choose(pixels, "auto", by_class=True, enough=ENOUGH)
                before.append(measure(others, Scaling()).log_loss)
                gains.append(before[-1] - measure(others, scaling).log_loss)
                none += scaling == Scaling((1.0,))
            numbers = f"{np.mean(before):.3f} | {np.mean(gains):.4f} | {np.min(gains):.4f} | {none} of {args.draws}"
            print(f"| {title} | {places} | {numbers} |", flush=True)


def drawn(
    rng: np.random.Generator,
    places: int,
    quarters: int,
    temperature: float,
    bias: tuple[float, ...] | None,
    of_quarters: float,
    of_places: float,
) -> LabelledPixels:
    """Draw labelled pixels of places in quarters."""
    by_quarter, parts = rng.normal(0, of_quarters, (quarters, CLASSES)), []
    for place in range(places):
        logits = rng.normal(0, 2.0, (PIXELS, CLASSES)) + rng.normal(0, 0.7, CLASSES)
        true = softmax(logits + by_quarter[place * quarters // places] + rng.normal(0, of_places, CLASSES), 1)
        labels = (true.cumsum(1) < rng.random((PIXELS, 1))).sum(1).clip(0, CLASSES - 1)
        seen = softmax(temperature * logits + np.array(bias or 0.0), 1)
        parts.append((seen.astype(np.float32), labels.astype(np.uint8), np.full(PIXELS, place)))
    return LabelledPixels(*map(np.concatenate, zip(*parts, strict=True)))


if __name__ == "__main__":
    main()
