"""A scene: GSD, CRS, bands and labels from its files and its domain, and invalid files."""

import numpy as np
import pytest
from rasterio.control import GroundControlPoint
from rasterio.transform import from_origin

from rsuda.core.errors import InputError, MissingError
from rsuda.core.legend import IGNORE, Legend
from rsuda.geo.scenes.scene import Scene

LEGEND = Legend.from_fields([{"name": "roof", "colour": "#FF0000"}, {"name": "tree", "colour": "#00FF00"}], ["#000000"])
ISPRS = {"transform": from_origin(1000, 2000, 0.09, 0.09)}  # a transform and no CRS


def colours(index):
    """A label image of LEGEND's colours by index, 2 for black and 3 for a colour of no class."""
    return np.array([(255, 0, 0), (0, 255, 0), (0, 0, 0), (9, 9, 9)], np.uint8)[np.asarray(index)].transpose(2, 0, 1)


def test_declared_gsd_overrides_the_file(located_raster):
    path = located_raster(gsd=2.0)
    assert Scene("a", path).gsd == pytest.approx((2, 2))
    assert Scene("a", path, declared_gsd=0.5).gsd == (0.5, 0.5)


@pytest.mark.parametrize("gsd", [0, -1, float("nan"), float("inf")])
def test_invalid_declared_gsd_is_refused(located_raster, gsd):
    with pytest.raises(InputError):
        _ = Scene("a", located_raster(), declared_gsd=gsd).gsd


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_unknown_gsd_is_refused_with_the_reason(write):
    plain = write("plain.tif", np.zeros((3, 8, 8), np.uint8))
    with pytest.raises(InputError, match=r"GSD of .*plain\.tif is unknown, since the file has no georeference"):
        _ = Scene("a", plain).gsd
    points = [GroundControlPoint(r, c, 10 + c, 50 - r) for r, c in ((0, 0), (0, 8), (8, 0), (8, 8))]
    pinned = write("pinned.tif", np.zeros((3, 8, 8), np.uint8), gcps=points, crs="EPSG:4326")
    with pytest.raises(InputError, match="control points"):
        _ = Scene("a", pinned).gsd


def test_gsd_differences_below_a_thousandth_are_ignored(located_raster):
    scene = Scene("a", located_raster(gsd=2.0))
    assert scene.step(None) == scene.step(2.0) == scene.step(2.0015) == (1.0, 1.0)
    assert scene.step(3.0) == pytest.approx((1.5, 1.5))
    assert scene.step(1.0) == pytest.approx((0.5, 0.5))


def test_crs_of_the_domain_is_used_for_files_without_crs(write, located_raster):
    path = write("isprs.tif", np.zeros((3, 8, 8), np.uint8), **ISPRS)
    assert Scene("a", path).grid.crs is None
    scene = Scene("a", path, crs="EPSG:32632")
    assert scene.grid.crs.to_epsg() == 32632
    assert scene.gsd == pytest.approx((0.09, 0.09))
    assert Scene("a", located_raster(), crs="EPSG:32632").grid.crs.to_epsg() == 32633


def test_unknown_crs_is_refused_by_name(write):
    path = write("isprs.tif", np.zeros((3, 8, 8), np.uint8), **ISPRS)
    with pytest.raises(InputError, match="CRS 'utm 33' of scene 'a' is unknown"):
        _ = Scene("a", path, crs="utm 33").grid


def test_bands_are_read_by_name(located_raster):
    path = located_raster()
    straight, swapped = (Scene("a", path, bands=bands) for bands in (("red", "ir"), ("ir", "red")))
    window = (3, 4, 5, 6)
    assert np.array_equal(
        straight.read(("red", "ir"), None, window).values, swapped.read(("ir", "red"), None, window).values
    )
    assert np.array_equal(
        straight.read(("ir",), None, window).values[0], straight.read(("red", "ir"), None, window).values[1]
    )


def test_label_and_image_windows_show_the_same_ground(write):
    index = np.random.default_rng(0).integers(0, 3, (24, 20))
    image = write("image.tif", colours(index).astype(np.uint8), **ISPRS)
    scene = Scene("a", image, write("label.tif", colours(index)), bands=("red", "green", "blue"))
    for gsd in (None, 0.18):
        window = (2, 3, 7, 5)
        pixels = scene.read(("red", "green", "blue"), gsd, window).values
        label, off_palette = scene.read_label(LEGEND, gsd, window)
        assert off_palette == 0
        for k in (0, 1):  # where a class has the majority, its colour has the greater share
            assert (pixels[k][label == k] >= 255 / 3).all()
            assert (label == k).any()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_label_of_another_size_is_refused_with_both_sizes(write):
    image = write("image.tif", np.zeros((3, 10, 12), np.uint8), **ISPRS)
    scene = Scene("a", image, write("label.tif", np.zeros((3, 10, 11), np.uint8)))
    with pytest.raises(InputError, match=r"label.*label\.tif is 11 x 10 px, its image.*image\.tif is 12 x 10 px"):
        _ = scene.label_file


def test_label_of_a_scene_without_one_is_refused(located_raster):
    with pytest.raises(InputError, match=r"^scene 'a' \(.*\) has no label$"):
        Scene("a", located_raster()).read_label(LEGEND, None, (0, 0, 1, 1))


def test_label_that_the_legend_cannot_read_is_named(write):
    image = write("image.tif", np.zeros((3, 4, 4), np.uint8), **ISPRS)
    scene = Scene("a", image, write("index.tif", np.zeros((1, 4, 4), np.uint8), **ISPRS))
    with pytest.raises(InputError, match=r"index\.tif: .*no palette"):
        scene.read_label(LEGEND, None, (0, 0, 4, 4))


def test_off_palette_pixels_are_counted_and_refused_as_the_majority(write):
    index = np.array([[0, 1, 2, 3], [3, 3, 0, 1]])
    image = write("image.tif", np.zeros((3, 2, 4), np.uint8), **ISPRS)
    label, off_palette = Scene("a", image, write("label.tif", colours(index), **ISPRS)).whole_label(LEGEND)
    assert label.tolist() == [[0, 1, IGNORE, IGNORE], [IGNORE, IGNORE, 0, 1]]
    assert off_palette == 3
    with pytest.raises(InputError, match="75% of the labelled pixels of "):
        Scene("a", image, write("bad.tif", colours([[3, 3, 3, 3], [3, 3, 0, 1]]), **ISPRS)).whole_label(LEGEND)


def test_missing_label_is_named_when_it_is_read(tmp_path, located_raster):
    scene = Scene("a", located_raster(), tmp_path / "gone.tif")
    scene.read(("red", "ir"), None, (0, 0, 2, 2))
    with pytest.raises(MissingError, match=r"there is no file .*gone\.tif"):
        scene.read_label(LEGEND, None, (0, 0, 2, 2))


def test_declared_gsd_that_contradicts_the_georeference_has_a_note(located_raster, write):
    path = located_raster(gsd=2.0)
    assert Scene("a", path, declared_gsd=2.05).gsd_note is None
    note = Scene("a", path, declared_gsd=0.5).gsd_note
    assert "are 2 x 2 m (across, down) by its georeference, and 0.5 m are declared: the declared GSD counts" in note
    assert Scene("a", path, assumed_gsd=0.5).gsd == (2.0, 2.0)
    degrees = {"transform": from_origin(13.4, 60, 1e-5, 1e-5), "crs": "EPSG:4326"}  # case 11c
    scene = Scene("a", write("degrees.tif", np.zeros((3, 8, 8), np.uint8), **degrees), declared_gsd=1.1)
    assert scene.gsd == pytest.approx((1.1141, 0.5580), rel=1e-3)
    assert "0.558 x 1.114 m (across, down) by its georeference, and 1.1 m are declared: its georef" in scene.gsd_note


def test_labels_are_refused_by_the_share_of_labelled_pixels(write):
    """Ignored pixels do not count: two of three labelled pixels are outside the legend."""
    image = write("image.tif", np.zeros((3, 2, 4), np.uint8), **ISPRS)
    label = write("label.tif", colours([[2, 2, 2, 2], [2, 3, 3, 1]]), **ISPRS)
    with pytest.raises(InputError, match="67% of the labelled pixels of"):
        Scene("a", image, label).whole_label(LEGEND)
