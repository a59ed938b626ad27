"""Test that several processes, or several batches, train as one process does with a larger batch."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from process_tasks import CASES, RELATING, STEPS, cities, furthest, held, python, surroundings, train_by_two, trained
from safetensors.torch import load_file
from segmentation_models_pytorch.base.modules import Conv2dReLU
from short_settings import settings
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from rsuda.core.errors import InputError
from rsuda.learning import distributed
from rsuda.learning.augmentation import Augmentation
from rsuda.learning.random_draws import BatchShard
from rsuda.learning.sync_batch_norm import restore, synchronise
from rsuda.runs.resolve import resolve
from rsuda.training.processes import processes

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return cities(tmp_path_factory.mktemp("data"))


def apart(one, other):
    """The distance of two states as vectors."""
    return sum(float((a.double() - other[k].double()).square().sum()) for k, a in one.items()) ** 0.5


@pytest.fixture(scope="module")
def by_two(data, tmp_path_factory):
    """The final states of two processes with batches of 2, which torchrun started."""
    out = tmp_path_factory.mktemp("states")
    train_by_two(data, out)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_as_one_on_twice_the_batch(data, by_two, case):
    first, second = held(by_two, case)
    assert furthest(first, second)[0] < 1e-12
    whole = trained(data, case, 4)
    far, where = furthest(first, whole)
    assert far < 1e-7, where
    assert int(whole.get("votes.similar.number", 1)) > 0


@pytest.mark.slow
def test_comparison_sees_processes_that_share_only_gradients(data, by_two):
    """It measures the distance of two such processes."""
    half = trained(data, "daformer", 2)
    assert furthest(held(by_two, "daformer")[0], half)[0] > 1e-3


@pytest.mark.slow
def test_accumulated_batches_train_as_a_larger_one(data):
    without_batch_norm = {"encoder": "mit_b0", "decoder": "deeplabv2"}
    whole = trained(data, "source-only", 4, **without_batch_norm)
    far, where = furthest(trained(data, "source-only", 2, accumulate=2, **without_batch_norm), whole)
    assert far < 1e-9, where
    # teachers move once a step
    state = trained(data, "dacs", 2, accumulate=2)
    assert state["teacher.n_averaged"] == 1 + STEPS


def command(data, out, *more):
    return (
        "-m", "rsuda.cli", "adapt", "--source", data / "east.yaml", "--target", data / "west.yaml", "--data", data,
        "--preset", "sample", "--crop", 64, "--device", "cpu", "--precision", "fp32",
        "--workers", 0, "--quiet", "--out", out, *more,
    )  # fmt: skip


@pytest.mark.slow
def test_command_line_trains_by_two_processes_and_rank_0_writes(data, tmp_path):
    config = tmp_path / "sgd.yaml"
    # without thresholds, on whose other side rounding may put a pixel
    config.write_text("{method: source-only, optimiser: sgd, lr: 0.01, target_statistics: true}\n")
    python(*command(data, tmp_path / "one", "--config", config, "--steps", 4, "--batch-size", 2))
    done = python(*command(data, tmp_path / "two", "--config", config, "--steps", 4, "--batch-size", 1, "--devices", 2))
    assert done.stdout.count("all classes: mIoU") == 1

    names = {p.name for p in (tmp_path / "one").iterdir()}
    assert {p.name for p in (tmp_path / "two").iterdir()} == names
    python(*command(data, tmp_path / "more", "--config", config, "--steps", 4, "--batch-size", 3))
    one, two, more = (load_file(tmp_path / n / "weights.safetensors") for n in ("one", "two", "more"))
    # in single precision, where values near 0 are rounding: against a run of one process that has another batch
    assert apart(two, one) < apart(more, one) / 100
    rows = [list(csv.DictReader((tmp_path / n / "metrics.csv").open())) for n in ("one", "two")]
    assert [r["step"] for r in rows[0]] == [r["step"] for r in rows[1]]
    for a, b in zip(*rows, strict=True):
        assert float(a["loss"]) == pytest.approx(float(b["loss"]), rel=1e-3)
    assert (tmp_path / "two" / "log.txt").read_text().count("step 4 of 4") == 1


@pytest.mark.slow
@pytest.mark.parametrize("shared", [["--devices", "2"], ["--accumulate", "2"]])
def test_killed_run_of_several_processes_or_batches_resumes_exactly(data, tmp_path, shared):
    words = ["--steps", "12", "--batch-size", "2", "--method", "dacs", "--set", "method.source_only_share=0", *shared]
    python(*command(data, tmp_path / "whole", *words))
    cut = [sys.executable, *map(str, command(data, tmp_path / "cut", *words))]
    running = subprocess.Popen(cut, env=surroundings(), start_new_session=True)
    try:
        while not (tmp_path / "cut" / "last.ckpt").exists():
            assert running.poll() is None
            time.sleep(0.05)
    finally:
        os.killpg(running.pid, signal.SIGKILL)  # itself and the process that it started
        running.wait()
    assert not (tmp_path / "cut" / "weights.safetensors").exists()
    done = python("-m", "rsuda.cli", "adapt", "--resume", "--quiet", "--out", tmp_path / "cut")
    assert "mIoU" in done.stdout
    one, other = (load_file(tmp_path / n / "weights.safetensors") for n in ("whole", "cut"))
    assert all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("bands", [3, 4])
def test_parts_of_a_batch_are_augmented_as_the_whole_batch(bands):
    augment = Augmentation(((0.4,) * bands, (0.2,) * bands), ((0.5,) * bands, (0.3,) * bands))
    image, label = torch.rand(6, bands, 32, 32), torch.randint(0, 3, (6, 32, 32))
    batch = {
        "source_image": image, "source_label": label, "source_valid": label > 0,
        "target_image": image.flip(0), "target_valid": label < 2,
    }  # fmt: skip

    def drawn(rows, share):
        part = {k: v[rows] for k, v in batch.items()}
        torch.manual_seed(5)
        return augment.source(part, share) | augment.target(part, share, distorted=True)

    whole = drawn(slice(0, 6), BatchShard())
    assert set(whole) == {*batch, "target_distorted"}
    for index in range(3):
        share = BatchShard(index, 3)
        found = drawn(share.rows(2), share)
        assert all(torch.equal(found[k], v[share.rows(2)]) for k, v in whole.items())


@pytest.mark.parametrize("layer", [nn.Dropout2d(0.5), nn.Dropout(0.3)])
def test_parts_of_a_batch_drop_the_units_of_the_whole_batch(layer):
    x = torch.rand(6, 8, 4, 4) + 1
    torch.manual_seed(3)
    whole = layer(x)
    share = BatchShard(0, 3)
    kind = type(layer)
    synchronise(layer, share)
    parts = []
    for share.index in range(3):
        torch.manual_seed(3)
        parts.append(layer(x[share.rows(2)]))
    assert torch.equal(torch.cat(parts), whole) and (whole == 0).any()
    assert torch.equal(layer.eval()(x), x)
    restore(layer)
    assert type(layer) is kind


def test_one_process_needs_no_synchronised_layers():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), BatchNormAct2d(8), Conv2dReLU(8, 8, 3), nn.BatchNorm2d(8))
    x = torch.rand(2, 3, 8, 8)
    kinds = [type(m) for m in model.modules()]
    before = model(x)
    synchronise(model, BatchShard(0, 2))
    assert [type(m) for m in model.modules()] != kinds
    assert torch.equal(model(x), before)
    restore(model)
    assert [type(m) for m in model.modules()] == kinds
    assert distributed.world_size() == 1 and distributed.all_gather(x) is x and distributed.all_sum(x) is x


def test_impossible_numbers_of_processes_are_refused():
    cpu = torch.device("cpu")
    assert processes("auto", 1, cpu).count == 1
    assert processes("3", 1, cpu).count == 3
    with pytest.raises(InputError, match="one device"):
        processes("2", 1, torch.device("cuda:1"))
    with pytest.raises(InputError, match="the address of the first machine is unknown"):
        processes("2", 2, cpu)
    for wrong in ({"devices": "0"}, {"devices": "two"}, {"nodes": 0}, {"accumulate": 0}, {"strategy": "fsdp"}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            settings(**wrong)
    assert settings(devices=2).training.devices == "2"
    with pytest.raises(InputError, match="needs `out`"):
        resolve(None, {"source": "a.yaml", "target": "b.yaml", "training.devices": "2"}, None, False, print)


def test_launcher_with_another_number_of_processes_is_refused(monkeypatch):
    launcher = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "3", "RANK": "1", "LOCAL_RANK": "1", "GROUP_RANK": "0"}
    for key, value in launcher.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(InputError, match="the launcher started 3 processes, but devices x nodes is 2 x 1"):
        processes("2", 1, torch.device("cpu"))
    assert processes("3", 1, torch.device("cpu")).rank == 1


def test_every_case_is_a_method_whose_options_relate_items():
    assert len(CASES) == len(set(CASES)) and set(RELATING) <= set(CASES)
