"""The algorithm of ``rsuda sample``."""

from __future__ import annotations

from typing import Any

from rsuda_qgis import parameters
from rsuda_qgis.algorithm import CommandAlgorithm
from rsuda_qgis.layers import style_layer
from rsuda_qgis.parameters import Option
from rsuda_qgis.values import Request

STRATA = ("class", "confidence")
ALLOCATIONS = ("proportional", "equal", "optimal")


class Sample(CommandAlgorithm):
    """Draw random points of a map, to label."""

    command = "sample"
    title = "Draw points to check a map"
    section = "Judge"
    about = (
        "Draws random points of a map, by class or by confidence, to be labelled by a person. The layer has a form: toggle "
        "editing, click a point with Identify, and choose its class. Rings are red until a point has a label.",
        "Points are numbered in random order: begin with number 1 and stop when you like. Then run assess.",
    )

    def options(self) -> list[Option]:
        """Return the parameters."""
        more: dict[str, Any] = {"advanced": True}
        expected = "CLASS=SHARE that you expect to be right, divided by commas, such as water=0.95."
        return [
            parameters.raster("INPUT", "Map (raster of classes)"),
            parameters.integer("POINTS", "Number of points", "--points", "300 by default.", low=1),
            parameters.choice("STRATA", "Strata", "--strata", STRATA, default="class"),
            parameters.choice("ALLOCATION", "Allocation", "--allocation", ALLOCATIONS, default="proportional"),
            parameters.integer("MINIMUM", "Least number of points of a class", "--minimum", default=20),
            parameters.number(
                "TARGET_ERROR", "Wanted half width of the interval", "--target-error",
                "Of overall accuracy, such as 0.03; it gives the number of points.", low=0, high=1, **more,
            ),
            parameters.words("EXPECTED", "Expected accuracies", "--expected", expected),
            parameters.integer("BANDS", "Bands of confidence in each class", "--bands", low=1, **more),
            parameters.points("EXTEND", "Earlier sample to extend", "--extend", "Its points and labels stay.", optional=True),
            parameters.words("ADD", "Points to add to it", "--add", "STRATUM=N, divided by commas, as assess lists them."),
            parameters.integer("SEED", "Seed", "--seed", "Equal seeds give equal points.", default=0, **more),
            parameters.raster("IMAGE", "Image for pictures of the points", "--image", optional=True, advanced=True),
            parameters.switch("SHOW_CLASS", "Show the map's class in the form", "--show-class", "It may sway you.", **more),
            parameters.legend(),
            parameters.number("NODATA", "Value of pixels without a class", "--nodata", **more),
            parameters.crs("INPUT"),
            parameters.overwrite(),
            parameters.chips_folder("CHIPS", "Folder of pictures of the points", "--chips"),
            parameters.out_vector("Points"),
        ]  # fmt: skip

    def finish(self, answer: Any, request: Request) -> dict[str, Any]:
        """Style the layer, and list the strata."""
        style_layer(request.context, answer["file"])
        for stratum in answer["strata"]:
            request.feedback.pushInfo(f"{stratum['name']}: {stratum['points']} points")
        outputs = {"OUTPUT": answer["file"]}
        if answer["chips"]:
            outputs["CHIPS"] = answer["chips"]
        return outputs
