"""Messages name an option as their reader types it: flags on the command line, keywords in Python."""

import ast
import doctest
import inspect
import re
from pathlib import Path

import pytest

import rsuda
from rsuda.core import spelling
from rsuda.core.spelling import as_flags, spell, spell_command

PACKAGE = Path(rsuda.__file__).parent
SOURCES = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if "cli" not in path.relative_to(PACKAGE).parts and path.name != "spelling.py"
)
FLAG = re.compile(r"(^|[\s'(])--[a-z]")
DESCRIPTIONS = {"Field", "option"}  # help of the command line


def messages(source):
    """The texts of a source with their lines, without docstrings and the help of options."""
    tree = ast.parse(source)
    bodies = (node.body for node in ast.walk(tree) if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)))
    skipped = {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) in DESCRIPTIONS:
            skipped |= {id(part) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.lineno, node.value


def flags_in(source):
    return [f"line {line}: {text}" for line, text in messages(source) if " " in text and FLAG.search(text)]


def keywords():
    """The keywords of all public functions."""
    functions = [getattr(rsuda, name) for name in rsuda.__all__ if inspect.isfunction(getattr(rsuda, name))]
    return {name for function in functions for name in inspect.signature(function).parameters}


def test_no_message_that_python_shows_names_a_flag():
    assert len(SOURCES) > 100
    problems = {path.name: found for path in SOURCES if (found := flags_in(path.read_text()))}
    assert not problems, f"name options by rsuda.core.spelling.spell: {problems}"


def test_the_check_sees_flags_and_nothing_else():
    source = 'def f(x):\n    """Pass --out."""\n    raise E(f"{x} exists: pass --out or {x}", "--out", Field("with --a b"))\n'
    assert flags_in(source) == ["line 3:  exists: pass --out or "]


def test_spelled_options_are_keywords():
    names = [
        (path.name, match[1])
        for path in SOURCES
        for match in re.finditer(r"\bspell\(\s*[\"']([a-z_]+)[\"']", path.read_text())
    ]
    assert len(names) > 60
    assert not [name for name in names if name[1] not in keywords()]


def test_options_and_commands_are_spelled_for_their_reader():
    assert doctest.testmod(spelling).failed == 0
    assert spell("labels", "masks/*") == "labels='masks/*'" and spell("crs") == "`crs`"
    with as_flags():
        assert spell("labels", "masks/*") == "--labels 'masks/*'" and spell("polygons", "gpkg") == "--format gpkg"
        assert (
            spell("min_area") == "--min-area" and spell("method.disentangle", False) == "--set method.disentangle=false"
        )
        assert spell_command("info", Path("my city.yaml"), data="DIR") == "rsuda info 'my city.yaml' --data DIR"
    assert spell_command("info", Path("my city.yaml"), data="DIR") == "rsuda.info('my city.yaml', data=DIR)"


def test_the_command_line_names_flags_and_python_keywords(tmp_path, monkeypatch, capsys):
    from rsuda.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiles").mkdir()
    (tmp_path / "tiles/a.txt").touch()
    with pytest.raises(rsuda.ExistsError, match="choose another `out`"):
        rsuda.sample_tiles("tiles")
    with pytest.raises(SystemExit):
        main(["sample-tiles", "--out", "tiles"])
    assert "choose another --out" in capsys.readouterr().err
    with pytest.raises(rsuda.ExistsError, match="choose another `out`"):
        rsuda.sample_tiles("tiles")
