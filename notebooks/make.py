"""Notebooks from their sources: NAME.py, with cells between ``# %%`` marks, is what is written and read; NAME.ipynb is made of
it, run, with its pictures.

    python notebooks/make.py                       # all of them
    python notebooks/make.py 01_domain_gap         # one
    python notebooks/make.py 01_domain_gap --set steps=4    # a trial, which is not kept
    python notebooks/make.py --texts               # texts anew, pictures as they are, where no code has changed

Needs ``pip install -e '.[docs]'``. Each is run in a fresh folder with the sample tiles.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image

HERE = Path(__file__).parent
MOST = 600_000  # bytes of a notebook with its pictures


def sources() -> list[Path]:
    return sorted(p for p in HERE.glob("[0-9]*.py"))


def read(source: Path) -> Any:
    """A source as a notebook without outputs; ids count, so that a notebook made again differs where it changed."""
    notebook = jupytext.read(source)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        cell["metadata"] = {k: v for k, v in cell["metadata"].items() if k == "tags"}
    return notebook


def with_values(notebook: Any, values: dict[str, str]) -> Any:
    """A notebook with other values of names that its cell tagged 'parameters' sets."""
    for cell in notebook.cells:
        if "parameters" in cell["metadata"].get("tags", []):
            for name, value in values.items():
                cell.source = re.sub(rf"^{name} = [^#\n]*", f"{name} = {value}  ", cell.source, flags=re.MULTILINE)
    return notebook


def run(notebook: Any) -> Any:
    """The notebook with its outputs, but for what went to stderr: progress and warnings are no results."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sample_tiles").symlink_to(HERE.parent / "sample_tiles")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        NotebookClient(notebook, timeout=3600, record_timing=False, resources={"metadata": {"path": folder}}).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
            for held in (o.data for o in cell.outputs if "image/png" in o.get("data", {})):
                held["image/png"] = smaller(held["image/png"])
    return notebook


def with_outputs(notebook: Any, made: Any) -> Any:
    """The notebook with the outputs of one that was made before. Raises ValueError where their code differs."""
    code, before = ([c for c in n.cells if c.cell_type == "code"] for n in (notebook, made))
    if [c.source for c in code] != [c.source for c in before]:
        raise ValueError("the code has changed: run it")
    for cell, old in zip(code, before, strict=True):
        cell.outputs, cell.execution_count = old.outputs, old.execution_count
    return notebook


def smaller(png: str) -> str:
    """A picture in 256 colours: a third of the bytes."""
    made = io.BytesIO()
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(made, "PNG", optimize=True)
    return base64.b64encode(made.getvalue()).decode()


def main() -> None:
    parser = argparse.ArgumentParser(description="Make notebooks from their sources.")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of the parameters")
    parser.add_argument("--texts", action="store_true", help="only texts, with the pictures that are there")
    given = parser.parse_args()
    values = dict(text.split("=", 1) for text in given.set)
    for source in sources():
        if given.names and source.stem not in given.names:
            continue
        if given.texts:
            made = with_outputs(read(source), jupytext.read(source.with_suffix(".ipynb")))
        else:
            made = run(with_values(read(source), values))
        if values:  # a trial
            print(f"{source.name} ran; with other parameters it is not kept")
            continue
        text = nbformat.writes(made) + "\n"
        assert len(text) < MOST, f"{source.stem} has {len(text)} bytes, more than {MOST}: smaller pictures"
        source.with_suffix(".ipynb").write_text(text)
        print(f"{source.with_suffix('.ipynb').name}: {len(text) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
