"""Samples of maps, and what their labels say of the maps, from files to numbers."""

import csv
import json
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
from affine import Affine
from PIL import Image
from shapely.geometry import MultiPoint, Point

from rsuda.accuracy.assess import assess
from rsuda.accuracy.class_map import open_map
from rsuda.accuracy.points_file import read_points
from rsuda.accuracy.read_assessment import read_assessment
from rsuda.accuracy.sample import sample
from rsuda.core.errors import ExistsError, InputError, MissingError
from rsuda.core.legend import Legend
from rsuda.geo.grids.grid import Grid
from rsuda.geo.maps.cog import write_cog

NAMES = ("water", "field", "town")
LEGEND = Legend(NAMES, (((0, 0, 200),), ((200, 200, 0),), ((200, 0, 0),)), ((0,), (1,), (2,)))
UTM = Affine(2, 0, 400_000, 0, -2, 5_600_000)


def write_map(path, classes, transform=UTM, crs="EPSG:32632", legend=LEGEND):
    grid = Grid(*classes.shape, transform, None if crs is None else rasterio.crs.CRS.from_string(crs))
    write_cog(path, [("class", lambda row, count: classes[row : row + count])], grid, legend, overwrite=True)
    return path


@pytest.fixture(scope="module")
def truth():
    """The classes on the ground (300, 200), and a map of them with 10 % errors and a corner without a class."""
    rng = np.random.default_rng(1)
    ground = np.digitize(np.arange(300)[:, None] + rng.normal(0, 15, (300, 200)), (60, 240)).astype(np.uint8)
    classes = np.where(rng.random(ground.shape) < 0.1, rng.integers(0, 3, ground.shape), ground).astype(np.uint8)
    classes[:20, :30] = 255
    return ground, classes


@pytest.fixture
def map_(truth, tmp_path):
    return write_map(tmp_path / "town_classes.tif", truth[1])


def label(file, ground, most=None, column="reference", values=NAMES):
    """Label the points of a file from the ground truth, as a person would."""
    points = gpd.read_file(file, layer=file.stem)
    names = [values[k] for k in ground[points["row"], points["col"]]]
    points[column] = [
        name if most is None or number <= most else None for name, number in zip(names, points["id"], strict=True)
    ]
    points.to_file(file, layer=file.stem)
    return points


def test_a_sample_is_drawn_at_pixel_centres_with_its_design(map_, truth, tmp_path):
    result = sample(map_, tmp_path / "points.gpkg", points=120, minimum=30, seed=3)
    points, design = read_points(result.file)
    assert len(points) == result.points == 120 and points["id"].tolist() == list(range(1, 121))
    assert set(np.unique((points.geometry.x - 400_000) % 2)) == {1.0} and points.crs.to_epsg() == 32632
    mapped = truth[1][points["row"], points["col"]]
    assert [NAMES[k] for k in mapped] == points["map_class"].tolist()
    counts = np.bincount(truth[1].ravel(), minlength=256)[:3]
    assert [part.pixels for part in design.strata] == counts.tolist()
    assert [part.area for part in design.strata] == pytest.approx(counts * 4.0)
    drawn = points["map_class"].value_counts()
    assert {part.name: part.points for part in design.strata} == drawn.to_dict() and drawn.min() == 30
    assert points["probability"].to_numpy() == pytest.approx(drawn[points["map_class"]].to_numpy() / counts[mapped])
    assert not points.duplicated(["row", "col"]).any() and points["reference"].isna().all()
    assert design.facts["seed"] == 3 and design.facts["unit"] == "m2" and len(design.facts["digest"]) == 32
    assert points["map_class"][:15].nunique() == 3  # in random order


def test_draws_depend_on_the_seed_alone_and_larger_samples_contain_smaller_ones(map_, tmp_path):
    def pixels(name, **options):
        frame = read_points(sample(map_, tmp_path / name, allocation="equal", **options).file)[0]
        return set(zip(frame["row"], frame["col"], strict=True))

    small, again = pixels("1.gpkg", points=60, seed=1), pixels("2.gpkg", points=60, seed=1)
    assert (
        small == again and small < pixels("3.gpkg", points=90, seed=1) and small != pixels("4.gpkg", points=60, seed=2)
    )


def test_strata_of_confidence_divide_each_class_and_need_the_raster_of_the_same_map(map_, truth, tmp_path):
    with pytest.raises(InputError, match="has no confidence beside it"):
        sample(map_, tmp_path / "points.gpkg", strata="confidence")
    confidence = np.where(np.arange(200) < 60, 100, 250) * np.ones((300, 1))
    band = ("confidence", lambda row, count: confidence[row : row + count].astype(np.uint8))
    write_cog(tmp_path / "town_confidence.tif", [band], open_grid(map_))
    result = sample(map_, tmp_path / "points.gpkg", points=240, strata="confidence", allocation="optimal", minimum=10)
    assert len(result.strata) == 6 and {part.map_class for part in result.strata} == set(NAMES)
    points = read_points(result.file)[0]
    low = points["stratum"].str.contains("0.00 to")
    assert ((points["col"] < 60) == low).all()
    expected = {part.name: part.expected for part in result.strata}
    assert sorted({round(value, 3) for value in expected.values()}) == [0.394, 0.984]
    label(result.file, truth[0])
    assert assess(map_, result.file).design == "stratified random"


def open_grid(path):
    with rasterio.open(path) as file:
        return Grid(file.height, file.width, file.transform, file.crs)


def test_the_whole_map_is_assessed_within_its_intervals(map_, truth, tmp_path):
    ground, classes = truth
    file = sample(map_, tmp_path / "points.gpkg", points=400, seed=1).file
    label(file, ground)
    result = assess(map_, file, out=tmp_path / "accuracy", target_error=0.01)
    valid = classes != 255
    matrix = np.zeros((3, 3))
    np.add.at(matrix, (classes[valid], ground[valid]), 1)
    assert result.overall.low < np.trace(matrix) / matrix.sum() < result.overall.high
    for k, part in enumerate(result.classes):
        assert part.users.low < matrix[k, k] / matrix[k].sum() < part.users.high
        assert part.producers.low < matrix[k, k] / matrix[:, k].sum() < part.producers.high
        assert part.area.low < 4 * matrix[:, k].sum() < part.area.high
        assert part.mapped_area == 4 * matrix[k].sum()
    assert sum(part.area.value for part in result.classes) == pytest.approx(result.total_area) == 4 * valid.sum()
    assert result.shares.sum() == pytest.approx(1) and result.counts.sum() == 400 and not result.notes
    assert result.more.points > 400 and sum(result.more.more.values()) >= result.more.points - 400
    written = json.loads((tmp_path / "accuracy" / "accuracy.json").read_text())
    assert written["classes"]["water"]["users"]["value"] == pytest.approx(result.classes[0].users.value)
    assert read_assessment(tmp_path / "accuracy").as_fields() == result.as_fields()
    rows = list(csv.DictReader((tmp_path / "accuracy" / "accuracy.csv").open()))
    assert rows[0]["measure"] == "overall accuracy" and float(rows[0]["se"]) == pytest.approx(result.overall.se)
    page = (tmp_path / "accuracy" / "accuracy.html").read_text()
    assert "http" not in page.replace("https://", "http") or "src=" not in page
    text = (tmp_path / "accuracy" / "methods.txt").read_text()
    assert "Olofsson et al. (2014)" in text and "400 points, a stratified random sample of pixels with 3 strata" in text
    with pytest.raises(ExistsError, match=r"accuracy\.json exists"):
        assess(map_, file, out=tmp_path / "accuracy")
    (tmp_path / "accuracy" / "accuracy.json").write_text('{"classes": {"water": {}}}')
    with pytest.raises(InputError, match="is not a file of rsuda assess"):
        read_assessment(tmp_path / "accuracy")


def test_part_of_the_labels_is_enough_and_a_stratum_without_them_is_named(map_, truth, tmp_path):
    file = sample(map_, tmp_path / "points.gpkg", points=150).file
    label(file, truth[0], most=60)
    result = assess(map_, file)
    assert result.labelled == 60 and result.points == 150 and "60 of 150 points are labelled" in result.notes[0]
    points = label(file, truth[0])
    points.loc[points["map_class"] == "town", "reference"] = None
    points.to_file(file, layer="points")
    first = points.loc[points["map_class"] == "town", "id"].iloc[0]
    with pytest.raises(InputError, match=rf"stratum 'town'.*needs 2 labelled points and has 0: .*number {first},"):
        assess(map_, file)
    points["reference"] = None
    points.to_file(file, layer="points")
    with pytest.raises(InputError, match=r"no point of .* has a label in 'reference'"):
        assess(map_, file)


def test_labels_are_names_or_values_of_the_legend_in_any_column(map_, truth, tmp_path):
    file = sample(map_, tmp_path / "points.gpkg", points=150).file
    label(file, truth[0])
    by_name = assess(map_, file)
    label(file, truth[0], column="seen", values=(0, 1, 2))
    assert assess(map_, file, reference="seen").overall == by_name.overall
    label(file, truth[0], values=("Water", "FIELD", "town"))
    assert assess(map_, file).overall == by_name.overall
    label(file, truth[0], values=("water", "feild", "town"))
    with pytest.raises(InputError, match=r"unknown label of point .* 'feild': did you mean 'field'\? known are"):
        assess(map_, file)
    with pytest.raises(InputError, match=r"has no column 'klass'.*it has id, "):
        assess(map_, file, reference="klass")


def test_another_map_on_the_same_points_keeps_the_strata_and_is_compared_in_pairs(map_, truth, tmp_path):
    ground, classes = truth
    file = sample(map_, tmp_path / "points.gpkg", points=300).file
    label(file, ground)
    better = write_map(tmp_path / "better.tif", np.where(np.arange(200) < 150, ground, classes))
    alone, first = assess(better, file), assess(map_, file, better)
    assert "is not the map that was sampled" in alone.notes[0] and "Stehman (2014)" in alone.methods
    difference = first.comparison.difference
    assert first.comparison.overall.value == pytest.approx(alone.overall.value)
    assert difference.value == pytest.approx(alone.overall.value - first.overall.value)
    true = (np.arange(200) < 150)[None] & (classes != ground) & (classes != 255)
    assert difference.low < true.sum() / (classes != 255).sum() < difference.high
    assert difference.se < np.hypot(first.overall.se, alone.overall.se)  # as pairs
    other = write_map(tmp_path / "other.tif", classes, legend=replace(LEGEND, names=("sea", "field", "town")))
    with pytest.raises(InputError, match="the maps have different classes"):
        assess(map_, file, other)
    plain = write_map(tmp_path / "plain.tif", np.where(np.arange(200) < 150, ground, classes), Affine.identity(), None)
    assert assess(map_, file, plain).comparison == replace(first.comparison, map=str(plain))
    away = write_map(tmp_path / "away.tif", classes, Affine.translation(9000, 0) @ UTM)
    with pytest.raises(InputError, match=r"away\.tif have a class in common at none of the \d+ labelled points"):
        assess(map_, file, away)


def test_own_points_are_post_stratified_or_simple_and_clusters_are_refused(map_, truth, tmp_path):
    ground, classes = truth
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(0, 300, 200), rng.integers(0, 200, 200)
    places = [Point(400_000 + 2 * col + 1, 5_600_000 - 2 * row - 1) for row, col in zip(rows, cols, strict=True)]
    points = gpd.GeoDataFrame({"reference": [NAMES[k] for k in ground[rows, cols]]}, geometry=places, crs="EPSG:32632")
    file = tmp_path / "own.geojson"
    points.to_crs("EPSG:4326").to_file(file)
    result = assess(map_, file)
    assert result.design == "post-stratified simple random" and "random places of the whole map" in result.notes[0]
    inside = classes[rows, cols] != 255
    assert result.labelled == result.points == inside.sum() < 200 and abs(result.overall.value - 0.93) < 0.06
    assert not any("are labelled" in note for note in result.notes)  # all that lie on the map are
    few = points[(classes[rows, cols] != 2) | ~inside].to_crs("EPSG:4326")
    few.to_file(file)
    assert assess(map_, file).design == "simple random"
    points.assign(geometry=points.buffer(5)).to_file(tmp_path / "squares.gpkg")
    with pytest.raises(InputError, match=r"no layer of points.*Polygon.*put a point into each polygon"):
        assess(map_, tmp_path / "squares.gpkg")
    points.assign(stratum="a").to_file(tmp_path / "strata.gpkg")
    with pytest.raises(InputError, match="strata of unknown size"):
        assess(map_, tmp_path / "strata.gpkg")
    points.assign(geometry=points.translate(1e6)).to_file(tmp_path / "away.gpkg")
    with pytest.raises(InputError, match="is inside of"):
        assess(map_, tmp_path / "away.gpkg")
    with pytest.raises(MissingError, match="there is no file"):
        assess(map_, tmp_path / "nothing.gpkg")


def test_a_sample_saved_as_another_format_keeps_its_strata_by_its_weights(map_, truth, tmp_path):
    file = sample(map_, tmp_path / "points.gpkg", points=150).file
    points = label(file, truth[0])
    points.to_file(tmp_path / "points.geojson")
    points.to_parquet(tmp_path / "points.parquet")
    expected = assess(map_, file).overall.value
    for name in ("points.geojson", "points.parquet"):
        result = assess(map_, tmp_path / name)
        assert result.overall.value == pytest.approx(expected) and "no table of its strata" in result.notes[0]
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InputError, match=r"broken\.parquet cannot be read as points"):
        assess(map_, tmp_path / "broken.parquet")


def test_areas_in_degrees_are_those_on_the_ground(tmp_path):
    """A map from 0 to 60 degrees north, half of its pixels water, in the south: more than half of the ground."""
    classes = np.repeat((np.arange(240) < 120).astype(np.uint8), 40).reshape(240, 40)
    map_ = write_map(tmp_path / "degrees.tif", classes, Affine(0.25, 0, 10, 0, -0.25, 60), "EPSG:4326")
    result = sample(map_, tmp_path / "points.gpkg", points=200)
    water, field = (part.area for part in result.strata)
    true = np.sin(np.radians(30)) / np.sin(np.radians(60))  # share of the sphere south of 30 degrees
    assert water / (water + field) == pytest.approx(true, abs=0.002)
    ground = np.where((np.arange(240) % 2)[:, None] == 1, classes, 1).astype(np.uint8)
    label(result.file, ground)
    accuracy = assess(map_, result.file)
    assert accuracy.classes[0].mapped_area == water and accuracy.total_area == pytest.approx(water + field)
    truth_share = true / 2  # every other row of the water is a field
    assert accuracy.classes[0].area.low < truth_share * accuracy.total_area < accuracy.classes[0].area.high


def test_tiles_of_a_folder_are_one_map(truth, tmp_path):
    classes = truth[1]
    (tmp_path / "tiles").mkdir()
    write_map(tmp_path / "tiles" / "a_classes.tif", classes[:150])
    write_map(tmp_path / "tiles" / "b_classes.tif", classes[150:], UTM @ Affine.translation(0, 150))
    result = sample(tmp_path / "tiles", tmp_path / "points.gpkg", points=150)
    points = label(result.file, truth[0])
    assert points["row"].max() > 150 and sum(part.pixels for part in result.strata) == (classes != 255).sum()
    assert assess(tmp_path / "tiles", result.file).labelled == 150


def test_maps_of_other_programs_and_without_a_crs_are_sampled(tmp_path):
    values = np.kron([[300, 7], [7, 65535]], np.ones((30, 40))).astype(np.uint16)
    path = tmp_path / "other.tif"
    profile = {"height": 60, "width": 80, "count": 1, "dtype": "uint16", "nodata": 65535}
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        rasterio.open(path, "w", driver="GTiff", **profile) as file,
    ):
        file.write(values, 1)
    result = sample(path, tmp_path / "points.gpkg", points=60)
    assert [part.name for part in result.strata] == ["class 7", "class 300"] and result.unit == "pixels"
    assert any("has no CRS" in note for note in result.notes) and any(
        "areas are in pixels" in note for note in result.notes
    )
    points = gpd.read_file(result.file, layer="points")
    points["reference"] = [str(values[row, col]) for row, col in zip(points["row"], points["col"], strict=True)]
    points.to_file(result.file, layer="points")
    accuracy = assess(path, result.file)
    assert accuracy.overall.value == 1 and accuracy.overall.low < 0.97 and accuracy.total_area == 3600


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"points": 5}, "5 points are too few for 3 strata"),
        ({"points": 0}, "`points` is 0; it must be at least 1"),
        ({"minimum": 1}, "`minimum` is 1; it must be at least 2"),
        ({"seed": -1}, "`seed` is -1"),
        ({"strata": "clas"}, "unknown value of `strata` 'clas': did you mean 'class'"),
        ({"allocation": "neyman"}, "unknown allocation 'neyman'"),
        ({"expected": {"sea": 0.9}}, "unknown class of `expected` 'sea'"),
        ({"expected": {"water": 90}}, "an accuracy is between 0 and 1"),
        ({"target_error": 2}, "`target_error` is 2; it must be between 0 and 0.5"),
        ({"bands": 3}, "`bands` is 3; with strata='class' it is"),
        ({"chips": "chips"}, "pass `chips` and `image`"),
        ({"out": "points.shp"}, "points.shp ends otherwise: name it points.gpkg"),
        ({"map": "nothing.tif"}, "there is no file nothing.tif"),
    ],
)
def test_bad_options_are_one_sentence_and_write_nothing(map_, tmp_path, monkeypatch, options, sentence):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises((InputError, MissingError), match=sentence.replace("(", r"\(").replace("'class'", "'.*'")):
        sample(**{"map": map_, "out": "points.gpkg", **options})
    assert sorted(tmp_path.iterdir()) == before


def test_labels_are_never_overwritten_by_chance(map_, tmp_path):
    sample(map_, tmp_path / "points.gpkg", points=60)
    with pytest.raises(ExistsError, match="exists, perhaps with labels"):
        sample(map_, tmp_path / "points.gpkg", points=60)


def test_chips_show_each_point_in_a_scene_of_another_gsd(map_, tmp_path):
    """The scene has pixels of half the size; a white pixel of the map lies at the centre of its chip."""
    image = np.zeros((3, 600, 400), np.uint8)
    profile = {"driver": "GTiff", "height": 600, "width": 400, "count": 3, "dtype": "uint8", "crs": "EPSG:32632"}
    first = sample(map_, tmp_path / "first.gpkg", points=6, minimum=2)
    points = read_points(first.file)[0]
    for row, col in zip(points["row"], points["col"], strict=True):
        image[:, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2] = 255
    with rasterio.open(tmp_path / "scene.tif", "w", transform=UTM @ Affine.scale(0.5), **profile) as file:
        file.write(image)
    result = sample(
        map_, tmp_path / "points.gpkg", points=6, minimum=2, chips=tmp_path / "chips", image=tmp_path / "scene.tif"
    )

    chips = sorted((tmp_path / "chips").iterdir())
    assert [chip.name for chip in chips] == [f"{k:04d}.png" for k in range(1, 7)] and result.chips == tmp_path / "chips"
    points = read_points(result.file)[0]
    assert sorted(points["chip"]) == [
        f"chips/{k:04d}.png" for k in range(1, 7)
    ]  # beside the file, wherever it is moved to
    (note,) = sample(map_, tmp_path / "more.gpkg", extend=result.file, add={"field": 2}).notes
    assert "the earlier points have pictures" in note
    style = pyogrio.read_dataframe(result.file, layer="layer_styles", read_geometry=False)["styleQML"][0]
    assert '<editWidget type="ExternalResource">' in style and "file_path(layer_property(@layer, 'path'))" in style
    for chip in chips:
        pixels = np.asarray(Image.open(chip).convert("L"))
        assert pixels.shape == (384, 776) and pixels[192, 392 + 192] == 255 and pixels[192 + 14, 392 + 192 + 14] == 0


def test_the_layer_has_a_style_and_a_form_that_hide_the_map(map_, tmp_path):
    file = sample(map_, tmp_path / "points.gpkg", points=60).file
    styles = pyogrio.read_dataframe(file, layer="layer_styles", read_geometry=False)
    assert styles["useAsDefault"].all() and styles["f_table_name"].tolist() == ["points"]
    style = styles["styleQML"][0]
    assert (
        all(f'value="{name}"' in style for name in NAMES)
        and '<column type="field" name="map_class" hidden="1"' in style
    )
    shown = sample(map_, tmp_path / "shown.gpkg", points=60, show_class=True).file
    style = pyogrio.read_dataframe(shown, layer="layer_styles", read_geometry=False)["styleQML"][0]
    assert '<column type="field" name="map_class" hidden="0"' in style


def test_a_map_is_read_in_strips_of_equal_results(map_, truth, monkeypatch, tmp_path):
    whole = read_points(sample(map_, tmp_path / "whole.gpkg", points=90).file)[0]
    monkeypatch.setattr("rsuda.geo.maps.class_raster.STRIP", 37)
    parts = read_points(sample(map_, tmp_path / "parts.gpkg", points=90).file)[0]
    assert whole.equals(parts)
    with open_map(map_) as opened:
        outside = opened.classes_at(np.array([-1, 0, 299, 300]), np.array([0, 0, 199, 0]))
    assert outside.tolist() == [255, 255, truth[1][299, 199], 255]


def test_multipoints_of_one_point_are_points(map_, truth, tmp_path):
    file = sample(map_, tmp_path / "points.gpkg", points=90).file
    points = label(file, truth[0])

    several = points.assign(geometry=[MultiPoint([point]) for point in points.geometry])
    several.to_file(tmp_path / "multi.gpkg")
    assert assess(map_, tmp_path / "multi.gpkg").labelled == 90
    several.loc[0, "geometry"] = MultiPoint([(0, 0), (1, 1)])
    several.to_file(tmp_path / "clusters.gpkg")
    with pytest.raises(InputError, match=r"several points each \(\d+ features, \d+ points\): split them"):
        assess(map_, tmp_path / "clusters.gpkg")


def test_an_earlier_sample_is_extended_with_its_labels(map_, truth, tmp_path):
    first = sample(map_, tmp_path / "points.gpkg", points=60, seed=4).file
    before = label(first, truth[0], most=50)
    result = sample(map_, tmp_path / "more.gpkg", points=150, allocation="optimal", extend=first)
    after = read_points(result.file)[0]
    assert result.seed == 4 and len(after) == 150 and not after.duplicated(["row", "col"]).any()
    same = ["id", "row", "col", "reference"]
    assert after[same][:60].equals(before.sort_values("id")[same].reset_index(drop=True))
    assert after["reference"][50:].isna().all() and after["id"].tolist() == list(range(1, 151))
    drawn = after["map_class"].value_counts()
    assert {part.name: part.points for part in result.strata} == drawn.to_dict()
    label(result.file, truth[0])
    assert assess(map_, result.file).labelled == 150
    other = write_map(tmp_path / "other.tif", truth[0])
    with pytest.raises(InputError, match="is a sample of another map"):
        sample(other, tmp_path / "again.gpkg", points=150, extend=first)


def test_points_that_a_wanted_interval_lacks_are_drawn_from_their_strata(map_, truth, tmp_path):
    first = sample(map_, tmp_path / "points.gpkg", points=90, seed=4).file
    label(first, truth[0])
    wanted = {"target_error": 0.05, "target_measure": "users", "target_class": "town"}
    more = assess(map_, first, out=tmp_path / "accuracy", **wanted).more
    assert more.extendable and more.more["town"] > 20 and more.more["field"] == more.more["water"] == 0
    assert read_assessment(tmp_path / "accuracy").more == more
    assert "± 5 points of the user&#39;s accuracy of town" in (tmp_path / "accuracy" / "accuracy.html").read_text()
    result = sample(map_, tmp_path / "more.gpkg", extend=first, add=more.more)
    assert result.points == 90 + more.more["town"]
    label(result.file, truth[0])
    town = assess(map_, result.file, **wanted).classes[2].users
    assert (town.high - town.low) / 2 == pytest.approx(0.05, abs=0.015)
    for options, sentence in (
        ({"add": {"town": 5}}, "added to an earlier sample: name it by `extend`"),
        ({"add": {"twon": 5}, "extend": first}, "unknown stratum 'twon': did you mean 'town'"),
        ({"add": {"town": -5}, "extend": first}, "`add` of town is -5; it must be at least 0"),
        ({"add": {"town": 5}, "extend": first, "points": 9}, "`add` gives the number of points by stratum: leave out"),
    ):
        with pytest.raises(InputError, match=sentence):
            sample(map_, tmp_path / "again.gpkg", **options)
