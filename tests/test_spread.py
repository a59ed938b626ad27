"""A benchmark's runs on the workers of a Dask cluster: the runs of one machine, whatever happens to a worker."""

import json
import os
import signal
import time

import pytest
import torch
import yaml
from safetensors.torch import load_file
from test_kills import same
from towns import build

from rsuda.errors import InputError, MissingError
from rsuda.verbs.benchmark import read_plan, run_plan
from rsuda.verbs.benchmark_spread import look_around

pytest.importorskip("distributed")
SMALL = {
    "preset": "sample", "steps": 4, "batch_size": 2, "crop": 64, "workers": 0, "precision": "fp32", "channels": 16,
    "weights": "none", "score_every": 0,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _threads():
    """Convolutions round otherwise on another number of threads, so all processes here have one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return build(tmp_path_factory.mktemp("data"))


@pytest.fixture
def cluster():
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local, Client(local) as client:
        yield client


def plan_of(data, out, methods, **settings):
    held = {
        "settings": {**SMALL, "data": str(data), **settings}, "seeds": [0], "methods": methods,
        "pairs": {"east → west": {"source": str(data / "east.yaml"), "target": str(data / "west.yaml")}},
    }  # fmt: skip
    out.mkdir(exist_ok=True)
    file = out / "plan.yaml"
    file.write_text(yaml.safe_dump(held, sort_keys=False))
    return read_plan(file, out)


def weights(plan):
    return {j.folder.parts[-3:]: load_file(j.folder / "weights.safetensors") for j in plan.jobs}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_the_runs_of_a_cluster_are_those_of_one_machine(data, tmp_path, workers):
    methods = {"source-only": {}, "dacs": {"options": {"start": 0.0}}, "oracle": {"oracle": True}}
    here = plan_of(data, tmp_path / "here", methods, workers=workers)
    there = plan_of(data, tmp_path / "there", methods, workers=workers)
    alone = {j.method: f for j, f in run_plan(here, ["cpu"], threads=1)}
    found = {j.method: f for j, f in run_plan(there, ["cpu"], "local", 2, 1)}
    assert found.keys() == alone.keys() == methods.keys()
    assert same(weights(there), weights(here))
    for row, fields in found.items():
        assert fields["threads"] == 1 and fields["miou"] == alone[row]["miou"]
        assert fields["label_free"] == alone[row]["label_free"]
    assert list(run_plan(plan_of(data, tmp_path / "there", methods, workers=workers), ["cpu"], "local", 2, 1)) == []
    assert not list((tmp_path / "there").glob(".cluster*"))
