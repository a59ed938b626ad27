"""Spell options and commands in messages as the reader types them: flags on the command line, keywords in Python.

>>> spell("overwrite", True), spell("window"), spell("out", "RUN"), spell("method.jitter", 0.3)
('overwrite=True', '`window`', 'out=RUN', "settings={'method.jitter': 0.3}")
>>> spell_command("adapt", out="runs/a", resume=True)
"rsuda.adapt(out='runs/a', resume=True)"
>>> with as_flags():
...     spell("overwrite", True), spell("window"), spell("out", "RUN"), spell("method.jitter", 0.3)
...     spell_command("adapt", out="runs/a", resume=True)
('--overwrite', '--window', '--out RUN', '--set method.jitter=0.3')
'rsuda adapt --out runs/a --resume'
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any

_FLAGS = {"polygons": "format"}  # flags whose name is not that of the keyword
_PLACEHOLDERS = {"DIR", "ENCODER", "FILE", "RUN", "SOURCE", "TARGET"}
_reader = {"types_flags": False}


@contextmanager
def as_flags() -> Iterator[None]:
    """Spell flags in the block, in all threads: the process is a command."""
    with _spelling(types_flags=True):
        yield


@contextmanager
def as_keywords() -> Iterator[None]:
    """Spell keywords in the block, in all threads: the process answers requests, whose fields have their names."""
    with _spelling(types_flags=False):
        yield


@contextmanager
def _spelling(*, types_flags: bool) -> Iterator[None]:
    earlier, _reader["types_flags"] = _reader["types_flags"], types_flags
    try:
        yield
    finally:
        _reader["types_flags"] = earlier


def spell(name: str, value: Any = None) -> str:
    """Spell an option, alone or with its value.

    Args:
        name: the keyword in Python, such as 'batch_size', or the dotted name of a setting.
        value: what to type, or a placeholder such as 'RUN'. True is a flag without a value.
    """
    has_dot = "." in name
    if not _reader["types_flags"]:
        if value is None:
            return f"`{name}`"
        return f"settings={{{name!r}: {_literal(value)}}}" if has_dot else f"{name}={_literal(value)}"
    if has_dot:
        return f"--set {name}={'' if value is None else _word(value)}"
    flag = f"--{_FLAGS.get(name, name).replace('_', '-')}"
    return flag if value is None or value is True else f"{flag} {_word(value)}"


def spell_command(command: str, *arguments: Any, **options: Any) -> str:
    """Spell a command with its arguments and options, ready to be typed."""
    if not _reader["types_flags"]:
        values = [_literal(value) for value in arguments]
        return f"rsuda.{command}({', '.join([*values, *(spell(name, value) for name, value in options.items())])})"
    words = [command.replace("_", "-"), *map(_word, arguments), *(spell(*item) for item in options.items())]
    return " ".join(["rsuda", *words])


def _literal(value: Any) -> str:
    if value in _PLACEHOLDERS:
        return str(value)
    return f"{value:g}" if isinstance(value, float) else repr(str(value) if isinstance(value, PurePath) else value)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else shlex.quote(str(value))
