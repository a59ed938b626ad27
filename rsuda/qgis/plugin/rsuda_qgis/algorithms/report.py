"""The algorithm of ``rsuda report``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import QgsProcessingOutputDefinition, QgsProcessingOutputVectorLayer

from rsuda_qgis import parameters
from rsuda_qgis.algorithm import CommandAlgorithm
from rsuda_qgis.layers import VECTOR, load_layer
from rsuda_qgis.parameters import Option
from rsuda_qgis.values import Request


class Report(CommandAlgorithm):
    """Write a page about runs."""

    command = "report"
    title = "Report on a run"
    section = "Judge"
    as_json = False
    about = (
        "Writes a page: did adapting help, where is the model still wrong, which windows to label next. The page works "
        "offline; open it in a browser.",
        "With the run of source-only on the same domains, before and after are compared.",
    )

    def options(self) -> list[Option]:
        """Return the parameters."""
        return [
            parameters.run(flag=""),
            parameters.folder("BEFORE", "Run before adaptation", "", "A source-only run of the pair.", optional=True),
            parameters.raster("SCENE", "Raster to show as a map", "--scene", optional=True),
            parameters.data(),
            parameters.integer("K", "Windows to suggest", "-k", default=10, low=1, advanced=True),
            parameters.integer("SIZE", "Side of a window (px)", "--size", default=128, low=1, advanced=True),
            parameters.crs("SCENE"),
            parameters.device(),
            parameters.overwrite(),
            parameters.page("Page", "--out"),
        ]

    def outputs(self) -> list[QgsProcessingOutputDefinition]:
        """Return the windows to label next."""
        return [QgsProcessingOutputVectorLayer("WINDOWS", "Windows to label next")]

    def finish(self, answer: Any, request: Request) -> dict[str, Any]:
        """Load the windows to label next."""
        page = Path(str(self.parameterAsFileOutput(request.parameters, "OUTPUT", request.context)))
        windows = page.with_name(f"{page.stem}_windows.gpkg")
        outputs = {"OUTPUT": str(page)}
        if windows.is_file():
            outputs["WINDOWS"] = str(windows)
            load_layer(request.context, str(windows), "WINDOWS", VECTOR)
        return outputs
