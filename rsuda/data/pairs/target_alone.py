"""Prepare a target for adaptation without the source's data: what a start expects, and the target's own statistics."""

from __future__ import annotations

from rsuda.core.crosswalk import unshared_note
from rsuda.core.errors import InputError
from rsuda.core.settings import Settings
from rsuda.core.spec import Spec
from rsuda.core.spelling import spell
from rsuda.data.checks.files import check_readable
from rsuda.data.checks.labels import scene_notes
from rsuda.data.checks.pixel_types import byte_bands
from rsuda.data.checks.scaling import scaling_notes
from rsuda.data.checks.suitability import imagenet
from rsuda.data.checks.validity import collar_notes
from rsuda.data.domains.domain import Domain
from rsuda.data.pairs.alignment_choice import Alignment
from rsuda.data.pairs.hints import training_hints
from rsuda.data.pairs.look import unlabelled_scenes
from rsuda.data.pairs.pair import Pair
from rsuda.data.statistics.class_locations import ClassLocations
from rsuda.data.statistics.domain_statistics import make_spec


def target_alone(target: Domain, settings: Settings, start: Spec) -> Pair:
    """Describe a target without a source: a pair that has no source scene.

    Bands, GSD and classes are those of the start. Mean and deviation are the target's own, and so is the value range
    for pixels of more than 8 bits. 'domain' and 'imagenet' mean what they mean in a pair.

    Args:
        start: spec of the network that training starts from.

    Raises:
        InputError: the target lacks a band of the start, or the settings ask for another GSD.
    """
    gsd = settings.align.gsd if isinstance(settings.align.gsd, float) else None
    if gsd not in (None, start.gsd):
        raise InputError(
            f"{spell('gsd')} is {gsd}, but the model of {settings.network.start} was trained at {start.gsd:g} m: leave it out"
        )
    scenes = unlabelled_scenes(target, settings.target.split)
    check_readable(scenes)
    byte_bands(scenes, start.bands)  # errors in headers show now, not in the middle of training
    for scene in scenes:
        scene.step(start.gsd)
    notes = [*target.notes, *scene_notes(scenes), *collar_notes(target.name, scenes, start.bands)]
    notes += scaling_notes(target.name, scenes, start.bands)
    if target.legend is not None:
        notes.append(unshared_note(start.legend.names, target.legend.names, f"the target {target.name}") or "")
    hints, hint_notes = training_hints(target, scenes, start.legend)
    notes += hint_notes
    standardise: str = settings.align.standardise
    if standardise == "auto":
        standardise = "imagenet" if imagenet(start) else "domain"
    spec = make_spec(scenes, start.bands, start.gsd, start.legend, sampled_at=start.gsd, standardise=standardise)
    statistics = settings.align.target_statistics
    alignment = Alignment(gsd, standardise, "name", 0.0, True if statistics == "auto" else statistics)
    return Pair(
        source=[],
        target=scenes,
        source_spec=spec,
        target_spec=spec,
        legend=start.legend,
        gsd=start.gsd,
        class_shares=(),
        class_locations=ClassLocations(len(start.legend)),
        matching=None,
        notes=tuple(note for note in notes if note),
        alignment=alignment,
        hints=hints,
    )
