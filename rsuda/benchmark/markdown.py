"""Format the tables of a benchmark as Markdown: all pairs, each pair with its differences, and the label-free scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from rsuda.benchmark.bootstrap import RESAMPLES, Interval, Resamples, gap_interval, interval, resample
from rsuda.benchmark.comparison import Comparison, compare, comparisons, unequal
from rsuda.benchmark.label_free_choices import Choices, judge, ranks
from rsuda.benchmark.plan import Plan
from rsuda.benchmark.rows import Row, closed_gap, row_of
from rsuda.evaluation.label_free import SELECTION


def markdown(plan: Plan, rows: Sequence[Row]) -> str:
    """Format all tables of the finished runs, pair by pair in the file's order."""
    by_pair = {pair: [row for row in rows if row.pair == pair] for pair in plan.pairs}
    by_pair = {pair: of_pair for pair, of_pair in by_pair.items() if of_pair}
    lines = [plan.about.strip(), ""] if plan.about else []
    if len(by_pair) > 1:
        lines += ["### All pairs", "", *_summary(plan, by_pair)]
    for pair, of_pair in by_pair.items():
        resamples = resample(of_pair)
        lines += [f"### {pair}", "", *_scores(plan, of_pair, resamples), *_notes(of_pair, resamples)]
        lines += _differences(comparisons(plan, of_pair, resamples))
    return "\n".join(lines + _label_free(plan, rows))


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    """Format a Markdown table and the empty line after it."""
    return [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *(f"| {' | '.join(line)} |" for line in lines), ""]


def _summary(plan: Plan, by_pair: dict[str, list[Row]]) -> list[str]:
    """Format one line a method and one column a pair."""
    rows = [row for of_pair in by_pair.values() for row in of_pair]
    methods = [method for method in plan.methods if any(row.method == method for row in rows)]
    text = (
        f"mIoU in percent, share of the gap that is closed, and points above `{plan.control}` over the seeds of both; means over "
        "seeds."
    )
    lines = ([method, *(_summary_cell(plan, of_pair, method) for of_pair in by_pair.values())] for method in methods)
    return [text, "", *_table(["method", *by_pair], lines)]


def _summary_cell(plan: Plan, of_pair: Sequence[Row], method: str) -> str:
    row, control = (row_of(of_pair, of_pair[0].pair, name) for name in (method, plan.control))
    if row is None:
        return "-"
    share = closed_gap(row, of_pair, plan)
    text = f"{row.miou.mean():.1f}, {_number(share, '.0f')} %".replace("- %", "-")
    if control is not None and method not in (plan.control, plan.oracle):
        difference = compare(row, control, Resamples(0, {}))
        text += "" if difference is None else f", {_points(difference.mean)}"
    return text


def _scores(plan: Plan, of_pair: Sequence[Row], resamples: Resamples) -> list[str]:
    """Format one line a method: mIoU and gap with intervals, classes, cost, true and label-free rank."""
    names = list(dict.fromkeys(name for row in of_pair for name in row.iou))  # an oracle may have other classes
    heads = ["method", "seeds", "steps", "mIoU", "95 % interval", "gap closed", *names, "s / step", "peak MB", "rank"]
    candidates = [row for row in of_pair if row.method != plan.oracle]
    methods = [row.method for row in candidates]
    true = dict(zip(methods, ranks([row.miou.mean() for row in candidates]), strict=True))
    free = dict(zip(methods, ranks([row.label_free(SELECTION) for row in candidates]), strict=True))
    lines = []
    for row in of_pair:
        cells = [row.method, str(len(row.runs)), str(row.steps), spread(row.miou)]
        cells += [_between(interval(resamples.of(row))), _gap(plan, row, of_pair, resamples)]
        cells += [spread(row.iou[name]) if name in row.iou else "-" for name in names]
        cells += [_number(row.mean("seconds_per_step"), ".2f"), _number(row.mean("peak_memory_mb"), ".0f")]
        cells += [_number(by_method.get(row.method), "g") for by_method in (true, free)]
        lines.append(cells)
    return _table([*heads, f"rank by {SELECTION}"], lines)


def _gap(plan: Plan, row: Row, of_pair: Sequence[Row], resamples: Resamples) -> str:
    share = closed_gap(row, of_pair, plan)
    if share is None:
        return "-"
    baseline, oracle = (row_of(of_pair, row.pair, name) for name in (plan.baseline, plan.oracle))
    limits = gap_interval(row, baseline, oracle, resamples)
    return f"{share:.0f} %" + ("" if limits is None else f" ({_between(limits, '.0f')})")


def _notes(of_pair: Sequence[Row], resamples: Resamples) -> list[str]:
    """Say what the intervals are, and in which conditions the rows differ."""
    about = (
        f"± is the standard deviation over seeds. Intervals are those of {RESAMPLES} resamples of the {resamples.scenes} scenes; "
        "they do not cover the choice of seeds."
    )
    notes = ([about] if resamples.scenes else []) + unequal(of_pair)
    return [*(line for note in notes for line in (note, ""))]


def _differences(compared: Sequence[Comparison]) -> list[str]:
    """Format one line a comparison, under the scores of its pair."""
    if not compared:
        return []
    heads = ["method", "against", "seeds", "points", "95 % interval", "by seed", "wins", "time of a run"]
    lines = (
        [
            one.method,
            one.control,
            ", ".join(map(str, one.seeds)),
            _points(one.mean),
            _between(one.interval, "+.1f"),
            ", ".join(map(_points, one.by_seed)),
            f"{one.wins}/{len(one.seeds)}",
            "-" if one.cost is None else f"{one.cost:.1f} x",
        ]
        for one in compared
    )
    return ["Differences of mIoU between runs of the same seed:", "", *_table(heads, lines)]


def _label_free(plan: Plan, rows: Sequence[Row]) -> list[str]:
    """Format how well the label-free scores follow the true mIoU, and what choosing by them costs."""
    judgements = judge(rows, plan)
    if not judgements:
        return []
    pairs = list(next(iter(judgements.values())).correlation)
    text = (
        "Rank correlation with the true mIoU over all runs but the oracles'. Then what choosing the run with the highest score "
        "costs: points of mIoU lost, and how often it was the best run, or within a point of it."
    )
    choices = [f"{what}: {part}" for what in ("all runs", "methods of a seed") for part in ("points lost", "wins")]
    lines = (
        [
            score,
            *(_number(value, ".2f") for value in (*one.correlation.values(), one.mean_correlation)),
            *_choice_cells(one.among_all),
            *_choice_cells(one.among_methods),
        ]
        for score, one in judgements.items()
    )
    return ["### Label-free scores", "", text, "", *_table(["score", *pairs, "mean", *choices], lines)]


def _choice_cells(choices: Choices) -> list[str]:
    if not choices.number:
        return ["-", "-"]
    return [f"{choices.lost:.1f}", f"{choices.best}, {choices.near} of {choices.number}"]


def spread(values: np.ndarray) -> str:
    """Format values (n,) as 'mean ± standard deviation', the latter from two values on."""
    return f"{values.mean():.1f}" + (f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else "")


def _points(value: float) -> str:
    """Format a difference with its sign; what rounds to nothing is +0.0."""
    return f"{round(float(value), 1) + 0.0:+.1f}"


def _between(limits: Interval | None, how: str = ".1f") -> str:
    return "-" if limits is None else f"{limits[0]:{how}} to {limits[1]:{how}}"


def _number(value: float | None, how: str) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:{how}}"
