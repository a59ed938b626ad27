"""Read options that version 0.1 wrote by other names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rsuda.core.old_settings import OLD_OPTIONS, renamed_value
from rsuda.core.old_settings import renamed_options as renamed


def renaming_notes(options: Mapping[str, Any]) -> list[str]:
    """Say what ``renamed`` changes, one sentence for each option."""
    notes = [f"option {name} is now {OLD_OPTIONS[name]}" for name in options if name in OLD_OPTIONS]
    values = [(name, value) for name, value in options.items() if renamed_value(name, value) != value]
    return notes + [f"value {value} of option {name} is now {renamed_value(name, value)}" for name, value in values]


__all__ = ["renamed", "renaming_notes"]
