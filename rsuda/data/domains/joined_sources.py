"""Join several labelled domains to one source: a common legend, common bands, and scenes that keep their own legends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from rsuda.core.errors import InputError
from rsuda.core.legend import Legend
from rsuda.core.legend_fields import Colour
from rsuda.core.spec import band_code
from rsuda.core.spelling import spell_command
from rsuda.data.domains.domain import Domain
from rsuda.geo.scenes.scene import Scene


def join_sources(domains: Sequence[Domain]) -> Domain:
    """Join domains; a scene is named 'domain:scene', and its label is read with its own legend.

    The legend has the classes of all domains by name, in the order of their first appearance.

    Raises:
        InputError: a domain has no legend, or the domains have no band in common.
    """
    for domain in domains:
        if domain.legend is None:
            raise InputError(
                f"source {domain.name} has no labels: write a domain file (YAML) with 'labels' and "
                f"'legend', which {spell_command('init', 'FOLDER')} drafts"
            )
    scenes: dict[str, Scene] = {}
    splits: dict[str, list[str]] = {name: [] for domain in domains for name in domain.splits}
    names = _unique([domain.name for domain in domains])
    for title, domain in zip(names, domains, strict=True):
        for key, scene in domain.scenes.items():
            scenes[f"{title}:{key}"] = replace(scene, name=f"{title}:{scene.name}", legend=domain.legend)
        for split, members in domain.splits.items():
            splits[split] += [f"{title}:{member}" for member in members]
    legend = join_legends([domain.legend for domain in domains if domain.legend is not None])
    clutter = next((domain.clutter for domain in domains if domain.clutter), None)
    notes = tuple(dict.fromkeys(note for domain in domains for note in domain.notes))
    return Domain(
        "+".join(names), scenes, _common_bands(domains), legend, splits, clutter, notes=notes, parts=tuple(domains)
    )


def join_legends(legends: Sequence[Legend]) -> Legend:
    """Make the legend of all classes by name, each in the drawing colour of its first legend or, if that is taken, a free one."""
    colours: dict[str, Colour] = {}
    for legend in legends:
        for name, colour in zip(legend.names, legend.palette, strict=True):
            if name not in colours:
                colours[name] = _free_colour(colour, set(colours.values()))
    return Legend(tuple(colours), tuple((colour,) for colour in colours.values()))


def _free_colour(colour: Colour, other_colours: set[Colour]) -> Colour:
    steps = (230, 60, 150, 20, 190, 105)
    choices = (colour, *((red, green, blue) for red, green, blue in product(steps, repeat=3)))
    return next(choice for choice in choices if choice not in other_colours)


def _common_bands(domains: Sequence[Domain]) -> tuple[str, ...] | None:
    orders = [domain.bands for domain in domains if domain.bands is not None]
    if len(orders) < len(domains):
        return None
    common = tuple(band for band in orders[0] if all(band in bands for bands in orders))
    if not common:
        band_codes = ", ".join(f"{band_code(domain.bands or ())} of {domain.name}" for domain in domains)
        raise InputError(
            f"the sources have no band in common ({band_codes}): name their bands alike in the domain files"
        )
    return common


def _unique(names: list[str]) -> list[str]:
    """Number the names that occur again."""
    return [f"{name}-{names[:k].count(name) + 1}" if name in names[:k] else name for k, name in enumerate(names)]
