"""Draw the gap of a pair: colours of both domains before and after alignment, classes of the source, and what is chosen."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from rsuda.core.display import OWN_PICTURE, printable
from rsuda.data.statistics.colour_sample import ColourSample
from rsuda.info.gap_measure import Gap

SOURCE, TARGET = "#b35900", "#0a6ebd"
_MOST_BANDS, _BINS, _MOST_CLASSES = 6, 64, 14
_LINES: tuple[Any, ...] = ("-", "--", ":", "-.")  # of several sources
_COLOURS = {"low": "#1a7f37", "moderate": "#9a6700", "high": "#c21f2e"}
_STYLE: Any = {
    "font.size": 9,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "text.parse_math": False,
}


def draw_gap(gap: Gap, file: Path) -> None:
    """Draw a gap as a PNG; of more than six bands the first six."""
    bands = min(len(gap.target.bands), _MOST_BANDS)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(max(8.6, 2.6 * bands), 7.4), layout="constrained")
        parts: Any = figure.subfigures(2, 1, height_ratios=(1.45, 1), hspace=0.03)
        top, bottom = parts
        axes = top.subplots(2, bands, squeeze=False)
        for band in range(bands):
            _panel(axes[0][band], gap, band, fed=False)
            _panel(axes[1][band], gap, band, fed=True)
            axes[0][band].set_title(_band_title(gap, band))
        by_domain = gap.alignment.standardise == "domain"
        axes[0][0].set_ylabel("values of the files")
        axes[1][0].set_ylabel("standardised by domain" if by_domain else "on the scale 0 to 1")
        top.suptitle(_title(gap), fontsize=11)
        _legend(top, gap)
        left, right = bottom.subfigures(1, 2, width_ratios=(1, 1.75))
        _classes(left.subplots(), gap)
        _words(right, gap)
        figure.savefig(file, dpi=130, format="png", metadata={"Software": None, OWN_PICTURE: "gap of two domains"})


def _title(gap: Gap) -> str:
    sources = " + ".join(name for name, _ in gap.look.groups)
    gsd_text = "each scene's own GSD" if gap.gsd is None else f"{gap.gsd:g} m"
    return printable(f"{sources} → {gap.look.target.name}, read at {gsd_text}")


def _band_title(gap: Gap, band: int) -> str:
    names = dict.fromkeys((gap.sources[0].bands[band], gap.target.bands[band]))
    return printable(" for ".join(names))


def _legend(figure: Any, gap: Gap) -> None:
    handles = [
        *(Line2D([], [], color=SOURCE, linestyle=_LINES[number % len(_LINES)]) for number in range(len(gap.sources))),
        Line2D([], [], color=TARGET),
    ]
    names = [*(f"{name} (source)" for name, _ in gap.look.groups), f"{gap.look.target.name} (target)"]
    figure.legend(handles, [printable(name) for name in names], loc="outside lower center", ncols=4, frameon=False)


def _histogram(sample: ColourSample, band: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute the edges, in raw values, and the density of a band's histogram.

    Bins of integers are whole numbers wide, or some would hold more values.
    """
    values = sample.pixels[band].astype(np.float64)
    low, high = (float(end) for end in np.percentile(values, (0.1, 99.9)))
    if (values == np.floor(values)).all():
        width = max(1, round((high - low + 1) / _BINS))
        edges = np.arange(low // width * width, high + 1 + width, width)
    else:
        edges = np.linspace(low, max(high, low + 1e-6), _BINS + 1)
    return edges, np.histogram(values.clip(low, high), edges, density=True)[0]


def _panel(axes: Any, gap: Gap, band: int, *, fed: bool) -> None:
    """Draw the densities of one band in each source and in the target, in raw values or as the model is fed."""
    colours = [(sample, SOURCE, _LINES[number % len(_LINES)]) for number, sample in enumerate(gap.sources)]
    ends = []
    for sample, colour, line in [*colours, (gap.target, TARGET, "-")]:
        edges, density = _histogram(sample, band)
        if fed:
            places = _as_fed(gap, sample, band, edges)
            density = density * (edges[1] - edges[0]) / (places[1] - places[0])
            edges = places
        axes.stairs(density, edges, fill=True, color=colour, alpha=0.15)
        axes.stairs(density, edges, color=colour, linestyle=line, linewidth=1.3)
        ends += [edges[0], edges[-1]]
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlim(min(ends), max(ends))
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))


def _as_fed(gap: Gap, sample: ColourSample, band: int, raw: np.ndarray) -> np.ndarray:
    """Convert raw values of a band to the scale of the model's input."""
    unit = (raw - sample.low[band]) / (sample.high[band] - sample.low[band])
    if gap.alignment.standardise != "domain":
        return unit
    values: np.ndarray = (unit - sample.mean[band]) / sample.deviation[band]
    return values


def _classes(axes: Any, gap: Gap) -> None:
    """Draw the class shares of the source, the largest first."""
    colours = dict(zip(gap.legend.names, gap.legend.palette, strict=True))
    shares = sorted(gap.class_shares.items(), key=lambda entry: -entry[1])[:_MOST_CLASSES]
    for place, (name, share) in enumerate(shares):
        axes.barh(place, 100 * share, color=[part / 255 for part in colours[name]], edgecolor="0.35", linewidth=0.6)
        axes.annotate(f" {share:.1%}", (100 * share, place), va="center", fontsize=8)
    axes.set_yticks(range(len(shares)), [printable(name) for name, _ in shares])
    axes.invert_yaxis()
    axes.set_xlim(0, 120 * max(share for _, share in shares))
    axes.set_xlabel("% of the labelled pixels")
    axes.set_title("classes of the source", loc="left", weight="bold")
    axes.tick_params(left=False)


def _words(figure: Any, gap: Gap) -> None:
    """Write the settings that are chosen and the expected risk."""
    axes = figure.subplots()
    axes.set_axis_off()
    lines = [("what adapt chooses", "black", "bold"), *((note, "0.15", "normal") for note in gap.alignment.notes)]
    lines.append((f"expected risk by a rule of thumb: {gap.risk.level}", _COLOURS[gap.risk.level], "bold"))
    lines += [(f"{reason.level}: {reason.text}", _COLOURS[reason.level], "normal") for reason in gap.risk.reasons]
    height = 1.1
    for text, colour, weight in lines:
        paragraph = fill(printable(text), 88, subsequent_indent="   ")
        height -= 0.05 if weight == "bold" else 0
        axes.text(0, height, paragraph, color=colour, weight=weight, fontsize=9, va="top", transform=axes.transAxes)
        height -= 0.078 * (1 + paragraph.count("\n"))
