"""Test methods that are in files and packages outside the repository."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from external_method import write_example
from method_runs import AS_SOURCE_ONLY, SMALL, built, run_settings
from process_tasks import python
from short_settings import settings
from typer.testing import CliRunner

import rsuda
from rsuda.benchmark.plan import read_plan
from rsuda.cli.app import app
from rsuda.core.errors import InputError, MissingError
from rsuda.methods import METHODS, described, find_method, options_of, presets_of
from rsuda.runs.weights import load_run, saved_settings
from rsuda.training.train import train

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def method(tmp_path_factory):
    return write_example(tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="module")
def run(method, two_cities, tmp_path_factory):
    """A finished run of the method in a file."""
    folder = tmp_path_factory.mktemp("external") / "run"
    train(run_settings(two_cities, method, steps=3), folder, quiet=True)
    return folder


def test_the_example_passes_the_linter_as_printed(method):
    file = method.rpartition(":")[0]
    for words in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *words, "--config", str(ROOT / "pyproject.toml"), "--no-cache", file]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_method_in_a_file_has_options_presets_and_a_description(method):
    cls = find_method(method)
    assert find_method(method) is cls and cls.__name__ == "LowEntropy" and method not in METHODS
    assert options_of(method, {"entropy_weight": 0.5}).entropy_weight == 0.5
    assert presets_of(method)["sample"]["method"] == {"entropy_weight": 0.02}
    assert described(method)["options"]["entropy_weight"] == (0.001, "lambda (paper 0.001)")
    with pytest.raises(InputError, match="option entropy_weight is -1; it must be at least 0"):
        options_of(method, {"entropy_weight": -1})
    assert "LowEntropy: after Vu et al." in CliRunner().invoke(app, ["methods", method]).output


def test_its_weight_at_zero_is_source_only_to_the_last_bit(method, two_cities, source_only_weights, tmp_path):
    network, _, _ = built(two_cities, method)
    assert network.model.kind == "plain" and network.options.entropy_weight == 0.001
    train(
        run_settings(two_cities, method, options=find_method(method).off, **AS_SOURCE_ONLY),
        tmp_path / "off",
        quiet=True,
    )
    off = load_run(tmp_path / "off").model.state_dict()
    assert all(torch.equal(off[k], values) for k, values in source_only_weights.items())


def test_its_run_resumes_from_another_folder(method, two_cities, run, tmp_path, monkeypatch):
    monkeypatch.chdir(Path(method).parent)
    relative = os.path.basename(method)
    train(run_settings(two_cities, relative, steps=2), tmp_path / "run", quiet=True)
    monkeypatch.chdir(tmp_path)
    assert saved_settings(tmp_path / "run").method.name == method
    train(settings(tmp_path / "run" / "config.yaml", steps=3), tmp_path / "run", resume=True, quiet=True)
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"] == 3
    assert load_run(tmp_path / "run").method == method


def test_its_run_predicts_scores_and_is_described_without_its_file(run, two_cities, tmp_path, method, monkeypatch):
    scene = two_cities / "west_1_image.tif"
    (predicted,) = rsuda.predict(scene, run, tmp_path / "maps", device="cpu", precision="fp32")
    assert predicted.files and all(file.is_file() for file in predicted.files.values())
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("weights.safetensors", "spec.json"):
        (moved / name).write_bytes((run / name).read_bytes())
    about = json.loads((moved / "spec.json").read_text())
    assert about["network"] == "plain"
    image = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype(np.float32))
    with torch.inference_mode():
        assert torch.equal(load_run(moved).model(image), load_run(run).model(image))


def test_its_run_is_reported(run, tmp_path):
    from rsuda.report.report import report

    report([run], out=tmp_path / "report.html", device="cpu", precision="fp32")
    assert "LowEntropy" in (tmp_path / "report.html").read_text()


COMMANDS = {
    "predict": "predict {data}/west_1_image.tif --model {run} --out {out}/maps --device cpu",
    "evaluate": "evaluate {run} --device cpu",
    "info of the run": "info {run}",
    "info of a scene": "info {data}/west_1_image.tif --model {run}",
    "export": "export {run} --out {out}/model.onnx",
    "suggest": "suggest {run} --size 64 --out {out}/windows.gpkg --device cpu",
    "report": "report {run} --out {out}/report.html --device cpu",
}


@pytest.fixture
def trap(run, tmp_path):
    """A finished run whose config.yaml names a method file that leaves a trace when its code runs. Returns (run, trace)."""
    trace, file = tmp_path / "trace", tmp_path / "trap.py"
    file.write_text(f"from pathlib import Path\n\nPath({str(trace)!r}).touch()\nraise RuntimeError\n")
    folder = shutil.copytree(run, tmp_path / "run")
    fields = yaml.safe_load((folder / "config.yaml").read_text())
    fields["method"]["name"] = f"{file}:Trap"
    (folder / "config.yaml").write_text(yaml.safe_dump(fields))
    return folder, trace


# an export takes half a minute, the others seconds
SPEEDS = [pytest.param(name, marks=pytest.mark.slow if name == "export" else ()) for name in COMMANDS]


@pytest.mark.parametrize("command", SPEEDS)
@pytest.mark.parametrize("file", ["present", "missing"])
def test_using_a_finished_run_never_runs_its_method_file(trap, two_cities, tmp_path, command, file):
    """SECURITY.md promises it."""
    folder, trace = trap
    if file == "missing":
        (tmp_path / "trap.py").unlink()
    words = COMMANDS[command].format(run=folder, data=two_cities, out=tmp_path / "out").split()
    (tmp_path / "out").mkdir()
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, (done.output, done.exception)
    assert not trace.exists()


def test_resuming_a_run_runs_its_method_file(trap):
    """SECURITY.md warns of it."""
    folder, trace = trap
    done = CliRunner().invoke(app, ["adapt", "--out", str(folder), "--resume"])
    assert isinstance(done.exception, InputError) and "trap.py cannot be imported: RuntimeError" in str(done.exception)
    assert trace.exists()


def test_a_benchmark_takes_it(method, two_cities, tmp_path):
    plan = {
        "settings": {**SMALL, "data": str(two_cities)},
        "pairs": {"east to west": {"source": f"{two_cities}/east.yaml", "target": f"{two_cities}/west.yaml"}},
        "methods": {"source-only": {}, "mine": {"method": method}},
    }
    (tmp_path / "plan.yaml").write_text(json.dumps(plan))
    jobs = read_plan(tmp_path / "plan.yaml", tmp_path / "out").jobs
    assert {job.settings.method.name for job in jobs} == {"source-only", method}
    train(next(job.settings for job in jobs if job.settings.method.name == method), tmp_path / "run", quiet=True)


@pytest.mark.slow
def test_two_processes_train_it(method, two_cities, tmp_path):
    words = ["--source", two_cities / "east.yaml", "--target", two_cities / "west.yaml", "--data", two_cities]
    words += ["--method", method, "--preset", "sample", "--steps", 2, "--workers", 0, "--device", "cpu", "--devices", 2]
    python("-m", "rsuda.cli", "adapt", *words, "--out", tmp_path / "run")
    assert load_run(tmp_path / "run").method == method


def test_an_entry_point_is_a_method_by_name(tmp_path, monkeypatch):
    package = tmp_path / "entropy_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    write_example(package)
    info = tmp_path / "entropy_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: entropy-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[rsuda.methods]\nown-entropy = entropy_package.low_entropy:LowEntropy\nbroken = entropy_package.nothing:X\n"
        "dacs = entropy_package.low_entropy:LowEntropy\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "own-entropy" in METHODS and METHODS["own-entropy"].__name__ == "LowEntropy"
    assert presets_of("own-entropy")["sample"]["method"] == {"entropy_weight": 0.02}
    assert METHODS["dacs"].__module__ == "rsuda.methods.dacs"  # a package cannot replace rsuda's own
    with pytest.raises(
        InputError, match=r"method broken of entropy_package.nothing:X cannot be imported: ModuleNotFound"
    ):
        find_method("broken")


def test_what_is_no_method_is_refused_in_one_sentence(method, tmp_path):
    file = method.rpartition(":")[0]
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "other.py").write_text("class NoMethod:\n    pass\n\n\nNUMBER = 3\n")
    for name, error, message in (
        (f"{tmp_path}/missing.py:X", MissingError, "missing.py.* is missing: pass FILE.py:CLASS"),
        (f"{file}:LowEntrop", InputError, "unknown class in .* 'LowEntrop': did you mean 'LowEntropy'"),
        (f"{tmp_path}/other.py:NoMethod", InputError, "must be a subclass of rsuda.methods.base.Method"),
        (f"{tmp_path}/other.py:NUMBER", InputError, "must be a subclass of rsuda.methods.base.Method"),
        (f"{tmp_path}/broken.py:X", InputError, "broken.py cannot be imported: ModuleNotFoundError"),
        ("dac", InputError, "unknown method 'dac': did you mean 'dacs'"),
        ("mine.py", InputError, r"method mine\.py is a file alone: add the name of its class, mine\.py:CLASS"),
    ):
        with pytest.raises(error, match=message) as caught:
            find_method(name)
        assert "\n" not in str(caught.value)
