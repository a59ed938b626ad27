"""Test what prediction takes for scenes, and what its files keep: RPCs, odd names, class names with commas."""

import sqlite3

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from oracle_models import RUN, by_value, trained, write
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from rasterio.errors import NotGeoreferencedWarning
from rasterio.rpc import RPC

from rsuda.core.display import OWN_PICTURE
from rsuda.core.errors import InputError, MissingError
from rsuda.inference.predict import predict

ODD = ["a;c", "it's 100% é", "x,y", "two words", "#1", "wow!", "-dash", "per[1]", "q?&=", 'quo"te', "a|b", "d:e"]


def scene(file, values=(0, 1, 2)):
    file.parent.mkdir(parents=True, exist_ok=True)
    write(file, np.repeat(np.kron(np.array([values], np.uint8), np.ones((40, 20), np.uint8))[None], 3, 0))
    return file


def coefficients():
    terms = [[1.0, *[0.0] * 19], [0.0, 1.0, *[0.0] * 18], [0.0, 0.0, 1.0, *[0.0] * 17]]
    return RPC(
        height_off=100.0, height_scale=50.0, lat_off=48.0, lat_scale=0.1, long_off=11.0, long_scale=0.1,
        line_off=20.0, line_scale=40.0, samp_off=30.0, samp_scale=60.0,
        line_num_coeff=terms[2], line_den_coeff=terms[0], samp_num_coeff=terms[1], samp_den_coeff=terms[0],
    )  # fmt: skip


def names(predictions):
    return sorted(prediction.scene.name for prediction in predictions)


@pytest.mark.parametrize("place", ["f", "f/**/*.tif", "f/*", "all files"])
def test_own_maps_in_a_folder_are_not_scenes(tmp_path, monkeypatch, caplog, place):
    monkeypatch.chdir(tmp_path)
    first = scene(tmp_path / "f" / "a.tif")
    predict(first, trained(by_value), **{**RUN, "confidence": True, "probabilities": True})
    scene(tmp_path / "f" / "b.TIF")
    picture = PngInfo()
    picture.add_text(OWN_PICTURE, "windows of the target")
    Image.new("RGB", (9, 9)).save(tmp_path / "f" / "preview.png", pnginfo=picture)
    if place == "f/**/*.tif":
        scene(tmp_path / "f" / "b.tif")
    listed = sorted(str(file) for file in (tmp_path / "f").iterdir() if file.suffix.lower() in (".tif", ".png"))
    with caplog.at_level("INFO", "rsuda"):
        written = predict(listed if place == "all files" else place, trained(by_value), **{**RUN, "overwrite": True})
    assert {name.lower() for name in names(written)} == {"a.tif", "b.tif"}
    assert "were written by rsuda, and are left out" in caplog.text


def test_folder_is_searched_with_its_inner_folders(tmp_path):
    for name in ("f/a.tif", "f/in/b.png", "f/.hidden/c.tif"):
        scene(tmp_path / name)
    assert names(predict(tmp_path / "f", trained(by_value), tmp_path / "out", **{**RUN, "gsd": 1.0})) == [
        "a.tif",
        "b.png",
    ]


def test_map_of_rsuda_is_refused_as_a_scene(tmp_path):
    (written,) = predict(scene(tmp_path / "a.tif"), trained(by_value), **RUN)
    with pytest.raises(InputError, match="is a map that rsuda has written: name the scene that was mapped"):
        predict(written.raster, trained(by_value), tmp_path / "out", **RUN)


@pytest.mark.parametrize("place", ["empty", "*.tif"])
def test_place_without_a_raster_is_refused(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingError, match="no raster"):
        predict(place, trained(by_value), **RUN)


@pytest.mark.parametrize("format", ["gpkg", "shp", "kml", "geojson", "fgb"])
def test_scenes_with_odd_names_are_written(tmp_path, format):
    scenes = [scene(tmp_path / "in!;" / f"{name}.tif") for name in ODD]
    for prediction in predict(scenes, trained(by_value), **{**RUN, "polygons": format}):
        assert prediction.classes().shape == (40, 60)
        assert sorted(prediction.polygons_frame()["class"]) == [0, 1, 2]
    assert not [file for file in (tmp_path / "in!;").iterdir() if file.is_dir()]


def test_shapefile_has_utf8_names_and_all_its_files(tmp_path):
    (prediction,) = predict(
        scene(tmp_path / "a.tif"), trained(by_value), **{**RUN, "polygons": "shp", "out": tmp_path / "o"}
    )
    files = {file.suffix for file in prediction.polygons.parent.glob("a_polygons.*")}
    assert {".shp", ".shx", ".dbf", ".prj", ".cpg"} <= files
    assert prediction.polygons.with_suffix(".cpg").read_text() == "UTF-8"
    assert list(gpd.read_file(prediction.polygons).columns) == ["class", "name", "area_m2", "confidence", "geometry"]


def test_kml_of_a_scene_without_crs_is_refused_before_prediction(tmp_path):
    file = tmp_path / "plain.tif"
    with (
        pytest.warns(NotGeoreferencedWarning),
        rasterio.open(file, "w", driver="GTiff", width=60, height=40, count=3, dtype="uint8") as out,
    ):
        out.write(np.ones((3, 40, 60), np.uint8))
    with pytest.raises(InputError, match="has no CRS, and kml is always in EPSG:4326"):
        predict(file, trained(by_value), tmp_path / "out", **{**RUN, "gsd": 1.0, "polygons": "kml"})
    assert not (tmp_path / "out").exists()


def test_geopackages_are_read_by_old_programs(tmp_path):
    (prediction,) = predict(scene(tmp_path / "a.tif"), trained(by_value), **{**RUN, "polygons": "gpkg"})
    with sqlite3.connect(prediction.polygons) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (10200,)


def test_rpcs_of_a_scene_are_kept_in_pixels_of_the_map(tmp_path):
    plain, raw = scene(tmp_path / "plain.tif"), tmp_path / "raw.tif"
    with (
        rasterio.open(plain) as file,
        rasterio.open(raw, "w", driver="GTiff", width=60, height=40, count=3, dtype="uint8") as out,
    ):
        out.write(file.read())
        out.rpcs = coefficients()
    options = {**RUN, "gsd": 1.0, "confidence": True, "probabilities": True}
    (prediction,) = predict(raw, trained(by_value), tmp_path / "out", **options)
    for name in ("classes", "confidence", "probabilities"):
        with rasterio.open(prediction.files[name]) as file:
            assert (file.rpcs.line_off, file.rpcs.samp_off) == (20, 30)
            assert file.rpcs.line_num_coeff == coefficients().line_num_coeff
    assert any("no CRS but RPCs, which its rasters keep" in note for note in prediction.notes)


def test_class_names_with_commas_stay_one_name_each(tmp_path):
    from rsuda.core.legend import Legend
    from rsuda.geo.grids.grid import Grid
    from rsuda.geo.maps.cog import write_cog

    classes = Legend(("road, paved", "tree"), (((1, 2, 3),), ((4, 5, 6),)))
    write_cog(tmp_path / "a.tif", [("class", lambda row, count: np.zeros((count, 4), np.uint8))], Grid(4, 4), classes)
    with rasterio.open(tmp_path / "a.tif") as file:
        assert len(file.tags(1)["CLASS_NAMES"].split(",")) == 2
        assert [file.tags(1)[f"CLASS_{k}"] for k in (0, 1)] == ["road, paved", "tree"]
