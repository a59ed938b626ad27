"""Draw a labelled scene beside the maps of several runs, as in the README.

    python benchmarks/picture.py --domain vaihingen --data sample_tiles --scene 2 --out docs/sample.png \
        source-only=runs/a st-dasegnet=runs/b
"""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from picture_arguments import read_question
from picture_legend import legend_below

from rsuda.core.legend import IGNORE
from rsuda.evaluation.metrics import Scores, confusion
from rsuda.inference.sliding_window import predict_scene


def main() -> None:
    question = read_question(__doc__, "name")
    city, predictors, legend = question.city, question.predictors, question.legend
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(legend)] = legend.palette
    figure, axes = plt.subplots(
        len(question.scenes),
        2 + len(predictors),
        figsize=(3.4 * (2 + len(predictors)), 3.8 * len(question.scenes)),
        squeeze=False,
    )
    for row, name in zip(axes, question.scenes, strict=True):
        scene = city.scenes[name]
        whole = (0, 0, scene.grid.height, scene.grid.width)
        image = scene.read(city.bands, None, whole).values[:3]
        label = question.label(scene)
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
    colours = {name: np.array(colour) / 255 for name, colour in zip(legend.names, legend.palette, strict=True)}
    legend_below(figure, colours, 9)
    figure.savefig(question.out, dpi=90)


if __name__ == "__main__":
    main()
