"""rsuda init: what it finds in folders, what it writes, and what it refuses."""

import json

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import yaml
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin
from shapely.geometry import box

import rsuda
from rsuda.cli import main
from rsuda.core.errors import ExistsError, InputError, MissingError

LABEL = (np.indices((60, 80)).sum(0) // 20 % 3).astype(np.uint8)
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)[LABEL].transpose(2, 0, 1)
IMAGE = np.random.default_rng(0).integers(1, 255, (3, 60, 80), np.uint8)


def write(path, values, *, colours=None, **profile):
    values = values[None] if values.ndim == 2 else values
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"crs": "EPSG:32633", "transform": from_origin(400000, 5500000, 1, 1), **profile}
    shape = {"height": values.shape[1], "width": values.shape[2], "count": len(values), "dtype": values.dtype.name}
    with rasterio.open(path, "w", driver="GTiff", **shape, **options) as file:
        if colours:
            file.colorinterp = [ColorInterp[name] for name in colours]
        file.write(values)


def squares(path, crs="EPSG:32633", **columns):
    shapes = [box(400000, 5499960, 400020, 5500000), box(400030, 5499960, 400060, 5500000)]
    frame = gpd.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32633").to_crs(crs)
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_file(path)


LAYOUTS = {
    "folders": ("img/{}.tif", "masks/{}.tif"),
    "upper case": ("Images/{}.TIF", "Labels/{}.TIF"),
    "affixes in folders": ("2_Ortho_RGB/top_potsdam_{}_RGB.tif", "5_Labels/top_potsdam_{}_label.tif"),
    "prefixes": ("image_{}.tif", "mask_{}.tif"),
    "suffixes": ("{}_sat.tif", "{}_mask.tif"),
    "a folder for each scene": ("{}/image.tif", "{}/label.tif"),
    "names that say nothing": ("one/{}.tif", "two/{}.tif"),
    "spaces and signs": ("ortho/x;{} ü.tif", "gt/x;{} ü.tif"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_find_their_masks(tmp_path, layout):
    image, label = LAYOUTS[layout]
    for tile in ("2_10", "2_11"):
        write(tmp_path / "city" / image.format(tile), IMAGE)
        write(tmp_path / "city" / label.format(tile), LABEL)
    facts = rsuda.init(tmp_path / "city", tmp_path / "city.yaml")
    assert (facts["scenes"], facts["labelled"], facts["bands"]) == (2, 2, "RGB")
    assert [item["value"] for item in facts["classes"]] == [0, 1, 2]
    domain = rsuda.domain(tmp_path / "city.yaml", tmp_path / "city")
    for scene in domain.labelled("train"):
        assert ("2_10" in str(scene.image)) == ("2_10" in str(scene.label))
        assert (scene.whole_label(domain.legend)[0] == LABEL).all()


def test_one_image_and_one_label_side_by_side(tmp_path):
    write(tmp_path / "d/image.tif", IMAGE)
    write(tmp_path / "d/label.tif", LABEL)
    assert rsuda.init(tmp_path / "d", tmp_path / "d.yaml")["labelled"] == 1


def test_folders_of_splits_become_splits_and_colours_become_classes(tmp_path):
    for split in ("train", "valid"):
        for tile in "12":
            write(tmp_path / f"d/{split}/images/{tile}.tif", IMAGE)
            write(tmp_path / f"d/{split}/labels/{tile}.tif", COLOURS)
    facts = rsuda.init(tmp_path / "d", tmp_path / "d.yaml")
    assert facts["splits"] == {"train": ["train_*"], "val": ["valid_*"]}
    assert {item["name"] for item in facts["classes"]} == {"colour #FF0000", "colour #00FF00", "colour #0000FF"}
    assert sum(item["share"] for item in facts["classes"]) == pytest.approx(1, abs=1e-3)
    domain = rsuda.domain(tmp_path / "d.yaml", tmp_path / "d")
    assert [len(domain.split(split)) for split in ("train", "val")] == [2, 2]


def test_deliveries_heights_and_the_whole_label_set(tmp_path):
    for tile in ("2_10", "2_11"):
        write(tmp_path / f"d/2_Ortho_RGB/top_potsdam_{tile}_RGB.tif", IMAGE)
        write(tmp_path / f"d/3_Ortho_IRRG/top_potsdam_{tile}_IRRG.tif", IMAGE, colours=["red", "green", "blue"])
        write(tmp_path / f"d/1_DSM/dsm_potsdam_{tile}.tif", LABEL + np.float32(0.5))
        for kind in ("label", "label_noBoundary"):
            write(tmp_path / f"d/5_{kind}/top_potsdam_{tile}_{kind}.tif", COLOURS)
    facts = rsuda.init(tmp_path / "d", tmp_path / "d.yaml")
    assert facts["images"] == [
        "2_Ortho_RGB/top_potsdam_{tile}_RGB.tif",
        "3_Ortho_IRRG/top_potsdam_{tile}_IRRG.tif",
    ] or (facts["images"] == ["2_Ortho_RGB/top_{tile}_RGB.tif", "3_Ortho_IRRG/top_{tile}_IRRG.tif"])
    assert "noBoundary" not in facts["labels"][0] and any("noBoundary" in note for note in facts["notes"])
    assert rsuda.domain(tmp_path / "d.yaml", tmp_path / "d", bands="IRRG").bands == ("ir", "red", "green")


def test_one_layer_of_polygons_over_all_images(tmp_path):
    for tile in "ab":
        write(tmp_path / f"d/{tile}.tif", IMAGE)
    squares(tmp_path / "d/houses.gpkg", crs="EPSG:4326", building=["yes", "yes"])
    facts = rsuda.init(tmp_path / "d", tmp_path / "d.yaml")
    assert [item["name"] for item in facts["classes"]] == ["background", "polygon"] and facts["labelled"] == 2
    shares = rsuda.info(tmp_path / "d.yaml", data=tmp_path / "d")["class_shares"]
    assert shares["polygon"] == pytest.approx(50 * 40 / 4800, abs=0.01)


def test_polygons_with_a_column_of_classes(tmp_path):
    write(tmp_path / "d/x.tif", IMAGE)
    squares(tmp_path / "d/x.gpkg", label=["no", "yes"], number=[7, 8])
    facts = rsuda.init(tmp_path / "d", tmp_path / "d.yaml")
    entry = yaml.safe_load((tmp_path / "d.yaml").read_text())["labels"][0]
    assert entry == {"files": "{tile}.gpkg", "attribute": "label", "classes": {"no": "no", "yes": "yes"}}
    assert "column number: 7, 8" in (tmp_path / "d.yaml").read_text() and facts["labelled"] == 1
    assert rsuda.info(tmp_path / "d.yaml", data=tmp_path / "d")["class_shares"] == {"no": 0.4, "yes": 0.6}


def test_a_layer_and_kml_are_labels_while_lines_and_names_of_streets_are_no_classes(tmp_path):
    for name in ("d", "kml"):
        write(tmp_path / name / "a.tif", IMAGE)
    squares(tmp_path / "d/map.gpkg", name=["Main St", None], label=["house", "road"])
    frame = gpd.read_file(tmp_path / "d/map.gpkg")
    frame.set_geometry(frame.boundary).to_file(tmp_path / "d/streets.gpkg")
    assert rsuda.init(tmp_path / "d", tmp_path / "one.yaml")["labels"] == ["map.gpkg"]
    frame.assign(name=["Main St", "Side St"]).iloc[[0] * 8 + [1] * 4].to_file(tmp_path / "d/map.gpkg", layer="parcels")
    with pytest.raises(InputError, match=r"2 layers of polygons .*map\.gpkg\|layername=map"):
        rsuda.init(tmp_path / "d", tmp_path / "two.yaml")
    facts = rsuda.init(tmp_path / "d", tmp_path / "two.yaml", labels="map.gpkg|layername=map")
    assert facts["labels"] == ["map.gpkg|layername=map"] and [c["name"] for c in facts["classes"]] == ["house", "road"]
    with pytest.raises(InputError, match=r"names no label of an image: no polygon of streets\.gpkg lies over"):
        rsuda.init(tmp_path / "d", tmp_path / "lines.yaml", labels="streets.gpkg")

    frame[["label", "geometry"]].to_crs(4326).to_file(tmp_path / "kml/areas.kml", driver="LIBKML")
    facts = rsuda.init(tmp_path / "kml", tmp_path / "kml.yaml")
    assert {c["name"] for c in facts["classes"]} == {"house", "road"}
    shares = rsuda.info(tmp_path / "kml.yaml", data=tmp_path / "kml")["class_shares"]
    assert shares == pytest.approx({"house": 0.4, "road": 0.6}, abs=0.02)


def test_names_and_colours_beside_the_labels(tmp_path):
    write(tmp_path / "d/img/a.tif", IMAGE)
    write(tmp_path / "d/lab/a.tif", LABEL)
    (tmp_path / "d/lab/a.qml").write_text(
        '<qgis><paletteEntry value="1" label="water: deep" color="#0000ff"/>'
        '<paletteEntry value="2" label="2" color="#00ff00"/></qgis>'
    )
    (tmp_path / "d/lab/a.tif.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><CategoryNames><Category>soil</Category><Category>lake</Category>"
        "</CategoryNames></PAMRasterBand></PAMDataset>"
    )
    classes = rsuda.init(tmp_path / "d", tmp_path / "d.yaml")["classes"]
    assert [item["name"] for item in classes] == ["soil", "water: deep", "class 2"]
    assert rsuda.domain(tmp_path / "d.yaml", tmp_path / "d").legend.names == tuple(item["name"] for item in classes)


def test_nodata_of_labels_is_no_class(tmp_path):
    label = LABEL.copy()
    label[:10] = 255
    write(tmp_path / "d/img/a.tif", IMAGE)
    write(tmp_path / "d/lab/a.tif", label, nodata=255)
    facts = rsuda.init(tmp_path / "d", tmp_path / "d.yaml")
    assert [item["value"] for item in facts["classes"]] == [0, 1, 2]
    assert yaml.safe_load((tmp_path / "d.yaml").read_text())["ignore"] == [255]


def test_a_folder_without_labels_is_a_target(tmp_path):
    write(tmp_path / "d/a.tif", IMAGE)
    facts = rsuda.init(tmp_path / "d", tmp_path / "d.yaml")
    assert facts["labelled"] == 0 and "target=" in facts["next"][1]
    domain = rsuda.domain(tmp_path / "d.yaml", tmp_path / "d")
    assert domain.legend is None and len(domain.split("train")) == 1
    assert rsuda.info(tmp_path / "d.yaml", data=tmp_path / "d")["classes"] is None


def test_unnamed_bands_are_a_guess_with_a_note(tmp_path):
    write(tmp_path / "d/a.tif", np.concatenate([IMAGE, IMAGE, IMAGE]))
    facts = rsuda.init(tmp_path / "d", tmp_path / "d.yaml")
    assert facts["bands"].count(",") == 8 and "is a guess" in facts["notes"][0]


def test_refusals(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(MissingError, match="no raster"):
        rsuda.init(empty, tmp_path / "x.yaml")
    with pytest.raises(MissingError, match="there is no folder"):
        rsuda.init(tmp_path / "nowhere", tmp_path / "x.yaml")
    with pytest.raises(InputError, match=r"ends in \.yaml, and .*x\.txt does not: name it x\.yaml"):
        rsuda.init(empty, tmp_path / "x.txt")
    write(tmp_path / "only/masks/a.tif", LABEL)
    with pytest.raises(InputError, match="no image in"):
        rsuda.init(tmp_path / "only", tmp_path / "x.yaml")
    for tile in "ab":
        write(tmp_path / f"two/img/{tile}.tif", IMAGE)
        write(tmp_path / f"two/gt/{tile}.tif", LABEL)
        write(tmp_path / f"two/masks/{tile}.tif", LABEL)
    with pytest.raises(InputError, match=r"two sets of labels fit .* labels='gt/"):
        rsuda.init(tmp_path / "two", tmp_path / "x.yaml")
    assert rsuda.init(tmp_path / "two", tmp_path / "two.yaml", labels="masks/*")["labels"] == ["masks/{tile}.tif"]
    with pytest.raises(ExistsError, match="overwrite=True"):
        rsuda.init(tmp_path / "two", tmp_path / "two.yaml", labels="masks/*")
    assert not (tmp_path / "x.yaml").exists() and not list(tmp_path.glob(".*"))


def _smeared(kind):
    """A label whose colours a resampling by half a pixel has mixed at borders."""
    large = np.kron(COLOURS if kind == "colours" else (LABEL > 0)[None] * np.uint8(255), np.ones((4, 4), np.uint8))
    mixed = 0.4 * large + 0.6 * np.roll(large, 1, 2)
    mixed = (0.7 * mixed + 0.3 * np.roll(mixed, 1, 1)).round().astype(np.uint8)
    return np.kron(IMAGE, np.ones((4, 4), np.uint8)), large, mixed


@pytest.mark.parametrize("kind", ["colours", "values"])
@pytest.mark.parametrize("profile", [{"compress": "jpeg"}, {}])
def test_smeared_labels_have_the_classes_of_their_areas(tmp_path, kind, profile):
    image, exact, mixed = _smeared(kind)
    write(tmp_path / "city" / "img" / "a.tif", image)
    photometric = {"photometric": "ycbcr"} if profile and kind == "colours" else {}
    write(tmp_path / "city" / "masks" / "a.tif", exact if profile else mixed, **profile, **photometric)
    facts = rsuda.init(tmp_path / "city", tmp_path / "city.yaml")
    assert len(facts["classes"]) == (3 if kind == "colours" else 2) and any(
        "are smeared" in note for note in facts["notes"]
    )
    domain = rsuda.domain(tmp_path / "city.yaml", tmp_path / "city")
    label, outside = domain.labelled("train")[0].whole_label(domain.legend)
    expected = domain.legend.encode(exact)[0]
    assert outside < 0.15 * label.size and (label == expected)[label != 255].mean() > 0.97


def test_blurred_values_that_are_near_each_other_are_refused(tmp_path):
    write(tmp_path / "city" / "img" / "a.tif", IMAGE)
    write(tmp_path / "city" / "masks" / "a.tif", LABEL, compress="jpeg")
    with pytest.raises(
        InputError, match=r"are smeared by the lossy compression .* 0, 1, 2 are too near .* as PNG or GeoTIFF"
    ):
        rsuda.init(tmp_path / "city", tmp_path / "city.yaml")


def test_photographs_in_a_folder_of_labels_are_refused(tmp_path):
    write(tmp_path / "d/img/a.tif", IMAGE)
    write(tmp_path / "d/masks/a.tif", IMAGE)
    with pytest.raises(InputError, match=r"holds .* at most"):
        rsuda.init(tmp_path / "d", tmp_path / "d.yaml")


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "my city/img/a.tif", IMAGE)
    write(tmp_path / "my city/masks/a.tif", LABEL)
    with pytest.raises(SystemExit) as end:
        main(["init", "my city"])
    assert not end.value.code
    assert "rsuda info 'my city.yaml' --data 'my city'" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        main(["init", "my city", "--json", "--overwrite"])
    assert not end.value.code and json.loads(capsys.readouterr().out)["labelled"] == 1
    with pytest.raises(SystemExit) as end:
        main(["info", "my city.yaml", "--data", "my city"])
    assert not end.value.code
    with pytest.raises(SystemExit) as end:
        main(["init", "my city"])
    assert end.value.code == 2 and "exists" in capsys.readouterr().err


def test_own_maps_are_left_out(tmp_path):
    for tile in "ab":
        write(tmp_path / f"d/{tile}.tif", IMAGE)
    write(tmp_path / "d/a_classes.tif", LABEL)
    with rasterio.open(tmp_path / "d/a_classes.tif", "r+") as file:
        file.update_tags(RSUDA_KEY="x")
    squares(tmp_path / "d/a_polygons.gpkg")
    facts = rsuda.init(tmp_path / "d", tmp_path / "d.yaml")
    assert facts["scenes"] == 2 and facts["labelled"] == 0
    assert "a_classes.tif was written by rsuda, and is left out" in facts["notes"][0]
