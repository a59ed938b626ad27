"""Notebooks run, and are what their sources say."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
jupytext = pytest.importorskip("jupytext")
pytest.importorskip("nbclient")
sys.path.insert(0, str(ROOT / "notebooks"))
from make import MOST, read, sources, with_values  # noqa: E402

SHORT = {"steps": "4", "looks": "2"}  # of whatever a notebook's cell tagged 'parameters' sets


def name(path):
    return path.stem


def test_there_are_notebooks():
    assert len(sources()) >= 5


@pytest.mark.parametrize("source", sources(), ids=name)
def test_notebook_is_made_of_its_source_and_has_pictures(source):
    made = jupytext.read(source.with_suffix(".ipynb"))
    held = [(c.cell_type, c.source) for c in made.cells]
    assert held == [(c.cell_type, c.source) for c in read(source).cells], f"run notebooks/make.py {source.stem}"
    pictures = [o for c in made.cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(pictures) >= 3 and source.with_suffix(".ipynb").stat().st_size < MOST
    assert not [o for c in made.cells for o in c.get("outputs", []) if o.output_type == "error"]


@pytest.mark.parametrize("source", sources(), ids=name)
def test_parameters_shorten_the_notebook(source):
    changed = with_values(read(source), SHORT)
    values = next(c.source for c in changed.cells if "parameters" in c.metadata.get("tags", []))
    assert "steps = 4" in values


@pytest.mark.slow
@pytest.mark.parametrize("source", sources(), ids=name)
def test_notebook_runs(source, tmp_path, monkeypatch):
    """Cell by cell in a fresh folder with the sample tiles, with trainings of few steps."""
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sample_tiles").symlink_to(ROOT / "sample_tiles")
    names = {"__name__": "__notebook__"}
    for cell in with_values(read(source), SHORT).cells:
        if cell.cell_type == "code":
            ast.parse(cell.source)
            exec(compile(cell.source, f"{source.name}:{cell.id}", "exec"), names)
    assert plt.get_fignums()
    plt.close("all")
