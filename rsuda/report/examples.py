"""Show windows of both domains as every run predicts them, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rsuda.core.legend import IGNORE, Legend
from rsuda.geo.scenes.scene import Scene
from rsuda.report.images import class_mask, confidence_map, error_map, photo
from rsuda.report.runs import ReportRun
from rsuda.report.views import DomainView, RunView, Window, draw_windows

CANDIDATES = 24  # random windows among which the shown ones are chosen


@dataclass(frozen=True)
class Picture:
    """A picture of a window.

    Attributes:
        key: unique among the window's pictures.
        title: for people.
        image: data URI.
    """

    key: str
    title: str
    image: str


@dataclass(frozen=True)
class Patch:
    """A shown window.

    Attributes:
        why: the reason why it was chosen.
        place: domain, scene, row and column.
        accuracy: the compared runs' accuracies in it, or mean confidences, in words.
        left, right: keys of the pictures that the slider starts with.
        side: pixels; ``metres`` its length on the ground.
    """

    why: str
    place: str
    accuracy: str
    pictures: tuple[Picture, ...]
    left: str
    right: str
    side: int
    metres: float


@dataclass(frozen=True)
class _Result:
    """A window with every run's prediction, (side, side) each."""

    window: Window
    unit: np.ndarray
    valid: np.ndarray
    label: np.ndarray | None
    classes: list[np.ndarray]  # by run
    confidence: list[np.ndarray]

    def accuracy(self, run: int) -> float:
        """Return the share of labelled pixels that a run predicts correctly; nan without labelled pixels."""
        assert self.label is not None
        use = self.label != IGNORE
        return float((self.classes[run][use] == self.label[use]).mean()) if use.any() else float("nan")

    def mean_confidence(self, run: int) -> float:
        return float(self.confidence[run][self.valid].mean()) if self.valid.any() else float("nan")


def target_patches(
    views: Sequence[RunView], scenes: Sequence[Scene], before: int | None, after: int, *, labelled: bool
) -> list[Patch]:
    """Show windows of the target: where adapting helped most and harmed most, where errors are largest, and a median one.

    Without labels: where the model is least, median and most confident.
    """
    domain, view = views[0].target_domain, views[after].target
    windows = draw_windows(scenes, view.gsd, CANDIDATES, seed=0)
    legend = domain.legend if labelled else None
    results = [_predict(window, [run.target for run in views], legend, after) for window in windows]
    results = [result for result in results if result.valid.mean() > 0.5]
    if labelled:
        results = [result for result in results if result.label is not None and np.mean(result.label != IGNORE) > 0.5]
    choice = _choose(results, before, after, labelled=labelled)
    runs = [run.run for run in views]
    return [_patch(result, why, domain.name, runs, before, after, view) for result, why in choice]


def opening(patches: Sequence[Patch], runs: Sequence[ReportRun], before: int | None, after: int) -> Patch | None:
    """Choose the median window for the top of the page, with its image and its maps before and after.

    None without windows.
    """
    if not patches:
        return None
    patch = next((patch for patch in patches if "median" in patch.why), patches[0])
    titles = {"image": "image", f"map-{after}": runs[after].name if before is None else f"after: {runs[after].name}"}
    if before is not None:
        titles[f"map-{before}"] = f"before: {runs[before].name}"
    pictures = [replace(part, title=titles[part.key]) for part in patch.pictures if part.key in titles]
    return replace(patch, pictures=tuple(pictures))


def source_patches(views: Sequence[RunView], before: int | None, after: int, number: int = 2) -> list[Patch]:
    """Show random windows of the source that contain several classes; none where a run lacks the source's data."""
    domain, split = views[after].source_domain, views[after].run.settings.source.split
    sources = [view.source for view in views if view.source is not None]
    if domain is None or len(sources) < len(views):
        return []
    windows = draw_windows(domain.labelled(split), sources[after].gsd, 8, seed=1)
    results = [_predict(window, sources, domain.legend, after) for window in windows]
    results = list({_position(result): result for result in reversed(results)}.values())[::-1]  # different ones
    results.sort(key=lambda result: -_class_count(result))
    runs = [view.run for view in views]
    return [
        _patch(result, "with many classes", domain.name, runs, before, after, sources[after])
        for result in results[:number]
        if result.valid.any()
    ]


def _position(result: _Result) -> tuple[str, int, int]:
    return result.window.scene.name, result.window.row, result.window.col


def _class_count(result: _Result) -> int:
    return 0 if result.label is None else len(np.unique(result.label[result.label != IGNORE]))


def _predict(window: Window, views: Sequence[DomainView], legend: Legend | None, after: int) -> _Result:
    """Predict a window by all runs, on the pixels of the run ``after``; ``legend`` reads its label, if there is one."""
    view = views[after]
    unit, valid = view.pixels(window)
    side, label = min(unit.shape[1:]), None
    unit, valid = unit[:, :side, :side], valid[:side, :side]
    if legend is not None:
        row, col, *_ = window.at(view.gsd)
        label = window.scene.read_label(legend, view.gsd, (row, col, side, side))[0]
        label = view.spec.legend.mapping_from(legend)[label]
    probabilities = [other.probabilities(window, side) for other in views]
    classes = [np.where(valid, scores.argmax(0), IGNORE).astype(np.uint8) for scores in probabilities]
    return _Result(window, unit, valid, label, classes, [scores.max(0) for scores in probabilities])


def _choose(results: list[_Result], before: int | None, after: int, *, labelled: bool) -> list[tuple[_Result, str]]:
    """Choose different windows, each with the reason for it."""
    if not results:
        return []
    if labelled:
        reasons = _by_accuracy(results, before, after)
    else:
        order = sorted(results, key=lambda result: result.mean_confidence(after))
        reasons = [
            (order[0], "least confident"),
            (order[len(order) // 2], "median confidence"),
            (order[-1], "most confident"),
        ]
    windows_with_reasons: dict[tuple[str, int, int], tuple[_Result, list[str]]] = {}
    for result, reason in reasons:  # a scene that is smaller than a window gives equal ones
        windows_with_reasons.setdefault(_position(result), (result, []))[1].append(reason)
    return [
        (result, f"{' and '.join(words)}, of {len(results)} random windows")
        for result, words in windows_with_reasons.values()
    ]


def _by_accuracy(results: list[_Result], before: int | None, after: int) -> list[tuple[_Result, str]]:
    order = sorted(results, key=lambda result: result.accuracy(after))
    reasons = [(order[0], "largest errors"), (order[len(order) // 2], "median accuracy")]
    if before is None:
        return [*reasons, (order[-1], "smallest errors")]

    def gain(result: _Result) -> float:
        return result.accuracy(after) - result.accuracy(before)

    by_gain = sorted(results, key=gain)
    if gain(by_gain[0]) < 0:
        reasons.insert(0, (by_gain[0], "adapting harmed most"))
    if gain(by_gain[-1]) > 0:
        reasons.insert(0, (by_gain[-1], "adapting helped most"))
    return reasons


def _patch(
    result: _Result,
    why: str,
    domain: str,
    runs: Sequence[ReportRun],
    before: int | None,
    after: int,
    view: DomainView,
) -> Patch:
    main_runs = [i for i in (before, after) if i is not None]
    order = [*main_runs, *(i for i in range(len(runs)) if i not in main_runs)]
    kind, value = (
        ("right", result.accuracy) if result.label is not None else ("mean confidence", result.mean_confidence)
    )
    accuracy = ", ".join(f"{runs[i].name} {100 * value(i):.0f}\N{NO-BREAK SPACE}%" for i in main_runs)
    window, side = result.window, result.valid.shape[0]
    return Patch(
        why,
        f"{domain}, scene {window.scene.name}, row {window.row}, column {window.col}",
        f"{kind}: {accuracy}",
        tuple(_pictures(result, runs, order, before, view)),
        f"map-{before}" if before is not None else "image",
        f"map-{after}",
        side,
        side * (view.gsd or sum(window.scene.gsd) / 2),
    )


def _pictures(
    result: _Result, runs: Sequence[ReportRun], order: Sequence[int], before: int | None, view: DomainView
) -> Iterator[Picture]:
    legend = view.spec.legend
    bands = view.spec.bands[:3] if len(view.spec.bands) >= 3 else view.spec.bands[:1]
    yield Picture("image", f"image ({', '.join(bands)})", photo(result.unit, result.valid))
    if result.label is not None:
        yield Picture("label", "label", class_mask(result.label, legend))
    for i in order:
        name, classes = runs[i].name, result.classes[i]
        yield Picture(f"map-{i}", name, class_mask(classes, legend))
        if i != before:
            yield Picture(f"confidence-{i}", f"confidence, {name}", confidence_map(result.confidence[i], len(legend)))
        if result.label is not None:
            yield Picture(f"error-{i}", f"errors, {name}", error_map(classes, result.label))
