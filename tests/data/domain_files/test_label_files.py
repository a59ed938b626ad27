"""Labels are found by patterns, in folders, beside their images and as one layer for all scenes; what was found is said."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import yaml
from rasterio.transform import from_origin
from shapely.geometry import box
from short_settings import settings

from rsuda.core.errors import InputError, MissingError
from rsuda.core.legend import IGNORE
from rsuda.data.domain_files.domain_file import describe
from rsuda.data.find_domain import domain
from rsuda.data.pairs.pair import pair
from rsuda.info.info import domain_facts

LEGEND = [{"name": name, "value": k, "colour": [k, 0, 0]} for k, name in enumerate(("background", "building", "road"))]
SIDE = 64


def raster(path, value=1, bands=1, left=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    place = {"crs": "EPSG:32632", "transform": from_origin(500_000 + left, 6_000_000, 1, 1), "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", height=SIDE, width=SIDE, count=bands, **place) as file:
        file.write(np.full((bands, SIDE, SIDE), value, np.uint8))
    return path


def image(path, left=0):
    return raster(path, 9, 3, left)


def polygons(path, *shapes, crs="EPSG:4326", **columns):
    """Rectangles (left, right) in metres over the whole height of the scenes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    boxes = [box(500_000 + left, 6_000_000 - SIDE, 500_000 + right, 6_000_000) for left, right in shapes]
    gpd.GeoDataFrame(columns, geometry=boxes, crs="EPSG:32632").to_crs(crs).to_file(path)
    return path


def find(folder, labels, images="img/{t}.tif", **fields):
    file = folder / "d.yaml"
    content = {"images": {"X": {"files": images, "bands": "RGB"}}, "labels": labels, "legend": LEGEND, **fields}
    file.write_text(yaml.safe_dump(content))
    return domain(str(file), folder)


def shares(result):
    """Percent of each class, and of ignored pixels, by scene."""
    counts = {}
    for name, scene in result.scenes.items():
        label = scene.whole_label(result.legend)[0]
        counts[name] = [round(100 * float((label == k).mean())) for k in (0, 1, 2, IGNORE)]
    return counts


def matched(result, folder):
    return {name: scene.label and scene.label.relative_to(folder).as_posix() for name, scene in result.scenes.items()}


# Polygons


def test_one_layer_labels_all_scenes(tmp_path):
    image(tmp_path / "img" / "a.tif"), image(tmp_path / "img" / "b.tif", SIDE)
    polygons(tmp_path / "osm.gpkg", (0, 16), (SIDE, SIDE + 32), (0, 64), landuse=["residential", "112", "meadow"])
    entry = {
        "files": "osm.gpkg", "attribute": "landuse", "classes": {"residential": "building", 112: "building"},
        "uncovered": "background",
    }  # fmt: skip
    result = find(tmp_path, [entry])
    assert shares(result) == {"a": [0, 25, 0, 75], "b": [50, 50, 0, 0]}
    facts = domain_facts(result)
    assert facts["label_sets"] == ["2 of osm.gpkg"]
    assert any("1 of 3 polygons of" in text and "lacks their landuse: meadow (1)" in text for text in facts["warnings"])


@pytest.mark.parametrize(
    ("values", "classes", "sentence"),
    [
        (["building", None, "", "road"], None, "2 of 4 polygons of {file} are ignored, since their kind is empty"),
        ([None] * 4, None, "4 of 4 polygons of {file} are ignored, since their kind is empty"),
        (
            ["house", None, None, "house"],
            {"house": "building"},
            "2 of 4 polygons of {file} are ignored, since their kind is empty",
        ),
        (
            ["house", None, "hut", "barn"],
            {"house": "building"},
            "3 of 4 polygons of {file} are ignored, since the kind of 1 is empty, and 'classes:' lacks that of the others: "
            "hut (1), barn (1)",
        ),
        (["building", "road", "road", "building"], None, None),
    ],
)
def test_polygons_without_a_class_are_noted_in_one_sentence(tmp_path, values, classes, sentence):
    image(tmp_path / "img" / "a.tif")
    file = polygons(tmp_path / "city.gpkg", (0, 16), (16, 32), (32, 48), (48, 64), kind=values)
    entry = {"files": "city.gpkg", "attribute": "kind"} | ({"classes": classes} if classes else {})
    notes = [note for note in domain_facts(find(tmp_path, [entry])).get("warnings", []) if "are ignored" in note]
    assert notes == ([sentence.format(file=file)] if sentence else [])


def test_layer_of_a_geopackage_is_named_as_in_qgis(tmp_path):
    image(tmp_path / "img" / "a.tif")
    frame = gpd.read_file(polygons(tmp_path / "city.gpkg", (0, 16)))
    for name in ("houses", "sheds"):
        frame.to_file(tmp_path / "many.gpkg", layer=name)
    for entry in ({"files": "many.gpkg|layername=houses"}, {"files": "many.gpkg", "layer": "houses"}):
        assert shares(find(tmp_path, [{**entry, "class": "building"}])) == {"a": [0, 25, 0, 75]}


def test_layers_of_the_same_scenes_lie_on_one_another(tmp_path):
    image(tmp_path / "img" / "a.tif"), image(tmp_path / "img" / "b.tif", SIDE)
    polygons(tmp_path / "roads.gpkg", (0, 32))
    polygons(tmp_path / "buildings.geojson", (16, 48))
    entries = [
        {"files": "roads.gpkg", "class": "road", "uncovered": "background"},
        {"files": "buildings.geojson", "class": "building"},
    ]
    assert shares(find(tmp_path, entries)) == {"a": [25, 50, 25, 0], "b": [100, 0, 0, 0]}
    assert shares(find(tmp_path, entries[::-1]))["a"] == [25, 25, 50, 0]


def test_layers_of_other_scenes_are_alternatives(tmp_path):
    image(tmp_path / "img" / "a.tif"), image(tmp_path / "img" / "b.tif")
    polygons(tmp_path / "corrected" / "a.gpkg", (0, 32))
    polygons(tmp_path / "osm.gpkg", (0, 16))
    entries = [{"files": "corrected/{t}.gpkg", "class": "building"}, {"files": "osm.gpkg", "class": "building"}]
    assert shares(find(tmp_path, entries)) == {"a": [0, 50, 0, 50], "b": [0, 25, 0, 75]}


def test_unquoted_yes_of_yaml_is_the_text_yes(tmp_path):
    image(tmp_path / "img" / "a.tif")
    polygons(tmp_path / "osm.gpkg", (0, 16), building=["yes"])
    assert shares(find(tmp_path, {"files": "osm.gpkg", "attribute": "building", "classes": {True: "building"}})) == {
        "a": [0, 25, 0, 75]
    }


def test_polygons_elsewhere_are_refused_or_noted_with_both_places(tmp_path):
    image(tmp_path / "img" / "a.tif"), image(tmp_path / "img" / "b.tif", 9000)
    polygons(tmp_path / "osm.gpkg", (5000, 5032), crs="EPSG:32632")
    entry = {"files": "osm.gpkg", "class": "building"}
    with pytest.raises(InputError, match=r"no polygon touches any of the 2 .*505000 5999936 .*scene a at 500000"):
        pair_of(find(tmp_path, [entry]))
    (warning,) = [text for text in domain_facts(find(tmp_path, [entry]))["warnings"] if "touches" in text]
    assert "505000" in warning and "500000" in warning
    polygons(tmp_path / "osm.gpkg", (0, 32))
    notes = pair_of(find(tmp_path, [entry | {"uncovered": "background"}])).notes
    assert any("no polygon touches 1 of the 2 scenes (b)" in note for note in notes)


def pair_of(source):
    return pair(source, source, settings(source="x", target="x", method="source-only"))


def test_training_set_of_one_class_has_a_note(tmp_path):
    image(tmp_path / "img" / "a.tif")
    polygons(tmp_path / "osm.gpkg", (0, 32))
    notes = pair_of(find(tmp_path, [{"files": "osm.gpkg", "class": "building"}])).notes
    assert "d: all labelled pixels are building: name the class of uncovered pixels with 'uncovered:'" in notes
    notes = pair_of(find(tmp_path, [{"files": "osm.gpkg", "class": "building", "uncovered": "background"}])).notes
    assert not any("all labelled pixels" in note for note in notes)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"files": "x.gpkg", "class": "bilding"}, r"labels.0: unknown class of the legend 'bilding': did you mean"),
        ({"files": "x.gpkg", "classes": {"a": "bilding"}}, "'bilding': did you mean 'building'"),
        ({"files": "x.gpkg", "uncovered": "back"}, "'back': did you mean 'background'"),
        ({"files": "x.gpkg", "atribute": "a"}, r"labels.0.atribute': did you mean 'labels.0.attribute'"),
        ({"files": "x.gpkg", "classes": ["a"]}, "is not a table: write"),
        ({"files": "x.gpkg", "class": "road", "attribute": "a"}, "'class' is one class for all polygons"),
        ({"files": "x.gpkg", "extent": "y.gpkg"}, "'extent' limits 'uncovered', which is missing"),
        ({"class": "road"}, "labels.0.files is missing"),
    ],
)
def test_invalid_entry_is_refused(tmp_path, entry, message):
    with pytest.raises(InputError, match=message):
        find(tmp_path, [entry])


def test_layer_that_is_missing_is_refused(tmp_path):
    image(tmp_path / "img" / "a.tif")
    with pytest.raises(MissingError, match=r"there is no file gone\.gpkg in"):
        find(tmp_path, [{"files": "gone.gpkg", "class": "building"}])


# Files


def test_image_and_label_side_by_side(tmp_path):
    image(tmp_path / "image.tif"), raster(tmp_path / "label.tif")
    assert matched(find(tmp_path, ["label.tif"], "image.tif"), tmp_path) == {"image": "label.tif"}
    for name in ("a", "b"):
        image(tmp_path / name / "image.tif"), raster(tmp_path / name / "label.tif")
    result = find(tmp_path, ["{dir}/label.tif"], "{dir}/image.tif")
    assert matched(result, tmp_path) == {"a": "a/label.tif", "b": "b/label.tif"}
    with pytest.raises(
        InputError, match=r"occurs twice .*: write a field where their paths differ, as in \{dir\}/image"
    ):
        find(tmp_path, ["*/label.tif"], "*/image.tif")


def test_case_of_extensions_does_not_count(tmp_path):
    image(tmp_path / "img" / "a.TIF"), raster(tmp_path / "lab" / "a.Tif")
    assert matched(find(tmp_path, ["lab/{t}.tif"]), tmp_path) == {"a": "lab/a.Tif"}
    assert list(find(tmp_path, ["lab/{t}.TIF"], "img/*.tif").scenes) == ["a"]


@pytest.mark.parametrize("labels", ["masks/", "masks", ["masks/*.tif"]])
def test_folder_of_masks_is_matched_by_name(tmp_path, labels):
    names = {"a1": "a1_mask", "img_b2": "mask_b2", "c3_rgb": "c3", "d4": "d4-GT", "e5": "unrelated"}
    for photo, mask in names.items():
        image(tmp_path / "img" / f"{photo}.tif"), raster(tmp_path / "masks" / f"{mask}.tif")
    result = find(tmp_path, labels)
    expected = {photo: f"masks/{mask}.tif" for photo, mask in names.items()}
    assert matched(result, tmp_path) == {**expected, "e5": None}


def test_masks_beside_the_images_are_no_labels_of_themselves(tmp_path):
    image(tmp_path / "all" / "a.tif"), raster(tmp_path / "all" / "a_label.tif")
    result = find(tmp_path, "all/", "all/{t}.tif", scenes=["a"])
    assert matched(result, tmp_path) == {"a": "all/a_label.tif"}


def test_absolute_and_upward_patterns_leave_the_data_folder(tmp_path):
    (
        image(tmp_path / "images" / "a.tif"),
        raster(tmp_path / "masks" / "deep" / "a.tif"),
        image(tmp_path / "data" / "x.tif"),
    )
    file = tmp_path / "d.yaml"
    for images, labels in ((str(tmp_path / "images" / "{t}.tif"), "../masks/**/{t}.tif"), ("../images/{t}.tif", None)):
        labels = labels or str(tmp_path / "masks" / "*" / "{t}.tif")
        file.write_text(
            yaml.safe_dump({"images": {"X": {"files": images, "bands": "RGB"}}, "labels": [labels], "legend": LEGEND})
        )
        (scene,) = domain(str(file), tmp_path / "data").scenes.values()
        assert scene.name == "a" and scene.image.resolve() == tmp_path / "images" / "a.tif"
        assert scene.label.resolve() == tmp_path / "masks" / "deep" / "a.tif"
        assert (scene.whole_label(domain(str(file), tmp_path / "data").legend)[0] == 1).all()


@pytest.mark.parametrize("text", ["/{t}.tif", "/**/{t}.tif", "../{t}.tif", "~/*.tif"])
def test_pattern_that_would_search_the_whole_disk_is_refused(tmp_path, text):
    image(tmp_path / "img" / "a.tif")
    with pytest.raises(InputError, match="names no folder to search"):
        find(tmp_path, [text])


# What is said


def test_scene_without_a_label_is_refused_with_patterns_and_their_files(tmp_path):
    image(tmp_path / "img" / "a.tif"), raster(tmp_path / "lab" / "b.tif")
    result = find(tmp_path, ["lab/{t}.tif", "old/{t}.tif"])
    assert result.notes == ("lab/{t}.tif labels none of the scenes (a): it matches lab/b.tif",)
    with pytest.raises(
        InputError, match=r"1 of 1 scenes have none \(a\): lab/\{t\}.tif labels 0 scenes, such as"
    ) as error:
        result.labelled("train")
    assert "lab/b.tif" in str(error.value) and "old/{t}.tif matches no file" in str(error.value)


@pytest.mark.parametrize("name", ["lab/{t}.dxf", "city.gdb|layername=houses", "lab/{t}.shp.ZIP"])
def test_labels_of_other_programs_are_answered_by_how_to_convert_them(tmp_path, name):
    image(tmp_path / "img" / "a.tif")
    with pytest.raises(
        InputError, match=r"labels are not read from \.(dxf|gdb|zip): convert them by ogr2ogr LABELS\.gpkg"
    ):
        find(tmp_path, [name])


def test_set_of_labels_that_was_taken_is_said(tmp_path):
    for name in ("a", "b"):
        image(tmp_path / "img" / f"{name}.tif")
    raster(tmp_path / "eroded" / "a.tif"), raster(tmp_path / "full" / "a.tif"), raster(tmp_path / "full" / "b.tif", 2)
    result = find(tmp_path, [{"files": "eroded/{t}.tif", "about": "eroded borders"}, "full/{t}.tif"])
    taken = ["1 of eroded/{t}.tif (eroded borders)", "1 of full/{t}.tif"]
    assert domain_facts(result)["label_sets"] == taken
    assert f"labels of d: {'; '.join(taken)}" in pair_of(result).notes
    assert describe(str(tmp_path / "d.yaml"))["labels"] == ["eroded/{t}.tif", "full/{t}.tif"]


def test_without_splits_all_scenes_are_for_training(tmp_path):
    image(tmp_path / "img" / "a.tif"), raster(tmp_path / "lab" / "a.tif")
    result = find(tmp_path, ["lab/{t}.tif"])
    assert result.splits == {"train": ["a"], "all": ["a"]} and len(result.labelled("train")) == 1
    only_val = find(tmp_path, ["lab/{t}.tif"], splits={"val": ["b*"]})
    assert only_val.notes == (f"split 'val' of d matches none of the 1 scenes in {tmp_path} (a): looked for b*",)
    with pytest.raises(InputError, match=r"has no scene in the data folder, which has a"):
        only_val.split("val")
    with pytest.raises(InputError, match=r"unknown split .*'train': .*by 'splits: \{train: \[\"a\"\]\}'"):
        only_val.split("train")
