"""The algorithm of ``rsuda predict``."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessingException,
    QgsProcessingOutputDefinition,
    QgsProcessingOutputRasterLayer,
    QgsProcessingOutputVectorLayer,
)

from rsuda_qgis import parameters
from rsuda_qgis.algorithm import CommandAlgorithm
from rsuda_qgis.layers import RASTER, VECTOR, load_layer
from rsuda_qgis.parameters import Option
from rsuda_qgis.values import Request

FORMATS = ("gpkg", "fgb", "geojson", "parquet", "shp", "kml", "none")
_RASTERS = {"CLASSES": "raster", "CONFIDENCE": "confidence", "PROBABILITIES": "probabilities"}  # keys of the answer
_VECTORS = {"POLYGONS": "polygons", "FOOTPRINTS": "footprints"}


class Predict(CommandAlgorithm):
    """Map a raster with a trained model."""

    command = "predict"
    title = "Predict a map"
    section = "Map"
    about = (
        "Maps the classes of a raster of any size with a trained model. It writes a raster of classes and polygons, in the CRS "
        "of the raster.",
        "The files go into the output folder and are called after the raster. A finished map with the same options is used "
        "again. A cancelled map continues where it stopped when you run the algorithm again with the same folder.",
        "'Describe a raster, run or domain' shows beforehand whether raster and model fit.",
    )

    def options(self) -> list[Option]:
        """Return the parameters."""
        return [
            parameters.raster("INPUT", "Raster"),
            parameters.run(),
            parameters.number(
                "MIN_AREA",
                "Least area of a polygon (m²)",
                "--min-area",
                "Smaller patches join a neighbour.",
                default=0,
                low=0,
            ),
            parameters.number(
                "SIMPLIFY",
                "Simplify borders by (m)",
                "--simplify",
                "Borders that polygons share stay shared.",
                default=0,
                low=0,
            ),
            parameters.switch(
                "CONFIDENCE", "Write the confidence too", "--confidence", "A raster, 0 to 254 for 0 to 1."
            ),
            parameters.area("AOI", "Only inside of these polygons", "--aoi", "Such as the windows of suggest."),
            parameters.extent("BOUNDS", "Only inside of this extent", "--bounds", "INPUT"),
            *self._advanced(),
            parameters.overwrite(),
            parameters.out_folder("Folder of the map"),
        ]

    def _advanced(self) -> list[Option]:
        more: dict[str, Any] = {"advanced": True}
        statistics = "'statistics' fits the model's normalisation (batch norm) to the colours of this raster."
        return [
            parameters.choice("FORMAT", "Format of the polygons", "--format", FORMATS, default="gpkg", **more),
            parameters.words("REGULARISE", "Classes whose footprints are squared", "--regularise", "Such as building."),
            parameters.number(
                "MIN_CONFIDENCE",
                "Confidence below which a pixel is undecided",
                "--min-confidence",
                default=0,
                low=0,
                high=1,
                **more,
            ),
            parameters.choice(
                "ADAPT", "Adapt to this raster", "--adapt", ("none", "statistics"), statistics, default="none", **more
            ),
            parameters.choice(
                "TTA", "Test-time augmentation", "--tta", ("none", "flips", "all"), "Slower.", default="none", **more
            ),
            parameters.text("BANDS", "Band order", "--bands", "For files that do not name their bands, such as RGBIR."),
            parameters.number("NODATA", "Value of pixels without data", "--nodata", **more),
            parameters.number("GSD", "Metres per pixel of a raster without a georeference", "--gsd", low=0, **more),
            parameters.crs("INPUT"),
            parameters.integer("WINDOW", "Window (px)", "--window", "A multiple of 32.", default=512, low=32, **more),
            parameters.integer("OVERLAP", "Overlap of windows (px)", "--overlap", default=128, **more),
            parameters.device(),
        ]

    def outputs(self) -> list[QgsProcessingOutputDefinition]:
        """Return the layers in the folder."""
        return [
            QgsProcessingOutputRasterLayer("CLASSES", "Classes"),
            QgsProcessingOutputVectorLayer("POLYGONS", "Polygons"),
            QgsProcessingOutputRasterLayer("CONFIDENCE", "Confidence"),
        ]

    def finish(self, answer: Any, request: Request) -> dict[str, Any]:
        """Load the layers."""
        if not answer:
            raise QgsProcessingException("the command wrote no map")
        files = {output: answer.get(key) for output, key in (*_RASTERS.items(), *_VECTORS.items())}
        files = {output: path for output, path in files.items() if path}
        for output, path in files.items():
            load_layer(request.context, path, output, RASTER if output in _RASTERS else VECTOR)
        if answer.get("skipped"):
            request.feedback.pushInfo(f"{answer['raster']} was finished before and is used again.")
        total = sum(answer["area_m2"].values()) or 1
        shares = ", ".join(f"{name} {area / total:.0%}" for name, area in answer["area_m2"].items() if area)
        request.feedback.pushInfo(f"Classes: {shares}")
        return {"OUTPUT": str(self.parameterAsFileOutput(request.parameters, "OUTPUT", request.context)), **files}
