"""Read the names and colours of a class raster's values: from a QGIS style, category names, or an attribute table."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from xml.etree import ElementTree

from rasterio.shutil import copy

from rsuda.geo.polygons.late_imports import pyogrio
from rsuda.geo.rasters.raster import READ_ERRORS, is_remote, quiet

Names = dict[str, tuple[str, ...]]  # name, and colour '#RRGGBB' where it is known, by value or '#RRGGBB'

_SIDECAR = 4_000_000  # bytes of a style or table that is read
_TITLES = ("class_name", "classname", "class_names", "class", "name", "label", "description")
_COLOURS = (
    "#E6194B", "#3CB44B", "#FFE119", "#4363D8", "#F58231", "#911EB4", "#46F0F0", "#F032E6", "#BCF60C", "#FABEBE",
    "#008080", "#E6BEFF", "#9A6324", "#FFFAC8", "#800000", "#AAFFC3", "#808000", "#FFD8B1", "#000075", "#808080",
)  # fmt: skip
# colour that a reader of maps expects, by a word of the class's name
_EXPECTED = {
    "background other unknown": "#BDBDBD",
    "building house roof": "#B2182B",
    "road street asphalt pavement impervious": "#6B6B6B",
    "water river lake sea": "#2166AC",
    "tree forest wood woodland": "#1B7837",
    "grass lawn vegetation meadow pasture grassland": "#7FBC41",
    "crop cropland field farmland agriculture arable": "#E6C84A",
    "soil bare barren land sand": "#DFC27D",
    "wetland marsh": "#35978F",
    "snow ice": "#D1E5F0",
    "rail railway": "#542788",
    "car vehicle": "#FF7F00",
}
_EXPECTED_OF_WORD = {word: colour for words, colour in _EXPECTED.items() for word in words.split()}


def class_colours(names: Iterable[str] = ()) -> Iterator[str]:
    """Yield distinct colours for classes that have none, '#RRGGBB'.

    Args:
        names: names of the classes. A class called grass gets green, one called water blue; the first of two gets it.
            Behind the names come colours for further classes.
    """
    further = (f"#{k * 37 % 256:02X}{k * 91 % 256:02X}{k:02X}" for k in range(1, 250))
    usual_colours = [_expected_colour(name) for name in names]
    spare = (colour for colour in chain(_COLOURS, further) if colour not in usual_colours)
    earlier_colours: set[str] = set()
    for colour in usual_colours:
        yield next(spare) if colour is None or colour in earlier_colours else colour
        earlier_colours.add(colour or "")
    yield from spare


def _expected_colour(name: str) -> str | None:
    words = re.findall(r"[a-z]+", name.lower())
    singular = (word.removesuffix("s") if word not in _EXPECTED_OF_WORD else word for word in reversed(words))
    return next((_EXPECTED_OF_WORD[word] for word in singular if word in _EXPECTED_OF_WORD), None)


def names_in_files(raster: Path | str) -> Names:
    """Read class names, and colours where known: of the style and the table beside a raster, then of the raster itself."""
    path, names = Path(str(raster)), Names()
    for sidecar in (path.with_suffix(".qml"), Path(f"{path}.aux.xml")):
        with suppress(OSError, ElementTree.ParseError, ValueError):
            if sidecar.is_file() and sidecar.stat().st_size <= _SIDECAR:
                names = _names_in_xml(sidecar.read_text(encoding="utf-8", errors="replace")) | names
    return _names_in_raster(raster) | _names_in_dbf(Path(f"{path}.vat.dbf")) | names


def _names_in_xml(text: str) -> Names:
    if "<!ENTITY" in text:
        return {}
    root = ElementTree.fromstring(text)
    return _style_names(root) | _category_names(root) | _table_names(root)


def _names_in_raster(raster: Path | str) -> Names:
    """Read category names as GDAL does from any format: it writes them into the description of a virtual raster."""
    if not is_remote(raster) and not Path(raster).is_file():
        return {}
    with tempfile.TemporaryDirectory() as folder, suppress(*READ_ERRORS, ElementTree.ParseError), quiet():
        virtual = Path(folder, "raster.vrt")
        copy(raster, virtual, driver="VRT")
        if virtual.stat().st_size <= _SIDECAR:
            return _category_names(ElementTree.fromstring(virtual.read_text(encoding="utf-8", errors="replace")))
    return {}


def _names_in_dbf(table: Path) -> Names:
    """Read the attribute table that ArcGIS writes beside a raster, RASTER.tif.vat.dbf."""
    if not table.is_file() or table.stat().st_size > _SIDECAR:
        return {}
    with suppress(pyogrio.errors.DataSourceError, ValueError):
        rows = pyogrio.read_dataframe(table, read_geometry=False)
        columns = {str(column).lower(): column for column in rows.columns}
        title = next((columns[name] for name in _TITLES if name in columns), None)
        if "value" in columns and title is not None:
            pairs = zip(rows[columns["value"]], rows[title], strict=True)
            return {str(int(value)): (str(name).strip(),) for value, name in pairs if str(name).strip()}
    return {}


def _style_names(root: ElementTree.Element) -> Names:
    """Read names and colours of a QGIS style of a paletted raster."""
    entries = [entry.attrib for entry in root.iter("paletteEntry") if entry.get("label") and entry.get("value")]
    return {
        entry["value"].removesuffix(".0"): (
            entry["label"].strip(),
            *([entry["color"].upper()[:7]] if "color" in entry else []),
        )
        for entry in entries
        if entry["label"].strip() != entry["value"]
    }


def _category_names(root: ElementTree.Element) -> Names:
    """Read GDAL's category names, which are numbered from 0."""
    texts = [(entry.text or "").strip() for entry in root.iter("Category")]
    return {str(value): (text,) for value, text in enumerate(texts) if text}


def _table_names(root: ElementTree.Element) -> Names:
    """Read an attribute table: the column of names (usage 2) by the column of values (usage 5, 'Value')."""
    names: Names = {}
    for table in root.iter("GDALRasterAttributeTable"):
        fields = [
            (field.findtext("Name", "").lower(), field.findtext("Usage", "")) for field in table.iter("FieldDefn")
        ]
        value = next((k for k, (name, usage) in enumerate(fields) if usage == "5" or name == "value"), None)
        title = next((k for k, (name, usage) in enumerate(fields) if usage == "2" or name in _TITLES), None)
        if value is None or title is None:
            continue
        for row in table.iter("Row"):
            cells = [(cell.text or "").strip() for cell in row.iter("F")]
            if len(cells) == len(fields) and cells[title]:
                names[cells[value].removesuffix(".0")] = (cells[title], *_table_colour(fields, cells))
    return names


def _table_colour(fields: list[tuple[str, str]], cells: list[str]) -> tuple[str, ...]:
    """Read the colour of a row of an attribute table: its columns of usage 6, 7 and 8."""
    parts = [cell for usage in "678" for (_, use), cell in zip(fields, cells, strict=True) if use == usage]
    if len(parts) == 3 and all(part.isdigit() and int(part) < 256 for part in parts):
        return ("#{:02X}{:02X}{:02X}".format(*map(int, parts)),)
    return ()
