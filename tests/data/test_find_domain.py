"""Domains: the right files of a data folder become scenes; missing and invalid files are named."""

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from oracle_models import write
from rasterio.transform import from_origin

from rsuda.core.errors import InputError, MissingError
from rsuda.core.legend import IGNORE
from rsuda.data.domain_files.domain_file import KNOWN
from rsuda.data.drafts.init import init
from rsuda.data.find_domain import domain

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

CONFIGS = Path(__file__).parents[2] / "configs" / "domains"

POTSDAM_TRAIN = [f"{r}_{c}" for r in range(2, 8) for c in range(10 if r < 6 else 7, 13)]
POTSDAM_VAL = [
    "2_13",
    "2_14",
    "3_13",
    "3_14",
    "4_13",
    "4_14",
    "4_15",
    "5_13",
    "5_14",
    "5_15",
    "6_13",
    "6_14",
    "6_15",
    "7_13",
]
VAIHINGEN_TRAIN = [
    "1",
    "3",
    "4",
    "6",
    "10",
    "11",
    "12",
    "14",
    "15",
    "16",
    "17",
    "21",
    "23",
    "26",
    "27",
    "28",
    "29",
    "30",
    "31",
    "32",
    "33",
    "34",
    "35",
    "37",
    "38",
]
VAIHINGEN_VAL = ["2", "5", "7", "8", "13", "20", "22", "24"]
IN_POTSDAM = {"IRRG": "3_Ortho_IRRG", "RGB": "2_Ortho_RGB", "RGBIR": "4_Ortho_RGBIR"}


def raster(path, bands=3, size=(4, 4), value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    driver = {".tif": "GTiff", ".png": "PNG", ".jpg": "JPEG"}[path.suffix]
    with rasterio.open(path, "w", driver=driver, height=size[0], width=size[1], count=bands, dtype="uint8") as file:
        file.write(np.full((bands, *size), value, np.uint8))
    return path


def potsdam(root, tiles=(*POTSDAM_TRAIN, *POTSDAM_VAL), variants=("IRRG",), labels=("5_Labels_all_noBoundary",)):
    """Potsdam as delivered: orthophotos with world files and no CRS, labels in folders of their own."""
    for tile in tiles:
        row, col = (int(n) for n in tile.split("_"))
        for variant in variants:
            image = raster(
                root / IN_POTSDAM[variant] / f"top_potsdam_{tile}_{variant}.tif", 4 if variant == "RGBIR" else 3
            )
            centre = 366676.825 + 300 * col, 5808316.575 - 300 * row  # of the first pixel, as world files have it
            image.with_suffix(".tfw").write_text(f"0.05\n0\n0\n-0.05\n{centre[0]}\n{centre[1]}\n")
        for folder in labels:
            ending = "_noBoundary" if folder.endswith("_noBoundary") else ""
            raster(root / folder / f"top_potsdam_{tile}_label{ending}.tif", value=255)
    return root


def vaihingen(root, areas=(*VAIHINGEN_TRAIN, *VAIHINGEN_VAL), eroded=True, complete=False):
    """Vaihingen as delivered, where the same file name stands for an image and its labels."""
    for area in areas:
        place = root / "ISPRS_semantic_labeling_Vaihingen"
        image = raster(place / "top" / f"top_mosaic_09cm_area{area}.tif")
        image.with_suffix(".tfw").write_text("0.09\n0\n0\n-0.09\n496931.705\n5420000.955\n")
        if area in ("1", "3"):  # the participants got labels of some areas
            raster(place / "gts_for_participants" / image.name)
        if eroded:
            raster(
                root / "ISPRS_semantic_labeling_Vaihingen_ground_truth_eroded_COMPLETE" / f"{image.stem}_noBoundary.tif"
            )
        if complete:
            raster(root / "ISPRS_semantic_labeling_Vaihingen_ground_truth_COMPLETE" / image.name)
    return root


# The ISPRS deliveries


def test_potsdam_delivery_has_the_published_split(tmp_path):
    result = domain("potsdam", potsdam(tmp_path))
    assert result.splits == {"train": POTSDAM_TRAIN, "val": POTSDAM_VAL, "all": list(result.scenes)}
    assert (len(result.labelled("train")), len(result.labelled("val"))) == (24, 14)
    assert len(result.scenes) == 38
    assert result.notes == ()


def test_vaihingen_delivery_has_the_published_split(tmp_path):
    result = domain("vaihingen", vaihingen(tmp_path))
    assert (result.splits["train"], result.splits["val"]) == (VAIHINGEN_TRAIN, VAIHINGEN_VAL)
    assert (len(result.labelled("train")), len(result.labelled("val"))) == (25, 8)
    assert len(result.scenes) == 33


@pytest.mark.parametrize(("name", "deliver"), [("potsdam", potsdam), ("vaihingen", vaihingen)])
def test_deliveries_in_one_folder_are_separated(tmp_path, name, deliver):
    potsdam(tmp_path / "Potsdam", ["2_10", "2_13"])
    vaihingen(tmp_path / "Vaihingen", ["1", "2"])
    scenes = domain(name, tmp_path).scenes.values()
    assert len(scenes) == 2
    assert all(f.is_relative_to(tmp_path / name.title()) for s in scenes for f in (s.image, s.label))


def test_vaihingen_image_is_never_its_own_label(tmp_path):
    bare = domain("vaihingen", vaihingen(tmp_path, ["5"], eroded=False))
    assert bare.scenes["5"].label is None
    full = domain("vaihingen", vaihingen(tmp_path, ["5"], eroded=False, complete=True))
    assert full.scenes["5"].label.parent.name.endswith("ground_truth_COMPLETE")
    assert full.scenes["5"].image.parent.name == "top"


@pytest.mark.parametrize(
    ("delivered", "used"),
    [
        ({"eroded": True, "complete": True}, "eroded_COMPLETE"),
        ({"eroded": False, "complete": True}, "truth_COMPLETE"),
        ({"eroded": False, "complete": False}, "gts_for_participants"),
    ],
)
def test_labels_with_eroded_borders_are_preferred(tmp_path, delivered, used):
    assert domain("vaihingen", vaihingen(tmp_path, ["1"], **delivered)).scenes["1"].label.parent.name.endswith(used)


def test_world_file_and_crs_of_the_domain_locate_a_tile(tmp_path):
    scene = domain("potsdam", potsdam(tmp_path, ["2_10"])).scenes["2_10"]
    assert scene.grid.crs.to_epsg() == 32633
    assert np.allclose(scene.grid.world(0.5, 0.5), (366676.825 + 3000, 5808316.575 - 600))
    assert scene.gsd == (0.05, 0.05)


def test_image_variant_is_chosen_by_band_order(tmp_path):
    root = potsdam(tmp_path, ["2_10"], IN_POTSDAM)
    for bands, code in ((None, "IRRG"), ("IRRG", "IRRG"), ("RGB", "RGB"), ("red,green,blue,nir", "RGBIR")):
        result = domain("potsdam", root, bands=bands)
        assert result.scenes["2_10"].image.name == f"top_potsdam_2_10_{code}.tif"
        assert result.scenes["2_10"].file.band_order == result.bands
    assert result.bands == ("red", "green", "blue", "ir")
    assert domain("potsdam", potsdam(tmp_path / "only", ["2_10"], ["RGB"])).bands == ("red", "green", "blue")


def test_missing_or_unknown_variant_is_refused(tmp_path):
    root = potsdam(tmp_path, ["2_10"])
    with pytest.raises(
        MissingError, match=r"looked for \*\*/top_potsdam_\{tile\}_RGB\.tif; to get the data: ask ISPRS"
    ):
        domain("potsdam", root, bands="RGB")
    with pytest.raises(InputError, match=r"unknown band order of domain potsdam 'RGIR'.*known are IRRG, RGB, RGBIR"):
        domain("potsdam", root, bands="RGIR")


def test_bad_label_of_potsdam_removes_its_tile_from_the_split(tmp_path):
    result = domain("potsdam", potsdam(tmp_path, labels=["5_Labels_all"]))
    assert result.scenes["4_12"].label is None
    assert result.splits["train"] == [t for t in POTSDAM_TRAIN if t != "4_12"]
    assert len(result.labelled("train")) == 23
    (note,) = [n for n in result.notes if "4_12" in n]
    assert "top_potsdam_4_12_label.tif is refused" in note


def test_good_label_replaces_a_bad_one(tmp_path):
    result = domain("potsdam", potsdam(tmp_path, labels=["5_Labels_all", "5_Labels_all_noBoundary"]))
    assert result.splits["train"] == POTSDAM_TRAIN
    assert result.notes == ()
    assert all(s.label.name.endswith("_label_noBoundary.tif") for s in result.labelled("train"))


def test_incomplete_split_has_a_note_with_the_number(tmp_path):
    result = domain("potsdam", potsdam(tmp_path, ["2_10", "2_11"]))
    assert result.splits["train"] == ["2_10", "2_11"]
    assert result.notes == (
        f"split 'val' of potsdam matches none of the 2 scenes in {tmp_path} (2_10, 2_11): "
        "looked for 2_13, 2_14, 3_13, 3_14, 4_13, …",
        f"{tmp_path} has 2 of the 24 scenes of split 'train' of potsdam",
    )
    with pytest.raises(InputError, match="split 'val' of domain potsdam has no scene"):
        result.split("val")
    with pytest.raises(InputError, match="unknown split of domain potsdam 'vall': did you mean 'val'"):
        result.split("vall")


def test_missing_label_names_the_scene(tmp_path):
    root = potsdam(tmp_path, ["2_10", "2_11", "2_12"])
    (root / "5_Labels_all_noBoundary" / "top_potsdam_2_11_label_noBoundary.tif").unlink()
    result = domain("potsdam", root)
    assert len(result.split("train")) == 3
    assert not result.has_labels("train")
    with pytest.raises(InputError, match=r"needs labels, but 1 of 3 scenes have none \(2_11\)"):
        result.labelled("train")


def test_label_of_another_size_is_refused_when_opened(tmp_path):
    root = potsdam(tmp_path, ["2_10"])
    raster(root / "5_Labels_all_noBoundary" / "top_potsdam_2_10_label_noBoundary.tif", size=(4, 5))
    with pytest.raises(InputError, match=r"2_10_label_noBoundary\.tif is 5 x 4 px, its image"):
        _ = domain("potsdam", root).labelled("train")[0].label_file


def test_scene_that_occurs_twice_is_refused_with_both_files(tmp_path):
    potsdam(tmp_path / "a", ["2_10"])
    potsdam(tmp_path / "b", ["2_10"])
    with pytest.raises(
        InputError, match=r"scene '2_10' occurs twice in the data folder: a/.*IRRG\.tif and b/.*IRRG\.tif"
    ):
        domain("potsdam", tmp_path)


# LoveDA


def test_loveda_separates_cities_and_has_parts_as_splits(tmp_path):
    for part, tiles in (("Train", (2, 10)), ("Val", (2522,)), ("Test", (4191,))):
        for place in ("Rural", "Urban"):
            for tile in tiles:
                raster(tmp_path / part / place / "images_png" / f"{tile}.png")
                if part != "Test":
                    raster(tmp_path / part / place / "masks_png" / f"{tile}.png", 1, value=tile % 9)
    rural, urban = (domain(f"loveda-{p}", tmp_path) for p in ("rural", "urban"))
    expected = {"train": ["Train_2", "Train_10"], "val": ["Val_2522"], "test": ["Test_4191"]}
    assert {k: v for k, v in rural.splits.items() if k != "all"} == expected == {k: urban.splits[k] for k in expected}
    assert all("Rural" in s.image.parts for s in rural.scenes.values())
    assert all("Urban" in s.image.parts for s in urban.scenes.values())
    assert rural.has_labels("val")
    assert not rural.has_labels("test")
    label, off_palette = rural.scenes["Train_2"].whole_label(rural.legend)
    assert rural.legend.names[label[0, 0]] == "building"
    assert off_palette == 0


# Domain files


@pytest.fixture
def domain_file(tmp_path):
    """A writer of a domain file, beside two scenes that it describes."""
    for name in ("a_1", "b_2"):
        raster(tmp_path / "data" / "images" / f"{name}.tif")
        raster(tmp_path / "data" / "masks" / f"{name}.tif")

    def write(file="mine.yaml", **fields):
        base = {
            "gsd": 0.5,
            "images": {"RGB": {"files": "**/images/{tile}.tif", "bands": "RGB"}},
            "labels": ["**/masks/{tile}.tif"],
            "legend": [{"name": "roof", "colour": "#FF0000"}, {"name": "soil", "colour": "#000000"}],
        }
        whole = fields if "extends" in fields else base | fields
        (tmp_path / file).write_text(yaml.safe_dump({k: v for k, v in whole.items() if v is not None}))
        return str(tmp_path / file)

    return write


def test_domain_file_describes_a_domain(domain_file, tmp_path):
    result = domain(domain_file(crs="EPSG:32640", splits={"train": ["a_*"], "val": ["b_*"]}), tmp_path / "data")
    assert (result.name, result.bands, result.legend.names) == ("mine", ("red", "green", "blue"), ("roof", "soil"))
    assert result.splits == {"train": ["a_1"], "val": ["b_2"], "all": ["a_1", "b_2"]}
    assert result.gsd == 0.5
    assert [s.crs for s in result.labelled("all")] == ["EPSG:32640"] * 2


def test_domain_file_takes_texts_for_lists_a_number_for_the_crs_and_absolute_places_without_a_data_folder(
    domain_file, tmp_path
):
    places = {
        "images": {"RGB": {"files": f"{tmp_path}/data/images/{{tile}}.tif", "bands": "RGB"}},
        "labels": f"{tmp_path}/data/masks/{{tile}}.tif",
    }
    result = domain(domain_file(crs=32640, splits={"train": "a_*"}, scenes="a*", **places))
    assert result.splits["train"] == ["a_1"] and list(result.scenes) == ["a_1"]
    assert [s.crs for s in result.labelled("all")] == ["EPSG:32640"]


def test_domain_file_extends_and_overrides_another(domain_file, tmp_path):
    domain_file("base.yaml", gsd=0.3, clutter="soil")
    file = domain_file("mine.yaml", extends="base.yaml", name="mine", scenes=["b_*"], gsd_of={"b_*": 0.25})
    result = domain(file, tmp_path / "data")
    assert (result.name, list(result.scenes), result.clutter, result.gsd) == ("mine", ["b_2"], "soil", 0.25)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"legnd": []}, r"mine\.yaml: unknown field 'legnd': did you mean 'legend'\?"),
        ({"images": None}, r"mine\.yaml: field images is missing"),
        ({"legend": None}, r"mine\.yaml: field legend is missing"),
        ({"images": "*.tif"}, r"mine\.yaml: field images is '\*\.tif'; it must be 'name: value' pairs"),
        (
            {"images": {"RGB": {"file": "*.tif", "bands": "RGB"}}},
            "unknown field 'images.RGB.file': did you mean 'images.RGB.files'",
        ),
        ({"legend": {"roof": 1}}, "field legend is {'roof': 1}; it must be a list"),
        ({"clutter": "rubble"}, "'clutter' is 'rubble', which is not a class of the legend: use one of roof, soil"),
        ({"protocol": {"window": 512}}, "field protocol.stride is missing"),
        ({"extends": "gone.yaml"}, r"mine\.yaml extends .*gone\.yaml, which is missing"),
        ({"legend": [{"name": False, "colour": "#FF0000"}]}, "the name of a class is false: put names such as 'no'"),
        ({"legend": [{"name": "roof"}]}, r"class 1 of the legend: field colour is missing"),
        ({"legend": [{"name": "roof", "colour": None}]}, "colour None is invalid: write '#RRGGBB' in quotation marks"),
        ({"crs": "UTM33"}, r"field crs: the CRS 'UTM33' is unknown: write it as EPSG:32633"),
        pytest.param(
            {"labels": ["masks\\{tile}.tif"]},
            r"has a backslash: write '/' between folders",
            marks=pytest.mark.skipif(os.sep == "\\", reason="there it stands between folders"),
        ),
        ({"scenes": ["c_*"]}, r"none of the 2 scenes .* named c_\*; one of the names in the folder is a_1"),
    ],
)
def test_mistake_in_a_domain_file_is_named_with_its_field(domain_file, tmp_path, fields, message):
    with pytest.raises((InputError, MissingError), match=message):
        domain(domain_file(**fields), tmp_path / "data")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not valid YAML"),
        ("- 1", "has no fields"),
        ("", "has no fields"),
        ("gsd: 1\nimages: {}\ngsd: 2", "is not valid YAML: 'gsd' is written twice at line 3"),
        ("legend:\n\t- a", "indent lines by spaces, not by tabs"),
        ("legend: [{name: a, colour: #FF0000}]", "put colours in quotation marks, as '#FF0000'"),
        ("name: Köln", "is not valid YAML, which is UTF-8 text: save it as UTF-8"),
    ],
)
def test_invalid_domain_file_is_refused(tmp_path, text, message):
    (tmp_path / "x.yaml").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=message):
        domain(str(tmp_path / "x.yaml"), tmp_path)


def test_hidden_folders_are_skipped(domain_file, tmp_path):
    raster(tmp_path / "data" / ".out-x1" / "images" / "a_1.tif")
    assert list(domain(domain_file(), tmp_path / "data").scenes) == ["a_1", "b_2"]


SHIPPED = sorted(CONFIGS.glob("*.yaml"))
assert len(SHIPPED) >= 4


@pytest.mark.parametrize("file", SHIPPED, ids=lambda p: p.stem)
def test_shipped_domain_files_say_how_to_get_the_data(file, tmp_path):
    with pytest.raises(
        MissingError, match=f"no image of domain {file.stem} in .* looked for .*; to get the data: (download|run|ask) "
    ):
        domain(str(file), tmp_path)


@pytest.mark.parametrize("name", KNOWN)
def test_known_domain_without_data_says_how_to_get_them(name, tmp_path):
    raster(tmp_path / "wrong" / "layout.tif")
    with pytest.raises(
        MissingError, match=rf"no image of domain {name} in {tmp_path}: looked for \*\*/.*; to get the data: \w+"
    ):
        domain(name, tmp_path)
    with pytest.raises(MissingError, match=rf"the data folder {tmp_path}/gone is missing; to get the data: \w+"):
        domain(name, tmp_path / "gone")
    with pytest.raises(MissingError, match=f"no data folder for domain {name}: pass data=DIR"):
        domain(name, None)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("postdam", InputError, "unknown domain 'postdam': did you mean 'potsdam'"),
        ("gone/folder", MissingError, "no folder, raster or domain file gone/folder"),
        ("gone.yaml", MissingError, r"there is no domain file gone\.yaml"),
        ("gone.tif", MissingError, r"no folder, raster or domain file gone\.tif"),
    ],
)
def test_unknown_name_is_refused_by_its_form(name, error, message):
    with pytest.raises(error, match=message):
        domain(name, None)


# Folders and globs of rasters


def test_folder_is_a_domain_of_all_rasters_below_it(tmp_path):
    raster(tmp_path / "b.tif")
    raster(tmp_path / "deep" / "a.png")
    raster(tmp_path / ".b-x1" / "b.tif")  # what an interrupted run may leave
    (tmp_path / "notes.txt").write_text("no raster")
    result = domain(str(tmp_path), bands="IRRG", gsd=0.3)
    assert {n: s.image for n, s in result.scenes.items()} == {"b": tmp_path / "b.tif", "a": tmp_path / "deep" / "a.png"}
    assert (result.name, result.bands, result.gsd, result.legend) == (tmp_path.name, ("ir", "red", "green"), 0.3, None)
    assert set(result.splits["train"]) == set(result.splits["all"]) == {"a", "b"}
    assert not result.has_labels("train")
    with pytest.raises(InputError, match="needs labels"):
        result.labelled("train")


def test_glob_and_single_file_are_domains(tmp_path):
    for name in ("a1.tif", "a2.tif", "b1.tif", "odd[1].tif"):
        raster(tmp_path / name)
    assert list(domain(f"{tmp_path}/a*.tif", None).scenes) == ["a1", "a2"]
    assert list(domain(f"{tmp_path}/b1.tif", None).scenes) == ["b1"]
    assert list(domain(f"{tmp_path}/odd[1].tif", None).scenes) == ["odd[1]"]


def test_rasters_of_equal_names_are_separate_scenes(tmp_path):
    for name in ("x/a.tif", "y/a.tif", "y/a.png", "y/a.jpg"):
        raster(tmp_path / name)
    scenes = domain(str(tmp_path), None).scenes
    assert len({s.image for s in scenes.values()}) == len(scenes) == 4


def test_empty_folder_is_refused(tmp_path):
    for place in (tmp_path, tmp_path / "*.tif"):
        with pytest.raises(MissingError, match=r"no raster \(\.tif, .*\) in "):
            domain(str(place), None)


def test_gsd_of_a_folder_is_the_median_of_its_rasters(tmp_path):
    for k, gsd in enumerate((0.5, 9.0, 0.6)):
        path = tmp_path / f"{k}.tif"
        placed = {"crs": "EPSG:32633", "transform": from_origin(0, 0, gsd, gsd)}
        with rasterio.open(path, "w", driver="GTiff", height=2, width=2, count=3, dtype="uint8", **placed) as file:
            file.write(np.zeros((3, 2, 2), np.uint8))
    assert domain(str(tmp_path), None).gsd == 0.6


# Display


def test_repr_of_a_domain_and_a_scene_is_one_short_line(tmp_path):
    result = domain("potsdam", potsdam(tmp_path))
    assert repr(result) == ("Domain('potsdam', scenes: 38, bands: IRRG, GSD: 0.05 m, splits: train 24, val 14, all 38)")
    scene = result.scenes["2_10"]
    assert repr(scene).startswith("Scene('2_10', image: ") and repr(scene).endswith("bands: IRRG, GSD: 0.05 m)")
    assert "\n" not in repr(scene) and "label: " in repr(scene)


def test_html_of_a_domain_is_a_small_escaped_table(domain_file, tmp_path):
    legend = [{"name": "<b>roof</b>", "colour": "#FF0000"}]
    html = domain(domain_file(legend=legend), tmp_path / "data")._repr_html_()
    assert html.startswith("<table>") and "&lt;b&gt;roof&lt;/b&gt;" in html and "<b>" not in html
    assert "rgb(255, 0, 0)" in html and len(html) < 2000


def test_repr_of_a_domain_without_gsd_says_unknown(tmp_path):
    raster(tmp_path / "a.tif")
    assert "GSD: unknown" in repr(domain(str(tmp_path)))


# Real cities


def totals(scenes, legend):
    counts, off_palette = np.zeros(256, int), 0
    for scene in scenes:
        label, outside = scene.whole_label(legend)
        counts += np.bincount(label.ravel(), minlength=256)
        off_palette += outside
    assert counts[len(legend) : IGNORE].sum() == 0
    return counts[: len(legend)] / 1e6, off_palette


def test_real_dubai_has_two_gsds(real_data):
    dubai = domain(str(CONFIGS / "dubai.yaml"), real_data)
    assert (len(dubai.labelled("train")), len(dubai.labelled("val"))) == (48, 24)
    assert {n[0]: s.gsd[0] for n, s in dubai.scenes.items()} == {**dict.fromkeys("123456", 1.0), "7": 0.5, "8": 0.5}
    assert dubai.gsd == 1.0
    parts = [domain(str(CONFIGS / f"dubai-{part}.yaml"), real_data) for part in ("1m", "05m")]
    assert [(len(p.scenes), p.gsd) for p in parts] == [(54, 1.0), (18, 0.5)]


def test_real_dubai_labels_have_the_documented_colours_only(real_data):
    """Tiles 2 and 4 are palette files, and tile 8 has an undocumented black."""
    dubai = domain(str(CONFIGS / "dubai.yaml"), real_data)
    assert all((s.label_file.file.palette is not None) == (n[0] in "24") for n, s in dubai.scenes.items())
    counts, off_palette = totals(dubai.split("train"), dubai.legend)
    assert off_palette == 0
    assert np.allclose(counts, (8.8, 32.6, 6.4, 7.8, 9.4), atol=0.06)


def test_real_mumbai_has_its_published_class_totals(real_data):
    mumbai = domain(str(CONFIGS / "mumbai.yaml"), real_data)
    assert (len(mumbai.labelled("train")), len(mumbai.labelled("val"))) == (77, 16)
    assert mumbai.gsd == 0.5
    counts, off_palette = totals(mumbai.split("val"), mumbai.legend)
    assert off_palette == 0
    assert np.allclose(counts, (1.0, 0.6, 0.4, 1.2, 2.5), atol=0.06)


def test_real_pair_shares_its_classes(real_data):
    dubai, mumbai = (domain(str(CONFIGS / f"{name}.yaml"), real_data) for name in ("dubai", "mumbai"))
    assert dubai.legend.names == mumbai.legend.names == ("building", "land", "road", "vegetation", "water")


def test_files_of_a_folder_that_gdal_cannot_open_are_left_out_with_a_note(tmp_path):
    (tmp_path / "bad.tif").write_bytes(b"no raster")
    (tmp_path / "none.tif").touch()
    with pytest.raises(
        MissingError, match=r"2 of 2 rasters cannot be read: .*bad\.tif.*; cannot read .*none\.tif: it is empty"
    ):
        domain(tmp_path)
    write(tmp_path / "good.tif", np.ones((3, 9, 9), np.uint8))
    for place in (tmp_path, tmp_path / "*.tif"):
        city = domain(str(place))
        assert list(city.scenes) == ["good"]
        assert any(note.startswith("2 of 3 rasters are left out: cannot read") for note in city.notes)
    with pytest.raises(MissingError, match=r"bad\.tif"):
        domain(tmp_path / "bad.tif").bands  # noqa: B018
    with pytest.raises(MissingError, match=r"2 of 3 rasters in .* cannot be read, so move them out of it: .*bad\.tif"):
        init(tmp_path, tmp_path / "city.yaml")
