"""Domain files name images and labels of rarer kinds, and rsuda init pairs names as Cityscapes has them."""

import numpy as np
import pytest
import rasterio
import yaml
from rasterio.transform import from_origin

from rsuda.core.legend import Legend
from rsuda.data.checks.labels import outside_note
from rsuda.data.drafts.init import init
from rsuda.data.find_domain import domain

CLASSES = (np.arange(32 * 32).reshape(32, 32) // 256).astype(np.uint8)
VALUES = [{"name": f"c{k}", "colour": [k, 0, 0], "value": k} for k in range(4)]


def raster(path, pixels, driver="GTiff"):
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = pixels.shape
    place = {"crs": "EPSG:32633", "transform": from_origin(400000, 5500000, 1, 1)}
    with rasterio.open(path, "w", driver, width, height, count, dtype=pixels.dtype, **place) as file:
        file.write(pixels)


def test_patterns_may_end_in_any_suffix(tmp_path):
    raster(tmp_path / "img" / "a.dat", np.repeat(CLASSES[None], 3, 0), "ENVI")
    raster(tmp_path / "lab" / "a.bil", CLASSES[None], "EHdr")
    fields = {"name": "d", "images": {"X": {"files": "img/{t}.dat", "bands": "RGB"}}, "labels": ["lab/{t}.bil"]}
    (tmp_path / "d.yaml").write_text(yaml.safe_dump({**fields, "legend": VALUES, "splits": {"train": ["*"]}}))
    scene = domain(tmp_path / "d.yaml", tmp_path).labelled("train")[0]
    assert np.array_equal(scene.whole_label(Legend.from_fields(VALUES))[0], CLASSES)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_cityscapes_names_are_pairs_and_one_split_is_no_empty_one(tmp_path):
    for tile in ("aachen_000000_000019", "aachen_000001_000019"):
        raster(
            tmp_path / f"city/leftImg8bit/train/aachen/{tile}_leftImg8bit.png", np.repeat(CLASSES[None], 3, 0), "PNG"
        )
        for kind in ("labelIds", "color"):
            raster(tmp_path / f"city/gtFine/train/aachen/{tile}_gtFine_{kind}.png", CLASSES[None], "PNG")
    facts = init(tmp_path / "city", out=tmp_path / "city.yaml")
    assert facts["scenes"] == facts["labelled"] == 2
    assert facts["labels"] == ["gtFine/train/aachen/{tile}_gtFine_labelIds.png"]
    assert len(domain(tmp_path / "city.yaml", tmp_path / "city").labelled("train")) == 2


def test_smears_are_called_so_and_other_values_are_shown(tmp_path):
    legend = Legend.from_fields(VALUES[:2])
    for name, driver, sentence in (
        ("a.png", "PNG", "a.png holds mostly 0 (25%), 1 (25%)"),
        ("a.jpg", "JPEG", "smears at"),
    ):
        raster(tmp_path / driver / "img" / "a.tif", np.repeat(CLASSES[None], 3, 0))
        raster(tmp_path / driver / "lab" / name, CLASSES[None], driver)
        fields = {"name": "d", "images": {"X": {"files": "img/{t}.tif", "bands": "RGB"}}, "labels": [f"lab/{name}"]}
        (tmp_path / "d.yaml").write_text(yaml.safe_dump({**fields, "legend": VALUES[:2]}))
        scenes = list(domain(tmp_path / "d.yaml", tmp_path / driver).scenes.values())
        assert sentence in outside_note(scenes, legend)
