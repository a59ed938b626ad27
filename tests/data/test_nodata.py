"""Test that a nodata value is declared for domains, deliveries, targets and scenes, and reaches pixels and notes."""

import json

import numpy as np
import pytest
import yaml
from rasterio.transform import from_origin

from rsuda.core.errors import InputError
from rsuda.core.settings import make_settings
from rsuda.data.checks.validity import collar_notes, label_nodata_notes
from rsuda.data.find_domain import domain, find_domains
from rsuda.data.pairs.pair import pair

PLACED = {"crs": "EPSG:32633", "transform": from_origin(400000, 5500000, 1, 1)}
ROWS, COLS = np.mgrid[:96, :128]
RIM = ROWS + COLS < 60


@pytest.fixture
def folder(write, tmp_path):
    """A data folder of one scene with a black rim and its label, and a domain file."""
    image = np.random.default_rng(0).normal(110, 20, (3, 96, 128)).clip(20, 250).astype(np.uint8)
    image[:, RIM] = 0
    write("img/x.tif", image, photometric="rgb", **PLACED)
    write("lab/x.tif", (COLS // 50).astype(np.uint8)[None], nodata=0, **PLACED)
    write_domain(tmp_path)
    return tmp_path


def write_domain(folder, image=None, **fields):
    legend = [{"name": name, "value": value, "colour": [value, 9, 9]} for value, name in enumerate("abc")]
    images = {"RGB": {"files": "img/{t}.tif", "bands": "RGB", **(image or {})}}
    content = {"name": "d", "images": images, "labels": ["lab/{t}.tif"], "legend": legend, **fields}
    (folder / "d.yaml").write_text(yaml.safe_dump(content))


@pytest.mark.parametrize(
    ("fields", "image", "valid"),
    [({}, {}, True), ({"nodata": 0}, {}, False), ({}, {"nodata": 0}, False), ({"nodata": 7}, {"nodata": 0}, False)],
)
def test_domain_and_delivery_declare_nodata(folder, fields, image, valid):
    write_domain(folder, image, **fields)
    scene = domain(folder / "d.yaml", folder).scenes["x"]
    assert scene.file.read().valid[RIM].all() == valid
    assert scene.file.read().valid[~RIM].all()


def test_nodata_that_is_no_number_is_refused(folder):
    write_domain(folder, nodata="black")
    with pytest.raises(InputError, match=r"field nodata is 'black'; it must be a number"):
        domain(folder / "d.yaml", folder)


def test_target_declares_nodata(folder):
    names = {"source.name": str(folder / "d.yaml"), "target.name": str(folder / "img"), "data": str(folder)}
    settings = make_settings().changed({**names, "target.nodata": 0})
    source, target = find_domains(settings)
    assert source.scenes["x"].nodata is None
    assert not target.scenes["x"].file.read().valid[RIM].any()
    notes = pair(source, target, settings).notes
    assert any("1 of 1 scenes of d have a collar" in note and "nodata=0" in note for note in notes)
    assert not any("of img have a collar" in note for note in notes)
    assert any("nodata value of label" in note and "class 'a'" in note for note in notes)


def test_notes_of_collars_and_labels(folder):
    described = domain(folder / "d.yaml", folder)
    scenes = list(described.scenes.values())
    assert "nodata=0" in collar_notes("d", scenes, described.bands)[0]
    assert len(label_nodata_notes(scenes, described.legend)) == 1


def test_predict_notes_a_collar_and_leaves_out_declared_nodata(rsuda, folder):
    json.loads(rsuda("info", folder / "img" / "x.tif", "--json").out)
    assert "--nodata 0" in rsuda("info", folder / "img" / "x.tif").out
    assert "--nodata 0" not in rsuda("info", folder / "img" / "x.tif", "--nodata", "0").out
