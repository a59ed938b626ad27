"""The algorithm of ``rsuda info``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingException

from rsuda_qgis import parameters
from rsuda_qgis.algorithm import CommandAlgorithm
from rsuda_qgis.facts_page import facts_page
from rsuda_qgis.parameters import Option
from rsuda_qgis.values import Request, switch

_EXISTS = "{} exists: tick 'Replace existing files', or choose another file"


class Info(CommandAlgorithm):
    """Describe a raster, a run or a domain."""

    command = "info"
    title = "Describe a raster, run or domain"
    section = "Judge"
    about = (
        "Describes a raster (bands, metres per pixel, values, nodata), a run (classes, bands, settings, scores) or a domain "
        "(scenes, splits, classes). It lists warnings.",
        "With a raster and a run it says whether the model fits the raster. The page opens in the viewer of results.",
    )

    def options(self) -> list[Option]:
        """Return the parameters."""
        return [
            parameters.raster("INPUT", "Raster", optional=True),
            parameters.file(
                "WHAT", "Or a run or domain", "", "Domain file; or type the folder of a run, or a name.", optional=True
            ),
            parameters.run("Run whose model the raster is to fit", optional=True),
            parameters.data(),
            parameters.text(
                "BANDS", "Band order", "--bands", "For a file that does not name its bands, such as RGBIR."
            ),
            parameters.number(
                "GSD", "Metres per pixel of a raster without a georeference", "--gsd", low=0, advanced=True
            ),
            parameters.number("NODATA", "Value of pixels without data", "--nodata", advanced=True),
            parameters.crs("INPUT"),
            parameters.switch("OVERWRITE", "Replace an existing page", None),
            parameters.page("Page"),
        ]

    def checkParameterValues(  # noqa: N802 - QGIS calls it
        self, parameters: dict[str, Any], context: QgsProcessingContext
    ) -> tuple[bool, str]:
        """Check that one thing is to be described."""
        inputs = [name for name in ("INPUT", "WHAT") if parameters.get(name) not in (None, "")]
        if len(inputs) != 1:
            return False, "choose a raster, or a run or domain: one of the two"
        return super().checkParameterValues(parameters, context)

    def finish(self, answer: Any, request: Request) -> dict[str, Any]:
        """Write the page."""
        path = Path(str(self.parameterAsFileOutput(request.parameters, "OUTPUT", request.context)))
        if path.exists() and not switch(request, "OVERWRITE"):
            raise QgsProcessingException(_EXISTS.format(path))
        warnings = [self.labelled(str(sentence)) for sentence in answer.get("warnings") or []]
        temporary = path.with_name(f".{path.name}.part")
        temporary.write_text(facts_page({**answer, "warnings": warnings}), encoding="utf-8")
        os.replace(temporary, path)
        for sentence in warnings:
            request.feedback.pushWarning(sentence)
        return {"OUTPUT": str(path)}
