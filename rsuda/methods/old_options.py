"""Read options that older versions of rsuda wrote by other names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES = {"keep": "keep_share", "start": "source_only_share"}  # of version 0.1
VALUES = {"teacher_statistics": {"shown": "target"}}


def renamed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options by today's names and values; those that have not changed stay as they are."""
    return {NAMES.get(name, name): _value(name, value) for name, value in options.items()}


def renaming_notes(options: Mapping[str, Any]) -> list[str]:
    """Say what ``renamed`` changes, one sentence for each option."""
    notes = [f"option {name} is now {NAMES[name]}" for name in options if name in NAMES]
    values = [(name, value) for name, value in options.items() if _value(name, value) != value]
    return notes + [f"value {value} of option {name} is now {_value(name, value)}" for name, value in values]


def _value(name: str, value: Any) -> Any:
    return VALUES.get(name, {}).get(value, value) if isinstance(value, str) else value
