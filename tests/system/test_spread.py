"""Test benchmark runs on the workers of a Dask cluster: they equal those of one machine, whatever happens to a worker."""

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from threading import Thread

import psutil
import pytest
import torch
import yaml
from run_contents import same
from safetensors.torch import load_file
from short_settings import changed
from tiny_cities import build
from typer.testing import CliRunner

from rsuda.benchmark.plan import read_plan, run_plan
from rsuda.cli import app
from rsuda.cluster.client import connect, threads_of
from rsuda.cluster.tasks import run_tasks
from rsuda.core.errors import InputError, MissingError
from rsuda.core.locks import LOCK, exclusive
from rsuda.runs.weights import checkpoint_step
from rsuda.training.train import train

pytest.importorskip("distributed")
SMALL = {
    "preset": "sample", "steps": 4, "batch_size": 2, "crop": 64, "workers": 0, "precision": "fp32", "channels": 16,
    "weights": "none", "score_every": 0,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _threads():
    """Convolutions round differently on different numbers of threads, so all processes of this file have one."""
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
    fields_of_plan = {
        "settings": {**SMALL, "data": str(data), **settings}, "seeds": [0], "methods": methods,
        "pairs": {"east → west": {"source": str(data / "east.yaml"), "target": str(data / "west.yaml")}},
    }  # fmt: skip
    out.mkdir(exist_ok=True)
    file = out / "plan.yaml"
    file.write_text(yaml.safe_dump(fields_of_plan, sort_keys=False))
    return read_plan(file, out)


def weights(plan):
    return {job.folder.parts[-3:]: load_file(job.folder / "weights.safetensors") for job in plan.jobs if job.done}


@pytest.mark.slow
def test_runs_and_errors_of_a_cluster_equal_those_of_one_machine(data, tmp_path):
    dacs = {"options": {"source_only_share": 0.0}, "workers": 1}  # with a data-loading worker
    rows = {"source-only": {}, "dacs": dacs, "nowhere": {"method": "source-only", "source_split": "holiday"}}
    local_plan, cluster_plan = (plan_of(data, tmp_path / folder, rows) for folder in ("here", "there"))
    local_results = {job.method: result for job, result in run_plan(local_plan, ["cpu"], threads=1)}
    results = {job.method: result for job, result in run_plan(cluster_plan, ["cpu"], "local", 2, 1)}
    assert results.keys() == local_results.keys() == rows.keys()
    assert "holiday" in results["nowhere"] and results.pop("nowhere") == local_results.pop("nowhere")
    assert same(weights(cluster_plan), weights(local_plan)) and len(weights(cluster_plan)) == 2
    for row, fields in results.items():
        assert fields["threads"] == 1 and fields["miou"] == local_results[row]["miou"]
        assert fields["label_free"] == local_results[row]["label_free"]
    assert not list((tmp_path / "there").glob(".cluster*"))
    ended = [job.method for job, _ in run_plan(cluster_plan, ["cpu"], "local", 2, 1)]
    assert ended == ["nowhere"]  # finished runs are not repeated


def processes_of(client):
    return {pid for pids in client.run(lambda: [p.pid for p in psutil.Process().children()]).values() for pid in pids}


def alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.slow
def test_another_worker_finishes_the_run_of_a_killed_one(data, tmp_path, cluster):
    plan = plan_of(data, tmp_path, {"source-only": {"steps": 120}})
    folder, results = plan.jobs[0].folder, []
    train(changed(plan.jobs[0].settings, device="cpu"), tmp_path / "whole", quiet=True)
    thread = Thread(target=lambda: results.extend(run_plan(plan, ["cpu"], cluster.scheduler.address, threads=1)))
    thread.start()
    deadline = time.monotonic() + 240
    while not (folder / "last.ckpt").is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    (worker_address,) = [worker for worker, tasks in cluster.processing().items() if tasks]
    pids = processes_of(cluster)
    assert len(pids) == 1
    os.kill(cluster.run(os.getpid)[worker_address], signal.SIGKILL)
    before = checkpoint_step(folder)
    thread.join()
    assert worker_address not in cluster.ncores() and not [p for p in pids if alive(p)]
    ((_, result),) = results
    assert result["miou"] >= 0 and before < 120
    assert "going on from the checkpoint of step" in (folder / "log.txt").read_text()
    assert same(load_file(folder / "weights.safetensors"), load_file(tmp_path / "whole" / "weights.safetensors"))


@pytest.mark.slow
def test_runs_stop_when_the_caller_stops_iterating(data, tmp_path, cluster):
    plan = plan_of(data, tmp_path, {"source-only": {"steps": 10**6}, "oracle": {"oracle": True}})
    for job, _ in run_plan(plan, ["cpu"], cluster.scheduler.address, threads=1):
        assert job.method == "oracle"
        assert processes_of(cluster) and (plan.jobs[0].folder / LOCK).is_file()
        break  # as Ctrl-C does
    deadline = time.monotonic() + 60
    while processes_of(cluster) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not processes_of(cluster)
    with exclusive(plan.jobs[0].folder / LOCK, "the run"):
        pass


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs paths that only one process sees")
def test_workers_without_the_shared_folder_or_data_are_refused(data, tmp_path, cluster):
    opened = os.open(data, os.O_RDONLY)
    private = Path(f"/proc/self/fd/{opened}")
    with pytest.raises(InputError, match=r"the worker on .* cannot read the data.* same path .*east\.yaml"):
        list(run_plan(plan_of(private, tmp_path, {"source-only": {}}), ["cpu"], cluster.scheduler.address))
    with pytest.raises(InputError, match=r"the worker on .* does not see the folder .* same path"):
        list(run_plan(plan_of(data, private / "out", {"source-only": {}}), ["cpu"], cluster.scheduler.address))
    os.close(opened)
    assert not list(tmp_path.rglob("config.yaml")) and not list((data / "out").glob(".cluster*"))


def test_impossible_benchmarks_on_a_cluster_are_refused(data, tmp_path):
    plan = plan_of(data, tmp_path, {"source-only": {}})
    with pytest.raises(InputError, match="one device for all workers, not cpu, cuda:0"):
        list(run_plan(plan, ["cpu", "cuda:0"], "local"))
    with pytest.raises(InputError, match="`threads` is 0; it must be at least 1"):
        list(run_plan(plan, ["cpu"], threads=0))
    with pytest.raises(InputError, match="`workers` is 0: it must be at least 1"):
        list(run_plan(plan, ["cpu"], "local", workers=0))
    words = ["benchmark", str(tmp_path / "plan.yaml"), "--out", str(tmp_path), "--scheduler", "tcp://127.0.0.1:9"]
    error = CliRunner().invoke(app, words).exception
    assert isinstance(error, MissingError) and "no Dask scheduler answers at tcp://127.0.0.1:9" in str(error)
    assert not list(tmp_path.glob(".cluster*"))


def test_a_lost_scheduler_is_one_sentence_and_its_commands_end(tmp_path):
    from distributed import LocalCluster

    local = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, protocol="tcp://", dashboard_address=None)

    def command(what):
        return ["child_command", what, str(tmp_path / what)]

    with connect(local.scheduler_address, 1) as client:
        ended = run_tasks(client, command, ["answer", "wait"], 2)
        assert next(ended) == ("answer", None)
        assert json.loads((tmp_path / "answer").read_text())["threads"] == 2
        local.close()
        with pytest.raises(MissingError, match="lost the connection to the Dask scheduler"):
            next(ended)

    def commands():
        return [p for p in psutil.Process().children() if "child_command" in " ".join(p.cmdline())]

    deadline = time.monotonic() + 30
    while commands() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not commands()


def test_tasks_share_the_cores_of_a_machine():
    from dask.system import CPU_COUNT
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as local,
        Client(local) as client,
    ):
        share = threads_of(client, None)
        assert list(share.at_once.values()) == [1]
        numbers = [client.submit(threads.of_task, pure=False).result() for threads in (share, replace(share, fixed=3))]
        twice = {machine: 2 * CPU_COUNT for machine in share.at_once}
        assert [*numbers, client.submit(replace(share, at_once=twice).of_task).result()] == [CPU_COUNT, 3, 1]
