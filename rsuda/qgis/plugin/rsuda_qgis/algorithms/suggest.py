"""The algorithm of ``rsuda suggest``."""

from __future__ import annotations

from typing import Any

from rsuda_qgis import parameters
from rsuda_qgis.algorithm import CommandAlgorithm
from rsuda_qgis.layers import style_layer
from rsuda_qgis.parameters import Option
from rsuda_qgis.values import Request


class Suggest(CommandAlgorithm):
    """Suggest windows to label."""

    command = "suggest"
    title = "Suggest windows to label"
    section = "Train"
    about = (
        "Suggests the windows of a domain that are most worth a label: those that the model is unsure of and that differ from "
        "each other. No label is read.",
        "Next: predict a map inside of the windows, correct its polygons, and adapt a model with the run as the start.",
    )

    def options(self) -> list[Option]:
        """Return the parameters."""
        return [
            parameters.run(flag=""),
            parameters.file(
                "DOMAIN", "Domain", "--domain", "Domain file; or type a name. The run's target by default.", optional=True
            ),
            parameters.text(
                "SPLIT", "Split", "--split", "Scenes that may be labelled.", default="all", advanced=False
            ),
            parameters.integer("K", "Number of windows", "-k", default=10, low=1),
            parameters.integer("SIZE", "Side of a window (px)", "--size", "In pixels of the model.", default=128, low=1),
            parameters.data(),
            parameters.text("BANDS", "Band order", "--bands", "Where the domain has several."),
            parameters.integer("SEED", "Seed", "--seed", default=0, advanced=True),
            parameters.device(),
            parameters.overwrite(),
            parameters.out_vector("Windows"),
        ]  # fmt: skip

    def finish(self, answer: Any, request: Request) -> dict[str, Any]:
        """Style the layer, and list the windows."""
        path = str(self.parameterAsOutputLayer(request.parameters, "OUTPUT", request.context))
        style_layer(request.context, path)
        for window in answer:
            classes = sorted(window["classes"].items(), key=lambda item: -item[1])[:3]
            main = ", ".join(f"{name} {share:.0%}" for name, share in classes)
            request.feedback.pushInfo(
                f"{window['rank']}: {window['scene']}, uncertainty {window['uncertainty']:.3f}, {main}"
            )
        return {"OUTPUT": path}
