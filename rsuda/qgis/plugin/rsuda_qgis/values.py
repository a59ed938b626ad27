"""Read the values of parameters as a command line needs them: paths, numbers, words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProviderRegistry,
    QgsRasterLayer,
    QgsVectorLayer,
)


@dataclass(frozen=True)
class Request:
    """The values of the parameters of one run of an algorithm."""

    algorithm: QgsProcessingAlgorithm
    parameters: dict[str, Any]
    context: QgsProcessingContext
    feedback: QgsProcessingFeedback

    def has(self, name: str) -> bool:
        """Tell whether a parameter has a value."""
        value = self.parameters.get(name)
        return value is not None and value != ""


def raster(request: Request, name: str) -> str | None:
    """Return what GDAL opens for a raster layer."""
    layer = raster_layer(request, name)
    return None if layer is None else raster_source(layer)


def raster_layer(request: Request, name: str) -> QgsRasterLayer | None:
    """Return a raster layer. Raises QgsProcessingException for one that cannot be loaded."""
    if not request.has(name):
        return None
    algorithm = request.algorithm
    layer = algorithm.parameterAsRasterLayer(request.parameters, name, request.context)
    if layer is None:
        raise QgsProcessingException(algorithm.invalidRasterError(request.parameters, name))
    return layer


def raster_source(layer: QgsRasterLayer) -> str:
    """Return a layer's file or address. Raises QgsProcessingException for a layer that GDAL does not read."""
    provider = layer.dataProvider().name()
    if provider != "gdal":
        raise QgsProcessingException(
            f"the layer '{layer.name()}' comes from the provider {provider}, which rsuda cannot read: export it as a "
            "GeoTIFF first (layer menu, Export > Save As, raw data)"
        )
    return str(layer.source())


def vector_file(request: Request, name: str) -> str | None:
    """Return the file of a vector layer. Raises QgsProcessingException for a layer without a file, or with unsaved edits."""
    if not request.has(name):
        return None
    algorithm = request.algorithm
    layer = algorithm.parameterAsVectorLayer(request.parameters, name, request.context)
    if layer is None:
        raise QgsProcessingException(algorithm.invalidSourceError(request.parameters, name))
    path = _path(layer)
    if not path:
        raise QgsProcessingException(
            f"the layer '{layer.name()}' has no file: save it as a GeoPackage first (Export > Save Features As)"
        )
    return path


def _path(layer: QgsVectorLayer) -> str:
    if layer.dataProvider().name() != "ogr":
        return ""
    parts = QgsProviderRegistry.instance().decodeUri("ogr", layer.source())
    return str(parts.get("path") or "")


def features(request: Request, name: str) -> str | None:
    """Return a file of a layer's features: its own, or a temporary one for a selection or a layer without a file."""
    if not request.has(name):
        return None
    return str(
        request.algorithm.parameterAsCompatibleSourceLayerPath(
            request.parameters, name, request.context, ["gpkg", "geojson", "shp"], "gpkg", request.feedback
        )
    )


def rectangle(request: Request, name: str, of: str) -> tuple[float, float, float, float] | None:
    """Return (left, bottom, right, top) in the CRS of the raster layer ``of``."""
    layer = raster_layer(request, of)
    if layer is None or not request.has(name):
        return None
    box = request.algorithm.parameterAsExtent(request.parameters, name, request.context, layer.crs())
    return box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()


def text(request: Request, name: str) -> str:
    """Return a text, or a file or folder as it was typed; '' without one."""
    return str(request.algorithm.parameterAsString(request.parameters, name, request.context)).strip()


def words(request: Request, name: str) -> list[str]:
    """Return the parts of a text between commas."""
    return [part.strip() for part in text(request, name).split(",") if part.strip()]


def choice(request: Request, name: str) -> str | None:
    """Return the chosen word."""
    if not _has_value(request, name):
        return None
    return str(request.algorithm.parameterAsEnumString(request.parameters, name, request.context))


def number(request: Request, name: str) -> float | None:
    """Return a number; None for an empty field."""
    if not _has_value(request, name):
        return None
    return float(request.algorithm.parameterAsDouble(request.parameters, name, request.context))


def integer(request: Request, name: str) -> int | None:
    """Return an integer; None for an empty field."""
    if not _has_value(request, name):
        return None
    return int(request.algorithm.parameterAsInt(request.parameters, name, request.context))


def _has_value(request: Request, name: str) -> bool:
    definition = request.algorithm.parameterDefinition(name)
    return request.has(name) or definition.defaultValue() is not None


def switch(request: Request, name: str) -> bool:
    """Return whether a box is ticked."""
    return bool(request.algorithm.parameterAsBoolean(request.parameters, name, request.context))


def crs(request: Request, name: str) -> str | None:
    """Return a CRS as AUTHORITY:CODE, or as WKT where it has no code."""
    system = request.algorithm.parameterAsCrs(request.parameters, name, request.context)
    if not system.isValid():
        return None
    return str(system.authid() or system.toWkt())


def crs_of_layer_alone(request: Request, name: str) -> str | None:
    """Return the CRS that the user has set for a raster layer whose file has none."""
    layer = raster_layer(request, name)
    if layer is None or layer.dataProvider().crs().isValid() or not layer.crs().isValid():
        return None
    return str(layer.crs().authid() or layer.crs().toWkt())


def out_layer(request: Request, name: str) -> str:
    """Return the file that a layer is written to."""
    return str(request.algorithm.parameterAsOutputLayer(request.parameters, name, request.context))


def out_file(request: Request, name: str) -> str:
    """Return a file or folder that is written; '' where none is wanted."""
    return str(request.algorithm.parameterAsFileOutput(request.parameters, name, request.context))
