"""Format estimates for people: percent, areas, intervals."""

from __future__ import annotations

import math

from rsuda.accuracy.results import Estimate

DASH = "\N{EN DASH}"


def percent(estimate: Estimate, interval_digits: int = 1) -> str:
    """Format a share in percent with its interval: '88.0 (80.2–93.1)'; a dash where one is missing."""
    if not math.isfinite(estimate.value):
        return DASH
    low, high = (f"{100 * part:.{interval_digits}f}" for part in (estimate.low, estimate.high))
    return f"{100 * estimate.value:.1f} ({low}{DASH}{high})"


def area_unit(largest: float, unit: str) -> tuple[str, float, int]:
    """Choose the unit in which areas are written: its name, the factor to it, and digits."""
    if unit == "pixels":
        return "pixels", 1.0, 0
    if largest >= 2e7:
        return "km²", 1e-6, 2
    return ("ha", 1e-4, 2) if largest >= 2e4 else ("m²", 1.0, 0)


def area(value: float, unit: tuple[str, float, int]) -> str:
    """Format an area without its unit."""
    return f"{value * unit[1]:,.{unit[2]}f}"


def area_interval(estimate: Estimate, unit: tuple[str, float, int]) -> str:
    """Format an area and its interval without the unit."""
    return f"{area(estimate.value, unit)} ({area(estimate.low, unit)}{DASH}{area(estimate.high, unit)})"
