"""Label pixels become classes by exact lookup; unknown pixels are counted and never become a class."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsuda.core.errors import InputError
from rsuda.core.legend import IGNORE, Legend

ISPRS = Legend.from_fields(
    [
        {"name": "impervious", "colour": "#FFFFFF"},
        {"name": "building", "colour": [0, 0, 255]},
        {"name": "tree", "colours": ["#00FF00", "#007F00"]},
    ],
    ignore=["#000000"],
)
LOVEDA = Legend.from_fields(
    [{"name": "road", "colour": "#FFFF00", "values": [1, 7]}, {"name": "water", "colour": "#0000FF", "value": 3}],
    ignore=[0],
)
COLOURS = {(255, 255, 255): 0, (0, 0, 255): 1, (0, 255, 0): 2, (0, 127, 0): 2}


def pixels(colours, dtype=np.uint8):
    """Colours as a label image of one row."""
    return np.array(colours, dtype).T[:, None, :]


@given(st.lists(st.one_of(st.sampled_from([*COLOURS, (0, 0, 0)]), st.tuples(*[st.integers(0, 255)] * 3)), min_size=1))
@settings(max_examples=50, deadline=None)
def test_only_unknown_colours_are_counted(colours):
    index, off = ISPRS.encode(pixels(colours))
    assert index[0].tolist() == [COLOURS.get(c, IGNORE) for c in colours]
    assert off == sum(c not in COLOURS and c != (0, 0, 0) for c in colours)


@pytest.mark.parametrize("near", [(254, 255, 255), (0, 1, 255), (1, 0, 0), (255, 0, 0)])
def test_similar_colour_is_off_palette(near):
    index, off = ISPRS.encode(pixels([near]))
    assert (index.item(), off) == (IGNORE, 1)


@pytest.mark.parametrize(
    ("dtype", "colour"),
    [
        (np.uint16, (0, 254, 256 + 255)),
        (np.int16, (0, -1, 255)),
        (np.float32, (0, 0, 255.4)),
        (np.float32, (0, np.nan, 255)),
    ],
    ids=["too large", "negative", "broken", "not a number"],
)
def test_pixels_of_other_types_are_not_wrapped_or_rounded(dtype, colour):
    index, off = ISPRS.encode(pixels([colour, (0, 0, 255)], dtype))
    assert (index[0].tolist(), off) == ([IGNORE, 1], 1)


def test_alpha_band_does_not_change_a_colour():
    assert ISPRS.encode(pixels([(0, 0, 255, 255)]))[0].item() == 1


def test_palette_file_is_read_by_its_colours():
    palette = {0: (0, 255, 0, 255), 4: (0, 0, 255, 255), 5: (0, 0, 0, 255), 9: (1, 2, 3, 255)}
    index, off = ISPRS.encode(np.array([[[0, 4, 5, 9, 77]]], np.uint8), palette)
    assert (index[0].tolist(), off) == ([2, 1, IGNORE, IGNORE, IGNORE], 2)


def test_long_palette_of_a_16_bit_file_is_read_up_to_255():
    palette = {v: (0, 0, 255, 255) for v in range(65536)}
    index, off = ISPRS.encode(np.array([[[3, 256 + 3]]], np.uint16), palette)
    assert (index[0].tolist(), off) == ([1, IGNORE], 1)


def test_one_band_without_palette_is_refused_by_a_legend_of_colours():
    with pytest.raises(InputError, match="no palette"):
        ISPRS.encode(np.zeros((1, 2, 2), np.uint8))


@given(st.lists(st.integers(-300, 600), min_size=1))
@settings(max_examples=50, deadline=None)
def test_only_unknown_values_are_counted(values):
    known = {1: 0, 7: 0, 3: 1}
    index, off = LOVEDA.encode(np.array([[values]], np.int16))
    assert index[0].tolist() == [known.get(v, IGNORE) for v in values]
    assert off == sum(v not in known and v != 0 for v in values)


def test_values_between_whole_numbers_are_off_palette():
    index, off = LOVEDA.encode(np.array([[[1.0, 1.5, np.nan]]], np.float32))
    assert (index[0].tolist(), off) == ([0, IGNORE, IGNORE], 2)


def test_values_repeated_in_three_bands_are_read():
    index, off = LOVEDA.encode(pixels([(3, 3, 3), (3, 0, 0), (7, 7, 8)]))
    assert (index[0].tolist(), off) == ([1, IGNORE, IGNORE], 2)


def test_every_index_is_a_class_or_255():
    everything = np.arange(256, dtype=np.uint8)[None, None]
    assert set(np.unique(LOVEDA.encode(everything)[0])) == {0, 1, IGNORE}


def test_classes_are_matched_across_legends_by_name():
    other = Legend.from_fields([{"name": n, "colour": [k, 0, 0]} for k, n in enumerate(("tree", "car", "impervious"))])
    table = ISPRS.mapping_from(other)
    assert table[:3].tolist() == [2, IGNORE, 0]
    assert (table[3:] == IGNORE).all()


@pytest.mark.parametrize(
    ("classes", "ignore", "message"),
    [
        ([("a", "#010203"), ("b", "#010203")], [], "belongs to both 'a' and 'b'"),
        ([("a", "#010203"), ("a", "#040506")], [], "occurs twice"),
        ([("a", "#010203")], ["#010203"], "belongs to both 'a' and 'ignore'"),
        ([("a", "#01020")], [], "write '#RRGGBB'"),
        ([("a", "#GG0000")], [], "write '#RRGGBB'"),
        ([("a", [0, 0, 256])], [], "three numbers from 0 to 255"),
        ([], [], "1 to 250 classes"),
    ],
)
def test_invalid_legend_by_colour_is_refused(classes, ignore, message):
    with pytest.raises(InputError, match=message):
        Legend.from_fields([{"name": n, "colour": c} for n, c in classes], ignore)


@pytest.mark.parametrize(
    ("values", "ignore", "message"),
    [
        ((1, 1), [], "belongs to both 'a' and 'b'"),
        ((1, 2), [2], "belongs to both 'b' and 'ignore'"),
        ((1, 2.5), [], "use a whole number"),
        ((1, 2**70), [], "use a whole number"),
        ((1, "water"), [], "use a whole number"),
        ((1, 2), [float("inf")], "use a whole number"),
        ((1, None), [], "but not b"),
    ],
)
def test_invalid_legend_by_value_is_refused(values, ignore, message):
    a, b = ({"value": v} if v is not None else {} for v in values)
    with pytest.raises(InputError, match=message):
        Legend.from_fields([{"name": "a", "colour": "#000001"} | a, {"name": "b", "colour": "#000002"} | b], ignore)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"colour": "#000000"}, "class 1 of the legend: field name is missing"),
        ({"name": "a"}, "class 1 of the legend: field colour is missing"),
        ({"name": "a", "colours": []}, "class 'a' of the legend has no 'colour'"),
        ({"name": "a", "color": "#000000"}, "class 1 of the legend: unknown field 'color': did you mean 'colours'"),
        ("road", "class 1 of the legend: the fields are 'road'; they must be 'name: value' pairs"),
    ],
)
def test_incomplete_class_is_refused_with_the_missing_field(entry, message):
    with pytest.raises(InputError, match=message):
        Legend.from_fields([entry])


def test_names_and_drawing_colours_are_read_back():
    saved = Legend.from_fields(ISPRS.as_fields())
    assert (saved.names, saved.palette) == (ISPRS.names, ISPRS.palette)


# ---- values of any size ---------------------------------------------------------------------------------------------

CORINE = {112: 0, 311: 1, 512: 1, -1: IGNORE, 65535: IGNORE}


def corine(extra=()):
    classes = [{"name": "urban", "value": 112, "colour": "#FF0000"}]
    classes.append({"name": "green", "values": [311, 512, *extra], "colour": "#00FF00"})
    return Legend.from_fields(classes, [-1, 65535])


@pytest.mark.parametrize(
    "dtype", ["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "uint8"]
)
@pytest.mark.parametrize("extra", [(), (2_000_000_000,), (2**60,)], ids=["table", "search", "long search"])
def test_values_of_any_size_are_looked_up_in_labels_of_any_type(dtype, extra):
    legend = corine(extra)
    values = [
        112,
        311,
        512,
        -1,
        65535,
        0,
        113,
        2_000_000_000,
        2**60,
        *([float("nan"), 112.5] if dtype[0] == "f" else []),
    ]
    info = None if dtype[0] == "f" else np.iinfo(dtype)
    values = [v for v in values if info is None or info.min <= v <= info.max]
    expected = CORINE | dict.fromkeys(extra, 1)
    index, off = legend.encode(np.array([[values]], dtype))
    assert index[0].tolist() == [expected.get(v, IGNORE) for v in values]
    assert off == sum(v not in expected for v in values)


@given(st.sets(st.integers(-(2**40), 2**40), min_size=2, max_size=9), st.lists(st.integers(-(2**40), 2**40)))
@settings(max_examples=60, deadline=None)
def test_lookup_is_that_of_a_mapping(values, others):
    first, *rest = sorted(values)
    legend = Legend(("a", "b"), (((1, 1, 1),), ((2, 2, 2),)), ((first,), tuple(rest)))
    pixels = [*values, *others]
    index, off = legend.encode(np.array([[pixels]], np.int64))
    assert index[0].tolist() == [0 if p == first else 1 if p in rest else IGNORE for p in pixels]
    assert off == sum(p not in values for p in pixels)


def test_invalid_pixels_of_a_label_are_ignored_and_not_counted():
    index, off = LOVEDA.encode(np.array([[[1, 3, 9, 9]]], np.uint8), valid=np.array([[False, True, False, True]]))
    assert (index[0].tolist(), off) == ([IGNORE, 1, IGNORE, IGNORE], 1)


def test_pixels_near_one_colour_alone_are_of_its_class():
    legend = Legend.from_fields(
        [{"name": n, "colour": c} for n, c in (("red", "#FF0000"), ("blue", "#0000FF"))], ["#000000"], 64
    )
    index, off = legend.encode(
        pixels([(250, 9, 3), (10, 0, 240), (127, 0, 127), (200, 0, 0), (120, 0, 0), (0, 255, 0)])
    )
    assert index.ravel().tolist() == [0, 1, IGNORE, 0, IGNORE, IGNORE] and off == 3  # half way, and far from all
    values = Legend.from_fields([{"name": n, "value": v, "colour": [v, 0, 0]} for n, v in (("a", 0), ("b", 255))])
    index, off = values.encode(np.array([[[3, 250, 130, 60]]], np.uint8), tolerance=64)
    assert index.ravel().tolist() == [0, 1, IGNORE, 0] and off == 1
    assert values.encode(np.array([[[3]]], np.uint8))[1] == 1


def test_colours_of_16_bits_are_those_of_8_bits():
    assert ISPRS.encode(pixels([(0, 0, 65535), (0, 65535, 0)], np.uint16))[0].ravel().tolist() == [1, 2]
