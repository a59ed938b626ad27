"""How presets, files and flags override each other, and what they refuse."""

from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from rsuda.core.errors import InputError, MissingError
from rsuda.core.settings import PRESETS, Settings, dump, parse_option, settings
from rsuda.methods import METHODS, options_of


def wrote(folder, **held):
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(held))
    return file


def test_flags_override_the_file_which_overrides_the_preset(tmp_path):
    file = wrote(tmp_path, preset="mit-b5", steps=7, crop=256)
    assert PRESETS["mit-b5"]["crop"] == 384 and Settings.crop == 192
    s = settings(file, crop=64)
    assert (s.encoder, s.steps, s.crop) == ("mit_b5", 7, 64)
    assert settings(file).crop == 256
    assert settings(preset="mit-b5").crop == 384
    assert settings().crop == 192


def test_a_preset_given_as_a_flag_replaces_the_files_preset_and_not_its_options(tmp_path):
    s = settings(wrote(tmp_path, preset="mit-b5", steps=7), preset="resnet50")
    assert (s.preset, s.encoder, s.steps) == ("resnet50", "resnet50", 7)


def test_none_means_not_given():
    assert settings(steps=None, preset=None, options={}) == settings()


def test_method_options_merge_in_the_same_order(tmp_path):
    file = wrote(tmp_path, preset="resnet50", options={"strided": 1, "trusted": 0.5})
    assert PRESETS["resnet50"]["methods"]["st-dasegnet"]["options"] == {"strided": 3, "statistics": "both"}
    s = settings(file, options={"trusted": 0.6})
    assert s.options == {"strided": 1, "statistics": "both", "trusted": 0.6}


def test_a_presets_method_options_are_for_their_method_only():
    assert settings(preset="resnet50", method="source-only").options == {}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("method", METHODS)
def test_every_preset_is_valid_and_its_options_are_known_to_the_method(preset, method):
    s = settings(preset=preset, method=method)
    options_of(method, s.options)


def test_the_small_preset_is_the_default():
    assert settings() == settings(preset="small") and settings().preset == "small"


finite = {"allow_nan": False, "allow_infinity": False}
kept = st.fixed_dictionaries(
    {},
    optional={
        "source": st.text(), "gsd": st.sampled_from(["native", 0.05, 3.0]), "steps": st.integers(1, 10**6),
        "lr": st.floats(0, 1, **finite), "scale": st.tuples(st.floats(0.1, 1), st.floats(1, 9)), "turns": st.booleans(),
        "crop": st.integers(1, 32).map(lambda n: 32 * n), "preset": st.sampled_from(list(PRESETS)),
        "source_bands": st.sampled_from(["RGB", "IRRG"]), "weights": st.sampled_from(["none", "no", "1", "a b.pth"]),
        "options": st.dictionaries(st.sampled_from("abc"), st.one_of(st.booleans(), st.floats(**finite), st.text())),
    },
)  # fmt: skip


@examples(max_examples=60, deadline=None)
@given(given=kept)
def test_dumped_settings_are_read_back_as_they_were(tmp_path_factory, given):
    s = settings(**given)
    file = tmp_path_factory.mktemp("run") / "config.yaml"
    file.write_text(dump(s))
    assert settings(file) == s


def test_a_dump_names_every_option():
    assert set(yaml.safe_load(dump(settings()))) == {f.name for f in fields(Settings)}


@pytest.mark.parametrize(
    "name, value, read",
    [("lr", "6e-5", 6e-5), ("steps", 10.0, 10), ("gsd", 1, 1.0), ("scale", [1, 2], (1.0, 2.0)),
     ("data", Path("a"), "a")],
)  # fmt: skip
def test_values_become_the_options_type(tmp_path, name, value, read):
    found = getattr(settings(**{name: value}), name)
    assert found == read and type(found) is type(read)


@pytest.mark.parametrize(
    "name, value",
    [
        ("steps", 0), ("steps", 1.5), ("steps", "many"), ("steps", True), ("steps", [1]), ("steps", float("inf")),
        ("batch_size", 0), ("lr", "fast"), ("lr", -1), ("lr", float("nan")), ("crop", -32), ("workers", -1),
        ("seed", -1), ("turns", 1), ("turns", "yes"), ("scale", 2), ("scale", [1]), ("scale", [2, 1]),
        ("scale", [0, 1]),
        ("scale", "ab"),
        ("gsd", 0), ("gsd", -0.5), ("gsd", "own"), ("gsd", float("nan")), ("gsd", [1]), ("encoder", 5), ("source", 3),
        ("data", 3), ("standardise", "photo"), ("optimiser", "adam"), ("dropout", 1), ("max_share", 0),
        ("output_stride", 4), ("channels", 0), ("options", [1]), ("options", "a"), ("preset", ["small"]),
    ],
)  # fmt: skip
def test_values_of_a_wrong_type_or_range_are_refused_by_name(tmp_path, name, value):
    spoken = name.replace("_", "-")
    with pytest.raises(InputError) as caught:
        settings(wrote(tmp_path, **{name: value}))
    assert name in str(caught.value) or spoken in str(caught.value)


@pytest.mark.parametrize("crop, near", [(200, 192), (50, 64), (10, 32), (385, 384)])
def test_a_crop_that_is_no_multiple_of_32_is_refused_with_the_nearest_one(crop, near):
    with pytest.raises(InputError, match=f"multiple of 32, not {crop}: try {near}$"):
        settings(crop=crop)


def test_unknown_names_are_refused_with_the_nearest_one(tmp_path):
    with pytest.raises(InputError, match="did you mean 'batch_size'"):
        settings(wrote(tmp_path, batchsize=4))
    with pytest.raises(InputError, match="did you mean 'batch_size'"):
        settings(batchsize=4)
    with pytest.raises(InputError, match="did you mean 'mit-b5'"):
        settings(preset="mit_b5")
    with pytest.raises(InputError, match="did you mean 'sgd'"):
        settings(optimiser="sdg")


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2", "steps", "3", "\tsteps: 1"])
def test_a_file_that_is_no_configuration_is_refused_by_name(tmp_path, text):
    file = tmp_path / "odd.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=r"odd\.yaml"):
        settings(file)
    with pytest.raises(MissingError, match=r"gone\.yaml"):
        settings(tmp_path / "gone.yaml")


def test_an_empty_file_changes_nothing(tmp_path):
    (tmp_path / "config.yaml").write_text("# nothing\n")
    assert settings(tmp_path / "config.yaml") == settings()


@pytest.mark.parametrize(
    "text, read",
    [
        ("a=1", ("a", 1)), ("a=0.5", ("a", 0.5)), ("a=5e-3", ("a", 0.005)), ("a=2.5e-3", ("a", 0.0025)),
        ("a=true", ("a", True)), ("a=none", ("a", "none")), ("a=b=c", ("a", "b=c")), (" a =1", ("a", 1)),
        ("a=[1, 2.5]", ("a", [1, 2.5])), ("a=", ("a", None)),
    ],
)  # fmt: skip
def test_an_option_is_a_name_and_a_yaml_value(text, read):
    found = parse_option(text)
    assert found == read and type(found[1]) is type(read[1])


@pytest.mark.parametrize("text", ["a", "=1", "", "a=[1", "a={"])
def test_an_option_without_name_or_value_is_refused(text):
    with pytest.raises(InputError, match="--set"):
        parse_option(text)
