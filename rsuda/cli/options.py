"""Declare options that several commands share, and make options of the fields of a model."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

from rsuda.cli import completion
from rsuda.core.errors import InputError
from rsuda.core.map_options import MapOptions, PredictorOptions
from rsuda.core.validation import validate

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

Complete = Callable[[str], list[str]]
Command = Callable[..., None]
MAIN = "Options"  # the first group of a command's help


@dataclass(frozen=True)
class FieldOption:
    """An option of a command that a pydantic field declares.

    Attributes:
        name: of the command's parameter.
        field: gives type and help text, and the default where ``keeps_default``.
        flags: where they are not the parameter's name.
        group: heading of the help that it stands under.
        complete: completion of the shell.
        kind: what the command line reads; that of the field's type by default.
        environment: variable that gives the value by default.
        keeps_default: whether the option has the field's default; None otherwise.
    """

    name: str
    field: FieldInfo
    flags: tuple[str, ...] = ()
    group: str = MAIN
    complete: Complete | None = None
    kind: Any = None
    environment: str | None = None
    keeps_default: bool = False

    @property
    def flag(self) -> str:
        """The flag that sentences name."""
        return self.flags[0] if self.flags else f"--{self.name.replace('_', '-')}"

    def parameter(self) -> inspect.Parameter:
        """Make the parameter that typer reads."""
        field_kind = _kind(self.field.annotation)
        kind, flags = self.kind or field_kind, self.flags
        if field_kind is bool and not flags:
            flags = (self.flag,) if self.keeps_default else (f"{self.flag}/--no-{self.name.replace('_', '-')}",)
        option = typer.Option(
            *flags,
            help=self.field.description,
            autocompletion=self.complete,
            rich_help_panel=self.group,
            envvar=self.environment,
        )
        default = self.field.default if self.keeps_default and self.field.default != () else None
        annotation: Any = Annotated[kind if self.keeps_default else kind | None, option]
        return inspect.Parameter(self.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def with_options(options: Sequence[FieldOption], *, before: str) -> Callable[[Command], Command]:
    """Give a command options in the place of its ``**options``, which receive those that are not None by name.

    Args:
        before: name of the command's parameter that follows them in the help.
    """

    def decorate(command: Command) -> Command:
        parameters = {
            name: parameter.replace(kind=parameter.KEYWORD_ONLY)
            for name, parameter in inspect.signature(command, eval_str=True).parameters.items()
            if parameter.kind is not parameter.VAR_KEYWORD
        }
        position = list(parameters).index(before)
        order = list(parameters.values())
        order[position:position] = [option.parameter() for option in options]

        @wraps(command)
        def run(**values: Any) -> None:
            option_values = {option.name: values.pop(option.name) for option in options}
            command(**values, **{name: value for name, value in option_values.items() if value is not None})

        run.__signature__ = inspect.Signature(order)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in order}
        return run

    return decorate


def with_fields(
    model: type[BaseModel],
    *,
    before: str,
    complete: Mapping[str, Complete] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> Callable[[Command], Command]:
    """Give a command an option for each field of a model; the command receives their values validated.

    Args:
        before: see ``with_options``.
        complete: completion of the shell by field.
        groups: fields by heading of the help; the others stand under the first.
    """
    heading = {name: group for group, names in (groups or {}).items() for name in names}
    options = [
        FieldOption(
            name,
            field,
            tuple(_extra(field)["flags"]),
            heading.get(name, MAIN),
            (complete or {}).get(name),
            keeps_default=True,
        )
        for name, field in model.model_fields.items()
    ]
    options_by_group = sorted(options, key=lambda option: [MAIN, *(groups or {})].index(option.group))

    def decorate(command: Command) -> Command:
        @wraps(command)
        def checked(**values: Any) -> None:
            _check(model, {name: value for name, value in values.items() if name in model.model_fields}, options)
            command(**values)

        return with_options(options_by_group, before=before)(checked)

    return decorate


def _check(model: type[BaseModel], values: dict[str, Any], options: Sequence[FieldOption]) -> None:
    """Validate options. Raises InputError, which names the flag instead of the field."""
    try:
        validate(model, values, "option")
    except InputError as error:
        text = str(error)
        for option in options:
            text = re.sub(rf"option {option.name}\b", option.flag, text)
        raise InputError(text) from None


def _extra(field: FieldInfo) -> dict[str, Any]:
    assert isinstance(field.json_schema_extra, dict)
    return field.json_schema_extra


def _kind(annotation: Any) -> Any:
    """Return the type that the command line reads for a field's type; text where several are possible."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is tuple and arguments[-1] is Ellipsis:
        return list[str] | None
    if origin is Annotated:
        return _kind(arguments[0])
    if origin is Literal:
        return str
    if origin in (Union, UnionType):
        kinds = [_kind(argument) for argument in arguments if argument is not type(None)]
        kind = kinds[0] if len(kinds) == 1 else str
        return kind | None if type(None) in arguments else kind
    return annotation


def _option(model: type[BaseModel], name: str) -> Any:
    """Make the option of one field, for commands that share it."""
    return typer.Option(f"--{name.replace('_', '-')}", help=model.model_fields[name].description)


Run = Annotated[str, typer.Argument(help="Run folder, or hf://ORG/NAME[@REVISION].", autocompletion=completion.runs)]
Window = Annotated[int, _option(PredictorOptions, "window")]
Overlap = Annotated[int, _option(PredictorOptions, "overlap")]
Scheduler = Annotated[str | None, _option(MapOptions, "scheduler")]
Workers = Annotated[int, _option(MapOptions, "workers")]
Threads = Annotated[int | None, _option(MapOptions, "threads")]
