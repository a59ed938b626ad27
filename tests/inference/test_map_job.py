"""Test that maps of rsuda 0.1.0 are skipped or continued, and that every option that changes a map is in its key."""

import hashlib
import inspect
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from oracle_models import engine, geometer, positions, trained, write

from rsuda.core.errors import ExistsError, InputError
from rsuda.core.map_options import MapOptions, option
from rsuda.geo.scenes.region import Region
from rsuda.inference.map_job import MapJob
from rsuda.inference.open_scene import open_scene
from rsuda.inference.predict import predict

# Written by rsuda 0.1.0 at commit 958664b: a finished map with most options, a finished plain one, and the strip store of
# a map interrupted after two of four strips. The scenes have no CRS, so no version of PROJ enters their keys.
STORED = Path(__file__).parents[1] / "stored_maps"
RUN = {"device": "cpu", "precision": "fp32", "window": 64, "overlap": 16, "gsd": 0.5}


@pytest.fixture
def stored(tmp_path):
    """Copy the stored maps, and set the dates of their scenes to those in the keys."""
    for file in STORED.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    for scene in ("scene", "plain", "broken"):
        os.utime(tmp_path / f"{scene}.tif", (1_700_000_000, 1_700_000_000))
    shutil.copytree(STORED / "interrupted", tmp_path / ".broken_classes-034a5883ecfb")
    return tmp_path


OF_SCENE = {
    "polygons": "geojson", "min_area": 2, "simplify": 0.2, "confidence": True, "bands": "red,green", "co": ["LEVEL=9"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "options"), [("scene", OF_SCENE), ("plain", {"polygons": None, "tta": "flips"})])
def test_finished_map_of_version_0_1_is_skipped(stored, name, options):
    before = {file: file.read_bytes() for file in stored.iterdir() if file.is_file()}
    (prediction,) = predict(stored / f"{name}.tif", trained(geometer(7)), **RUN, **options)
    assert prediction.skipped and sum(prediction.area_m2.values()) > 0
    assert before == {file: file.read_bytes() for file in stored.iterdir() if file.is_file()}


@pytest.mark.parametrize("other", [{"min_area": 3}, {"co": []}, {"overlap": 8}, {"simplify": 0.0}, {"window": 96}])
def test_map_of_version_0_1_with_other_options_is_not_finished(stored, other):
    with pytest.raises(ExistsError, match="overwrite"):
        predict(stored / "scene.tif", trained(geometer(7)), **{**RUN, **OF_SCENE, **other})


def test_interrupted_map_of_version_0_1_continues_after_its_last_strip(stored, tmp_path_factory):
    rows = []

    def network(image):
        rows.extend(image[:, 0].round().long().flatten().tolist())
        return geometer(7)(image)

    rows_done = []
    options = {**RUN, "polygons": None}
    (prediction,) = predict(
        stored / "broken.tif",
        trained(network),
        progress=lambda _, finished, total: rows_done.append(finished),
        **options,
    )
    assert min(rows_done) > 2 * 256 * 40, "the two finished strips are not predicted again"
    assert not list(stored.glob(".broken*"))
    (whole,) = predict(stored / "broken.tif", trained(geometer(7)), tmp_path_factory.mktemp("whole"), **options)
    assert prediction.raster.read_bytes() == whole.raster.read_bytes()


def test_key_and_tag_equal_those_of_version_0_1(tmp_path):
    """Repeat the formulas of 0.1.0 for a scene with a CRS and an area."""
    path = write(tmp_path / "scene.tif", positions(40, 60))
    predictor = engine(trained(geometer(7)))
    scene = open_scene(path, predictor.trained.spec)
    region = Region(scene.grid.window(2, 3, 20, 30), (2, 3, 20, 30))
    options = MapOptions(polygons="fgb", regularise=("roof",), simplify=1, probabilities=True, co=("B=2", "A=1"))
    file = path.stat()
    fields = {
        "version": "0.1.0", "network": "oracle", "scene": "scene.tif", "file": [file.st_size, file.st_mtime_ns],
        "grid": [40, 60], "bands": None, "gsd": [0.5, 0.5], "crs": scene.grid.crs.to_wkt(),
        "region": [[2, 3, 20, 30], "None"], "window": 64, "overlap": 16, "tta": "none", "precision": "fp32",
    }  # fmt: skip
    key = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    files = json.dumps(["fgb", 0.0, 1, ["roof"], False, True, ["A=1", "B=2"], False])
    job = MapJob(scene, region, predictor, options)
    assert job.key == key
    assert job.tag == f"{key}-{hashlib.sha256(files.encode()).hexdigest()[:8]}"


class WithNewOptions(MapOptions):
    """The options of a later version."""

    later_pixels: float = option(0.0, "…", changes="pixels")
    later_files: int = option(0, "…", changes="files")
    later_nothing: str = option("red", "…", changes="nothing")


def test_new_option_enters_the_key_if_it_differs_from_its_default(tmp_path):
    path = write(tmp_path / "scene.tif", positions(40, 60))
    predictor = engine(trained(geometer(7)))
    scene = open_scene(path, predictor.trained.spec)

    def job(options):
        return MapJob(scene, Region.of(scene), predictor, options)

    plain = job(MapOptions())
    same = job(WithNewOptions(later_nothing="blue"))
    assert (same.key, same.tag) == (plain.key, plain.tag)
    pixels, files = job(WithNewOptions(later_pixels=0.6)), job(WithNewOptions(later_files=3))
    assert pixels.key != plain.key and files.key == plain.key
    assert len({plain.tag, pixels.tag, files.tag}) == 3


def test_every_option_that_changes_a_map_changes_its_tag(tmp_path, monkeypatch):
    gpkg = tmp_path / "area.gpkg"
    import geopandas as gpd
    from shapely.geometry import box

    gpd.GeoSeries([box(500_000, 5_999_990, 500_020, 6_000_000)], crs=32632).to_file(gpkg)
    path = write(tmp_path / "scene.tif", positions(40, 60))
    others = {
        "polygons": "fgb", "min_area": 1.0, "simplify": 1.0, "regularise": ("roof",), "confidence": True,
        "probabilities": True, "co": ("LEVEL=9",), "stac": True, "window": 96, "overlap": 8, "tta": "flips",
        "precision": "bf16", "bands": "red,green", "gsd": 1.0, "crs": None, "nodata": 3.0, "aoi": gpkg,
        "bounds": (500_000, 5_999_990, 500_010, 6_000_000), "adapt": "statistics", "per_tile": True,
        "min_confidence": 0.5,
    }  # fmt: skip
    fields = MapOptions.model_fields
    assert set(others) == {n for n, field in fields.items() if field.json_schema_extra["changes"] != "nothing"}
    from rsuda.inference.plan_maps import plan_maps
    from rsuda.inference.predictor import Predictor

    def tag(**options):
        chosen = MapOptions(**{"window": 64, "overlap": 16, "precision": "fp32", "device": "cpu", **options})
        predictor = Predictor.of(trained(geometer(7)), **chosen.predictor.model_dump())
        (job,), _ = plan_maps([path], predictor, chosen)
        return job.tag

    monkeypatch.setattr("rsuda.inference.plan_maps.check_batch_norm", lambda _: None)
    tags = {name: tag(**{name: value}, mosaic=name == "per_tile") for name, value in others.items() if name != "crs"}
    assert tag(batch_size=1, threads=1, overwrite=True) == tag()
    assert len({tag(), *tags.values()}) == 1 + len(tags)


def test_keywords_of_python_are_the_fields():
    parameters = inspect.signature(predict).parameters
    further = {"scenes", "model", "progress", "on_scene"}
    fields = MapOptions.model_fields
    assert set(parameters) - further == set(fields) and further <= set(parameters)
    assert {name: parameters[name].default for name in fields} == {n: field.default for n, field in fields.items()}
    assert all(parameters[name].annotation is not inspect.Parameter.empty for name in fields)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"window": 100}, "option window is 100; it must be a multiple of 32"),
        ({"window": 0}, "option window is 0; it must be at least 32"),
        ({"window": 64, "overlap": 64}, "`overlap` is 64; it must be below the window of 64 px"),
        ({"min_area": float("nan")}, "option min_area is nan; it must be a finite number"),
        ({"tta": "flip"}, "unknown value of option tta: 'flip': did you mean 'flips'? known are all, flips, none"),
        (
            {"polygons": "gpk"},
            "unknown polygon format 'gpk': did you mean 'gpkg'? known are fgb, geojson, gpkg, kml, parquet, shp",
        ),
        ({"polygons": None, "regularise": ["roof"]}, "choose a `polygons` other than none"),
        ({"min_aera": 3}, "unknown option 'min_aera': did you mean 'min_area'?"),
    ],
)
def test_invalid_option_is_one_sentence(options, sentence):
    with pytest.raises(InputError) as caught:
        MapOptions.of(**options)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_map_has_one_writer_and_an_empty_store_is_removed(tmp_path):
    path = write(tmp_path / "scene.tif", positions(40, 60))
    predictor = engine(trained(geometer(7)))
    scene = open_scene(path, predictor.trained.spec)
    job, other = (MapJob(scene, Region.of(scene), predictor, MapOptions()) for _ in range(2))
    with job.open():
        assert job.store.missing() == [(0, 40)]
        with pytest.raises(ExistsError, match="is being written by this process"), other.open():
            raise AssertionError("a second writer has the lock")
    assert [file.name for file in tmp_path.iterdir()] == ["scene.tif"]
    with job.open():
        job.store.write(0, [np.zeros((40, 60), np.uint8)] * 2)
    with other.open():
        assert other.store.missing() == []
        other.discard()
    assert [file.name for file in tmp_path.iterdir()] == ["scene.tif"]
    with rasterio.open(path) as file:
        assert file.count == 2
