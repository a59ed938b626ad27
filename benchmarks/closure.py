"""How much of rsuda one must read to know all that a method does: its import closure, in files and lines.

python benchmarks/closure.py
"""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "rsuda"


def file_of(module: str) -> Path | None:
    path = PACKAGE / Path(*module.split("."))
    found = path.with_suffix(".py")
    return found if found.is_file() else None


def imported(path: Path) -> set[Path]:
    """Files of rsuda that a file imports from."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rsuda"):
            below = (node.module or "").removeprefix("rsuda").lstrip(".")
            names = [below, *(f"{below}.{a.name}".lstrip(".") for a in node.names)]
            found |= {f for f in map(file_of, filter(None, names)) if f}
    return found


def closure(path: Path) -> set[Path]:
    seen, waiting = {path}, [path]
    while waiting:
        new = imported(waiting.pop()) - seen
        seen |= new
        waiting += new
    return seen


def main() -> None:
    print("| method file | its lines | closure files | closure lines | other papers' files in it | base classes |")
    print("|---|---|---|---|---|---|")
    methods = sorted(p for p in (PACKAGE / "methods").glob("*.py") if p.stem not in ("__init__", "base"))
    for path in methods:
        files = closure(path)
        lines = sum(len(f.read_text().splitlines()) for f in files)
        others = [f.stem for f in files if f in methods and f != path]
        tree = ast.parse(path.read_text())
        bases = {b.id for n in tree.body if isinstance(n, ast.ClassDef) for b in n.bases if isinstance(b, ast.Name)}
        own = len(path.read_text().splitlines())
        print(
            f"| {path.stem} | {own} | {len(files)} | {lines} | {', '.join(others) or 'none'} | {', '.join(sorted(bases))} |"
        )


if __name__ == "__main__":
    main()
