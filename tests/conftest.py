"""Fixtures that several folders of tests share. Imports of rsuda and torch wait until a test asks for them."""

import os
import shutil
import sys
import warnings
from itertools import count
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch: threads of two workers would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import settings

settings.register_profile("any machine", deadline=None)  # other processes may slow an example down
settings.load_profile("any machine")

if sys.platform == "win32":  # these use signals, limits of resources, mounted disks or forked processes
    collect_ignore = [
        f"system/test_{name}.py" for name in ("command", "hostile", "kills", "processes", "reliability", "spread")
    ]


@pytest.fixture(autouse=True)
def short_wait(monkeypatch):
    """Wait one second for a Dask scheduler, instead of ten."""
    if "rsuda.cluster.client" in sys.modules:
        monkeypatch.setattr("rsuda.cluster.client.TIMEOUT", 1.0)


@pytest.fixture(scope="session")
def tiny_city(tmp_path_factory):
    """The folder of two labelled cities, east and west, and an unlabelled village. Tests only read it."""
    from tiny_cities import build

    return build(tmp_path_factory.mktemp("tiny_city"))


@pytest.fixture(scope="session")
def tiny_run(tiny_city, tmp_path_factory):
    """The folder of a source-only run of four steps on the tiny cities. Tests only read it."""
    from tiny_cities import options, train_watched

    folder = tmp_path_factory.mktemp("tiny_run") / "run"
    train_watched(options(tiny_city, method="source-only"), folder, quiet=True)
    return folder


@pytest.fixture(scope="session")
def two_cities(tmp_path_factory):
    """The folder of two labelled cities that hold windows of 192 pixels. Tests only read it."""
    from method_runs import build_two_cities

    return build_two_cities(tmp_path_factory.mktemp("two_cities"))


@pytest.fixture(scope="session")
def source_only_weights(two_cities, tmp_path_factory):
    """The weights of source-only after a few steps between the two cities, with the settings AS_SOURCE_ONLY."""
    from method_runs import AS_SOURCE_ONLY, run_settings

    from rsuda.runs.weights import load_run
    from rsuda.training.train import train

    folder = tmp_path_factory.mktemp("source-only")
    train(run_settings(two_cities, "source-only", **AS_SOURCE_ONLY), folder, overwrite=True, quiet=True)
    return load_run(folder).model.state_dict()


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """The folder in which command lines run: cities, a scene, and a finished run of untrained weights."""
    from command_line import build_world

    return build_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def rsuda(world, tmp_path, monkeypatch, capfd, caplog):
    """A function that runs a command line in a copy of the world, which is the working folder."""
    from command_line import Said

    from rsuda.cli import main

    shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RSUDA_DATA", raising=False)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["rsuda", *map(str, words)])
        caplog.clear()
        capfd.readouterr()
        with warnings.catch_warnings(record=True) as warned, pytest.raises(SystemExit) as end:
            warnings.resetwarnings()
            for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
                warnings.simplefilter("ignore", kind)  # as outside of tests
            main()
        out, err = capfd.readouterr()
        logged = [r.getMessage() for r in caplog.records]
        return Said(end.value.code or 0, out, [*err.splitlines(), *logged, *(str(w.message) for w in warned)])

    return call


@pytest.fixture(scope="session")
def located_raster(tmp_path_factory):
    """A writer of GeoTIFFs whose pixels hold their position: band 1 is the x, band 2 the y of the pixel's centre.

    With the defaults all values are whole numbers, so integer types hold them exactly.
    """
    folder, number = tmp_path_factory.mktemp("located"), count()

    def write(
        height=40, width=50, gsd=2.0, crs="EPSG:32633", rotation=0.0, south_up=False, dtype="float32", origin=(500, 900)
    ):
        scale = Affine.scale(gsd, gsd if south_up else -gsd)
        transform = Affine.translation(*origin) @ Affine.rotation(rotation) @ scale
        cols, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        path = folder / f"{next(number)}.tif"
        profile = {"driver": "GTiff", "height": height, "width": width, "count": 2, "dtype": dtype, "crs": crs}
        with rasterio.open(path, "w", transform=transform, tiled=True, blockxsize=16, blockysize=16, **profile) as file:
            file.write(np.stack(transform @ (cols, rows)).astype(dtype))
        return path

    return write


@pytest.fixture
def write(tmp_path):
    """A writer of any small raster below ``tmp_path``, by its name's ending; ``values`` are (bands, H, W)."""
    drivers = {".tif": "GTiff", ".png": "PNG", ".jpg": "JPEG"}

    def write(name, values, colormap=None, interpretation=None, mask=None, **profile):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.asarray(values)
        size = {"count": len(values), "height": values.shape[1], "width": values.shape[2], "dtype": values.dtype}
        with rasterio.open(path, "w", driver=drivers[path.suffix], **size, **profile) as file:
            file.write(values)
            if colormap:
                file.write_colormap(1, colormap)
            if interpretation:
                file.colorinterp = interpretation
            if mask is not None:
                file.write_mask(mask)
        return path

    return write


@pytest.fixture(scope="session")
def real_data():
    """The folder of real imagery; tests that need it are skipped where it is missing."""
    folder = os.environ.get("RSUDA_REAL_DATA")
    if not folder:
        pytest.skip("no real imagery: RSUDA_REAL_DATA is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def reported(tmp_path_factory):
    """The folder of a source-only and a DACS run on cities with hostile names, and of their report with a map and its
    accuracy."""
    from tiny_cities import HOSTILE, assess_a_map, build, options, train_watched

    from rsuda.data.find_domain import domain
    from rsuda.evaluation.label_free import label_free, write_label_free
    from rsuda.inference.predictor import Predictor
    from rsuda.report.report import report
    from rsuda.runs.weights import load_run

    folder = tmp_path_factory.mktemp("reported")
    build(folder, ("a & b", HOSTILE, "c"), f"west {HOSTILE}")
    west = domain(str(folder / "west.yaml"), folder)
    for method in ("source-only", "dacs"):
        own = {"source_only_share": 0.0} if method == "dacs" else {}
        plain = {"standardise": "imagenet", "band_mixing": 0.0, "target_statistics": False}
        train_watched(options(folder, method=method, score_every=2, options=own, **plain), folder / method, quiet=True)
        found = label_free(Predictor.of(load_run(folder / method), "cpu", "fp32"), west, windows=2, size=64)
        write_label_free(found, folder / method)
    runs = [folder / "source-only", folder / "dacs"]
    assess_a_map(folder / "west_1_image.tif", folder / "dacs", folder)
    report(runs, folder / "west_1_image.tif", folder / "report.html", k=3, size=32, device="cpu", precision="fp32")
    return folder
