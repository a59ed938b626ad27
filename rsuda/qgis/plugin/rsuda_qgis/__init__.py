"""QGIS plugin that runs the command ``rsuda``. It imports neither rsuda nor torch, and works on Python 3.9, of older QGIS."""

from __future__ import annotations

from typing import Any


def classFactory(interface: Any) -> Any:  # noqa: N802 - QGIS calls it
    """Make the plugin. QGIS calls this when it loads the folder."""
    from rsuda_qgis.plugin import RsudaPlugin

    return RsudaPlugin()
