"""The algorithm of ``rsuda init``."""

from __future__ import annotations

from typing import Any

from rsuda_qgis import parameters
from rsuda_qgis.algorithm import CommandAlgorithm
from rsuda_qgis.parameters import Option
from rsuda_qgis.values import Request


class Init(CommandAlgorithm):
    """Write a domain file of a folder."""

    command = "init"
    title = "Describe a folder"
    section = "Train"
    about = (
        "Looks through a folder of images and labels: masks, or polygons of vector files. It writes a commented domain "
        "file, which 'Adapt a model' takes as source or target.",
        "Check the file in a text editor and name the classes before you train.",
    )

    def options(self) -> list[Option]:
        """Return the parameters."""
        return [
            parameters.folder("INPUT", "Folder of images and labels", "", ""),
            parameters.text(
                "LABELS",
                "Which files are labels",
                "--labels",
                "Such as masks/*, where names do not say it.",
                advanced=False,
            ),
            parameters.overwrite(),
            parameters.out_file("Domain file", "Domain files (*.yaml)"),
        ]

    def finish(self, answer: Any, request: Request) -> dict[str, Any]:
        """Return the file."""
        return {"OUTPUT": answer["file"]}
