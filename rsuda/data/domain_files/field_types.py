"""Types of the fields of domain files."""

from __future__ import annotations

import os
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pyproj import CRS
from pyproj.exceptions import CRSError

from rsuda.core.display import shown
from rsuda.core.number_text import metres
from rsuda.core.spec import band_names
from rsuda.data.domain_files.file_patterns import pattern


def _text(value: Any) -> Any:
    """Convert a number to text: YAML reads some names of tiles as numbers."""
    return str(value) if isinstance(value, int | float) else value


def band_list(value: Any) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{shown(value)} is not a band order: write RGB, IRRG, … or a list of names")
    return band_names(value)


def _is_pattern(text: str) -> str:
    text = text.replace("\\", "/") if os.sep == "\\" else text
    if "\\" in text:
        raise ValueError(f"{shown(text)} has a backslash: write '/' between folders")
    pattern(text)
    return text


def _crs(text: str) -> str:
    code = f"EPSG:{text}" if text.isdigit() else text
    try:
        CRS.from_user_input(code)
    except CRSError:
        raise ValueError(f"the CRS {shown(text)} is unknown: write it as EPSG:32633") from None
    return code


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | int) else value


Text = Annotated[str, BeforeValidator(_text)]
Crs = Annotated[Text, AfterValidator(_crs)]
Patterns = Annotated[tuple[Text, ...], BeforeValidator(_as_list)]
FilePattern = Annotated[Text, AfterValidator(_is_pattern)]
Length = Annotated[float, Field(gt=0, strict=True), BeforeValidator(metres)]
Pixels = Annotated[int, Field(ge=1, strict=True)]
