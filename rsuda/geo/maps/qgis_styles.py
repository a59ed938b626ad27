"""Write QGIS styles: QGIS loads NAME.qml with NAME.tif or NAME.gpkg."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from rsuda.core.atomic import atomic_write
from rsuda.core.legend import Legend
from rsuda.core.legend_fields import Colour

_DARK, _RED = "35,35,35,255", "227,26,28,255"  # borders of polygons, so that white is visible on white; of windows
_WHITE = "255,255,255,255"
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
    return style_text(root)


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
        item = {"value": f"{254 * share:g}", "color": colour, "label": f"{share:g}", "alpha": "255"}
        SubElement(shader, "item", item)
    return style_text(root)


def polygon_style(legend: Legend) -> str:
    """Make the style of polygons: categories of the attribute 'name', half transparent, with a thin dark border."""
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
        rgb = ",".join(map(str, colour))
        colours = {
            "color": f"{rgb},128",
            "style": "solid",
            "outline_color": _DARK,
            "outline_style": "solid",
            "outline_width": "0.15",
            "outline_width_unit": "MM",
            "joinstyle": "bevel",
        }
        add_options(layer, colours)
    return style_text(root)


def add_options(layer: Element, values: dict[str, str]) -> None:
    """Add the options of a symbol's layer."""
    options = SubElement(layer, "Option", {"type": "Map"})
    for key, value in values.items():
        SubElement(options, "Option", {"type": "QString", "name": key, "value": value})


def window_style() -> str:
    """Make the style of windows to label: a red border on a white one, which shows on false colours, no fill, and the rank."""
    root = Element("qgis", {"version": "3.22.0", "styleCategories": "Symbology|Labeling", "labelsEnabled": "1"})
    renderer = SubElement(root, "renderer-v2", {"type": "singleSymbol", "forceraster": "0", "symbollevels": "0"})
    symbol = SubElement(SubElement(renderer, "symbols"), "symbol", {"type": "fill", "name": "0", "alpha": "1"})
    for colour, width in ((_WHITE, "1.8"), (_RED, "0.9")):
        border = {
            "color": colour,
            "style": "no",
            "outline_color": colour,
            "outline_style": "solid",
            "outline_width": width,
            "outline_width_unit": "MM",
            "joinstyle": "miter",
        }
        add_options(SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "pass": "0"}), border)
    settings = SubElement(SubElement(root, "labeling", {"type": "simple"}), "settings", {"calloutType": "simple"})
    text = {"fieldName": "rank", "isExpression": "0", "fontSize": "14", "fontSizeUnit": "Point", "textColor": _RED}
    style = SubElement(settings, "text-style", {**text, "fontWeight": "75", "textOpacity": "1"})
    halo = {"bufferDraw": "1", "bufferSize": "0.8", "bufferSizeUnits": "MM", "bufferColor": _WHITE}
    SubElement(style, "text-buffer", {**halo, "bufferOpacity": "1", "bufferNoFill": "0"})
    SubElement(settings, "placement", {"placement": "1", "quadOffset": "4", "centroidInside": "1"})
    return style_text(root)


def write_style(text: str, path: Path) -> None:
    """Write the text of a style, replacing an existing file."""
    with atomic_write(path, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def style_text(root: Element) -> str:
    """Make the text of a style of its elements."""
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode")
    return f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{body}\n"
