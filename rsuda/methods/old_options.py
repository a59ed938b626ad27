"""Read options that older versions wrote by other names, or that are gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rsuda.core.old_settings import OLD_OPTIONS, renamed_options, renamed_value

# options that a method had, and the value that left them off; files that hold them are still read
DROPPED = {"st-dasegnet": {"mixing": False, "jitter": 0.2}}


def todays(options: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Rename options of any version to today's names and values, and drop those that the method has lost."""
    obsolete_options = DROPPED.get(method, {})
    return {name: value for name, value in renamed_options(options).items() if name not in obsolete_options}


def renaming_notes(options: Mapping[str, Any], method: str) -> list[str]:
    """Say what ``todays`` changes, one sentence for each option. Dropped options that were off need none."""
    notes = [f"option {name} is now {OLD_OPTIONS[name]}" for name in options if name in OLD_OPTIONS]
    values = [(name, value) for name, value in options.items() if renamed_value(name, value) != value]
    notes += [f"value {value} of option {name} is now {renamed_value(name, value)}" for name, value in values]
    obsolete_names = [name for name, off in DROPPED.get(method, {}).items() if options.get(name, off) != off]
    return notes + [f"{method} has no option {name} any more: the run goes without it" for name in obsolete_names]
