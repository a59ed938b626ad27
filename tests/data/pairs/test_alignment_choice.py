"""Settings of section align that are 'auto': what a look at both domains chooses, and why."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from oracle_models import write
from short_settings import settings

from rsuda.core.errors import InputError
from rsuda.core.legend import IGNORE
from rsuda.core.settings import make_settings
from rsuda.core.spec import IMAGENET_MEAN
from rsuda.data.find_domain import find_domains
from rsuda.data.pairs.alignment_choice import (
    choose_alignment,
    choose_band_matching,
    choose_band_mixing,
    choose_gsd,
    choose_standardise,
    choose_target_statistics,
    finest_of,
    unlike_colours,
)
from rsuda.data.pairs.look import look_at
from rsuda.data.pairs.pair import pair
from rsuda.data.pairs.patches import PatchDataset
from rsuda.data.statistics.class_mix import explain_by_classes
from rsuda.data.statistics.colour_sample import (
    ColourSample,
    colour_distances,
    colour_relations,
    deviation_ratios,
    mean_distances,
    standardised_distances,
)
from rsuda.runs.folders import saved_settings
from rsuda.runs.weights import load_run
from rsuda.training.build import check_run, common_ground, options_for_pair
from rsuda.training.train import train

ROOT = Path(__file__).parents[3]
NOTHING = {
    "align.gsd": None, "align.standardise": "imagenet", "align.band_matching": "order", "align.band_mixing": 0.0,
    "align.target_statistics": False,
}  # fmt: skip


def sample(seed=0, gain=1.0, shift=0.0, own=0.1, bands=("red", "green", "blue"), number=20000):
    """Colours of bands that share most of their light; ``own`` is the part of each band that the others lack."""
    rng = np.random.default_rng(seed)
    light = rng.normal(0.4, 0.1, number)
    unit = np.stack([gain * (light + own * rng.normal(0, 0.1, number)) + shift for _ in bands]).astype(np.float32)
    return colours(unit * 255, bands)


def colours(pixels, bands=("red", "green", "blue"), byte=True):
    """Colours of pixels from 0 to 255."""
    return ColourSample(bands, pixels, np.full(len(bands), byte), np.zeros(len(bands)), np.full(len(bands), 255.0))


# ---- distances ------------------------------------------------------------------------------------------------------


def test_distances_of_two_normal_distributions_follow_their_formulas():
    one, other = sample(0), sample(1, gain=2.0, shift=-0.3)
    deviation = np.sqrt((1 + 4) / 2) * one.deviation
    assert np.allclose(mean_distances(one, other), 0.1 / deviation, rtol=0.05)
    assert np.allclose(deviation_ratios(one, other), 2, rtol=0.02)
    assert np.allclose(deviation_ratios(one, other), deviation_ratios(other, one))
    # of two normal distributions: the mean of |0.1 + N(0, 1) * difference of the deviations|
    exact = np.abs(0.1 + one.deviation[0] * np.random.default_rng(0).normal(size=10**6)).mean() / deviation
    assert np.allclose(colour_distances(one, other), exact, rtol=0.05)
    assert standardised_distances(one, other).max() < 0.03


def test_relations_do_not_depend_on_brightness_or_contrast():
    assert colour_relations(sample(0), sample(0, gain=0.3, shift=0.2)).max() < 1e-2
    differences = colour_relations(sample(0, own=0.1), sample(0, own=0.3))
    # 1 - r is about own^2, so that its ratio is 9 = exp(2 d)
    assert np.allclose(differences[0, 1], np.log(9) / 2, atol=0.06)
    assert np.allclose(differences, differences.T) and (np.diag(differences) == 0).all()


def test_constant_bands_have_finite_distances():
    flat = sample(0, gain=0.0, shift=0.5)
    for measure in (mean_distances, deviation_ratios, colour_relations, colour_distances, standardised_distances):
        assert np.isfinite(measure(flat, sample(1))).all() and np.isfinite(measure(flat, flat)).all()


# ---- rules ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source, target, value, reason",
    [
        ("red green blue", "red green blue", "name", "both domains have red, green, blue"),
        ("red green blue", "blue green red", "name", "both domains have blue, green, red"),
        ("red green blue", "ir red green", "name", "the domains share red, green"),
        ("red green blue", "green", "name", "the domains share green"),
        ("red green", "green blue ir", "order", "the domains share only green by name"),
        ("red green blue", "vv vh", "order", "the domains share no band by name"),
    ],
)
def test_bands_are_matched_by_name_where_enough_names_are_shared(source, target, value, reason):
    assert choose_band_matching(source.split(), target.split()) == (value, reason)


def test_bands_without_names_are_matched_by_order():
    assert choose_band_matching(["red", "green"], ["red", "green"], target_is_named=False).value == "order"


@pytest.mark.parametrize(
    "source, target, value",
    [
        ([(1.0, 9.0)], 0.5, 1.0),  # the source has no finer detail
        ([(0.5, 9.0)], 1.0, None),  # the target is the coarser
        ([(0.7, 9.0)], 0.5, None),  # less than 1.5 times
        ([(1.0, 36.0), (0.5, 12.0)], 0.5, None),  # some scenes are as fine as the target
        ([(0.5, 1.0), (1.0, 99.0)], 0.5, 1.0),  # too few of them
        ([(2.0, 50.0), (1.0, 50.0)], 0.5, 1.0),
    ],
)
def test_the_coarser_gsd_is_taken_where_the_source_has_no_finer_detail(source, target, value):
    choice = choose_gsd(finest_of(source), target)
    assert choice.value == value and choice.reason.startswith("the source")


def test_colours_that_differ_are_standardised_by_domain():
    assert choose_standardise([sample(0)], sample(1)).value == "imagenet"
    choice = choose_standardise([sample(0)], sample(1, shift=0.05))
    assert choice.value == "domain" and "of the target's colours match no class of the source" in choice.reason
    assert choose_standardise([sample(0)], sample(1, gain=1.5, shift=-0.2)).value == "domain"
    # one of two sources is enough
    assert choose_standardise([sample(0), sample(2, shift=0.2)], sample(1)).value == "domain"
    deep = colours(sample(1).pixels, byte=False)
    assert choose_standardise([sample(0)], deep) == ("domain", "one domain has 8-bit pixels and the other does not")


def town(shares, seed=0, gain=1.0, number=30000):
    """Colours of three classes in the given shares, with their classes."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(3, number, p=shares).astype(np.uint8)
    light = np.array([0.15, 0.45, 0.75])[classes] + rng.normal(0, 0.05, number)
    unit = gain * np.stack([light + rng.normal(0, 0.02, number) for _ in range(3)])
    made = colours((255 * unit.clip(0, 1)).astype(np.float32))
    return replace(made, classes=classes)


def test_another_mix_of_classes_is_no_reason_to_standardise():
    """Means differ by more than a deviation, yet each class has the same colours in both."""
    wet, dry = town([0.7, 0.2, 0.1]), replace(town([0.05, 0.25, 0.7], 1), classes=None)
    assert mean_distances(wet, dry).min() > 1
    assert choose_standardise([wet], dry).value == "imagenet"
    mix = explain_by_classes(wet.unit, wet.classes, dry.unit)
    assert np.allclose(mix.shares, [0.05, 0.25, 0.7], atol=0.03) and mix.unexplained < 0.05
    assert unlike_colours([wet], dry, "domain") > 0.2
    # a darker sensor is one, whatever the mix
    assert choose_standardise([wet], replace(town([0.7, 0.2, 0.1], 1, gain=0.7), classes=None)).value == "domain"
    unlabelled = replace(wet, classes=np.full_like(wet.classes, IGNORE))
    # without classes there is one mix, that of the source
    assert (
        unlike_colours([unlabelled], dry, "imagenet")
        == unlike_colours([replace(wet, classes=None)], dry, "imagenet")
        > 0.5
    )


@given(st.lists(st.floats(0.2, 1), min_size=3, max_size=3), st.lists(st.floats(0.2, 1), min_size=3, max_size=3))
@settings_of_hypothesis(max_examples=8, deadline=None)
def test_the_mix_of_classes_is_found_whatever_the_shares(source, target):
    source, target = np.array(source) / sum(source), np.array(target) / sum(target)
    one, other = town(source), town(target, 1)
    mix = explain_by_classes(one.unit, one.classes, other.unit)
    assert mix.shares.sum() == pytest.approx(1) and np.allclose(mix.shares, target, atol=0.08)
    assert 0 <= mix.unexplained < 0.08


def test_batch_norm_follows_the_target_where_its_colours_differ():
    assert choose_target_statistics(None, "imagenet", 0.0).value is False
    assert choose_target_statistics(None, "domain", 0.0).value is True
    assert choose_target_statistics(None, "imagenet", 1.0).value is True


def test_bands_are_mixed_where_they_vary_together_differently():
    assert choose_band_mixing([sample(0)], sample(1, gain=0.5, shift=0.1)).value == 0.0
    choice = choose_band_mixing([sample(0), sample(0, own=0.4)], sample(1))
    assert choice.value == 1.0 and "are correlated differently in source (0.8" in choice.reason
    single = sample(0, bands=("red",))
    assert choose_band_mixing([single], single).value == 0.0


# ---- domains in files -----------------------------------------------------------------------------------------------


def city(folder, name, *, gsd=0.5, bands="RGB", gain=1.0, dtype=np.uint8, seed=0, scenes=2):
    """Write a labelled city of blocks in three classes."""
    rng = np.random.default_rng(seed)
    colours = np.array([[200, 190, 180, 60], [90, 80, 70, 50], [60, 110, 50, 180]])[:, : len(bands)]
    for n in range(scenes):
        classes = np.kron(rng.integers(0, 3, (8, 8)), np.ones((32, 32), int)).astype(np.uint8)
        image = colours[classes] + rng.normal(0, 8, (256, 256, 1)) + rng.normal(0, 2, (256, 256, len(bands)))
        image = (image * gain).clip(0, 255) * (1 if dtype == np.uint8 else 40)
        write(folder / f"{name}_{n}_image.tif", np.moveaxis(image, -1, 0).astype(dtype))
        write(folder / f"{name}_{n}_label.tif", classes[None])
    fields = {
        "name": name, "gsd": gsd, "images": {"X": {"files": f"{name}_{{n}}_image.tif", "bands": bands}},
        "labels": [f"{name}_{{n}}_label.tif"], "splits": {"train": ["*"], "val": ["*"]},
        "legend": [{"name": m, "value": k, "colour": [60 * k, 9, 9]} for k, m in enumerate(("roof", "road", "tree"))],
    }  # fmt: skip
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(fields))


@pytest.fixture(scope="module")
def cities(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cities")
    city(folder, "a")
    city(folder, "twin", seed=5)
    city(folder, "dark", gain=0.5, seed=1)
    city(folder, "coarse", gsd=1.0, seed=2)
    city(folder, "infrared", bands="IRRG", seed=3)
    city(folder, "deep", dtype=np.uint16, seed=4)
    return folder


def chosen(folder, source, target, **changes):
    made = make_settings(
        {"source.name": str(folder / f"{source}.yaml"), "target.name": str(folder / f"{target}.yaml"), "data": str(folder),
         **changes}
    )  # fmt: skip
    return choose_alignment(made.align, look_at(*find_domains(made), made))


@pytest.mark.parametrize(
    "source, target, expected",
    [
        ("a", "twin", {"target_statistics": False}),
        ("a", "dark", {"standardise": "domain"}),
        ("coarse", "twin", {"gsd": 1.0, "target_statistics": False}),
        ("twin", "coarse", {"target_statistics": False}),
        ("a", "infrared", {"band_mixing": 1.0}),
        ("a", "deep", {"standardise": "domain"}),
    ],
)
def test_each_difference_of_two_cities_calls_for_its_own_settings(cities, source, target, expected):
    alignment = chosen(cities, source, target)
    made = alignment.as_settings()
    expected = {f"align.{name}": value for name, value in {"target_statistics": True, **expected}.items()}
    assert made == {**NOTHING, "align.band_matching": "name", **expected}
    assert len(alignment.reasons) == 5 and alignment.notes


def test_scenes_of_the_target_itself_are_not_aligned(cities):
    alignment = chosen(cities, "a", "a")
    assert alignment.as_settings() == NOTHING
    assert len(alignment.notes) == 1 and alignment.notes[0].endswith(": the source's scenes are the target's own")


def test_what_a_user_sets_stays_and_needs_no_reason(cities, monkeypatch):
    monkeypatch.setattr("rsuda.data.pairs.look.sample_colours", None)  # nothing is sampled
    alignment = chosen(
        cities, "coarse", "infrared",
        **{"align.standardise": "imagenet", "align.band_mixing": 0.25, "align.gsd": "native", "align.target_statistics": False}
    )  # fmt: skip
    assert alignment.as_settings() == {
        **NOTHING, "align.gsd": "native", "align.band_mixing": 0.25, "align.band_matching": "name"
    }  # fmt: skip
    assert list(alignment.reasons) == ["band_matching"]


def test_preset_raw_aligns_nothing_and_reads_no_colours(cities, monkeypatch):
    monkeypatch.setattr("rsuda.data.pairs.look.sample_colours", None)
    alignment = chosen(cities, "a", "infrared", preset="raw")
    assert alignment.as_settings() == {**NOTHING, "align.target_statistics": None} and alignment.notes == []


def test_each_pixel_of_the_spec_is_sampled_once(cities, monkeypatch):
    from rsuda.data.statistics import domain_statistics as statistics

    calls = []

    def counted(*args):
        calls.append(args)
        return sample(*args)

    sample = statistics._sample
    monkeypatch.setattr(statistics, "_sample", counted)
    made = settings(source=str(cities / "a.yaml"), target=str(cities / "dark.yaml"), data=str(cities))
    auto = pair(*find_domains(made), made)
    assert len(calls) == 2
    explicit = made.changed(auto.alignment.as_settings())
    same = pair(*find_domains(explicit), explicit)
    assert (auto.source_spec, auto.target_spec, auto.gsd) == (same.source_spec, same.target_spec, same.gsd)
    assert same.alignment.reasons == {} and set(same.notes) == set(auto.notes) - set(auto.alignment.notes)
    assert auto.source_spec.mean != pytest.approx(IMAGENET_MEAN)
    for one, other in zip(*(PatchDataset(p, made, with_target=True)[3].values() for p in (auto, same)), strict=True):
        assert (one == other).all()


def test_a_target_of_another_order_of_size_is_refused(cities, tmp_path):
    fields = yaml.safe_load((cities / "dark.yaml").read_text())
    (tmp_path / "world.yaml").write_text(yaml.safe_dump({**fields, "gsd": 30_000}))
    made = make_settings(
        {"source.name": str(cities / "a.yaml"), "target.name": str(tmp_path / "world.yaml"), "data": str(cities)}
    )
    with pytest.raises(InputError, match=r"are 0\.5 m long and those of the model 30000 m, 60000-fold apart: resample"):
        pair(*find_domains(made), made)


# ---- runs -----------------------------------------------------------------------------------------------------------

QUICK = {
    "preset": "sample", "method": "source-only", "encoder": "tu-mobilenetv3_small_050", "channels": 16, "crop": 64,
    "weights": "none", "batch_size": 2, "steps": 2, "workers": 0, "precision": "fp32", "device": "cpu",
}  # fmt: skip


def quick(folder, source, target, **more):
    return settings(
        source=str(folder / f"{source}.yaml"),
        target=str(folder / f"{target}.yaml"),
        data=str(folder),
        **{**QUICK, **more},
    )


def test_a_run_holds_what_was_chosen_says_why_and_starts_others_by_it(cities, tmp_path, caplog):
    caplog.set_level(logging.INFO, "rsuda")
    made = quick(cities, "a", "infrared")
    assert {made.align.gsd, made.align.standardise, made.align.band_mixing, made.align.target_statistics} == {"auto"}
    train(made, tmp_path / "run", quiet=True)
    saved = saved_settings(tmp_path / "run").align
    assert (saved.gsd, saved.standardise, saved.band_matching, saved.band_mixing) == (None, "imagenet", "name", 1.0)
    assert saved.target_statistics is True and load_run(tmp_path / "run").spec.bands == ("red", "green")
    log = (tmp_path / "run" / "log.txt").read_text()
    for words in (
        "note: align.band_matching is name: the domains share red, green",
        "note: align.band_mixing is 1: the sensors differ: bands RGB and IRRG",
        "normalisation now follows the target's colours",
    ):
        assert words in log and words in caplog.text
    # its settings are the defaults of a run that starts from it
    again = settings(start=str(tmp_path / "run"), steps=1)
    assert again.align == saved


def test_a_run_by_chosen_settings_equals_one_by_the_same_settings_from_the_user(cities, tmp_path):
    made = quick(cities, "coarse", "dark", method="dacs", options={"source_only_share": 0.0})
    train(made, tmp_path / "auto", quiet=True)
    explicit = saved_settings(tmp_path / "auto")
    assert explicit.align.gsd == 1.0
    train(explicit, tmp_path / "explicit", quiet=True)
    one, other = (load_run(tmp_path / name) for name in ("auto", "explicit"))
    assert one.spec == other.spec
    for key, value in one.model.state_dict().items():
        assert (value == other.model.state_dict()[key]).all(), key


def test_a_resumed_run_keeps_what_was_chosen_although_the_target_has_changed(cities, tmp_path):
    city(tmp_path, "a")
    city(tmp_path, "b", seed=6)
    made = quick(tmp_path, "a", "b")
    train(made, tmp_path / "run", quiet=True)
    before = saved_settings(tmp_path / "run").align
    assert before.standardise == "imagenet" and before.target_statistics is False
    city(tmp_path, "b", gain=0.5, seed=6)
    assert chosen(tmp_path, "a", "b").standardise == "domain"
    train(made.changed({"training.steps": 3}), tmp_path / "run", resume=True, quiet=True)
    assert saved_settings(tmp_path / "run").align == before


def test_a_start_decides_bands_gsd_and_standardisation(cities, tmp_path):
    train(quick(cities, "a", "dark"), tmp_path / "run", quiet=True)
    start = load_run(tmp_path / "run").spec
    made = quick(cities, "twin", "coarse", start=str(tmp_path / "run"))
    auto = made.changed(dict.fromkeys(NOTHING, "auto"))
    alignment = choose_alignment(auto.align, look_at(*find_domains(auto), auto, start))
    assert (alignment.gsd, alignment.standardise) == (None, "domain") and "gsd" not in alignment.reasons
    assert pair(*find_domains(auto), auto, start).target_spec == start


def test_st_dasegnets_statistics_follow_what_was_chosen(cities):
    for target, value in (("twin", "both"), ("dark", "target")):
        made, _ = check_run(quick(cities, "a", target, preset="small", method="st-dasegnet", crop=192))
        assert made.method.options["statistics"] == "auto"
        made, matched, _ = common_ground(made, find_domains(made))
        assert options_for_pair(made, matched).method.options["statistics"] == value


# ---- real fields ----------------------------------------------------------------------------------------------------


def test_choices_on_the_real_fields_are_their_matched_settings(real_data):
    """The fourth field is tried where benchmarks/simulate_sensor.py has made its images."""
    plan = yaml.safe_load((ROOT / "configs" / "benchmarks" / "four_fields.yaml").read_text())
    for name, fields in plan["pairs"].items():
        if "IRRG" in name and not (real_data / "mumbai-target").is_dir():
            continue
        made = make_settings(
            {"source.name": str(ROOT / fields["source"]), "target.name": str(ROOT / fields["target"]), "data": str(real_data)}
        )  # fmt: skip
        alignment = choose_alignment(made.align, look_at(*find_domains(made), made))
        matched = {"gsd": None, **fields["matched"]["align"]}
        matched.pop("rare_temperature", None)
        assert alignment.as_settings() == {f"align.{k}": v for k, v in matched.items()}, name
