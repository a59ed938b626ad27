"""Write GDAL's raster attribute table of a class raster; QGIS (from 3.30) and ArcGIS show its names, colours and areas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from rsuda.core.atomic import atomic_write
from rsuda.core.legend import Legend

SUFFIX = ".aux.xml"  # appended to the raster's whole name, as GDAL expects
_WHOLE, _REAL, _TEXT = 0, 1, 2  # GDALRATFieldType
_ANY, _COUNT, _NAME, _VALUE, _RED, _GREEN, _BLUE, _ALPHA = 0, 1, 2, 5, 6, 7, 8, 9  # GDALRATFieldUsage
_COLUMNS = (
    ("Value", _WHOLE, _VALUE),
    ("Count", _REAL, _COUNT),
    ("Class", _TEXT, _NAME),
    ("Red", _WHOLE, _RED),
    ("Green", _WHOLE, _GREEN),
    ("Blue", _WHOLE, _BLUE),
    ("Alpha", _WHOLE, _ALPHA),
    ("Area_m2", _REAL, _ANY),
)


def attribute_table(
    legend: Legend, counts: Sequence[int], pixel_m2: float, tags: Mapping[str, str] | None = None
) -> str:
    """Make the text of RASTER.aux.xml: a row for each class, and the class names as GDAL's category names.

    Args:
        counts: pixels of each class.
        pixel_m2: square metres of a pixel.
        tags: metadata that GDAL reads instead of the raster's own of the same names.
    """
    root = Element("PAMDataset")
    if tags:
        metadata = SubElement(root, "Metadata")
        for key, text in tags.items():
            SubElement(metadata, "MDI", {"key": key}).text = text
    band = SubElement(root, "PAMRasterBand", {"band": "1"})
    categories = SubElement(band, "CategoryNames")
    table = SubElement(band, "GDALRasterAttributeTable", {"tableType": "thematic"})
    for index, column in enumerate(_COLUMNS):
        field = SubElement(table, "FieldDefn", {"index": str(index)})
        for tag, value in zip(("Name", "Type", "Usage"), column, strict=True):
            SubElement(field, tag).text = str(value)
    for value, (name, colour, count) in enumerate(zip(legend.names, legend.palette, counts, strict=True)):
        SubElement(categories, "Category").text = name
        row = SubElement(table, "Row", {"index": str(value)})
        # counts are real numbers, since GDAL's integers have 32 bits
        for cell in (value, f"{count:d}", name, *colour, 255, f"{count * pixel_m2:.4f}"):
            SubElement(row, "F").text = str(cell)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def write_attributes(text: str, path: Path) -> None:
    """Write the text of an attribute table, replacing an existing file."""
    with atomic_write(path, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8")
