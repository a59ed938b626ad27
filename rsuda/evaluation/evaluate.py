"""Score a run on labelled scenes."""

from __future__ import annotations

import csv
import json
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rsuda.core.atomic import atomic_write
from rsuda.core.crosswalk import near_names, unshared_note
from rsuda.core.display import csv_cell
from rsuda.core.documents import read_json
from rsuda.core.errors import ExistsError, InputError, MissingError, unknown
from rsuda.core.legend import IGNORE, Legend
from rsuda.core.spelling import spell
from rsuda.data.checks.labels import label_notes, scene_notes
from rsuda.data.domains.domain import Domain
from rsuda.data.find_domain import domain
from rsuda.evaluation.label_free import LabelFree, label_free, write_label_free
from rsuda.evaluation.metrics import MEANS, Scores, confusion
from rsuda.evaluation.reliability import BINS, Reliability, tally
from rsuda.geo.grids.windows import full_windows
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.predictor import Predictor
from rsuda.inference.scene_statistics import adapted
from rsuda.inference.sliding_window import predict_scene, predict_tile
from rsuda.runs.folders import WEIGHTS, saved_settings
from rsuda.runs.weights import CONFIG, load_run

logger = logging.getLogger("rsuda")

PROTOCOLS = ("scenes", "st-dasegnet")


@dataclass(frozen=True)
class Evaluation:
    """Scores over all classes and, for a domain that names a clutter class, scores whose means leave it out.

    Attributes:
        scenes, tiles: scored scenes; scored tiles, 0 in protocol 'scenes'.
        off_palette: label pixels that the legend does not list.
        prediction: precision, window, overlap, tta and device of the prediction.
        notes: sentences on what the scores leave out, such as classes that the model lacks.
        by_scene: (K, K) int64 confusion matrix of each scene by its name; their sum is that of ``scores``.
        reliability: how far confidence is from accuracy; None in protocols of tiles.
    """

    domain: str
    split: str
    protocol: str
    scenes: int
    tiles: int
    scores: Scores
    without_clutter: Scores | None
    off_palette: int
    prediction: dict[str, str | int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    by_scene: dict[str, np.ndarray] = field(default_factory=dict)
    reliability: Reliability | None = None

    @property
    def stem(self) -> str:
        """The name of the score files without suffix: domain, split and protocol."""
        names = "_".join(re.sub(r"[^\w. -]+", "-", name)[:80] for name in (self.domain, self.split))
        return f"scores_{names}" + ("" if self.protocol == "scenes" else f"_{self.protocol}")

    def as_fields(self) -> dict[str, Any]:
        """Return the content of the JSON file; None marks a missing score."""
        return {
            "domain": self.domain,
            "split": self.split,
            "protocol": self.protocol,
            "scenes": self.scenes,
            "tiles": self.tiles,
            "off_palette_pixels": self.off_palette,
            "prediction": self.prediction,
            "notes": list(self.notes),
            **self.scores.as_fields(),
            "without_clutter": self.without_clutter.as_fields() if self.without_clutter else None,
            "confusion": self.scores.matrix.tolist(),
            "calibration": self.reliability.as_fields() if self.reliability else None,
        }


def evaluate(
    predictor: Predictor, domain: Domain, split: str = "val", protocol: str = "scenes", *, adapt: str = "none"
) -> Evaluation:
    """Score a model on a labelled split.

    Args:
        predictor: the model and its windowing.
        domain: a domain whose split has labels.
        protocol: 'scenes' predicts and stitches whole scenes on their own grids, so that each labelled pixel counts
            once. 'st-dasegnet' scores the domain's list of tiles of that paper (512 px; for Vaihingen they overlap by
            half, remainders are dropped). Each tile is predicted alone; inner pixels count up to four times.
        adapt: of the protocol 'scenes': 'none', or 'statistics' as ``adapt`` of ``rsuda.predict``.

    Raises:
        InputError: the split has no labels, shares no class with the model, or holds no scored pixel. Or the domain has
            no tile list, or the protocol is unknown.
    """
    legend, scenes = predictor.trained.spec.legend, domain.labelled(split)
    assert domain.legend is not None
    table = class_table(legend, domain.legend, domain.name)
    for note in (*scene_notes(scenes), *label_notes(scenes, domain.legend)):
        logger.warning("note: %s", note)
    if protocol not in PROTOCOLS:
        raise unknown("protocol", protocol, PROTOCOLS)
    if protocol == "st-dasegnet" and not domain.protocol:
        raise InputError(f"domain {domain.name} has no tile list for protocol st-dasegnet (field 'protocol')")
    size, stride = (domain.protocol or {}).get("window", 0), (domain.protocol or {}).get("stride", 0)
    by_scene: dict[str, np.ndarray] = {}
    off_palette, tiles, counts = 0, 0, np.zeros(256, np.int64)
    by_confidence = np.zeros((3, len(legend), BINS))
    for scene in scenes:
        label, off_legend = scene.whole_label(domain.legend)
        counts += np.bincount(label.ravel(), minlength=256)
        label, off_palette = table[label], off_palette + off_legend
        if protocol == "scenes":
            scene_map = predict_scene(adapted(predictor, scene, adapt), scene)
            by_scene[scene.name] = confusion(label, scene_map.classes, len(legend))
            by_confidence += tally(label, scene_map.classes, scene_map.confidence / 254, len(legend))
            continue
        by_scene[scene.name] = np.zeros((len(legend), len(legend)), np.int64)
        for row, col in _tile_corners(scene, size, stride):
            tile = label[row : row + size, col : col + size]
            by_scene[scene.name] += confusion(tile, predict_tile(predictor, scene, row, col, size), len(legend))
            tiles += 1
    total = np.sum([*by_scene.values()], axis=0)
    if protocol == "st-dasegnet" and not tiles:
        raise InputError(f"no scene of split '{split}' of {domain.name} holds a whole tile of {size} x {size} px")
    if not total.any():
        raise InputError(f"no pixel of split '{split}' of {domain.name} is labelled with a class of the model")
    label_counts = counts[: len(domain.legend)]
    left_out = float(label_counts[table[: len(label_counts)] == IGNORE].sum() / max(label_counts.sum(), 1))
    left_over = unshared_note(legend.names, domain.legend.names, domain.name, left_out)
    clutter = (domain.clutter,) if domain.clutter in legend.names else ()
    return Evaluation(
        domain.name,
        split,
        protocol,
        len(scenes),
        tiles,
        Scores(total, legend.names),
        Scores(total, legend.names, clutter) if clutter else None,
        off_palette,
        {
            "precision": predictor.precision,
            "window": predictor.window,
            "overlap": predictor.overlap,
            "tta": predictor.tta,
            "device": str(predictor.device),
        },
        (left_over,) if left_over else (),
        by_scene,
        None if tiles else Reliability(by_confidence, legend.names),
    )


def class_table(legend: Legend, other: Legend, name: str) -> np.ndarray:
    """Return the (256,) table from a domain's class indices to the model's. Raises InputError without a common class."""
    table = legend.mapping_from(other)
    if (table == IGNORE).all():
        near = near_names(legend.names, other.names) or {other.names[0]: legend.names[0]}
        classes = ", ".join(f"{name}: {common}" for name, common in near.items())
        raise InputError(
            f"the model's classes ({', '.join(legend.names)}) and those of {name} ({', '.join(other.names)}) have no name in "
            f"common: give them common names in the domain file, as in 'classes: {{{classes}}}'"
        )
    return table


def _tile_corners(scene: Scene, size: int, stride: int) -> Iterator[tuple[int, int]]:
    for row in full_windows(scene.grid.height, size, stride):
        for col in full_windows(scene.grid.width, size, stride):
            yield row, col


def domain_of_run(
    run: str | Path, what: Any = None, data: str | Path | None = None, bands: str | None = None
) -> Domain:
    """Find a domain to score a run on: by default its own target, with the run's data folder and band order.

    Args:
        what: a name, a Domain or a torchgeo dataset, as in ``rsuda.domain``.
        data: folder of the data.
        bands: band order such as 'IRRG'.

    Raises InputError, MissingError; see ``rsuda.domain``.
    """
    if what is not None and not isinstance(what, str | os.PathLike):
        return domain(what, bands=bands)
    folder = Path(run)
    if what is not None and (folder / WEIGHTS).is_file() and not (folder / CONFIG).is_file():
        return domain(what, data, bands=bands)  # a model of a hub may have no settings
    settings = saved_settings(folder)
    name = settings.target.name if what is None else os.fspath(what)
    target = settings.target if name == settings.target.name else None
    try:
        return domain(
            name,
            data or settings.data,
            bands=bands or (target.bands if target else None),
            nodata=target.nodata if target else None,
        )
    except MissingError as error:
        if what is not None or data is not None:
            raise
        raise MissingError(
            f"{error} (so say the settings of {folder}, whose paths begin where it was trained: run the command there, or "
            f"pass {spell('domain')} and {spell('data')})"
        ) from None


def score_run(
    run: str | Path,
    domain: Domain,
    split: str = "val",
    protocol: str = "scenes",
    *,
    overwrite: bool = False,
    **options: Any,
) -> tuple[Evaluation, tuple[Path, Path]]:
    """Score a run folder's model and write the scores into the folder.

    Args:
        overwrite: replace existing scores that differ.
        options: see ``Predictor.of``; ``precision`` is the run's own by default.

    Raises:
        ExistsError: the folder holds different scores of the same domain, split and protocol, and ``overwrite`` is False.
        InputError: see ``evaluate``.
    """
    evaluation = evaluate(predictor_of_run(run, **options), domain, split, protocol)
    return evaluation, write_scores(evaluation, Path(run), overwrite)


def score_without_labels(run: str | Path, domain: Domain, split: str, **options: Any) -> tuple[LabelFree, Path]:
    """Score a run folder's model by a domain's images alone and write the scores into the folder.

    Args:
        options: see ``Predictor.of``; ``precision`` is the run's own by default.
    """
    scores = label_free(predictor_of_run(run, **options), domain, split)
    return scores, write_label_free(scores, Path(run))


def predictor_of_run(run: str | Path, **options: Any) -> Predictor:
    """Load a run folder's model for prediction.

    Args:
        options: see ``Predictor.of``; ``precision`` is the run's own by default.
    """
    if options.get("precision") is None:
        has_settings = (Path(run) / CONFIG).is_file()
        options = {**options, "precision": saved_settings(Path(run)).training.precision if has_settings else "auto"}
    return Predictor.of(load_run(run), **options)


def write_scores(evaluation: Evaluation, folder: Path, overwrite: bool = False) -> tuple[Path, Path]:
    """Write scores as JSON and as CSV with a line per class; the names hold domain, split and protocol.

    Raises ExistsError where different scores exist and ``overwrite`` is False.
    """
    file, table = folder / f"{evaluation.stem}.json", folder / f"{evaluation.stem}.csv"
    fields = evaluation.as_fields()
    if file.exists() and not overwrite:
        _check_same(file, fields)
    with atomic_write(file, overwrite=True) as temporary:
        temporary.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8", newline="\n")
    with atomic_write(table, overwrite=True) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        names = map(csv_cell, evaluation.scores.names)
        writer.writerow(["class", "iou", "precision", "recall", "f1", "pixels", *names])
        for (name, values), row in zip(fields["classes"].items(), evaluation.scores.matrix, strict=True):
            writer.writerow(
                [csv_cell(name), *("" if value is None else value for value in values.values()), *row.tolist()]
            )
    return file, table


def _check_same(file: Path, fields: dict[str, Any]) -> None:
    """Raise ExistsError where a score file holds other numbers than ``fields``."""
    try:
        before = read_json(file, "scores file")
    except InputError:
        before = None
    if isinstance(before, dict) and all(before.get(name) == fields[name] for name in ("confusion", *MEANS)):
        return
    raise ExistsError(
        f"{file} holds other scores ({_summary(before)}; now {_summary(fields)}): pass {spell('overwrite', True)} to replace "
        "them"
    )


def _summary(fields: Any) -> str:
    """Return mIoU, precision and window of a score file's content in words."""
    if not isinstance(fields, dict) or not isinstance(fields.get("miou"), float):
        return "not readable"
    prediction = fields.get("prediction") or {}
    how = (
        f" at {prediction['precision']}, window {prediction['window']}"
        if {"precision", "window"} <= {*prediction}
        else ""
    )
    return f"mIoU {100 * fields['miou']:.2f}{how}"
