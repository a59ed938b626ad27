"""Scales and offsets of files: numbers are read as stored, and whoever mixes kinds of them is told."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
from oracle_models import legend, write

from rsuda.core.errors import InputError
from rsuda.core.spec import Spec
from rsuda.data.checks.scaling import scaling_gap, scaling_notes, scaling_of
from rsuda.data.checks.suitability import doubts
from rsuda.data.statistics.domain_statistics import make_spec
from rsuda.geo.rasters.info import raster_facts
from rsuda.geo.scenes.scene import Scene

LEGEND = legend()
BANDS = ("red", "green", "blue")
SINCE_2022, BEFORE = (1e-4, -0.1), (1e-4, 0.0)


def scene(path, *pairs, add=0):
    """A scene of reflectances by stored numbers, with a scale and an offset of each band, or of all."""
    values = np.random.default_rng(0).integers(500, 3000, (3, 64, 64)).astype(np.uint16) + add
    write(path, values)
    if pairs:
        with rasterio.open(path, "r+") as file:
            every = pairs * (3 // len(pairs))
            file.scales, file.offsets = [scale for scale, _ in every], [offset for _, offset in every]
    return Scene(path.stem, path, bands=BANDS)


def spec_of(*scenes):
    return make_spec(list(scenes), BANDS, 0.5, LEGEND, sampled_at=None, standardise="domain")


def test_the_spec_remembers_what_the_numbers_of_its_files_mean(tmp_path):
    plain, tagged = scene(tmp_path / "a.tif"), scene(tmp_path / "b.tif", SINCE_2022)
    assert scaling_of(plain, BANDS) == () and scaling_of(tagged, ("blue",)) == (SINCE_2022,)
    assert spec_of(plain).scaling == () and "scaling" not in spec_of(plain).as_fields()
    spec = spec_of(tagged)
    assert Spec.from_fields(spec.as_fields()).scaling == (SINCE_2022,) * 3
    for bad in ([SINCE_2022], [(0, 1)] * 3):
        with pytest.raises(InputError, match="'scaling' must have a scale other than 0"):
            Spec.from_fields(spec.as_fields() | {"scaling": bad})


@pytest.mark.parametrize("pairs, shift", [((SINCE_2022,), 1000), ((BEFORE,), 0)])
def test_the_advice_turns_numbers_into_those_of_training(tmp_path, pairs, shift):
    """A scene of the kind before 2022 has the reflectances of a later one whose stored numbers are higher by 1000."""
    before, trained = scene(tmp_path / "before.tif", BEFORE), spec_of(scene(tmp_path / "a.tif", *pairs, add=shift))
    sentences = [text for text in doubts(before, trained)[1] if "scale or offset" in text]
    assert len(sentences) == (shift != 0)
    if shift:
        assert sentences[0].endswith("rsuda reads the stored numbers: add 1000 in all bands first")
        moved = scene(tmp_path / "moved.tif", SINCE_2022, add=1000)
        assert not doubts(moved, trained)[1]


def test_a_scene_without_scale_is_to_be_checked(tmp_path):
    plain, tagged = scene(tmp_path / "a.tif"), scene(tmp_path / "b.tif", (1.0, 0.0), BEFORE, BEFORE)
    assert "it declares none, the others scale 0.0001 and offset 0; check" in doubts(plain, spec_of(tagged))[1][0]
    assert "it declares scale 0.0001 and offset 0, the others none; check" in doubts(tagged, spec_of(plain))[1][0]
    other = scene(tmp_path / "c.tif", (1.0, 0.0), BEFORE, SINCE_2022)
    assert "add -1000 in band blue, and others likewise first" in doubts(other, spec_of(tagged))[1][0]


def test_unlike_scenes_of_a_domain_and_unlike_domains_are_named(tmp_path):
    scenes = [
        scene(tmp_path / "a.tif", BEFORE),
        scene(tmp_path / "b.tif", BEFORE),
        scene(tmp_path / "c.tif", SINCE_2022),
    ]
    (note,) = scaling_notes("city", scenes, BANDS)
    assert "city differ in scale or offset (1 of 3 from" in note and "c.tif: add -1000 in all bands" in note
    assert scaling_notes("city", scenes[:2], BANDS) == []
    one, other = spec_of(scenes[0]), spec_of(scenes[2])
    assert scaling_gap([one], one, "imagenet") == []
    assert "makes up for it" in scaling_gap([one, other], one, "domain")[0]
    byte = replace(other, low=(0.0,) * 3, high=(255.0,) * 3)
    assert scaling_gap([one], byte, "imagenet")[0].endswith("set align.standardise to domain")


def test_info_prints_scale_and_offset(tmp_path):
    bands = raster_facts(scene(tmp_path / "a.tif", (1.0, 0.0), BEFORE, SINCE_2022).image)["bands"]
    assert [(band.get("scale"), band.get("offset")) for band in bands] == [(None, None), BEFORE, SINCE_2022]
