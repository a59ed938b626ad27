"""The algorithm of ``rsuda assess``."""

from __future__ import annotations

import os
from typing import Any

from qgis.core import QgsProcessingOutputDefinition, QgsProcessingOutputHtml, QgsProcessingOutputNumber

from rsuda_qgis import parameters
from rsuda_qgis.algorithm import CommandAlgorithm
from rsuda_qgis.parameters import Option
from rsuda_qgis.values import Request

MEASURES = ("overall", "users", "producers", "area")


class Assess(CommandAlgorithm):
    """Estimate accuracies and areas of a map."""

    command = "assess"
    title = "Assess a map"
    section = "Judge"
    about = (
        "Estimates the accuracy of a map and the areas of its classes from labelled points, with standard errors and 95 % "
        "intervals. Areas are corrected for the map's errors. Points of a sample may be labelled in part.",
        "The folder has a page (also in the viewer of results), tables, and sentences for a paper.",
        "A second map is compared on the same points.",
    )

    def options(self) -> list[Option]:
        """Return the parameters."""
        more: dict[str, Any] = {"advanced": True}
        return [
            parameters.raster("INPUT", "Map (raster of classes)"),
            parameters.raster("SECOND", "Second map to compare", optional=True),
            parameters.points("POINTS", "Labelled points", ""),
            parameters.field(
                "REFERENCE", "Column of the labels", "--reference", "POINTS", "reference", "Names or values of classes."
            ),
            parameters.number(
                "TARGET_ERROR",
                "Wanted half width of the interval",
                "--target-error",
                "Such as 0.02: how many more points it takes. Of an area it is a share of this area.",
                low=0,
                high=1,
                **more,
            ),
            parameters.choice(
                "TARGET_MEASURE", "This interval is of", "--target-measure", MEASURES, default="overall", **more
            ),
            parameters.text("TARGET_CLASS", "Its class", "--target-class", "Of users, producers or area."),
            parameters.legend(),
            parameters.number("NODATA", "Value of pixels without a class", "--nodata", **more),
            parameters.crs("INPUT"),
            parameters.overwrite(),
            parameters.out_folder("Folder of the results"),
        ]

    def outputs(self) -> list[QgsProcessingOutputDefinition]:
        """Return overall accuracy, and the page."""
        return [
            QgsProcessingOutputHtml("PAGE", "Accuracy of the map"),
            QgsProcessingOutputNumber("OVERALL", "Overall accuracy, 0 to 1"),
            QgsProcessingOutputNumber("LOW", "Lower end of its 95 % interval"),
            QgsProcessingOutputNumber("HIGH", "Upper end of its 95 % interval"),
        ]

    def finish(self, answer: Any, request: Request) -> dict[str, Any]:
        """Show overall accuracy and the areas."""
        overall, unit = answer["overall"], answer["unit"]
        request.feedback.pushInfo(
            f"Overall accuracy: {_interval(overall, 100, 1)} %, {answer['labelled']} labelled points"
        )
        for name, part in answer["classes"].items():
            users, producers = (_interval(part[key], 100, 0) for key in ("users", "producers"))
            area = _interval(part["area"], 1, 0)
            request.feedback.pushInfo(f"{name}: user's {users} %, producer's {producers} %, area {area} {unit}")
        if answer["more_points"]:
            request.feedback.pushInfo(_missing(answer["more_points"]))
        return {
            "OUTPUT": answer["folder"],
            "PAGE": os.path.join(answer["folder"], "accuracy.html"),
            "OVERALL": overall["value"],
            "LOW": overall["low"],
            "HIGH": overall["high"],
        }


def _missing(more: dict[str, Any]) -> str:
    """Say how many points a wanted interval takes; the list fits 'Points to add' of sample."""
    counts = ", ".join(f"{name}={count}" for name, count in more["more"].items() if count)
    unit = "%" if more["relative"] else "points"
    sentence = f"± {100 * more['half_width']:g} {unit} of the {more['measure']} take about {more['points']} points"
    return f"{sentence}; missing are {counts}" if counts else f"{sentence}: you have enough"


def _interval(estimate: dict[str, Any], factor: float, digits: int) -> str:
    """Format an estimate and its interval."""
    numbers = [estimate[key] for key in ("value", "low", "high")]
    value, low, high = ("-" if number is None else f"{factor * number:,.{digits}f}" for number in numbers)
    return f"{value} ({low} to {high})"
