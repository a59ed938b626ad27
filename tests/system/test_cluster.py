"""Test that a Dask cluster writes the same bytes as one process, even if a worker dies."""

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
from rsuda.export.export import export
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
    """Restore the number of threads; all processes use one."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Create a run folder with random weights."""
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


def contents(folder):
    return {f.name: f.read_bytes() for f in sorted(folder.iterdir())}


def predict_all(scenes, run, out, **options):
    return list(predict(scenes, run, out, **{**OPTIONS, "confidence": True, "probabilities": True, **options}))


@pytest.mark.slow
def test_two_workers_give_the_bytes_of_one_process(tmp_path, run, scenes):
    predict_all(scenes, run, tmp_path / "alone")
    written = predict_all(scenes, run, tmp_path / "spread", scheduler="local", workers=2)
    assert [w.skipped for w in written] == [False] * 3
    assert contents(tmp_path / "spread") == contents(tmp_path / "alone")
    assert len(contents(tmp_path / "alone")) == 7 * 3  # three rasters, their styles and the class table


@pytest.mark.slow
def test_workers_adapt_to_the_whole_scene(tmp_path, run, scenes):
    predict_all(scenes, run, tmp_path / "alone", adapt="statistics")
    predict_all(scenes, run, tmp_path / "spread", adapt="statistics", scheduler="local", workers=2)
    assert contents(tmp_path / "spread") == contents(tmp_path / "alone")


@pytest.mark.slow
def test_workers_read_an_onnx_file(tmp_path, run, scenes):
    file = export(run, out=tmp_path / "model.onnx", window=64, overlap=16).file
    predict_all(scenes, file, tmp_path / "alone")
    predict_all(scenes, file, tmp_path / "spread", scheduler="local", workers=2)
    assert contents(tmp_path / "spread") == contents(tmp_path / "alone")


@pytest.mark.slow
def test_map_is_the_same_after_a_worker_dies(tmp_path, run, scenes):
    from distributed import Client, LocalCluster

    predict_all(scenes, run, tmp_path / "alone")
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local, Client(local) as client:
        killed = []

        def kill(*_):
            if not killed:
                killed.append(next(iter(client.run(os.getpid).values())))
                os.kill(killed[0], signal.SIGKILL)

        predict_all(scenes, run, tmp_path / "spread", scheduler=local.scheduler_address, progress=kill)
        assert killed and killed[0] not in client.run(os.getpid).values()
    assert contents(tmp_path / "spread") == contents(tmp_path / "alone")


@pytest.mark.slow
def test_scene_unreadable_on_workers_does_not_stop_the_others(tmp_path, run, scenes):
    bad = write(tmp_path / "bad.tif", np.random.default_rng(0).integers(0, 255, (3, 300, 300)).astype(np.uint8))
    bad.write_bytes(bad.read_bytes()[:100_000])
    options = MapOptions(out=tmp_path / "out", scheduler="local", workers=2, **OPTIONS)
    predictions = predict_scenes([scenes[1], bad, scenes[2]], run, options)
    assert [next(predictions).scene, next(predictions).scene] == [scenes[1], scenes[2]]
    with pytest.raises(RsudaError, match=r"1 of 3 scenes could not be predicted: cannot read .*bad\.tif"):
        next(predictions)
    assert not [f for f in (tmp_path / "out").iterdir() if "bad" in f.name]


@pytest.mark.slow
def test_workers_with_another_run_are_refused(tmp_path, run, scenes):
    from dataclasses import replace

    from rsuda.runs.weights import load_run

    other = replace(load_run(run), digest="another")
    with pytest.raises(InputError, match="copy it there"):
        predict_all(scenes[1:2], other, tmp_path / "out", scheduler="local", workers=1)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_address_without_scheduler_is_refused(tmp_path, run, scenes):
    with pytest.raises(MissingError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        predict_all(scenes, run, tmp_path / "out", scheduler="tcp://127.0.0.1:9")
    with pytest.raises(InputError, match="workers"):
        predict_all(scenes, run, tmp_path / "out", scheduler="local", workers=0)
    assert not (tmp_path / "out").exists()
