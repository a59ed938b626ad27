"""Run algorithms in a QGIS without windows, by QGIS's own Python: python qgis_session.py PLUGINS JOBS.

PLUGINS is the folder of rsuda_qgis. JOBS is a list in JSON: ``id`` and ``parameters`` of an algorithm; ``setting``, the command;
``cancel_at``, a percentage that ends it; ``picture``, a PNG of the layers that were loaded, over those of the files ``under``.
Each job prints one line of JSON.
"""

import json
import sys
import time

sys.path[:0] = ["/usr/share/qgis/python/plugins", sys.argv[1]]

from qgis.core import (
    Qgis,
    QgsApplication,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingUtils,
    QgsProject,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSize

application = QgsApplication([], False)
application.initQgis()

from processing.core.Processing import Processing
from processing.core.ProcessingConfig import ProcessingConfig
from rsuda_qgis import classFactory


class Feedback(QgsProcessingFeedback):
    """Keep what an algorithm says, and cancel it at a percentage."""

    def __init__(self, cancel_at):
        super().__init__(False)
        self.cancel_at, self.texts, self.warnings, self.shares, self.command = cancel_at, [], [], [], ""

    def pushInfo(self, text):  # noqa: N802
        self.texts.append(text)

    def pushWarning(self, text):  # noqa: N802
        self.warnings.append(text)

    def pushCommandInfo(self, text):  # noqa: N802
        self.command = text

    def setProgress(self, share):  # noqa: N802
        self.shares.append(share)
        if self.cancel_at is not None and share >= self.cancel_at:
            self.cancel()


def loaded(context, feedback):
    """Load layers as QGIS does after an algorithm, and style them."""
    layers = []
    for path, details in context.layersToLoadOnCompletion().items():
        layer = QgsProcessingUtils.mapLayerFromString(path, context, True, details.layerTypeHint)
        if details.postProcessor():
            details.postProcessor().postProcessLayer(layer, context, feedback)
        layer.setName(details.name)
        layers.append(context.takeResultLayer(layer.id()) or layer)
    return layers


def facts(layer):
    """What a test asks about a layer."""
    renderer = layer.renderer()
    if renderer is None:  # a layer without geometries
        return {"name": layer.name(), "features": 0}
    if isinstance(layer, QgsVectorLayer):
        labels = [category.label() for category in renderer.categories()] if hasattr(renderer, "categories") else []
        return {"name": layer.name(), "features": layer.featureCount(), "style": renderer.type(), "labels": labels}
    labels = [entry.label for entry in renderer.classes()] if hasattr(renderer, "classes") else []
    return {"name": layer.name(), "style": renderer.type(), "labels": labels}


def draw(layers, file):
    """Render layers, the vectors above the rasters."""
    settings = QgsMapSettings()
    ordered = sorted(layers, key=lambda layer: not isinstance(layer, QgsVectorLayer))
    settings.setLayers(ordered)
    settings.setDestinationCrs(ordered[-1].crs())
    settings.setOutputSize(QSize(900, 900))
    box = ordered[-1].extent()
    box.scale(1.05)
    settings.setExtent(box)
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(file)


def run(job):
    """Run one algorithm, and return what it said, wrote and loaded."""
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(job["id"])
    context, feedback = QgsProcessingContext(), Feedback(job.get("cancel_at"))
    context.setProject(QgsProject.instance())
    for definition in algorithm.destinationParameterDefinitions():
        if definition.type() == "vectorDestination":  # as where the box 'Open output file' is ticked
            sink = QgsProcessingOutputLayerDefinition(job["parameters"]["OUTPUT"], QgsProject.instance())
            job["parameters"]["OUTPUT"] = sink
    answer = {"id": job["id"]}
    began = time.monotonic()
    fits, sentence = algorithm.checkParameterValues(job["parameters"], context)
    try:
        if not fits:
            raise QgsProcessingException(sentence)
        results, _ = algorithm.run(job["parameters"], context, feedback, {}, False)
        answer["results"] = results
        layers = loaded(context, feedback) if not feedback.isCanceled() else []
        answer["layers"] = [facts(layer) for layer in layers]
        if job.get("picture"):
            draw(
                [*(QgsProcessingUtils.mapLayerFromString(path, context) for path in job.get("under", [])), *layers],
                job["picture"],
            )
    except QgsProcessingException as error:
        answer["error"] = str(error)
    answer["seconds"] = time.monotonic() - began
    return {
        **answer,
        "command": feedback.command,
        "texts": feedback.texts,
        "warnings": feedback.warnings,
        "shares": feedback.shares,
    }


Processing.initialize()
plugin = classFactory(None)
plugin.initProcessing()
flags = {
    algorithm.id(): {option.flag: option.parameter.defaultValue() for option in algorithm.declared if option.flag}
    for algorithm in plugin.provider.algorithms()
}
print(json.dumps({"version": Qgis.QGIS_VERSION, "flags": flags}), flush=True)
for job in json.loads(sys.argv[2]):
    ProcessingConfig.setSettingValue("RSUDA_COMMAND", job.get("setting", ""))
    print(json.dumps(run(job), default=str), flush=True)
plugin.unload()
