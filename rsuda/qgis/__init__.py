"""The QGIS plugin that calls the commands, in ``plugin/``, and its installation. The plugin itself runs inside of QGIS."""
