"""Windows of both domains as every run sees them, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rsuda.core.legend import IGNORE
from rsuda.data.domain import Domain
from rsuda.geo.scene import Scene
from rsuda.report.images import errors, mask, photo, sureness
from rsuda.report.runs import ReportRun
from rsuda.report.views import DomainView, RunView, Window, draw_windows

CANDIDATES = 24  # windows of which those that are shown are chosen


@dataclass(frozen=True)
class View:
    """One picture of a window: ``key`` tells it from the window's others, ``title`` is for people."""

    key: str
    title: str
    image: str


@dataclass(frozen=True)
class Patch:
    """A window that is shown.

    Attributes:
        why: how it was chosen.
        place: domain, scene, row and column.
        told: the runs' accuracies in it, or mean confidences.
        left, right: keys of the views that the slider starts with.
        side: pixels; ``metres`` its length on the ground.
    """

    why: str
    place: str
    told: str
    views: tuple[View, ...]
    left: str
    right: str
    side: int
    metres: float


@dataclass(frozen=True)
class _Seen:
    window: Window
    unit: np.ndarray
    valid: np.ndarray
    label: np.ndarray | None
    classes: list[np.ndarray]  # by run
    confidence: list[np.ndarray]

    def right(self, run: int) -> float:
        """Share of the labelled pixels that a run has right; nan without any."""
        assert self.label is not None
        use = self.label != IGNORE
        return float((self.classes[run][use] == self.label[use]).mean()) if use.any() else float("nan")

    def sure(self, run: int) -> float:
        return float(self.confidence[run][self.valid].mean()) if self.valid.any() else float("nan")


def target_patches(
    eyes: Sequence[RunView], scenes: Sequence[Scene], labelled: bool, before: int | None, after: int
) -> list[Patch]:
    """Windows where adapting helped most and least, where most is wrong, and an ordinary one; without labels where the
    network is least, most and ordinarily sure."""
    domain = eyes[0].target_domain
    windows = draw_windows(scenes, eyes[after].target.gsd, CANDIDATES, seed=0)
    seen = [_see(w, [e.target for e in eyes], domain if labelled else None, after) for w in windows]
    seen = [s for s in seen if s.valid.mean() > 0.5]
    if labelled:
        seen = [s for s in seen if s.label is not None and np.mean(s.label != IGNORE) > 0.5]
    chosen = _choose(seen, labelled, before, after)
    runs = [e.run for e in eyes]
    return [_patch(s, why, domain.name, runs, before, after, eyes[after].target) for s, why in chosen]


def source_patches(eyes: Sequence[RunView], before: int | None, after: int, number: int = 2) -> list[Patch]:
    """Random windows of the source that hold several classes."""
    domain, split = eyes[after].source_domain, eyes[after].run.settings.source_split
    sights = [e.source for e in eyes]
    if domain is None or any(s is None for s in sights):
        return []
    windows = draw_windows(domain.labelled(split), sights[after].gsd, 8, seed=1)  # type: ignore[union-attr]
    seen = [_see(w, [s for s in sights if s], domain, after) for w in windows]
    seen.sort(key=lambda s: -len(np.unique(s.label[s.label != IGNORE])))  # type: ignore[index]
    runs = [e.run for e in eyes]
    sight = sights[after]
    assert sight is not None
    return [
        _patch(s, "with many classes", domain.name, runs, before, after, sight) for s in seen[:number] if s.valid.any()
    ]


def _see(window: Window, sights: Sequence[DomainView], labels: Domain | None, after: int) -> _Seen:
    """A window by all runs, on the pixels of the run ``after``."""
    unit, valid = sights[after].pixels(window)
    side, label = min(unit.shape[1:]), None
    unit, valid = unit[:, :side, :side], valid[:side, :side]
    if labels is not None:
        assert labels.legend is not None
        row, col, *_ = window.at(sights[after].gsd)
        label = window.scene.read_label(labels.legend, sights[after].gsd, (row, col, side, side))[0]
        label = sights[after].spec.legend.mapping_from(labels.legend)[label]
    found = [s.probabilities(window, side) for s in sights]
    classes = [np.where(valid, p.argmax(0), IGNORE).astype(np.uint8) for p in found]
    return _Seen(window, unit, valid, label, classes, [p.max(0) for p in found])


def _choose(seen: list[_Seen], labelled: bool, before: int | None, after: int) -> list[tuple[_Seen, str]]:
    """Different windows with the reason for each."""
    of = f"of {len(seen)} random windows"
    if not seen:
        return []
    if not labelled:
        order = sorted(seen, key=lambda s: s.sure(after))
        picks = [
            (order[0], f"least sure {of}"),
            (order[len(order) // 2], f"ordinary, {of}"),
            (order[-1], f"surest {of}"),
        ]
    else:
        worst = sorted(seen, key=lambda s: s.right(after))
        picks = [(worst[0], f"most is wrong, {of}"), (worst[len(worst) // 2], f"ordinary, {of}")]
        if before is not None:
            gain = sorted(seen, key=lambda s: s.right(after) - s.right(before))
            helped, harmed = gain[-1], gain[0]
            if helped.right(after) > helped.right(before):
                picks.insert(0, (helped, f"adapting helped most, {of}"))
            if harmed.right(after) < harmed.right(before):
                picks.insert(1, (harmed, f"adapting harmed most, {of}"))
        else:
            picks.append((worst[-1], f"most is right, {of}"))
    found: list[tuple[_Seen, str]] = []
    for s, why in picks:
        same = next((i for i, (other, _) in enumerate(found) if other is s), None)
        if same is None:
            found.append((s, why))
        else:
            found[same] = (s, f"{found[same][1].removesuffix(', ' + of)}, and {why}")
    return found


def _patch(
    s: _Seen, why: str, domain: str, runs: Sequence[ReportRun], before: int | None, after: int, sight: DomainView
) -> Patch:
    legend = sight.spec.legend
    bands = sight.spec.bands[:3] if len(sight.spec.bands) >= 3 else sight.spec.bands[:1]
    views = [View("image", f"image ({', '.join(bands)})", photo(s.unit, s.valid))]
    if s.label is not None:
        views.append(View("label", "label", mask(s.label, legend)))
    first = [i for i in (before, after) if i is not None]
    for i in [*first, *(i for i in range(len(runs)) if i not in first)]:
        views.append(View(f"map-{i}", runs[i].name, mask(s.classes[i], legend)))
        if i != before:
            views.append(View(f"sure-{i}", f"confidence, {runs[i].name}", sureness(s.confidence[i], len(legend))))
        if s.label is not None:
            views.append(View(f"error-{i}", f"errors, {runs[i].name}", errors(s.classes[i], s.label)))
    kind, value = ("right", s.right) if s.label is not None else ("mean confidence", s.sure)
    told = ", ".join(f"{runs[i].name} {100 * value(i):.0f}\N{NO-BREAK SPACE}%" for i in first)
    side = s.valid.shape[0]
    return Patch(
        why, f"{domain}, scene {s.window.scene.name}, row {s.window.row}, column {s.window.col}", f"{kind}: {told}",
        tuple(views), f"map-{before}" if before is not None else "image", f"map-{after}", side,
        side * (sight.gsd or sum(s.window.scene.gsd) / 2),
    )  # fmt: skip
