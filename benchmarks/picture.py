"""Draw a labelled scene beside the maps of several runs, as in the README.

    python benchmarks/picture.py --domain vaihingen --data sample_tiles --scene 2 --out docs/sample.png \
        source-only=runs/a st-dasegnet=runs/b
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch

from rsuda.core.legend import IGNORE
from rsuda.data.find_domain import domain
from rsuda.evaluation.metrics import Scores, confusion
from rsuda.inference.predictor import Predictor
from rsuda.inference.sliding_window import predict_scene
from rsuda.runs.weights import load_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--domain", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--scene", nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("runs", nargs="+", help="title=run folder")
    args = parser.parse_args()
    city = domain(args.domain, args.data)
    predictors = {title: Predictor.of(load_run(run)) for title, _, run in (text.partition("=") for text in args.runs)}
    legend = next(iter(predictors.values())).trained.spec.legend
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(legend)] = legend.palette
    _, axes = plt.subplots(
        len(args.scene),
        2 + len(predictors),
        figsize=(3.4 * (2 + len(predictors)), 3.8 * len(args.scene)),
        squeeze=False,
    )
    for row, name in zip(axes, args.scene, strict=True):
        scene = city.scenes[name]
        whole = (0, 0, scene.grid.height, scene.grid.width)
        image = scene.read(city.bands, None, whole).values[:3]
        label = legend.mapping_from(city.legend)[scene.read_label(city.legend, None, whole)[0]]
        panels = [(f"{city.name}, scene {name}", np.moveaxis(image, 0, -1))]
        for title, predictor in predictors.items():
            classes = predict_scene(predictor, scene).classes
            scores = Scores(confusion(label, classes, len(legend)), legend.names)
            panels.append((f"{title} (OA {100 * scores.accuracy:.0f} %)", palette[classes]))
        panels.append(("label", np.where((label == IGNORE)[..., None], 0, palette[label])))
        for axis, (title, picture) in zip(row, panels, strict=True):
            axis.imshow(picture)
            axis.set_title(title, fontsize=10)
            axis.axis("off")
    handles = [
        Patch(facecolor=np.array(colour) / 255, edgecolor="grey", label=name)
        for name, colour in zip(legend.names, legend.palette, strict=True)
    ]
    plt.figlegend(handles=handles, loc="lower center", ncols=len(handles), frameon=False, fontsize=9)
    plt.tight_layout(rect=(0, 0.06 / len(args.scene), 1, 0.97), h_pad=2)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(args.out, dpi=90)


if __name__ == "__main__":
    main()
