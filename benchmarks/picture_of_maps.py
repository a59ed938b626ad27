"""Draw the maps of two runs, one above the other, with the share of right pixels but without imagery and labels.

    python benchmarks/picture_of_maps.py --domain configs/domains/mumbai.yaml --data DATA --out docs/mumbai.png \
        --scene "val_jp22_3.1=turbid sea" "val_tile_4.16=mangroves" -- "trained on Dubai=runs/a" "adapted=runs/b"
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
from rsuda.inference.predictor import Predictor
from rsuda.inference.sliding_window import predict_scene
from rsuda.runs.weights import load_run

COLOURS = {"building": "#b2182b", "land": "#dfc27d", "road": "#636363", "vegetation": "#4d9221", "water": "#2166ac"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--domain", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--scene", nargs="+", required=True, help="name=title")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("runs", nargs="+", help="title=run folder")
    args = parser.parse_args()
    city = domain(args.domain, args.data)
    predictors = {title: Predictor.of(load_run(run)) for title, _, run in (text.partition("=") for text in args.runs)}
    legend = next(iter(predictors.values())).trained.spec.legend
    palette = np.array([[int(COLOURS[name][i : i + 2], 16) for i in (1, 3, 5)] for name in legend.names], np.uint8)
    scenes = [text.partition("=")[::2] for text in args.scene]
    size = (2.5 * len(scenes) + 0.4, 2.75 * len(predictors) + 0.5)
    figure, axes = plt.subplots(len(predictors), len(scenes), figsize=size, squeeze=False)
    for column, (name, title) in enumerate(scenes):
        scene = city.scenes[name]
        whole = (0, 0, scene.grid.height, scene.grid.width)
        label = legend.mapping_from(city.legend)[scene.read_label(city.legend, None, whole)[0]]
        for row, (which, predictor) in enumerate(predictors.items()):
            classes = predict_scene(predictor, scene).classes
            right = (classes == label)[label != IGNORE].mean()
            axis = axes[row, column]
            axis.imshow(palette[classes], interpolation="antialiased")
            axis.set_title(
                f"{title}: {100 * right:.0f} % right" if row == 0 else f"{100 * right:.0f} % right", fontsize=11
            )
            axis.set(xticks=[], yticks=[])
            if column == 0:
                axis.set_ylabel(which, fontsize=12)
    handles = [Patch(facecolor=COLOURS[name], label=name) for name in legend.names]
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), frameon=False, fontsize=11)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out, dpi=100)


if __name__ == "__main__":
    main()
