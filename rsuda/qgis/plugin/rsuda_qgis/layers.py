"""Load what the command wrote as layers, with the styles that lie beside the files."""

from __future__ import annotations

from pathlib import Path

from qgis.core import (
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsProcessingUtils,
)

RASTER, VECTOR = QgsProcessingUtils.LayerHint.Raster, QgsProcessingUtils.LayerHint.Vector


class StoredStyle(QgsProcessingLayerPostProcessorInterface):
    """Give a layer the style of its file: NAME.qml beside it, or the one inside of a GeoPackage."""

    def postProcessLayer(  # noqa: N802 - QGIS calls it
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        """Load the style in place of that of the options of Processing."""
        layer.loadDefaultStyle()
        layer.triggerRepaint()


# QGIS deletes a processor with the context of its layer, and would lose one that Python does not hold: one for each layer
_styles: list[StoredStyle] = []


def load_layer(context: QgsProcessingContext, path: str, output: str, kind: QgsProcessingUtils.LayerHint) -> None:
    """Ask QGIS to load a file when the algorithm has ended. Without a project nothing is loaded.

    Args:
        path: of the layer's file.
        output: name of the output that it is.
        kind: RASTER or VECTOR.
    """
    if context.project() is None:
        return
    if not context.willLoadLayerOnCompletion(path):
        details = QgsProcessingContext.LayerDetails(Path(path).stem, context.project(), output, kind)
        context.addLayerToLoadOnCompletion(path, details)
    style_layer(context, path)


def style_layer(context: QgsProcessingContext, path: str) -> None:
    """Give the file's style to a layer that QGIS loads because the user asked for it."""
    if context.willLoadLayerOnCompletion(path):
        _styles.append(StoredStyle())
        context.layerToLoadOnCompletionDetails(path).setPostProcessor(_styles[-1])
