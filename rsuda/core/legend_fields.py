"""Read the fields of a class of a legend: its name, colours and pixel values."""

from __future__ import annotations

from re import fullmatch
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainValidator, model_validator

from rsuda.core.display import shown
from rsuda.core.errors import InputError
from rsuda.core.validation import FrozenModel

Colour = tuple[int, int, int]


def read_colour(value: Any) -> Colour:
    """Read a colour: '#RRGGBB' or three numbers. Raises InputError for anything else."""
    if isinstance(value, str):
        if fullmatch("#?[0-9a-fA-F]{6}", value):
            digits = value.lstrip("#")
            return (int(digits[0:2], 16), int(digits[2:4], 16), int(digits[4:6], 16))
    elif (
        isinstance(value, (list, tuple))
        and [isinstance(part, int) and 0 <= part <= 255 for part in value] == [True] * 3
    ):
        return (value[0], value[1], value[2])
    raise InputError(
        f"colour {shown(value)} is invalid: write '#RRGGBB' in quotation marks, or three numbers from 0 to 255"
    )


def read_value(value: Any) -> int:
    """Read a pixel value: a whole number. Raises InputError for anything else."""
    if isinstance(value, int | float) and value == value // 1 and abs(value) < 2**63:
        return int(value)
    raise InputError(f"pixel value {shown(value)} is invalid: use a whole number, such as 3, -1 or 512")


def _name(value: Any) -> Any:
    """Convert a value to a name: YAML reads some names as numbers, and 'no' and 'on' as true or false."""
    if isinstance(value, bool):
        raise InputError(
            f"the name of a class is {str(value).lower()}: put names such as 'no' and 'on' in quotation marks"
        )
    return str(value) if isinstance(value, int | float) else value


class ClassFields(FrozenModel):
    """One class of a legend; 'colour' and 'value' are short for 'colours' and 'values' of one entry."""

    name: Annotated[str, BeforeValidator(_name)]
    colours: tuple[Annotated[Colour, PlainValidator(read_colour)], ...]
    values: tuple[Annotated[int, PlainValidator(read_value)], ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        single = {"colour": "colours", "value": "values"}
        many = {plural: [fields[key]] for key, plural in single.items() if key in fields}
        if set(fields) <= {"name", "value", "values"}:
            raise InputError("field colour is missing: write '#RRGGBB' in quotation marks")
        return many | {key: value for key, value in fields.items() if key not in single}
