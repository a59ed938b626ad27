"""Read numbers as people type them: lengths with their units, thousands, decimal commas.

>>> metres("5 cm"), metres("0.3m/px"), metres(0.5), metres("auto")
(0.05, 0.3, 0.5, 'auto')
>>> number_advice("1k", whole=True), number_advice("0,5"), number_advice("512px", whole=True)
(': write 1000', ': write 0.5', ': write 512')
>>> number_advice("many"), number_advice("2")
('', '')
"""

from __future__ import annotations

from decimal import Decimal
from re import fullmatch
from typing import Any

_METRES = {"m": "1", "cm": "0.01", "mm": "0.001", "km": "1000", "ft": "0.3048", "in": "0.0254"}
_LONG = {
    **dict.fromkeys(("metre", "metres", "meter", "meters"), "m"),
    **dict.fromkeys(("foot", "feet"), "ft"),
    **dict.fromkeys(("inch", "inches"), "in"),
}
_MORE = {"k": "1000", "million": "1000000", "%": "0.01"}
_NUMBER = r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"


def metres(value: Any) -> Any:
    """Read a length in metres, with or without its unit: m, cm, mm, km, ft or in, also per pixel. Others stay as they are."""
    match = fullmatch(rf"\s*{_NUMBER}\s*([a-z]+)\s*(?:(?:/|per)\s*(?:px|pixel))?\s*", str(value).lower())
    unit = _LONG.get(match[2], match[2]) if match else ""
    return value if match is None or unit not in _METRES else float(Decimal(match[1]) * Decimal(_METRES[unit]))


def whole_number(text: str) -> int | None:
    """Read a whole number, also as 1e3 or 1000.0; None for other text."""
    try:
        number = float(text)
        return int(text) if fullmatch(r"\s*[+-]?\d+\s*", text) else int(number) if number.is_integer() else None
    except (ValueError, OverflowError):
        return None


def number_advice(value: Any, *, whole: bool = False, length: bool = False) -> str:
    """End a sentence on an invalid number with the number to write; nothing where it is unclear.

    Args:
        whole: whether a whole number is needed.
        length: whether it is in metres, so that an unknown unit cannot be left out.
    """
    text = str(value).strip().lower()
    if fullmatch(r"[+-]?\d{1,3}(?:[,. '_]\d{3}){2,}", text) or (whole and fullmatch(r"[+-]?\d{1,3}[,. '_]\d{3}", text)):
        return ": write " + "".join(sign for sign in text if sign.isdigit() or sign in "+-")
    match = fullmatch(rf"{_NUMBER}\s*([a-z%²]+[23]?)?", text.replace(",", ".", 1))
    if match is None or (length and match[2]):
        return ": write metres, such as 0.5 or 50cm" if length else ""
    number = Decimal(match[1]) * Decimal(_MORE.get(match[2] or "", "1"))
    if whole and number != number.to_integral_value():
        return ""
    advice = f"{number.normalize():f}"
    return "" if advice == text else f": write {advice}"
