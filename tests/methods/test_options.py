"""Test the options of every method: ranges, descriptions, and names of older versions."""

import pytest

from rsuda.core.errors import InputError
from rsuda.methods import METHODS, find_method, options_of, presets_of
from rsuda.methods.old_options import renaming_notes, todays

assert len(METHODS) >= 9


@pytest.mark.parametrize("name", METHODS)
def test_every_option_has_a_description_and_its_default_is_valid(name):
    cls = find_method(name)
    assert all(field.description for field in cls.Options.model_fields.values())
    defaults = cls.Options().model_dump()
    assert options_of(name, defaults).model_dump() == defaults
    assert set(cls.off) <= set(defaults)
    assert options_of(name, cls.off)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("cluda", "temperature", 0), ("dacs", "keep_share", -3), ("dacs", "source_only_share", 7),
        ("dacs", "teacher_decay", 5), ("mic", "mask_ratio", -1), ("bicl", "rounds", -2), ("st-dasegnet", "certain", 9),
        ("dacs", "trust", "some"), ("hrda", "resolutions", 3), ("hrda", "mix_weight", float("nan")),
        ("adaptsegnet", "adversary", "hinge"), ("bicl", "static", "students"), ("dacs", "teacher_statistics", "both"),
        ("st-dasegnet", "disentangle", 0), ("st-dasegnet", "disentangle", "no"), ("st-dasegnet", "strided", 2.5),
        ("st-dasegnet", "strided", True), ("st-dasegnet", "trusted", "high"), ("st-dasegnet", "trusted", None),
        ("st-dasegnet", "quality", 1), ("st-dasegnet", "class_weights", ["a"]), ("st-dasegnet", "class_weights", 2),
        ("source-only", "class_weights", "paper"), ("source-only", "class_weights", [1, -1]), ("dacs", "mix_weight", True),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused_in_one_sentence(name, option, value):
    with pytest.raises(
        InputError, match=rf"{name} option {option}.*must be|{name} option {option}.*(known are|cannot)"
    ) as error:
        options_of(name, {option: value})
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


def test_an_unknown_option_is_named_with_the_nearest_known_one():
    with pytest.raises(InputError, match=r"unknown dacs option 'keep_shar': did you mean 'keep_share'"):
        options_of("dacs", {"keep_shar": 0.5})


def test_whole_numbers_and_lists_are_taken():
    options = options_of("st-dasegnet", {"trusted": 1, "class_weights": [1, 0.5]})
    assert options.trusted == 1.0 and options.class_weights == [1, 0.5]


def test_names_and_values_of_version_0_1_are_read_with_a_note():
    old = {"keep": 0.3, "start": 0.2, "teacher_statistics": "shown", "trust": "classes"}
    today = {"keep_share": 0.3, "source_only_share": 0.2, "teacher_statistics": "target", "trust": "classes"}
    assert todays(old, "dacs") == today and todays(today, "dacs") == today
    assert len(renaming_notes(old, "dacs")) == 3 and not renaming_notes(today, "dacs")
    assert options_of("dacs", old) == options_of("dacs", today)


def test_options_that_st_dasegnet_no_longer_has_are_left_out_with_a_note_where_they_were_on():
    off, on = {"mixing": False, "jitter": 0.2}, {"mixing": True, "jitter": 0.2}
    assert options_of("st-dasegnet", on) == options_of("st-dasegnet", off) == options_of("st-dasegnet", {})
    assert not renaming_notes(off, "st-dasegnet") and renaming_notes(on, "st-dasegnet") == [
        "st-dasegnet has no option mixing any more: the run goes without it"
    ]
    assert options_of("dacs", {"jitter": 0.5}).jitter == 0.5


@pytest.mark.parametrize("name", METHODS)
def test_the_presets_of_a_method_hold_valid_options_in_known_sections(name):
    sections = {"align", "patches", "method", "network", "optimizer", "training"}
    presets = presets_of(name)
    assert "paper" in presets
    for values in presets.values():
        assert set(values) <= sections
        options_of(name, values.get("method", {}))
