"""Run command lines in a folder of small cities and a finished run."""

import shutil
from dataclasses import dataclass

import numpy as np
import yaml
from oracle_models import legend, write
from short_settings import settings

from rsuda.core.settings import dump
from rsuda.core.spec import Spec
from rsuda.learning.networks import build_network
from rsuda.runs.weights import architecture, save_run

COLOURS = np.array([[255, 255, 255], [0, 0, 255], [0, 255, 0]], np.uint8)
NAMES = ("road", "roof", "tree")
TINY = [
    "--preset",
    "sample",
    "--crop",
    "192",
    "--batch-size",
    "2",
    "--steps",
    "3",
    "--workers",
    "0",
    "--precision",
    "fp32",
    "--weights",
    "none",
    # no look at colours and no bank: both take longer than the steps
    *("--gsd", "target", "--standardise", "imagenet", "--band-matching", "name", "--band-mixing", "0", "--no-bank"),
    *("--target-statistics", "false"),
    "-q",
]
ADAPT = [*["adapt", "--source", "east.yaml", "--target", "west.yaml", "--data", "data", "--out", "run"], *TINY]
SCORE = ["evaluate", "good", "--device", "cpu"]
MAP = ["predict", "scene.tif", "--model", "good", "--device", "cpu"]


def domain_file(folder, name, bands="RGB", legend_names=NAMES, **more):
    fields = {
        "name": name, "gsd": 0.5, "images": {bands: {"files": f"{name}_{{n}}_image.tif", "bands": bands}},
        "labels": [f"{name}_{{n}}_label.tif"], "splits": {"train": ["0"], "val": ["1"]},
        "legend": [{"name": n, "colour": c.tolist()} for n, c in zip(legend_names, COLOURS, strict=True)], **more,
    }  # fmt: skip
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(fields))


def scenes(data, name, size=224, gain=1.0, seed=0):
    rng = np.random.default_rng(seed)
    for n in range(2):
        classes = np.kron(rng.integers(0, 3, (7, 7)), np.ones((32, 32), int))[:size, :size]
        image = (COLOURS[classes] * 0.7 + rng.normal(30, 15, (*classes.shape, 3))) * gain
        for kind, values in (("image", image.clip(0, 255).astype(np.uint8)), ("label", COLOURS[classes])):
            write(data / f"{name}_{n}_{kind}.tif", np.moveaxis(values, -1, 0))


def build_world(folder):
    """Two cities, a hamlet smaller than a patch, a city in false colour, and a finished run of untrained weights."""
    (folder / "data").mkdir()
    for k, (name, bands, size) in enumerate(
        (("east", "RGB", 224), ("west", "RGB", 224), ("hamlet", "RGB", 100), ("ir", "IRRG", 224))
    ):
        scenes(folder / "data", name, size, 1 - 0.2 * k, k)
        domain_file(folder, name, bands)
    shutil.copy(folder / "data" / "west_1_image.tif", folder / "scene.tif")
    s = settings(
        source="east.yaml",
        target="west.yaml",
        data="data",
        method="source-only",
        preset="sample",
        channels=16,
        precision="fp32",
    )
    spec = Spec(("red", "green", "blue"), 0.5, (0.0,) * 3, (255.0,) * 3, (0.4,) * 3, (0.2,) * 3, legend(NAMES))
    (folder / "good").mkdir()
    (folder / "good" / "config.yaml").write_text(dump(s))
    save_run(folder / "good", build_network("plain", architecture(s, spec)), spec, "source-only")
    return folder


@dataclass
class Said:
    code: int
    out: str
    err: list[str]  # lines on stderr: printed, logged or warned
