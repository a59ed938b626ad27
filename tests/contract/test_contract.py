"""What every method must keep, whatever its paper says."""

import pytest
import torch
from method_runs import ON, built, run_settings

from rsuda.core.settings import settings
from rsuda.methods import METHODS
from rsuda.runs.weights import load_run
from rsuda.training.train import adapt

# What leaves a method as source-only, and where its network's parts are found in source-only's.
PLAIN = {"network.": "network."}
SELF_TRAINING = {"mix_weight": 0.0, "distance_weight": 0.0}
OFF: dict[str, tuple[dict, dict]] = {
    "adaptsegnet": ({"adversarial_weight": 0.0}, PLAIN),
    "dacs": ({"mix_weight": 0.0}, PLAIN),
    "daformer": (SELF_TRAINING, PLAIN),
    "hrda": ({**SELF_TRAINING, "resolutions": 1}, PLAIN),
    "mic": ({**SELF_TRAINING, "masked_weight": 0.0, "resolutions": 1}, PLAIN),
    "cluda": ({**SELF_TRAINING, "contrast_weight": 0.0, "resolutions": 1}, PLAIN),
    "bicl": (
        {"forward_weight": 0.0, "backward_weight": 0.0, "target_weight": 0.0, "entropy_weight": 0.0, "start": 0.0}, PLAIN,
    ),
    "st-dasegnet": (
        {"adversarial_weight": 0.0, "pseudo_weight": 0.0, "class_weights": "none", "disentangle": False},
        {"backbone_s.": "network.encoder.", "head_s.": "network.decoder."},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def data(two_cities):
    return two_cities


def batch_of(patches, count=2):
    return torch.utils.data.default_collate([patches[i] for i in range(count)])


def ready(method, raw):
    """What a method's loss is given."""
    out = dict(
        zip(
            ("source_image", "source_label"),
            method.augmentation.source(raw["source_image"], raw["source_label"]),
            strict=True,
        )
    )
    out["key"] = raw["key"]
    if method.needs_target:
        pairs = method.augmentation.target(raw["target_image"], raw["target_valid"])
        out |= dict(zip(("target_image", "target_valid"), pairs, strict=True))
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
    method, patches, _ = built(data, name)
    inputs = ready(method, batch_of(patches))
    if case == "no valid target pixel" and method.needs_target:
        inputs["target_valid"] = torch.zeros_like(inputs["target_valid"])
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


@pytest.mark.parametrize("name", [n for n in METHODS if n != "source-only"])
def test_own_weights_at_zero_give_source_only_to_the_last_bit(data, name, tmp_path):
    off_options, named = OFF[name]
    common = {"rare_temperature": 0.0, "target_statistics": False}
    adapt(run_settings(data, "source-only", **common), tmp_path / "plain", quiet=True)
    adapt(run_settings(data, name, options=off_options, **common), tmp_path / "off", quiet=True)
    plain, off = weights(tmp_path / "plain"), weights(tmp_path / "off")
    for mine, theirs in named.items():
        found = [k for k in off if k.startswith(mine)]
        assert found
        for key in found:
            assert torch.equal(off[key], plain[key.replace(mine, theirs, 1)]), key


@pytest.mark.parametrize("name", ["dacs", "daformer", "hrda", "mic", "cluda", "bicl"])
def test_before_its_start_a_method_is_source_only(data, name):
    method, patches, _ = built(data, name, options={**ON[name], "start": 0.5})
    inputs = ready(method, batch_of(patches))
    _, terms = method.loss({k: v for k, v in inputs.items() if not k.startswith("target")})
    assert "ce" in terms and not {"mix", "masked", "ce_target"} & set(terms)


@pytest.mark.parametrize("name", METHODS)
def test_target_labels_are_never_opened(data, name, tmp_path):
    adapt(run_settings(data, name), tmp_path / "with", quiet=True)
    labels = sorted(data.glob("west_*_label.tif"))
    kept = [f.read_bytes() for f in labels]
    try:
        for f in labels:
            f.write_bytes(b"not a label")
        adapt(run_settings(data, name), tmp_path / "without", quiet=True)
    finally:
        for f, content in zip(labels, kept, strict=True):
            f.write_bytes(content)
    one, other = weights(tmp_path / "with"), weights(tmp_path / "without")
    assert all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("name", METHODS)
def test_a_resumed_run_equals_the_uninterrupted_one(data, name, tmp_path):
    whole = run_settings(data, name, steps=4)
    adapt(whole, tmp_path / "whole", quiet=True)

    class InterruptionError(Exception):
        pass

    from lightning.pytorch.callbacks import Callback

    class Stop(Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.global_step == 2:
                raise InterruptionError

    with pytest.raises(InterruptionError):
        adapt(whole, tmp_path / "cut", quiet=True, callbacks=[Stop()])
    assert not (tmp_path / "cut" / "weights.safetensors").exists()
    adapt(whole, tmp_path / "cut", resume=True, quiet=True)
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(one[k], other[k]) for k in one)
    assert torch.load(tmp_path / "cut" / "last.ckpt", weights_only=True)["global_step"] == 4


def test_a_resumed_run_keeps_its_earlier_metrics(data, tmp_path):
    s = run_settings(data, "source-only", steps=2)
    adapt(s, tmp_path / "run", quiet=True)
    earlier = (tmp_path / "run" / "metrics.csv").read_text()
    adapt(run_settings(data, "source-only", steps=4), tmp_path / "run", resume=True, quiet=True)
    later = (tmp_path / "run" / "metrics.csv").read_text()
    assert later.startswith(earlier) and len(later.splitlines()) > len(earlier.splitlines())


@pytest.mark.parametrize("name", METHODS)
def test_teachers_share_no_storage_with_students_and_have_no_optimiser(data, name):
    method, _, _ = built(data, name)
    trained = {id(p) for g in method.configure_optimizers()["optimizer"].param_groups for p in g["params"]}
    assert trained == {id(p) for p in method.parameters() if p.requires_grad}
    storage = [p.data_ptr() for p in method.parameters()]
    assert len(set(storage)) == len(storage)


@pytest.mark.parametrize("name", METHODS)
def test_saved_weights_predict_what_the_trained_network_predicts(data, name, tmp_path):
    method = adapt(run_settings(data, name), tmp_path / "run", quiet=True)
    image = torch.rand(1, 3, 64, 64)
    trained = load_run(tmp_path / "run")
    method.model.eval()
    with torch.inference_mode():
        # the trained network lies channels-last in memory, the loaded one does not
        assert torch.allclose(method.model(image), trained.model(image), atol=1e-5)
    assert trained.spec.gsd == 0.5 and trained.spec.bands == ("red", "green", "blue")
    assert trained.spec.legend.names == ("road", "roof", "tree")


@pytest.mark.parametrize("name", METHODS)
def test_the_paper_preset_trains_on_a_smaller_encoder_of_its_family(data, name, tmp_path):
    paper = settings(method=name, preset="paper")
    smaller = {"mit_b5": "mit_b0", "resnet101": "resnet18"}[paper.encoder]
    s = settings(
        source=str(data / "east.yaml"), target=str(data / "west.yaml"), data=str(data), method=name, preset="paper",
        encoder=smaller, channels=32, crop=192, batch_size=2, steps=1, weights="none", workers=0, precision="fp32",
        options={"start": 0.0} if name == "bicl" else {},
    )  # fmt: skip
    method = adapt(s, tmp_path / "run", quiet=True)
    assert method.arch.decoder == paper.decoder and all(p.isfinite().all() for p in method.parameters())
