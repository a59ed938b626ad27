"""Validate the field ``labels`` of a domain file: patterns of files and, for polygons, how to read their classes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, PlainValidator, model_validator

from rsuda.core.display import shown
from rsuda.core.legend import Legend
from rsuda.core.validation import FrozenModel
from rsuda.data.domain_files.field_types import FilePattern, Text
from rsuda.geo.polygons.classes import PolygonLayer, class_index, value_text
from rsuda.geo.polygons.input import CONVERTIBLE_VECTORS, split_layer


def _table(value: Any) -> tuple[tuple[str, str], ...]:
    """Read a table of values of a column and their classes; YAML reads some words and all digits as other types."""
    if not isinstance(value, dict) or not value:
        raise ValueError(f"{shown(value)} is not a table: write {{value of the column: class, …}}")
    pairs: dict[str, str] = {}
    for key, name in value.items():
        texts = {value_text(key)} | ({"yes" if key else "no"} if isinstance(key, bool) else set())
        if None in texts or name is None or isinstance(name, dict | list):
            raise ValueError(
                f"{shown({key: name})} is not a value and a class: write {{value of the column: class, …}}"
            )
        pairs |= {str(text): str(value_text(name)) for text in texts}
    return tuple(pairs.items())


class LabelFiles(FrozenModel):
    """One entry of ``labels``: a pattern of files and, for polygons, how to read them, see docs/domain_file.md."""

    files: FilePattern
    layer: Text | None = None
    attribute: Text | None = None
    classes: Annotated[tuple[tuple[str, str], ...], PlainValidator(_table)] = ()
    one_class: Text | None = Field(default=None, alias="class")
    uncovered: Text | None = None
    extent: Text | None = None
    order: tuple[Text, ...] = ()
    about: Text | None = None

    @model_validator(mode="after")
    def _check_fields(self) -> Self:
        if self.one_class is not None and (self.attribute or self.classes):
            raise ValueError("'class' is one class for all polygons: leave it out, or 'attribute' and 'classes'")
        if self.extent is not None and self.uncovered is None:
            raise ValueError("'extent' limits 'uncovered', which is missing: add the class of uncovered pixels")
        if self.layer is not None and split_layer(self.files)[1] is not None:
            raise ValueError("'layer' and '|layername=' both name the layer: leave one out")
        end = self.pattern[-4:].lower()
        if end in CONVERTIBLE_VECTORS:
            inside = "/vsizip/" if end == ".zip" else ""
            raise ValueError(
                f"labels are not read from {end}: convert them by ogr2ogr LABELS.gpkg {inside}LABELS{end}, and name the .gpkg"
            )
        return self

    @property
    def pattern(self) -> str:
        """The pattern of file names, without a layer."""
        return split_layer(self.files)[0]

    @property
    def reads_polygons(self) -> bool:
        """Whether the entry says how to read polygons, by a field or by the name of a layer."""
        return bool(self.model_fields_set - {"files", "about"}) or split_layer(self.files)[1] is not None

    def check_classes(self, legend: Legend) -> None:
        """Raise InputError if a field names a class that the legend lacks."""
        names = [name for _, name in self.classes] + [self.one_class, self.uncovered, *self.order]
        for name in names:
            if name is not None:
                class_index(legend, name)

    def polygon_layer(self, root: Path, file: str) -> PolygonLayer:
        """Describe how to read a file of polygons of this entry."""
        extent = None if self.extent is None else str(root / Path(self.extent).expanduser())
        layer = self.layer or split_layer(self.files)[1]
        return PolygonLayer(
            root / Path(file).expanduser(),
            layer,
            self.attribute,
            self.classes,
            self.one_class,
            self.uncovered,
            extent,
            self.order,
        )


def _entry(value: Any) -> Any:
    return {"files": value} if isinstance(value, str | int | float) else value


def _entries(value: Any) -> Any:
    """Read the list of entries; a single entry needs no list."""
    return [_entry(part) for part in (value if isinstance(value, list | tuple) else [value])]


LabelEntries = Annotated[tuple[LabelFiles, ...], BeforeValidator(_entries)]
