"""Say by a rule of thumb what a pair's gap may cost a map. The thresholds come from reasoning and four pairs, not from proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rsuda.core.spec import band_code
from rsuda.data.pairs.alignment_choice import SIMILAR_GSD, finest_gsd
from rsuda.data.pairs.look import FedBands, PairLook

LEVELS = ("low", "moderate", "high")
# Share of the target's colours that no mix of the source's classes explains, after alignment. Two halves of one city have
# 0.10, and four pairs of real domains 0.14 to 0.30 (docs/data.md).
UNLIKE_COLOURS = (0.15, 0.4)
COARSER = (SIMILAR_GSD, 3.0)  # times that the source is coarser than the target
RARE = 0.01  # share of the source's labelled pixels below which a class has few examples


@dataclass(frozen=True)
class Reason:
    """A sentence on one part of the gap, and its level."""

    level: str
    text: str


@dataclass(frozen=True)
class Risk:
    """Expected risk of a map of the target.

    Attributes:
        reasons: bands, GSD, colours and classes, each with its level.
        apart: mean distance of the bands in deviations, as the files are.
        apart_aligned: the same as the model is trained on them.
        unlike: share of the target's colours that no mix of the source's classes explains, after alignment.
    """

    reasons: tuple[Reason, ...]
    apart: float
    apart_aligned: float
    unlike: float

    @property
    def level(self) -> str:
        """The highest level of all reasons."""
        return max((reason.level for reason in self.reasons), key=LEVELS.index)

    def as_fields(self) -> dict[str, Any]:
        """Return values that JSON can hold."""
        return {
            "level": self.level,
            "apart": round(self.apart, 3),
            "apart_aligned": round(self.apart_aligned, 3),
            "unlike": round(self.unlike, 3),
            "reasons": [{"level": reason.level, "text": reason.text} for reason in self.reasons],
        }


def expected_risk(
    look: PairLook, fed: FedBands, apart: tuple[float, float], unlike: float, class_shares: Mapping[str, float]
) -> Risk:
    """Judge bands, GSD, colours and classes of a pair.

    Args:
        fed: bands of source and target that the model is fed.
        apart: mean distance of the bands in deviations, before and after alignment.
        unlike: share of the target's colours that no mix of the source's classes explains, after alignment.
        class_shares: shares of the source's labelled pixels.
    """
    if look.within_target:
        reasons = [Reason("low", "the source's scenes are the target's own"), _classes(look, class_shares)]
    else:
        reasons = [_bands(look, fed), _detail(look), _colours(unlike), _classes(look, class_shares)]
    return Risk(tuple(reasons), *apart, unlike)


def _bands(look: PairLook, fed: FedBands) -> Reason:
    if fed[0] != fed[1]:
        return Reason("high", f"{band_code(fed[0])} of the source stands for {band_code(fed[1])} of the target")
    other_bands = [band for band in look.source_bands if band not in fed[0]]
    if other_bands:
        return Reason(
            "moderate", f"the model is fed {', '.join(fed[0])}, without {', '.join(other_bands)} of the source"
        )
    return Reason("low", f"the model is fed {', '.join(fed[0])}, all bands of the source")


def _detail(look: PairLook) -> Reason:
    finest, target = finest_gsd(look), look.target.gsd
    if finest <= SIMILAR_GSD * target:
        return Reason("low", f"the source ({finest:g} m) has the detail of the target ({target:g} m)")
    text = f"the source ({finest:g} m) is {finest / target:.1f} times coarser than the target ({target:g} m)"
    return Reason(_level(finest / target, COARSER), text)


def _colours(unlike: float) -> Reason:
    text = f"{unlike:.0%} of the target's colours match no class of the source, after alignment"
    return Reason(_level(unlike, UNLIKE_COLOURS), text)


def _classes(look: PairLook, shares: Mapping[str, float]) -> Reason:
    legend = look.target.legend
    absent_classes = [name for name in legend.names if not shares.get(name)] if legend else []
    if absent_classes:
        return Reason("high", f"the source has no pixel of {', '.join(absent_classes)}, so the map cannot have it")
    rare = {name: share for name, share in shares.items() if share < RARE}
    if rare:
        shares_text = ", ".join(f"{name} ({share:.1%})" for name, share in rare.items())
        return Reason("moderate", f"classes with few pixels in the source: {shares_text}")
    least = min(shares, key=lambda name: shares[name])
    return Reason("low", f"each class has at least {shares[least]:.1%} of the source's pixels ({least})")


def _level(value: float, thresholds: tuple[float, float]) -> str:
    return LEVELS[sum(value > threshold for threshold in thresholds)]
