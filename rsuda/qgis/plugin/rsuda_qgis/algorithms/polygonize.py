"""The algorithm of ``rsuda polygonize``."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingOutputDefinition, QgsProcessingOutputNumber

from rsuda_qgis import parameters
from rsuda_qgis.algorithm import CommandAlgorithm
from rsuda_qgis.layers import style_layer
from rsuda_qgis.parameters import Option
from rsuda_qgis.values import Request


class Polygonize(CommandAlgorithm):
    """Convert a raster of classes to polygons."""

    command = "polygonize"
    title = "Polygons of a map"
    section = "Map"
    about = (
        "Converts a raster of classes to polygons, in seconds and without a model: a map of rsuda, or of any other program. "
        "Use it to try other values of the least area and of simplification.",
        "Neighbours share their borders: there are no gaps and no overlaps.",
    )

    def options(self) -> list[Option]:
        """Return the parameters."""
        return [
            parameters.raster("INPUT", "Raster of classes"),
            parameters.number("MIN_AREA", "Least area of a polygon (m²)", "--min-area", default=0, low=0),
            parameters.number("SIMPLIFY", "Simplify borders by (m)", "--simplify", default=0, low=0),
            parameters.area("AOI", "Only inside of these polygons", "--aoi"),
            parameters.words("REGULARISE", "Classes whose footprints are squared", "--regularise", "Such as building."),
            parameters.legend(),
            parameters.crs("INPUT"),
            parameters.overwrite(),
            parameters.out_vector("Polygons"),
        ]

    def outputs(self) -> list[QgsProcessingOutputDefinition]:
        """Return the number of polygons."""
        return [QgsProcessingOutputNumber("COUNT", "Number of polygons")]

    def finish(self, answer: Any, request: Request) -> dict[str, Any]:
        """Style the layer."""
        style_layer(request.context, answer["polygons"])
        return {"OUTPUT": answer["polygons"], "COUNT": answer["polygon_count"]}
