"""Vector files that cannot be read are told by what they are."""

import json

import geopandas as gpd
import pytest
from shapely.geometry import box

from rsuda.core.errors import InputError
from rsuda.geo.polygons.input import project, read_frame
from rsuda.geo.polygons.unread import annotation_note, why_unreadable

COCO = {"images": [], "annotations": [], "categories": []}
LABELME = {"version": "5", "shapes": [], "imagePath": "a.png"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (json.dumps(COCO), "it is COCO JSON, whose polygons are in pixels"),
        (json.dumps(LABELME), "it is LabelMe JSON"),
        ('{"type": "FeatureColl', "its JSON is invalid"),
        ("[1, 2]", "it is JSON of another format than GeoJSON"),
        ("", "it is empty"),
    ],
)
def test_json_that_holds_no_polygons_of_a_map(tmp_path, text, sentence):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError, match=sentence) as caught:
        read_frame(path)
    assert "It might help" not in str(caught.value)  # GDAL's advice is for programmers


def test_a_folder_with_annotations_is_noted(tmp_path):
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "broken.json").write_text("{")
    assert annotation_note(tmp_path) is None
    (tmp_path / "train.json").write_text(json.dumps(COCO))
    assert "train.json is not used: it is COCO JSON" in str(annotation_note(tmp_path))


def test_metres_in_a_file_of_degrees_are_shown():
    shapes = gpd.GeoSeries([box(400000, 5500000, 400100, 5500100)], crs="EPSG:4326")
    with pytest.raises(
        InputError, match=r"such as \(400100, 5500000\), do not fit the CRS that it declares, EPSG:4326"
    ):
        project(shapes, "EPSG:32633", "a.geojson")


def test_json_that_is_nested_deeply_is_refused_and_no_note(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 100_000)
    assert why_unreadable(tmp_path / "deep.json", ValueError()) == "its JSON is nested too deeply: export it again"
    assert annotation_note(tmp_path) is None
