"""Source-free in one run: the source is learnt first, and is not read after that."""

import pytest
import torch
from method_runs import AS_SOURCE_ONLY, SMALL, Interrupt, InterruptionError, built, run_settings

from rsuda.core.errors import InputError
from rsuda.data.find_domain import training_domains
from rsuda.data.pairs.patches import ALL, PatchDataset
from rsuda.evaluation.before import KeepBefore
from rsuda.learning.network import Architecture, build_encoder
from rsuda.runs.folders import BEFORE_WEIGHTS
from rsuda.runs.weights import load_run
from rsuda.training.build import check_run, common_ground
from rsuda.training.train import train


@pytest.fixture(scope="module")
def encoder_file(two_cities, tmp_path_factory):
    """Weights of an encoder, as pretraining would leave them."""
    method, _, _ = built(two_cities, "source-only")
    file = tmp_path_factory.mktemp("encoder") / "encoder.pth"
    torch.save(method.model.network.encoder.state_dict(), file)
    return str(file)


def settings_of(data, file, steps=4, share=0.5, **changes):
    options = {"source_only_share": share, **changes.pop("options", {})}
    fixed = {**AS_SOURCE_ONLY, "weights": file, "steps": steps, "optimizer.restart": True}
    return run_settings(data, "source-free", source_first=True, options=options, **fixed, **changes)


def source_only(data, file, steps):
    return run_settings(data, "source-only", weights=file, steps=steps, **AS_SOURCE_ONLY)


def weights(path):
    return load_run(path).model.state_dict()


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_the_first_phase_is_a_source_only_run_of_its_steps_to_the_last_bit(two_cities, encoder_file, tmp_path, caplog):
    whole = tmp_path / "whole"
    method = train(settings_of(two_cities, encoder_file), whole, quiet=True, callbacks=[KeepBefore(whole)])
    train(source_only(two_cities, encoder_file, 2), tmp_path / "start", quiet=True)
    before, after = weights(whole / BEFORE_WEIGHTS), weights(whole)
    assert equal(before, weights(tmp_path / "start")) and not equal(before, after)
    classifier = [k for k in before if ".classifier." in k]
    assert classifier and all(torch.equal(before[k], after[k]) for k in classifier)
    assert method.prototypes.sums.cells.sum() > 0 and load_run(whole).bank is None
    assert method.ends_on_target and "normalisation now follows the target's colours" in caplog.text


def test_without_pseudo_labels_the_run_is_source_only_to_the_last_bit(two_cities, encoder_file, tmp_path):
    train(settings_of(two_cities, encoder_file, options={"pseudo_weight": 0.0}), tmp_path / "off", quiet=True)
    train(source_only(two_cities, encoder_file, 4), tmp_path / "plain", quiet=True)
    assert equal(weights(tmp_path / "off"), weights(tmp_path / "plain"))


@pytest.mark.parametrize(
    "share", [0.25, 0.5, 0.75]
)  # the interruption after two steps is after, at and before the change
def test_a_run_interrupted_in_either_phase_goes_on_as_the_uninterrupted_one(two_cities, encoder_file, tmp_path, share):
    settings = settings_of(two_cities, encoder_file, share=share)
    train(settings, tmp_path / "whole", quiet=True)
    with pytest.raises(InterruptionError):
        train(settings, tmp_path / "cut", quiet=True, callbacks=[Interrupt()])
    train(settings, tmp_path / "cut", resume=True, quiet=True)
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


def test_each_phase_reads_the_domain_that_it_learns_from(two_cities, encoder_file):
    method, _, checked = built(two_cities, "source-free", source_first=True, weights=encoder_file, steps=4, options={})
    method.steps = 4
    assert (method.source_steps, method.target_steps[0]) == (range(2), 2)
    _, domains, _ = common_ground(checked, training_domains(checked))
    whole = PatchDataset(domains, checked, with_target=True)
    parts = PatchDataset(domains, checked, with_target=True, source_items=range(4), target_items=ALL[4:])
    for item, domain in ((3, "source"), (4, "target")):
        assert {k.partition("_")[0] for k in parts[item]} == {domain, "key"}
        assert all(torch.equal(value, whole[item][k]) for k, value in parts[item].items())
        assert parts.where(item) in whole.where(item)


def test_without_a_pretrained_encoder_the_run_stays_source_only_and_says_so(two_cities, tmp_path, caplog):
    fixed = {**AS_SOURCE_ONLY, "steps": 2}
    alone = run_settings(two_cities, "source-free", source_first=True, options={}, **fixed)
    train(alone, tmp_path / "run", quiet=True)
    train(run_settings(two_cities, "source-only", **fixed), tmp_path / "plain", quiet=True)
    assert equal(weights(tmp_path / "run"), weights(tmp_path / "plain"))
    assert (
        "the run learns the source alone, since pseudo labels cannot be checked by the source's classes" in caplog.text
    )
    method, _, _ = built(two_cities, "source-free", source_first=True, options={"prototype_weight": 0.0})
    assert method.notes == () and method.source_only_share == 0.5


def test_a_named_witness_is_asked_and_the_models_own_gives_the_same_run(two_cities, encoder_file, tmp_path):
    train(settings_of(two_cities, encoder_file), tmp_path / "own", quiet=True)
    named = {"witness": SMALL["encoder"], "witness_weights": encoder_file}
    train(settings_of(two_cities, encoder_file, options=named), tmp_path / "named", quiet=True)
    assert equal(weights(tmp_path / "own"), weights(tmp_path / "named"))
    torch.manual_seed(0)
    torch.save(build_encoder(Architecture("resnet18", "segformer", 3)).state_dict(), tmp_path / "other.pth")
    other = {"witness": "resnet18", "witness_weights": str(tmp_path / "other.pth")}
    method = train(settings_of(two_cities, "none", options=other), tmp_path / "other", quiet=True)
    assert method.cells.widths == [64, 128, 256] and method.ends_on_target
    assert not equal(weights(tmp_path / "own"), weights(tmp_path / "other"))


@pytest.mark.parametrize(
    ("options", "start", "words"),
    [
        ({"witness_weights": "imagenet"}, False, "needs witness=ENCODER"),
        ({"witness": "resnet81"}, False, "resnet81"),
        ({"witness": "resnet18", "witness_weights": "none"}, True, "learns classes from a source"),
    ],
)
def test_a_witness_that_cannot_be_asked_is_refused(two_cities, encoder_file, tmp_path, options, start, words):
    settings = settings_of(two_cities, encoder_file, options=options)
    if start:
        settings = run_settings(two_cities, "source-free", options=options)
    with pytest.raises(InputError, match=words):
        train(settings, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_start_learns_another_source_first(two_cities, encoder_file, tmp_path):
    train(source_only(two_cities, encoder_file, 1), tmp_path / "start", quiet=True)
    settings = settings_of(two_cities, encoder_file, start=str(tmp_path / "start"), **{"training.bank": True})
    method = train(settings, tmp_path / "run", quiet=True)
    assert method.source_only_share == 0.5 and load_run(tmp_path / "run").bank.pretrained
    again = settings.changed({"method.pseudo_weight": 0.0})
    train(again, tmp_path / "off", quiet=True)
    plain = source_only(two_cities, encoder_file, 4).changed({"network.start": str(tmp_path / "start")})
    train(plain, tmp_path / "plain", quiet=True)
    assert equal(weights(tmp_path / "off"), weights(tmp_path / "plain"))


def test_a_run_without_source_and_start_is_refused(two_cities, encoder_file):
    with pytest.raises(InputError, match=r"adapts a finished run: pass start=RUN, or `source` to train one first"):
        check_run(settings_of(two_cities, encoder_file).changed({"source.name": ""}))
