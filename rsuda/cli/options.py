"""Declare options that several commands share, and make options of the fields of a model."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

from rsuda.core.errors import InputError
from rsuda.core.map_options import MapOptions, PredictorOptions
from rsuda.core.validation import validate

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

Complete = Callable[[str], list[str]]


def with_fields(
    model: type[BaseModel], *, before: str, complete: Mapping[str, Complete] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each field of a model, in the place of its ``**options``.

    The command receives the options that are not None by name, validated. Flags, help texts and defaults are those of
    the fields; a hidden flag stands for its field.

    Args:
        before: name of the command's parameter that follows them in the help.
        complete: completion of the shell by field.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        parameters = {
            name: parameter.replace(kind=parameter.KEYWORD_ONLY)
            for name, parameter in inspect.signature(command, eval_str=True).parameters.items()
            if parameter.kind is not parameter.VAR_KEYWORD
        }
        generated = {
            name: _parameter(name, field, (complete or {}).get(name)) for name, field in model.model_fields.items()
        }
        hidden = {
            flag.lstrip("-").replace("-", "_"): (name, flag)
            for name, field in model.model_fields.items()
            if (flag := _extra(field)["hidden_flag"])
        }
        generated |= {alias: _hidden(alias, flag, generated[name].annotation) for alias, (name, flag) in hidden.items()}
        names = list(parameters)
        position = names.index(before)
        ordered = [parameters[name] for name in names[:position]]
        ordered += [*generated.values(), *(parameters[name] for name in names[position:])]

        @wraps(command)
        def run(**values: Any) -> None:
            for alias, (name, _) in hidden.items():
                value = values.pop(alias)
                values[name] = values[name] if value is None else value
            chosen = {name: value for name, value in values.items() if name in generated and value is not None}
            _check(model, chosen, generated)
            command(**{name: values[name] for name in parameters}, **chosen)

        run.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in ordered}
        return run

    return decorate


def _check(model: type[BaseModel], values: dict[str, Any], options: Mapping[str, inspect.Parameter]) -> None:
    """Validate options. Raises InputError, which names the flag instead of the field."""
    try:
        validate(model, values, "option")
    except InputError as error:
        text = str(error)
        for name, option in options.items():
            text = re.sub(rf"option {name}\b", _flag(name, option), text)
        raise InputError(text) from None


def _flag(name: str, option: inspect.Parameter) -> str:
    """Return the flag of a generated option."""
    declared = get_args(option.annotation)[1].param_decls
    return str(declared[0]) if declared else f"--{name.replace('_', '-')}"


def _extra(field: FieldInfo) -> dict[str, Any]:
    assert isinstance(field.json_schema_extra, dict)
    return field.json_schema_extra


def _parameter(name: str, field: FieldInfo, complete: Complete | None) -> inspect.Parameter:
    """Make a parameter of a command of a field."""
    kind, flags = _kind(field.annotation), tuple(_extra(field)["flags"])
    flags = flags or ((f"--{name.replace('_', '-')}",) if kind is bool else ())
    default = None if field.default == () else field.default
    option = typer.Option(*flags, help=field.description, autocompletion=complete)
    return _keyword(name, kind, option, default)


def _hidden(alias: str, flag: str, annotation: Any) -> inspect.Parameter:
    """Make a parameter of an older name of a flag."""
    return _keyword(alias, get_args(annotation)[0] | None, typer.Option(flag, hidden=True), None)


def _keyword(name: str, kind: Any, option: Any, default: Any) -> inspect.Parameter:
    annotation = Annotated[kind, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _kind(annotation: Any) -> Any:
    """Return the type that the command line reads for a field's type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is tuple and arguments[-1] is Ellipsis:
        return list[str] | None
    if origin is Annotated:
        return arguments[0]
    if origin is Literal:
        return str
    if type(None) in arguments:
        return _kind(arguments[0]) | None
    return annotation


def _option(model: type[BaseModel], name: str) -> Any:
    """Make the option of one field, for commands that share it."""
    return typer.Option(f"--{name.replace('_', '-')}", help=model.model_fields[name].description)


Window = Annotated[int, _option(PredictorOptions, "window")]
HiddenTileSize = Annotated[int | None, typer.Option("--tile-size", hidden=True)]  # the older name of --window
Overlap = Annotated[int, _option(PredictorOptions, "overlap")]
Scheduler = Annotated[str | None, _option(MapOptions, "scheduler")]
Workers = Annotated[int, _option(MapOptions, "workers")]
Threads = Annotated[int | None, _option(MapOptions, "threads")]
