"""Extend MkDocs: add pages from other folders of the repository, and draw diagrams into their pages."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

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
_PAGE_OF = {file: page for page, file in ELSEWHERE.items()}


@event_priority(100)  # before the plugin that turns notebooks into pages
def on_files(files: Files, config: Any) -> Files:
    for page, file in ELSEWHERE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / file)))
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        address = notebook.relative_to(ROOT).as_posix()
        files.append(File(address, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links between files of the repository, as GitHub follows them, into links between pages of the site."""
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
