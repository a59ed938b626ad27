"""Extend MkDocs: add pages from other folders, list the pages of methods, and draw diagrams into their pages."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from generate import methods
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
# address on the site: file of the repository, which is read in its place
ELSEWHERE = {
    "benchmarks.md": "BENCHMARKS.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "design.md": "DESIGN.md",
    "security.md": "SECURITY.md",
    "images/four_fields.png": "benchmarks/results/four_fields/table.png",
}
TABLE = "<!-- table of methods -->"
_PAGE_OF = {file: page for page, file in ELSEWHERE.items()}


def on_config(config: Any) -> Any:
    """Replace 'folder/*.md' in the navigation by the folder's pages, in the order of their names, without its index."""
    for section in config.nav:
        for name, entries in section.items():
            if isinstance(entries, list):
                section[name] = [page for entry in entries for page in _pages(entry)]
    return config


def _pages(entry: Any) -> list[Any]:
    if not isinstance(entry, str) or not entry.endswith("/*.md"):
        return [entry]
    folder = entry.removesuffix("/*.md")
    return [f"{folder}/{page.name}" for page in sorted((ROOT / "docs" / folder).glob("*.md")) if page.stem != "index"]


@event_priority(100)  # before the plugin that turns notebooks into pages
def on_files(files: Files, config: Any) -> Files:
    for page, file in ELSEWHERE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / file)))
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        address = notebook.relative_to(ROOT).as_posix()
        files.append(File(address, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Write the table of methods, and turn links between files, as GitHub follows them, into links between pages."""
    if TABLE in markdown:
        markdown = markdown.replace(TABLE, methods())
    source = ROOT / ELSEWHERE.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    folder = Path("/", page.file.src_uri).parent

    def link(match: re.Match[str]) -> str:
        file = os.path.relpath(source.parent / match["to"], ROOT)
        to = _PAGE_OF.get(file) or (file.removeprefix("docs/") if file.startswith(("docs/", "notebooks/")) else None)
        return f"]({os.path.relpath(Path('/', to), folder)}" if to else match[0]

    return re.sub(r"\]\((?P<to>(?!https?:|#|/)[^)#\s]+)", link, markdown)


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Draw diagrams into the page, where they have its colours, light or dark."""

    def draw(match: re.Match[str]) -> str:
        address = Path(page.file.src_uri).parent / match["src"]
        file = ROOT / "docs" / address
        if not file.is_file():
            return match[0]
        svg = re.sub(r"<\?xml.*?\?>|<!--.*?-->", "", file.read_text(), flags=re.S)
        return f'<span class="diagram" role="img" aria-label="{match["alt"]}">{svg}</span>'

    # notebooks contain a script that would fetch mermaid
    html = re.sub(r'<script type="module">(?:(?!</script>).)*?mermaid.*?</script>', "", html, flags=re.S)
    return re.sub(r'<img alt="(?P<alt>[^"]*)" src="(?P<src>[^":]+\.svg)" ?/?>', draw, html)
