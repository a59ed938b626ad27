"""The page: templates filled and escaped, style and script inlined, nothing loaded from anywhere."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

NONE = "\N{EN DASH}"
MOST_BYTES = 8_000_000  # a page that is sent by mail


def render(**shown: Any) -> str:
    """The page's HTML. Every value is escaped but those that drawings.py made."""
    environment = Environment(
        loader=PackageLoader("rsuda.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "points": points, "area": area, "fixed": fixed, "hex": hexadecimal}
    templates = files("rsuda.report") / "templates"
    parts = {name: Markup((templates / f"page.{name}").read_text()) for name in ("css", "js")}
    return environment.get_template("page.html").render(**shown, **parts)


def percent(value: float | None, digits: int = 1) -> str:
    """0..1 as percent; a dash for what has no score."""
    return NONE if value is None or value != value else f"{100 * value:.{digits}f}"


def points(value: float | None) -> str:
    """A difference of 0..1 in points, with its sign."""
    return NONE if value is None or value != value else f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")


def fixed(value: float | None, digits: int = 2) -> str:
    return NONE if value is None or value != value else f"{value:.{digits}f}"


def area(metres: float, of: float) -> str:
    """Square metres in the unit that fits the largest of a table, ``of``."""
    unit, factor, digits = ("km²", 1e-6, 2) if of >= 2e6 else ("ha", 1e-4, 2) if of >= 2e4 else ("m²", 1.0, 0)
    return f"{metres * factor:,.{digits}f} {unit}"


def hexadecimal(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
