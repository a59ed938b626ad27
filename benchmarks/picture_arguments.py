"""Read the command line that the scripts of pictures share: scenes of a domain, and runs with their titles."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsuda.core.legend import Legend
from rsuda.data.domains.domain import Domain
from rsuda.data.find_domain import domain
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.predictor import Predictor
from rsuda.runs.weights import load_run


@dataclass(frozen=True)
class Question:
    """What a picture shows: scenes of a domain by the models of runs."""

    city: Domain
    scenes: list[str]
    predictors: dict[str, Predictor]
    out: Path

    @property
    def legend(self) -> Legend:
        """The classes of the first model."""
        return next(iter(self.predictors.values())).trained.spec.legend

    def label(self, scene: Scene) -> np.ndarray:
        """Read the label of a scene in the classes of the models, (H, W) uint8."""
        whole = (0, 0, scene.grid.height, scene.grid.width)
        index: np.ndarray = self.legend.mapping_from(self.city.legend)[
            scene.read_label(self.city.legend, None, whole)[0]
        ]
        return index


def read_question(description: str, scene_help: str) -> Question:
    """Read the command line and load the models. The folder of the picture is made."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--domain", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--scene", nargs="+", required=True, help=scene_help)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("runs", nargs="+", help="title=run folder")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    predictors = {title: Predictor.of(load_run(run)) for title, _, run in (text.partition("=") for text in args.runs)}
    return Question(domain(args.domain, args.data), args.scene, predictors, args.out)
