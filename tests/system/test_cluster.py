"""Scenes spread over worker processes give the bytes that one process gives, whatever happens to a worker."""

import os
import signal

import numpy as np
import pytest
import torch
from oracle_models import legend, write
from short_settings import settings

from rsuda.core.errors import InputError, MissingError, RsudaError
from rsuda.core.map_options import MapOptions
from rsuda.core.spec import Spec
from rsuda.inference.predict import predict, predict_scenes
from rsuda.learning.networks import build_network
from rsuda.runs.weights import architecture, save_run

pytest.importorskip("distributed")
OPTIONS = {
    "window": 64,
    "overlap": 16,
    "batch_size": 2,
    "device": "cpu",
    "precision": "fp32",
    "polygons": None,
    "threads": 1,
}


@pytest.fixture(autouse=True)
def _threads():
    """Convolutions round otherwise on another number of threads, so all processes here have one."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of a network that nobody trained."""
    folder = tmp_path_factory.mktemp("run")
    s = settings(preset="sample", method="source-only")
    spec = Spec(("red", "green", "blue"), 0.5, (0.0,) * 3, (255.0,) * 3, (0.5,) * 3, (0.25,) * 3, legend())
    torch.manual_seed(0)
    save_run(folder, build_network("plain", architecture(s, spec)), spec, "source-only")
    return folder


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("scenes"), np.random.default_rng(0)

    def noise(height, width):
        return np.kron(rng.integers(0, 255, (3, height // 20, width // 20)), np.ones((1, 20, 20))).astype(np.uint8)

    sizes = {"big": (1400, 200), "small": (100, 80), "other": (300, 120)}
    return [write(folder / f"{name}.tif", noise(*size)) for name, size in sizes.items()]


def made(folder):
    return {f.name: f.read_bytes() for f in sorted(folder.iterdir())}


def done(scenes, run, out, **given):
    return list(predict(scenes, run, out, **{**OPTIONS, "confidence": True, "probabilities": True, **given}))


@pytest.mark.slow
def test_two_workers_give_the_bytes_of_one_process(tmp_path, run, scenes):
    done(scenes, run, tmp_path / "alone")
    written = done(scenes, run, tmp_path / "spread", scheduler="local", workers=2)
    assert [w.skipped for w in written] == [False] * 3
    assert made(tmp_path / "spread") == made(tmp_path / "alone")
    assert len(made(tmp_path / "alone")) == 7 * 3  # three rasters, their styles, the classes' table


@pytest.mark.slow
def test_a_worker_that_dies_costs_only_its_part(tmp_path, run, scenes):
    from distributed import Client, LocalCluster

    done(scenes, run, tmp_path / "alone")
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local, Client(local) as client:
        killed = []

        def kill(*_):
            if not killed:
                killed.append(next(iter(client.run(os.getpid).values())))
                os.kill(killed[0], signal.SIGKILL)

        done(scenes, run, tmp_path / "spread", scheduler=local.scheduler_address, progress=kill)
        assert killed and killed[0] not in client.run(os.getpid).values()
    assert made(tmp_path / "spread") == made(tmp_path / "alone")


@pytest.mark.slow
def test_a_scene_that_no_worker_can_read_takes_none_of_the_others_with_it(tmp_path, run, scenes):
    bad = write(tmp_path / "bad.tif", np.random.default_rng(0).integers(0, 255, (3, 300, 300)).astype(np.uint8))
    bad.write_bytes(bad.read_bytes()[:100_000])
    options = MapOptions(out=tmp_path / "out", scheduler="local", workers=2, **OPTIONS)
    found = predict_scenes([scenes[1], bad, scenes[2]], run, options)
    assert [next(found).scene, next(found).scene] == [scenes[1], scenes[2]]
    with pytest.raises(RsudaError, match=r"1 of 3 scenes could not be predicted: cannot read .*bad\.tif"):
        next(found)
    assert not [f for f in (tmp_path / "out").iterdir() if "bad" in f.name]


@pytest.mark.slow
def test_workers_whose_run_is_another_one_are_refused(tmp_path, run, scenes):
    from dataclasses import replace

    from rsuda.runs.weights import load_run

    other = replace(load_run(run), digest="another")
    with pytest.raises(InputError, match="copy it there"):
        done(scenes[1:2], other, tmp_path / "out", scheduler="local", workers=1)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_an_address_where_nothing_answers_is_refused(tmp_path, run, scenes):
    with pytest.raises(MissingError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        done(scenes, run, tmp_path / "out", scheduler="tcp://127.0.0.1:9")
    with pytest.raises(InputError, match="workers"):
        done(scenes, run, tmp_path / "out", scheduler="local", workers=0)
    assert not (tmp_path / "out").exists()
