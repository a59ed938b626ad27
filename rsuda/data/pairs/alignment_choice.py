"""Choose the settings of section ``align`` that are 'auto', by a look at both domains that reads no target label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from rsuda.core.legend import IGNORE
from rsuda.core.setting_sections import AlignSettings
from rsuda.core.spec import Spec, band_code
from rsuda.data.checks.gsd_limit import check_gsd
from rsuda.data.checks.suitability import imagenet
from rsuda.data.pairs.look import FedBands, PairLook
from rsuda.data.statistics.class_mix import explain_by_classes
from rsuda.data.statistics.colour_sample import ColourSample, colour_relations
from rsuda.geo.scenes.scene import Scene

SIMILAR_GSD = 1.5  # ratio of GSDs up to which detail is much the same
# Standardisation by domain must explain so much more of the target's colours. Two halves of one city leave 0.10 unexplained
# as they are and 0.23 standardised; two cities of two sensors leave 0.39 and 0.34.
_GAIN = 0.02  # share of the target's pixels
# Two halves of one city differ by 0.16, two cities of two sensors by 0.6. At 0.3 the part of a band that another band does
# not explain is 1.8 times larger in one domain.
_SAME_RELATIONS = 0.3
_FINE_SHARE = 0.1  # of a source's area whose detail a model can learn from

Gsd = float | Literal["native"] | None


class Choice(NamedTuple):
    """A value and, in a clause for users, why it was chosen."""

    value: Any
    reason: str


@dataclass(frozen=True)
class Alignment:
    """The settings that bring a pair's domains nearer, without 'auto'.

    Attributes:
        gsd: common metres per pixel; None is the target's, or that of the model that training starts from.
        standardise: 'imagenet' or 'domain'.
        band_matching: 'name' or 'order'.
        band_mixing: share of each source band that a random mixture of bands may replace, 0 to 1.
        target_statistics: whether batch norm is estimated on the target; None is the method's own.
        reasons: why a value was chosen, by the name of its setting; only of those that were 'auto'.
    """

    gsd: Gsd
    standardise: str
    band_matching: str
    band_mixing: float
    target_statistics: bool | None
    reasons: dict[str, str] = field(default_factory=dict)

    def as_settings(self) -> dict[str, Any]:
        """Return the settings by their dotted names."""
        names = ("gsd", "standardise", "band_matching", "band_mixing", "target_statistics")
        return {f"align.{name}": getattr(self, name) for name in names}

    @property
    def notes(self) -> list[str]:
        """Sentences for users on what was chosen and why."""
        values = {name.partition(".")[2]: _text(value) for name, value in self.as_settings().items()}
        choices: dict[str, list[str]] = {}
        for name, reason in self.reasons.items():
            choices.setdefault(reason, []).append(f"align.{name} is {values[name]}")
        return [f"{', '.join(texts)}: {reason}" for reason, texts in choices.items()]


def choose_alignment(align: AlignSettings, look: PairLook) -> Alignment:
    """Choose what is 'auto' of a pair's settings; the others stay as they are.

    Where the source's scenes are the target's own, nothing is aligned. Otherwise each setting follows its own rule:
    ``choose_band_matching``, ``choose_gsd``, ``choose_standardise``, ``choose_band_mixing``, ``choose_target_statistics``.
    Colours are sampled only where a choice needs them.

    Raises:
        InputError: bands that do not match, GSDs far apart, or a domain without a valid pixel.
    """
    fields = {name: value for name, value in align.model_dump().items() if name in Alignment.__dataclass_fields__}
    reasons: dict[str, str] = {}

    def decide(name: str, choose: Any) -> Any:
        if fields[name] == "auto":
            fields[name], reasons[name] = choose()
        return fields[name]

    if look.within_target:
        nothing = {"band_matching": "order", "gsd": None, "standardise": "imagenet", "band_mixing": 0.0}
        if look.start is not None and not imagenet(look.start):
            nothing["standardise"] = "domain"
        for name, value in {**nothing, "target_statistics": False}.items():
            decide(name, lambda value=value: Choice(value, "the source's scenes are the target's own"))
        return Alignment(**fields, reasons=reasons)
    decide("band_matching", lambda: choose_band_matching(look.source_bands, look.target_bands, look.target_is_named))
    if look.start is not None and fields["gsd"] == "auto":
        fields["gsd"] = None  # that of the model that training starts from
    decide("gsd", lambda: choose_gsd(finest_gsd(look), look.target.gsd))
    model_bands, read_at = (
        look.fed("name" if look.source.parts else fields["band_matching"]),
        common_gsd(look, fields["gsd"]),
    )
    for scene in (*look.sources, *look.targets):
        check_gsd(scene, read_at)  # colours at a GSD far from the scene's take minutes
    decide(
        "standardise",
        lambda: _start_choice(look.start) if look.start else choose_standardise(*look.colours(model_bands, read_at)),
    )
    decide("band_mixing", lambda: _mixing_choice(look, model_bands, read_at))
    decide(
        "target_statistics", lambda: choose_target_statistics(look.start, fields["standardise"], fields["band_mixing"])
    )
    return Alignment(**fields, reasons=reasons)


def common_gsd(look: PairLook, gsd: Gsd) -> float | None:
    """Find the metres per pixel that both domains are read at, from the setting; None for each scene's own."""
    if look.start is not None:
        return look.start.gsd
    if gsd == "native":
        return None
    return look.target.gsd if gsd is None else float(gsd)


def choose_band_matching(source: Sequence[str], target: Sequence[str], target_is_named: bool = True) -> Choice:
    """Match by name where the domains share at least two bands, or one has all bands of the other; else by order.

    Args:
        source, target: band names.
        target_is_named: whether the target's bands have names of their own.
    """
    common = [band for band in target if band in source]
    if not target_is_named:
        return Choice("order", "the target's bands have no names")
    if set(source) == set(target):
        return Choice("name", f"both domains have {', '.join(common)}")
    if len(common) >= 2 or len(common) == min(len(source), len(target)):
        return Choice("name", f"the domains share {', '.join(common)}")
    return Choice("order", f"the domains share {f'only {common[0]}' if common else 'no band'} by name")


def finest_gsd(look: PairLook) -> float:
    """Find the finest GSD in metres that a tenth of the source's area on the ground has."""
    return finest_of([(_gsd_of(scene), _area_of(scene)) for scene in look.sources])


def finest_of(scenes: Sequence[tuple[float, float]]) -> float:
    """Find the finest GSD in metres that a tenth of the area has, from (GSD, area) of each scene."""
    scenes = sorted(scenes)
    total_areas = np.cumsum([area for _, area in scenes])
    return round(scenes[int(np.searchsorted(total_areas, _FINE_SHARE * total_areas[-1]))][0], 6)


def choose_gsd(finest: float, target: float) -> Choice:
    """Read both domains at the target's GSD, or at the source's where no finer detail can be learnt from it.

    The source's GSD is the finest one that a tenth of its area has. If it is more than 1.5 times coarser than
    the target's, the source lacks the target's detail, and both are read at the source's. If the source also has scenes as
    fine as the target, or if the target is the coarser one, both are read at the target's.

    Args:
        finest: GSD of the source in metres; see ``finest_gsd``.
        target: GSD of the target in metres.
    """
    if finest > SIMILAR_GSD * target:
        return Choice(finest, f"the source ({finest:g} m) lacks the finer detail of the target ({target:g} m)")
    if finest * SIMILAR_GSD < target:
        return Choice(None, f"the source ({finest:g} m) has all detail of the target ({target:g} m)")
    return Choice(None, f"the source has scenes of {finest:g} m, and the target has {target:g} m")


def choose_standardise(sources: Sequence[ColourSample], target: ColourSample) -> Choice:
    """Standardise by domain where that brings the target's colours nearer to the source's classes; else by ImageNet's values.

    Means and deviations also differ where one sensor saw another mix of classes. Standardising by domain would then pull
    equal things apart, so the target's colours are compared with the source's classes in their best mix.

    Args:
        sources: colours of each source, with classes where they are labelled.
        target: colours of the target.
    """
    if any((sample.is_byte != target.is_byte).any() for sample in sources):
        return Choice("domain", "one domain has 8-bit pixels and the other does not")
    raw_share, own_share = unlike_colours(sources, target, "imagenet"), unlike_colours(sources, target, "domain")
    if raw_share > own_share + _GAIN:
        return Choice(
            "domain",
            f"with it {own_share:.0%} of the target's colours match no class of the source, and without it {raw_share:.0%}",
        )
    return Choice(
        "imagenet",
        f"{raw_share:.0%} of the target's colours match no class of the source, and {own_share:.0%} would not after "
        "standardising each domain by itself",
    )


def unlike_colours(sources: Sequence[ColourSample], target: ColourSample, standardise: str) -> float:
    """Measure the share of the target's colours that no mix of a source's classes explains, 0 to 1; mean over sources.

    Args:
        standardise: 'imagenet' compares values on 0..1, 'domain' those standardised by each domain.
    """
    values = (lambda sample: sample.standardised) if standardise == "domain" else (lambda sample: sample.unit)
    unlike = []
    for sample in sources:
        classes = np.zeros(sample.pixels.shape[1], np.uint8) if sample.classes is None else sample.classes
        has_label = classes != IGNORE
        if not has_label.any():
            classes, has_label = np.zeros_like(classes), ~has_label
        unlike.append(explain_by_classes(values(sample)[:, has_label], classes[has_label], values(target)).unexplained)
    return float(np.mean(unlike))


def choose_band_mixing(sources: Sequence[ColourSample], target: ColourSample) -> Choice:
    """Mix bands fully where they vary together in another way than in the target, which a change of sensor does.

    Args:
        sources: colours of each source.
        target: colours of the target.
    """
    if len(target.bands) < 2:
        return Choice(0.0, "the model is fed one band")
    differences = [colour_relations(sample, target) for sample in sources]
    furthest = int(np.argmax([difference.max() for difference in differences]))
    row, col = np.unravel_index(int(differences[furthest].argmax()), differences[furthest].shape)
    before, after = (sample.correlation[row, col] for sample in (sources[furthest], target))
    if differences[furthest].max() > _SAME_RELATIONS:
        return Choice(
            1.0,
            f"{target.bands[min(row, col)]} and {target.bands[max(row, col)]} are correlated differently "
            f"in source ({before:.3f}) and target ({after:.3f})",
        )
    return Choice(0.0, "both domains have the same bands, correlated as in images of one sensor")


def choose_target_statistics(start: Spec | None, standardise: str, band_mixing: float) -> Choice:
    """Estimate batch norm on the target where colours differ; the means of features also follow the mix of classes.

    Args:
        start: spec of the model that training starts from, which may have seen other colours.
        standardise, band_mixing: what is chosen for the pair.
    """
    if start is None and standardise == "imagenet" and not band_mixing:
        return Choice(
            False, "the colours are those of one sensor, so the features of a class are alike in both domains"
        )
    return Choice(True, "the colours of the target differ from those that the model learns")


def _mixing_choice(look: PairLook, fed: FedBands, read_at: float | None) -> Choice:
    """Mix bands fully between sensors: they differ in bands, or in how their bands vary together."""
    if len(fed[1]) > 1 and set(look.source_bands) != set(look.target_bands):
        return Choice(
            1.0, f"the sensors differ: bands {band_code(look.source_bands)} and {band_code(look.target_bands)}"
        )
    return choose_band_mixing(*look.colours(fed, read_at))


def _start_choice(start: Spec) -> Choice:
    return Choice("imagenet" if imagenet(start) else "domain", "as in the model that training starts from")


def _gsd_of(scene: Scene) -> float:
    return sum(scene.gsd) / 2


def _area_of(scene: Scene) -> float:
    down, across = scene.gsd
    return scene.grid.height * scene.grid.width * down * across


def _text(value: Any) -> str:
    """Write a value as a configuration file does, but a GSD of null as what it means."""
    if value is None:
        return "the target's"
    return str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, str) else f"{value:g}"
