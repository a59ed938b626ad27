"""Draw the maps of two runs, one above the other, with the share of right pixels but without imagery and labels.

    python benchmarks/picture_of_maps.py --domain configs/domains/mumbai.yaml --data DATA --out docs/mumbai.png \
        --scene "val_jp22_3.1=turbid sea" "val_tile_4.16=mangroves" -- "trained on Dubai=runs/a" "adapted=runs/b"
"""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from picture_arguments import read_question
from picture_legend import legend_below

from rsuda.core.legend import IGNORE
from rsuda.inference.sliding_window import predict_scene

# of the classes that these pictures show elsewhere; others have the legend's
COLOURS = {"building": "#b2182b", "land": "#dfc27d", "road": "#636363", "vegetation": "#4d9221", "water": "#2166ac"}


def main() -> None:
    question = read_question(__doc__, "name=title")
    city, predictors, legend = question.city, question.predictors, question.legend
    own = {
        name: "#{:02x}{:02x}{:02x}".format(*colour) for name, colour in zip(legend.names, legend.palette, strict=True)
    }
    colours = {name: COLOURS.get(name, colour) for name, colour in own.items()}
    palette = np.array([[int(colours[name][i : i + 2], 16) for i in (1, 3, 5)] for name in legend.names], np.uint8)
    scenes = [text.partition("=")[::2] for text in question.scenes]
    size = (2.5 * len(scenes) + 0.4, 2.75 * len(predictors) + 0.5)
    figure, axes = plt.subplots(len(predictors), len(scenes), figsize=size, squeeze=False)
    for column, (name, title) in enumerate(scenes):
        scene = city.scenes[name]
        label = question.label(scene)
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
    legend_below(figure, colours, 11)
    figure.savefig(question.out, dpi=100)


if __name__ == "__main__":
    main()
