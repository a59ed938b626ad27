"""Types of the fields of domain files."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from rsuda.core.display import shown
from rsuda.core.spec import band_names
from rsuda.data.file_patterns import pattern


def _text(value: Any) -> Any:
    """YAML reads some names of tiles as numbers."""
    return str(value) if isinstance(value, int | float) else value


def band_list(value: Any) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{shown(value)} is not a band order: write RGB, IRRG, … or a list of names")
    return band_names(value)


def _is_pattern(text: str) -> str:
    pattern(text)
    return text


Text = Annotated[str, BeforeValidator(_text)]
FilePattern = Annotated[Text, AfterValidator(_is_pattern)]
Length = Annotated[float, Field(gt=0, strict=True)]
Pixels = Annotated[int, Field(ge=1, strict=True)]
