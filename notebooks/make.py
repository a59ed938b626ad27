"""Make notebooks from their sources: NAME.py has cells between ``# %%`` marks, NAME.ipynb is its run with pictures.

    python notebooks/make.py                       # all of them
    python notebooks/make.py 01_domain_gap         # one
    python notebooks/make.py 01_domain_gap --set steps=4    # a trial, which writes nothing
    python notebooks/make.py --texts               # update texts only, if no code has changed

Install ``pip install -e '.[docs]'``. Each notebook runs in a fresh folder with the sample tiles.
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
    return sorted(HERE.glob("[0-9]*.py"))


def read(source: Path) -> Any:
    """Read a source as a notebook without outputs. Ids are counted, so a new notebook differs only where it changed."""
    notebook = jupytext.read(source)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        cell["metadata"] = {key: value for key, value in cell["metadata"].items() if key == "tags"}
    return notebook


def with_values(notebook: Any, values: dict[str, str]) -> Any:
    """Return a notebook with other values in its cell tagged 'parameters'."""
    for cell in notebook.cells:
        if "parameters" in cell["metadata"].get("tags", []):
            for name, value in values.items():
                cell.source = re.sub(rf"^{name} = [^#\n]*", f"{name} = {value}  ", cell.source, flags=re.MULTILINE)
    return notebook


def run(notebook: Any) -> Any:
    """Run the notebook and return it with its outputs, without stderr: progress and warnings are not results."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sample_tiles").symlink_to(HERE.parent / "sample_tiles")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        NotebookClient(notebook, timeout=3600, record_timing=False, resources={"metadata": {"path": folder}}).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for data in (output.data for output in cell.outputs if "image/png" in output.get("data", {})):
                data["image/png"] = smaller(data["image/png"])
    return notebook


def with_outputs(notebook: Any, previous: Any) -> Any:
    """Return the notebook with the outputs of its previous version. Raises ValueError if their code differs."""
    code, before = ([cell for cell in book.cells if cell.cell_type == "code"] for book in (notebook, previous))
    if [cell.source for cell in code] != [cell.source for cell in before]:
        raise ValueError("the code has changed: run the notebook without --texts")
    for cell, old in zip(code, before, strict=True):
        cell.outputs, cell.execution_count = old.outputs, old.execution_count
    return notebook


def smaller(png: str) -> str:
    """Reduce a PNG to 256 colours: a third of the bytes."""
    buffer = io.BytesIO()
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def main() -> None:
    parser = argparse.ArgumentParser(description="Make notebooks from their sources.")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="value of a parameter")
    parser.add_argument("--texts", action="store_true", help="update texts only, with the present pictures")
    arguments = parser.parse_args()
    values = dict(text.split("=", 1) for text in arguments.set)
    for source in sources():
        if arguments.names and source.stem not in arguments.names:
            continue
        if arguments.texts:
            notebook = with_outputs(read(source), jupytext.read(source.with_suffix(".ipynb")))
        else:
            notebook = run(with_values(read(source), values))
        if values:  # a trial
            print(f"{source.name} ran with other parameters; nothing is written")
            continue
        text = nbformat.writes(notebook) + "\n"
        assert len(text) < MOST, f"{source.stem} has {len(text)} bytes, more than {MOST}: make its pictures smaller"
        source.with_suffix(".ipynb").write_text(text)
        print(f"{source.with_suffix('.ipynb').name}: {len(text) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
