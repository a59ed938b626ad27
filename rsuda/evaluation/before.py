"""Keep the model that a run had before adaptation, and score it after training, to compare it with the adapted one.

"Before" is the model at the end of the run's source-only phase. A run without this phase has the run that it starts from, or
no "before". Training reads no label: the callback writes weights, and the scores are computed when training has ended.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsuda.core.atomic import atomic_write
from rsuda.core.documents import read_json
from rsuda.core.errors import InputError, RsudaError
from rsuda.core.settings import Settings
from rsuda.data.domains.domain import Domain
from rsuda.evaluation.evaluate import evaluate
from rsuda.evaluation.label_free import label_free
from rsuda.inference.predictor import Predictor
from rsuda.runs.folders import BEFORE, BEFORE_WEIGHTS
from rsuda.runs.weights import load_run, save_weights
from rsuda.training.callbacks import Callback


class KeepBefore(Callback):
    """Callback that writes the weights at the end of the source-only phase into the run folder. Training is unaffected.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / BEFORE_WEIGHTS

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        step = module.method.source_only_steps
        if trainer.is_global_zero and trainer.global_step == step < trainer.max_steps:
            save_weights(self.file, module.model, module.spec, f"source only, step {step}")


@dataclass(frozen=True)
class ModelBefore:
    """The model before adaptation.

    Attributes:
        predictor: the model, ready to predict.
        what: where it comes from, such as 'source only, step 200'.
    """

    predictor: Predictor
    what: str


@dataclass(frozen=True)
class Before:
    """Scores of the model before adaptation, as those of the adapted one.

    Attributes:
        what: where the model comes from, such as 'source only, step 200'.
        selection: the label-free score that chooses among runs; nan where it is not a number.
        miou: on the target's labelled split, in 0..1; None without such a split.
        iou: of each class; None for a class without pixels.
    """

    what: str
    selection: float
    miou: float | None = None
    iou: dict[str, float | None] | None = None

    def as_fields(self) -> dict[str, Any]:
        """Return values that JSON can hold."""
        selection = self.selection if math.isfinite(self.selection) else None
        return {"what": self.what, "selection": selection, "miou": self.miou, "iou": self.iou}


def model_before(folder: Path, settings: Settings, predictor: Predictor) -> ModelBefore | None:
    """Load the model before adaptation; None for a run without an honest "before".

    Args:
        predictor: the run's model. A start counts only if it has the same classes and bands.
    """
    if (folder / BEFORE).is_file() and not (folder / BEFORE_WEIGHTS).is_file():
        return None  # resumed at its end: it was scored then
    device, precision, file = str(predictor.device), predictor.precision, folder / BEFORE_WEIGHTS
    with suppress(RsudaError):
        if file.is_file():
            network = load_run(file)
            return ModelBefore(Predictor.of(network, device, precision), network.method)
        if settings.network.start:
            network, spec = load_run(settings.network.start), predictor.trained.spec
            if network.spec.legend.names == spec.legend.names and network.spec.bands == spec.bands:
                return ModelBefore(Predictor.of(network, device, precision), "the run it starts from")
    return None


def score_before(model: ModelBefore | None, folder: Path, target: Domain, settings: Settings) -> Before | None:
    """Score the model before adaptation and write ``before.json``, or read this file where the model is gone.

    Args:
        model: see ``model_before``.
        target: its labels are read if it has the labelled split of the settings.
    """
    if model is None:
        return read_before(folder)
    miou = iou = None
    if target.has_labels(settings.validation.split):
        scores = evaluate(model.predictor, target, settings.validation.split).scores
        shares = zip(scores.names, map(float, scores.iou), strict=True)
        miou, iou = float(scores.miou), {name: share if math.isfinite(share) else None for name, share in shares}
    selection = label_free(model.predictor, target, settings.target.split).selection
    before = Before(model.what, selection, miou, iou)
    with atomic_write(folder / BEFORE, overwrite=True) as temporary:
        temporary.write_text(json.dumps(before.as_fields(), indent=2) + "\n", encoding="utf-8", newline="\n")
    return before


def read_before(folder: Path) -> Before | None:
    """Read ``before.json`` of a run folder; None without a readable one."""
    if not (folder / BEFORE).is_file():
        return None
    try:
        fields = read_json(folder / BEFORE, "scores before adaptation")
        selection = math.nan if fields["selection"] is None else float(fields["selection"])
        miou = None if fields["miou"] is None else float(fields["miou"])
        return Before(str(fields["what"]), selection, miou, fields["iou"])
    except (InputError, KeyError, TypeError, ValueError):
        return None
