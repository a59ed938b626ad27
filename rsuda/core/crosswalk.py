"""Match the classes of two legends: give them common names, and name the classes that only one of them has."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from rsuda.core.display import shown
from rsuda.core.errors import InputError, unknown

UNKNOWN = "unknown"  # common class of what a domain cannot know: its pixels are ignored


def common_names(names: Sequence[str], classes: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the field ``classes`` of a domain file.

    Args:
        names: the domain's own classes.
        classes: ``own class: common class``, or ``common class: [own class, …]``; many to one.

    Returns:
        the common class of each own class; 'unknown' for classes that are ignored, the own name for classes not listed.

    Raises:
        InputError: an entry without an own class, a class with two common classes, or no class left.
    """
    if not isinstance(classes, Mapping):
        raise InputError(f"'classes' is {shown(classes)}: write 'own class: common class' pairs")
    table: dict[str, str] = {}
    for key, value in classes.items():
        for name, common in _pairs(names, str(key), value):
            if table.setdefault(name, common) != common:
                raise InputError(f"'classes' gives '{name}' two common classes, {table[name]} and {common}: keep one")
    result = tuple(table.get(name, name) for name in names)
    if not grouped(names, result)[0]:
        raise InputError("'classes' makes every class of the legend unknown: keep at least one")
    return result


def _pairs(names: Sequence[str], key: str, value: Any) -> list[tuple[str, str]]:
    """List the own and the common class of one entry, in either order."""
    if isinstance(value, list | tuple):
        unknown_name = next((str(name) for name in value if str(name) not in names), None)
        if unknown_name is not None:
            raise unknown(f"class of the legend in 'classes', {key},", unknown_name, names)
        return [(str(name), key) for name in value]
    if value is None or isinstance(value, Mapping) or not str(value).strip():
        raise InputError(f"'classes' maps '{key}' to {shown(value)}: write the name of a class")
    if key in names:
        return [(key, str(value).strip())]
    if str(value) in names:
        return [(str(value), key)]
    raise unknown("class of the legend in 'classes'", key, names)


def grouped(names: Sequence[str], common: Sequence[str]) -> tuple[dict[str, list[int]], list[int]]:
    """Group the indices of classes by their common name, in the order of the first ones; return also the ignored ones."""
    groups: dict[str, list[int]] = {}
    ignored_classes = []
    for k, (name, became) in enumerate(zip(names, common, strict=True)):
        if became == UNKNOWN != name:
            ignored_classes.append(k)
        else:
            groups.setdefault(became, []).append(k)
    return groups, ignored_classes


def unshared(model: Sequence[str], names: Sequence[str]) -> tuple[list[str], list[str]]:
    """List the classes of a model that other classes lack, and the other classes that the model lacks."""
    return [name for name in model if name not in names], [name for name in names if name not in model]


def near_names(model: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Suggest the class of a model that each of other classes may be: equal up to case, spaces, plural, or similar."""
    of_model, of_domain = unshared(model, names)
    keys = {_key(name): name for name in reversed(of_model)}
    near: dict[str, str] = {}
    for name in of_domain:
        match = get_close_matches(_key(name), keys, n=1, cutoff=0.75)
        match = match or [key for key in keys if _words(name) and _words(key) & _words(name)][:1]
        if match:
            near[name] = keys[match[0]]
    return near


def unshared_note(
    model: Sequence[str], names: Sequence[str], domain: str, share: float | None = None, first: str = "the model"
) -> str | None:
    """Say which classes a model and a domain do not share, and which are probably meant; None if they share all.

    Args:
        names: the domain's classes.
        domain: its name.
        share: of the labelled pixels that are of classes the model lacks; None where labels are not read.
        first: what has the classes ``model``.
    """
    of_model, of_domain = unshared(model, names)
    if not of_model and not of_domain:
        return None
    parts = []
    if of_domain:
        pixels = "" if share is None else f" ({share:.1%} of its labelled pixels)"
        parts.append(f"{first} lacks the classes {', '.join(of_domain)} of {domain}, which are not scored{pixels}")
    if of_model:
        parts.append(f"{domain} lacks the classes {', '.join(of_model)} of {first}")
    near = near_names(model, names)
    hint = ""
    if near:
        suggestions = ", ".join(f"'{common}' for '{name}'" for name, common in near.items())
        table = ", ".join(f"{_yaml(name)}: {_yaml(common)}" for name, common in near.items())
        hint = f": did you mean {suggestions}? Add 'classes: {{{table}}}' to the domain file of {domain}"
    return "; ".join(parts) + hint


def _key(name: str) -> str:
    """Fold a name for comparison: drop case, signs, plural and 'surface'."""
    words = [word for word in re.split(r"[\W_]+", name.casefold()) if word]
    singular = [re.sub(r"(?<=\w\w)s$", "", re.sub(r"ies$", "y", word)) for word in words]
    return " ".join([word for word in singular if word != "surface"] or singular)


def _words(name: str) -> set[str]:
    return set(_key(name).split()) - {"class", "other", "low", "high"}


def _yaml(name: str) -> str:
    """Write a name such that YAML reads it back in a flow mapping."""
    return name if re.fullmatch(r"[^\W\d][\w ./-]*", name) else '"' + name.replace('"', '\\"') + '"'
