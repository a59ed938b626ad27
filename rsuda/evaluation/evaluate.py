"""Score a run on labelled scenes."""

from __future__ import annotations

import csv
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rsuda.core.atomic import atomic_write
from rsuda.core.display import csv_cell
from rsuda.core.errors import InputError, unknown
from rsuda.core.legend import IGNORE
from rsuda.data.domain import Domain
from rsuda.data.find_domain import domain
from rsuda.evaluation.label_free import LabelFree, label_free, write_label_free
from rsuda.evaluation.metrics import Scores, confusion
from rsuda.geo.windows import full_windows
from rsuda.inference.predictor import Predictor
from rsuda.inference.sliding_window import predict_scene, predict_tile
from rsuda.runs.resolve import saved_settings
from rsuda.runs.weights import load_run

PROTOCOLS = ("scenes", "st-dasegnet")


@dataclass(frozen=True)
class Evaluation:
    """Scores with all classes and, where the domain names a clutter class, without it in the means."""

    domain: str
    split: str
    protocol: str
    scenes: int
    tiles: int
    scores: Scores
    without_clutter: Scores | None
    off_palette: int

    @property
    def stem(self) -> str:
        """Of the files in the run folder: domain, split, protocol."""
        named = "_".join(re.sub(r"[^\w. -]+", "-", name)[:80] for name in (self.domain, self.split))
        return f"scores_{named}" + ("" if self.protocol == "scenes" else f"_{self.protocol}")

    def as_fields(self) -> dict[str, Any]:
        return {
            "domain": self.domain, "split": self.split, "protocol": self.protocol, "scenes": self.scenes,
            "tiles": self.tiles, "off_palette_pixels": self.off_palette, **self.scores.as_fields(),
            "without_clutter": self.without_clutter.as_fields() if self.without_clutter else None,
            "confusion": self.scores.matrix.tolist(),
        }  # fmt: skip


def evaluate(engine: Predictor, domain: Domain, split: str = "val", protocol: str = "scenes") -> Evaluation:
    """Score a network on a labelled split.

    Args:
        protocol: 'scenes' predicts and stitches whole scenes on their own grids, so that each labelled pixel counts
            once. 'st-dasegnet' scores the domain's list of tiles of that paper (512 px, for Vaihingen overlapping by
            half, remainders dropped), each predicted by itself; inner pixels count up to four times.

    Raises:
        InputError: the split has no labels, shares no class with the network, or the domain has no tile list; nothing
            at all could be counted.
    """
    own, scenes = engine.trained.spec.legend, domain.labelled(split)
    legend = domain.legend
    assert legend is not None
    table = own.mapping_from(legend)
    if (table == IGNORE).all():
        raise InputError(
            f"the network's classes ({', '.join(own.names)}) and those of {domain.name} "
            f"({', '.join(legend.names)}) have no name in common"
        )
    if protocol not in PROTOCOLS:
        raise unknown("protocol", protocol, PROTOCOLS)
    if protocol == "st-dasegnet" and not domain.protocol:
        raise InputError(f"domain {domain.name} has no tile list for protocol st-dasegnet (field 'protocol')")
    total, off, tiles = np.zeros((len(own), len(own)), np.int64), 0, 0
    size, stride = (domain.protocol or {}).get("window", 0), (domain.protocol or {}).get("stride", 0)
    for scene in scenes:
        label, outside = scene.whole_label(legend)
        label, off = table[label], off + outside
        if protocol == "scenes":
            total += confusion(label, predict_scene(engine, scene).classes, len(own))
            continue
        for row in full_windows(scene.grid.height, size, stride):
            for col in full_windows(scene.grid.width, size, stride):
                here = label[row : row + size, col : col + size]
                total += confusion(here, predict_tile(engine, scene, row, col, size), len(own))
                tiles += 1
    if protocol == "st-dasegnet" and not tiles:
        raise InputError(f"no scene of split '{split}' of {domain.name} holds a whole tile of {size} x {size} px")
    if not total.any():
        raise InputError(f"no pixel of split '{split}' of {domain.name} is labelled with a class of the network")
    clutter = (domain.clutter,) if domain.clutter in own.names else ()
    without = Scores(total, own.names, clutter) if clutter else None
    return Evaluation(domain.name, split, protocol, len(scenes), tiles, Scores(total, own.names), without, off)


def domain_of_run(
    run: str | Path, what: Any = None, data: str | Path | None = None, bands: str | None = None
) -> Domain:
    """A domain to score a run on: its own target by default, with the run's data folder and band order where none is given.

    Args:
        what: a name, a Domain or a torchgeo dataset, as in ``rsuda.domain``.

    Raises InputError, MissingError; see ``rsuda.domain``.
    """
    if what is not None and not isinstance(what, str | os.PathLike):
        return domain(what, bands=bands)
    s = saved_settings(Path(run))
    name = s.target if what is None else os.fspath(what)
    return domain(name, data or s.data, bands=bands or (s.target_bands if name == s.target else None))


def score_run(
    run: str | Path, domain: Domain, split: str = "val", protocol: str = "scenes", **engine: Any
) -> tuple[Evaluation, tuple[Path, Path]]:
    """Score a run folder's network, and write the scores into it; ``engine`` see Engine."""
    found = evaluate(Predictor.of(load_run(run), **engine), domain, split, protocol)
    return found, write_scores(found, Path(run))


def score_without_labels(run: str | Path, domain: Domain, split: str, **engine: Any) -> tuple[LabelFree, Path]:
    """Score a run folder's network by a domain's images alone, and write the scores into it; ``engine`` see Engine."""
    found = label_free(Predictor.of(load_run(run), **engine), domain, split)
    return found, write_label_free(found, Path(run))


def write_scores(found: Evaluation, folder: Path) -> tuple[Path, Path]:
    """Write the scores as JSON and as a CSV line per class, under names that tell domain, split and protocol."""
    stem = found.stem
    with atomic_write(folder / f"{stem}.json", overwrite=True) as temporary:
        temporary.write_text(json.dumps(found.as_fields(), indent=2) + "\n")
    with atomic_write(folder / f"{stem}.csv", overwrite=True) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        names = map(csv_cell, found.scores.names)
        writer.writerow(["class", "iou", "precision", "recall", "f1", "pixels", *names])
        classes = found.scores.as_fields()["classes"]
        for (name, values), row in zip(classes.items(), found.scores.matrix, strict=True):
            writer.writerow([csv_cell(name), *("" if v is None else v for v in values.values()), *row.tolist()])
    return folder / f"{stem}.json", folder / f"{stem}.csv"
