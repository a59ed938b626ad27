"""Measure the gap of a pair: colours, classes, the settings that ``rsuda adapt`` would choose, and the expected risk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rsuda.core.legend import Legend
from rsuda.core.settings import make_settings
from rsuda.core.spec import band_code
from rsuda.data.checks.labels import class_notes
from rsuda.data.pairs.alignment_choice import Alignment, choose_alignment, common_gsd, unlike_colours
from rsuda.data.pairs.look import FedBands, PairLook, band_notes
from rsuda.data.statistics.colour_sample import ColourSample, colour_distances, mean_distances, standardised_distances
from rsuda.data.statistics.domain_statistics import class_statistics
from rsuda.geo.scenes.scene import Scene
from rsuda.info.gap_risk import Risk, expected_risk


@dataclass(frozen=True)
class Gap:
    """Measured gap between both domains of a pair before training.

    Attributes:
        look: the scenes and bands of both.
        alignment: the settings that ``rsuda adapt`` would choose.
        fed: bands of source and target that the model is fed.
        gsd: common metres per pixel; None for each scene's own.
        sources: colours of each source.
        target: colours of the target.
        class_shares: shares of the source's labelled pixels, by class.
        risk: what is to be expected, by a rule of thumb.
        notes: sentences for users.
    """

    look: PairLook
    alignment: Alignment
    fed: FedBands
    gsd: float | None
    sources: list[ColourSample]
    target: ColourSample
    class_shares: dict[str, float]
    risk: Risk
    notes: tuple[str, ...]

    @property
    def legend(self) -> Legend:
        """The source's legend."""
        assert self.look.source.legend is not None
        return self.look.source.legend

    def as_fields(self) -> dict[str, Any]:
        """Return values that JSON can hold."""
        names = [name for name, _ in self.look.groups]
        settings = self.alignment.as_settings()
        reasons = {f"align.{name}": reason for name, reason in self.alignment.reasons.items()}
        return {
            "kind": "gap",
            "sources": [_domain_fields(name, scenes, self.look.source_bands) for name, scenes in self.look.groups],
            "target": _domain_fields(self.look.target.name, self.look.targets, self.look.target_bands),
            "gsd": self.gsd,
            "classes": {name: round(share, 4) for name, share in self.class_shares.items()},
            "target_classes": list(self.look.target.legend.names) if self.look.target.legend else None,
            "bands": {
                name: _band_fields(sample, self.target, self.alignment)
                for name, sample in zip(names, self.sources, strict=True)
            },
            "settings": {name: {"value": value, "reason": reasons.get(name)} for name, value in settings.items()},
            "risk": self.risk.as_fields(),
            "notes": list(self.notes),
        }


def measure(look: PairLook) -> Gap:
    """Measure the gap of a pair: colours, classes of the source, the settings that are chosen, and the expected risk."""
    source, target = look.source, look.target
    assert source.legend is not None
    alignment = choose_alignment(make_settings().align, look)
    model_bands = look.fed("name" if source.parts else alignment.band_matching)
    gsd = common_gsd(look, alignment.gsd)
    samples, target_sample = look.colours(model_bands, gsd)
    shares, _, _ = class_statistics(look.sources, source.legend)
    by_class = dict(zip(source.legend.names, shares, strict=True))
    notes = [*source.notes, *target.notes, *band_notes(look, model_bands), *class_notes(source, target, shares)]
    left = max(float(_aligned_distances(sample, target_sample, alignment).mean()) for sample in samples)
    before = max(float(colour_distances(sample, target_sample).mean()) for sample in samples)
    unlike = unlike_colours(samples, target_sample, alignment.standardise)
    risk = expected_risk(look, model_bands, (before, left), unlike, by_class)
    return Gap(look, alignment, model_bands, gsd, samples, target_sample, by_class, risk, tuple(dict.fromkeys(notes)))


def _aligned_distances(source: ColourSample, target: ColourSample, alignment: Alignment) -> np.ndarray:
    """Measure the distances of the bands as the model is trained on them."""
    return (standardised_distances if alignment.standardise == "domain" else colour_distances)(source, target)


def _domain_fields(name: str, scenes: Sequence[Scene], bands: tuple[str, ...]) -> dict[str, Any]:
    sizes = [sum(scene.gsd) / 2 for scene in scenes]
    return {
        "name": name,
        "scenes": len(scenes),
        "bands": band_code(bands),
        "gsd": [round(min(sizes), 6), round(max(sizes), 6)],
        "types": sorted({kind for scene in scenes for kind in scene.file.dtypes}),
    }


def _band_fields(source: ColourSample, target: ColourSample, alignment: Alignment) -> list[dict[str, Any]]:
    distances = {
        "means_apart": mean_distances(source, target),
        "apart": colour_distances(source, target),
        "apart_aligned": _aligned_distances(source, target, alignment),
    }
    return [
        {
            "source_band": source.bands[i],
            "target_band": target.bands[i],
            **{
                f"{domain}_{what}": round(float(statistic(sample.pixels[i], dtype=np.float64)), 4)
                for domain, sample in (("source", source), ("target", target))
                for what, statistic in (("mean", np.mean), ("deviation", np.std))
            },
            **{name: round(float(values[i]), 3) for name, values in distances.items()},
        }
        for i in range(len(target.bands))
    ]
