"""Validate untrusted values with pydantic, and say what is wrong in one sentence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from rsuda.core.display import shown
from rsuda.core.errors import InputError, unknown
from rsuda.core.number_text import number_advice


class FrozenModel(BaseModel):
    """Base of all settings, options and file formats: frozen, and without unknown fields.

    Numbers that are strings are read as numbers, since the command line gives strings; NaN and infinity are refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_boolean_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false where a number belongs; pydantic takes them for 1 and 0."""
        kinds = _number_kinds(cls.model_fields[info.field_name or ""].annotation)
        if isinstance(value, bool) and kinds:
            raise PydanticCustomError(f"{kinds[0]}_type", "a number")
        return value

    def replaced(self, **values: Any) -> Self:
        """Make a validated copy with some fields changed. Raises pydantic.ValidationError."""
        return type(self).model_validate(
            {**{field: getattr(self, field) for field in type(self).model_fields}, **values}
        )


Model = TypeVar("Model", bound=BaseModel)

_LIMITS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
    "multiple_of": ("multiple_of", "a multiple of"),
}
_KINDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "string": "text",
    "dict": "'name: value' pairs",
    "model": "'name: value' pairs",
    "list": "a list",
    "tuple": "a list",
}


def validate(model: type[Model], values: Any, what: str, prefix: str = "", where: str = "") -> Model:
    """Validate values as a model.

    Args:
        values: plain data, usually a dict read from a file or the command line.
        what: noun of a field in the sentence, such as 'option of method dacs'.
        prefix: what precedes a field's name, such as 'method.'.
        where: what the whole sentence is about, such as 'domain file x.yaml'; it comes first, with a colon.

    Raises:
        InputError: the first field that is unknown, missing, of the wrong type or out of range.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        reason = sentence(error, model, what, prefix)
        raise (InputError(f"{where}: {reason}") if where else reason) from None


def sentence(error: ValidationError, model: type[BaseModel], what: str, prefix: str = "") -> InputError:
    """Describe in one sentence the first problem that pydantic reports: the field, its value, and what it must be."""
    problems = error.errors()
    # a misspelt field is unknown and its right name is missing: the first says more
    problem = next((part for part in problems if part["type"] == "extra_forbidden"), problems[0])
    place = [part for part in problem["loc"] if not (isinstance(part, str) and part.startswith("function-"))]
    name = prefix + ".".join(map(str, place))
    kind, value, limits = problem["type"], problem.get("input"), problem.get("ctx", {})
    if kind == "extra_forbidden":
        return unknown(what, name, [prefix + field for field in _field_names(model, place[:-1])])
    if not name and kind != "value_error":
        return InputError(f"the fields are {shown(value)}; they must be 'name: value' pairs")
    if kind == "missing":
        return InputError(f"{what} {name} is missing")
    if kind == "value_error":
        return InputError(f"{what} {name}: {limits['error']}" if name else str(limits["error"]))
    if kind in _LIMITS:
        key, words = _LIMITS[kind]
        near = f": try {_nearest_multiple(value, limits[key])}" if key == "multiple_of" else ""
        return InputError(f"{what} {name} is {shown(value)}; it must be {words} {limits[key]:g}{near}")
    if kind in ("too_short", "too_long"):
        limit = f"at least {limits['min_length']}" if kind == "too_short" else f"at most {limits['max_length']}"
        return InputError(f"{what} {name} is {shown(value)}; it must have {limit} entries")
    if kind == "literal_error":
        return unknown(f"value of {what} {name}:", value, _choices(model, place) or [str(limits.get("expected"))])
    requirement = next((words for start, words in _KINDS.items() if kind.startswith(start)), problem["msg"])
    is_number, length = kind.endswith("_parsing") or kind in ("gsd", "share"), kind == "gsd"
    advice = number_advice(value, whole=kind.startswith("int"), length=length) if is_number else ""
    return InputError(f"{what} {name} is {shown(value)}; it must be {requirement}{advice}")


def _nearest_multiple(value: Any, step: float) -> int:
    return int(max(step, round(float(value) / step) * step))


def _field(model: type[BaseModel], place: Iterable[Any]) -> Any:
    """Find the annotation at a place of nested models; None where the place leaves them."""
    annotation: Any = model
    for step in place:
        if get_origin(annotation) in (dict, list, tuple):  # the step is a key or a number
            values = get_args(annotation)
            annotation = values[-1] if get_origin(annotation) is dict else values[0]
            continue
        submodel = _model_in(annotation)
        if submodel is None or step not in submodel.model_fields:
            return None
        annotation = submodel.model_fields[step].annotation
    return annotation


def _number_kinds(annotation: Any) -> list[str]:
    """Name the number types that an annotation allows; none where it allows true and false."""
    kinds = [alternative for alternative in (annotation, *get_args(annotation)) if isinstance(alternative, type)]
    return [] if bool in kinds else [k.__name__ for k in kinds if k in (int, float)]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _field_names(model: type[BaseModel], place: Iterable[Any]) -> list[str]:
    place = list(place)
    submodel = _model_in(_field(model, place))
    fields = submodel.model_fields if submodel else model.model_fields
    names = [field.alias or name for name, field in fields.items()]
    return [".".join([*map(str, place), field]) for field in names]


def _choices(model: type[BaseModel], place: Iterable[Any]) -> list[str]:
    annotation = _field(model, [part for part in place if isinstance(part, str)])
    alternatives = (annotation, *get_args(annotation))
    choices = [choice for alternative in alternatives for choice in get_args(alternative)] or get_args(annotation)
    return sorted({str(choice) for choice in choices if isinstance(choice, str | int)})
