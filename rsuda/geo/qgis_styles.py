"""Write QGIS styles: QGIS loads NAME.qml with NAME.tif or NAME.gpkg."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from rsuda.core.atomic import atomic_write
from rsuda.core.legend import Colour, Legend

_RAMP = ("#fbf7ec", "#cfe3d8", "#8fc3bd", "#4a8f9b", "#1f4e66")  # colours of 0 to 1 in even steps


def raster_style(legend: Legend) -> str:
    """Make the style of a class raster: a paletted renderer with the classes' names and colours."""
    root = Element("qgis", {"version": "3.22.0", "styleCategories": "Symbology"})
    renderer = SubElement(
        SubElement(root, "pipe"),
        "rasterrenderer",
        {"type": "paletted", "band": "1", "opacity": "1", "alphaBand": "-1", "nodataColor": ""},
    )
    palette = SubElement(renderer, "colorPalette")
    for index, (name, colour) in enumerate(zip(legend.names, legend.palette, strict=True)):
        SubElement(palette, "paletteEntry", {"value": str(index), "color": _hex(colour), "label": name, "alpha": "255"})
    return _text(root)


def share_style() -> str:
    """Make the style of a raster of shares (0 to 254 for 0..1): the first band in a colour ramp from pale to dark."""
    root = Element("qgis", {"version": "3.22.0", "styleCategories": "Symbology"})
    renderer = SubElement(
        SubElement(root, "pipe"),
        "rasterrenderer",
        {
            "type": "singlebandpseudocolor",
            "band": "1",
            "opacity": "1",
            "alphaBand": "-1",
            "nodataColor": "",
            "classificationMin": "0",
            "classificationMax": "254",
        },
    )
    shader = SubElement(
        SubElement(renderer, "rastershader"),
        "colorrampshader",
        {
            "colorRampType": "INTERPOLATED",
            "classificationMode": "1",
            "clip": "0",
            "minimumValue": "0",
            "maximumValue": "254",
            "labelPrecision": "0",
        },
    )
    for k, colour in enumerate(_RAMP):
        share = k / (len(_RAMP) - 1)
        item = {"value": f"{254 * share:g}", "color": colour, "label": f"{share:.0%}", "alpha": "255"}
        SubElement(shader, "item", item)
    return _text(root)


def polygon_style(legend: Legend) -> str:
    """Make the style of polygons: categories of the attribute 'name', half transparent, with a border of the same colour."""
    root = Element("qgis", {"version": "3.22.0", "styleCategories": "Symbology"})
    renderer = SubElement(
        root, "renderer-v2", {"type": "categorizedSymbol", "attr": "name", "forceraster": "0", "symbollevels": "0"}
    )
    categories, symbols = SubElement(renderer, "categories"), SubElement(renderer, "symbols")
    for index, (name, colour) in enumerate(zip(legend.names, legend.palette, strict=True)):
        SubElement(
            categories,
            "category",
            {"symbol": str(index), "value": name, "label": name, "render": "true", "type": "string"},
        )
        symbol = SubElement(symbols, "symbol", {"type": "fill", "name": str(index), "alpha": "1"})
        layer = SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "pass": "0"})
        options = SubElement(layer, "Option", {"type": "Map"})
        rgb = ",".join(map(str, colour))
        colours = {
            "color": f"{rgb},128",
            "style": "solid",
            "outline_color": f"{rgb},255",
            "outline_style": "solid",
            "outline_width": "0.26",
            "outline_width_unit": "MM",
            "joinstyle": "bevel",
        }
        for key, value in colours.items():
            SubElement(options, "Option", {"type": "QString", "name": key, "value": value})
    return _text(root)


def write_style(text: str, path: Path) -> None:
    """Write the text of a style, replacing an existing file."""
    with atomic_write(path, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _text(root: Element) -> str:
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode")
    return f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{body}\n"
