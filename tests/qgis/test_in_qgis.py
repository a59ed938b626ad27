"""Run the algorithms in a QGIS without windows, with the real command. Skipped without QGIS."""

import json
import os
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import pytest
import typer.main
from command_line import build_world
from shapely.geometry import Point

from rsuda.cli import app
from rsuda.qgis.install import plugin_folder

ROOT = Path(__file__).parents[2]
SESSION = ROOT / "tests" / "support" / "qgis_session.py"


@pytest.fixture(scope="module")
def qgis():
    """The Python that has QGIS."""
    pythons = [python for python in ("/usr/bin/python3", sys.executable) if os.path.exists(python)]
    for python in pythons if sys.platform != "win32" else ():
        if subprocess.run([python, "-c", "import qgis.core"], capture_output=True, check=False).returncode == 0:
            return python
    pytest.skip("no Python has QGIS: apt install python3-qgis")


@pytest.fixture(scope="module")
def session(qgis, tmp_path_factory):
    """Run jobs in a QGIS, and return its first line and the answers."""
    home = tmp_path_factory.mktemp("home")
    command = home / "bin" / "rsuda"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec env PYTHONPATH="{ROOT}" "{sys.executable}" -m rsuda "$@"\n')
    command.chmod(0o755)
    (home / "run").mkdir(mode=0o700)
    variables = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run"), "QT_QPA_PLATFORM": "offscreen"}
    variables["PATH"] = f"{command.parent}:{os.environ['PATH']}"

    def run(jobs):
        words = [qgis, str(SESSION), str(plugin_folder().parent), json.dumps(jobs)]
        finished = subprocess.run(words, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stderr[-2000:]
        first, *answers = map(json.loads, finished.stdout.splitlines())
        assert len(answers) == len(jobs)
        return first, answers

    return run


def test_every_parameter_is_an_option_of_its_command_with_the_same_default(session):
    flags = session([])[0]["flags"]
    commands = typer.main.get_command(app).commands
    assert {"rsuda:predict", "rsuda:adapt", "rsuda:info", "rsuda:suggest", "rsuda:sample", "rsuda:assess"} < set(flags)
    for name, options in flags.items():
        command = commands[name.partition(":")[2]]
        known = {flag: parameter.default for parameter in command.params for flag in parameter.opts}
        assert set(options) <= set(known), f"{name}: {set(options) - set(known)}"
        for flag, default in options.items():
            if default not in (None, False, ""):
                assert known[flag] == default, f"{name} {flag}: {default} in QGIS, {known[flag]} in the command"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = build_world(tmp_path_factory.mktemp("world of qgis"))
    places = [Point(500_000 + 8 + 14 * (k % 8), 6_000_000 - 8 - 14 * (k // 8)) for k in range(64)]
    frame = gpd.GeoDataFrame({"label": [("road", "roof", "tree")[k % 3] for k in range(64)]}, geometry=places)
    return folder, frame


@pytest.mark.slow
def test_algorithms_run_the_command_load_styled_layers_and_say_what_is_wrong(session, world):
    folder, frame = world

    def path(name):
        return str(folder / name)

    classes, points = path("maps/scene_classes.tif"), path("my points.gpkg")
    import rasterio

    with rasterio.open(path("scene.tif")) as scene:
        left, top, crs = scene.bounds.left, scene.bounds.top, scene.crs
    frame.translate(left - 500_000, top - 6_000_000).to_frame("geometry").assign(label=frame["label"]).set_geometry(
        "geometry", crs=crs
    ).to_file(points)
    predict = {"INPUT": path("scene.tif"), "RUN": path("good"), "CONFIDENCE": True, "DEVICE": "cpu"}
    jobs = [
        {"id": "rsuda:predict", "parameters": {**predict, "OUTPUT": path("maps")}},
        {"id": "rsuda:predict", "parameters": {**predict, "NODATA": 0, "OUTPUT": path("maps")}},
        {"id": "rsuda:polygonize", "parameters": {"INPUT": classes, "OUTPUT": "TEMPORARY_OUTPUT"}},
        {"id": "rsuda:sample", "parameters": {"INPUT": classes, "POINTS": 30, "MINIMUM": 5, "OUTPUT": path("points.gpkg")}},
        {
            "id": "rsuda:assess",
            "parameters": {
                "INPUT": classes, "POINTS": points, "REFERENCE": "label", "OUTPUT": path("accuracy"),
                "TARGET_ERROR": 0.1, "TARGET_MEASURE": "area", "TARGET_CLASS": "tree",
            },
        },
        {"id": "rsuda:info", "parameters": {"INPUT": path("scene.tif"), "RUN": path("good"), "OUTPUT": path("info.html")}},
        {"id": "rsuda:info", "parameters": {"OUTPUT": path("info.html")}},
        {
            "id": "rsuda:suggest",
            "parameters": {
                "RUN": path("good"), "DOMAIN": path("west.yaml"), "DATA": path("data"), "K": 2, "SIZE": 64,
                "OUTPUT": path("w.gpkg"),
            },
        },
        {"id": "rsuda:predict", "parameters": {**predict, "OUTPUT": path("maps")}, "setting": path("data")},
        {"id": "rsuda:predict", "parameters": {**predict, "OUTPUT": path("m2"), "WINDOW": 32, "OVERLAP": 16}, "cancel_at": 1},
    ]  # fmt: skip
    _, answers = session(jobs)
    first, refused, polygons, sample, assess, info, no_info, suggest, no_command, cancelled = answers

    assert first["results"]["CLASSES"] == classes and first["command"].endswith("--json")
    assert {layer["name"]: layer["style"] for layer in first["layers"]} == {
        "scene_classes": "paletted", "scene_confidence": "singlebandpseudocolor", "scene_polygons": "categorizedSymbol",
    }  # fmt: skip
    assert first["layers"][0]["labels"] == ["road", "roof", "tree"]
    assert first["shares"][-1] == 100
    assert "pass 'Replace existing files' (--overwrite)" in refused["error"]
    assert polygons["layers"][0]["style"] == "categorizedSymbol"
    assert polygons["layers"][0]["features"] == polygons["results"]["COUNT"] > 0
    assert sample["layers"][0] == {
        "name": "Points", "features": 30, "style": "categorizedSymbol", "labels": ["to label", "labelled"],
    }  # fmt: skip
    assert 0 <= assess["results"]["LOW"] < assess["results"]["OVERALL"] < assess["results"]["HIGH"] <= 1
    assert Path(assess["results"]["PAGE"]).is_file()
    assert "scene.tif</h2>" in Path(info["results"]["OUTPUT"]).read_text()
    assert no_info["error"] == "choose a raster, or a run or domain: one of the two"
    assert any(text.startswith("± 10 % of the area of tree take about") for text in assess["texts"]), assess["texts"]
    assert suggest["shares"][-1] == 100
    assert suggest["layers"][0]["features"] == 2 and suggest["layers"][0]["style"] == "singleSymbol"
    assert "there is no command: name it under Settings" in no_command["error"]
    assert cancelled["shares"][-1] < 100, cancelled["shares"]
    assert cancelled["results"] == {} and not Path(path("m2/scene_classes.tif")).exists()
