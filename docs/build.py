"""Build the documentation as a site.

python docs/build.py          # writes site/; open site/index.html
python docs/build.py FOLDER   # writes it elsewhere

Pages stay as GitHub shows them. This script copies them into one folder and turns what GitHub and Sphinx write differently:
links between files, titles of code blocks, diagrams, and the menu of `docs/site/navigation.yaml`.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from generate import methods
from sphinx.cmd.build import main as sphinx

DOCS = Path(__file__).parent
ROOT = DOCS.parent
# page of the site: file of the repository outside docs/
ELSEWHERE = {
    "benchmarks.md": "BENCHMARKS.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "design.md": "DESIGN.md",
    "security.md": "SECURITY.md",
}
PAGE_OF = {file: page for page, file in ELSEWHERE.items()}
TABLE = "<!-- table of methods -->"
_MOST_HEADINGS = 8  # of a page in the list of a section
_LINK = re.compile(r"\]\((?P<to>(?!https?:|#|/)[^)#\s]+)")
_FENCE = re.compile(r"^```(?P<language>\w+) title=\"(?P<title>[^\"]+)\"\n", re.M)
_DIAGRAM = re.compile(r"^!\[(?P<alt>[^\]]*)\]\((?P<src>[^)\s:]+\.svg)\)$", re.M)
_BLOCK = re.compile(r"^(```.*?^```\n)", re.M | re.S)
_MEASURE = re.compile(r"(?<=\d) (?=± ?\d|%(?!\w))|(?<=±) (?=\d)")  # a space that no line may end at
_OBJECT = re.compile(r"^::: (?P<path>[\w.]+)\n(?:    .*\n)*", re.M)


def assemble(folder: Path) -> None:
    """Write the sources of the site into an empty folder."""
    menu = yaml.safe_load((DOCS / "site" / "navigation.yaml").read_text())
    for name, file in _pages().items():
        page = folder / name
        page.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".md":
            page.write_text(_as_myst(file, name, folder))
        else:
            shutil.copyfile(file, page)
    home = []
    for section in menu:
        pages = [page for entry in section["pages"] for page in _expanded(entry)]
        name = section.get("page") or f"{section['section'].lower().replace(' ', '_')}.md"
        _write_section(folder / name, section, pages, folder)
        home.append(f"{section['section']} <{name}>")
    _append(folder / "index.md", home)
    decisions = sorted(path.name for path in (DOCS / "decisions").glob("*.md") if path.stem != "index")
    _append(folder / "decisions" / "index.md", decisions)


def _pages() -> dict[str, Path]:
    """Address on the site, relative to its root, to the file of the repository."""
    files = [path for path in DOCS.rglob("*.md")]
    pages = {path.relative_to(DOCS).as_posix(): path for path in sorted(files)}
    pages |= {page: ROOT / file for page, file in ELSEWHERE.items()}
    return pages | {f"notebooks/{path.name}": path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}


def _expanded(entry: str) -> list[str]:
    """Replace 'folder/*.md' by the pages of the folder, without its index."""
    if not entry.endswith("/*.md"):
        return [entry]
    folder = entry.removesuffix("/*.md")
    return [f"{folder}/{page.name}" for page in sorted((DOCS / folder).glob("*.md")) if page.stem != "index"]


def _write_section(page: Path, section: dict[str, Any], pages: list[str], folder: Path) -> None:
    """Write the first page of a section, or add the menu to it."""
    if "page" not in section:
        links = "".join(f"- [{_title(folder / name)}]({name}){_contents(folder / name)}\n" for name in pages)
        page.write_text(f"# {section['section']}\n\n{section['about']}\n\n{links}")
    _append(page, [os.path.relpath(folder / name, page.parent) for name in pages])


def _title(page: Path) -> str:
    text = page.read_text()
    match = re.search(r"^# (.+)$", text, re.M) if page.suffix == ".md" else re.search(r'"# ([^"\\]+)', text)
    if match is None:
        raise SystemExit(f"{page.name} has no heading")
    return match[1]


def _contents(page: Path) -> str:
    """The headings of a page, for a list of pages."""
    headings = re.findall(r"^## (.+)$" if page.suffix == ".md" else r'"## ([^"\\]+)', page.read_text(), re.M)
    more = ", …" if len(headings) > _MOST_HEADINGS else ""
    return f": {', '.join(headings[:_MOST_HEADINGS])}{more}" if headings else ""


def _append(page: Path, entries: list[str]) -> None:
    page.write_text(page.read_text() + "\n```{toctree}\n:hidden:\n\n" + "\n".join(entries) + "\n```\n")


def _as_myst(file: Path, name: str, folder: Path) -> str:
    """The text of a page as MyST reads it. Pictures that it links are copied to the same place of the site."""
    text = file.read_text().replace(TABLE, methods())
    text = _DIAGRAM.sub(lambda match: _drawn(file.parent / match["src"], match["alt"]), text)
    text = _FENCE.sub(r"```{code-block} \g<language>\n:caption: \g<title>\n\n", text)
    text = _OBJECT.sub(lambda match: _documented(match["path"]), text)
    text = _LINK.sub(lambda match: f"]({_address(match['to'], file, name, folder)}", text)
    parts = _BLOCK.split(text)
    parts[::2] = [_MEASURE.sub("\u00a0", part) for part in parts[::2]]
    return "".join(parts)


def _drawn(svg: Path, alt: str) -> str:
    """Write a diagram into the page, where it has the page's colours, light or dark."""
    drawing = re.sub(r"<\?xml.*?\?>|<!--.*?-->", "", svg.read_text(), flags=re.S)
    return f'```{{raw}} html\n<span class="diagram" role="img" aria-label="{alt}">{drawing}</span>\n```'


def _documented(path: str) -> str:
    last = path.rpartition(".")[2]
    kind = "class" if last[0].isupper() else "module" if path == "rsuda.core.errors" else "function"
    return f"```{{eval-rst}}\n.. auto{kind}:: {path}\n```\n"


def _address(link: str, file: Path, name: str, folder: Path) -> str:
    """Turn a link between files of the repository into a link between pages of the site."""
    target = Path(os.path.normpath(file.parent / link))
    path = os.path.relpath(target, ROOT)
    page = PAGE_OF.get(path) or path.removeprefix("docs/")
    if path not in PAGE_OF and not path.startswith(("docs/", "notebooks/", "benchmarks/results/")):
        return link
    if target.suffix == ".png":
        copy = folder / page
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(target, copy)
    elif path.startswith("benchmarks/results/"):
        _write_results(target, folder / page)
    return os.path.relpath(page, Path(name).parent)


def _write_results(table: Path, page: Path) -> None:
    """Write a table of results as a page outside of the menu, with a title of its own."""
    page.parent.mkdir(parents=True, exist_ok=True)
    title = table.parent.name.replace("_", " ").capitalize()
    sections = re.sub(r"^###", "##", table.read_text(), flags=re.M)
    page.write_text(f"---\norphan: true\n---\n\n# {title}\n\n{sections}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "site")
    folder = parser.parse_args().folder
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as sources:
        assemble(Path(sources))
        options = ["-b", "html", "-q", "-W", "--keep-going", "-c", str(DOCS / "site")]
        return sphinx([*options, "-d", f"{sources}/.doctrees", sources, str(folder)])


if __name__ == "__main__":
    raise SystemExit(main())
