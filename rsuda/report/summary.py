"""The sentences at the top: did adapting help, where is it still wrong, what to label next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rsuda.annotation.suggest import Suggestion
from rsuda.report.runs import ReportRun
from rsuda.report.scores import Quality

SAME = 0.05  # points of mIoU below which nothing is said to have changed


@dataclass(frozen=True)
class Finding:
    """A question's short answer: ``figure`` is what is set large, ``text`` explains it, ``link`` leads to the evidence."""

    question: str
    figure: str
    text: str
    link: str
    evidence: str


def headline(runs: Sequence[ReportRun], quality: Sequence[Quality], before: int | None, after: int, target: str) -> str:
    """The one sentence with the numbers."""
    name, found = runs[after].name, quality[after].scores
    if found is None:
        if before is None:
            return f"{name} on {target}: there are no labels to score it by"
        return f"{name} against source-only on {target}: there are no labels to score them by"
    worst, value = _worst(found.iou, found.names)
    still = f"still worst: {worst} {100 * value:.0f}" if worst else "no class is scored"
    if before is None:
        return f"{name} reaches mIoU {100 * found.miou:.1f} on {target}; {still.removeprefix('still ')}"
    old, new = 100 * quality[before].scores.miou, 100 * found.miou  # type: ignore[union-attr]
    if abs(new - old) < SAME:
        return f"{name} leaves mIoU on {target} at {new:.1f}; {still}"
    return f"{name} {'lifts' if new > old else 'lowers'} mIoU on {target} from {old:.1f} to {new:.1f}; {still}"


def answers(
    runs: Sequence[ReportRun], quality: Sequence[Quality], free: Sequence[dict[str, float]], before: int | None, after: int,
    suggested: Sequence[Suggestion],
) -> list[Finding]:  # fmt: skip
    return [
        _helped(runs, quality, free, before, after),
        _wrong(runs, quality, after),
        _next(suggested),
    ]


def _helped(
    runs: Sequence[ReportRun],
    quality: Sequence[Quality],
    free: Sequence[dict[str, float]],
    before: int | None,
    after: int,
) -> Finding:
    question = "Did adapting help?"
    found = quality[after].scores
    if before is None:
        if runs[after].source_only:
            text = "This is a source-only run: it is the 'before'. Give an adapted run of the same pair beside it."
            return Finding(question, "nothing adapted", text, "scores", "scores")
        text = (
            "Only adapted runs were given. Train the 'before' with --method source-only on the same pair and options, and "
            "give both runs."
        )
        return Finding(question, "not known yet", text, "scores", "scores")
    if found is None:
        old, new = free[before].get("information", np.nan), free[after].get("information", np.nan)
        text = (
            f"Without labels only the images speak: the information score is {new:.2f} after and {old:.2f} before; the higher "
            "one is likely, not surely, the better network."
        )
        return Finding(question, "likely" if new > old else "likely not", text, "label-free", "label-free scores")
    old_iou, new_iou = quality[before].scores.iou, found.iou  # type: ignore[union-attr]
    gain = 100 * (found.miou - quality[before].scores.miou)  # type: ignore[union-attr]
    change = 100 * (new_iou - old_iou)
    text = ""
    if np.isfinite(change).any():
        best, least = int(np.nanargmax(change)), int(np.nanargmin(change))
        text = f"Most for {found.names[best]} ({change[best]:+.1f}), least for {found.names[least]} ({change[least]:+.1f})."
        fell = int((change < -SAME).sum())
        if fell:
            text += f" {fell} of {int(np.isfinite(change).sum())} classes lost."
    text += " One seed alone moves mIoU by several points."
    return Finding(question, f"{gain:+.1f} points mIoU", text.strip(), "scores", "scores by class")


def _wrong(runs: Sequence[ReportRun], quality: Sequence[Quality], after: int) -> Finding:
    question, q = "Where is it still wrong?", quality[after]
    if q.scores is None:
        least = int(np.nanargmin(q.confidence)) if np.isfinite(q.confidence).any() else 0
        names = runs[after].trained.spec.legend.names
        sure = f"{100 * q.confidence[least]:.0f} % sure on average"
        text = f"Where it predicts {names[least]} it is {sure}, the least of all classes."
        return Finding(question, f"least sure: {names[least]}", text, "areas", "areas and confidence")
    worst, value = _worst(q.scores.iou, q.scores.names)
    mistakes = q.scores.matrix.astype(float)
    np.fill_diagonal(mistakes, 0)
    text = "No labelled pixel is wrong."
    if mistakes.any():
        true, predicted = np.unravel_index(int(mistakes.argmax()), mistakes.shape)
        share = mistakes[true, predicted] / q.scores.matrix.sum()
        one, other = q.scores.names[true], q.scores.names[predicted]
        text = f"The commonest mistake: {one} taken for {other}, {100 * share:.0f} % of all labelled pixels."
    if len(q.worst) > 1:
        text += f" Worst scene: {q.worst[0][0]} (mIoU {100 * q.worst[0][1]:.0f})."
    figure = f"{worst}, IoU {100 * value:.0f}" if worst else "no class is scored"
    return Finding(question, figure, text, "confusion", "confusion matrix")


def _next(suggested: Sequence[Suggestion]) -> Finding:
    question = "What should I label next?"
    if not suggested:
        return Finding(
            question, "nothing found", "No window could be suggested; the section says why.", "next", "windows"
        )
    first, scenes = suggested[0], len({s.scene for s in suggested})
    text = (
        f"In {scenes} scene{'s' * (scenes > 1)}, chosen out of {first.of:,} as uncertain and unlike each other; first "
        f"row {first.row}, column {first.col} of scene {first.scene}."
    )
    return Finding(question, f"{len(suggested)} windows of {first.size} px", text, "next", "windows")


def _worst(iou: np.ndarray, names: Sequence[str]) -> tuple[str, float]:
    if not np.isfinite(iou).any():
        return "", float("nan")
    k = int(np.nanargmin(iou))
    return names[k], float(iou[k])
