"""Draw a labelled scene beside its maps by several runs, as the README's picture.

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
    a = parser.parse_args()
    found = domain(a.domain, a.data)
    titles, engines = zip(
        *((r.split("=", 1)[0], Predictor.of(load_run(r.split("=", 1)[1]))) for r in a.runs), strict=True
    )
    legend = engines[0].trained.spec.legend
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(legend)] = legend.palette
    _, axes = plt.subplots(
        len(a.scene), 2 + len(engines), figsize=(3.4 * (2 + len(engines)), 3.8 * len(a.scene)), squeeze=False
    )
    for row, name in zip(axes, a.scene, strict=True):
        scene = found.scenes[name]
        whole = (0, 0, scene.grid.height, scene.grid.width)
        image = scene.read(found.bands, None, whole).values[:3]
        label = legend.mapping_from(found.legend)[scene.read_label(found.legend, None, whole)[0]]
        panels = [(f"{found.name}, scene {name}", np.moveaxis(image, 0, -1))]
        for title, engine in zip(titles, engines, strict=True):
            classes = predict_scene(engine, scene).classes
            scores = Scores(confusion(label, classes, len(legend)), legend.names)
            panels.append((f"{title} (OA {100 * scores.accuracy:.0f} %)", palette[classes]))
        panels.append(("label", np.where((label == IGNORE)[..., None], 0, palette[label])))
        for axis, (title, picture) in zip(row, panels, strict=True):
            axis.imshow(picture)
            axis.set_title(title, fontsize=10)
            axis.axis("off")
    handles = [
        Patch(facecolor=np.array(c) / 255, edgecolor="grey", label=n)
        for n, c in zip(legend.names, legend.palette, strict=True)
    ]
    plt.figlegend(handles=handles, loc="lower center", ncols=len(handles), frameon=False, fontsize=9)
    plt.tight_layout(rect=(0, 0.06 / len(a.scene), 1, 0.97), h_pad=2)
    a.out.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(a.out, dpi=90)


if __name__ == "__main__":
    main()
