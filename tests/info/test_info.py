"""rsuda info and rsuda domains describe rasters, runs and domains, and check a scene against a model."""

import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from labelled_city import NAMES, city
from oracle_models import legend, write
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin
from short_settings import settings

import rsuda
from rsuda.cli import main
from rsuda.core.display import printable
from rsuda.core.settings import dump
from rsuda.core.spec import Spec
from rsuda.data.domain_files.domain_file import KNOWN
from rsuda.geo.rasters.info import raster_facts
from rsuda.info.suitability import suitability
from rsuda.learning.networks import build_network
from rsuda.runs.weights import architecture, save_run

RGB = ("red", "green", "blue")
NOISE = np.random.default_rng(0).normal(100, 30, (4, 80, 90)).clip(1, 254).astype(np.uint8)


def spec(bands=RGB, gsd=0.5, mean=0.4, std=0.12, high=255.0):
    n = len(bands)
    return Spec(tuple(bands), gsd, (0.0,) * n, (high,) * n, (mean,) * n, (std,) * n, legend(NAMES))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two cities and a finished run of untrained weights."""
    folder = tmp_path_factory.mktemp("world")
    for k, name in enumerate(("east", "west")):
        city(folder / "data", name, seed=k)
    run_settings = settings(
        source="east.yaml", target="west.yaml", data="data", method="source-only", preset="sample", channels=16
    )
    (folder / "good").mkdir()
    (folder / "good" / "config.yaml").write_text(dump(run_settings))
    (folder / "good" / "metrics.csv").write_text("epoch,loss,step\n0,1.5,9\n0,1.2,19\n")
    (folder / "good" / "label_free.json").write_text('{"information": 0.4}')
    save_run(folder / "good", build_network("plain", architecture(run_settings, spec())), spec(), "source-only")
    return folder


@pytest.fixture
def call(world, tmp_path, monkeypatch, capfd):
    """Runs a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RSUDA_DATA", raising=False)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["rsuda", *map(str, words)])
        with warnings.catch_warnings(record=True) as warned, pytest.raises(SystemExit) as end:
            warnings.simplefilter("always", UserWarning)
            main()
        assert not warned
        out, err = capfd.readouterr()
        return end.value.code or 0, out, err

    return call


# -- rasters -----------------------------------------------------------------------------------------------------------


def test_raster_facts_equal_the_file(tmp_path):
    path = write(tmp_path / "a.tif", NOISE[:3], nodata=0, descriptions=["Red", "green", "NIR"])
    facts = raster_facts(path)
    assert (facts["driver"], facts["width"], facts["height"]) == ("GTiff", 90, 80)
    assert [b["name"] for b in facts["bands"]] == ["red", "green", "ir"] and facts["bands"][0]["type"] == "uint8"
    assert facts["gsd"] == [0.5, 0.5] and facts["crs"] == "EPSG:32632"
    assert facts["bounds"] == [500_000, 6_000_000 - 40, 500_045, 6_000_000] and facts["bytes"] == path.stat().st_size
    assert (
        facts["mask"] == "nodata value"
        and facts["nodata"] == [0, 0, 0]
        and facts["data_share"] == 1
        and not facts["warnings"]
    )
    assert facts["bands"][1]["mean"] == pytest.approx(NOISE[1].mean())
    json.dumps(facts)


def test_data_share_is_the_share_of_valid_pixels(tmp_path):
    values = NOISE[:3].copy()
    values[:, :20] = 0
    assert raster_facts(write(tmp_path / "a.tif", values, nodata=0))["data_share"] == 0.75


def with_alpha(path, values):
    return write_as(path, values, (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha))


def write_as(path, values, interpretation):
    import rasterio

    write(path, values)
    with rasterio.open(path, "r+") as file:
        file.colorinterp = interpretation
    return path


def placed_by_points(path):
    import rasterio

    points = [GroundControlPoint(r, c, 9 + c * 1e-5, 48 - r * 1e-5) for r, c in ((0, 0), (0, 90), (80, 0), (80, 90))]
    profile = {"driver": "GTiff", "count": 3, "height": 80, "width": 90, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile) as file:
        file.write(NOISE[:3])
        file.gcps = (points, "EPSG:4326")
    return path


def cut(path):
    write(path, np.random.default_rng(0).integers(0, 255, (3, 300, 300), np.uint8))
    path.write_bytes(path.read_bytes()[:90_000])
    return path


WARNINGS = {
    "no CRS": (lambda p: write(p, NOISE[:3], crs=None), "transform but no CRS"),
    "no georeference": (lambda p: write(p, NOISE[:3], transform=None, crs=None), "no georeference"),
    "metres in degrees": (
        lambda p: write(p, NOISE[:3], from_origin(400000, 5500000, 1, 1), "EPSG:4326"),
        "is not a position of EPSG:4326",
    ),
    "control points": (placed_by_points, "located by ground control points"),
    "NIR as alpha": (lambda p: with_alpha(p, NOISE), "band 4 is tagged as alpha but is not a mask"),
    "all nodata": (lambda p: write(p, 0 * NOISE[:3], nodata=0), "no pixel holds data"),
    "12 of 16 bits": (lambda p: write(p, NOISE[:3].astype(np.uint16) * 16), "16-bit values reach .* 12-bit sensor"),
    "reflectance": (lambda p: write(p, NOISE[:3].astype(np.float32) / 255), "about 0 to 1"),
    "one value": (lambda p: write(p, np.full((3, 9, 9), 7, np.uint8)), "all its pixels have one value"),
    "unnamed bands": (lambda p: write(p, NOISE[[0, 1, 2, 3, 0]]), "5 bands have no names"),
    "complex": (lambda p: write(p, NOISE[:1].astype(np.complex64)), "complex pixels"),
    "cut off": (cut, "rsuda cannot use it: cannot read"),
}


@pytest.mark.parametrize("case", WARNINGS)
def test_unusual_raster_has_a_warning(tmp_path, case):
    make, sentence = WARNINGS[case]
    warnings = raster_facts(make(tmp_path / "a.tif"))["warnings"]
    assert any(re.search(sentence, text) for text in warnings), warnings


def test_alpha_band_is_a_mask_without_a_warning(tmp_path):
    values = NOISE.copy()
    values[3] = 255
    values[3, :40] = 0
    facts = raster_facts(with_alpha(tmp_path / "a.tif", values))
    assert facts["mask"] == "alpha band" and facts["data_share"] == 0.5 and not facts["warnings"]


def test_large_raster_is_sampled(tmp_path):
    values = np.full((1, 2200, 2200), 5, np.uint8)
    values[:, 1100:] = 9
    facts = raster_facts(write(tmp_path / "a.tif", values))
    assert facts["sampled"] and (facts["bands"][0]["min"], facts["bands"][0]["max"]) == (5, 9)


def test_raster_is_described_without_importing_torch(tmp_path):
    path = write(tmp_path / "a.tif", NOISE[:3])
    code = f"import sys, rsuda; print(rsuda.info({str(path)!r})['driver'], 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})  # fmt: skip
    assert done.stdout.split() == ["GTiff", "False"]


# -- suitability ---------------------------------------------------------------------------------------------------------------


def test_scene_like_the_training_imagery_fits(tmp_path):
    path = write(tmp_path / "a.tif", NOISE[:3], descriptions=RGB)
    result = suitability(path, spec())
    assert result["verdict"] == "fits" and not result["reasons"] and result["gsd_ratio"] == 1
    assert result["colour_distance"]["mean"] < 0.1 and result["colour_distance"]["from"] == "the training imagery"
    assert result["values"]["red"]["outside"] == 0


def test_colour_distance_is_in_standard_deviations_of_training(tmp_path):
    """A scene that is one deviation brighter has distance 1, and so has one of twice the deviation."""
    row = np.random.default_rng(0).normal(0, 1, (3, 200, 200))
    for name, mean, std in (("same", 0, 1), ("brighter", 1, 1), ("wilder", 0, 2)):
        values = (row * std + mean) * 10.0 + 100
        path = write(tmp_path / f"{name}.tif", values.astype(np.float32), descriptions=RGB)
        result = suitability(path, spec(mean=100 / 255, std=10 / 255))["colour_distance"]
        assert result["mean"] == pytest.approx(0 if name == "same" else 1, abs=0.02), name


@pytest.mark.parametrize(
    ("make", "verdict", "sentence"),
    [
        (lambda p: write(p, NOISE[:3], from_origin(0, 0, 2, 2), descriptions=RGB), "doubtful", "4.0 times coarser"),
        (lambda p: write(p, NOISE[:3], from_origin(0, 0, 0.1, 0.1), descriptions=RGB), "doubtful", "5.0 times finer"),
        (lambda p: write(p, NOISE[:3] // 16, descriptions=RGB), "doubtful", "near the bottom"),
        (lambda p: write(p, NOISE[:3].astype(np.uint16) * 16, descriptions=RGB), "doubtful", "are outside of"),
        (lambda p: write(p, NOISE[:3], descriptions=("red", "green", "swir")), "doubtful", "taken as red, green, blue"),
        (lambda p: write(p, 255 - NOISE[:3] // 3, descriptions=RGB), "doubtful", "colours are very different"),
        (lambda p: write(p, NOISE[:1]), "refused", "has 1 band, but 3 are needed"),
        (lambda p: write(p, NOISE[[0, 1, 2, 3, 0]]), "refused", "5 bands of unknown order"),
        (lambda p: write(p, 0 * NOISE[:3], nodata=0), "refused", "no valid pixel"),
        (lambda p: write(p, NOISE[:3], from_origin(0, 0, 40, 40), descriptions=RGB), "refused", "80-fold apart"),
        (lambda p: write(p, NOISE[:3], None, None, descriptions=RGB), "refused", "GSD of .* is unknown"),
        (cut, "refused", "cannot read"),
    ],
)
def test_unsuitable_scene_has_a_verdict_and_a_reason(tmp_path, make, verdict, sentence):
    result = suitability(make(tmp_path / "a.tif"), spec())
    assert result["verdict"] == verdict and any(re.search(sentence, r) for r in result["reasons"]), result


def test_distance_from_imagenet_is_labelled_so(tmp_path):
    path = write(tmp_path / "a.tif", NOISE[:3], descriptions=RGB)
    result = suitability(
        path, Spec(RGB, 0.5, (0.0,) * 3, (255.0,) * 3, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), legend(NAMES))
    )
    assert "ImageNet" in result["colour_distance"]["from"]


def test_info_and_predict_refuse_a_scene_by_the_same_sentence(world, tmp_path, call):
    path = write(tmp_path / "a.tif", NOISE[:1])
    (reason,) = rsuda.info(path, world / "good")["suitability"]["reasons"]
    code, _, err = call("predict", path, "--model", world / "good")
    assert code == 2 and err == f"Error: {reason}\n"


# -- the command -------------------------------------------------------------------------------------------------------


def test_command_describes_a_raster(world, call, tmp_path):
    scene = world / "data" / "west_0_image.tif"
    code, out, err = call("info", scene, "--model", world / "good")
    assert code == 0 and not err and "driver: GTiff" in out and "verdict: doubtful" in out and "gsd: 0.5\n" in out
    code, out, _ = call("info", scene, "--model", world / "good", "--json", "--bands", "IRRG")
    facts = json.loads(out)
    assert code == 0 and facts["suitability"]["verdict"] == "refused" and facts["bands"][0]["name"] == "ir"
    assert "ir, red, green" in facts["suitability"]["reasons"][0]
    code, out, _ = call("info", scene)  # without a run
    assert code == 0 and "suitability" not in out


def test_raster_is_checked_against_the_newest_run(world, call, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a").symlink_to(world / "good")
    facts = json.loads(call("info", world / "data" / "west_0_image.tif", "--json")[1])
    assert facts["suitability"]["run"] == "runs/a"
    assert facts["fit"] == facts["suitability"] and facts["odd"] == facts["warnings"]  # names of earlier versions


def test_command_describes_a_run(world, call):
    scores = {"domain": "west", "split": "val", "miou": 0.5, "classes": {"road": {"iou": 0.4}}}
    (world / "good" / "scores_west_val.json").write_text(json.dumps(scores))
    facts = json.loads(call("info", world / "good", "--json")[1])
    assert facts["kind"] == "run" and facts["finished"] and facts["rsuda"] == rsuda.__version__
    assert (facts["source"], facts["method"], facts["steps_logged"]) == ("east.yaml", "source-only", 20)
    assert facts["spec"]["classes"] == list(NAMES) and facts["spec"]["gsd"] == 0.5
    assert facts["scores"][0]["miou"] == 0.5 and facts["scores"][0]["iou"] == {"road": 0.4}
    assert facts["label_free"] == {"information": 0.4}
    assert facts["files"]["weights.safetensors"] == (world / "good" / "weights.safetensors").stat().st_size
    code, out, err = call("info", world / "good")
    assert code == 0 and not err and "miou 0.5" in out and "bands: red, green, blue" in out
    assert call("info", world / "good" / "weights.safetensors")[1] == out


def test_command_describes_an_unfinished_run(world, call, tmp_path):
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.yaml").write_bytes((world / "good" / "config.yaml").read_bytes())
    facts = json.loads(call("info", "begun", "--json")[1])
    assert not facts["finished"] and facts["method"] == "source-only" and "spec" not in facts


def test_command_describes_a_domain(world, call):
    (world / "data" / "west.yaml").write_text(
        (world / "data" / "west.yaml").read_text().replace("val:\n  - '1'", "val:\n  - '1'\n  - '7'")
    )
    facts = json.loads(call("info", world / "data" / "west.yaml", "--data", world / "data", "--json")[1])
    assert facts["kind"] == "domain" and facts["scenes"] == 2 and facts["missing"] == ["7"]
    assert facts["splits"]["train"] == {"scenes": 1, "labelled": 1} and facts["bands"] == "RGB"
    assert facts["gsd"] == [0.5, 0.5] and facts["crs"] == ["EPSG:32632"]
    domain = rsuda.domain(world / "data" / "west.yaml", world / "data")
    count = sum(np.bincount(s.whole_label(domain.legend)[0].ravel(), minlength=256) for s in domain.scenes.values())
    assert facts["class_shares"] == pytest.approx({n: count[k] / count.sum() for k, n in enumerate(NAMES)}, abs=1e-4)
    folder = json.loads(call("info", world / "data", "--json")[1])
    assert folder["scenes"] == 12 and folder["classes"] is None
    assert "scenes: 2" in call("info", str(world / "data" / "east_*_image.tif"))[1]


@pytest.mark.parametrize(("more", "says"), [([], "no data folder for domain potsdam"), (["--data", "."], "isprs.org")])
def test_domain_without_data_is_one_sentence_that_names_its_description(call, tmp_path, monkeypatch, more, says):
    monkeypatch.chdir(tmp_path)
    code, out, err = call("info", "potsdam", *more)
    assert (code, out) == (2, "") and says in err and err.count("\n") == 1
    assert err.rstrip().endswith("rsuda domains potsdam describes them")
    code, out, _ = call("domains", "potsdam")
    assert code == 0 and "isprs.org" in out and "top_potsdam_{tile}_IRRG.tif" in out


def test_domain_says_its_scenes_and_how_many_label_pixels_are_off_the_legend(world, tmp_path):
    shutil.copytree(world / "data", tmp_path / "data")
    with rasterio.open(tmp_path / "data" / "east_1_label.tif", "r+") as file:
        values = file.read()
        values[:, :2, :5] = 7
        file.write(values)
    facts = rsuda.info(tmp_path / "data" / "east.yaml", data=tmp_path / "data")
    assert facts["scene_names"] == ["0", "1"] and facts["off_legend_pixels"] == 10


def test_domain_object_is_described(world):
    facts = rsuda.info(rsuda.domain(world / "data" / "east.yaml", world / "data"))
    assert facts["name"] == "east" and facts["splits"]["val"]["labelled"] == 1


def test_command_lists_the_known_domains(call):
    code, out, err = call("domains")
    assert code == 0 and not err and all(f"{n}:" in out for n in KNOWN) and "isprs.org" in out
    result = json.loads(call("domains", "--json")[1])
    assert set(result) == set(KNOWN) and result["vaihingen"]["gsd"] == 0.09 and result["potsdam"]["bands"][0] == "IRRG"
    code, out, _ = call("domains", "loveda-urban")
    assert code == 0 and "Urban/images_png/{tile}.png" in out and "potsdam" not in out
    code, _, err = call("domains", "loveda-urbn")
    assert code == 2 and "did you mean 'loveda-urban'" in err


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("potsdamm", "unknown domain 'potsdamm': did you mean 'potsdam'"),
        ("nowhere/x.tif", "no file, run or folder nowhere/x.tif"),
        ("x.yaml", "no domain file x.yaml"),
    ],
)
def test_unknown_name_is_refused_in_one_sentence(call, word, sentence):
    code, out, err = call("info", word)
    assert code == 2 and not out and err.startswith("Error: ") and sentence in err and err.count("\n") == 1


def test_invalid_raster_is_refused_in_one_sentence(call, tmp_path):
    (tmp_path / "a.tif").write_text("no image")
    code, _, err = call("info", "a.tif")
    assert code == 2 and err.startswith("Error: cannot read a.tif") and err.count("\n") == 1
    (tmp_path / "empty").mkdir()
    assert "no raster" in call("info", "empty")[2]


def test_file_names_cannot_control_the_terminal(call, tmp_path):
    name = "a\x1b[31m\n\u202egnp.tif"
    write(tmp_path / name, NOISE[:3], descriptions=["red\x1b]0;x\x07", "green", "blue"])
    code, out, _ = call("info", tmp_path / name)
    assert (
        code == 0
        and "\x1b" not in out
        and "\x07" not in out
        and "\u202e" not in out
        and "a\\x1b[31m\\n\\u202egnp" in out
    )
    code, _, err = call("info", tmp_path / f"no{name}")
    assert code == 2 and "\x1b" not in err and err.count("\n") == 1
    assert printable("Grün, 区\t\udcff") == "Grün, 区\\t\\udcff"


def test_methods_are_listed_as_json(call):
    result = json.loads(call("methods", "dacs", "--json")[1])
    assert set(result) == {"dacs"} and "mix_weight" in result["dacs"]["options"]


def test_scores_of_a_run_are_printed_as_json(world, call, monkeypatch):
    monkeypatch.chdir(world)
    code, out, _ = call("evaluate", "good", "--domain", "data/east.yaml", "--device", "cpu", "--json")
    result = json.loads(out)
    assert code == 0 and result["domain"] == "east" and len(result["confusion"]) == 3
    assert json.loads(Path("good/scores_east_val.json").read_text()) == result


def test_runs_of_a_benchmark_are_listed_as_json(call):
    file = Path(__file__).parents[2] / "configs" / "benchmarks" / "sample_tiles.yaml"
    code, out, _ = call("benchmark", file, "--dry-run", "--json")
    runs = json.loads(out)
    assert code == 0 and runs and {"pair", "row", "seed", "method", "steps", "folder", "done"} == set(runs[0])
    assert call("benchmark", file, "--json")[0] == 2


def test_real_unusual_rasters_are_described_without_a_traceback(world, real_data, call):
    files = [f for f in (real_data / "geotiffs").rglob("*") if f.suffix in (".tif", ".vrt") and f.is_file()]
    assert len(files) > 30
    for file in files:
        facts = rsuda.info(file, world / "good")
        assert facts["kind"] == "raster" and facts["suitability"]["verdict"] in ("fits", "doubtful", "refused"), file
        assert json.loads(json.dumps(facts, allow_nan=False)) == facts, file
    code, out, _ = call("info", real_data / "geotiffs" / "rasterio" / "corrupt.tif")
    assert code == 0 and "rsuda cannot use it" in out


def test_a_pattern_of_labels_that_matches_nothing_is_a_warning(tmp_path):
    rng = np.random.default_rng(0)
    write(tmp_path / "a.tif", rng.integers(1, 255, (3, 64, 64), np.uint8))
    (tmp_path / "d.yaml").write_text(
        "name: d\ngsd: 0.5\nimages: {RGB: {files: '{n}.tif', bands: RGB}}\nlabels: ['mask/{n}.tif']\n"
        "legend: [{name: road, colour: [0, 0, 0]}, {name: roof, colour: [9, 9, 9]}]\n"
    )
    doubts = rsuda.info(str(tmp_path / "d.yaml"), data=tmp_path)["warnings"]
    assert any("no scene has labels" in doubt and "mask/{n}.tif" in doubt for doubt in doubts), doubts
