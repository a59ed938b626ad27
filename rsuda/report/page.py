"""Render the page: fill and escape the templates, inline style and script, load nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib.resources import files

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rsuda.core.legend import Legend
from rsuda.data.domains.domain import Domain
from rsuda.evaluation.metrics import Scores
from rsuda.report.annotation import Overview, SuggestedWindow
from rsuda.report.curves import Curve, Key
from rsuda.report.examples import Patch
from rsuda.report.features import Features
from rsuda.report.histograms import Band
from rsuda.report.map_accuracy import MapAccuracy
from rsuda.report.runs import ReportRun
from rsuda.report.scene_map import SceneMap
from rsuda.report.scores import Quality
from rsuda.report.setup import Fact
from rsuda.report.summary import Finding
from rsuda.report.views import RunView

MISSING = "\N{EN DASH}"
MOST_BYTES = 8_000_000  # so that the page can be sent by mail

Chart = tuple[Curve, list[Key]]


@dataclass(frozen=True)
class Page:
    """Everything that the templates show, by the names that they use.

    Attributes:
        runs, views, quality, label_free: one entry a run, in the order of the command.
        before, after: indices of the compared runs; without a source-only run ``before`` has the value None.
        order: indices of the runs as tables list them.
        source: name of the source domain; ``target`` the target domain.
        labelled: whether the target has labels; ``split`` and ``scenes`` of ``scenes_total`` were predicted.
        differences: settings beside the method in which before and after differ.
        confusions: (index of a run, (K, K) shares of each label's pixels).
        opening: window at the top of the page, with its image and its maps before and after.
        windows_file: name of the GeoPackage beside the page; '' without one.
        no_suggestions: why no window is suggested.
        accuracy: of a map, by labelled points; None without an assessment.
    """

    title: str
    findings: Sequence[Finding]
    runs: Sequence[ReportRun]
    views: Sequence[RunView]
    quality: Sequence[Quality]
    label_free: Sequence[dict[str, float]]
    before: int | None
    after: int
    order: Sequence[int]
    legend: Legend
    source: str
    target: Domain
    labelled: bool
    split: str
    scenes: int
    scenes_total: int
    differences: Sequence[str]
    facts: Sequence[Fact]
    options: Sequence[dict[str, str]]
    versions: str
    losses: Sequence[Sequence[Curve]]
    trust: Sequence[Curve | None]
    metric: Chart | None
    by_class: Chart | None
    reliability: Chart | None
    opening: Patch | None
    target_patches: Sequence[Patch]
    source_patches: Sequence[Patch]
    features: Sequence[Features]
    bands: Sequence[Band]
    suggestions: Sequence[SuggestedWindow]
    overviews: Sequence[Overview]
    no_suggestions: str
    windows_file: str
    scene_map: SceneMap | None
    accuracy: MapAccuracy | None
    confusions: Sequence[tuple[int, np.ndarray]]
    without_clutter: Sequence[Scores | None]


def render(page: Page) -> str:
    """Return the page's HTML. Every value is escaped except the drawings of ``svg.py``."""
    environment = Environment(
        loader=PackageLoader("rsuda.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "points": points, "area": area, "fixed": fixed, "hex": hexadecimal}
    templates = files("rsuda.report") / "templates"
    inline = {name: Markup((templates / f"page.{name}").read_text(encoding="utf-8")) for name in ("css", "js")}
    values = {field.name: getattr(page, field.name) for field in fields(page)}
    return environment.get_template("page.html").render(**values, **inline)


def percent(value: float | None, digits: int = 1) -> str:
    """Format 0..1 as percent; a dash for a missing score."""
    return MISSING if value is None or value != value else f"{100 * value:.{digits}f}"


def points(value: float | None) -> str:
    """Format a difference of 0..1 in points, with its sign."""
    return MISSING if value is None or value != value else f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")


def fixed(value: float | None, digits: int = 2) -> str:
    """Format a number with fixed digits; a dash for a missing one."""
    return MISSING if value is None or value != value else f"{value:.{digits}f}"


def area(metres: float, largest: float) -> str:
    """Format square metres in the unit that fits the largest area of a table."""
    unit, factor, digits = ("km²", 1e-6, 2) if largest >= 2e6 else ("ha", 1e-4, 2) if largest >= 2e4 else ("m²", 1.0, 0)
    return f"{metres * factor:,.{digits}f} {unit}"


def hexadecimal(colour: tuple[int, int, int]) -> str:
    """Format a colour as '#rrggbb'."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
