"""Declare parameters of algorithms together with the flags of the command that they become."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterCrs,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
    QgsProcessingParameterVectorLayer,
)

from rsuda_qgis import values

_FILE = QgsProcessingParameterFile.Behavior
_ANY = "YAML (*.yaml *.yml);;All files (*)"
_NUMBER = QgsProcessingParameterNumber.Type
_ADVANCED = QgsProcessingParameterDefinition.Flag.FlagAdvanced


@dataclass(frozen=True)
class Option:
    """A parameter of an algorithm, and what it is on the command line.

    Attributes:
        parameter: what QGIS shows and checks.
        flag: of the command; '' for an argument, None where the algorithm itself uses the value.
        read: returns the value for the command line; see ``values``.
    """

    parameter: QgsProcessingParameterDefinition
    flag: str | None
    read: Callable[[values.Request, str], Any]


def _option(
    parameter: QgsProcessingParameterDefinition,
    flag: str | None,
    read: Callable[[values.Request, str], Any],
    help_text: str,
    advanced: bool = False,
) -> Option:
    if help_text:
        parameter.setHelp(help_text)
    if advanced:
        parameter.setFlags(parameter.flags() | _ADVANCED)
    return Option(parameter, flag, read)


def raster(
    name: str, label: str, flag: str | None = "", help_text: str = "", *, optional: bool = False, advanced: bool = False
) -> Option:
    """Declare a raster layer."""
    parameter = QgsProcessingParameterRasterLayer(name, label, optional=optional)
    return _option(parameter, flag, values.raster, help_text, advanced)


def points(name: str, label: str, flag: str, help_text: str = "", *, optional: bool = False) -> Option:
    """Declare a layer of points, whose own file the command reads."""
    kinds = [QgsProcessing.SourceType.TypeVectorPoint]
    parameter = QgsProcessingParameterVectorLayer(name, label, kinds, optional=optional)
    return _option(parameter, flag, values.vector_file, help_text, optional)


def area(name: str, label: str, flag: str, help_text: str = "") -> Option:
    """Declare optional polygons; a selection, or a layer in memory, is written to a temporary file."""
    kinds = [QgsProcessing.SourceType.TypeVectorPolygon]
    parameter = QgsProcessingParameterFeatureSource(name, label, kinds, optional=True)
    return _option(parameter, flag, values.features, help_text)


def extent(name: str, label: str, flag: str, of: str, help_text: str = "") -> Option:
    """Declare an optional rectangle, which is read in the CRS of the raster layer ``of``."""

    def read(request: values.Request, parameter: str) -> Any:
        return values.rectangle(request, parameter, of)

    return _option(QgsProcessingParameterExtent(name, label, optional=True), flag, read, help_text, True)


def folder(name: str, label: str, flag: str | None, help_text: str, *, optional: bool = False) -> Option:
    """Declare a folder; other texts may be typed."""
    parameter = QgsProcessingParameterFile(name, label, _FILE.Folder, optional=optional)
    return _option(parameter, flag, values.text, help_text)


def file(
    name: str, label: str, flag: str | None, help_text: str, *, optional: bool = False, advanced: bool = False
) -> Option:
    """Declare a file; names without an ending may be typed."""
    parameter = QgsProcessingParameterFile(name, label, _FILE.File, optional=optional, fileFilter=_ANY)
    return _option(parameter, flag, values.text, help_text, advanced)


def text(
    name: str, label: str, flag: str, help_text: str = "", *, default: str | None = None, advanced: bool = True
) -> Option:
    """Declare an optional text."""
    parameter = QgsProcessingParameterString(name, label, default, optional=True)
    return _option(parameter, flag, values.text, help_text, advanced)


def words(name: str, label: str, flag: str, help_text: str = "") -> Option:
    """Declare an optional text of several values, divided by commas; each gets the flag."""
    return _option(QgsProcessingParameterString(name, label, optional=True), flag, values.words, help_text, True)


def choice(
    name: str,
    label: str,
    flag: str,
    choices: Sequence[str],
    help_text: str = "",
    *,
    default: str | None = None,
    advanced: bool = False,
) -> Option:
    """Declare one of several words. Without a default none needs to be chosen, and the command decides."""
    parameter = QgsProcessingParameterEnum(
        name, label, list(choices), False, default, optional=default is None, usesStaticStrings=True
    )
    return _option(parameter, flag, values.choice, help_text, advanced)


def number(
    name: str,
    label: str,
    flag: str,
    help_text: str = "",
    *,
    default: float | None = None,
    low: float = -1e300,
    high: float = 1e300,
    advanced: bool = False,
) -> Option:
    """Declare a number, optional without a default."""
    parameter = QgsProcessingParameterNumber(name, label, _NUMBER.Double, default, default is None, low, high)
    return _option(parameter, flag, values.number, help_text, advanced)


def integer(
    name: str,
    label: str,
    flag: str,
    help_text: str = "",
    *,
    default: int | None = None,
    low: int = 0,
    advanced: bool = False,
) -> Option:
    """Declare an integer, optional without a default."""
    parameter = QgsProcessingParameterNumber(name, label, _NUMBER.Integer, default, default is None, low)
    return _option(parameter, flag, values.integer, help_text, advanced)


def switch(name: str, label: str, flag: str | None, help_text: str = "", *, advanced: bool = False) -> Option:
    """Declare a box to tick; the flag has no value."""
    return _option(QgsProcessingParameterBoolean(name, label, False), flag, values.switch, help_text, advanced)


def field(name: str, label: str, flag: str, layer: str, default: str, help_text: str = "") -> Option:
    """Declare a column of a layer, which has a default."""
    parameter = QgsProcessingParameterField(name, label, default, layer, optional=True)
    return _option(parameter, flag, values.text, help_text)


def crs(of: str) -> Option:
    """Declare the CRS of a file that lacks it; by default that of the raster layer ``of`` where the user has set one."""

    def read(request: values.Request, parameter: str) -> Any:
        return values.crs(request, parameter) or values.crs_of_layer_alone(request, of)

    parameter = QgsProcessingParameterCrs("CRS", "CRS of a raster without one", optional=True)
    sentence = "For files with a world file but no CRS; by default the CRS that you set for the layer."
    return _option(parameter, "--crs", read, sentence, True)


def out_vector(label: str, help_text: str = "") -> Option:
    """Declare the file of the vector layer that is written."""
    kind = QgsProcessing.SourceType.TypeVectorAnyGeometry
    return _option(QgsProcessingParameterVectorDestination("OUTPUT", label, kind), "--out", values.out_layer, help_text)


def out_file(label: str, kinds: str, help_text: str = "") -> Option:
    """Declare the file that is written, with its kinds as file dialogs list them."""
    return _option(QgsProcessingParameterFileDestination("OUTPUT", label, kinds), "--out", values.out_file, help_text)


def page(label: str, flag: str | None = None) -> Option:
    """Declare the HTML page that is written, for the viewer of results."""
    parameter = QgsProcessingParameterFileDestination("OUTPUT", label, "HTML files (*.html)")
    return _option(parameter, flag, values.out_file, "")


def out_folder(label: str, help_text: str = "") -> Option:
    """Declare the folder that files are written to."""
    return _option(QgsProcessingParameterFolderDestination("OUTPUT", label), "--out", values.out_file, help_text)


def chips_folder(name: str, label: str, flag: str, help_text: str = "") -> Option:
    """Declare a second folder for outputs, which need not be written."""
    parameter = QgsProcessingParameterFolderDestination(name, label, optional=True, createByDefault=False)
    return _option(parameter, flag, values.out_file, help_text)


def overwrite() -> Option:
    """Declare the box that allows to replace files."""
    return switch("OVERWRITE", "Replace existing files", "--overwrite", "Without it, nothing that exists is replaced.")


def run(label: str = "Run (folder of a trained model)", flag: str = "--model", *, optional: bool = False) -> Option:
    """Declare the folder of a run."""
    return folder("RUN", label, flag, "Folder that adapt wrote. You may also type hf://ORG/NAME.", optional=optional)


def data() -> Option:
    """Declare the folder of the data of known domains and domain files."""
    sentence = "Folder in which a domain's files are looked for; the sample tiles of rsuda need none."
    return folder("DATA", "Folder of the data", "--data", sentence, optional=True)


def device() -> Option:
    """Declare the device of the model."""
    return text("DEVICE", "Device", "--device", "auto, cpu, cuda, cuda:N or mps (GPUs of Apple).", default="auto")


def legend() -> Option:
    """Declare the legend of a raster of classes that has none."""
    sentence = "YAML file with a legend, or a known domain; by default the raster's own names and colours."
    return file("LEGEND", "Legend", "--legend", sentence, optional=True, advanced=True)
