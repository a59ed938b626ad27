"""Register the provider of algorithms while the plugin is loaded."""

from __future__ import annotations

from qgis.core import QgsApplication

from rsuda_qgis.provider import RsudaProvider


class RsudaPlugin:
    """The plugin: a provider of Processing algorithms, without a menu or window of its own."""

    def __init__(self) -> None:
        self.provider: RsudaProvider | None = None

    def initProcessing(self) -> None:  # noqa: N802 - QGIS and qgis_process call it
        """Add the provider to Processing."""
        self.provider = RsudaProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self) -> None:  # noqa: N802 - QGIS calls it
        """Start in a QGIS with windows."""
        self.initProcessing()

    def unload(self) -> None:
        """Remove the provider."""
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
