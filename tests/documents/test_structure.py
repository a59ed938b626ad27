"""Check the source for rules that the import contracts in pyproject.toml leave open."""

import ast
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "rsuda"
FILES = sorted(PACKAGE.rglob("*.py"))
LIGHT = {"typer", "rich", "click"}
COMMANDS = sorted((PACKAGE / "cli").glob("*.py"))
assert len(COMMANDS) >= 15
assert len(FILES) >= 100


def name_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imported(tree):
    """Modules that these statements import, also inside functions."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written out from rsuda on"
            names.add(node.module)
    return names


def test_every_folder_has_a_row_in_the_contract():
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    rows = {name.strip() for row in contract["layers"] for name in row.split("|")}
    folders = {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    modules = {p.stem for p in PACKAGE.glob("*.py") if p.stem not in ("__init__", "__main__")}
    assert len(folders) >= 15 and modules == {"api"}
    assert rows == folders | modules


def test_every_paper_has_a_row_in_the_table_of_methods_and_presets():
    from rsuda.methods import METHODS

    stems = {method.__module__.rpartition(".")[2] for method in METHODS.values()}
    files = {path.stem for path in (PACKAGE / "methods").glob("*.py")} - {"__init__", "base", "old_options", "options"}
    assert len(files) >= 9
    assert files <= stems, f"rsuda/methods/__init__.py lacks a row for {files - stems}"
    assert all((PACKAGE / "methods" / f"{stem}.yaml").is_file() for stem in files)


def test_only_the_grid_uses_affine_transforms():
    for path in FILES:
        tree = ast.parse(path.read_text())
        words = {getattr(n, key, None) or "" for n in ast.walk(tree) for key in ("id", "attr", "module")}
        words |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names}
        hits = {w for w in words if "affine" in w.lower() or w in ("rasterio.transform", "from_origin", "from_bounds")}
        assert bool(hits) == (name_of(path) == "geo.grids.grid"), f"{path}: {hits}"


@pytest.mark.parametrize("path", COMMANDS, ids=name_of)
def test_command_line_imports_nothing_heavy_before_a_command_runs(path):
    """Completion and help need a quarter of a second; torch alone needs several."""
    top = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.Import | ast.ImportFrom)]
    names = imported(ast.Module(top, []))
    of_rsuda = {n for n in names if n.partition(".")[0] == "rsuda"}
    assert all(n.startswith(("rsuda.core", "rsuda.cli")) for n in of_rsuda)
    assert {n.partition(".")[0] for n in names - of_rsuda} <= set(sys.stdlib_module_names) | LIGHT


def test_no_file_is_a_drawer_of_unrelated_things():
    folders = ("rsuda", "tests", "configs", "benchmarks", "notebooks", "docs")
    stems = {p.stem.lower() for folder in folders for p in (ROOT / folder).rglob("*")}
    assert len(stems) > 100
    assert not stems & {"utils", "util", "common", "helpers", "helper", "misc"}


def test_files_of_the_package_have_at_most_350_lines():
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in FILES}
    assert not {name: length for name, length in lengths.items() if length > 350}
