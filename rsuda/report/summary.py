"""Write the sentences at the top: did adapting help, where is the model still wrong, what to label next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rsuda.annotation.suggest import Suggestion
from rsuda.core.spelling import spell
from rsuda.evaluation.before import read_before
from rsuda.evaluation.label_free import SELECTION
from rsuda.evaluation.metrics import Scores
from rsuda.report.runs import ReportRun
from rsuda.report.scores import Quality

SAME = 0.05  # points of mIoU below which nothing counts as changed


@dataclass(frozen=True)
class Finding:
    """The answer to a question.

    Attributes:
        figure: the short answer, set large; ``text`` explains it.
        link: id of the section with the evidence; ``evidence`` is its name.
    """

    question: str
    figure: str
    text: str
    link: str
    evidence: str


def headline(runs: Sequence[ReportRun], quality: Sequence[Quality], before: int | None, after: int, target: str) -> str:
    """Write the page's title: runs, target and the numbers."""
    name, scores = runs[after].name, quality[after].scores
    if scores is None:
        if before is None:
            return f"{name} on {target}: no labels to score it"
        return f"{name} against source-only on {target}: no labels to score them"
    worst, value = _worst(scores.iou, scores.names)
    still = f"still worst: {worst} {100 * value:.0f}" if worst else "no class is scored"
    earlier = None if before is None else quality[before].scores
    if earlier is None:
        return f"{name} reaches mIoU {100 * scores.miou:.1f} on {target}; {still.removeprefix('still ')}"
    old, new = 100 * earlier.miou, 100 * scores.miou
    if abs(new - old) < SAME:
        return f"{name} leaves mIoU on {target} at {new:.1f}; {still}"
    return f"{name} {'lifts' if new > old else 'lowers'} mIoU on {target} from {old:.1f} to {new:.1f}; {still}"


def findings(
    runs: Sequence[ReportRun],
    quality: Sequence[Quality],
    label_free: Sequence[dict[str, float]],
    before: int | None,
    after: int,
    suggestions: Sequence[Suggestion],
) -> list[Finding]:
    """Answer the three questions of the page."""
    if before is None:
        benefit = _in_one_run(runs[after], quality[after].scores, label_free[after])
    elif (old := quality[before].scores) is None or (new := quality[after].scores) is None:
        benefit = _helped_without_labels(label_free[before], label_free[after])
    else:
        benefit = _helped(old, new)
    scores = quality[after].scores
    wrong = _least_confident(runs[after], quality[after]) if scores is None else _wrong(scores, quality[after].worst)
    return [benefit, wrong, _next(suggestions)]


_HELPED = "Did adapting help?"
_WRONG = "Where is it still wrong?"
_NEXT = "What should I label next?"


def _in_one_run(run: ReportRun, scores: Scores | None, label_free: dict[str, float]) -> Finding:
    """Compare a run with its own model before adaptation, where it has kept that one's scores."""
    before = read_before(run.folder)
    if run.source_only or before is None:
        return _not_compared(run)
    if scores is None or before.miou is None:
        return _helped_without_labels({SELECTION: before.selection}, label_free)
    earlier = np.array([(before.iou or {}).get(name) for name in scores.names], dtype=float)  # None becomes nan
    text = f"Before adaptation ({before.what}) mIoU was {100 * before.miou:.1f}, now it is {100 * scores.miou:.1f}."
    return Finding(
        _HELPED,
        f"{100 * (scores.miou - before.miou):+.1f} points mIoU",
        f"{text} {_by_class(100 * (scores.iou - earlier), scores.names)}".strip(),
        "scores",
        "scores by class",
    )


def _not_compared(run: ReportRun) -> Finding:
    if run.source_only:
        text = (
            "This is a source-only run: it is the 'before'. Report on it together with an adapted run of the same pair."
        )
        return Finding(_HELPED, "nothing adapted", text, "scores", "scores")
    text = (
        f"The report has adapted runs only. Train the 'before' with {spell('method', 'source-only')} on the same pair and "
        "options, and report on both runs."
    )
    return Finding(_HELPED, "not known yet", text, "scores", "scores")


def _helped_without_labels(before: dict[str, float], after: dict[str, float]) -> Finding:
    old, new = before.get(SELECTION, np.nan), after.get(SELECTION, np.nan)
    text = (
        f"Without labels only the images can be used: the selection score is {new:.2f} after and {old:.2f} before. The model "
        "with the higher score is probably the better one."
    )
    return Finding(_HELPED, "probably" if new > old else "probably not", text, "label-free", "label-free scores")


def _helped(before: Scores, after: Scores) -> Finding:
    gain = 100 * (after.miou - before.miou)
    text = (
        f"{_by_class(100 * (after.iou - before.iou), after.names)} A different seed alone moves mIoU by several points."
    )
    return Finding(_HELPED, f"{gain:+.1f} points mIoU", text.strip(), "scores", "scores by class")


def _by_class(change: np.ndarray, names: Sequence[str]) -> str:
    """Word the change of each class's IoU, in points; empty where no class is in both."""
    if not np.isfinite(change).any():
        return ""
    best, least = int(np.nanargmax(change)), int(np.nanargmin(change))
    text = f"Most for {names[best]} ({change[best]:+.1f}), least for {names[least]} ({change[least]:+.1f})."
    worse = int((change < -SAME).sum())
    return text + (f" {worse} of {int(np.isfinite(change).sum())} classes became worse." if worse else "")


def _least_confident(run: ReportRun, quality: Quality) -> Finding:
    least = int(np.nanargmin(quality.confidence)) if np.isfinite(quality.confidence).any() else 0
    name = run.trained.spec.legend.names[least]
    confidence = f"{100 * quality.confidence[least]:.0f} %"
    text = f"Where it predicts {name}, its mean confidence is {confidence}, the lowest of all classes."
    return Finding(_WRONG, f"least confident: {name}", text, "areas", "areas and confidence")


def _wrong(scores: Scores, worst_scenes: Sequence[tuple[str, float]]) -> Finding:
    worst, value = _worst(scores.iou, scores.names)
    mistakes = scores.matrix.astype(float)
    np.fill_diagonal(mistakes, 0)
    text = "No labelled pixel is wrong."
    if mistakes.any():
        true, prediction = np.unravel_index(int(mistakes.argmax()), mistakes.shape)
        share = 100 * mistakes[true, prediction] / scores.matrix.sum()
        text = (
            f"The most frequent mistake: {scores.names[true]} predicted as {scores.names[prediction]}, {share:.0f} % of all "
            "labelled pixels."
        )
    if len(worst_scenes) > 1:
        text += f" Worst scene: {worst_scenes[0][0]} (mIoU {100 * worst_scenes[0][1]:.0f})."
    figure = f"{worst}, IoU {100 * value:.0f}" if worst else "no class is scored"
    return Finding(_WRONG, figure, text, "confusion", "confusion matrix")


def _next(suggestions: Sequence[Suggestion]) -> Finding:
    if not suggestions:
        return Finding(_NEXT, "no window", "No window could be suggested; the section says why.", "next", "windows")
    first, scenes = suggestions[0], len({window.scene for window in suggestions})
    text = (
        f"In {scenes} scene{'s' * (scenes > 1)}, chosen among {first.candidates:,} windows as uncertain and different from each "
        f"other; the first is at row {first.row}, column {first.col} of scene {first.scene}."
    )
    return Finding(_NEXT, f"{len(suggestions)} windows of {first.size} px", text, "next", "windows")


def _worst(iou: np.ndarray, names: Sequence[str]) -> tuple[str, float]:
    if not np.isfinite(iou).any():
        return "", float("nan")
    k = int(np.nanargmin(iou))
    return names[k], float(iou[k])
