"""Words and flags that people bring from other programs, and the pages of --help."""

import re

import pytest
import yaml

from rsuda.cli import main
from rsuda.cli.habits import words_of_today


@pytest.fixture
def say(capsys, monkeypatch):
    def run(*words, columns=80):
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit) as end:
            main(list(words), "rsuda")
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return run


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("train", "use rsuda adapt; .*source-only trains without"),
        ("FIT --source a", "use rsuda adapt"),
        ("infer scene.tif", "use rsuda predict"),
        ("adapt a b --epochs 3", "no option --epochs: .*pass --steps"),
        ("adapt a b --ckpt_path x", "no option --ckpt-path: pass --start RUN .*--resume"),
        ("adapt a", "'a' is one domain: name two"),
        ("adapt a.tif b.tif --target c.tif", "'a.tif b.tif' and --target both name domains.*quote"),
        ("predict a.tif --checkpoint nowhere", "the run nowhere is missing"),
        ("predict a.tif --patch-size=33", "--window is 33; it must be a multiple of 32"),
        ("predict a.tif --tile_size 33", "--window is 33"),
        ("config a b --learning-rate -1", "^Error: --lr is -1.0; it must be at least 0$"),
        ("config a b --set optimizer.lr=-1", "setting optimizer.lr is -1; it must be at least 0$"),
        ("config a b --precision fp16", "unknown value of --precision: 'fp16': "),
        ("config a b --device gpu", "^Error: --device is 'gpu'; it must be auto, cpu, cuda, cuda:N or mps$"),
        ("config a b --method hrda --window 96", "^Error: --window is 96; .* must be a multiple of 64: try 128$"),
        ("config a b --batch-size 1", "^Error: --batch-size is 1, which leaves batch norm without"),
        ("adapt a b --band-mixing 2", "^Error: --band-mixing is '2'; it must be a number from 0 to 1, or 'auto'$"),
        ("adapt a b --logger tb", "^Error: unknown value of --logger: 'tb': known are mlflow"),
        (
            "adapt a b --start nowhere",
            "^Error: --start is nowhere, where no run is: name a folder that holds config.yaml$",
        ),
        ("adapt a b --config .", "^Error: . is a folder: name the configuration file itself$"),
        ("suggest nowhere", "^Error: the run nowhere is missing: name a run folder$"),
        ("predict a.tif --overlap 600", "^Error: --overlap is 600; it must be below the window of 512 px$"),
        ("sample-tiles tiles", "rsuda sample-tiles takes no argument, and 'tiles' is one more: .* such as --out$"),
        ("calibrate run points.gpkg", "takes RUN, and 'points.gpkg' is one more: .* such as --labels$"),
        ("methods dacs mic", r"takes \[NAME\], and 'mic' is one more: leave it out$"),
        ("adapt a b --out=", "^Error: --out is empty: pass a value, or leave it out; perhaps a variable"),
        ("predict a.tif --gsd 5kg", "--gsd is '5kg'; it must be a number of metres: write metres, such as 0.5 or 50cm"),
        ("info a.tif --gsd 0,5", "--gsd is '0,5'; it must be a number of metres: write 0.5$"),
        ("predict a.tif --window 512px", "--window is '512px'; it must be a whole number: write 512$"),
        ("predict a.tif --bounds 1 2 x 4", "--bounds is 'x'; it must be a number$"),
        ("adapt a b --steps 1k", "--steps is '1k'; it must be a whole number: write 1000$"),
        ("adapt a b --set training.steps=1,000", "training.steps is '1,000'; .*: write 1000$"),
        ("adapt a b --gsd 0,5", "--gsd is '0,5'; .*: write 0.5$"),
        ("polygonize a.tif --min-area 10m2", "--min-area is '10m2'; it must be a number: write 10$"),
        ("serve runs/a --port 99999", "--port is 99999; it must be from 1 to 65535"),
    ],
)
def test_a_habit_works_or_is_answered_by_the_right_word(say, words, says):
    code, out, err = say(*words.split())
    assert (code, out) == (2, "") and err.startswith("Error: ") and err.count("\n") == 1
    assert re.search(says, err), err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("adpat a b", "^Error: unknown command of rsuda 'adpat': did you mean 'adapt'[?] known are adapt, assess"),
        ("ADAPT a b", "did you mean 'adapt'[?]"),
        ("help adapt", "rsuda has no command 'help': use rsuda adapt --help$"),
        ("scene.tif", "scene.tif is a file or folder, and a command comes first: write rsuda info scene.tif"),
        ("--verison", "^Error: rsuda has no option --verison: did you mean --version[?]"),
        ("-q predict scene.tif", "rsuda has no option -q: options stand after a command"),
        (
            "adapt a b --metod x",
            "^Error: rsuda adapt has no option --metod: did you mean --method[?] rsuda adapt --help",
        ),
        ("adapt a b --no-out", "did you mean --out[?]"),
        ("adapt a b -x", "^Error: rsuda adapt has no option -x: rsuda adapt --help lists all$"),
        ("adapt a b --out", "^Error: --out needs a value: write --out PATH, or leave it out$"),
        ("predict scene.tif --out --overwrite", "^Error: --out needs a value before --overwrite: write --out PATH"),
        ("predict scene.tif --out -q", "^Error: --out needs a value before -q: "),
        ("predict scene.tif --bounds 1 2 3", "^Error: --bounds needs 4 values: write --bounds LEFT BOTTOM RIGHT TOP$"),
        ("adapt a b --quiet=5", "^Error: --quiet takes no value: write --quiet alone, or leave it out$"),
        ("predict", "^Error: rsuda predict needs SCENES: rasters to map: files, folders"),
        ("gap a", "^Error: rsuda gap needs TARGET: domain to adapt to"),
        ("assess map.tif", "not 1 of them: MAP POINTS$"),
    ],
)
def test_what_the_parser_refuses_is_one_sentence_with_the_right_word(say, tmp_path, monkeypatch, words, says):
    (tmp_path / "scene.tif").touch()
    monkeypatch.chdir(tmp_path)
    code, out, err = say(*words.split())
    assert (code, out) == (2, "") and err.startswith("Error: ") and err.count("\n") == 1, err
    assert re.search(says, err), err
    assert [file.name for file in tmp_path.iterdir()] == ["scene.tif"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["adapt", "a", "b", "--out", "", "--overwrite"], "--out is empty: "),
        (["predict", "a.tif", "--model", ""], "--model is empty: "),
        (["predict", "", "--model", "run"], "an argument of rsuda predict is empty; "),
    ],
)
def test_an_empty_word_of_an_unset_variable_is_no_path(say, words, says):
    code, out, err = say(*words)
    assert (code, out) == (2, "") and says in err and err.count("\n") == 1


def test_other_names_of_a_flag_are_read_where_the_command_has_it_and_before_a_lone_dash():
    flags = {"--window", "--out"}
    words = ["--crop=64", "--output", "x", "--lr", "1", "--", "--crop"]
    assert words_of_today(words, flags) == ["--window=64", "--out", "x", "--lr", "1", "--", "--crop"]
    assert words_of_today(["--output", "logits"], {"--output", "--out"}) == ["--output", "logits"]


def test_settings_of_alignment_and_splits_have_flags(say):
    words = "config a b --source-split all --target-split test --lr 1e-3 --encoder resnet18 --threads 2 --gsd 0.5"
    align = "--standardise domain --band-matching name --band-mixing 0.3 --target-statistics false --colours match"
    code, out, err = say(*words.split(), *align.split(), "--backbone", "resnet34")
    settings = yaml.safe_load(out)
    assert code == 0, err
    assert (settings["source"]["name"], settings["target"]["name"]) == ("a", "b")
    assert (settings["source"]["split"], settings["target"]["split"]) == ("all", "test")
    assert (settings["optimizer"]["lr"], settings["network"]["encoder"]) == (0.001, "resnet34")
    assert settings["training"]["threads"] == 2
    expected = {"standardise": "domain", "band_matching": "name", "band_mixing": 0.3, "target_statistics": False}
    assert {"gsd": 0.5, "colours": "match", **expected}.items() <= settings["align"].items()


@pytest.mark.parametrize("columns", [80, 120])
def test_help_has_whole_sentences_within_the_terminal(say, columns):
    for flag in ("-h", "--help"):
        code, out, _ = say(flag, columns=columns)
        assert code == 0 and "..." not in out.partition("Commands:")[2]
        assert max(map(len, out.splitlines())) <= columns


def test_help_of_adapt_begins_with_the_common_options_and_ends_with_those_of_several_machines(say):
    code, out, _ = say("adapt", "-h")
    headings = re.findall(r"^(\w.*):$", out, re.M)
    assert code == 0 and headings[:2] == ["Arguments", "Options"] and headings[-1] == "Several devices or machines"
    common = re.findall(r"--([a-z-]+)", out.partition("\nOptions:")[2].partition("\nDomains:")[0])
    assert [name for name in common if name != "source"][:5] == ["target", "data", "method", "steps", "out"]
    assert max(map(len, out.splitlines())) <= 80


def test_a_home_folder_after_an_equals_sign_is_expanded_as_a_shell_does_after_a_space(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("USERPROFILE", "/home/me")
    words = words_of_today(["a.tif", "--output=~/maps", "--gsd=2"], {"--out", "--gsd"})
    assert words == ["a.tif", "--out=/home/me/maps", "--gsd=2"]


def test_numbers_are_read_with_units_and_exponents(say):
    code, out, _ = say("config", "a", "b", "--steps", "1e3", "--gsd", "25 cm", "--lr", "1e-4")
    settings = yaml.safe_load(out)
    assert code == 0 and settings["training"]["steps"] == 1000
    assert (settings["align"]["gsd"], settings["optimizer"]["lr"]) == (0.25, 1e-4)


def test_file_that_looks_like_an_option_is_named(say, tmp_path, monkeypatch):
    (tmp_path / "-dash.tif").touch()
    monkeypatch.chdir(tmp_path)
    code, _, err = say("predict", "-dash.tif")
    assert code == 2 and "-dash.tif is read as an option: write ./-dash.tif" in err
