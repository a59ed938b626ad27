"""Test that STAC items of maps and runs are valid and match their files."""

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import pystac
import pytest
import rasterio
from affine import Affine
from oracle_models import GEOMETRIES, NAMES, NORTH_UP, RUN, by_value, legend, trained, write
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.mlm import MLMExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import RasterExtension
from pystac.validation import JsonSchemaSTACValidator
from rasterio.crs import CRS
from rasterio.warp import transform_bounds
from shapely.geometry import shape
from short_settings import settings

from rsuda.core.errors import ExistsError, InputError, MissingError
from rsuda.core.settings import dump
from rsuda.core.spec import Spec
from rsuda.export.export import export
from rsuda.geo.grids.grid import Grid
from rsuda.geo.maps.stac_item import acquisition_time, footprint, href, identifier
from rsuda.inference.predict import predict
from rsuda.learning.network import Architecture
from rsuda.learning.networks import build_network
from rsuda.runs.weights import load_run, save_run


def checked(path):
    """Read an item and validate it by the schemas of STAC's core and GeoJSON, which PySTAC includes; works offline."""
    fields = json.loads(path.read_text())
    assert fields["stac_version"] == "1.1.0" and len(set(fields["stac_extensions"])) == len(fields["stac_extensions"])
    JsonSchemaSTACValidator().validate_core(fields, pystac.STACObjectType.ITEM, "1.1.0")
    return pystac.Item.from_dict(fields)


def mapped(scene, network=None, **options):
    (prediction,) = predict([scene], network or trained(by_value), **{**RUN, "stac": True, **options})
    return prediction, checked(prediction.stac)


# -- maps --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", GEOMETRIES.values(), ids=GEOMETRIES)
def test_item_of_a_map_has_its_grid_and_footprint(tmp_path, transform):
    prediction, item = mapped(write(tmp_path / "scene.tif", np.zeros((2, 40, 60), np.uint8), transform))
    assert prediction.stac == tmp_path / "scene_stac.json" and item.id == "scene"
    with rasterio.open(prediction.raster) as file:
        corners = [file.transform @ c for c in ((0, 0), (60, 0), (60, 40), (0, 40))]
        expected = transform_bounds("EPSG:32632", "EPSG:4326", *file.bounds) if transform == NORTH_UP else None
        proj = ProjectionExtension.ext(item)
        assert proj.code == "EPSG:32632" and proj.shape == [40, 60] and proj.transform == list(file.transform)[:6]
    geometry = shape(item.geometry)
    assert geometry.is_valid and geometry.exterior.is_ccw and np.allclose(geometry.bounds, item.bbox)
    xs, ys = rasterio.warp.transform("EPSG:32632", "EPSG:4326", *zip(*corners, strict=True))
    for corner in zip(xs, ys, strict=True):
        assert geometry.exterior.distance(shape({"type": "Point", "coordinates": corner})) < 1e-7
    if expected:
        assert np.allclose(item.bbox, expected, atol=1e-7)


def test_item_of_a_map_describes_its_files(tmp_path):
    values = np.zeros((2, 20, 30), np.uint8)
    values[0, :, :12] = 3
    values[:, :2] = 255
    scene = write(tmp_path / "scene.tif", values, nodata=255)
    _, item = mapped(scene, polygons="gpkg", confidence=True, probabilities=True)
    assert set(item.assets) == {"classes", "confidence", "probabilities", "polygons"}
    for asset in item.assets.values():
        assert (tmp_path / asset.href).is_file() and asset.href.startswith("./")
    for key, bands in (("classes", 1), ("confidence", 1), ("probabilities", 5)):
        asset = item.assets[key]
        assert asset.media_type == pystac.MediaType.COG
        raster_bands = RasterExtension.ext(asset).bands
        assert [(b.nodata, b.data_type, b.spatial_resolution) for b in raster_bands] == [(255, "uint8", 0.5)] * bands
        with rasterio.open(tmp_path / asset.href) as file:
            assert file.count == bands and file.nodata == 255
    assert RasterExtension.ext(item.assets["confidence"]).bands[0].scale == pytest.approx(1 / 254)
    assert [b["name"] for b in item.assets["probabilities"].extra_fields["bands"]] == list(NAMES)
    assert item.assets["polygons"].media_type == pystac.MediaType.GEOPACKAGE
    classes = ClassificationExtension.ext(item.assets["classes"]).classes
    assert [(c.value, c.name, c.title) for c in classes] == [(k, n, n) for k, n in enumerate(NAMES)]
    assert [c.color_hint for c in classes] == ["{:02X}{:02X}{:02X}".format(*c) for c in legend().palette]
    assert [c.count for c in classes] == [18 * 18, 0, 0, 12 * 18, 0] and classes[3].percentage == 40
    (link,) = item.get_links("derived_from")
    assert link.href == "./scene.tif" and link.media_type == "image/tiff; application=geotiff"
    assert item.properties["processing:software"]["rsuda"] and item.properties["rsuda:method"] == "oracle"
    assert item.properties["rsuda:network"] == "oracle" and item.properties["gsd"] == 0.5


def test_scene_without_crs_has_an_item_without_geometry(tmp_path):
    _, item = mapped(write(tmp_path / "plain.tif", np.zeros((2, 20, 30), np.uint8), None, None), gsd=0.5)
    assert item.geometry is None and item.bbox is None
    assert item.properties["proj:code"] is None and item.properties["proj:shape"] == [20, 30]
    assert "proj:transform" not in item.properties
    _, item = mapped(write(tmp_path / "world.tif", np.zeros((2, 20, 30), np.uint8), NORTH_UP, None))
    assert item.geometry is None and item.properties["proj:transform"] == list(NORTH_UP)[:6]


def test_item_has_the_time_of_the_scene_or_else_of_the_prediction(tmp_path):
    scene = write(tmp_path / "told.tif", np.zeros((2, 20, 30), np.uint8))
    with rasterio.open(scene, "r+") as file:
        file.update_tags(TIFFTAG_DATETIME="2017:03:15 05:40:00")
    assert mapped(scene)[1].datetime == datetime(2017, 3, 15, 5, 40, tzinfo=UTC) == acquisition_time(scene)
    with rasterio.open(scene, "r+") as file:
        file.update_tags(TIFFTAG_DATETIME="last summer")
    assert acquisition_time(scene) is None
    before = datetime.now(UTC).replace(microsecond=0)
    item = mapped(write(tmp_path / "silent.tif", np.zeros((2, 20, 30), np.uint8)))[1]
    assert before <= item.datetime <= datetime.now(UTC)


def test_map_without_its_item_or_attributes_is_not_finished(tmp_path):
    scene = write(tmp_path / "scene.tif", np.zeros((2, 20, 30), np.uint8))
    prediction, _ = mapped(scene)
    assert mapped(scene)[0].skipped and mapped(scene)[0].as_fields()["stac"] == str(prediction.stac)
    pixels = prediction.classes()
    (bare,) = predict([scene], trained(by_value), **{**RUN, "stac": False})  # the finished map, without its item
    assert not bare.skipped and bare.stac is None and (bare.classes() == pixels).all()
    with pytest.raises(ExistsError, match="overwrite"):
        mapped(scene)  # the item is of other options
    prediction.stac.unlink()
    assert not mapped(scene)[0].skipped
    mapped(scene, overwrite=True)
    Path(f"{prediction.raster}.aux.xml").unlink()
    with pytest.raises(ExistsError, match="overwrite"):
        mapped(scene)


def test_item_needs_pystac(tmp_path, monkeypatch):
    monkeypatch.setattr("rsuda.core.errors.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs pystac, which is not installed: pip install 'rsuda\[export\]'"):
        mapped(write(tmp_path / "scene.tif", np.zeros((2, 20, 30), np.uint8)))


def test_footprint_is_cut_at_the_antimeridian():
    geometry, bbox = footprint(Grid(100, 100, Affine(0.1, 0, 175, 0, -0.1, 5), CRS.from_epsg(4326)))
    polygons = shape(geometry)
    assert geometry["type"] == "MultiPolygon" and polygons.is_valid and polygons.area == pytest.approx(100)
    assert polygons.bounds == (-180, -5, 180, 5) and bbox == pytest.approx([175, -5, -175, 5])


def test_grid_without_longitude_and_latitude_has_no_footprint():
    local = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
    assert footprint(Grid(10, 10, NORTH_UP, local)) == (None, None)


def test_links_have_no_secrets_and_no_absolute_paths(tmp_path):
    url = "https://me:secret@example.org/a/scene.tif?signature=abc#x"
    assert href(url, tmp_path) == "https://example.org/a/scene.tif"
    assert href(f"/vsicurl/{url}", tmp_path) == "/vsicurl/https://example.org/a/scene.tif"
    assert href(tmp_path / "in" / "scene.tif", tmp_path / "maps") == "../in/scene.tif"


def test_identifiers_have_the_characters_of_stac():
    assert identifier("roof <&> tower/3") == "roof-tower-3" and identifier("åäö") == "unnamed"


# -- runs --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stac") / "7 my run"
    arch = Architecture("resnet18", "segformer", len(NAMES), 3, 16)
    spec = Spec(
        ("ir", "red", "green"), 0.3, (0.0, 0.0, 100.0), (255.0, 255.0, 1100.0), (0.4,) * 3, (0.2,) * 3, legend()
    )
    s = settings(method="dacs", weights="none", steps=7, data="/home/me/data")
    save_run(folder, build_network("plain", arch), spec, "dacs")
    (folder / "config.yaml").write_text(dump(s))
    os.utime(folder / "weights.safetensors", (1_700_000_000, 1_700_000_000))
    return folder


def described(text):
    """An ONNX model that copies its input, with a description of rsuda."""
    images = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["b", 3, 64, 64]) for name in ("image", "b")
    ]
    node = onnx.helper.make_node("Identity", ["image"], ["b"])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", images[:1], images[1:]))
    onnx.helper.set_model_props(model, {"rsuda": text})
    return model


def test_item_of_a_run_describes_input_and_output_of_the_model(run):
    export(run, "torch-export", window=64, overlap=0)
    (run / "model.onnx").write_text("of somebody else")
    onnx.save(described(json.dumps({"network": load_run(run).digest})), run / "model_int8.onnx")
    exported = export(run, "stac", window=64, overlap=0)
    assert exported.file == run / "stac.json" and exported.difference is None
    item, network = checked(exported.file), load_run(run)
    assert item.geometry is None and item.datetime == datetime.fromtimestamp(1_700_000_000, UTC)
    mlm = MLMExtension.ext(item)
    assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.-]+[a-zA-Z0-9]", mlm.mlm_name)
    assert mlm.architecture == "resnet18 segformer" and mlm.framework == "PyTorch"
    assert mlm.total_parameters == sum(p.numel() for p in network.model.parameters())
    (image,), (result,) = mlm.input, mlm.output
    assert (
        image.bands == ["ir", "red", "green"]
        and image.input.shape == [-1, 3, 64, 64]
        and image.input.data_type == "float32"
    )
    scaling = item.properties["mlm:input"][0]["value_scaling"]
    pixels = np.array([[[200.0]], [[100.0]], [[600.0]]])
    expected = (network.spec.unit(pixels) - 0.4) / 0.2
    assert [s["type"] for s in scaling] == ["z-score"] * 3
    assert [(v - s["mean"]) / s["stddev"] for v, s in zip(pixels.ravel(), scaling, strict=True)] == pytest.approx(
        expected.ravel(), abs=1e-5
    )
    assert result.result.shape == [-1, 5, 64, 64] and [c.name for c in result.classes] == list(NAMES)
    assert result.tasks == mlm.tasks == ["semantic-segmentation"]
    parameters = item.properties["mlm:hyperparameters"]
    assert (
        parameters["training.steps"] == 7
        and parameters["encoder"] == "resnet18"
        and all(re.fullmatch(r"[\w.-]+", k) for k in parameters)
    )
    assert item.properties["mlm:pretrained"] is False and item.properties["mlm:pretrained_source"] is None
    assert item.properties["rsuda:network"] == network.digest
    assert set(item.assets) == {
        "weights",
        "onnx_int8",
        "pt2",
        "spec",
        "config",
    }  # without the ONNX file of the other export
    assert item.assets["weights"].roles == ["mlm:model", "mlm:weights"]
    assert item.assets["onnx_int8"].title == "ONNX, in 8-bit integers"
    assert item.assets["pt2"].extra_fields["mlm:artifact_type"] == "torch.export.save"
    assert item.assets["weights"].extra_fields["file:size"] == (run / "weights.safetensors").stat().st_size
    assert all((run / a.href).is_file() for a in item.assets.values())
    assert "/home/me" not in exported.file.read_text()
    (run / "model_int8.onnx").unlink()
    elsewhere = checked(export(run, "stac", run.parent / "items" / "one.json").file)
    assert all((run.parent / "items" / a.href).is_file() for a in elsewhere.assets.values())
    with pytest.raises(ExistsError, match=r"stac\.json exists: pass overwrite=True"):
        export(run, "stac")


def test_item_keeps_the_rules_of_the_extensions_schema(run, tmp_path):
    """Rules of versions 1.4 and 1.5, read from the schemas: no package holds them."""
    export(run, "torch-export", window=64, overlap=0, overwrite=True)
    item = json.loads(export(run, "stac", tmp_path / "item.json", window=64, overlap=0).file.read_text())
    properties, assets = item["properties"], item["assets"].values()
    of_item = {name for name in properties if name.startswith("mlm:")}
    assert of_item >= {"mlm:name", "mlm:architecture", "mlm:tasks", "mlm:input", "mlm:output"}
    assert not of_item & {"mlm:artifact_type", "mlm:compile_method", "mlm:entrypoint"}
    assert properties["mlm:framework"] == "PyTorch" and properties["mlm:total_parameters"] > 0
    assert re.fullmatch(r"\d+\.\d+\.\d+([-+].+)?", properties.get("mlm:framework_version", "1.0.0"))
    models = [asset for asset in assets if "mlm:model" in asset.get("roles", ())]
    assert len(models) == 2 and all(asset["mlm:artifact_type"] for asset in models)
    for asset in assets:
        fields = {name for name in asset if name.startswith("mlm:")}
        assert fields == ({"mlm:artifact_type"} if asset in models else set())
    ((image,), (result,)) = properties["mlm:input"], properties["mlm:output"]
    assert "bands" in image["input"]["dim_order"] and "bands" not in result["result"]["dim_order"]
    assert image["bands"] == [band["name"] for band in properties["bands"]]  # described by STAC 1.1 itself
    for structure in (image["input"], result["result"]):
        assert len(structure["dim_order"]) == len(structure["shape"]) == len(set(structure["dim_order"]))
        assert min(structure["shape"]) >= -1 and structure["data_type"] == "float32"
    assert [sorted(scaling) for scaling in image["value_scaling"]] == [["mean", "stddev", "type"]] * len(image["bands"])
    assert all({"value", "name"} <= described.keys() for described in result["classification:classes"])


def test_item_is_read_by_the_classes_of_the_extensions_authors(run, tmp_path):
    schema = pytest.importorskip(
        "stac_model.schema", reason="stac-model is not installed; it needs a pip of its own choice"
    )
    fields = json.loads(export(run, "stac", tmp_path / "item.json", window=64, overlap=0).file.read_text())
    properties = {k.removeprefix("mlm:"): v for k, v in fields["properties"].items() if k.startswith("mlm:")}
    for described in properties["output"][0]["classification:classes"]:
        del described["title"]  # of the extension Classification, which these classes do not know
    assert schema.MLModelProperties.model_validate(properties).total_parameters == properties["total_parameters"]


def test_item_names_the_source_of_pretrained_encoders(run):
    for weights, names in (("imagenet", "ImageNet"), ("mine.safetensors", "")):
        (run / "config.yaml").write_text(dump(settings(method="dacs", weights=weights)))
        item = checked(export(run, "stac", overwrite=True).file)
        assert item.properties["mlm:pretrained"] is True
        assert item.properties.get("mlm:pretrained_source", "") == names


def test_network_without_a_weights_file_has_no_item(tmp_path):
    with pytest.raises(MissingError, match="holds no weights"):
        export(trained(by_value), "stac", tmp_path / "item.json")
    assert not list(tmp_path.iterdir())
