"""Look at a source and a target before training: their scenes, bands, GSD and colours. No target label is opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rsuda.core.band_names import example_order
from rsuda.core.errors import InputError
from rsuda.core.settings import Settings
from rsuda.core.spec import Spec, band_code
from rsuda.core.spelling import spell
from rsuda.data.checks.files import check_readable
from rsuda.data.domains.domain import Domain
from rsuda.data.statistics.colour_sample import ColourSample, sample_colours
from rsuda.geo.scenes.scene import Scene

FedBands = tuple[tuple[str, ...], tuple[str, ...]]  # of source and target, in the model's order


@dataclass(frozen=True)
class PairLook:
    """Facts of both domains before training.

    Attributes:
        source, target: the domains.
        groups: the training scenes of each source, by its name.
        targets: the target's training scenes, without labels.
        source_bands, target_bands: names in file order.
        target_is_named: whether the target's bands have names; otherwise they are assumed to be the source's.
        start: spec of the model that training starts from.
        within_target: whether the source's scenes are scenes of the target.
    """

    source: Domain
    target: Domain
    groups: tuple[tuple[str, list[Scene]], ...]
    targets: list[Scene]
    source_bands: tuple[str, ...]
    target_bands: tuple[str, ...]
    target_is_named: bool
    start: Spec | None
    within_target: bool
    _colours: dict[tuple[FedBands, float | None], tuple[list[ColourSample], ColourSample]] = field(default_factory=dict)

    @property
    def sources(self) -> list[Scene]:
        """The training scenes of all sources."""
        return [scene for _, scenes in self.groups for scene in scenes]

    def fed(self, matching: str) -> FedBands:
        """Choose the bands of source and target that the model is fed. Raises InputError as ``match_bands``."""
        if self.start is not None:
            return self.start.bands, self.start.bands
        return match_bands(self.source_bands, self.target_bands, matching)

    def colours(self, fed: FedBands, gsd: float | None) -> tuple[list[ColourSample], ColourSample]:
        """Sample the colours of each source, with classes, and of the target, once.

        Args:
            gsd: metres per pixel to sample at; None for each scene's own.
        """
        if (fed, gsd) not in self._colours:
            sources = [sample_colours(scenes, fed[0], gsd, self.source.legend) for _, scenes in self.groups]
            self._colours[fed, gsd] = sources, sample_colours(self.targets, fed[1], gsd)
        return self._colours[fed, gsd]

    @property
    def sampled(self) -> bool:
        """Whether colours were sampled."""
        return bool(self._colours)


def look_at(source: Domain, target: Domain, settings: Settings, start: Spec | None = None) -> PairLook:
    """Look at the training scenes of a source and a target.

    Args:
        start: spec of the model that training starts from.

    Raises:
        InputError, MissingError: the source lacks labels, a file cannot be read, or bands without names do not fit.
    """
    for part in source.parts:
        part.labelled(settings.source.split)
    sources = source.labelled(settings.source.split)
    targets = unlabelled_scenes(target, settings.target.split)
    check_readable([*sources, *targets])
    target_bands = target.bands or _assumed_bands(source, targets[0])
    assert source.bands is not None
    return PairLook(
        source,
        target,
        tuple(_groups(source, sources)),
        targets,
        source.bands,
        target_bands,
        target.bands is not None,
        start,
        _are_scenes_of(sources, target),
    )


def _groups(source: Domain, scenes: list[Scene]) -> list[tuple[str, list[Scene]]]:
    """Group the training scenes of each source by its name."""
    if not source.parts:
        return [(source.name, scenes)]
    groups: dict[str, list[Scene]] = {}
    for scene in scenes:
        groups.setdefault(scene.name.partition(":")[0], []).append(scene)
    return list(groups.items())


def unlabelled_scenes(target: Domain, split: str) -> list[Scene]:
    """List the target's scenes for training, without their labels."""
    scenes = target.split(split if split in target.splits else "all")
    return [scene.without_label() for scene in scenes]


def _are_scenes_of(scenes: list[Scene], domain: Domain) -> bool:
    images = {Path(scene.image).resolve() for scene in domain.scenes.values()}
    return all(Path(scene.image).resolve() in images for scene in scenes)


def _assumed_bands(source: Domain, first: Scene) -> tuple[str, ...]:
    """Assume the source's band names where the target's files have as many bands and no names."""
    file = first.file
    if source.bands is None or len(file.image_numbers) != len(source.bands):
        source_count = f", and the source has {len(source.bands)}" if source.bands else ""
        raise InputError(
            f"{file.path} has {file.count} band{'s' * (file.count > 1)} of unknown order{source_count}: name "
            f"{'them' if file.count > 1 else 'it'} in file order, for example "
            f"{spell('target_bands', example_order(file.count))} "
            "(bands: in a domain file)"
        )
    return source.bands


def match_bands(source: tuple[str, ...], target: tuple[str, ...], matching: str) -> FedBands:
    """Choose the bands that are fed from each domain.

    If one domain has all bands of the other, these are fed by name. Otherwise 'name' feeds the bands that both have, and
    'order' the first bands of each in file order.

    Raises:
        InputError: matching by name finds no common band.
    """
    if set(target) <= set(source):
        return target, target
    if set(source) <= set(target):
        return source, source
    if matching == "name":
        both = tuple(band for band in target if band in source)
        if not both:
            raise InputError(
                f"bands {band_code(source)} and {band_code(target)} have no name in common: use band_matching: order "
                "(one source), or name the bands alike"
            )
        return both, both
    count = min(len(source), len(target))
    return source[:count], target[:count]


def band_notes(look: PairLook, fed: FedBands) -> list[str]:
    """Say which bands the model is fed, where that is not obvious."""
    source, target = look.source, look.target
    notes = []
    if not look.target_is_named:
        notes.append(
            f"the bands of {target.name} have no names in its files and are assumed to be {band_code(look.target_bands)}"
        )
    bands = match_bands(look.source_bands, look.target_bands, "name")[1] if source.parts else look.target_bands
    if source.parts and set(bands) != set(look.target_bands):
        notes.append(
            f"the network is fed {band_code(bands)}, the bands that all sources and {target.name} have, of "
            f"{band_code(look.target_bands)}"
        )
    if fed[0] != fed[1]:
        notes.append(
            f"the network is fed {band_code(fed[0])} of {source.name} and {band_code(fed[1])} of {target.name}, "
            "band by band: they differ (band_matching: name feeds only those that both have)"
        )
    return notes
