"""The algorithm of ``rsuda change``."""

from __future__ import annotations

import os
from typing import Any

from qgis.core import (
    QgsProcessingOutputDefinition,
    QgsProcessingOutputNumber,
    QgsProcessingOutputRasterLayer,
    QgsProcessingOutputVectorLayer,
)

from rsuda_qgis import parameters
from rsuda_qgis.algorithm import CommandAlgorithm
from rsuda_qgis.layers import RASTER, VECTOR, load_layer
from rsuda_qgis.parameters import Option
from rsuda_qgis.values import Request


class Change(CommandAlgorithm):
    """Compare two maps."""

    command = "change"
    title = "Change between two maps"
    section = "Map"
    about = (
        "Compares two maps of one legend: a raster and polygons of what changed into what, and a table of areas.",
        "The difference of two maps holds the errors of both. To get areas of change with intervals, draw a sample of the raster "
        "of changes, label it, and assess it.",
    )

    def options(self) -> list[Option]:
        """Return the parameters."""
        return [
            parameters.raster("FIRST", "Earlier map"),
            parameters.raster("SECOND", "Later map"),
            parameters.number("MIN_AREA", "Least area of a polygon (m²)", "--min-area", default=0, low=0),
            parameters.legend(),
            parameters.crs("FIRST"),
            parameters.overwrite(),
            parameters.out_folder("Folder of the changes"),
        ]

    def outputs(self) -> list[QgsProcessingOutputDefinition]:
        """Return the layers, and the share of the area that changed."""
        return [
            QgsProcessingOutputRasterLayer("CLASSES", "Changes"),
            QgsProcessingOutputVectorLayer("POLYGONS", "Polygons of changes"),
            QgsProcessingOutputNumber("CHANGED", "Changed share of the area, 0 to 1"),
        ]

    def finish(self, answer: Any, request: Request) -> dict[str, Any]:
        """Load the layers."""
        folder = answer["folder"]
        names = {"CLASSES": ("change_classes.tif", RASTER), "POLYGONS": ("change_polygons.gpkg", VECTOR)}
        files = {output: (os.path.join(folder, name), kind) for output, (name, kind) in names.items()}
        files = {output: (path, kind) for output, (path, kind) in files.items() if os.path.isfile(path)}
        for output, (path, kind) in files.items():
            load_layer(request.context, path, output, kind)
        request.feedback.pushInfo(f"{answer['changed_share']:.1%} of the area has another class, errors included.")
        paths = {output: path for output, (path, _) in files.items()}
        return {"OUTPUT": folder, "CHANGED": answer["changed_share"], **paths}
