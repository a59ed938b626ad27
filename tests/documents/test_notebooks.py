"""Run the notebooks, and compare them with their sources."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
jupytext = pytest.importorskip("jupytext")
pytest.importorskip("nbclient")
sys.path.insert(0, str(ROOT / "notebooks"))
from make import MOST, read, sources, with_values  # noqa: E402

SHORT = {"steps": "4", "looks": "2"}  # values for the cell tagged 'parameters'


def name(path):
    return path.stem


def test_there_are_notebooks():
    assert len(sources()) >= 5


@pytest.mark.parametrize("source", sources(), ids=name)
def test_notebook_matches_its_source_and_has_pictures(source):
    notebook = jupytext.read(source.with_suffix(".ipynb"))
    cells = [(cell.cell_type, cell.source) for cell in notebook.cells]
    assert cells == [(cell.cell_type, cell.source) for cell in read(source).cells], (
        f"run notebooks/make.py {source.stem}"
    )
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 3 and source.with_suffix(".ipynb").stat().st_size < MOST
    assert not [output for output in outputs if output.output_type == "error"]


@pytest.mark.parametrize("source", sources(), ids=name)
def test_parameters_shorten_the_notebook(source):
    changed = with_values(read(source), SHORT)
    values = next(cell.source for cell in changed.cells if "parameters" in cell.metadata.get("tags", []))
    assert "steps = 4" in values


@pytest.mark.slow
@pytest.mark.parametrize("source", sources(), ids=name)
def test_notebook_runs(source, tmp_path, monkeypatch):
    """Run it cell by cell in a fresh folder with the sample tiles, with trainings of few steps."""
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
