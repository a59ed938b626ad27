"""Bring the areas of a sample and those of a map to one unit: a GSD may be declared when drawing and not when assessing."""

from __future__ import annotations

from dataclasses import replace

from rsuda.accuracy.class_map import ClassMap
from rsuda.accuracy.points_file import Design
from rsuda.core.errors import InputError
from rsuda.core.spelling import spell


def in_square_metres(design: Design, map_: ClassMap, *, same_map: bool, what: str) -> Design:
    """Return a design whose areas have the unit of the map, or square metres where only the design has them.

    Args:
        same_map: whether the map is the one that was sampled.
        what: name of the points' file, for sentences.

    Raises:
        InputError: two maps whose areas have no common unit, or a GSD that contradicts that of the sample.
    """
    unit, pixel = "pixels" if map_.pixel_m2 is None else "m2", map_.pixel_m2
    if not same_map:
        if design.unit != unit:
            raise InputError(
                f"areas of {what} are in {design.unit} and those of {map_.place} in {unit}: pass the {spell('gsd')} that the "
                "sample was drawn with"
            )
        return design
    if pixel is None or not map_.has_equal_areas:
        return design
    if design.unit == "pixels":
        strata = tuple(replace(part, area=part.pixels * pixel) for part in design.strata)
        return Design(strata, {**design.facts, "unit": "m2"})
    sample_pixel = sum(part.area for part in design.strata) / sum(part.pixels for part in design.strata)
    if abs(sample_pixel / pixel - 1) > 0.01:
        raise InputError(
            f"{what} was drawn with a GSD of {sample_pixel**0.5:g} m, and that of {map_.place} is {pixel**0.5:g} m now: pass the "
            f"same {spell('gsd')}"
        )
    return design
