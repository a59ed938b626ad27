"""Test the completion in bash, and the plugin of rasterio's command line."""

import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import rasterio.rio.main
from click.testing import CliRunner
from processor_time import children_seconds

from rsuda.cli import completion, main
from rsuda.core.settings import preset_names
from rsuda.core.vector_formats import FORMATS
from rsuda.data.domain_files.domain_file import KNOWN
from rsuda.methods import METHODS

ROOT = Path(__file__).parents[2]


def environment(line):
    """Return the variables that bash sets to complete the last word of a command line."""
    words = line.split(" ")
    return {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1), "_RSUDA_COMPLETE": "complete_bash"}


def complete_in_bash(line):
    """Run the completion in a process, as bash does."""
    code = "from rsuda.cli import main; main(name='rsuda')"
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment(line)}
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=ROOT, timeout=60
    )
    return process.stdout.split()


@pytest.fixture
def complete(monkeypatch, capsys):
    """Return a function that runs the completion in this process."""

    def call(line):
        for name, value in environment(line).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit):
            main([], name="rsuda")
        return capsys.readouterr().out.split()

    return call


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("rsuda adapt --method ", set(METHODS)),
        ("rsuda adapt --method da", {name for name in METHODS if name.startswith("da")}),
        ("rsuda adapt --preset mit", {"mit-b0", "mit-b5"}),
        ("rsuda adapt --source ", set(KNOWN)),
        ("rsuda adapt --target lo", {"loveda-rural", "loveda-urban"}),
        ("rsuda predict --format g", {name for name in FORMATS if name.startswith("g")}),
        ("rsuda methods st", {name for name in METHODS if name.startswith("st")}),
        ("rsuda domains pots", {"potsdam"}),
        ("rsuda inf", {"info"}),
        ("rsuda adapt --pre", {"--preset", "--precision"}),
    ],
)
def test_values_are_offered(complete, line, offered):
    assert set(complete(line)) == offered


def test_runs_are_offered(complete, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("runs/east_west", "runs/other", "runs/table/pair/row/0"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.yaml").touch()
    (tmp_path / "runs" / "empty").mkdir()
    offered = {"runs/east_west", "runs/other", "runs/table/pair/row/0"}
    assert set(complete("rsuda predict x.tif --model ")) == offered
    assert complete("rsuda info x.tif --model runs/o") == ["runs/other"]
    assert set(complete("rsuda evaluate ")) == offered


def test_completions_are_the_known_names():
    assert set(completion.methods("")) == set(METHODS) and set(completion.presets("")) == set(preset_names())
    assert set(completion.domains("")) == set(KNOWN) and set(completion.formats("")) == {*FORMATS, "none"}


def test_completion_loads_nothing_heavy_and_is_quick():
    code = (
        "import sys\nfrom rsuda.cli import completion, main\n"
        "[f('') for f in (completion.methods, completion.presets, completion.domains, completion.runs, completion.formats)]\n"
        "print({'torch', 'rasterio', 'numpy', 'geopandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"
    before = children_seconds()
    offered = complete_in_bash("rsuda adapt --method d")
    after = children_seconds()
    assert set(offered) == {"dacs", "daformer"}
    assert after - before < 0.5


def test_completion_is_installed_for_bash(tmp_path):
    env = {**os.environ, "HOME": str(tmp_path), "SHELL": "/bin/bash", "PYTHONPATH": str(ROOT)}
    env["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"
    code = "from rsuda.cli import main; main(['--install-completion', 'bash'], 'rsuda')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == 0, done.stderr
    text = "\n".join(f.read_text() for f in tmp_path.rglob("*") if f.is_file())
    assert "_RSUDA_COMPLETE=complete_bash" in text and "complete -o default -F" in text


# -- rio ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def rio():
    """The group ``rio`` with the command that the entry point names."""
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["rasterio.rio_plugins"]
    module, _, name = points["rsuda"].partition(":")
    group = rasterio.rio.main.main_group
    before = group.commands.get("rsuda")
    group.add_command(getattr(importlib.import_module(module), name), "rsuda")
    yield lambda *words: CliRunner().invoke(group, ["rsuda", *map(str, words)])
    group.commands.pop("rsuda")
    if before is not None:
        group.add_command(before)


def test_rio_runs_the_commands(rio):
    scene = ROOT / "sample_tiles" / "vaihingen" / "top" / "top_mosaic_09cm_area2.tif"
    said = rio("info", scene, "--json")
    assert said.exit_code == 0 and '"driver": "GTiff"' in said.output
    said = rio("--help")
    assert said.exit_code == 0 and "rio rsuda" in said.output and "predict" in said.output
    said = rio("predict", "--help")
    assert said.exit_code == 0 and "--probabilities" in said.output


def test_rio_gives_bad_input_one_sentence_and_exit_code_2(rio):
    said = rio("predict", "none.tif", "--model", "nowhere")
    assert said.exit_code == 2 and "Error: the run nowhere is missing" in said.output + said.stderr


def test_every_option_of_a_map_is_an_option_of_predict():
    import typer.main

    from rsuda.cli import app
    from rsuda.core.map_options import MapOptions

    command = typer.main.get_command(app).commands["predict"]
    options = {parameter.name: parameter for parameter in command.params}
    own = {"scenes", "model", "quiet", "as_json"}
    assert set(options) == {*MapOptions.model_fields, *own}
    for name, field in MapOptions.model_fields.items():
        assert options[name].help == field.description and options[name].default in (field.default, None)
