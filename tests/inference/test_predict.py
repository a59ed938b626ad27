"""Test prediction from files to files with networks that compute classes from pixel values."""

import logging
import os
import warnings
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle_models import (
    GEOMETRIES,
    NAMES,
    RUN,
    blocks,
    by_value,
    engine,
    geometer,
    legend,
    positions,
    sure,
    trained,
    write,
)  # fmt: skip
from pyproj import Geod
from rasterio.features import rasterize
from rasterio.transform import from_origin
from shapely import Polygon, union_all
from shapely.geometry import box

from rsuda.core.errors import ExistsError, InputError, MissingError, RsudaError
from rsuda.core.map_options import MapOptions
from rsuda.geo.scenes.region import Region
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.predict import predict, predict_scenes
from rsuda.inference.sliding_window import finished_rows, predict_scene, strips

REAL = os.environ.get("RSUDA_REAL_DATA")
real = pytest.mark.skipif(not REAL, reason="RSUDA_REAL_DATA does not name the folder of real imagery")
few = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def predict_one(path, network, **options):
    """Predict one scene. Returns its prediction and the pixels of its class raster."""
    (prediction,) = predict([path], network, **{**RUN, **options})
    with rasterio.open(prediction.raster) as file:
        return prediction, file.read(1)


def centres(height, width):
    return np.mgrid[:height, :width] + 0.5


@pytest.mark.parametrize("transform", GEOMETRIES.values(), ids=GEOMETRIES)
@pytest.mark.parametrize("size", [(70, 101), (64, 64), (1, 130)])
def test_every_pixel_of_a_georeferenced_scene_is_right_on_its_grid(tmp_path, transform, size):
    scene = write(tmp_path / "scene.tif", positions(*size), transform)
    prediction, mask = predict_one(scene, trained(geometer(7)), polygons="gpkg")
    expected = blocks(*centres(*size), 7)
    assert (mask == expected).all()
    with rasterio.open(scene) as before, rasterio.open(prediction.raster) as after:
        assert (after.crs, after.transform, after.shape) == (before.crs, before.transform, before.shape)
        assert after.nodata == 255 and after.dtypes == ("uint8",)
        ground = before.bounds if transform.is_rectilinear else None
    frame = gpd.read_file(prediction.polygons)
    assert len(frame) == prediction.polygon_count and frame.crs.to_epsg() == 32632
    back = rasterize(
        zip(frame.geometry, frame["class"], strict=True), size, fill=255, transform=transform, dtype="uint8"
    )
    assert (back == mask).all()
    whole = union_all(frame.geometry)
    assert whole.area == pytest.approx(mask.size * 0.25) and frame.area.sum() == pytest.approx(whole.area)
    corners = np.array([transform @ (c, r) for r in (0, size[0]) for c in (0, size[1])])
    assert frame.total_bounds == pytest.approx([*corners.min(0), *corners.max(0)], abs=1e-6)
    if ground and transform.e < 0:
        assert frame.total_bounds == pytest.approx(tuple(ground), abs=1e-6)
    shares = {n: float(0.25 * (expected == k).sum()) for k, n in enumerate(NAMES)}
    assert prediction.area_m2 == pytest.approx(shares)
    assert frame.groupby("name")["area_m2"].sum().to_dict() == pytest.approx({n: a for n, a in shares.items() if a})


@pytest.mark.parametrize("transform", GEOMETRIES.values(), ids=GEOMETRIES)
@pytest.mark.parametrize("factor", [0.5, 2, 3, 4])
def test_borders_on_whole_model_pixels_stay_in_place_at_any_gsd(tmp_path, transform, factor):
    scene = write(tmp_path / "scene.tif", positions(70, 101), transform)
    prediction, mask = predict_one(scene, trained(geometer(12), gsd=0.5 * factor))
    assert (mask == blocks(*centres(70, 101), 12)).all()
    with rasterio.open(prediction.raster) as file:
        assert file.transform == transform


@pytest.mark.parametrize("factor", [0.37, 0.7, 1.3, 2.5, 3.7])
def test_errors_at_a_fractional_gsd_are_within_one_model_pixel_of_a_border(tmp_path, factor):
    height, width, size = 70, 101, 12
    scene = write(tmp_path / "scene.tif", positions(height, width))
    _, mask = predict_one(scene, trained(geometer(size), gsd=0.5 * factor))
    where = centres(height, width)
    border = np.minimum(where % size, size - where % size).min(0)
    wrong = mask != blocks(*where, size)
    assert border[wrong].max(initial=0) < max(1, factor)
    assert (mask != 255).all()


@pytest.mark.parametrize("factor", [0.3, 0.5, 1, 2, 3, 8])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (65, 67)])
def test_last_pixels_of_a_scene_are_predicted_from_their_values_at_any_gsd(tmp_path, size, factor):
    """A coarse pixel that crosses the edge has the mean of its valid part."""
    scene = write(tmp_path / "scene.tif", np.full((2, *size), 3, np.uint8))
    _, mask = predict_one(scene, trained(by_value, gsd=0.5 * factor))
    assert (mask == 3).all()


def test_oblong_pixels_are_resampled_by_axis(tmp_path):
    scene = write(tmp_path / "scene.tif", positions(40, 90), Affine(0.5, 0, 0, 0, -1.0, 99))
    prediction, mask = predict_one(scene, trained(geometer(12), gsd=1.0))
    assert (mask == blocks(*centres(40, 90), 12)).all()
    assert sum(prediction.area_m2.values()) == 40 * 90 * 0.5


@few
@given(
    height=st.integers(1, 150),
    width=st.integers(1, 150),
    factor=st.sampled_from([0.6, 1, 2.2]),
    overlap=st.integers(0, 63),
)
def test_constant_network_gives_a_constant_mask_for_any_size(tmp_path, height, width, factor, overlap):
    scene = write(tmp_path / "scene.tif", np.zeros((2, height, width), np.uint8))
    network = trained(lambda x: sure(torch.full_like(x[:, 0], 4)), gsd=0.5 * factor)
    result = predict_scene(engine(network, overlap=overlap), Scene("scene", scene))
    assert result.classes.shape == (height, width)
    assert (result.classes == 4).all() and (result.confidence == 254).all()


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    values = np.random.default_rng(0).uniform(0, 1, (len(NAMES), 107, 171)).astype(np.float32)
    return Scene("noise", write(tmp_path_factory.mktemp("noise") / "noise.tif", values))


@pytest.fixture(scope="module")
def smooth(tmp_path_factory):
    row, col = np.mgrid[:107, :171] / 171
    values = np.stack([np.sin((3 + k) * row + k) + np.cos((4 - k) * col) for k in range(len(NAMES))])
    return Scene("smooth", write(tmp_path_factory.mktemp("smooth") / "smooth.tif", values.astype(np.float32)))


windowing = {
    "window": st.sampled_from([32, 64, 96, 512]),
    "overlap": st.integers(0, 16),
    "batch_size": st.integers(1, 7),
}
FIVE = ("b1", "b2", "b3", "b4", "b5")


@few
@given(factor=st.sampled_from([0.8, 1, 1.5]), **windowing)
def test_pixelwise_network_predicts_the_same_for_any_window_overlap_and_batch(
    noise, factor, window, overlap, batch_size
):
    network = trained(lambda x: 3 * x, FIVE, gsd=0.5 * factor)
    whole = predict_scene(engine(network, 512, 0), noise)
    result = predict_scene(engine(network, window, overlap, batch_size), noise)
    difference = np.abs(result.confidence.astype(int) - whole.confidence)
    assert difference.max() <= 1
    # classes may differ only where two probabilities are equal up to rounding
    assert (result.classes != whole.classes).mean() < 1e-3


@few
@given(**windowing)
def test_shift_invariant_network_predicts_the_same_for_any_window_overlap_and_batch(
    smooth, window, overlap, batch_size
):
    def smoothing(x):
        return torch.nn.functional.avg_pool2d(torch.nn.functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)

    network = trained(smoothing, FIVE)
    whole = predict_scene(engine(network, 512, 0), smooth)
    result = predict_scene(engine(network, window, overlap, batch_size), smooth)
    assert np.abs(result.confidence.astype(int) - whole.confidence).max() <= 1
    assert (result.classes != whole.classes).mean() < 0.01
    assert len(np.unique(whole.classes)) >= 3


@pytest.mark.parametrize("nodata", [None, 0, 2, 255])
def test_nodata_becomes_255_and_hides_no_class(tmp_path, nodata):
    values = np.random.default_rng(1).choice(np.array([0, 1, 2, 3, 255], np.uint8), (50, 70))
    scene = write(tmp_path / "scene.tif", np.stack([values, values]), nodata=nodata)
    network = trained(lambda x: sure((x[:, 0].round().clamp(0, 4) + 1) % 5))
    prediction, mask = predict_one(scene, network, polygons="gpkg")
    expected = (np.minimum(values, 4) + 1) % 5
    if nodata is not None:
        expected[values == nodata] = 255
    assert (mask == expected).all()
    if nodata == 2:
        assert (mask == 2).any()
    with rasterio.open(prediction.raster) as file:
        assert file.nodata == 255 and ((file.read_masks(1) > 0) == (expected != 255)).all()
    assert gpd.read_file(prediction.polygons)["area_m2"].sum() == pytest.approx(0.25 * (expected != 255).sum())


def test_probability_rasters_have_values_to_254_and_nodata_255(tmp_path):
    values = np.linspace(0, 4, 60 * 60, dtype=np.float32).reshape(1, 60, 60)
    values[0, :5] = np.nan
    scene = write(tmp_path / "scene.tif", values)
    network = trained(lambda x: torch.cat([x, 0 * x], 1), ("g",), names=("a", "b"))
    prediction, mask = predict_one(scene, network, confidence=True, probabilities=True)
    with rasterio.open(prediction.confidence) as one_band, rasterio.open(prediction.probabilities) as two:
        confidence, each = one_band.read(1), two.read()
        assert [d.split(",")[0] for d in two.descriptions] == ["probability of a", "probability of b"]
        with rasterio.open(scene) as image:
            assert (one_band.transform, one_band.crs) == (two.transform, two.crs) == (image.transform, image.crs)
    assert (mask[:5] == 255).all() and (confidence[:5] == 255).all() and (each[:, :5] == 255).all()
    expected = 254 / (1 + np.exp(-values[0, 5:].astype(float)))
    assert np.abs(confidence[5:] - expected).max() < 0.51 and np.abs(each[0, 5:] - expected).max() < 0.51
    assert np.abs(each[:, 5:].astype(int).sum(0) - 254).max() <= 1
    assert (mask[5:] == 0).all()


@few
@given(factor=st.sampled_from([0.8, 1, 1.5]), **windowing)
def test_blended_probabilities_sum_to_one(noise, factor, window, overlap, batch_size):
    running = engine(trained(lambda x: 3 * x, FIVE, gsd=0.5 * factor), window, overlap, batch_size)
    grid = noise.grid_at(0.5 * factor)
    rows = [(row, p.clone()) for row, p in finished_rows(running, noise, rows=(0, grid.height), cols=(0, grid.width))]
    assert [row for row, _ in rows] == [0, *np.cumsum([p.shape[1] for _, p in rows])[:-1]]
    whole = torch.cat([p for _, p in rows], 1)
    assert whole.shape == (5, grid.height, grid.width)
    assert (whole.sum(0) - 1).abs().max() < 1e-5


@few
@given(
    factor=st.sampled_from([0.8, 1, 1.5, 3]), window=st.sampled_from([32, 64]), overlap=st.integers(0, 16),
    corner=st.tuples(st.integers(0, 100), st.integers(0, 160)), size=st.tuples(st.integers(1, 107), st.integers(1, 171)),
)  # fmt: skip
def test_part_of_a_scene_is_predicted_as_in_the_whole(smooth, factor, window, overlap, corner, size):
    running = engine(trained(lambda x: 3 * x, FIVE, gsd=0.5 * factor), window, overlap)
    whole = predict_scene(running, smooth)
    row, col = corner
    height, width = min(size[0], 107 - row), min(size[1], 171 - col)
    part = Region(smooth.grid.window(row, col, height, width), (row, col, height, width))
    result = list(strips(running, smooth, part))
    confidence = np.concatenate([s.confidence for s in result])
    place = np.s_[row : row + height, col : col + width]
    assert np.abs(confidence.astype(int) - whole.confidence[place]).max() <= 1
    assert (np.concatenate([s.classes for s in result]) != whole.classes[place]).mean() < 0.02


def test_single_valid_pixel_is_predicted_at_any_gsd(tmp_path):
    values = np.zeros((2, 40, 40), np.uint8)
    values[:, 20, 21] = 3
    for factor in (1, 2, 8):
        scene = write(tmp_path / f"{factor}.tif", values, nodata=0)
        _, mask = predict_one(scene, trained(lambda x: sure(0 * x[:, 0] + 2), gsd=0.5 * factor))
        assert mask[20, 21] == 2 and (mask == 255).sum() == mask.size - 1


@pytest.mark.parametrize("dtype, low, high", [("uint16", 1000, 11000), ("int16", -500, 4500), ("float32", -0.25, 0.75)])
def test_pixels_of_any_type_are_scaled_by_the_range_of_the_model(tmp_path, dtype, low, high):
    unit = (np.random.default_rng(2).integers(0, 5, (40, 75)) + 0.5) / 5
    values = (low + unit * (high - low)).astype(dtype)
    scene = write(tmp_path / "scene.tif", values[None])
    _, mask = predict_one(scene, trained(lambda x: sure((5 * x[:, 0]).floor()), ("grey",), low=low, high=high))
    assert (mask == np.floor(5 * unit)).all()


def test_brightness_is_not_scaled_by_tile(tmp_path):
    """Half a scene has the same classes as within the whole scene."""
    values = np.zeros((1, 64, 128), np.uint16)
    values[:, :, :64] = np.random.default_rng(3).integers(0, 5, (64, 64))
    values[:, :, 64:] = 60_000
    network = trained(by_value, ("grey",))
    _, whole = predict_one(write(tmp_path / "whole.tif", values), network)
    _, half = predict_one(write(tmp_path / "half.tif", values[:, :, :64]), network)
    assert (whole[:, :64] == half).all() and (half == values[0, :, :64]).all()


def test_bands_are_selected_by_name_in_any_file_order(tmp_path):
    values = positions(30, 40)
    turned = write(tmp_path / "named.tif", values[::-1], descriptions=["green", "red"])
    _, mask = predict_one(turned, trained(geometer(7)))
    assert (mask == blocks(*centres(30, 40), 7)).all()
    unnamed = write(tmp_path / "unnamed.tif", values[::-1])
    _, mask = predict_one(unnamed, trained(geometer(7)), bands="green,red")
    assert (mask == blocks(*centres(30, 40), 7)).all()


@pytest.mark.parametrize("descriptions, names", [(None, "not named"), (["ir", "red"], "tagged ir, red")])
def test_bands_used_in_file_order_have_a_note(tmp_path, descriptions, names):
    scene = write(tmp_path / "scene.tif", positions(20, 30), descriptions=descriptions)
    prediction, _ = predict_one(scene, trained(geometer(7)))
    assert any(f"are {names} and taken as red, green" in n for n in prediction.notes)
    prediction, _ = predict_one(scene, trained(geometer(7)), bands="red,green", overwrite=True)
    assert not any("taken as" in note for note in prediction.notes)


# -- invalid scenes ----------------------------------------------------------------------------------------------------


def all_nodata(path):
    return write(path, np.zeros((2, 20, 20), np.uint8), nodata=0)


def truncated(path):
    # a truncated file of noise: its header is valid, its pixels are not
    write(path, np.random.default_rng(0).integers(0, 255, (2, 300, 300), np.uint8))
    path.write_bytes(path.read_bytes()[:60_000])
    return path


def no_raster(path):
    path.write_text("not an image")
    return path


def one_band(path):
    return write(path, np.zeros((1, 20, 20), np.uint8))


def five_bands(path):
    return write(path, np.zeros((5, 20, 20), np.uint8))


def degrees(path):
    return write(path, np.zeros((2, 20, 20), np.uint8), from_origin(9, 48, 1e-5, 1e-5), "EPSG:4326")


def nowhere(path):
    return write(path, np.zeros((2, 20, 20), np.uint8), None, None)


def too_coarse(path):
    return write(path, np.zeros((2, 20, 20), np.uint8), from_origin(0, 0, 3000, 3000))


@pytest.mark.parametrize(
    "make, kind, says",
    [
        (all_nodata, InputError, "no valid pixel"),
        (truncated, MissingError, "cannot read"),
        (no_raster, MissingError, "cannot read"),
        (lambda path: path, MissingError, "there is no file"),
        (one_band, InputError, "1 band, but 2 are needed"),
        (five_bands, InputError, "unknown order.*bands="),
        (nowhere, InputError, "GSD of .* is unknown"),
        (too_coarse, InputError, "3000 m"),
    ],
)
def test_invalid_scene_is_named_and_writes_nothing(tmp_path, make, kind, says):
    scene = make(tmp_path / "scene.tif")
    out = tmp_path / "out"
    with pytest.raises(kind, match=says) as caught:
        predict_one(scene, trained(by_value), out=out, polygons="gpkg")
    assert "scene.tif" in str(caught.value)
    assert not out.exists() or not list(out.iterdir())


def test_unreadable_and_empty_scenes_do_not_stop_the_others(tmp_path, caplog):
    caplog.set_level(logging.INFO, "rsuda")
    bad, empty = truncated(tmp_path / "bad.tif"), all_nodata(tmp_path / "empty.tif")
    good = write(tmp_path / "good.tif", np.zeros((2, 20, 20), np.uint8))
    predictions = predict_scenes([bad, empty, good], trained(by_value), MapOptions(**RUN))
    assert next(predictions).scene == good
    with pytest.raises(RsudaError, match=r"1 of 3 scenes could not be predicted: .*bad\.tif"):
        next(predictions)
    assert [record.message for record in caplog.records if "left out" in record.message] == [
        f"note: {empty} has no valid pixel: all of it is nodata or transparent: it is left out"
    ]
    predictions = list(predict_scenes([empty, good], trained(by_value), MapOptions(**RUN)))
    assert [prediction.skipped for prediction in predictions] == [True]  # an empty scene is no error beside another one
    with pytest.raises(InputError, match=r"empty\.tif has no valid pixel.*1 other scene"):
        list(predict_scenes([empty, all_nodata(tmp_path / "none.tif")], trained(by_value), MapOptions(**RUN)))
    (tmp_path / "none.tif").unlink()
    written = ["good_classes.qml", "good_classes.tif", "good_classes.tif.aux.xml"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["bad.tif", "empty.tif", "good.tif", *written])


def test_invalid_scene_is_refused_before_the_first_prediction(tmp_path):
    good = write(tmp_path / "good.tif", np.zeros((2, 20, 20), np.uint8))
    with pytest.raises(InputError):
        list(predict([good, one_band(tmp_path / "bad.tif")], trained(by_value), **RUN))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.tif", "good.tif"]


@pytest.mark.parametrize("make", [no_raster, one_band, nowhere])
def test_files_of_a_folder_that_cannot_be_mapped_do_not_stop_the_others(tmp_path, make, caplog):
    caplog.set_level(logging.INFO, "rsuda")
    folder, options = tmp_path / "in", MapOptions(**RUN, out=tmp_path / "out")
    folder.mkdir()
    bad, good = make(folder / "bad.tif"), write(folder / "good.tif", np.zeros((2, 20, 20), np.uint8))
    for place in (folder, str(folder / "*.tif")):
        predictions = predict_scenes([place], trained(by_value), options)
        assert next(predictions).scene == good
        assert "note: 1 of 2 scenes cannot be mapped" in caplog.text
        with pytest.raises(RsudaError, match=r"1 of 2 scenes could not be predicted: .*bad\.tif"):
            next(predictions)
    with pytest.raises(RsudaError, match=r"bad\.tif"):  # a file with a name of its own stops all
        next(predict_scenes([folder, bad], trained(by_value), options))
    good.unlink()
    with pytest.raises(RsudaError, match=r"bad\.tif"):
        next(predict_scenes([folder], trained(by_value), options))


def test_scene_without_crs_needs_a_gsd_and_gets_a_note(tmp_path):
    values = positions(30, 40)
    prediction, mask = predict_one(
        write(tmp_path / "scene.tif", values, None, None), trained(geometer(7)), gsd=0.5, polygons="gpkg"
    )
    assert (mask == blocks(*centres(30, 40), 7)).all()
    assert any("has no CRS" in n for n in prediction.notes)
    with rasterio.open(prediction.raster) as file:
        assert file.crs is None and file.transform == Affine.identity()
    assert sum(prediction.area_m2.values()) == 30 * 40 * 0.25
    assert tuple(gpd.read_file(prediction.polygons).total_bounds) == (0, -30, 40, 0)


@pytest.mark.parametrize("gsd", [None, 1.1])
def test_scene_in_degrees_has_areas_of_the_ground(tmp_path, gsd):
    """At 48 degrees a pixel of 0.00001 degrees is 0.746 m wide and 1.112 m high, whatever GSD is declared."""
    prediction, mask = predict_one(degrees(tmp_path / "scene.tif"), trained(by_value), gsd=gsd, polygons="gpkg")
    with rasterio.open(prediction.raster) as file:
        assert file.crs.to_epsg() == 4326 and (mask == 0).all()
        outline = box(*file.bounds)
    area = abs(Geod(ellps="WGS84").geometry_area_perimeter(outline)[0])
    assert sum(prediction.area_m2.values()) == pytest.approx(area, rel=1e-3)
    assert gpd.read_file(prediction.polygons).area_m2.sum() == pytest.approx(area, rel=1e-3)
    assert any("its georeference counts" in note for note in prediction.notes) == (gsd is not None)


@pytest.mark.filterwarnings("error::rasterio.errors.NotGeoreferencedWarning")
def test_existing_map_without_a_georeference_is_skipped_or_refused_without_a_warning(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scene = write(tmp_path / "scene.tif", np.full((2, 20, 20), 3, np.uint8), None, None)
    predict(scene, trained(by_value), gsd=0.5, **RUN)
    (again,) = predict(scene, trained(by_value), gsd=0.5, **RUN)
    assert again.skipped
    with pytest.raises(ExistsError, match="overwrite"):
        predict(scene, trained(by_value, digest="other"), gsd=0.5, **RUN)


@pytest.mark.parametrize("existing", ["scene_classes.tif", "scene_polygons.gpkg", "scene_classes.tif.aux.xml"])
def test_existing_outputs_are_replaced_with_overwrite_only(tmp_path, existing):
    scene = write(tmp_path / "scene.tif", np.full((2, 20, 20), 3, np.uint8))
    (tmp_path / existing).write_bytes(b"mine")
    with pytest.raises(ExistsError, match="overwrite"):
        predict_one(scene, trained(by_value), polygons="gpkg")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["scene.tif", existing])
    assert (tmp_path / existing).read_bytes() == b"mine"
    prediction, mask = predict_one(scene, trained(by_value), polygons="gpkg", overwrite=True)
    assert (mask == 3).all() and len(gpd.read_file(prediction.polygons)) == 1
    rasters = ["scene_classes.qml", "scene_classes.tif", "scene_classes.tif.aux.xml"]
    written = [*rasters, "scene_polygons.gpkg", "scene_polygons.qml"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scene.tif", *written]


def test_scenes_with_equal_outputs_are_refused(tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "scene.tif", np.zeros((2, 20, 20), np.uint8))
    with pytest.raises(InputError, match="would both write"):
        list(predict([tmp_path / f / "scene.tif" for f in "ab"], trained(by_value), tmp_path / "out", **RUN))
    assert not (tmp_path / "out").exists()
    written = list(predict([tmp_path / f / "scene.tif" for f in "ab"], trained(by_value), **RUN))
    assert [w.raster.parent.name for w in written] == ["a", "b"]


@pytest.mark.parametrize(("first", "other"), [("scene.tif", "SCENE.tif"), ("scen\xe9.tif", "scene\u0301.tif")])
def test_outputs_that_differ_in_case_or_accents_only_are_refused(tmp_path, first, other):
    for folder, name in (("a", first), ("b", other)):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / name, np.zeros((2, 20, 20), np.uint8))
    scenes = [tmp_path / "a" / first, tmp_path / "b" / other]
    with pytest.raises(InputError, match=r"would both write .* on systems that ignore case or accents"):
        list(predict(scenes, trained(by_value), tmp_path / "out", **RUN))
    assert not (tmp_path / "out").exists()


def test_file_as_output_folder_is_refused(tmp_path):
    (tmp_path / "out").write_bytes(b"mine")
    with pytest.raises(RsudaError, match="out"):
        predict_one(
            write(tmp_path / "scene.tif", np.zeros((2, 20, 20), np.uint8)), trained(by_value), out=tmp_path / "out"
        )


@pytest.mark.parametrize(
    "options", [{"window": 50}, {"window": 0}, {"overlap": 64}, {"overlap": -1}, {"batch_size": 0}]
)
def test_invalid_window_options_are_refused(tmp_path, options):
    with pytest.raises(InputError):
        predict_one(write(tmp_path / "scene.tif", np.zeros((2, 20, 20), np.uint8)), trained(by_value), **options)


@pytest.mark.parametrize("gsd", [0.0, -1.0, float("nan")])
def test_invalid_declared_gsd_is_refused_before_prediction(tmp_path, gsd):
    with pytest.raises(InputError, match="gsd is"):
        predict_one(nowhere(tmp_path / "scene.tif"), trained(by_value), gsd=gsd)


def test_class_raster_has_names_colours_and_source(tmp_path):
    prediction, _ = predict_one(write(tmp_path / "scene.tif", np.zeros((2, 20, 20), np.uint8)), trained(by_value))
    with rasterio.open(prediction.raster) as file:
        assert file.tags(1)["CLASS_NAMES"] == ",".join(NAMES)
        assert file.tags()["RSUDA_METHOD"] == "oracle" and file.tags()["RSUDA_BANDS"] == "red,green"
        colours = file.colormap(1)
    assert [colours[k][:3] for k in range(len(NAMES))] == list(legend().palette)


# -- continuing after an interruption ----------------------------------------------------------------------------------


def break_off(*_):
    raise KeyboardInterrupt


def test_finished_scene_is_skipped_and_its_files_are_unchanged(tmp_path):
    scene = write(tmp_path / "scene.tif", positions(40, 60))
    first, _ = predict_one(scene, trained(geometer(7)), polygons="gpkg")
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in tmp_path.iterdir()}
    again, _ = predict_one(scene, trained(geometer(7)), polygons="gpkg")
    assert again.skipped and not first.skipped and again.area_m2 == first.area_m2
    assert before == {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in tmp_path.iterdir()}


@pytest.mark.parametrize("other", [{"overlap": 8}, {"tta": "flips"}, {"confidence": True}, {"gsd": 0.5}])
def test_map_of_other_options_is_not_finished(tmp_path, other):
    scene = write(tmp_path / "scene.tif", positions(40, 60))
    predict_one(scene, trained(geometer(7)))
    if "gsd" in other:  # the same GSD, set explicitly, is the same job
        assert predict_one(scene, trained(geometer(7)), **other)[0].skipped
        return
    with pytest.raises(ExistsError, match="overwrite"):
        predict_one(scene, trained(geometer(7)), **other)


def test_map_of_another_model_is_not_finished(tmp_path):
    scene = write(tmp_path / "scene.tif", positions(40, 60))
    predict_one(scene, trained(geometer(7)))
    with pytest.raises(ExistsError, match="overwrite"):
        predict_one(scene, trained(geometer(7), digest="another"))


def test_map_of_a_changed_scene_is_not_finished(tmp_path):
    scene = write(tmp_path / "scene.tif", positions(40, 60))
    predict_one(scene, trained(geometer(7)))
    write(scene, positions(40, 60) + 1)
    os.utime(scene, (1, 1))
    with pytest.raises(ExistsError, match="overwrite"):
        predict_one(scene, trained(geometer(7)))


def test_interrupted_scene_continues_after_its_last_finished_strip(tmp_path):
    scene = write(tmp_path / "scene.tif", positions(900, 40))
    out, seen, looks = tmp_path / "out", [], []

    def network(x):
        looks.append(len(x))
        return geometer(30)(x)

    def after_two_bands(_, rows, total):
        seen.append(rows)
        assert total == 900 * 40
        if rows >= 2 * 256 * 40:
            raise KeyboardInterrupt

    whole, mask = predict_one(scene, trained(network), out=tmp_path / "whole", polygons="gpkg")
    in_all = sum(looks)
    with pytest.raises(KeyboardInterrupt):
        predict_one(scene, trained(network), out=out, polygons="gpkg", progress=after_two_bands)
    assert [p.name[0] for p in out.iterdir()] == ["."]  # the only entry is the hidden folder of finished strips
    looks.clear()
    seen.clear()
    done, again = predict_one(
        scene, trained(network), out=out, polygons="gpkg", progress=lambda _, d, t: seen.append(d)
    )
    assert min(seen) > 2 * 256 * 40 and sum(looks) < in_all / 2
    assert (again == mask).all() and done.raster.read_bytes() == whole.raster.read_bytes()
    assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in whole.raster.parent.iterdir())


def test_interruption_before_the_first_strip_leaves_no_files(tmp_path):
    scene = write(tmp_path / "scene.tif", positions(900, 40))
    with pytest.raises(KeyboardInterrupt):
        predict_one(scene, trained(geometer(7)), progress=break_off)
    assert [p.name for p in tmp_path.iterdir()] == ["scene.tif"]


# -- areas, views and remote files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", GEOMETRIES.values(), ids=GEOMETRIES)
def test_area_of_interest_crops_and_masks_the_outputs(tmp_path, transform):
    scene = write(tmp_path / "scene.tif", positions(70, 101), transform)
    corners = [transform @ (col, row) for row, col in ((10, 20), (10, 80), (60, 20))]
    gpd.GeoSeries([Polygon(corners)], crs=32632).to_file(tmp_path / "area.gpkg")
    prediction, mask = predict_one(scene, trained(geometer(7)), aoi=tmp_path / "area.gpkg", polygons="gpkg")
    row, col = np.mgrid[10:60, 20:80] + 0.5
    inside = (row - 10) / 50 + (col - 20) / 60 < 1
    assert (mask == np.where(inside, blocks(row, col, 7), 255)).all()
    with rasterio.open(prediction.raster) as file:
        assert file.transform == transform @ Affine.translation(20, 10)
    assert gpd.read_file(prediction.polygons)["area_m2"].sum() == pytest.approx(0.25 * inside.sum())


def test_scenes_outside_of_the_area_are_left_out(tmp_path):
    near = write(tmp_path / "near.tif", positions(20, 30))
    far = write(tmp_path / "far.tif", positions(20, 30), from_origin(0, 0, 0.5, 0.5))
    bounds = (500_000, 5_999_995, 500_005, 6_000_000)
    written = list(predict([far, near], trained(geometer(7)), bounds=bounds, **RUN))
    assert [Path(w.scene).name for w in written] == ["near.tif"] and written[0].pixels == 100
    with pytest.raises(InputError, match="touches none of the scenes"):
        list(predict([far], trained(geometer(7)), bounds=bounds, **RUN))


@pytest.mark.parametrize("tta, views", [("none", 1), ("flips", 4), ("all", 8)])
def test_views_are_turned_back_before_they_are_averaged(tmp_path, tta, views):
    """A network of positions predicts the same from every view; a network that depends on direction is averaged."""
    scene = write(tmp_path / "scene.tif", positions(70, 101))
    views_seen = []

    def network(x):
        views_seen.append(x[0, :, 0, 0].tolist())
        return geometer(7)(x)

    _, mask = predict_one(scene, trained(network), tta=tta, batch_size=1)
    assert (mask == blocks(*centres(70, 101), 7)).all()
    assert len({tuple(s) for s in views_seen[:views]}) == min(views, 4)  # corners: eight views have four different ones
    lopsided = engine(trained(lambda x: torch.linspace(0, 9, x.shape[3]).expand_as(x), ("g", "h"), names=("a", "b")))
    lopsided = replace(lopsided, tta=tta)
    p = lopsided.probabilities_of(torch.rand(1, 2, 32, 32) * torch.tensor([1.0, 0.0])[:, None, None])
    assert (p.sum(1) - 1).abs().max() < 1e-6
    if tta != "none":
        assert (p - p.flip(-1)).abs().max() < 1e-6 and (p - p.flip(-2)).abs().max() < 1e-6
    if tta == "all":
        assert (p - p.rot90(1, (-2, -1))).abs().max() < 1e-6


def test_unknown_view_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(InputError, match="flips"):
        predict_one(write(tmp_path / "scene.tif", positions(20, 30)), trained(by_value), tta="rotations")


@pytest.fixture
def served(tmp_path):
    """Serve a folder on a local web server that answers range requests. Returns the folder and its address."""
    import threading
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    (tmp_path / "www").mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "www"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield tmp_path / "www", f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize("prefix, query", [("/vsicurl/", ""), ("", ""), ("/vsicurl/", "?token=1")])
def test_scene_on_a_web_server_is_predicted_into_the_working_folder(served, tmp_path, monkeypatch, prefix, query):
    folder, address = served
    write(folder / "scene.tif", positions(40, 60))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("GDAL_DISABLE_READDIR_ON_OPEN", "EMPTY_DIR")
    with pytest.raises(MissingError, match="cannot read"):
        predict_one(f"{prefix}{address}/none.tif{query}", trained(geometer(7)))
    prediction, mask = predict_one(f"{prefix}{address}/scene.tif{query}", trained(geometer(7)))
    assert (mask == blocks(*centres(40, 60), 7)).all()
    assert prediction.raster == Path("scene_classes.tif") and prediction.raster.is_file()


def test_control_points_are_written_to_the_map_or_refused_with_a_warp_command(tmp_path):
    from rasterio.control import GroundControlPoint

    scene = write(tmp_path / "scene.tif", positions(40, 60), None, None)
    places = [(0, 0), (0, 60), (40, 0), (40, 60)]
    points = [GroundControlPoint(r, c, 500_000 + 0.5 * c, 6_000_000 - 0.5 * r) for r, c in places]
    with rasterio.open(scene, "r+") as file:
        file.gcps = points, rasterio.crs.CRS.from_epsg(32632)
    with pytest.raises(InputError, match=r"ground control points.*gdalwarp -tps"):
        predict_one(scene, trained(geometer(7)))
    prediction, mask = predict_one(scene, trained(geometer(7)), gsd=0.5)
    assert (mask == blocks(*centres(40, 60), 7)).all()
    with rasterio.open(prediction.raster) as file:
        gcps, crs = file.gcps
        assert crs.to_epsg() == 32632 and [(p.row, p.col, p.x, p.y) for p in gcps] == [
            (p.row, p.col, p.x, p.y) for p in points
        ]


def test_qgis_styles_are_written_beside_the_outputs(tmp_path):
    prediction, _ = predict_one(write(tmp_path / "scene.tif", positions(40, 60)), trained(geometer(7)), polygons="fgb")
    raster = ElementTree.parse(prediction.raster.with_suffix(".qml")).getroot()
    entries = raster.findall("./pipe/rasterrenderer/colorPalette/paletteEntry")
    assert [(e.get("value"), e.get("label")) for e in entries] == [(str(k), n) for k, n in enumerate(NAMES)]
    assert [e.get("color") for e in entries] == ["#{:02x}{:02x}{:02x}".format(*c) for c in legend().palette]
    vector = ElementTree.parse(prediction.polygons.with_suffix(".qml")).getroot().find("renderer-v2")
    categories = vector.findall("./categories/category")
    assert vector.get("attr") == "name" and [c.get("value") for c in categories] == list(NAMES)
    assert {c.get("symbol") for c in categories} == {s.get("name") for s in vector.findall("./symbols/symbol")}


# -- real imagery ------------------------------------------------------------------------------------------------------


@real
@pytest.mark.parametrize("bands", [("red", "green", "blue"), ("red", "green", "blue", "ir")])
def test_naip_tiles_with_infrared_tagged_as_alpha_have_no_holes(tmp_path, bands):
    tiles = sorted(Path(REAL, "geotiffs", "naip").glob("*/img/*.tif"))
    assert len(tiles) == 8
    network = trained(lambda x: sure((x[:, -1] * 5).clamp(0, 4.9).floor()), bands, 0.6, high=255.0)
    for prediction, tile in zip(predict(tiles, network, tmp_path, **RUN), tiles, strict=True):
        with rasterio.open(prediction.raster) as file, rasterio.open(tile) as image:
            mask, last = file.read(1), image.read(len(bands))
        assert (mask == np.floor(last / np.float32(255) * 5).clip(0, 4)).all()


@real
@pytest.mark.parametrize("gsd", [None, 1.0])
def test_real_unusual_geotiffs_are_predicted_or_refused(tmp_path, gsd):
    files = [f for f in Path(REAL, "geotiffs", "rasterio").iterdir() if f.suffix in (".tif", ".vrt")]
    outcomes = {}
    for bands in (("red", "green", "blue"), ("grey",)):
        for file in files:
            out = tmp_path / f"{len(bands)}"
            try:
                with rasterio.open(file) as dataset:
                    size, spec = dataset.shape, 1.0 if gsd else max(0.1, round(dataset.transform.a, 3))
                network = trained(lambda x: sure((x[:, 0] * 5).clamp(0, 4.9)), bands, spec, high=255.0)
                _, mask = predict_one(file, network, out=out, gsd=gsd, window=512)
                assert mask.shape == size and (mask != 255).any()
                outcomes[file.name, len(bands)] = "predicted"
            except RsudaError as error:
                assert "\n" not in str(error)
                outcomes[file.name, len(bands)] = str(error)
                assert not (out / f"{file.stem}_classes.tif").exists()
    assert outcomes["RGB.byte.tif", 3] == outcomes["RGBA.byte.tif", 3] == outcomes["rotated.tif", 1] == "predicted"
    assert "no valid pixel" in outcomes["all-nodata.tif", 3] and "cannot read" in outcomes["corrupt.tif", 3]
    assert "-fold apart" in outcomes["world.rgb.tif", 3]  # degrees have a GSD, which --gsd does not replace
