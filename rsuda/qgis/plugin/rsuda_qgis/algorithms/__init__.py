"""List the algorithms, a file each. A new command is one file and one row."""

from __future__ import annotations

from rsuda_qgis.algorithm import CommandAlgorithm
from rsuda_qgis.algorithms.adapt import Adapt
from rsuda_qgis.algorithms.assess import Assess
from rsuda_qgis.algorithms.change import Change
from rsuda_qgis.algorithms.info import Info
from rsuda_qgis.algorithms.init import Init
from rsuda_qgis.algorithms.polygonize import Polygonize
from rsuda_qgis.algorithms.predict import Predict
from rsuda_qgis.algorithms.report import Report
from rsuda_qgis.algorithms.sample import Sample
from rsuda_qgis.algorithms.suggest import Suggest

ALGORITHMS: tuple[type[CommandAlgorithm], ...] = (
    Adapt,
    Assess,
    Change,
    Info,
    Init,
    Polygonize,
    Predict,
    Report,
    Sample,
    Suggest,
)
