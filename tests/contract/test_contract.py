"""Test the laws that every method keeps, whatever its paper says."""

import shutil

import pytest
import torch
from method_runs import (
    AS_SOURCE_ONLY,
    BY_DOMAIN,
    WITH_SOURCE,
    WITHOUT_SOURCE,
    Interrupt,
    InterruptionError,
    all_parts,
    built,
    run_settings,
)
from short_settings import settings

from rsuda.methods import METHODS
from rsuda.methods.blocks import nearest_cells, nearest_means, similar_cells
from rsuda.runs.weights import load_run
from rsuda.training.method_module import MethodModule
from rsuda.training.train import train

# where source-only's network is found in a method's: prefixes of tensors
PLAIN = {"network.": "network."}
TWO_BRANCHES = {"backbone_s.": "network.encoder.", "head_s.": "network.decoder."}
# methods of the three kinds of networks, whose runs also have statistics of their domains
NETWORKS = ("source-only", "hrda", "st-dasegnet")


@pytest.fixture(scope="module")
def data(two_cities):
    return two_cities


def batch_of(patches, count=2):
    return torch.utils.data.default_collate([patches[i] for i in range(count)])


def ready(method, raw):
    """Prepare a batch as training does."""
    out = {"key": raw["key"]} | (method.build.augmentation.source(raw) if method.needs_source else {})
    if method.needs_target:
        out |= method.build.augmentation.target(raw, distorted=method.distorts_target)
    return out


def weights(folder):
    return load_run(folder).model.state_dict()


@pytest.mark.parametrize("name", METHODS)
def test_loss_is_a_finite_scalar_and_gradients_reach_exactly_the_trainable_parts(data, name):
    method, patches, _ = built(data, name)
    loss, terms = method.loss(ready(method, batch_of(patches)))
    assert loss.shape == () and loss.isfinite() and all(t.isfinite() for t in terms.values())
    loss.backward()
    reached = {n for n, p in method.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    wanted = {n for n, p in method.named_parameters() if p.requires_grad}
    # a bias before a normalisation over positions has no effect, and so no gradient
    silent = {n for n in wanted - reached if n.endswith("bias")}
    assert reached | silent == wanted


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("case", ["no valid target pixel", "all ignored", "one class"])
def test_poor_batches_give_finite_losses_and_gradients(data, name, case):
    # of a constant image, each untrained batch norm multiplies gradients by 300, so here the encoder has few of them in a row
    encoder = {"encoder": "mobilenet_v2", "output_stride": 32, "crop": 192} if case == "no valid target pixel" else {}
    method, patches, _ = built(data, name, **encoder)
    inputs = ready(method, batch_of(patches))
    if case == "no valid target pixel" and method.needs_target:
        inputs["target_valid"] = torch.zeros_like(inputs["target_valid"])
        for view in {"target_image", "target_distorted"} & set(inputs):
            inputs[view] = torch.zeros_like(inputs[view])
    elif not method.needs_source:
        inputs["target_image"] = torch.zeros_like(inputs["target_image"])
    elif case == "all ignored":
        inputs["source_label"] = torch.full_like(inputs["source_label"], 255)
    else:
        inputs["source_label"] = torch.zeros_like(inputs["source_label"])
    loss, _ = method.loss(inputs)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in method.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", METHODS)
def test_order_within_a_batch_does_not_matter(data, name):
    method, patches, _ = built(data, name)
    inputs = ready(method, batch_of(patches))
    # in double precision, since the last bit of a confidence decides on which side of a threshold its pixel is; even so one
    # pixel of a hundred thousand may
    inputs = {k: v.double() if v.is_floating_point() else v for k, v in inputs.items()}
    one, _ = method.double().loss(inputs)
    method, _, _ = built(data, name)  # the first may have moved thresholds and calibration
    other, _ = method.double().loss({k: v.flip(0) for k, v in inputs.items()})
    assert torch.allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("name", [n for n in WITH_SOURCE if n != "source-only"])
def test_own_weights_at_zero_give_source_only_to_the_last_bit(data, source_only_weights, name, tmp_path):
    settings_off = run_settings(data, name, options=METHODS[name].off, **AS_SOURCE_ONLY)
    train(settings_off, tmp_path / "off", quiet=True)
    off = weights(tmp_path / "off")
    two_branches = any(k.startswith("backbone_s.") for k in off)
    for prefix, of_source_only in (TWO_BRANCHES if two_branches else PLAIN).items():
        keys = [k for k in off if k.startswith(prefix)]
        assert keys
        for key in keys:
            assert torch.equal(off[key], source_only_weights[key.replace(prefix, of_source_only, 1)]), key


@pytest.mark.parametrize("name", WITHOUT_SOURCE)
@pytest.mark.parametrize("statistics", [False, True])
def test_own_weights_at_zero_leave_the_start_to_the_last_bit(data, name, statistics, tmp_path):
    off = run_settings(data, name, options=METHODS[name].off, target_statistics=statistics)
    train(off, tmp_path / "off", quiet=True)
    before, after = load_run(off.network.start), load_run(tmp_path / "off")
    learnt = dict(before.model.named_parameters()) if statistics else before.model.state_dict()
    assert all(torch.equal(learnt[k], after.model.state_dict()[k]) for k in learnt)
    assert all(torch.equal(v, after.bank.tensors()[k]) for k, v in before.bank.tensors().items())


BEGIN_AS_SOURCE_ONLY = [
    n for n, cls in METHODS.items() if n in WITH_SOURCE and "source_only_share" in cls.Options.model_fields
]
assert len(BEGIN_AS_SOURCE_ONLY) >= 6


@pytest.mark.parametrize("name", BEGIN_AS_SOURCE_ONLY)
def test_before_its_start_a_method_is_source_only(data, name):
    method, patches, _ = built(data, name, options={**all_parts(name), "source_only_share": 0.5})
    inputs = ready(method, batch_of(patches))
    _, terms = method.loss({k: v for k, v in inputs.items() if not k.startswith("target")})
    assert {"ce", "ce_s"} & set(terms) and not {"mix", "masked", "ce_target", "pseudo", "adversarial"} & set(terms)


@pytest.fixture(scope="session")
def data_without_target_labels(two_cities, tmp_path_factory):
    """The same cities, whose target labels cannot be read."""
    folder = shutil.copytree(two_cities, tmp_path_factory.mktemp("unlabelled") / "data")
    labels = sorted(folder.glob("west_*_label.tif"))
    assert len(labels) == 2
    for file in labels:
        file.write_bytes(b"not a label")
    return folder


@pytest.mark.parametrize("name", METHODS)
def test_a_run_without_target_labels_interrupted_and_resumed_equals_the_uninterrupted_one(
    data, data_without_target_labels, name, tmp_path
):
    changes = BY_DOMAIN if name in NETWORKS else {}
    method = train(run_settings(data, name, **changes), tmp_path / "whole", quiet=True)
    assert_predicts_alike(load_run(tmp_path / "whole"), method)

    unlabelled, cut = run_settings(data_without_target_labels, name, **changes), tmp_path / "cut"
    with pytest.raises(InterruptionError):
        train(unlabelled, cut, quiet=True, callbacks=[Interrupt()])
    assert not (cut / "weights.safetensors").exists()
    assert torch.load(cut / "last.ckpt", weights_only=True)["global_step"] == 2
    train(unlabelled, cut, resume=True, quiet=True)
    assert torch.load(cut / "last.ckpt", weights_only=True)["global_step"] == 3
    one, other = weights(tmp_path / "whole"), weights(cut)
    assert all(torch.equal(one[k], other[k]) for k in one)


@pytest.fixture(scope="session")
def encoder_file(two_cities, tmp_path_factory):
    """Weights of an encoder, as pretraining would leave them."""
    method, _, _ = built(two_cities, "source-only")
    file = tmp_path_factory.mktemp("encoder") / "encoder.pth"
    torch.save(method.model.network.encoder.state_dict(), file)
    return file


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("bicl", "neighbours"),
        ("dacs", "prototypes"),
        pytest.param("st-dasegnet", "neighbours", marks=pytest.mark.slow),
        pytest.param("st-dasegnet", "prototypes", marks=pytest.mark.slow),
    ],
)
def test_a_resumed_run_goes_on_with_the_votes_of_the_interrupted_one(
    data, data_without_target_labels, encoder_file, name, mode, tmp_path, monkeypatch
):
    # short lists, which vote from the second step on
    for module, constant in ((nearest_cells, "CELLS"), (nearest_means, "CELLS"), (similar_cells, "START")):
        monkeypatch.setattr(module, constant, 100)

    def run(folder, where=data, **changes):
        options = {**all_parts(name), "neighbours": 1.0, "votes": mode, "spread": 0.5, **changes}
        return run_settings(where, name, weights=str(encoder_file), options=options), tmp_path / folder

    train(*run("whole"), quiet=True)
    train(*run("alone", neighbours=0.0), quiet=True)
    with pytest.raises(InterruptionError):
        train(*run("cut", data_without_target_labels), quiet=True, callbacks=[Interrupt()])
    saved = torch.load(tmp_path / "cut" / "last.ckpt", weights_only=True)["state_dict"]
    assert int(saved["method.votes.similar.number"]) > 0
    train(*run("cut", data_without_target_labels), resume=True, quiet=True)
    whole, cut, alone = (weights(tmp_path / folder) for folder in ("whole", "cut", "alone"))
    assert all(torch.equal(whole[k], cut[k]) for k in whole)
    assert not all(torch.equal(whole[k], alone[k]) for k in whole)


def assert_predicts_alike(trained, method):
    """The saved weights predict what the network in memory does, and their spec is the pair's."""
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    method.model.eval()
    with torch.inference_mode():
        # the network in memory is channels-last, the loaded one is not
        assert torch.allclose(method.model(image), trained.model(image), atol=1e-5)
    assert trained.spec.gsd == 0.5 and trained.spec.bands == ("red", "green", "blue")
    assert trained.spec.legend.names == ("road", "roof", "tree")


def test_a_resumed_run_keeps_its_earlier_metrics(data, tmp_path):
    s = run_settings(data, "source-only", steps=2)
    train(s, tmp_path / "run", quiet=True)
    earlier = (tmp_path / "run" / "metrics.csv").read_text()
    train(run_settings(data, "source-only", steps=4), tmp_path / "run", resume=True, quiet=True)
    later = (tmp_path / "run" / "metrics.csv").read_text()
    assert later.startswith(earlier) and len(later.splitlines()) > len(earlier.splitlines())


@pytest.mark.parametrize("name", METHODS)
def test_teachers_share_no_storage_with_students_and_have_no_optimiser(data, name):
    method, _, run = built(data, name)
    module = MethodModule(method, run.optimizer, run.training.steps, method.build.augmentation)
    trained = {id(p) for g in module.configure_optimizers()["optimizer"].param_groups for p in g["params"]}
    assert trained == {id(p) for p in method.parameters() if p.requires_grad}
    storage = [p.data_ptr() for p in method.parameters()]
    assert len(set(storage)) == len(storage)


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_SOURCE)
def test_the_paper_preset_trains_on_a_smaller_encoder_of_its_family(data, name, tmp_path):
    paper = settings(method=name, preset="paper")
    smaller = {"mit_b5": "mit_b0", "resnet101": "resnet18"}.get(paper.network.encoder, paper.network.encoder)
    s = settings(
        source=str(data / "east.yaml"), target=str(data / "west.yaml"), data=str(data), method=name, preset="paper",
        encoder=smaller, channels=32, crop=192, batch_size=2, steps=1, weights="none", workers=0, precision="fp32",
        options={"source_only_share": 0.0} if name == "bicl" else {},
    )  # fmt: skip
    method = train(s, tmp_path / "run", quiet=True)
    assert method.build.arch.decoder == paper.network.decoder and all(p.isfinite().all() for p in method.parameters())
