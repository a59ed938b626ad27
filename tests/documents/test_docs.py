"""Run the commands and snippets of the documentation, and check that its files and options exist."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from documentation_blocks import LANGUAGES, PAGES, ROOT, blocks, commands, options, others, unknown_words
from short_settings import settings

from rsuda.benchmark.plan import read_plan
from rsuda.cli import main
from rsuda.core.settings import Settings
from rsuda.data.domain_files.domain_file import read_domain_file
from rsuda.methods import METHODS
from rsuda.training.build import check_run


def name(page):
    return page.relative_to(ROOT).as_posix()


FIRST = ROOT / "docs" / "quickstart.md"  # a page that does not begin with 'adapt' begins in the folder that it leaves
# pages that another test runs: its file and its function
TESTED_ELSEWHERE = {
    "docs/annotate.md": ("tests/documents/test_documents.py", "test_commands_of_annotate_md_run_in_order"),
    "docs/export.md": ("tests/export/test_export.py", "test_code_of_the_page_runs"),
}
RUN = [
    page
    for page in PAGES
    if any(block.language in ("bash", "python") for block in blocks(page)) and name(page) not in TESTED_ELSEWHERE
]
OTHERS = {  # options of other programs that pages name
    "--strict", "--check", "--nthreads", "--gres", "--cpus-per-task", "--allow-errors", "--keep", "--plot", "--to",
    "--repo", "--create-namespace", "--generate-name", "--nnodes", "--nproc-per-node", "--node-rank", "--master-addr",
    "--master-port", "--ntasks-per-node",
}  # fmt: skip


def rsuda(words, monkeypatch):
    """Run a command in this process. ``adapt`` makes 4 steps and has no data-loading processes."""
    short = ["--steps", "4", "--workers", "0"] if words[0] == "adapt" else []
    monkeypatch.setattr(sys, "argv", ["rsuda", *words, *short])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code, f"rsuda {' '.join(words)} ended with {end.value.code}"


def run(page, folder, monkeypatch):
    """Run all blocks of a page in order, in a folder with the sample tiles. Python blocks share their names."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("RSUDA_DATA", raising=False)
    if not Path("sample_tiles").exists():  # links to files in new folders, so that outputs stay here
        shutil.copytree(ROOT / "sample_tiles", "sample_tiles", copy_function=os.symlink)
    names = {"__name__": "__page__"}
    for block in blocks(page):
        _do(block, page, names, monkeypatch)


def _do(block, page, names, monkeypatch):
    if block.language == "yaml" and block.title:
        Path(block.title).parent.mkdir(parents=True, exist_ok=True)
        Path(block.title).write_text(block.text)
    elif block.language == "python":
        if block.title:
            Path(block.title).write_text(block.text)
        # compiled with the line numbers of the page, for tracebacks
        exec(compile("\n" * block.line + block.text, str(block.page), "exec"), names)
    elif block.language == "bash":
        for words in commands(block.text):
            rsuda(words, monkeypatch)


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory):
    """Run the quickstart. Returns its folder."""
    folder = tmp_path_factory.mktemp("quickstart")
    with pytest.MonkeyPatch.context() as monkeypatch:
        run(FIRST, folder, monkeypatch)
    return folder


@pytest.mark.slow
def test_quickstart_writes_the_files_that_it_lists(quickstart):
    paths = {
        path.relative_to(quickstart).as_posix() for path in quickstart.rglob("*") if "sample_tiles" not in path.parts
    }
    run, maps = re.findall(
        r"`((?:runs|maps)/[\w-]*/?)`[^\n]*:\n\n\| file \| content \|\n\|---\|---\|\n((?:\|.*\n)+)", FIRST.read_text()
    )
    files = {folder + name for folder, rows in (run, maps) for name in re.findall(r"^\| `([^`]+)`", rows, re.M)}
    assert (
        len(files) >= 17 and {path for path in paths if Path(path).name[0] != "." and "." in Path(path).name} == files
    )


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in RUN if p != FIRST], ids=name)
def test_page_runs(page, quickstart, tmp_path, monkeypatch):
    first = next((c for b in blocks(page) if b.language == "bash" for c in commands(b.text)), None)
    if first is None or first[0] != "adapt":
        shutil.copytree(quickstart, tmp_path, dirs_exist_ok=True, symlinks=True)
    run(page, tmp_path, monkeypatch)


@pytest.mark.parametrize("page", [p for p in PAGES if name(p) in TESTED_ELSEWHERE], ids=name)
def test_page_is_read_and_run_by_its_test(page):
    """The test's function reads the page, and executes Python or calls the command line."""
    file, function = TESTED_ELSEWHERE[name(page)]
    functions = [n for n in ast.parse((ROOT / file).read_text()).body if isinstance(n, ast.FunctionDef)]
    (test,) = (node for node in functions if node.name == function)
    calls = {ast.unparse(node.func) for node in ast.walk(test) if isinstance(node, ast.Call)}
    assert f"(ROOT / 'docs' / '{page.name}').read_text" in calls
    languages = {block.language for block in blocks(page)} & {"bash", "python"}
    assert languages and all({"python": "exec", "bash": "rsuda"}[language] in calls for language in languages)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_has_a_language_and_names_existing_commands(page):
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{block}: a block is one of {', '.join(sorted(LANGUAGES))}"
        if block.language == "bash":
            assert not others(block.text), f"{block}: does not run, so make it a text block: {others(block.text)}"
            assert commands(block.text) or "pip" in block.text, f"{block}: has no command"
        if block.language in ("bash", "text"):
            for words in commands(block.text):
                assert not unknown_words(words), f"{block}: rsuda {' '.join(words)} has {unknown_words(words)}"
    assert "\n    rsuda " not in page.read_text(), "put commands between fences, so that the test sees them"
    plain = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.M | re.S)
    for code in re.findall(r"`([^`\n]+)`", plain):
        for words in commands(code):
            assert not unknown_words(words), f"{name(page)}: `{code}` has {unknown_words(words)}"
        for option in re.findall(r"(?<!\S)(--[a-z][a-z0-9-]*)", code):
            assert option in options() | OTHERS, f"{name(page)}: no command has `{option}`"


def kind_of(fields):
    """Return the kind of a YAML block by its fields."""
    if {"pairs", "methods"} <= set(fields):
        return "benchmark"
    return "config" if set(fields) <= set(Settings.model_fields) else "domain"


@pytest.mark.parametrize("block", [b for p in PAGES for b in blocks(p) if b.language == "yaml"], ids=str)
def test_yaml_block_is_valid(block, tmp_path):
    fields, file = yaml.safe_load(block.text), tmp_path / "block.yaml"
    assert isinstance(fields, dict), f"{block}: has no 'name: value' pairs"
    file.write_text(block.text)
    kind = kind_of(fields)
    if kind == "benchmark":
        assert read_plan(file, tmp_path / "out").jobs
    elif kind == "config":
        check_run(settings(file))
    else:
        for known in (ROOT / "configs" / "domains").glob("*.yaml"):
            shutil.copy(known, tmp_path)
        if not ("extends" in fields or {"legend", "images"} <= set(fields)):  # a block with some fields only
            rest = yaml.safe_load((tmp_path / "dubai.yaml").read_text())
            ignore = {"ignore": []} if "legend" in fields else {}
            file.write_text(yaml.safe_dump({**rest, **ignore, **fields}))
        domain = read_domain_file(file)
        assert len(domain.class_legend) >= 2


def script(*words):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}  # this checkout, not an installed version
    return subprocess.run([sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("generator", ["docs/generate.py", "docs/diagrams.py"])
def test_generated_files_are_up_to_date(generator):
    result = script(generator, "--check")
    assert result.returncode == 0, f"run python {generator}: {result.stdout}{result.stderr}"


def test_every_method_has_a_page_with_its_options():
    for method in METHODS:
        text = (ROOT / "docs" / "methods" / f"{method}.md").read_text()
        assert all(f"| `{option}` |" in text for option in METHODS[method].Options.model_fields)
        diagram = f"{method}.svg"  # a page may do without
        assert diagram not in text or (ROOT / "docs" / "methods" / diagram).is_file()
        assert all(f"## {part}" in text for part in ("The idea", "The loss", "Options", "Deviations", "Results"))


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Build the site; warnings are errors. Returns its folder."""
    pytest.importorskip("pydata_sphinx_theme")
    pytest.importorskip("myst_nb")
    folder = tmp_path_factory.mktemp("site")
    result = script("docs/build.py", str(folder))
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.mark.slow
def test_site_fetches_nothing_and_draws_diagrams(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 45
    for page in pages:
        text = page.read_text()
        fetched = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=\"?(?:https?:)?//[^\s\">]+", text)
        assert not fetched, f"{page.name} fetches {fetched}"
        assert not re.search(r"cdnjs\.|unpkg\.com|jsdelivr\.|fonts\.g", text), f"{page.name} may fetch from elsewhere"
    index = (site / "methods" / "index.html").read_text()
    assert all(
        re.search(rf'href="{method}.html"><span[^>]*><code[^>]*><span class="pre">{method}<', index)
        for method in METHODS
    )
    dacs = (site / "methods" / "dacs.html").read_text()
    assert '<svg xmlns="http://www.w3.org/2000/svg"' in dacs and "dacs.svg" not in dacs


@pytest.mark.slow
def test_site_has_every_page_in_its_menu_and_can_search(site):
    """A page outside of the menu is a warning, so an error; the order is that of a user's work."""
    home = (site / "index.html").read_text()
    sections = re.findall(r'<a class="nav-link nav-internal" href="[^"]*">\s*([^<]+?)\s*</a>', home)
    assert sections[:8] == ["Start", "Your data", "Adapt", "Map", "Judge", "Scale", "Methods", "Develop"]
    assert '"quickstart"' in (site / "searchindex.js").read_text()


@pytest.mark.slow
def test_site_breaks_no_line_inside_of_a_measure_or_an_option(site):
    measured = (site / "measured.html").read_text()
    assert "20.5\u00a0±\u00a02.6" in measured and not re.search(r"\d ± ?\d", measured)
    assert '<span class="option">--target</span>' in (site / "index.html").read_text()
