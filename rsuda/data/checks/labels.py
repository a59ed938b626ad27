"""Say what a user should know of labels: which files they are, polygons without a class or elsewhere, a single class."""

from __future__ import annotations

from collections.abc import Sequence

from rsuda.core.crosswalk import unshared_note
from rsuda.core.errors import InputError
from rsuda.core.legend import Legend
from rsuda.data.domains.domain import Domain, some_names
from rsuda.geo.polygons.classes import PolygonLayer, classes_of, ignored_note
from rsuda.geo.polygons.labels import PolygonLabels
from rsuda.geo.rasters.alignment import PlacedFile
from rsuda.geo.rasters.info import frequent_values
from rsuda.geo.scenes.scene import Scene

_MOST = 10  # sentences on layers; a domain may have a file of polygons for each of thousands of scenes


def label_set_note(domain: Domain) -> str | None:
    """Say which label files were taken, if the domain names several sets of them; None without a choice."""
    if len(domain.label_sets) < 2:
        return None
    label_files = "; ".join(str(labels) for labels in domain.label_sets if labels.scenes)
    return f"labels of {domain.name}: {label_files}" if label_files else None


def single_class_note(domain: Domain, shares: Sequence[float]) -> str | None:
    """Say that all labelled pixels of training are of one class; None if there are more."""
    assert domain.legend is not None
    names = [name for name, share in zip(domain.legend.names, shares, strict=True) if share > 0]
    if len(names) != 1:
        return None
    has_polygons = any(scene.has_polygons for scene in domain.scenes.values())
    advice = "name the class of uncovered pixels with 'uncovered:'" if has_polygons else "add labels of another class"
    return f"{domain.name}: all labelled pixels are {names[0]}: {advice}"


def class_notes(source: Domain, target: Domain, shares: Sequence[float]) -> list[str]:
    """Say which classes the source has no pixel of, and which the source and a target with a legend do not share."""
    assert source.legend is not None
    names = source.legend.names
    empty = [name for name, share in zip(names, shares, strict=True) if not share]
    notes = [single_class_note(source, shares)]
    if empty and len(empty) < len(names):
        notes.append(f"no labelled pixel of {source.name} is {' or '.join(empty)}: the model cannot learn it")
    if target.legend is not None:
        notes.append(
            unshared_note(names, target.legend.names, f"the target {target.name}", first=f"the source {source.name}")
        )
    return [note for note in notes if note]


def scene_notes(scenes: Sequence[Scene]) -> list[str]:
    """Say of how many scenes the declared GSD and the georeference differ, with the first one as the example."""
    notes = [note for scene in scenes if (note := scene.gsd_note)]
    others = f"; {len(notes) - 1} other scene{'s' * (len(notes) > 2)} alike" if len(notes) > 1 else ""
    return [notes[0] + others] if notes else []


def place_notes(scenes: Sequence[Scene]) -> list[str]:
    """Say which share of the images has no labels, where rasters of labels have other pixels than their images.

    Raises:
        InputError: a label lies elsewhere, or has another size where a georeference is missing.
    """
    rasters = [(scene, scene.label_file) for scene in scenes if scene.label is not None and not scene.has_polygons]
    total, overlap, aside = 0, 0.0, []
    for scene, file in rasters:
        assert isinstance(file, PlacedFile)
        pixels, share = scene.grid.height * scene.grid.width, file.coverage
        total, overlap = total + pixels, overlap + share * pixels
        aside += [scene.name] if share < 0.999 else []
    if not aside:
        return []
    return [
        f"the label rasters cover {100 * overlap / total:.3g}% of the images; {len(aside)} of {len(rasters)} scenes reach "
        f"beyond them ({some_names(aside)}), and these pixels are ignored"
    ]


def outside_note(scenes: Sequence[Scene], legend: Legend) -> str:
    """Say what label pixels outside of the legend are: smears of lossy or resampled labels, or values to check."""
    files = [scene.label_file for scene in scenes if scene.label is not None and not scene.has_polygons]
    rasters = [file.file for file in files if isinstance(file, PlacedFile)]
    if legend.tolerance or any(file.validity.lossy for file in rasters):
        return "between the colours or values of two classes, as smears at borders are, and ignored"
    holds = f"; {rasters[0].path} holds mostly {frequent_values(rasters[0])}" if rasters else ""
    return f"outside of the legend, and ignored: check its values or colours{holds}"


def label_notes(scenes: Sequence[Scene], legend: Legend) -> list[str]:
    """Say what a user should know of where labels lie; see ``place_notes`` and ``polygon_notes``."""
    return [*place_notes(scenes), *polygon_notes(scenes, legend)]


def polygon_notes(scenes: Sequence[Scene], legend: Legend) -> list[str]:
    """Say which polygons have no class and which scenes no polygon touches; scenes with labels of rasters are left out.

    Raises:
        InputError: no polygon touches any of the scenes, and no class of uncovered pixels is named.
    """
    labels = {scene.name: scene.label_file for scene in scenes if scene.has_polygons}
    polygon_labels = {name: label for name, label in labels.items() if isinstance(label, PolygonLabels)}
    if not polygon_labels:
        return []
    layers: dict[PolygonLayer, None] = {layer: None for label in polygon_labels.values() for layer in label.layers}
    sentences = (ignored_note(layer, classes_of(layer, legend.own)) for layer in layers if layer.one_class is None)
    notes = [sentence for sentence in sentences if sentence][:_MOST]
    bare = {name: label for name, label in polygon_labels.items() if not label.touch(legend)}
    hollow = [name for name in bare if bare[name].bounds(legend) is None]
    if hollow:
        file = bare[hollow[0]].layers[0].path
        notes.append(
            f"{file} holds no polygon, so {len(hollow)} of the {len(polygon_labels)} scenes have none ({some_names(hollow)})"
        )
    with_polygons = [name for name in bare if bare[name].bounds(legend) is not None]
    if with_polygons:
        place = _places(with_polygons[0], bare[with_polygons[0]], legend)
        uncovered = any(layer.uncovered for label in bare.values() for layer in label.layers)
        if len(bare) == sum(scene.label is not None for scene in scenes) and not uncovered:
            raise InputError(f"no polygon touches any of the {len(bare)} labelled scenes: {place}: check the CRS")
        notes.append(
            f"no polygon touches {len(with_polygons)} of the {len(polygon_labels)} scenes ({some_names(with_polygons)}): {place}"
        )
    return notes


def _places(name: str, label: PolygonLabels, legend: Legend) -> str:
    """Describe where the polygons and a scene lie, in the scene's CRS."""
    bounds = label.bounds(legend)
    assert bounds is not None
    files = " and ".join(str(layer.path) for layer in label.layers)
    polygons, scene = (" ".join(f"{side:.10g}" for side in sides) for sides in (bounds, label.grid.bounds))
    return f"{files} lies at {polygons} (left bottom right top), scene {name} at {scene}"
