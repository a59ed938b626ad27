"""Provide the algorithms, and the setting that names the command."""

from __future__ import annotations

from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from rsuda_qgis.algorithms import ALGORITHMS

SETTING = "RSUDA_COMMAND"
_ICON = str(Path(__file__).with_name("icon.svg"))


class RsudaProvider(QgsProcessingProvider):
    """The algorithms of rsuda in the toolbox."""

    def load(self) -> bool:
        """Add the setting to Settings > Options > Processing > Providers, then the algorithms."""
        ProcessingConfig.settingIcons[self.name()] = self.icon()
        label = "Command rsuda: its file, its environment's folder or Python; empty: found by itself"
        ProcessingConfig.addSetting(Setting(self.name(), SETTING, label, "", valuetype=Setting.FILE))
        ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def unload(self) -> None:
        """Remove the setting. Its value stays in the profile."""
        ProcessingConfig.removeSetting(SETTING)

    def loadAlgorithms(self) -> None:  # noqa: N802 - QGIS calls it
        """Add the algorithms."""
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())

    def id(self) -> str:
        """Return the first part of the algorithms' ids."""
        return "rsuda"

    def name(self) -> str:
        """Return the name in the toolbox."""
        return "rsuda"

    def longName(self) -> str:  # noqa: N802 - QGIS calls it
        """Return the name with what it is about."""
        return "rsuda: segmentation of imagery, adapted to your place"

    def icon(self) -> QIcon:
        """Return the picture of the toolbox."""
        return QIcon(_ICON)

    def svgIconPath(self) -> str:  # noqa: N802 - QGIS calls it
        """Return the file of the picture."""
        return _ICON

    def supportedOutputVectorLayerExtensions(self) -> list[str]:  # noqa: N802 - QGIS calls it
        """Return the formats of vector layers, the default first."""
        return ["gpkg"]

    def supportsNonFileBasedOutput(self) -> bool:  # noqa: N802 - QGIS calls it
        """Return False: another program writes the outputs, so they are files."""
        return False
