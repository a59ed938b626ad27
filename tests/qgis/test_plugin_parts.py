"""The parts of the QGIS plugin that need no QGIS: command line, environment, child process, lines, page."""

import ast
import configparser
import os
import sys
import time
from pathlib import Path

import pytest
from rsuda_qgis.child import run_command
from rsuda_qgis.command import STORED, CommandMissingError, command_environment, find_command
from rsuda_qgis.facts_page import facts_page
from rsuda_qgis.lines import error_sentence, percent, read_answer
from rsuda_qgis.words import command_words, shell_line, with_labels

from rsuda.core.settings import preset_names
from rsuda.methods import METHODS
from rsuda.qgis.install import plugin_folder

FILES = sorted(plugin_folder().rglob("*.py"))
assert len(FILES) >= 20


def constant(file, name):
    """The value of a constant in a module that cannot be imported without QGIS."""
    tree = ast.parse((plugin_folder() / file).read_text())
    [value] = [node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == name]
    return ast.literal_eval(value)


def test_words_have_arguments_then_flags_and_leave_empty_values_out():
    pairs = [("--min-area", 2.5), ("", "a map.tif"), ("--bounds", None), ("--confidence", True), ("--stac", False)]
    pairs += [("--regularise", ["roof", "road"]), ("--nodata", -9999.0), ("--crs", ""), ("", "points.gpkg")]
    words = command_words("predict", pairs, "--co 'A=b c'")
    assert words == [
        *("predict", "a map.tif", "points.gpkg", "--min-area", "2.5", "--confidence"),
        *("--regularise", "roof", "--regularise", "road", "--nodata", "-9999", "--co", "A=b c", "--json"),
    ]
    assert command_words("predict", [("--bounds", (1.5, 2.0, 3.0, 600000.25))], as_json=False) == [
        *("predict", "--bounds", "1.5", "2", "3", "600000.25"),
    ]
    assert shell_line(["rsuda", "predict", "a map.tif"]) in ("rsuda predict 'a map.tif'", 'rsuda predict "a map.tif"')
    with pytest.raises(ValueError, match="quotation"):
        command_words("predict", [], "--out 'open")


@pytest.mark.skipif(sys.platform == "win32", reason="makes executable scripts of a shell")
def test_command_comes_from_the_setting_the_installation_path_or_this_environment(tmp_path):
    def executable(*parts):
        file = tmp_path.joinpath(*parts)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("#!/bin/sh\n")
        file.chmod(0o755)
        return str(file)

    on_path, in_environment, python = (
        executable(*p) for p in (("a", "rsuda"), ("e", "bin", "rsuda"), ("b", "python3"))
    )
    plugin, environ = tmp_path / "plugin", {"PATH": str(tmp_path / "a")}
    plugin.mkdir()
    nothing = {"PATH": str(tmp_path / "empty")}
    assert find_command("", plugin, nothing, str(tmp_path / "e")) == [in_environment]
    assert find_command("", plugin, environ, str(tmp_path / "e")) == [on_path]
    (plugin / STORED).write_text(f"{python}\n")
    assert find_command("", plugin, environ, "") == [python, "-P", "-m", "rsuda"]
    assert find_command(str(tmp_path / "e"), plugin, environ, "") == [in_environment]
    for setting in (str(tmp_path / "missing"), str(tmp_path)):
        with pytest.raises(CommandMissingError, match=r"no command: name it under Settings > Options"):
            find_command(setting, plugin, environ, "")
    (plugin / STORED).write_text("/moved/away/python\n")
    with pytest.raises(CommandMissingError, match="not found on PATH: name it under"):
        find_command("", plugin, nothing, str(tmp_path))


def test_environment_is_that_of_the_command_and_not_of_qgis():
    qgis = {"PYTHONHOME": "/qgis", "PYTHONPATH": "/qgis/python", "PROJ_LIB": "/qgis/proj", "GDAL_DATA": "/qgis/gdal"}
    variables = command_environment(
        ["/env/bin/rsuda"], {**qgis, "PATH": "/usr/bin", "AWS_PROFILE": "mine"}, windows=False
    )
    assert variables["PATH"] == "/env/bin:/usr/bin" and variables["AWS_PROFILE"] == "mine"
    conda = command_environment([r"C:\envs\rsuda\Scripts\rsuda.exe"], {"Path": r"C:\QGIS\bin"}, windows=True)
    assert conda["Path"] == r"C:\envs\rsuda;C:\envs\rsuda\Library\bin;C:\envs\rsuda\Scripts;C:\QGIS\bin"
    assert not set(qgis) & set(variables) and variables["RSUDA_PROGRESS"] == "lines"


def test_lines_tell_progress_and_the_error():
    assert [percent(line) for line in ("progress: 7 %", "step 3 of 12, 2 min left", "note: x", "progress: x %")] == [
        *(7.0, 25.0, None, None),
    ]
    assert error_sentence(2, ["note: a", "Error: map.tif is missing:", "  name another"]) == (
        "map.tif is missing: name another"
    )
    assert "exit code 1, which is a fault of rsuda: ValueError: x" in error_sentence(1, ["Traceback", "ValueError: x"])
    assert "signal 9, perhaps for want of memory" in error_sentence(-9, [])
    assert read_answer('warning\n{"a": 1}\n') == {"a": 1} and read_answer("[\n 1\n]") == [1]
    assert with_labels("pass --out or --output-x", {"--out": "Folder"}) == "pass 'Folder' (--out) or --output-x"


def test_page_of_facts_has_warnings_first_and_no_markup_of_the_file():
    facts = {
        "file": "<b>.tif",
        "crs": None,
        "warnings": ["no <CRS>"],
        "odd": ["no <CRS>"],
        "bands": [{"name": "red"}, {"max": 2.0}],
    }
    facts["suitability"] = {"verdict": "doubtful", "reasons": ["bands < 3"]}
    page = facts_page(facts)
    verdict = "<p><b>Model and raster: doubtful</b> (bands &lt; 3)"
    assert f"<h2>&lt;b&gt;.tif</h2>{verdict}<p class='warning'>no &lt;CRS&gt;</p>" in page and page.count("CRS") == 1
    assert "<tr><th>name</th><th>max</th></tr><tr><td>red</td><td></td></tr><tr><td></td><td>2</td></tr>" in page


CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True, file=sys.stderr)
print("progress: 5 %\\rprogress: 6 %", flush=True, file=sys.stderr)
time.sleep(float(sys.argv[1]))
child.kill()
print("{}")
sys.exit(3)
"""


def test_child_passes_lines_on_and_gives_its_code():
    lines = []
    finished = run_command([sys.executable, "-c", CHILD, "0"], os.environ, ".", lines.append, lambda: False)
    assert (finished.code, finished.out.strip()) == (3, "{}")
    assert lines[1:] == ["progress: 5 %", "progress: 6 %"] and finished.lines == tuple(lines)


@pytest.mark.skipif(sys.platform == "win32", reason="a process is looked up by its id")
def test_cancelled_child_ends_with_its_children():
    lines, began = [], time.monotonic()
    finished = run_command(
        [sys.executable, "-c", CHILD, "60"], os.environ, ".", lines.append, lambda: "progress: 6 %" in lines
    )
    assert finished.code is None and time.monotonic() - began < 10
    for _ in range(50):
        try:
            state = Path(f"/proc/{lines[0]}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            break
        if state == "Z":  # ended; nobody has waited for it
            break
        time.sleep(0.1)
    else:
        pytest.fail("the child's child still runs")


def test_plugin_is_python_of_older_qgis_and_imports_no_rsuda():
    for file in FILES:
        tree = ast.parse(file.read_text(), feature_version=(3, 9))
        names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        roots = {name.partition(".")[0] for name in names}
        assert roots <= {"qgis", "processing", "rsuda_qgis"} | set(sys.stdlib_module_names), f"{file}: {roots}"
        assert "from __future__ import annotations" in file.read_text(), file


def test_choices_are_those_of_the_commands():
    from rsuda.accuracy.allocation import ALLOCATIONS
    from rsuda.core.vector_formats import FORMATS

    assert sorted(constant("algorithms/adapt.py", "METHODS")) == sorted(METHODS)
    assert sorted(constant("algorithms/adapt.py", "PRESETS")) == sorted(preset_names())
    assert set(constant("algorithms/predict.py", "FORMATS")) == {*FORMATS, "none"}
    assert set(constant("algorithms/sample.py", "ALLOCATIONS")) == set(ALLOCATIONS)


def test_metadata_have_what_qgis_requires():
    metadata = configparser.ConfigParser()
    metadata.read(plugin_folder() / "metadata.txt")
    general = metadata["general"]
    required = ("name", "description", "about", "version", "author", "email", "repository", "tracker", "homepage")
    assert all(general.get(name) for name in required)
    assert general["qgisMinimumVersion"] == "3.22" and general["hasProcessingProvider"] == "yes"
    assert (plugin_folder() / general["icon"]).is_file()
