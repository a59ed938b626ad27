"""Test polygons of class rasters without a model: those of prediction to the byte, and those of any other raster."""

import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
from oracle_models import NORTH_UP, RUN, blocks, by_value, trained, write

import rsuda
from rsuda.core.errors import ExistsError, InputError, MissingError
from rsuda.core.spelling import as_flags
from rsuda.inference.polygonize_several import polygonize_several
from rsuda.inference.predict import predict

SIZE = (150, 210)


@pytest.fixture(scope="module", autouse=True)
def one_date():
    """Give all GeoPackages one date, which is the only thing in them that no option decides."""
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2026-01-01T00:00:00Z"})
    yield
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A scene of slanted fields with small patches, a margin without data, and a second band."""
    rows, cols = np.mgrid[: SIZE[0], : SIZE[1]]
    values = np.stack([blocks((rows + cols) // 2, cols - rows // 3, 17), np.ones(SIZE, int)]).astype(np.uint8)
    draw = np.random.default_rng(0)
    speckle = draw.random(SIZE) < 0.02
    values[0][speckle] = draw.integers(0, 5, int(speckle.sum()))
    values[:, :9, :30] = 255
    return write(tmp_path_factory.mktemp("scene") / "scene.tif", values, NORTH_UP, nodata=255)


@pytest.fixture(scope="module")
def mapped(scene):
    """The map of the scene with its confidence."""
    (prediction,) = predict(scene, trained(by_value), **RUN, confidence=True)
    return prediction


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gpkg", {"min_area": 2, "simplify": 1.0}),
        ("fgb", {}),
        ("geojson", {"min_area": 1}),
        ("parquet", {"bounds": (500_010, 5_999_940, 500_080, 5_999_990), "regularise": ["roof"]}),
    ],
)
def test_polygons_of_a_map_are_those_of_prediction_to_the_byte(scene, mapped, tmp_path, name, options):
    options = {**options, "polygons": name}
    (predicted,) = predict(scene, trained(by_value), tmp_path, **{**RUN, **options}, confidence=True)
    again = rsuda.polygonize(mapped.raster, tmp_path / "again" / f"scene_polygons.{name}", **options)
    for file in ("polygons", "footprints")[: 1 + ("regularise" in options)]:
        one, other = getattr(predicted, file), getattr(again, file)
        assert one.read_bytes() == other.read_bytes()
        assert one.with_suffix(".qml").read_bytes() == other.with_suffix(".qml").read_bytes()
    assert again.count == predicted.polygon_count > 5 and again.classes == ("road", "roof", "tree", "water", "soil")
    assert "confidence" in again.frame() and again.notes == ()


def test_gsd_declared_for_a_scene_is_that_of_its_polygons(tmp_path):
    values = np.zeros((2, 20, 20), np.uint8)
    plain = write(tmp_path / "plain.tif", values, transform=None, crs=None)
    (predicted,) = predict(plain, trained(by_value), **{**RUN, "polygons": "fgb"}, gsd=0.45)
    again = rsuda.polygonize(predicted.raster, tmp_path / "again.fgb")
    assert again.frame().area_m2.tolist() == predicted.polygons_frame().area_m2.tolist() == [81.0]
    assert again.area_m2["road"] == 81.0 and "no CRS" in again.notes[0] and "confidence" not in again.frame()


def foreign(folder, dtype, values=(10, 20, 90), nodata=0, name="cover.tif", **profile):
    """A raster of another program: three columns of 20 px of 0.5 m, and a row without data."""
    pixels = np.repeat(np.array(values), 20)[None].repeat(30, 0).astype(dtype)
    pixels[0] = nodata
    return write(folder / name, pixels[None], NORTH_UP, nodata=nodata, **profile)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int32", "float32"])
def test_raster_of_any_type_has_its_values_as_classes(tmp_path, dtype):
    values = (10, 20, 90) if dtype == "uint8" else (10, 20, 30_000)
    result = rsuda.polygonize(foreign(tmp_path, dtype, values), legend=None)
    frame = result.frame()
    assert result.polygons == tmp_path / "cover_polygons.gpkg"
    assert frame["class"].tolist() == list(values) and frame["name"].tolist() == [f"class {v}" for v in values]
    assert frame.area_m2.tolist() == frame.area.tolist() == [29 * 20 / 4] * 3 and frame.crs == "EPSG:32632"


TABLE = """<PAMDataset><PAMRasterBand band="1"><GDALRasterAttributeTable>
<FieldDefn index="0"><Name>Value</Name><Type>0</Type><Usage>5</Usage></FieldDefn>
<FieldDefn index="1"><Name>Class</Name><Type>2</Type><Usage>2</Usage></FieldDefn>
<FieldDefn index="2"><Name>R</Name><Type>0</Type><Usage>6</Usage></FieldDefn>
<FieldDefn index="3"><Name>G</Name><Type>0</Type><Usage>7</Usage></FieldDefn>
<FieldDefn index="4"><Name>B</Name><Type>0</Type><Usage>8</Usage></FieldDefn>
<Row index="0"><F>10</F><F>forest</F><F>0</F><F>100</F><F>0</F></Row>
<Row index="1"><F>20</F><F>field</F><F>255</F><F>255</F><F>1</F></Row></GDALRasterAttributeTable></PAMRasterBand></PAMDataset>"""


@pytest.mark.parametrize("kind", ["attribute table", "style", "table of ArcGIS", "categories"])
def test_names_and_colours_are_those_of_the_raster(tmp_path, kind):
    values = (1, 2, 90) if kind == "categories" else (10, 20, 90)
    raster = foreign(tmp_path, "uint8", values)
    with rasterio.open(raster, "r+") as file:
        file.write_colormap(1, {values[0]: (0, 100, 0, 255), values[1]: (255, 255, 1, 255), values[2]: (1, 2, 3, 255)})
    if kind == "attribute table":
        Path(f"{raster}.aux.xml").write_text(TABLE)
    elif kind == "style":
        entries = '<paletteEntry value="10" color="#006400" label="forest"/><paletteEntry value="20" label="field"/>'
        raster.with_suffix(".qml").write_text(f"<qgis><pipe><colorPalette>{entries}</colorPalette></pipe></qgis>")
    elif kind == "table of ArcGIS":
        frame = gpd.GeoDataFrame({"Value": [10, 20], "Class_Name": ["forest", "field"]})
        pyogrio.write_dataframe(frame, tmp_path / "t.dbf", driver="ESRI Shapefile")
        (tmp_path / "t.dbf").rename(f"{raster}.vat.dbf")
    else:
        names = "".join(f"<Category>{name}</Category>" for name in ("", "forest", "field"))
        band = f'<PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames></PAMRasterBand>'
        Path(f"{raster}.aux.xml").write_text(f"<PAMDataset>{band}</PAMDataset>")
    result = rsuda.polygonize(raster)
    assert result.classes == ("forest", "field", "class 90")
    style = result.polygons.with_suffix(".qml").read_text()
    assert "0,100,0," in style and "255,255,1," in style and "1,2,3," in style


def test_chosen_legend_joins_values_and_numbers_classes_by_its_order(tmp_path):
    raster, legend = foreign(tmp_path, "int16"), tmp_path / "legend.yaml"
    legend.write_text(
        "legend:\n- {name: green, colour: '#00FF00', values: [20, 10]}\n- {name: water, colour: '#0000FF', value: 80}\n"
        "ignore: [90]\n"
    )
    result = rsuda.polygonize(raster, legend=legend)
    frame = result.frame()
    assert frame[["class", "name", "area_m2"]].values.tolist() == [[0, "green", 290.0]]
    assert result.area_m2 == {"green": 290.0, "water": 0.0} and result.notes == ()
    colours = np.zeros((3, 8, 8), np.uint8)
    colours[2] = 255  # building of the ISPRS domains
    picture = write(tmp_path / "picture.tif", colours, NORTH_UP)
    assert rsuda.polygonize(picture, legend="potsdam").frame()["name"].tolist() == ["building"]


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"values": (1.5, 2, 3), "dtype": "float32"}, InputError, "fractions, such as 1.5"),
        ({"min_area": -1}, InputError, "min_area"),
        ({"legend": "potsdam"}, InputError, "no palette"),
        ({"legend": "nowhere"}, InputError, "known domain"),
        ({"regularise": ["roof"]}, InputError, "unknown class 'roof'"),
        ({"bounds": (0, 0, 1, 1)}, InputError, "touches no pixel"),
        ({"out": "polygons.txt"}, InputError, "no ending of a format"),
        ({"out": "a.gpkg", "polygons": "fgb"}, InputError, "does not end with .fgb"),
        ({"values": (0, 0, 0)}, InputError, "no pixel"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_no_file(tmp_path, change, error, match):
    raster = foreign(tmp_path, change.pop("dtype", "uint8"), change.pop("values", (10, 20, 90)))
    if "out" in change:
        change["out"] = tmp_path / change["out"]
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=match):
        rsuda.polygonize(raster, **change)
    assert sorted(tmp_path.iterdir()) == before


def test_other_rasters_and_existing_files_are_refused(tmp_path):
    many = write(tmp_path / "many.tif", np.arange(400, dtype=np.int16).reshape(1, 20, 20), NORTH_UP)
    with pytest.raises(InputError, match="more than 250 values"):
        rsuda.polygonize(many)
    with pytest.raises(InputError, match=r"3 bands.*`legend`"):
        rsuda.polygonize(write(tmp_path / "rgb.tif", np.zeros((3, 8, 8), np.uint8), NORTH_UP))
    with pytest.raises(MissingError, match="there is no file"):
        rsuda.polygonize(tmp_path / "none.tif")
    raster = foreign(tmp_path, "uint8")
    rsuda.polygonize(raster)
    with pytest.raises(ExistsError, match="overwrite=True"):
        rsuda.polygonize(raster)
    assert rsuda.polygonize(raster, overwrite=True).count == 3


def test_command_needs_no_model_and_no_torch(tmp_path):
    raster = foreign(tmp_path, "uint8")
    code = (
        "import sys; from rsuda.cli import main\n"
        f"try: main(['polygonize', {str(raster)!r}, '--min-area', '1', '--json'])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules and 'lightning' not in sys.modules"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert '"polygon_count": 3' in process.stdout and (tmp_path / "cover_polygons.qml").is_file()


def refuse(image):
    raise AssertionError("the map was predicted again")


@pytest.mark.parametrize("confidence", [True, False])
@pytest.mark.parametrize("scheduler", [None, pytest.param("local", marks=pytest.mark.slow)])
def test_predict_with_other_options_of_polygons_uses_the_finished_map(scene, tmp_path, confidence, scheduler):
    first, other = {**RUN, "polygons": "fgb", "confidence": confidence}, {"min_area": 2, "simplify": 1.0}
    (before,) = predict(scene, trained(by_value), tmp_path, **first)
    rasters = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in tmp_path.glob("scene_*.tif")}
    with pytest.raises(ExistsError, match=r"polygons.fgb exists, of other options.*not predicted again"):
        predict(scene, trained(refuse), tmp_path, **{**first, **other})
    options = {**first, **other, "overwrite": True, "scheduler": scheduler, "workers": 1}
    (again,) = predict(scene, trained(refuse), tmp_path, **options)
    assert not again.skipped and "not predicted again" in again.notes[0]
    (whole,) = predict(scene, trained(by_value), tmp_path / "whole", **{**first, **other})
    assert ("without confidence" in again.notes[0]) is not confidence
    assert rasters == {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in tmp_path.glob("scene_*.tif")}
    if confidence:
        assert again.polygons.read_bytes() == whole.polygons.read_bytes()
    else:
        one, two = again.polygons_frame(), whole.polygons_frame()
        assert one.confidence.isna().all() and two.confidence.notna().all() and one.geometry.equals(two.geometry)
        assert np.array_equal(again.classes(), whole.classes())
    (skipped,) = predict(scene, trained(refuse), tmp_path, **{**first, **other})
    assert skipped.skipped and not list(tmp_path.glob(".scene*"))
    assert before.polygons == again.polygons


@pytest.mark.parametrize(
    "change", [{"overlap": 0}, {"confidence": True}, {"digest": "other"}, {"co": ["COMPRESS=ZSTD"]}, {"gsd": 0.51}]
)
def test_map_of_other_pixels_or_rasters_is_predicted_again(scene, tmp_path, change):
    predict(scene, trained(by_value), tmp_path, **RUN)
    model = trained(refuse, digest=change.pop("digest", "oracle"))
    with pytest.raises(ExistsError, match=r"scene_classes.* exists: pass overwrite=True"):
        predict(scene, model, tmp_path, **{**RUN, "polygons": "fgb", **change})
    with pytest.raises(AssertionError, match="predicted again"):
        predict(scene, model, tmp_path, **{**RUN, "polygons": "fgb", **change, "overwrite": True})


def test_another_format_needs_no_overwrite_and_a_damaged_map_is_predicted_again(scene, tmp_path):
    (first,) = predict(scene, trained(by_value), tmp_path, **{**RUN, "polygons": "fgb"})
    (second,) = predict(scene, trained(refuse), tmp_path, **{**RUN, "polygons": "geojson"})
    assert second.polygons != first.polygons and first.polygons.is_file() and second.polygon_count
    content = bytearray(second.raster.read_bytes())
    with rasterio.open(second.raster) as file:
        offset = int(
            file.tags(1, ns="TIFF").get("BLOCK_OFFSET_0_0") or file.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1)
        )
    content[offset : offset + 40] = bytes(40)
    second.raster.write_bytes(content)
    (third,) = predict(
        scene, trained(by_value), tmp_path, **{**RUN, "polygons": "fgb", "min_area": 2, "overwrite": True}
    )
    assert not third.skipped and not any("not predicted again" in note for note in third.notes)
    assert np.array_equal(third.classes()[20:], rasterio.open(scene).read(1)[20:])


def test_rasters_of_folders_and_globs_have_files_of_their_names(tmp_path):
    folder = tmp_path / "maps"
    for name in ("a_classes", "b_classes"):
        (folder / name).mkdir(parents=True)
        foreign(folder / name, "uint8").rename(folder / f"{name}.tif")
    write(folder / "a.tif", np.zeros((3, 8, 8), np.uint8), NORTH_UP)  # the image that was mapped
    names = ["a_polygons.fgb", "b_polygons.fgb"]
    for place, out in ((folder, tmp_path / "one"), (folder / "*_classes.tif", tmp_path / "two")):
        results = list(polygonize_several([place], out, polygons="fgb"))
        assert [result.polygons for result in results] == [out / name for name in names]
        assert [result.count for result in results] == [3, 3]
    (tmp_path / "two" / names[0]).unlink()
    with pytest.raises(ExistsError, match=r"b_polygons\.fgb exists"):
        list(polygonize_several([folder], tmp_path / "two", polygons="fgb"))
    assert not (tmp_path / "two" / names[0]).exists()  # all are checked before the first is written
    assert len(list(polygonize_several([folder], tmp_path / "two", polygons="fgb", overwrite=True))) == 2
    same = rsuda.polygonize([folder / "*_classes.tif"], tmp_path / "python", polygons="fgb")
    assert [result.polygons.name for result in same] == names and [result.count for result in same] == [3, 3]
    (one,) = polygonize_several([folder / "a_classes.tif"], tmp_path / "two")
    assert one.polygons == tmp_path / "two" / "a_polygons.gpkg"
    with pytest.raises(InputError, match="is one file for the polygons of 2 rasters"):
        list(polygonize_several([folder], tmp_path / "all.gpkg"))
    (tmp_path / "other").mkdir()
    (folder / "a_classes.tif").rename(tmp_path / "other" / "b_classes.tif")
    with pytest.raises(InputError, match="would both write"):
        list(polygonize_several([folder, tmp_path / "other"], tmp_path / "three"))


def test_sentences_name_the_flags_that_were_typed(tmp_path):
    raster = foreign(tmp_path, "uint8")
    with as_flags(), pytest.raises(InputError, match=r"^--min-area is -1; it must be at least 0"):
        rsuda.polygonize(raster, min_area=-1)
