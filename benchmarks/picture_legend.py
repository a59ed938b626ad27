"""Place the legend of a picture below its panels, in as many columns as its width holds."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.patches import Patch

MARGIN = 0.05  # inches around the legend


def legend_below(figure: Figure, colours: Mapping[str, object], fontsize: float) -> None:
    """Draw a legend of class colours at the bottom and give the rest of the figure, its axes, to the panels."""
    handles = [Patch(facecolor=colour, edgecolor="grey", label=name) for name, colour in colours.items()]
    width, height = figure.get_size_inches()
    for columns in range(len(handles), 0, -1):
        legend = figure.legend(
            handles=handles,
            loc="lower center",
            ncols=columns,
            frameon=False,
            fontsize=fontsize,
            borderpad=0,
            columnspacing=1.4,
            bbox_to_anchor=(0.5, MARGIN / height),
        )
        size = legend.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
        if size.width <= width - 2 * MARGIN or columns == 1:
            break
        legend.remove()
    top = 1 - 3 * MARGIN / height  # panels without an axis leave no room for their titles
    figure.tight_layout(rect=(0, (size.height + 2 * MARGIN) / height, 1, top))
