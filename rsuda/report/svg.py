"""Draw charts as inline SVG.

Placeholder colours become variables of the page's style sheet, so that one drawing serves light and dark mode. No text of a
file enters a drawing.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# placeholder -> variable of style.css
VARIABLES = {
    "#010203": "--ink",
    "#010204": "--muted",
    "#010205": "--line",
    "#010206": "--before",
    "#010207": "--after",
    "#010208": "--source",
    "#010209": "--target",
    "#01020a": "--card",
}
INK, MUTED, LINE, BEFORE, AFTER, SOURCE, TARGET, CARD = VARIABLES
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "axes.linewidth": 0.8,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "axes.axisbelow": True,
    "path.simplify": True,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
}

Series = tuple[Sequence[float], Sequence[float], str, str]  # x, y, colour, line style


def curves(
    series: Sequence[Series], size: tuple[float, float] = (3.0, 1.7), *, percent: bool = False, zero: bool = False
) -> Markup:
    """Draw lines over steps.

    Args:
        size: width and height in inches.
        percent: show values 0..1 as percent, from 0.
        zero: begin the axis at 0.
    """

    def draw(axes: Any) -> None:
        top = 0.0
        for x, y, colour, style in series:
            values = np.array(y, float) * (100 if percent else 1)
            top = max(top, float(np.nanmax(values)) if np.isfinite(values).any() else 0.0)
            marker = {"marker": "o", "markersize": 3} if len(values) < 12 else {}
            if colour not in VARIABLES:  # a class's own colour may be that of the page
                axes.plot(x, values, color=MUTED, linewidth=2.8, linestyle=style)
            axes.plot(x, values, color=colour, linestyle=style, **marker)
        if percent or zero:
            axes.set_ylim(0, max(top * 1.08, 1e-3))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlabel("step")

    return _drawn(draw, size)


def histogram(edges: np.ndarray, source: np.ndarray | None, target: np.ndarray) -> Markup:
    """Draw the densities of a band's values in both domains, on common bin edges."""

    def draw(axes: Any) -> None:
        for density, colour, style in ((source, SOURCE, "--"), (target, TARGET, "-")):
            if density is not None:
                axes.stairs(density, edges, fill=True, color=colour, alpha=0.18)
                axes.stairs(density, edges, color=colour, linewidth=1.5, linestyle=style)
        axes.set_yticks([])
        axes.grid(False)
        axes.spines["left"].set_visible(False)
        axes.set_xlim(edges[0], edges[-1])
        axes.xaxis.set_major_locator(MaxNLocator(5))

    return _drawn(draw, (3.0, 1.4))


def scatter(
    groups: Sequence[tuple[np.ndarray, tuple[int, int, int], str]], limits: tuple[np.ndarray, np.ndarray]
) -> Markup:
    """Draw groups of points (n, 2) with colour and domain: 'source' as circles, 'target' as triangles."""

    def draw(axes: Any) -> None:
        for points, colour, domain in groups:
            axes.scatter(
                points[:, 0],
                points[:, 1],
                s=13,
                marker="o" if domain == "source" else "^",
                color=[value / 255 for value in colour],
                edgecolors=MUTED,
                linewidths=0.35,
                alpha=0.85,
                gid=f"of-{domain}",
            )
        (left, right), (low, high) = limits[0][[0, 1]], limits[1][[0, 1]]
        axes.set_xlim(left, right)
        axes.set_ylim(low, high)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(False)
        for spine in axes.spines.values():
            spine.set_visible(True)

    return _drawn(draw, (3.4, 2.9))


def reliability(runs: Sequence[tuple[Sequence[tuple[float, float, float]], str, str]]) -> Markup:
    """Draw reliability diagrams: accuracy over confidence, with the diagonal of honest confidence.

    Args:
        runs: (confidence, accuracy, share of all pixels) of each bin, colour and line style of each run. The area of a point
            is the share of pixels.
    """

    def draw(axes: Any) -> None:
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=0.9, linestyle=":")
        for bins, colour, style in runs:
            confidence, accuracy, share = np.array(bins).T
            axes.plot(100 * confidence, 100 * accuracy, color=colour, linestyle=style, linewidth=1.2)
            axes.scatter(
                100 * confidence, 100 * accuracy, s=4 + 260 * share, color=colour, alpha=0.75, linewidths=0, zorder=3
            )
        axes.set_xlim(0, 103)
        axes.set_ylim(0, 103)
        axes.set_aspect("equal")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel("confidence, percent")
        axes.set_ylabel("accuracy, percent")

    return _drawn(draw, (3.4, 3.1))


def _drawn(draw: Any, size: tuple[float, float]) -> Markup:
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": "rsuda"}):
        figure = Figure(figsize=size, layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        draw(axes)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return Markup(_themed(stream.getvalue()))


def _themed(svg: str) -> str:
    """Return the <svg> element with unique ids, hidden from screen readers, since a table has the same content."""
    prefix = f"c{zlib.crc32(svg.encode()):x}-"
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.S)
    svg = re.sub(r'id="of-(\w+)"', r'class="of-\1"', svg)
    svg = re.sub(r'(id="|url\(#|xlink:href="#|href="#)', rf"\g<1>{prefix}", svg)
    svg = re.sub(r"font: (\d+\.?\d*)px[^;\"]*", r"font-size: \1px", svg)
    for placeholder, variable in VARIABLES.items():
        svg = svg.replace(placeholder, f"var({variable})")
    svg = re.sub(r"(\.\d\d)\d+", r"\1", svg)  # a hundredth of a point is enough
    return re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', 'aria-hidden="true" focusable="false"', svg, count=1)
