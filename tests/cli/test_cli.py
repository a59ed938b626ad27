"""Test the command line: an error of the user is one sentence and exit code 2, and leaves no files."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import torch
from command_line import ADAPT, MAP, SCORE, domain_file
from oracle_models import write
from processor_time import children_seconds
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from short_settings import settings

from rsuda.runs.weights import load_run


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


# -- help --------------------------------------------------------------------------------------------------------------


def python(*words, **environment):
    environment = {**os.environ, **environment}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, timeout=120)


def test_help_answers_within_half_a_second():
    """Of a processor's time, which other work on the machine does not change."""
    took = []
    for _ in range(3):
        before = children_seconds()
        said = python("-m", "rsuda.cli", "--help")
        after = children_seconds()
        took.append(after - before)
        assert said.returncode == 0 and all(verb in said.stdout for verb in ("adapt", "evaluate", "predict"))
    assert min(took) < 0.5


@pytest.mark.parametrize("words", [[], ["adapt"], ["evaluate"], ["predict"]])
def test_help_imports_nothing_heavy(words):
    script = (
        f"import sys; sys.argv = ['rsuda', *{words}, '--help']\n"
        "from rsuda.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print('IMPORTED', {'torch', 'rasterio', 'lightning', 'numpy', 'geopandas', 'kornia'} & set(sys.modules))"
    )
    said = python("-c", script)
    assert said.stdout.rstrip().endswith("IMPORTED set()"), said.stdout + said.stderr
    assert "--help" in said.stdout


# -- bad input ---------------------------------------------------------------------------------------------------------


def edited(path, **changes):
    """Rewrite a scene file with other values, type or georeference."""

    def make():
        with rasterio.open(path) as file:
            given = {"values": file.read(), "transform": file.transform, "crs": file.crs}
        write(path, **{**given, **{k: v(given["values"]) if callable(v) else v for k, v in changes.items()}})

    return make


def first(count):
    return lambda values: values[:count]


def five(values):
    return values[[0, 1, 2, 0, 1]]


def lower_part(values):
    return values[:, 9:]


def noise(values):
    return np.random.default_rng(0).integers(0, 256, values.shape, np.uint8)


def text(path, content="this is no image"):
    return lambda: Path(path).write_text(content)


def gone(path):
    return lambda: Path(path).unlink()


def folder_of(path, bands, **given):
    def make():
        Path(path).mkdir()
        write(Path(path) / "a.tif", np.ones((bands, 200, 200), np.uint8), **given)

    return make


def second_of_one_band():
    folder_of("t", 3)()
    write(Path("t/b.tif"), np.ones((1, 200, 200), np.uint8))


def tensors(path):
    return lambda: save_file({"a": torch.zeros(3)}, path)


def truncated():
    write(Path("scene.tif"), np.random.default_rng(0).integers(0, 255, (3, 300, 300), np.uint8))
    Path("scene.tif").write_bytes(Path("scene.tif").read_bytes()[:90_000])


def misfit(**changes):
    """Change the description in the weights file so that the weights do not fit it."""

    def make():
        file = "good/weights.safetensors"
        with safe_open(file, "pt") as held:
            about = json.loads(held.metadata()["rsuda"])
        for key, value in changes.items():
            about["architecture"][key] = value
        save_file(load_file(file), file, {"rsuda": json.dumps(about)})

    return make


def copy_config():
    Path("run").mkdir()
    shutil.copy("good/config.yaml", "run")


def another_legend():
    domain_file(Path(), "west", legend_names=("rock", "sand", "ice"))


EAST_IMAGE, EAST_LABEL = "data/east_0_image.tif", "data/east_0_label.tif"
WEST_IMAGE, WEST_LABEL = "data/west_1_image.tif", "data/west_1_label.tif"
NO_DATA = [w for w in ADAPT if w not in ("--data", "data")]
BAD = {
    # adapt: names
    "unknown source": (None, ADAPT, "--source potsdamm", "unknown domain 'potsdamm': did you mean 'potsdam'"),
    "unknown target": (None, ADAPT, "--target vaihing", "did you mean 'vaihingen'"),
    "unknown method": (None, ADAPT, "--method st-daseg", "unknown method 'st-daseg': did you mean 'st-dasegnet'"),
    "unknown preset": (None, ADAPT, "--preset smal", "unknown preset 'smal': did you mean 'small'"),
    "unknown method option": (None, ADAPT, "--set keep_share=1", "did you mean 'method.keep_share'.*rsuda config prints all"),
    "option of another method": (
        None, ADAPT, "--set method.trusted=0.7", "these are of source-free, and --method NAME chooses another"
    ),
    "method option of a wrong kind": (None, ADAPT, "--set method.mix=abc", "option mix .*'abc'"),
    "method option of a wrong word": (
        None, ADAPT, "--method st-dasegnet --set method.quality=good", "quality: 'good'.*known are batch, none"
    ),
    "option without value": (None, ADAPT, "--set method.trusted", "a setting is NAME=VALUE"),
    "option that is no YAML": (None, ADAPT, "--set method.trusted=[", "not valid YAML"),
    "unknown precision": (None, ADAPT, "--precision fp23", "did you mean 'fp32'"),
    "unknown device": (None, ADAPT, "--device tpu7", "tpu7"),
    "unknown encoder": (text("c.yaml", "network: {encoder: mobilenet_v}"), ADAPT, "--config c.yaml", "mean 'mobilenet_v2'"),
    "unknown decoder": (text("c.yaml", "network: {decoder: segforme}"), ADAPT, "--config c.yaml", "did you mean 'segformer'"),
    "no configuration file": (None, ADAPT, "--config c.yaml", "no configuration file c.yaml"),
    "unknown option in a file": (text("c.yaml", "step: 1"), ADAPT, "--config c.yaml", "c.yaml.*did you mean 'training.steps'"),
    # adapt: sizes
    "crop not a multiple of 32": (None, ADAPT, "--crop 200", "--window is 200.*multiple of 32: try 192"),
    "window too small for the discriminator": (None, ADAPT, "--method st-dasegnet --crop 64", "6 x 6.*larger --window"),
    "no step": (None, ADAPT, "--steps 0", "--steps is 0; it must be at least 1"),
    "gsd that is no number": (None, ADAPT, "--gsd fine", "gsd.*fine"),
    # adapt: data
    "no data folder given": (None, NO_DATA, "", "pass --data DIR"),
    "a wrong name beside missing data": (None, NO_DATA, "--target no.yaml", "Error: there is no domain file no.yaml"),
    "data folder missing": (None, ADAPT, "--data nowhere", "data folder nowhere is missing"),
    "data in another layout": (None, ADAPT, "--source potsdam", "looked for .*top_potsdam_{tile}_IRRG.tif"),
    "no raster in the target": (Path("t").mkdir, ADAPT, "--target t", "no raster .* in t"),
    "image without label": (gone(EAST_LABEL), ADAPT, "", "split 'train' of domain east needs labels"),
    "label of another size": (
        edited(EAST_LABEL, values=lower_part, transform=None, crs=None), ADAPT, "", "224 x 215 px.*224 x 224"
    ),
    "label off the palette": (edited(EAST_LABEL, values=noise), ADAPT, "", "100% of the labelled pixels .*east_0_label"),
    "label of one band": (edited(EAST_LABEL, values=first(1)), ADAPT, "", "east_0_label.*one band"),
    "label that is no image": (text(EAST_LABEL), ADAPT, "", "cannot read .*east_0_label"),
    "source image that is none": (text(EAST_IMAGE), ADAPT, "", "cannot read .*east_0_image"),
    "target image that is none": (text("data/west_0_image.tif"), ADAPT, "", "cannot read .*west_0_image"),
    "too few bands in the source": (edited(EAST_IMAGE, values=first(2)), ADAPT, "", "east_0_image.* 2 bands"),
    "too few bands in the target": (
        edited("data/west_0_image.tif", values=first(1)), ADAPT, "", "west_0_image.*1 bands?, but .* has 3"
    ),
    "too few bands in a later scene": (second_of_one_band, ADAPT, "--target t", "t/b.tif has 1 band, but 3 are needed"),
    "target of unknown band order": (folder_of("t", 5), ADAPT, "--target t", "t/a.tif has 5 bands.*--target-bands"),
    "target without georeference": (
        folder_of("t", 3, transform=None, crs=None), ADAPT, "--target t", "GSD of t/a.tif is unknown"
    ),
    # adapt: weights and run folders
    "no weights file": (None, ADAPT, "--weights w.pth", "no weights file w.pth"),
    "weights file that is none": (text("w.pth"), ADAPT, "--weights w.pth", "w.pth cannot be read"),
    "safetensors file that is none": (text("w.safetensors"), ADAPT, "--weights w.safetensors", "cannot be read"),
    "weights of another encoder": (
        tensors("w.safetensors"), ADAPT, "--weights w.safetensors", "w.safetensors does not fit the encoder"
    ),
    "run exists": (None, ADAPT, "--out good", "good exists: pass --resume .*--overwrite"),
    "overwrite with bad weights keeps the run": (
        None, ADAPT, "--out good --overwrite --weights w.pth", "no weights file"
    ),
    "run is a file": (text("run"), ADAPT, "--overwrite", "run cannot be a folder"),
    "resume without a run": (None, ADAPT, "--resume", "the run run is missing: name a run folder"),
    "resume without a checkpoint": (
        None, ["adapt", "--out", "good"], "--resume", "finished but holds no last.ckpt"
    ),
    "resume with another crop": (copy_config, ["adapt", "--out", "run"], "--resume --crop 224", "cannot change --window"),
    "resume and replace": (None, ["adapt", "--out", "good"], "--resume --overwrite", "--resume continues a run, and --overwrite"),
    "resume with nothing in runs": (None, ["adapt", "--resume"], "", "holds no run to resume"),
    # evaluate
    "evaluate no run": (None, ["evaluate", "nowhere"], "", "the run nowhere is missing"),
    "evaluate a run away from its data": (gone("west.yaml"), SCORE, "", "file west.yaml .so say the settings of good, .*--data"),
    "evaluate a run without weights": (gone("good/weights.safetensors"), SCORE, "", "good holds no weights"),
    "evaluate an unknown domain": (None, SCORE, "--domain potsdamm", "did you mean 'potsdam'"),
    "evaluate an unknown split": (None, SCORE, "--split vall", "did you mean 'val'"),
    "evaluate an unknown protocol": (None, SCORE, "--protocol scene", "did you mean 'scenes'"),
    "evaluate without tile list": (None, SCORE, "--protocol st-dasegnet", "no tile list"),
    "evaluate another legend": (another_legend, SCORE, "", "road, roof, tree.*rock, sand, ice.*no name in common"),
    "evaluate too few bands": (edited(WEST_IMAGE, values=first(1)), SCORE, "", "west_1_image.*1 bands?, but .* has 3"),
    "evaluate without label": (gone(WEST_LABEL), SCORE, "", "needs labels"),
    "evaluate off-palette label": (edited(WEST_LABEL, values=noise), SCORE, "", "outside the legend"),
    "evaluate label of another size": (
        edited(WEST_LABEL, values=lower_part, transform=None, crs=None), SCORE, "", "224 x 215"
    ),
    "evaluate other weights": (misfit(classes=4), SCORE, "", "does not fit its own description"),
    "evaluate an odd tile size": (None, SCORE, "--tile-size 100", "multiple of 32"),
    # predict
    "predict without any run": (None, MAP[:2], "", "no finished run: adapt first"),
    "predict with no such run": (None, MAP[:2], "--model nowhere", "the run nowhere is missing: name a run folder"),
    "predict with a run without weights": (gone("good/weights.safetensors"), MAP, "", "good holds no weights"),
    "predict with a folder of runs": (None, [*MAP[:2], "--model", "."], "", r"Error: \. is not a run folder: did you mean good"),
    "predict a vector file": (text("a.gpkg"), ["predict", "a.gpkg", *MAP[2:]], "", "a.gpkg: it is a vector file"),
    "predict with foreign weights": (tensors("good/weights.safetensors"), MAP, "", "not written by rsuda"),
    "predict with a broken file": (text("good/weights.safetensors"), MAP, "", "cannot be read as weights"),
    "predict with other bands": (misfit(bands=4), MAP, "", "does not fit its own description"),
    "predict no scene": (gone("scene.tif"), MAP, "", "no file scene.tif"),
    "predict a folder without rasters": (None, ["predict", "good", *MAP[2:]], "", "no raster .* in the folder good"),
    "predict a corrupt scene": (truncated, MAP, "", "cannot read scene.tif"),
    "predict a domain file": (None, ["predict", "data/east.yaml", *MAP[2:]], "", "east.yaml is a domain file"),
    "predict a text": (text("scene.tif"), MAP, "", "cannot read scene.tif"),
    "predict too few bands": (edited("scene.tif", values=first(1)), MAP, "", "scene.tif has 1 band, but 3"),
    "predict an unknown band order": (edited("scene.tif", values=five), MAP, "", "unknown order.*--bands"),
    "predict by other bands": (None, MAP, "--bands IRRG", "has the bands ir, red, green, but red, green, blue"),
    "predict by impossible bands": (None, MAP, "--bands RGBIR", "3 bands, but .* has 4"),
    "predict by odd bands": (None, MAP, "--bands XYZ", "has the bands xyz, but red.*--bands RGB"),
    "predict without georeference": (edited("scene.tif", transform=None, crs=None), MAP, "", "GSD of scene"),
    "predict all nodata": (edited("scene.tif", values=lambda v: 0 * v, nodata=0), MAP, "", "scene.tif has no valid"),
    "predict an unknown format": (None, MAP, "--format dxf", "unknown polygon format 'dxf'"),
    "predict over an output": (text("scene_classes.tif"), MAP, "", "scene_classes.tif exists: pass --overwrite"),
    "predict by an odd option": (None, MAP, "--co COMPRESS=NONSENSE", "COG driver does not accept --co COMPRESS=NONSENSE"),
    "predict in odd views": (None, MAP, "--tta rotations", "unknown value of --tta: 'rotations'"),
    "predict in an area that is not there": (None, MAP, "--aoi none.gpkg", "no file none.gpkg"),
    "predict elsewhere": (None, MAP, "--bounds 0 0 1 1", "touches none of the scenes"),
    "predict an empty rectangle": (None, MAP, "--bounds 1 0 0 1", "have no area"),
    "predict with a negative area": (None, MAP, "--min-area=-1", "--min-area is -1.0; it must be at least 0"),
    "predict odd footprints": (None, MAP, "--regularise castle", "unknown class 'castle'"),
    "predict footprints without polygons": (None, MAP, "--format none --regularise roof", "--format other than none"),
    "predict with no threads": (None, MAP, "--threads 0", "--threads is 0; it must be at least 1"),
    "predict into a file": (text("out"), MAP, "--out out", "out cannot be a folder"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_exit_code_2_and_leaves_no_files(rsuda, tmp_path, case):
    make, base, more, says = BAD[case]
    if make is not None:
        make()
    before = tree(tmp_path)
    said = rsuda(*base, *more.split())
    assert said.code == 2, said
    assert len(said.err) == 1 and said.err[0].startswith("Error: "), said.err
    assert re.search(says, said.err[0]), said.err[0]
    assert "Traceback" not in said.out
    assert tree(tmp_path) == before
    assert not (tmp_path / "run").is_dir() or case.startswith("resume with")


def test_process_ends_with_code_2_and_one_line():
    said = python("-m", "rsuda.cli", "methods", "dac")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith("Error: unknown method") and said.stderr.count("\n") == 1


def test_missing_weights_offline_are_named_with_a_remedy(rsuda, tmp_path, monkeypatch):
    """huggingface_hub reads its environment when it is imported, so the test sets its constants."""
    for proxy in ("http_proxy", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    said = rsuda(*ADAPT, "--weights", "imagenet", "--preset", "small")
    assert said.code == 2
    *notes, line = said.err
    assert line.startswith("Error: the ImageNet weights of mobilenet_v2")
    assert not notes or version("segmentation-models-pytorch") < "0.6"  # which names its second source of weights
    assert "--weights FILE" in line and "--weights none" in line
    assert not Path("run").exists()


def test_a_real_bug_keeps_its_traceback():
    script = (
        "import sys, rsuda.cli, rsuda.core.settings\n"
        "rsuda.core.settings.make_settings = lambda *a, **k: 1 / 0\n"
        "sys.argv = ['rsuda', 'adapt', '--source', 'a', '--target', 'b']\n"
        "rsuda.cli.main()"
    )
    said = python("-c", script)
    assert said.returncode == 1
    assert "Traceback" in said.stderr and said.stderr.rstrip().endswith("ZeroDivisionError: division by zero")


def test_an_error_in_a_process_that_reads_patches_is_one_sentence_too(rsuda):
    # both scenes' headers read well, the pixels of one do not
    place = Path("data/west_0_image.tif")
    write(place, np.random.default_rng(0).integers(0, 255, (3, 224, 224), np.uint8))
    place.write_bytes(place.read_bytes()[:40_000])
    said = rsuda(*ADAPT, "--workers", "1")
    assert said.code == 2
    (line,) = [e for e in said.err if e.startswith("Error")]
    assert "cannot read data/west_0_image.tif: " in line and not Path("run/weights.safetensors").exists()


# -- good input --------------------------------------------------------------------------------------------------------


def test_adapt_evaluate_and_predict_by_the_command_line(rsuda, tmp_path):
    words = [w for w in ADAPT if w not in ("--out", "run")]
    said = rsuda(*words, "--set", "method.keep_share=0.7")
    run = Path("runs/east_west_source-free")
    assert said.code == 0, said
    assert {"config.yaml", "weights.safetensors", "spec.json", "last.ckpt", "metrics.csv", "log.txt"} <= {
        p.name for p in run.iterdir()
    }
    assert settings(run / "config.yaml").method.options["keep_share"] == 0.7
    assert "mIoU" in said.out and f"rsuda predict SCENE.tif --model {run}" in said.out

    said = rsuda("evaluate", run, "--split", "train")
    assert said.code == 0 and "west, split train, 1 whole scenes" in said.out
    assert (run / "scores_west_train.json").is_file() and (run / "scores_west_val.csv").is_file()

    said = rsuda("predict", "scene.tif", "--confidence", "--format", "fgb")
    assert said.code == 0 and f"Using the newest run, {run}" in said.out
    with rasterio.open("scene_classes.tif") as file, rasterio.open("scene.tif") as scene:
        assert (file.shape, file.transform, file.crs) == (scene.shape, scene.transform, scene.crs)
        assert file.tags()["RSUDA_RUN"] == run.name and file.read(1).max() < 3
    assert gpd.read_file("scene_polygons.fgb")["area_m2"].sum() == pytest.approx(224 * 224 * 0.25)

    kept = (run / "weights.safetensors").read_bytes()
    said = rsuda(*words, "--steps", "1")  # a second run gets its own folder
    assert said.code == 0 and Path(f"{run}_2/weights.safetensors").is_file()
    assert (run / "weights.safetensors").read_bytes() == kept


def test_a_run_is_resumed_to_more_steps(rsuda):
    assert rsuda(*ADAPT, "--method", "source-only").code == 0
    one = load_run("run").model.state_dict()
    said = rsuda("adapt", "--resume", "--out", "run", "--steps", "5", "-q")
    assert said.code == 0
    assert settings("run/config.yaml").training.steps == 5 and settings("run/config.yaml").method.name == "source-only"
    said = rsuda("adapt", "--resume", "--out", "run", "--steps", "4")
    assert (
        said.code == 2 and "--steps is 4, and the checkpoint of run is at step 5: pass --steps 5 or more" in said.err[0]
    )
    assert settings("run/config.yaml").training.steps == 5
    assert any((v != one[k]).any() for k, v in load_run("run").model.state_dict().items())


def test_overwriting_a_run_removes_the_results_it_replaces(rsuda):
    Path("good/scores_west_val.json").write_text("{}")
    Path("t").mkdir()
    shutil.copy("scene.tif", "t")
    before = Path("good/weights.safetensors").read_bytes()
    said = rsuda(*ADAPT, "--out", "good", "--overwrite", "--target", "t", "--method", "source-only", "--steps", "1")
    assert said.code == 0
    assert not list(Path("good").glob("scores_*")) and Path("good/weights.safetensors").read_bytes() != before


def test_the_newest_run_is_the_one_whose_weights_were_written_last(rsuda, tmp_path):
    for name, when in {"middle": 2_000_000, "newest": 3_000_000, "oldest": 1_000_000}.items():
        shutil.copytree("good", f"runs/{name}")
        os.utime(f"runs/{name}/weights.safetensors", (when, when))
    Path("runs/unfinished").mkdir()
    said = rsuda("predict", "scene.tif", "--format", "none", "--device", "cpu")
    assert said.code == 0 and "Using the newest run, runs/newest" in said.out
    assert not Path("scene_polygons.gpkg").exists() and Path("scene_classes.tif").is_file()


def test_predictions_are_printed_as_text_or_json_or_not_and_finished_ones_are_skipped(rsuda):
    said = rsuda(*MAP, "--quiet", "--format", "none")
    assert said.code == 0 and not said.out and not said.err
    said = rsuda(*MAP, "--format", "none")
    assert said.code == 0 and "scene.tif: finished before, scene_classes.tif is kept" in said.out
    said = rsuda(*MAP, "--json", "--overwrite")
    (line,) = said.out.strip().splitlines()
    told = json.loads(line)
    assert told["raster"] == "scene_classes.tif" and not told["skipped"] and told["pixels"] == 224 * 224
    assert sum(told["area_m2"].values()) == 224 * 224 * 0.25
    said = rsuda(*MAP)
    assert said.code == 0 and "finished before" in said.out


def test_a_rectangle_of_a_scene_is_predicted(rsuda):
    with rasterio.open("scene.tif") as scene:
        left, top = scene.bounds.left, scene.bounds.top
    said = rsuda(*MAP, "--bounds", left + 10, top - 60, left + 30, top - 20, "--min-area", 5, "--tta", "flips")
    assert said.code == 0, said
    with rasterio.open("scene_classes.tif") as file:
        assert file.bounds == (left + 10, top - 60, left + 30, top - 20) and file.tags()["RSUDA_TTA"] == "flips"
    assert gpd.read_file("scene_polygons.gpkg")["area_m2"].min() >= 5


def test_bands_of_both_domains_are_logged_if_they_differ_and_small_scenes_are_padded(rsuda):
    other = {"east.yaml": "hamlet.yaml", "west.yaml": "ir.yaml"}
    words = [
        *(other.get(word, word) for word in ADAPT),
        "--method",
        "source-only",
        "--set",
        "align.band_matching=order",
    ]
    said = rsuda(*words)
    assert said.code == 0, said
    assert any("fed RGB of hamlet and IRRG of ir, band by band" in e for e in said.err)
    assert load_run("run").spec.bands == ("ir", "red", "green")
    assert "fed RGB of hamlet" in Path("run/log.txt").read_text()

    said = rsuda("predict", "data/hamlet_0_image.tif", "--model", "run", "--bands", "IRRG")
    assert said.code == 0
    with rasterio.open("data/hamlet_0_image_classes.tif") as file:
        assert file.shape == (100, 100) and (file.read(1) < 3).all()


def test_target_without_labels_is_trained_on_and_not_scored(rsuda):
    Path("t").mkdir()
    shutil.copy("scene.tif", "t")
    said = rsuda(*ADAPT, "--target", "t", "--method", "source-only")
    assert said.code == 0 and "t has no labels, so nothing was scored" in said.out
    assert "Next: rsuda predict t --model run" in said.out
    assert not list(Path("run").glob("scores_*"))


def test_notes_of_a_prediction_are_printed(rsuda):
    edited("scene.tif", transform=None, crs=None)()
    said = rsuda(*MAP, "--gsd", "0.5")
    assert said.code == 0 and "note: scene.tif has no CRS" in said.out and not said.err
