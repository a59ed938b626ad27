"""Score a run at the end of its training: before and after adaptation, without labels, and with them where there are any."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rsuda.core.settings import Settings
from rsuda.data.domains.domain import Domain
from rsuda.evaluation.before import model_before, score_before
from rsuda.evaluation.evaluate import predictor_of_run, score_run, score_without_labels
from rsuda.evaluation.finished_run import Run
from rsuda.evaluation.preview import write_preview
from rsuda.evaluation.references import references
from rsuda.runs.folders import BEFORE_WEIGHTS


def score_finished(folder: Path, settings: Settings, target: Domain, tell: Callable[[str], None]) -> Run:
    """Score a trained run on its target, and write scores and preview into its folder.

    Args:
        folder: the run folder. Its weights from before adaptation are scored and then removed.
        settings: those that it was trained with.
        target: its labels are read if it has the labelled split of the settings.
        tell: called with a sentence where the target has no labels to score on.

    Raises:
        InputError: no label of the target belongs to a class of the model.
        WriteError: the disk is full.
    """
    options = {"device": settings.training.device, "precision": settings.training.precision}
    label_free, _ = score_without_labels(folder, target, settings.target.split, **options)
    predictor = predictor_of_run(folder, **options)
    start = model_before(folder, settings, predictor)
    before = score_before(start, folder, target, settings)
    write_preview(predictor, start, folder, settings, target)
    (folder / BEFORE_WEIGHTS).unlink(missing_ok=True)
    scores, split = None, settings.validation.split
    if target.has_labels(split):
        scores, _ = score_run(folder, target, split, overwrite=True, **options)
    else:
        tell(f"{target.name} has {target.missing_labels(split)}, so nothing was scored.")
    return Run(folder, label_free, scores, before, tuple(references(settings, target)))
