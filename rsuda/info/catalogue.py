"""Describe the methods and the known domains."""

from __future__ import annotations

import os
from typing import Any


def methods(name: str | None = None) -> dict[str, dict[str, Any]]:
    """Describe the methods, or one: summary, paper, networks, cost, window, options with defaults.

    Raises InputError for an unknown name.
    """
    from rsuda.methods import METHODS, described

    return {method: described(method) for method in ([name] if name else METHODS)}


def domains(name: str | os.PathLike[str] | None = None) -> dict[str, dict[str, Any]]:
    """Describe the known domains, or one of a domain file: what it is, its files, how to get the data.

    Raises InputError, MissingError for an unknown name or an invalid domain file.
    """
    from rsuda.data.domain_files.domain_file import KNOWN, describe

    return {domain: describe(domain) for domain in ([os.fspath(name)] if name else KNOWN)}
