"""Settings of a run: presets, files and flags override each other; wrong names, types and ranges are refused."""

import json
from pathlib import Path

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from short_settings import by_dotted_name, settings

from rsuda.core.errors import InputError, MissingError
from rsuda.core.old_settings import OLD_NAMES, renamed_options
from rsuda.core.packaged_encoders import choose_encoder
from rsuda.core.settings import (
    Settings,
    by_section,
    description,
    dump,
    make_settings,
    parse_option,
    preset,
    preset_names,
    setting_names,
)
from rsuda.methods import METHODS, options_of

PLAIN = {
    "gsd": None, "standardise": "imagenet", "band_matching": "order", "band_mixing": 0.0, "target_statistics": None
}  # fmt: skip
STORED = json.loads(Path(__file__).with_name("stored_presets.json").read_text())


def wrote(folder, name="config.yaml", **fields):
    file = folder / name
    file.write_text(yaml.safe_dump(fields))
    return file


def test_a_preset_gives_way_to_a_file_and_a_file_to_flags(tmp_path):
    file = wrote(tmp_path, preset="mit-b5", training={"steps": 7}, patches={"window": 256})
    assert preset("mit-b5")["patches"]["window"] == 384 and Settings().patches.window == 192
    merged = settings(file, window=64)
    assert (merged.network.encoder, merged.training.steps, merged.patches.window) == ("mit_b5", 7, 64)
    assert settings(file).patches.window == 256
    assert settings(preset="mit-b5").patches.window == 384
    assert settings().patches.window == 192


def test_a_file_of_the_home_folder_is_read(tmp_path, monkeypatch):
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    (tmp_path / "c.yaml").write_text("training.steps: 7")
    assert make_settings(file="~/c.yaml").training.steps == 7


def test_a_preset_as_a_flag_replaces_the_files_preset_and_keeps_its_settings(tmp_path):
    merged = settings(wrote(tmp_path, preset="mit-b5", training={"steps": 7}), preset="resnet50")
    assert (merged.preset, merged.network.encoder, merged.training.steps) == ("resnet50", "resnet50", 7)


def test_options_of_a_method_merge_name_by_name(tmp_path):
    file = wrote(tmp_path, preset="resnet50", method={"name": "st-dasegnet", "strided": 1})
    merged = settings(file, options={"trusted": 0.6})
    of_preset = {"statistics": "both", "teacher_statistics": "batch"}
    assert merged.method.options == {"strided": 1, "trusted": 0.6, **of_preset}
    assert settings(preset="resnet50", method="source-only").method.options == {}


VOTES = {
    "source_only_share": 0.5,
    "trust": "classes",
    "keep_share": 0.5,
    "teacher_statistics": "target",
    "neighbours": 1.0,
    "spread": 0.7,
    "distort_target": False,
    "statistics": "auto",
    "votes": "prototypes",
}


@pytest.mark.parametrize("names", STORED)
def test_presets_have_the_values_of_version_0_1(names):
    """stored_presets.json holds what version 0.1 resolved each preset and method to, where it is not the default."""
    name, method = names.split()
    plain = {} if name in ("small", "sample") else PLAIN  # version 0.1 aligned nothing
    stored = {"preset": name, "method": method, **plain, **STORED[names]}
    options = {f"method.{k}": v for k, v in renamed_options(stored.pop("options", {})).items()}
    # the released code turns the hue by 36 degrees; version 0.1 read its half degrees as degrees
    later = {"patches.hue": 0.1} if method == "st-dasegnet" and name not in ("small", "sample") else {}
    if later:
        later |= {"method.teacher_statistics": "batch"}  # as the released teachers
    elif name == "paper":  # the other papers change the colours of mixtures at most
        later = {"patches.photometric": False}
    if names == "paper bicl":  # rounds are labelled in evaluation mode
        later |= {"method.teacher_statistics": "student"}
    if (
        names == "small st-dasegnet"
    ):  # its self-training was off in runs of hundreds of steps; certain is that of the paper again
        del options["method.certain"]
        later = {f"method.{option}": value for option, value in VOTES.items()}
    if names == "small bicl":
        later = {f"method.{option}": VOTES[option] for option in ("neighbours", "spread", "votes")}
    if name == "small":  # two phases, and an encoder that an installed package chooses, since
        later |= {"optimizer.restart": True} | {
            f"network.{setting}": value for setting, value in choose_encoder({}).items()
        }
    if name == "sample":  # its encoder is pretrained on drawn cities since
        later = {"network.encoder": "tu-lcnet_100", "network.weights": "sample", "optimizer.decoder_lr_factor": 2.0}
        if method == "st-dasegnet":
            del options["method.certain"]
            later |= {f"method.{option}": value for option, value in (VOTES | {"votes": "neighbours"}).items()}
    expected = Settings().changed({OLD_NAMES[k]: v for k, v in stored.items()} | options | later)
    assert settings(preset=name, method=method) == expected
    assert options_of(method, expected.method.options)


def test_every_preset_of_version_0_1_is_stored():
    methods = {names.split()[1] for names in STORED}
    assert set(STORED) == {f"{name} {method}" for name in preset_names() if name != "raw" for method in methods}
    assert len(STORED) == 54 and methods <= set(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_preset_raw_is_small_without_alignment(method):
    raw, small = settings(preset="raw", method=method), settings(method=method)
    assert raw == small.changed({"preset": "raw", **{f"align.{name}": value for name, value in PLAIN.items()}})


@pytest.mark.parametrize("name", preset_names())
@pytest.mark.parametrize("method", METHODS)
def test_every_preset_of_every_method_has_valid_options(name, method):
    resolved = settings(preset=name, method=method)
    assert (resolved.preset, resolved.method.name) == (name, method)
    assert options_of(method, resolved.method.options)


def test_the_default_preset_is_small():
    assert settings() == settings(preset="small") and settings().preset == "small"


@hypothesis.settings(max_examples=25, deadline=None)
@given(
    changes=st.fixed_dictionaries(
        {},
        optional={
            "training.steps": st.integers(1, 10**6), "optimizer.lr": st.floats(0, 1), "patches.flip_rotate": st.booleans(),
            "patches.window": st.integers(1, 32).map(lambda n: 32 * n), "preset": st.sampled_from(preset_names()),
            "align.gsd": st.one_of(st.none(), st.sampled_from(["native", "auto"]), st.floats(0.01, 100)),
            "align.band_mixing": st.one_of(st.just("auto"), st.floats(0, 1)),
            "align.target_statistics": st.sampled_from([True, False, None, "auto"]),
            "patches.scale": st.tuples(st.floats(0.1, 1), st.floats(1, 4)), "source.name": st.text(),
            "align.rare_temperature": st.one_of(st.none(), st.floats(0, 2)),
            "method.strided": st.integers(0, 4), "method.trusted": st.floats(0, 1),
        },
    )
)  # fmt: skip
def test_a_dump_read_again_gives_equal_settings(tmp_path_factory, changes):
    made = make_settings(changes)
    file = tmp_path_factory.mktemp("dump") / "config.yaml"
    file.write_text(dump(made))
    assert make_settings(file=file) == made
    assert made.by_name().items() >= changes.items()


def test_a_dump_names_every_setting_and_its_version():
    text = dump(settings())
    fields = yaml.safe_load(text)
    assert text.startswith("# rsuda 0.")
    names = [
        f"{k}.{n}" if k in Settings.sections else k
        for k in fields
        for n in (fields[k] if k in Settings.sections else [k])
    ]
    assert set(setting_names()) <= set(names)


def test_every_setting_is_described():
    assert len(setting_names()) == 59
    assert all(len(description(name)) > 10 for name in setting_names())


@pytest.mark.parametrize(
    "name, value, read",
    [
        ("optimizer.lr", "6e-5", 6e-5), ("training.steps", 10.0, 10), ("training.steps", "10", 10), ("align.gsd", 1, 1.0),
        ("patches.scale", [1, 2], (1.0, 2.0)), ("data", Path("a"), "a"), ("training.devices", 2, "2"),
        ("network.start", Path("a"), "a"), ("align.gsd", "0.5", 0.5),
        ("align.gsd", "target", None), ("align.gsd", "auto", "auto"), ("align.band_mixing", "1", 1.0),
        ("align.target_statistics", "auto", "auto"),
    ],
)  # fmt: skip
def test_values_get_the_type_of_their_setting(name, value, read):
    made = Settings().changed({name: value}).by_name()[name]
    assert made == read and type(made) is type(read)


@pytest.mark.parametrize(
    "name, value",
    [
        ("training.steps", 0), ("training.steps", 1.5), ("training.steps", "many"), ("training.steps", True),
        ("training.steps", [1]), ("training.steps", float("inf")), ("training.batch_size", 0), ("optimizer.lr", "fast"),
        ("optimizer.lr", -1), ("optimizer.lr", float("nan")), ("patches.window", -32), ("patches.workers", -1),
        ("training.seed", -1), ("patches.flip_rotate", 1), ("patches.flip_rotate", "yes"), ("patches.scale", 2),
        ("patches.scale", [1]), ("patches.scale", [2, 1]), ("patches.scale", [0, 1]), ("patches.scale", "ab"),
        ("align.gsd", 0), ("align.gsd", -0.5), ("align.gsd", "own"), ("align.gsd", float("nan")), ("align.gsd", [1]),
        ("align.gsd", True), ("network.encoder", 5), ("source.name", 3), ("data", 3), ("align.standardise", "photo"),
        ("optimizer.name", "adam"), ("network.dropout", 1), ("patches.max_class_share", 0), ("network.output_stride", 4),
        ("network.channels", 0), ("method", [1]), ("training", "a"), ("preset", ["small"]), ("align.band_mixing", 2),
        ("align.band_mixing", True), ("align.band_mixing", "some"), ("align.band_mixing", [1]), ("align.band_mixing", None),
        ("align.target_statistics", "yes"), ("align.target_statistics", [1]), ("align.gsd", ["auto"]),
        ("align.rare_temperature", True), ("align.target_statistics", 1), ("training.devices", 0), ("training.devices", True),
        ("training.nodes", 0), ("training.strategy", "fsdp"), ("validation.every", -1), ("optimizer.poly_power", -1),
    ],
)  # fmt: skip
def test_values_of_a_wrong_type_or_range_are_refused_by_name(tmp_path, name, value):
    section, _, field = name.rpartition(".")
    for make in (
        lambda: make_settings({name: value}),
        lambda: settings(wrote(tmp_path, **({section: {field: value}} if section else {name: value}))),
    ):
        with pytest.raises(InputError, match=name) as caught:
            make()
        assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize("window, near", [(200, 192), (50, 64), (10, 32), (385, 384)])
def test_a_window_that_is_not_a_multiple_of_32_is_refused_with_the_nearest_one(window, near):
    with pytest.raises(InputError, match=rf"patches\.window is {window}; it must be .*: try {near}$"):
        settings(window=window)


@pytest.mark.parametrize(
    "name, near",
    [
        ("lr", "optimizer.lr"), ("batchsize", "training.batch_size"), ("training.stesp", "training.steps"),
        ("crop", "patches.window"), ("standardize", "align.standardise"), ("optimiser.lr", "optimizer.lr"),
        ("training.lr", "optimizer.lr"), ("trusted", "method.trusted"), ("method.strict", "method.strided"),
        ("warmup", "optimizer.warmup_steps"), ("trainin", "training"),
    ],
)  # fmt: skip
def test_an_unknown_name_is_refused_with_the_nearest_across_all_sections(name, near):
    with pytest.raises(InputError, match=f"unknown setting '{name}': did you mean '{near}"):
        settings(None, **{"method": "st-dasegnet", name: 1}) if name not in OLD_NAMES else make_settings({name: 1})


def test_unknown_values_and_names_in_files_are_refused_with_the_nearest(tmp_path):
    with pytest.raises(InputError, match=r"setting in .*config\.yaml 'batchsize': did you mean 'training\.batch_size'"):
        settings(wrote(tmp_path, batchsize=4))
    with pytest.raises(
        InputError, match=r"setting in .*config\.yaml 'training\.stepps': did you mean 'training\.steps'"
    ):
        settings(wrote(tmp_path, training={"stepps": 4}))
    with pytest.raises(InputError, match="did you mean 'mit-b5'"):
        settings(preset="mit_b5")
    with pytest.raises(InputError, match="did you mean 'sgd'"):
        make_settings({"optimizer.name": "sdg"})


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2", "steps", "3", "\tsteps: 1"])
def test_a_file_that_is_not_a_configuration_is_refused_by_name(tmp_path, text):
    file = tmp_path / "odd.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=r"odd\.yaml"):
        settings(file)
    with pytest.raises(MissingError, match=r"gone\.yaml"):
        settings(tmp_path / "gone.yaml")


def test_an_empty_file_and_empty_sections_change_nothing(tmp_path):
    (tmp_path / "config.yaml").write_text("# nothing\n")
    assert settings(tmp_path / "config.yaml") == settings()
    (tmp_path / "config.yaml").write_text("training:\nmethod:\n")
    assert settings(tmp_path / "config.yaml") == settings()


def test_a_flat_file_of_version_0_1_is_read_with_a_note(tmp_path, caplog):
    flat = {
        "source": "a", "target": "b", "method": "dacs", "preset": "sample", "source_bands": "RGB", "crop": 64, "warmup": 3,
        "turns": False, "score_every": 5, "optimiser": "sgd", "scale": [1.0, 1.0], "options": {"mix_weight": 0.5},
    }  # fmt: skip
    made = settings(wrote(tmp_path, **flat))
    assert made == settings(wrote(tmp_path, "new.yaml", **by_section(by_dotted_name(flat))))
    assert (made.source.name, made.source.bands, made.patches.window) == ("a", "RGB", 64)
    assert (made.optimizer.name, made.patches.flip_rotate, made.method.options["mix_weight"]) == ("sgd", False, 0.5)
    assert caplog.text.count("flat settings of an older rsuda") == 1 and "crop is now patches.window" in caplog.text


def test_every_setting_had_a_name_in_version_0_1():
    new = {"source.nodata", "target.nodata", "source.also", "source.weights", "patches.hue", "training.bank"}
    new |= {"training.threads", "training.loggers", "network.frozen", "network.adapter_rank", "optimizer.restart"}
    assert {*OLD_NAMES.values()} - {"method.options"} == set(setting_names()) - new and len(OLD_NAMES) == 49


@pytest.mark.parametrize(
    "text, read",
    [
        ("a=1", ("a", 1)), ("a=0.5", ("a", 0.5)), ("a=5e-3", ("a", 0.005)), ("a=2.5e-3", ("a", 0.0025)),
        ("a=true", ("a", True)), ("a=none", ("a", "none")), ("a=b=c", ("a", "b=c")), (" a =1", ("a", 1)),
        ("a=[1, 2.5]", ("a", [1, 2.5])), ("a=", ("a", None)), ("optimizer.lr=1e-3", ("optimizer.lr", 0.001)),
    ],
)  # fmt: skip
def test_an_option_is_a_name_and_a_yaml_value(text, read):
    name, value = parse_option(text)
    assert (name, value) == read and type(value) is type(read[1])


@pytest.mark.parametrize("text", ["a", "=1", "", "a=[1", "a={"])
def test_an_option_without_name_or_value_is_refused(text):
    with pytest.raises(InputError, match="setting"):
        parse_option(text)
