"""rsuda config: the settings of a run that would be, their schema, and the help of the flags."""

import json
import re

import pytest
import typer.main
import yaml
from short_settings import settings

from rsuda.cli import app, main
from rsuda.core.settings import description
from rsuda.methods import METHODS, find_method
from rsuda.runs.resolve import KEYWORDS
from rsuda.training.build import check_run


def run(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main(["config", "--source", "a.yaml", "--target", "b.yaml", *words])
    return end.value.code or 0, *capsys.readouterr()


def test_config_prints_what_adapt_would_resolve(capsys, tmp_path):
    words = ["--method", "mic", "--preset", "sample", "--steps", "7", "--window", "96"]
    changes = ["--set", "optimizer.lr=1e-3", "--set", "align.standardise=domain", "--set", "method.keep_share=0.3"]
    code, out, _ = run(capsys, *words, *changes, "--set", "patches.scale=[0.5, 2]")
    (tmp_path / "config.yaml").write_text(out)
    printed = settings(tmp_path / "config.yaml")
    assert code == 0 and out.startswith("# rsuda ")
    assert (printed.training.steps, printed.patches.window, printed.optimizer.lr) == (7, 96, 0.001)
    assert (printed.align.standardise, printed.patches.scale) == ("domain", (0.5, 2.0))
    assert printed.method.options["keep_share"] == 0.3
    assert set(printed.method.options) == set(find_method("mic").Options.model_fields)
    assert check_run(printed)[0] == printed


def test_the_older_name_of_the_window_is_read(capsys):
    assert yaml.safe_load(run(capsys, "--crop", "96", "--method", "source-only")[1])["patches"]["window"] == 96


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("lr=1e-3", "unknown setting 'lr': did you mean 'optimizer.lr'"),
        ("keep_share=0.3", "did you mean 'method.keep_share'"),
        ("method.keep=0.3", "did you mean 'method.keep_share'"),
        ("method.keep_share=3", "keep_share is 3; it must be at most 1"),
        ("training.steps=0", "training.steps is 0; it must be at least 1"),
        ("trainng.steps=3", "did you mean 'training.steps'"),
        ("align.colours=red", "align.colours: 'red': .*known are match, none"),
        ("optimizer.lr", "a setting is NAME=VALUE"),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_exit_code_2(capsys, change, says):
    code, out, err = run(capsys, "--method", "dacs", "--set", change)
    assert (code, out) == (2, "") and err.startswith("Error: ") and err.count("\n") == 1
    assert re.search(says, err), err


@pytest.mark.parametrize("method", METHODS)
def test_the_schema_has_the_options_of_the_method(capsys, method):
    code, out, _ = run(capsys, "--schema", "--method", method)
    sections = json.loads(out)["$defs"]
    assert code == 0
    assert set(sections["MethodSettings"]["properties"]) == {"name", *find_method(method).Options.model_fields}
    assert sections["TrainingSettings"]["properties"]["steps"]["minimum"] == 1


def test_a_witness_is_an_option_of_the_methods_that_ask_one(capsys):
    code, out, _ = run(capsys, "--witness", "resnet18")
    assert code == 0 and yaml.safe_load(out)["method"]["witness"] == "resnet18"
    code, out, err = run(capsys, "--witness", "resnet18", "--method", "source-only")
    assert (code, out) == (2, "") and "--witness is not an option of method source-only" in err


def test_flags_have_the_descriptions_of_their_settings():
    commands = typer.main.get_command(app).commands
    names = {"source": "source.name", "target": "target.name", **KEYWORDS}
    for command in ("adapt", "config"):
        helps = {option.name: option.help for option in commands[command].params if option.name in names}
        assert helps == {name: description(path) for name, path in names.items()}
