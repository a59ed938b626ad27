"""Check on the source itself what the import contracts in pyproject.toml leave open."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "rsuda"
FILES = sorted(PACKAGE.rglob("*.py"))
LIGHT = {"typer", "rich", "click"}


def name_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imported(tree):
    """Modules that are imported in these statements, those inside functions too."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written out from rsuda on"
            names.add(node.module)
    return names


def test_all_folders_stand_in_a_row_of_the_contract():
    from tomllib import loads

    contract = loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    rows = {name.strip() for row in contract["layers"] for name in row.split("|")}
    folders = {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    modules = {p.stem for p in PACKAGE.glob("*.py") if p.stem != "__init__"}
    assert len(folders) >= 15 and modules == {"api"}
    assert rows == folders | modules


def test_papers_are_those_of_the_contract():
    from tomllib import loads

    contracts = loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (papers,) = (c["modules"] for c in contracts if c["type"] == "independence")
    files = {f"rsuda.methods.{p.stem}" for p in (PACKAGE / "methods").glob("*.py")}
    assert len(papers) >= 9 and set(papers) == files - {
        f"rsuda.methods.{n}" for n in ("__init__", "base", "old_options")
    }


def test_affine_transforms_live_in_the_grid_only():
    """No other module builds or takes apart an affine transform."""
    assert len(FILES) > 100
    for path in FILES:
        tree = ast.parse(path.read_text())
        words = {getattr(n, key, None) or "" for n in ast.walk(tree) for key in ("id", "attr", "module")}
        words |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names}
        hits = {w for w in words if "affine" in w.lower() or w in ("rasterio.transform", "from_origin", "from_bounds")}
        assert bool(hits) == (name_of(path) == "geo.grid"), f"{path}: {hits}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli").glob("*.py")), ids=name_of)
def test_the_command_line_loads_nothing_heavy_before_a_command_runs(path):
    """Completion and help need a quarter of a second; torch alone needs several."""
    top = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.Import | ast.ImportFrom)]
    names = imported(ast.Module(top, []))
    own = {n for n in names if n.partition(".")[0] == "rsuda"}
    assert all(n.startswith(("rsuda.core", "rsuda.cli")) for n in own)
    assert {n.partition(".")[0] for n in names - own} <= set(sys.stdlib_module_names) | LIGHT


def test_no_file_is_a_drawer_for_things_without_a_name():
    folders = ("rsuda", "tests", "configs", "benchmarks", "notebooks", "docs")
    stems = {p.stem.lower() for folder in folders for p in (ROOT / folder).rglob("*")}
    assert len(stems) > 100
    assert not stems & {"utils", "util", "common", "helpers", "helper", "misc"}
