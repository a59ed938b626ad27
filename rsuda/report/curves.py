"""Draw the curves of a run: loss terms, share of trusted pseudo labels, target scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from rsuda.evaluation.reliability import Reliability
from rsuda.report import svg
from rsuda.report.runs import ReportRun
from rsuda.report.svg import AFTER, BEFORE, SOURCE, TARGET, curves

FEWEST = 0.001  # share of the pixels below which a bin of confidence is left out of the diagram: its accuracy is chance
ALIKE = 0.02  # difference of mean confidence and accuracy that is called about right


@dataclass(frozen=True)
class Curve:
    """A chart and its first and last value in words."""

    title: str
    drawing: Markup
    words: str


@dataclass(frozen=True)
class Key:
    """A line of a chart's key: a CSS colour, whether dashed, a name, and its first and last value."""

    colour: str
    dashed: bool
    name: str
    ends: str


def losses(run: ReportRun) -> list[Curve]:
    """Draw each loss term by step."""
    return [
        Curve(name, curves([(steps, values, AFTER, "-")], zero=min(values) >= 0), _ends(steps, values))
        for name, (steps, values) in run.terms.items()
    ]


def trust(run: ReportRun) -> Curve | None:
    """Draw the share of trusted pseudo labels by step; None where the method logs none."""
    if run.share is None:
        return None
    steps, values = run.share
    return Curve(
        "share of pseudo labels trusted", curves([(steps, values, TARGET, "-")], zero=True), _ends(steps, values)
    )


def metric(runs: Sequence[ReportRun], before: int | None, after: int) -> tuple[Curve, list[Key]] | None:
    """Draw mIoU by step of all runs that have a curve. Runs other than 'before' and 'after' share one style."""
    styles = {after: (AFTER, "-", "var(--after)")}
    if before is not None:
        styles[before] = (BEFORE, "--", "var(--before)")
    series, keys = [], []
    for i, run in enumerate(runs):
        if not run.curve:
            continue
        colour, style, css = styles.get(i, (SOURCE, ":", "var(--source)"))
        steps, values = [row["step"] for row in run.curve], [row["miou"] for row in run.curve]
        series.append((steps, values, colour, style))
        keys.append(Key(css, style != "-", run.name, _from_to(values)))
    if not series:
        return None
    return Curve("target mIoU, percent", curves(series, (3.7, 2.0), percent=True), ""), keys


def reliability(
    runs: Sequence[ReportRun], diagrams: Sequence[Reliability | None], before: int | None, after: int
) -> tuple[Curve, list[Key]] | None:
    """Draw the reliability diagrams of 'before' and 'after'; None without labels."""
    lines, keys = [], []
    for i, colour, style, css in ((before, BEFORE, "--", "var(--before)"), (after, AFTER, "-", "var(--after)")):
        if i is None:
            continue
        diagram = diagrams[i]
        if diagram is None or not diagram.pixels:
            continue
        lines.append(([entry for entry in diagram.bins() if entry[2] >= FEWEST], colour, style))
        excess = diagram.confidence - diagram.accuracy
        sure = "about right" if abs(excess) < ALIKE else "too sure" if excess > 0 else "not sure enough"
        mean = f"mean confidence {100 * diagram.confidence:.0f}, accuracy {100 * diagram.accuracy:.0f}: {sure}"
        keys.append(Key(css, style != "-", runs[i].name, mean))
    return (Curve("accuracy over confidence, percent", svg.reliability(lines), ""), keys) if lines else None


def by_class(run: ReportRun) -> tuple[Curve, list[Key]] | None:
    """Draw the IoU of each class by step, in the legend's colours."""
    if not run.curve:
        return None
    series, keys = [], []
    for name, rgb in zip(run.trained.spec.legend.names, run.trained.spec.legend.palette, strict=True):
        if name not in run.curve[0]:
            continue
        points = [(row["step"], row[name]) for row in run.curve if row[name] is not None]
        if not points:
            continue
        steps, values = zip(*points, strict=True)
        colour = "#{:02x}{:02x}{:02x}".format(*rgb)
        series.append((list(steps), list(values), colour, "-"))
        keys.append(Key(colour, False, name, _from_to(values)))
    if not series:
        return None
    return Curve(f"IoU by class, {run.name}, percent", curves(series, (3.7, 2.0), percent=True), ""), keys


def _from_to(values: Sequence[float]) -> str:
    return " → ".join(f"{100 * value:.1f}" for value in ([values[0], values[-1]] if len(values) > 1 else values))


def _ends(steps: Sequence[int], values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3g} at step {steps[0]}"
    return f"{values[0]:.3g} at step {steps[0]:,}, {values[-1]:.3g} at step {steps[-1]:,}"
