"""Read the numbers of a command line, and say in one sentence what is wrong with other texts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, get_args, get_origin

from rsuda.core.display import shown
from rsuda.core.errors import InputError
from rsuda.core.number_text import metres, number_advice, whole_number

LENGTHS = ("gsd", "simplify")  # options in metres, which may have a unit


def read_numbers(command: Callable[..., Any] | None, options: Iterable[Any]) -> None:
    """Let the options of a command that take numbers, alone or several, read texts such as 1e3 and 5cm.

    Args:
        command: the function, whose annotations say what is a number.
        options: its parameters, as typer makes them.
    """
    if command is None:
        return
    parameters = inspect.signature(command, eval_str=True).parameters
    for option in options:
        annotation = parameters[option.name].annotation if option.name in parameters else None
        kind, limits = _kind(annotation), get_args(annotation)[-1:]
        if kind is not None and not isinstance(option.process_value, partial):
            option.process_value = partial(_process, kind, limits, option, option.process_value)


def _kind(annotation: Any) -> Any:
    """Return the type of number that an annotation declares; None for other types."""
    for part in (annotation, *get_args(annotation)):
        if part in (int, float):
            return part
        inner = _kind(part) if part is not annotation and get_origin(part) is not None else None
        if inner is not None:
            return inner
    return None


def _process(
    kind: type, limits: tuple[Any, ...], option: Any, process: Callable[..., Any], context: Any, value: Any
) -> Any:
    """Read the texts of a value before typer checks it."""
    if isinstance(value, str):
        value = _read(kind, limits, option, value)
    elif isinstance(value, list | tuple):
        value = tuple(_read(kind, limits, option, part) if isinstance(part, str) else part for part in value)
    return process(context, value)


def _read(kind: type, limits: tuple[Any, ...], option: Any, text: str) -> int | float:
    """Read one number. Raises InputError, which names the flag, the value and what to write instead."""
    whole, length = kind is int, option.name in LENGTHS
    number = whole_number(text) if whole else _real_number(metres(text) if length else text)
    flag = max(option.opts, key=len)
    if number is None:
        what = "a whole number" if whole else "a number of metres" if length else "a number"
        raise InputError(f"{flag} is {shown(text)}; it must be {what}{number_advice(text, whole=whole, length=length)}")
    low, high = (getattr(info, name, None) for info in limits for name in ("min", "max"))
    if (low is not None and number < low) or (high is not None and number > high):
        raise InputError(f"{flag} is {text}; it must be from {low} to {high}")
    return number


def _real_number(value: Any) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None
