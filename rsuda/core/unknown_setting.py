"""Say that a setting is unknown, and which one was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from rsuda.core.errors import InputError
from rsuda.core.old_settings import OLD_NAMES, OLD_OPTIONS
from rsuda.core.setting_keywords import KEYWORDS, spell_setting
from rsuda.core.spelling import spell


def unknown_setting(what: str, name: str, settings: Iterable[str], method: str = "") -> InputError:
    """Word the error for an unknown setting; it offers the nearest, by its full name or by what follows the dot."""
    settings = list(settings)
    if name in KEYWORDS.values():
        return InputError(
            f"{spell_setting(name)} is not an option of method {method}: leave it out, or choose another {spell('method')} "
            "(rsuda methods NAME lists its options)"
        )
    field = name.rpartition(".")[2]
    by_field: dict[str, str] = {}
    for path in settings:
        by_field.setdefault(path.rpartition(".")[2], path)
        by_field.setdefault(path.partition(".")[0], path)
    # names of one section are alike by its name alone
    whole = [] if "." in name else get_close_matches(name, settings, n=1, cutoff=0.6)
    near = [
        *([f"method.{OLD_OPTIONS[field]}"] if name == f"method.{field}" and field in OLD_OPTIONS else []),
        *([OLD_NAMES[field]] if OLD_NAMES.get(field) in settings else []),
        *([by_field[field]] if field in by_field else []),
        *get_close_matches(name, settings, n=1, cutoff=0.8),
        *(by_field[suggestion] for suggestion in get_close_matches(field, by_field, n=1, cutoff=0.6)),
        *whole,
    ]
    hint = f"did you mean '{near[0]}'? " if near else ""
    section = name.partition(".")[0]
    names = [path for path in settings if path.partition(".")[0] == section] if "." in name else []
    choices = names or list(dict.fromkeys(path.partition(".")[0] for path in settings))
    name = name if len(name) <= 100 else f"{name[:100]}…"
    more = "rsuda config prints all settings"
    if section == "method" and method:
        more = f"these are of {method}, and {spell('method', 'NAME')} chooses another (rsuda methods NAME lists its options)"
    return InputError(f"unknown {what} '{name}': {hint}known are {', '.join(choices)}; {more}")
