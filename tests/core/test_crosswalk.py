"""Classes of two legends: own classes get common names, and what two legends do not share is named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsuda.core.crosswalk import common_names, near_names, unshared_note
from rsuda.core.errors import InputError
from rsuda.core.legend import IGNORE, Legend

NAMES = ("tree", "grass", "road", "car")
CLASSES = [{"name": n, "value": k, "colour": [k, 0, 0]} for k, n in enumerate(NAMES)]
LEGEND = Legend.from_fields(CLASSES, [9])


@pytest.mark.parametrize(
    ("classes", "common"),
    [
        ({}, NAMES),
        ({"tree": "vegetation", "grass": "vegetation"}, ("vegetation", "vegetation", "road", "car")),
        ({"vegetation": ["tree", "grass"], "car": "unknown"}, ("vegetation", "vegetation", "road", "unknown")),
        ({"street": "road", "unknown": ["car"]}, ("tree", "grass", "street", "unknown")),
        ({"tree": "grass"}, ("grass", "grass", "road", "car")),
        ({"tree": 1}, ("1", "grass", "road", "car")),
    ],
)
def test_classes_are_read_in_either_order(classes, common):
    assert common_names(NAMES, classes) == common


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"tre": "vegetation"}, "'tre': did you mean 'tree'"),
        ({"vegetation": ["tree", "gras"]}, "'gras': did you mean 'grass'"),
        ({"tree": None}, "write the name of a class"),
        ({"tree": {"a": 1}}, "write the name of a class"),
        ({"tree": "wood", "vegetation": ["tree"]}, "two common classes, wood and vegetation"),
        (dict.fromkeys(NAMES, "unknown"), "keep at least one"),
        (["tree"], "'own class: common class' pairs"),
    ],
)
def test_classes_that_cannot_be_are_refused(classes, message):
    with pytest.raises(InputError, match=message):
        LEGEND.merged(classes)


def test_merged_classes_join_values_and_take_the_first_colour():
    merged = LEGEND.merged({"grass": "green", "tree": "green", "car": "unknown"})
    assert merged.names == ("green", "road") and merged.palette == ((0, 0, 0), (2, 0, 0))
    index, off = merged.encode(np.array([[[0, 1, 2, 3, 9, 7]]], np.uint8))
    assert (index[0].tolist(), off) == ([0, 0, 1, IGNORE, IGNORE, IGNORE], 1)
    assert merged.own == LEGEND and merged.from_own[:5].tolist() == [0, 0, 1, IGNORE, IGNORE]


def test_merged_classes_join_colours():
    colours = Legend.from_fields([{"name": n, "colour": [k, 0, 0]} for k, n in enumerate(NAMES)], ["#090000"])
    merged = colours.merged({"green": ["tree", "grass"], "unknown": ["car"]})
    label = np.zeros((3, 1, 5), np.uint8)
    label[0] = [0, 1, 2, 3, 9]
    index, off = merged.encode(label)
    assert (index[0].tolist(), off) == ([0, 0, 1, IGNORE, IGNORE], 0)


@given(st.lists(st.sampled_from(["x", "y", "z", "unknown"]), min_size=4, max_size=4))
@settings(max_examples=50, deadline=None)
def test_merging_before_or_after_the_lookup_is_the_same(common):
    if set(common) == {"unknown"}:
        return
    merged = LEGEND.merged(dict(zip(NAMES, common, strict=True)))
    label = np.arange(10, dtype=np.uint8)[None, None]
    assert (merged.encode(label)[0] == merged.from_own[LEGEND.encode(label)[0]]).all()
    assert [common[k] for k in range(4) if merged.from_own[k] != IGNORE] == [
        name for name in common if name != "unknown"
    ]


@pytest.mark.parametrize(
    ("model", "other"),
    [
        ("b", "B"),
        ("c", "c class"),
        ("impervious surface", "Impervious surfaces"),
        ("tree", "Trees"),
        ("low_vegetation", "Low vegetation"),
        ("building", "buildings"),
        ("impervious surface", "impervious"),
        ("body of water", "bodies of water"),
    ],
)
def test_near_names_are_suggested(model, other):
    assert near_names(("a", model), ("a", other)) == {other: model}


def test_other_names_are_not_suggested():
    assert near_names(("a", "road", "low vegetation"), ("a", "water", "low building")) == {}


def test_note_names_the_classes_left_over_on_both_sides():
    note = unshared_note(("a", "b", "c"), ("a", "B", "c class"), "mm", 0.4)
    assert note == (
        "the model lacks the classes B, c class of mm, which are not scored (40.0% of its labelled pixels); mm lacks the "
        "classes b, c of the model: did you mean 'b' for 'B', 'c' for 'c class'? Add 'classes: {B: b, c class: c}' to the "
        "domain file of mm"
    )
    assert unshared_note(("a", "b"), ("b", "a"), "mm") is None


def test_merged_legend_is_merged_again():
    twice = LEGEND.merged({"green": ["tree", "grass"], "car": "unknown"}).merged({"road": "green"})
    assert twice.names == ("green",) and twice.own == LEGEND
    assert twice.from_own[:5].tolist() == [0, 0, 0, IGNORE, IGNORE]
