"""Pixels of any window at any GSD, checked against geometry; unusual and damaged files; atomic writes."""

import shutil
import warnings
from fractions import Fraction

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from rsuda.core.atomic import atomic_write
from rsuda.core.errors import ExistsError, InputError, MissingError, RsudaError
from rsuda.core.legend import IGNORE, Legend
from rsuda.geo.grids.resample import axis_weights, weigh
from rsuda.geo.rasters.labels import labels_at
from rsuda.geo.rasters.raster import RasterFile

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

PLACED = {"crs": "EPSG:32633", "transform": from_origin(1000, 2000, 0.5, 0.5)}
RGBA = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
VALUES = Legend.from_fields([{"name": n, "colour": [k, 0, 0], "value": k} for k, n in enumerate("abc", 1)], ignore=[0])
COLOURS = Legend.from_fields(
    [{"name": "roof", "colour": "#FF0000"}, {"name": "tree", "colour": "#00FF00"}], ["#000000"]
)

steps = st.sampled_from([1.0, 0.25, 1 / 3, 0.37, 0.9, 1.2, 1.5, 1.8, 2.0, 2.5, 3.3, 7.0])


def dense(first, last, weights):
    """Axis weights as a matrix (count, last - first)."""
    result = np.zeros((len(weights.pixel), max(1, last - first)))
    np.add.at(result, (np.arange(len(result))[:, None], weights.pixel), weights.weight)
    return result[:, : last - first]


def noise(*shape, seed=0, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(dtype)


# Weights along one axis


@given(st.integers(1, 60), steps, st.integers(-20, 80), st.integers(1, 60))
@settings(max_examples=50, deadline=None)
def test_weights_sum_to_one_inside_and_to_zero_outside(length, step, index, count):
    weights = dense(*axis_weights(length, index * step, step, count))
    k = index + np.arange(count)
    inside = ((k + 1) * step > 1e-6) & (k * step < length - 1e-6)
    assert (weights >= 0).all()
    assert np.allclose(weights.sum(1), inside, atol=1e-6)


@given(st.integers(1, 40), steps.filter(lambda s: s > 1), st.integers(-5, 20), st.integers(1, 30))
@settings(max_examples=50, deadline=None)
def test_coarse_pixels_are_the_exact_mean_of_the_ground_they_cover(length, step, index, count):
    """The mean of a step function over an interval, by its integral."""
    values = noise(length, dtype=np.float64)
    first, last, weights = axis_weights(length, index * step, step, count)
    weights = dense(first, last, weights)
    result = weights @ values[first:last]
    edges = np.clip((index + np.arange(count + 1)) * step, 0, length)
    total = np.interp(edges, np.arange(length + 1), np.concatenate([[0], np.cumsum(values)]))
    covered = np.diff(edges)
    some = covered > 1e-6
    assert np.allclose(result[some], np.diff(total)[some] / covered[some], atol=1e-3)


@pytest.mark.parametrize("step, taps", [(0.3, 2), (1.0, 2), (2.5, 4)])
def test_weights_of_a_wide_scene_are_a_few_for_each_pixel(step, taps):
    _, _, weights = axis_weights(200_000, 0.0, step, 150_000)
    assert weights.weight.shape == weights.pixel.shape == (150_000, taps)


def test_area_weights_keep_the_mean_of_a_scene():
    values = noise(60, 90, dtype=np.float32)
    for step in (2, 3, 1.5, 7.5):
        down, across = (axis_weights(n, 0.0, step, round(n / step))[2] for n in values.shape)
        assert weigh(values, down, across).mean() == pytest.approx(values.mean(), rel=1e-5)


@given(st.integers(2, 60), steps.filter(lambda s: s <= 1), st.integers(-5, 60), st.integers(1, 60))
@settings(max_examples=50, deadline=None)
def test_refining_a_ramp_gives_the_ramp(length, step, index, count):
    first, last, weights = axis_weights(length, index * step, step, count)
    weights = dense(first, last, weights)
    ramp = np.arange(length) + 0.5
    centres = (index + np.arange(count) + 0.5) * step
    inside = weights.sum(1) > 0
    result = weights @ ramp[first:last]
    assert np.allclose(
        result[inside], np.clip(centres, 0.5, length - 0.5)[inside], atol=1e-4
    )  # flat past the last centres


@given(st.integers(0, 99), st.integers(1, 9), st.integers(1, 9), steps, steps)
@settings(max_examples=30, deadline=None)
def test_weighing_is_the_matrix_product(seed, height, width, step_down, step_across):
    values = noise(2, 23, 31, seed=seed, dtype=np.float32)
    top, bottom, down = axis_weights(23, 2 * step_down, step_down, height)
    left, right, across = axis_weights(31, 0, step_across, width)
    if bottom > top:
        part = values[:, top:bottom, left:right]
        matrices = dense(top, bottom, down), dense(left, right, across)
        assert np.allclose(weigh(part, down, across), matrices[0] @ part @ matrices[1].T, atol=1e-3)


# Windows at any GSD


@pytest.mark.parametrize("geometry", [{}, {"rotation": 30}, {"south_up": True}, {"dtype": "uint16"}])
@pytest.mark.parametrize("step", [(1.0, 1.0), (1.8, 1.8), (3.0, 3.0), (0.4, 0.4), (2.0, 0.5), (1.0, 1.7)])
def test_pixels_are_at_their_place_at_any_gsd(located_raster, geometry, step):
    """Each new pixel holds its own centre's coordinates, by the grid that is returned with it.

    Where a new pixel cuts old ones, each of one value all over, the mean may be off by 1 / (8 step) old pixels.
    """
    file = RasterFile(located_raster(**geometry))
    result = file.read_at(None, step, (3, 4, 7, 9))
    allowed = [0.005 + (1 / (8 * s) if s > 1 and s % 1 else 0) for s in step]
    for row, col in np.ndindex(7, 9):
        values, true = (
            file.grid.pixel(*result.values[:, row, col]),
            file.grid.pixel(*result.grid.world(row + 0.5, col + 0.5)),
        )
        assert (np.abs(np.subtract(values, true)) < allowed).all()
    assert result.valid.all()


@pytest.fixture(scope="module")
def holed(tmp_path_factory):
    """37 x 53 float pixels with holes of nodata, tiled so that windows cross blocks."""
    values = noise(2, 37, 53, dtype=np.float32)
    values[:, noise(37, 53, seed=1) < 60] = np.nan
    path = tmp_path_factory.mktemp("holed") / "holed.tif"
    profile = {
        "height": 37,
        "width": 53,
        "count": 2,
        "dtype": "float32",
        "tiled": True,
        "blockxsize": 16,
        "blockysize": 16,
    }
    with rasterio.open(path, "w", driver="GTiff", nodata=np.nan, **profile, **PLACED) as file:
        file.write(values)
    return RasterFile(path)


windows = st.tuples(st.integers(-9, 45), st.integers(-9, 45), st.integers(2, 40), st.integers(2, 40))


@given(steps, steps, windows, st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_pixel_does_not_depend_on_the_window(holed, down, across, window, cut_down, cut_across):
    row, col, height, width = window
    step = down, across
    whole = holed.read_at(None, step, window)
    at = 1 + int(cut_down * (height - 2)), 1 + int(cut_across * (width - 2))
    for r, h in ((0, at[0]), (at[0], height - at[0])):
        for c, w in ((0, at[1]), (at[1], width - at[1])):
            piece = holed.read_at(None, step, (row + r, col + c, h, w))
            part = np.s_[..., r : r + h, c : c + w]
            assert np.array_equal(piece.valid, whole.valid[part])
            assert np.allclose(piece.values, whole.values[part], rtol=1e-5, atol=1e-4)
            assert np.allclose(piece.grid.world(0, 0), whole.grid.world(r, c), atol=1e-6)


@given(windows)
@settings(max_examples=30, deadline=None)
def test_window_at_the_file_gsd_is_a_padded_slice(holed, window):
    row, col, height, width = window
    everything = holed.read()
    padded = np.pad(everything.values, ((0, 0), (90, 90), (90, 90)))
    known = np.pad(everything.valid, 90)
    result = holed.read_at(None, (1.0, 1.0), window)
    part = np.s_[..., row + 90 : row + 90 + height, col + 90 : col + 90 + width]
    assert np.array_equal(result.values, padded[part])
    assert np.array_equal(result.valid, known[part])
    assert result.values.dtype == np.float32


@pytest.mark.parametrize("step", [1.0, 2.5, 0.4])
def test_window_outside_of_the_file_is_invalid(holed, step):
    for place in ((-40, 0), (0, -40), (500, 0), (0, 500)):
        result = holed.read_at([2], (step, step), (*place, 5, 6))
        assert result.values.shape == (1, 5, 6)
        assert not result.valid.any()
        assert not result.values.any()


@pytest.mark.parametrize("step", [0.4, 1.2, 2.0, 3.3])
def test_nodata_does_not_bleed_into_its_neighbours(write, step):
    holes = noise(30, 30) < 80
    path = write("holes.tif", np.where(holes, 0, 100).astype(np.uint8)[None], nodata=0, **PLACED)
    size = int(30 / step)
    result = RasterFile(path).read_at(None, (step, step), (0, 0, size, size))
    assert not result.valid.all()
    assert np.allclose(result.values[:, result.valid], 100, atol=1e-3)


def test_coarse_pixel_is_valid_if_half_of_it_is_valid(write):
    values = np.ones((1, 2, 8), np.uint8)
    values[0, 0, :2] = values[0, :, 2:4] = values[0, 0, 4] = 0
    path = write("half.tif", values, nodata=0, **PLACED)
    assert RasterFile(path).read_at(None, (2.0, 2.0), (0, 0, 1, 4)).valid.tolist() == [[True, False, True, True]]


# Labels


def majority(index, up, down):
    """Class by majority at the step down/up, over pixels cut into up x up parts; the first class wins a tie."""
    fine = index.repeat(up, 0).repeat(up, 1)
    rows, cols = (-(-n // down) for n in fine.shape)
    out = np.full((rows, cols), IGNORE, np.uint8)
    for r, c in np.ndindex(rows, cols):
        counts = np.bincount(fine[r * down : (r + 1) * down, c * down : (c + 1) * down].ravel(), minlength=256)
        out[r, c] = counts.argmax()
    return out


@pytest.mark.parametrize("step", ["1", "2", "3", "3/2", "5/2", "6/5", "9/5"])
def test_labels_are_resampled_by_majority(write, step):
    ratio = Fraction(step)
    classes = np.repeat(np.repeat(np.random.default_rng(3).integers(0, 5, (9, 8)), 2, 0), 3, 1).astype(np.uint8)
    file = RasterFile(write("label.tif", classes[None], **PLACED))
    index = np.array([IGNORE, 0, 1, 2, IGNORE])[classes]
    expected = majority(index, ratio.denominator, ratio.numerator)
    result, off_palette = labels_at(file, VALUES, (float(ratio), float(ratio)), (0, 0, *expected.shape))
    assert np.array_equal(result, expected)
    assert off_palette == (classes == 4).sum()


@given(steps, windows, st.integers(1, 39))
@settings(max_examples=40, deadline=None)
def test_label_does_not_depend_on_the_window(labelled, step, window, cut):
    row, col, height, width = window
    cut = min(cut, height - 1)
    whole, _ = labels_at(labelled, VALUES, (step, step), window)
    above, _ = labels_at(labelled, VALUES, (step, step), (row, col, cut, width))
    below, _ = labels_at(labelled, VALUES, (step, step), (row + cut, col, height - cut, width))
    assert np.array_equal(whole, np.concatenate([above, below]))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    path = tmp_path_factory.mktemp("labelled") / "label.tif"
    with rasterio.open(path, "w", driver="GTiff", height=37, width=53, count=1, dtype="uint8", **PLACED) as file:
        file.write(np.random.default_rng(0).integers(0, 4, (1, 37, 53)).astype(np.uint8))
    return RasterFile(path)


@pytest.mark.parametrize("step", [1.0, 2.0, 0.5])
def test_labels_outside_the_file_are_ignored(labelled, step):
    result, off_palette = labels_at(labelled, VALUES, (step, step), (-30, -30, 20, 20))
    assert (result == IGNORE).all()
    assert off_palette == 0


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_palette_labels_are_read_by_colour(write, ending):
    values = np.random.default_rng(0).integers(0, 4, (1, 8, 9)).astype(np.uint8)
    palette = {0: (0, 255, 0, 255), 1: (0, 0, 0, 255), 2: (255, 0, 0, 255), 3: (255, 0, 1, 255)}
    file = RasterFile(write(f"label.{ending}", values, palette))
    result, off_palette = labels_at(file, COLOURS, (1.0, 1.0), (0, 0, 8, 9))
    assert np.array_equal(result, np.array([1, IGNORE, 0, IGNORE])[values[0]])
    assert off_palette == (values == 3).sum() > 0


# Which pixels and bands are real


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_and_infinity_are_nodata(write, dtype):
    values = np.ones((2, 4, 4), dtype)
    values[0, 1, 1], values[1, 2, 2], values[0, 3, 3] = np.nan, np.inf, -np.inf
    result = RasterFile(write("a.tif", values, **PLACED)).read()
    assert np.array_equal(result.valid, np.isfinite(values).all(0))
    assert np.isfinite(result.values).all()


def test_internal_mask_is_applied(write):
    mask = noise(20, 20) > 100
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = write("a.tif", noise(3, 20, 20), mask=mask, **PLACED)
    assert not path.with_suffix(".tif.msk").exists()
    assert np.array_equal(RasterFile(path).read().valid, mask)


@pytest.mark.parametrize(
    ("name", "dtype", "top"), [("a.tif", np.uint8, 255), ("a.png", np.uint8, 255), ("a.tif", np.uint16, 255)]
)
@pytest.mark.parametrize("numbers", [None, [1, 2, 3], [2]])
def test_real_alpha_is_transparency(write, name, dtype, top, numbers):
    seen = noise(20, 20) > 100
    values = np.concatenate([noise(3, 20, 20, seed=1), seen[None] * top]).astype(dtype)
    file = RasterFile(write(name, values, interpretation=RGBA))
    assert file.band_order == ("red", "green", "blue")
    assert np.array_equal(file.read(numbers).valid, seen)


@pytest.mark.parametrize("numbers", [None, [1, 2, 3], [4]])
def test_near_infrared_tagged_as_alpha_is_imagery(write, numbers):
    """NAIP is delivered so: water, black in near infrared, would be see-through."""
    values = noise(4, 40, 40)
    values[3, :15] = 0
    file = RasterFile(write("naip.tif", values, interpretation=RGBA, **PLACED))
    assert file.band_order == ("red", "green", "blue", "ir")
    assert file.read(numbers).valid.all()
    assert np.array_equal(file.read(file.band_numbers(("ir", "red"))).values, values[[3, 0]])


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_band_that_the_caller_names_is_imagery(write, name):
    values = noise(4, 20, 20)
    values[3] = (values[3] > 100) * 255
    path = write(name, values, interpretation=RGBA)
    assert not RasterFile(path).read().valid.all()
    assert RasterFile(path, ("red", "green", "blue", "ir")).read().valid.all()


def test_every_real_naip_pixel_is_valid(real_data):
    paths = sorted((real_data / "geotiffs" / "naip").rglob("img/*.tif"))
    assert len(paths) == 8
    for path in paths:
        file = RasterFile(path)
        assert file.band_order == ("red", "green", "blue", "ir")
        assert file.read(file.band_numbers(("ir", "red", "green"))).valid.all()
        assert file.grid.metres() == pytest.approx((0.6, 0.6), rel=1e-3)


def test_bands_are_named_by_their_descriptions(write):
    path = write("a.tif", noise(3, 4, 4), **PLACED)
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("NIR", "Red", "Green")
    assert RasterFile(path).band_numbers(("green", "ir")) == [3, 1]


def test_unknown_band_order_is_refused(write):
    file = RasterFile(write("a.tif", noise(5, 4, 4), **PLACED))
    with pytest.raises(InputError, match="5 bands of unknown order"):
        file.band_numbers(("red", "green", "blue"))
    assert RasterFile(file.path, ("blue", "green", "red", "ir")).band_numbers(("red", "ir")) == [3, 4]


def test_missing_bands_are_refused(write):
    path = write("a.tif", noise(3, 4, 4), photometric="rgb", **PLACED)
    with pytest.raises(InputError, match="has the bands red, green, blue, but ir, red are needed"):
        RasterFile(path).band_numbers(("ir", "red"))
    with pytest.raises(InputError, match="has 3 bands, but 4 are needed"):
        RasterFile(path).band_numbers(("red", "green", "blue", "ir"))
    with pytest.raises(InputError, match="but the band order has"):
        RasterFile(path, ("red", "green", "blue", "ir"))


def test_complex_pixels_are_refused(write):
    with pytest.raises(InputError, match="complex pixels"):
        RasterFile(write("radar.tif", np.zeros((1, 4, 4), np.complex64), **PLACED))


# Files as they come


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_files_without_blocks_are_read_as_rasterio_reads_them(write, name):
    path = write(name, noise(3, 33, 47))
    file = RasterFile(path)
    with rasterio.open(path) as reference:
        for row, col, height, width in ((0, 0, 33, 47), (5, 7, 11, 13)):
            window = rasterio.windows.Window(col, row, width, height)
            result = file.read([3, 1], (row, col, height, width))
            assert np.array_equal(result.values, reference.read([3, 1], window=window))
            assert result.valid.all()


def test_changed_pixels_do_not_change_the_next_read(write):
    path = write("a.png", noise(3, 8, 8))
    for _ in range(2):
        result = RasterFile(path).read()
        assert result.valid.all()
        assert np.array_equal(result.values, noise(3, 8, 8))
        result.values[:], result.valid[:] = 0, False


def test_replaced_file_is_read_again(write):
    for values in (noise(3, 8, 8, seed=1), noise(3, 8, 8, seed=2)):
        assert np.array_equal(RasterFile(write("a.png", values)).read().values, values)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(MissingError, match=r"there is no file .*gone\.tif"):
        RasterFile(tmp_path / "gone.tif")


def test_invalid_raster_is_named(tmp_path):
    path = tmp_path / "notes.tif"
    path.write_text("not a raster")
    with pytest.raises(MissingError, match=r"cannot read .*notes\.tif: "):
        RasterFile(path)


def test_truncated_file_fails_when_its_pixels_are_read(write):
    path = write("cut.tif", noise(3, 64, 64), compress="deflate", tiled=True, blockxsize=16, blockysize=16, **PLACED)
    path.write_bytes(path.read_bytes()[:-6000])
    file = RasterFile(path)  # the header is whole
    for read in (
        file.read,
        lambda: file.read_at(None, (2.0, 2.0), (0, 0, 32, 32)),
        lambda: file.read([1], (48, 48, 8, 8)),
    ):
        with pytest.raises(MissingError, match=r"cannot read .*cut\.tif: .*ReadBlock failed"):
            read()
    with pytest.raises(MissingError, match="cannot read"):
        labels_at(file, COLOURS, (1.0, 1.0), (0, 0, 64, 64))


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.jpg"])
def test_damaged_file_gives_pixels_or_an_rsuda_error(write, name):
    path = write(name, noise(3, 40, 50), **({"compress": "lzw", **PLACED} if name == "a.tif" else {}))
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for trial in range(40):
        damaged = bytearray(whole[: int(rng.integers(len(whole)))] if trial % 2 else whole)
        for place in rng.integers(0, max(1, min(len(damaged), 400)), 3):
            damaged[place : place + 1] = bytes(rng.integers(0, 256, 1, np.uint8))
        path.write_bytes(damaged)
        try:
            file = RasterFile(path)
            if file.grid.height * file.grid.width * file.count < 1_000_000:
                file.read()
        except RsudaError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 5


def test_real_unusual_files_are_read_or_refused(real_data):
    refused = set()
    paths = [p for p in sorted((real_data / "geotiffs" / "rasterio").iterdir()) if p.suffix in (".tif", ".vrt")]
    assert len(paths) > 30
    for path in paths:
        try:
            file = RasterFile(path)
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)  # numpy's, of values that do not fit
                result = [file.read(), *(file.read_at(None, (s, s), (-3, -3, 120, 120)) for s in (2.5, 0.7))]
            assert all(np.isfinite(f.values).all() for f in result)
        except RsudaError:
            refused.add(path.name)
    assert "corrupt.tif" in refused
    assert len(refused) < 6


def test_the_real_file_that_opens_but_cannot_be_read_is_named(real_data):
    file = RasterFile(real_data / "geotiffs" / "rasterio" / "corrupt.tif")
    with pytest.raises(MissingError, match=r"cannot read .*corrupt\.tif"):
        file.read()


@pytest.mark.parametrize(
    ("name", "hidden"), [("RGBA.byte.tif", 0.3255), ("RGBA.uint16.tif", 0.5114), ("alpha.tif", 0.9848)]
)
def test_real_alpha_in_real_files_is_transparency(real_data, name, hidden):
    file = RasterFile(real_data / "geotiffs" / "rasterio" / name)
    assert 1 - file.read().valid.mean() == pytest.approx(hidden, abs=1e-4)


# Writing


def test_file_appears_when_it_is_complete(tmp_path):
    out = tmp_path / "deep" / "out.tif"
    with pytest.raises(KeyboardInterrupt), atomic_write(out) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert list(out.parent.iterdir()) == []
    with atomic_write(out) as temporary:
        temporary.write_text("whole")
        assert not out.exists()
    assert [p.name for p in out.parent.iterdir()] == ["out.tif"]
    assert out.read_text() == "whole"


def test_interrupt_while_cleaning_up_leaves_no_file(tmp_path, monkeypatch):
    real, calls = shutil.rmtree, []

    def broken_off_once(folder, **options):
        calls.append(folder)
        if len(calls) == 1:  # between the file's rename and the folder's end
            assert (tmp_path / "out.tif").exists()
            raise KeyboardInterrupt
        real(folder, **options)

    monkeypatch.setattr(shutil, "rmtree", broken_off_once)
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / "out.tif") as temporary:
        temporary.write_text("whole")
    assert [p.name for p in tmp_path.iterdir()] == ["out.tif"]


def test_existing_file_stays_until_the_new_one_is_complete(tmp_path):
    out = tmp_path / "out.tif"
    out.write_text("old")
    with pytest.raises(ExistsError, match=r"out\.tif exists.*overwrite=True"), atomic_write(out):
        pytest.fail("the block must not run")
    with pytest.raises(RuntimeError), atomic_write(out, overwrite=True):
        raise RuntimeError
    assert out.read_text() == "old"
    with atomic_write(out, overwrite=True) as temporary:
        temporary.write_text("new")
    assert out.read_text() == "new"


def test_file_in_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ExistsError, match="cannot be a folder"), atomic_write(tmp_path / "out" / "a.tif"):
        pytest.fail("the block must not run")
