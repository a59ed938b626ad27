"""Measure the import closure of each method in files and lines: the code to read to know all that it does.

python benchmarks/closure.py
"""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "rsuda"


def file_of(module: str) -> Path | None:
    path = PACKAGE / Path(*module.split("."))
    file = path.with_suffix(".py")
    return file if file.is_file() else None


def imported(path: Path) -> set[Path]:
    """Return the files of rsuda that a file imports from."""
    files: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rsuda"):
            below = (node.module or "").removeprefix("rsuda").lstrip(".")
            names = [below, *(f"{below}.{alias.name}".lstrip(".") for alias in node.names)]
            files |= {file for file in map(file_of, filter(None, names)) if file}
    return files


def closure(path: Path) -> set[Path]:
    seen, waiting = {path}, [path]
    while waiting:
        new = imported(waiting.pop()) - seen
        seen |= new
        waiting += new
    return seen


def main() -> None:
    print("| method file | lines | closure files | closure lines | files of other papers | base classes |")
    print("|---|---|---|---|---|---|")
    methods = sorted(path for path in (PACKAGE / "methods").glob("*.py") if path.stem not in ("__init__", "base"))
    for path in methods:
        files = closure(path)
        lines = sum(len(file.read_text().splitlines()) for file in files)
        papers = [file.stem for file in files if file in methods and file != path]
        tree = ast.parse(path.read_text())
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        bases = {base.id for node in classes for base in node.bases if isinstance(base, ast.Name)}
        length = len(path.read_text().splitlines())
        print(
            f"| {path.stem} | {length} | {len(files)} | {lines} | {', '.join(papers) or 'none'} | {', '.join(sorted(bases))} |"
        )


if __name__ == "__main__":
    main()
