"""The algorithm of ``rsuda adapt``."""

from __future__ import annotations

import os
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingOutputDefinition,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
)

from rsuda_qgis import parameters
from rsuda_qgis.algorithm import CommandAlgorithm
from rsuda_qgis.parameters import Option
from rsuda_qgis.values import Request

METHODS = (
    "source-only",
    "adaptsegnet",
    "dacs",
    "daformer",
    "hrda",
    "mic",
    "cluda",
    "bicl",
    "st-dasegnet",
    "source-free",
)
PRESETS = ("small", "sample", "raw", "mit-b0", "mit-b5", "resnet50", "paper")


class Adapt(CommandAlgorithm):
    """Train a model on a labelled source and an unlabelled target."""

    command = "adapt"
    title = "Adapt a model"
    section = "Train"
    about = (
        "Trains a model on labelled imagery of one place (the source) so that it maps another place without labels (the "
        "target). The output folder is the run, which predict, suggest and report read.",
        "A domain is a domain file (*.yaml), a folder of rasters, or a known name such as potsdam. Describe a folder writes a "
        "domain file.",
        "To go on with a run, choose it as the start. Its target need not be named again; the source may be labels of a few "
        "windows, or be left out.",
        "Training takes minutes on a GPU and hours on a CPU. QGIS can be used in the meantime. A cancelled run keeps its last "
        "checkpoint: tick 'Continue' and choose its folder again.",
    )

    def options(self) -> list[Option]:
        """Return the parameters."""
        more: dict[str, Any] = {"advanced": True}
        return [
            parameters.file("SOURCE", "Source (labelled)", "--source", "Domain file; or type a name.", optional=True),
            parameters.folder("TARGET", "Target (to be mapped)", "--target", "Folder of rasters; or type a name.", optional=True),
            parameters.folder("START", "Start from this run", "--start", "Folder of an earlier run.", optional=True),
            parameters.integer("STEPS", "Training steps", "--steps", "By default those of the preset or of the start.", low=1),
            parameters.choice("METHOD", "Method", "--method", METHODS, "By default that of the preset or of the start."),
            parameters.data(),
            parameters.choice("PRESET", "Preset", "--preset", PRESETS, **more),
            parameters.text("ENCODER", "Encoder", "--encoder", "Such as resnet50, mit_b2 or tu-convnext_tiny."),
            parameters.text("WEIGHTS", "Weights of the encoder", "--weights", "imagenet, packaged, none or a file."),
            parameters.integer("BATCH_SIZE", "Patches in a batch", "--batch-size", "Fewer take less memory.", low=1, **more),
            parameters.integer("SEED", "Seed", "--seed", **more),
            parameters.file("CONFIG", "File of settings", "--config", "YAML, as rsuda config prints it.", optional=True, **more),
            parameters.text("DEVICE", "Device", "--device", "auto, cpu, cuda, cuda:N or mps (GPUs of Apple)."),
            parameters.switch("RESUME", "Continue an interrupted run", "--resume", "The run in the output folder.", **more),
            parameters.overwrite(),
            parameters.out_folder("Folder of the run"),
        ]  # fmt: skip

    def checkParameterValues(  # noqa: N802 - QGIS calls it
        self, parameters: dict[str, Any], context: QgsProcessingContext
    ) -> tuple[bool, str]:
        """Refuse a temporary folder, which would be deleted with hours of work."""
        if parameters.get("OUTPUT") in (None, "", QgsProcessing.TEMPORARY_OUTPUT):
            return False, "choose a folder for the run: a temporary one is deleted when QGIS closes"
        return super().checkParameterValues(parameters, context)

    def outputs(self) -> list[QgsProcessingOutputDefinition]:
        """Return the scores, and the picture of three windows."""
        return [
            QgsProcessingOutputNumber("MIOU", "Mean IoU on the target's labelled split, 0 to 1, if there is one"),
            QgsProcessingOutputNumber("SELECTION", "Score without labels, to compare runs"),
            QgsProcessingOutputString("PREVIEW", "Picture of three windows"),
        ]

    def finish(self, answer: Any, request: Request) -> dict[str, Any]:
        """Show the scores."""
        folder, scores = answer["run"], answer["scores"]
        outputs = {"OUTPUT": folder, "SELECTION": answer["label_free"].get("selection")}
        request.feedback.pushInfo(f"Score without labels, to compare runs: {outputs['SELECTION']:.3f}")
        if scores:
            outputs["MIOU"] = scores["miou"]
            request.feedback.pushInfo(f"Mean IoU on the target's labelled split: {scores['miou']:.1%}")
        picture = os.path.join(folder, "preview.png")
        if os.path.isfile(picture):
            outputs["PREVIEW"] = picture
            request.feedback.pushInfo(f"Three windows of the target: {picture}")
        return outputs
