"""torchgeo datasets become domains: files become scenes, bands get names, masks become labels."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from labelled_city import COLOURS, LEGEND, NAMES, SMALL, city
from oracle_models import GEOMETRIES, write
from rasterio.transform import from_origin
from safetensors.torch import load_file

import rsuda

datasets = pytest.importorskip("torchgeo.datasets", reason="torchgeo is not installed")

from rsuda.data.domains.torchgeo_domain import names_of  # noqa: E402 (after the skip)


def images(glob, *names, **fields):
    body = {"filename_glob": glob, "all_bands": names, **fields}
    return type("Images", (datasets.RasterDataset,), body)


def masks(glob, **fields):
    return type("Masks", (datasets.RasterDataset,), {"filename_glob": glob, "is_image": False, **fields})


CMAP = {k: (*map(int, c), 255) for k, c in enumerate(COLOURS)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    city(folder, "east")
    city(folder, "west", 0.8, 1)
    return folder


@pytest.fixture
def east(data):
    return images("east_*_image.tif", "R", "G", "B")(str(data))


@pytest.fixture
def east_masks(data):
    return masks("east_*_mask.tif", cmap=CMAP, classes=NAMES)(str(data))


def test_images_and_masks_become_labelled_scenes(east, east_masks, data):
    domain = rsuda.domain(east, labels=east_masks, name="springfield")
    assert (domain.name, domain.bands, domain.gsd) == ("springfield", ("red", "green", "blue"), 0.5)
    assert domain.legend == rsuda.Legend.from_fields(LEGEND)
    assert [(s.image, s.label) for s in domain.labelled("train")] == [
        (data / f"east_{n}_image.tif", data / f"east_{n}_mask.tif") for n in range(2)
    ]
    label, off_palette = domain.scenes["east_1_image"].whole_label(domain.legend)
    by_name = rsuda.domain(data / "east.yaml", data)
    assert off_palette == 0 and (label == by_name.scenes["1"].whole_label(by_name.legend)[0]).all()


def test_intersection_of_images_and_masks_is_the_same_domain(east, east_masks):
    apart = rsuda.domain(east, labels=east_masks)
    assert rsuda.domain(east & east_masks) == apart and rsuda.domain(east_masks & east) == apart


def test_union_has_the_scenes_of_both_datasets(data, east):
    other = images("west_*_image.tif", "R", "G", "B")(str(data))
    domain = rsuda.domain(east | other)
    assert list(domain.scenes) == ["east_0_image", "east_1_image", "west_0_image", "west_1_image"]
    assert domain.legend is None and not domain.has_labels("train")
    other_bands = images("west_*_image.tif", "NIR", "R", "G")(str(data))
    with pytest.raises(rsuda.InputError, match="have different bands"):
        rsuda.domain(east | other_bands)


def test_training_on_datasets_equals_training_on_their_files(east, east_masks, data, tmp_path):
    west = images("west_0_image.tif", "R", "G", "B")(str(data))
    splits = {"train": ["east_0*"], "val": ["east_1*"]}
    labelled = rsuda.domain(east, labels=east_masks, splits=splits)
    chosen = {k: v for k, v in SMALL["settings"].items() if k != "training.bank" and not k.startswith("align.")}
    whole = {**SMALL, "settings": chosen}  # with a look at the colours, and a bank
    one = rsuda.adapt(labelled, west, out=tmp_path / "one", **whole)
    two = rsuda.adapt(data / "east.yaml", data / "west.yaml", data=data, out=tmp_path / "two", **whole)
    assert (one.settings.source.name, one.settings.target.name, one.scores) == (
        "object: Images",
        "object: Images",
        None,
    )
    a, b = (load_file(r.path / "weights.safetensors") for r in (one, two))
    assert all((a[k] == b[k]).all() for k in b)
    # and with the datasets themselves, as they are
    batch = next(iter(_loader(rsuda.PairDataModule(east & east_masks, west, **SMALL))))
    assert batch["source_image"].shape == (2, 3, 192, 192) and int(batch["source_label"].max()) in (0, 1, 2, 255)


def _loader(module):
    module.setup()
    return module.train_dataloader()


def test_run_is_scored_on_a_dataset(east, east_masks, data, tmp_path):
    run = rsuda.adapt(data / "east.yaml", data / "west.yaml", data=data, out=tmp_path / "run", **SMALL)
    by_files = rsuda.evaluate(run, data / "east.yaml", "val", data=data, device="cpu", precision="fp32")
    both = rsuda.domain(east, labels=east_masks, splits={"val": ["east_1*"]})
    assert rsuda.evaluate(run, both, "val", device="cpu", precision="fp32").scores.miou == by_files.scores.miou


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"all_bands": ("R", "G", "B", "NIR")}, ("red", "green", "blue", "ir")),
        ({"all_bands": ("Red", "green", "BLUE", "red_edge")}, ("red", "green", "blue", "red_edge")),
        ({"all_bands": ("B01", "B02", "B03", "B04", "B08", "B8A")}, ("b01", "blue", "green", "red", "ir", "b8a")),
        ({"all_bands": ("one", "two", "three"), "rgb_bands": ("three", "two", "one")}, ("blue", "green", "red")),
        (
            {"all_bands": ("SR_B1", "SR_B2"), "wavelengths": {"B1": 0.66, "B2": 0.83}, "rgb_bands": ("SR_B1",)},
            ("red", "ir"),
        ),
        ({"all_bands": ()}, ()),
    ],
)
def test_bands_are_named_by_wavelength_or_name_or_rgb_bands(fields, names):
    assert names_of(object.__new__(type("Some", (datasets.RasterDataset,), fields))) == names


def test_bands_of_torchgeo_sensors_have_names():
    for name, code in (
        ("NAIP", {"R": "red", "NIR": "ir"}),
        ("Sentinel2", {"B02": "blue", "B03": "green", "B04": "red", "B08": "ir", "B12": "b12"}),
        ("Landsat8", {"SR_B2": "blue", "SR_B3": "green", "SR_B4": "red", "SR_B5": "ir"}),
    ):
        dataset = object.__new__(getattr(datasets, name))
        dataset.all_bands = tuple(dataset.all_bands or dataset.default_bands)
        named = dict(zip(dataset.all_bands, names_of(dataset), strict=True))
        assert {k: named[k] for k in code} == code, name


def test_network_is_fed_the_bands_that_a_dataset_returns(data):
    domain = rsuda.domain(images("east_*_image.tif", "NIR", "R", "G")(str(data), bands=("G", "NIR")))
    assert domain.bands == ("green", "ir")
    assert domain.scenes["east_0_image"].bands == ("ir", "red", "green")
    scene = domain.scenes["east_0_image"]
    assert scene.file.band_numbers(domain.bands) == [3, 1]
    declared = rsuda.domain(images("east_*_image.tif", "NIR", "R", "G")(str(data)), bands="RGB", gsd=0.2)
    assert (declared.bands, declared.gsd) == (("red", "green", "blue"), 0.2)


def test_legend_is_passed_or_comes_from_the_dataset(data, east):
    plain = masks("east_*_mask.tif")(str(data))
    with pytest.raises(rsuda.InputError, match=r"Masks has no class names and no colours: pass legend="):
        rsuda.domain(east, labels=plain)
    passed = rsuda.domain(east, labels=plain, legend=LEGEND[1:], ignore=[0]).legend
    assert passed.names == NAMES[1:] and passed.values == ((1,), (2,)) and passed.ignored_values == (0,)
    named = rsuda.domain(east, labels=masks("east_*_mask.tif", classes=NAMES)(str(data))).legend
    assert named.names == NAMES and named.values == ((0,), (1,), (2,)) and len(set(named.palette)) == 3
    coloured = rsuda.domain(east, labels=masks("east_*_mask.tif", cmap=CMAP)(str(data)), ignore=[2]).legend
    assert coloured.names == ("class 0", "class 1") and coloured.palette == tuple(map(tuple, COLOURS[:2].tolist()))
    # the palette of a file has 256 entries, of which those count that occur
    every = masks("east_*_mask.tif", cmap={k: (k, k, 0, 255) for k in range(256)})(str(data))
    assert rsuda.domain(east, labels=every).legend.names == ("class 0", "class 1", "class 2")


def test_nodata_value_of_masks_is_ignored(tmp_path):
    write(tmp_path / "a_image.tif", np.ones((3, 40, 40), np.uint8))
    write(tmp_path / "a_mask.tif", np.full((1, 40, 40), 2, np.uint8), nodata=2)
    domain = rsuda.domain(
        images("*_image.tif", "R", "G", "B")(str(tmp_path)),
        labels=masks("*_mask.tif", cmap=CMAP, classes=NAMES)(str(tmp_path)),
    )
    assert domain.legend.names == NAMES[:2] and domain.legend.ignored_values == (2,)
    assert (domain.scenes["a_image"].whole_label(domain.legend)[0] == 255).all()


@pytest.mark.parametrize("transform", GEOMETRIES.values(), ids=GEOMETRIES)
def test_masks_are_matched_by_their_pixel_grid(tmp_path, transform):
    write(tmp_path / "a_image.tif", np.ones((3, 40, 50), np.uint8), transform)
    write(tmp_path / "z_mask.tif", np.ones((1, 40, 50), np.uint8), transform)
    moved = transform @ transform.translation(1, 0)
    write(tmp_path / "b_mask.tif", np.zeros((1, 40, 50), np.uint8), moved)
    domain = rsuda.domain(
        images("*_image.tif", "R", "G", "B")(str(tmp_path)), labels=masks("*_mask.tif", classes=NAMES)(str(tmp_path))
    )
    assert domain.scenes["a_image"].label == tmp_path / "z_mask.tif"


def test_mask_on_another_grid_is_read_at_its_place(tmp_path):
    write(tmp_path / "a_image.tif", np.ones((3, 40, 50), np.uint8))
    values = np.arange(2000, dtype=np.uint8).reshape(1, 40, 50) // 200 % 2
    write(tmp_path / "a_mask.tif", values, from_origin(500_000.25, 6_000_000, 0.5, 0.5))
    write(tmp_path / "b_mask.tif", values, from_origin(500_020, 6_000_000, 0.5, 0.5))
    domain = rsuda.domain(
        images("*_image.tif", "R", "G", "B")(str(tmp_path)), labels=masks("*_mask.tif", cmap=CMAP)(str(tmp_path))
    )
    assert domain.scenes["a_image"].label == tmp_path / "a_mask.tif"


@pytest.mark.parametrize("number, says", [(0, "none of the 1 masks lies on .*a_image.tif"), (2, "both cover 48% of")])
def test_missing_and_ambiguous_masks_are_refused(tmp_path, number, says):
    write(tmp_path / "a_image.tif", np.ones((3, 40, 50), np.uint8))
    for k in range(number):
        write(tmp_path / f"{k}_mask.tif", np.ones((1, 40, 50), np.uint8), from_origin(500_013, 6_000_000, 0.5, 0.5))
    write(tmp_path / "far_mask.tif", np.ones((1, 40, 50), np.uint8), from_origin(510_000, 6_000_000, 0.5, 0.5))
    with pytest.raises(rsuda.InputError, match=says):
        rsuda.domain(
            images("*_image.tif", "R", "G", "B")(str(tmp_path)), labels=masks("*_mask.tif", cmap=CMAP)(str(tmp_path))
        )


def test_invalid_dataset_is_refused_in_one_sentence(east, east_masks, data):
    separate = images("east_0_image.tif", "R", separate_files=True)(str(data))
    for ask, sentence in (
        (lambda: rsuda.domain(separate), r"each band in a file of its own.*gdalbuildvrt -separate"),
        (lambda: rsuda.domain(east_masks), r"holds masks .*pass it as labels="),
        (lambda: rsuda.domain(east, labels=east), r"passed as labels, but holds images"),
        (lambda: rsuda.domain(east & east_masks, labels=east_masks), "without labels beside it"),
        (lambda: rsuda.domain(east, splits={"val": ["x*"]}), r"split 'val' of Images has no scene.*x\*.*east_0_image"),
        (lambda: rsuda.domain(3), "object of type int"),
        (lambda: rsuda.adapt(3, east), "object of type int"),
    ):
        with pytest.raises(rsuda.InputError, match=sentence):
            ask()


def test_transforms_of_a_dataset_give_a_note(data):
    domain = rsuda.domain(images("east_*_image.tif", "R", "G", "B")(str(data), transforms=lambda sample: sample))
    assert domain.notes == ("the transforms of Images are not applied: rsuda reads its files",)


def test_missing_torchgeo_names_the_extra():
    code = (
        "import sys; sys.modules['torchgeo'] = None\n"
        "import rsuda\n"
        "try: rsuda.domain(object())\n"
        "except rsuda.InputError as error: print(error)"
    )
    root = Path(__file__).parents[3]
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert "pip install 'rsuda[torchgeo]'" in result.stdout


def test_real_naip_tiles_are_a_domain(real_data, tmp_path):
    """Four bands of which the last, near infrared, is tagged as alpha."""
    folder = real_data / "geotiffs" / "naip" / "train"
    files = sorted(f for f in folder.rglob("*.tif"))
    assert files
    tiles = [f for f in files if "mask" not in str(f.relative_to(folder)).lower()]
    dataset = type("Tiles", (datasets.NAIP,), {"filename_glob": "*.tif", "filename_regex": ".*"})(
        [str(f) for f in tiles]
    )
    domain = rsuda.domain(dataset)
    assert domain.bands == ("red", "green", "blue", "ir") and domain.gsd == pytest.approx(0.6, rel=0.05)
    scene = next(iter(domain.scenes.values()))
    assert scene.read(domain.bands, None, (0, 0, 64, 64)).valid.all()
