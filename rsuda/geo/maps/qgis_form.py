"""Write the QGIS style and form of points that are labelled one by one."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement

from rsuda.core.legend import Legend
from rsuda.geo.maps.qgis_styles import add_options, style_text

_TO_LABEL, _WHITE, _DARK = "227,26,28,255", "255,255,255,255", "35,35,35,255"


def label_style(
    legend: Legend, columns: Sequence[str], *, visible: Sequence[str], label: str, text: str, picture: str = ""
) -> str:
    """Make the style of points to label: rings, red until the label is set, and a form with a list of the classes.

    Args:
        columns: all columns in their order.
        visible: columns of the form and of the table; the others are hidden.
        label: column of the class, chosen from the legend's names.
        text: column of free text.
        picture: column of pictures' paths, relative to the folder of the layer's file; the form shows the pictures.
    """
    categories = "Symbology|Labeling|Fields|Forms|AttributeTable"
    root = Element("qgis", {"version": "3.22.0", "styleCategories": categories, "labelsEnabled": "1"})
    _add_rings(root, label)
    _add_numbers(root)
    fields = SubElement(root, "fieldConfiguration")
    for name in columns:
        widget = SubElement(SubElement(fields, "field", {"name": name, "configurationFlags": "None"}), "editWidget")
        if name == picture:
            _show_picture(widget)
            continue
        _fill_widget(widget, name, legend, hidden=name not in visible, label=label, text=text)
    editable = SubElement(root, "editable")
    for name in columns:
        SubElement(editable, "field", {"name": name, "editable": str(int(name in (label, text)))})
    SubElement(root, "editorlayout").text = "tablayout"
    form = SubElement(root, "attributeEditorForm")
    for name in visible:
        place = {"name": name, "index": str(columns.index(name)), "showLabel": str(int(name != picture))}
        SubElement(form, "attributeEditorField", place)
    table = SubElement(SubElement(root, "attributetableconfig", {"sortOrder": "0"}), "columns")
    for name in [*visible, *(name for name in columns if name not in visible)]:
        SubElement(table, "column", {"type": "field", "name": name, "hidden": str(int(name not in visible))})
    SubElement(root, "previewExpression").text = f'"{visible[0]}"'
    SubElement(root, "layerGeometryType").text = "0"
    return style_text(root)


def _fill_widget(widget: Element, name: str, legend: Legend, *, hidden: bool, label: str, text: str) -> None:
    """Choose how the form shows a column."""
    if name == label:
        widget.set("type", "ValueMap")
        config = SubElement(SubElement(widget, "config"), "Option", {"type": "Map"})
        choices = SubElement(config, "Option", {"type": "List", "name": "map"})
        # the first entry is QGIS's own for an empty value
        for title, value in [("to label", "{2839923C-8B7D-419E-B84B-CA2FE9B80EC7}"), *((n, n) for n in legend.names)]:
            choice = SubElement(choices, "Option", {"type": "Map"})
            SubElement(choice, "Option", {"type": "QString", "name": title, "value": value})
        return
    widget.set("type", "Hidden" if hidden else "TextEdit")
    config = SubElement(SubElement(widget, "config"), "Option", {"type": "Map"})
    if name == text:
        SubElement(config, "Option", {"type": "bool", "name": "IsMultiline", "value": "true"})


def _show_picture(widget: Element) -> None:
    """Show the picture that a path names, beside the layer's file."""
    widget.set("type", "ExternalResource")
    config = SubElement(SubElement(widget, "config"), "Option", {"type": "Map"})
    texts = {
        "DocumentViewer": 1,
        "DocumentViewerHeight": 0,
        "DocumentViewerWidth": 0,
        "RelativeStorage": 2,
        "StorageMode": 0,
    }
    for name, value in texts.items():
        SubElement(config, "Option", {"type": "int", "name": name, "value": str(value)})
    for name in ("FileWidget", "FileWidgetButton", "UseLink"):
        SubElement(config, "Option", {"type": "bool", "name": name, "value": "false"})
    SubElement(config, "Option", {"type": "QString", "name": "DefaultRoot", "value": ""})
    rules = SubElement(config, "Option", {"type": "Map", "name": "PropertyCollection"})
    SubElement(rules, "Option", {"type": "QString", "name": "name", "value": ""})
    SubElement(rules, "Option", {"type": "QString", "name": "type", "value": "collection"})
    root = SubElement(SubElement(rules, "Option", {"type": "Map", "name": "properties"}), "Option")
    root.attrib |= {"type": "Map", "name": "propertyRootPath"}
    SubElement(root, "Option", {"type": "bool", "name": "active", "value": "true"})
    folder = "file_path(layer_property(@layer, 'path'))"
    SubElement(root, "Option", {"type": "QString", "name": "expression", "value": folder})
    SubElement(root, "Option", {"type": "int", "name": "type", "value": "3"})


def _add_rings(root: Element, label: str) -> None:
    """Draw a ring around each point, which leaves the pixel visible: red while it has no label, then white."""
    state = f"CASE WHEN \"{label}\" <> '' THEN 'labelled' ELSE 'to label' END"
    how = {"type": "categorizedSymbol", "attr": state, "forceraster": "0", "symbollevels": "0"}
    renderer = SubElement(root, "renderer-v2", how)
    categories, symbols = SubElement(renderer, "categories"), SubElement(renderer, "symbols")
    states = (
        ("to label", _TO_LABEL, _WHITE),
        ("labelled", _WHITE, _DARK),
    )  # red alone is lost in false-colour vegetation
    for number, (title, colour, border) in enumerate(states):
        entry = {"symbol": str(number), "value": title, "label": title, "render": "true", "type": "string"}
        SubElement(categories, "category", entry)
        symbol = SubElement(symbols, "symbol", {"type": "marker", "name": str(number), "alpha": "1"})
        for size, line, width in (("5.4", border, "1.2"), ("5.4", colour, "0.7"), ("0.7", border, "0.2")):
            ring = {
                "name": "circle",
                "color": colour if size == "0.7" else "0,0,0,0",
                "size": size,
                "size_unit": "MM",
                "outline_color": line,
                "outline_style": "solid",
                "outline_width": width,
                "outline_width_unit": "MM",
            }
            add_options(SubElement(symbol, "layer", {"class": "SimpleMarker", "enabled": "1", "pass": "0"}), ring)


def _add_numbers(root: Element) -> None:
    """Write the number of each point beside it."""
    settings = SubElement(SubElement(root, "labeling", {"type": "simple"}), "settings", {"calloutType": "simple"})
    font = {"fieldName": "id", "isExpression": "0", "fontSize": "9", "fontSizeUnit": "Point", "textColor": _DARK}
    style = SubElement(settings, "text-style", {**font, "fontWeight": "75", "textOpacity": "1"})
    halo = {"bufferDraw": "1", "bufferSize": "0.8", "bufferSizeUnits": "MM", "bufferColor": _WHITE}
    SubElement(style, "text-buffer", {**halo, "bufferOpacity": "1", "bufferNoFill": "0"})
    SubElement(settings, "placement", {"placement": "0", "dist": "3.2", "distUnits": "MM"})
