"""Whatever the documentation shows is run, or at least exists: commands, snippets, files, options."""

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from documentation_blocks import LANGUAGES, PAGES, ROOT, blocks, commands, options, others, unknown_words

from rsuda.benchmark.plan import read_plan
from rsuda.cli import main
from rsuda.core.settings import Settings, settings
from rsuda.data.domain_file import read_domain_file
from rsuda.methods import METHODS
from rsuda.training.build import check_run


def name(page):
    return page.relative_to(ROOT).as_posix()


FIRST = ROOT / "docs" / "quickstart.md"  # pages that begin with anything but 'adapt' begin in the folder that it left
# pages that have a test of their own, which runs what they show
OWN = {"docs/annotate.md": "tests/documents/test_documents.py", "docs/export.md": "tests/export/test_export.py"}
RUN = [p for p in PAGES if any(b.language in ("bash", "python") for b in blocks(p)) and name(p) not in OWN]
OTHERS = {  # options that pages name and that are not rsuda's
    "--strict", "--check", "--nthreads", "--gres", "--cpus-per-task", "--allow-errors", "--keep", "--plot", "--to",
    "--repo", "--create-namespace", "--generate-name", "--nnodes", "--nproc-per-node", "--node-rank", "--master-addr",
    "--master-port", "--ntasks-per-node",
}  # fmt: skip


def rsuda(words, monkeypatch):
    """A command in this process, cut down by one rule: ``adapt`` makes 4 steps and reads in its own process."""
    short = ["--steps", "4", "--workers", "0"] if words[0] == "adapt" else []
    monkeypatch.setattr(sys, "argv", ["rsuda", *words, *short])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code, f"rsuda {' '.join(words)} ended with {end.value.code}"


def run(page, folder, monkeypatch):
    """All blocks of a page in its order, in a folder with the sample tiles; python blocks share their names."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("RSUDA_DATA", raising=False)
    if not Path("sample_tiles").exists():  # folders of its own, so that what is written there stays there
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
        # compiled with the page's own lines, so that a traceback leads to them
        exec(compile("\n" * block.line + block.text, str(block.page), "exec"), names)
    elif block.language == "bash":
        for words in commands(block.text):
            rsuda(words, monkeypatch)


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory):
    """The folder that the quickstart leaves."""
    folder = tmp_path_factory.mktemp("quickstart")
    with pytest.MonkeyPatch.context() as monkeypatch:
        run(FIRST, folder, monkeypatch)
    return folder


@pytest.mark.slow
def test_quickstart_leaves_what_it_says(quickstart):
    there = {p.relative_to(quickstart).as_posix() for p in quickstart.rglob("*") if "sample_tiles" not in p.parts}
    listed = re.search(r"```text\n(runs/.*?)```", FIRST.read_text(), re.S).group(1)
    files = re.findall(r"^((?:runs|maps)/\S+)", listed, re.M)
    assert len(files) >= 10 and set(files) <= there


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in RUN if p != FIRST], ids=name)
def test_page_runs(page, quickstart, tmp_path, monkeypatch):
    first = next((c for b in blocks(page) if b.language == "bash" for c in commands(b.text)), None)
    if first is None or first[0] != "adapt":
        shutil.copytree(quickstart, tmp_path, dirs_exist_ok=True, symlinks=True)
    run(page, tmp_path, monkeypatch)


@pytest.mark.parametrize("page", [p for p in PAGES if name(p) in OWN], ids=name)
def test_page_is_run_where_it_is_said_to_be(page):
    assert page.name in (ROOT / OWN[name(page)]).read_text()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_says_what_it_is_and_names_what_exists(page):
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{block}: a block is one of {', '.join(sorted(LANGUAGES))}"
        if block.language == "bash":
            assert not others(block.text), f"{block}: is not run, so it is to be a text block: {others(block.text)}"
            assert commands(block.text) or "pip" in block.text, f"{block}: holds no command"
        if block.language in ("bash", "text"):
            for words in commands(block.text):
                assert not unknown_words(words), f"{block}: rsuda {' '.join(words)} has {unknown_words(words)}"
    assert "\n    rsuda " not in page.read_text(), "commands stand between fences, so that they are looked at"
    plain = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.M | re.S)
    for code in re.findall(r"`([^`\n]+)`", plain):
        for words in commands(code):
            assert not unknown_words(words), f"{name(page)}: `{code}` has {unknown_words(words)}"
        for option in re.findall(r"(?<!\S)(--[a-z][a-z-]*)", code):
            assert option in options() | OTHERS, f"{name(page)}: no command has `{option}`"


def kind_of(held):
    """What a YAML block is, by its fields."""
    if {"pairs", "methods"} <= set(held):
        return "benchmark"
    return "config" if set(held) <= {f.name for f in dataclasses.fields(Settings)} else "domain"


@pytest.mark.parametrize("block", [b for p in PAGES for b in blocks(p) if b.language == "yaml"], ids=str)
def test_yaml_is_what_it_is_for(block, tmp_path):
    held, file = yaml.safe_load(block.text), tmp_path / "held.yaml"
    assert isinstance(held, dict), f"{block}: no 'name: value' pairs"
    file.write_text(block.text)
    kind = kind_of(held)
    if kind == "benchmark":
        assert read_plan(file, tmp_path / "out").jobs
    elif kind == "config":
        check_run(settings(file))
    else:
        for known in (ROOT / "configs" / "domains").glob("*.yaml"):
            shutil.copy(known, tmp_path)
        if not ("extends" in held or {"legend", "images"} <= set(held)):  # some fields, where a page goes through them
            rest = yaml.safe_load((tmp_path / "dubai.yaml").read_text())
            ignore = {"ignore": []} if "legend" in held else {}
            file.write_text(yaml.safe_dump({**rest, **ignore, **held}))
        fields = read_domain_file(file)
        assert len(fields.class_legend) >= 2


def script(*words):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}  # this checkout's, whichever is installed
    return subprocess.run([sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("made", ["docs/generate.py", "docs/diagrams.py"])
def test_what_scripts_make_is_up_to_date(made):
    said = script(made, "--check")
    assert said.returncode == 0, f"run python {made}: {said.stdout}{said.stderr}"


def test_every_method_has_a_page_that_tells_its_options():
    for method in METHODS:
        text = (ROOT / "docs" / "methods" / f"{method}.md").read_text()
        assert all(f"| `{option}` |" in text for option in METHODS[method].options())
        assert (ROOT / "docs" / "methods" / f"{method}.svg").is_file()
        assert all(f"## {part}" in text for part in ("The idea", "The loss", "Options", "Deviations", "Results"))


@pytest.mark.slow
def test_site_builds_strictly_and_fetches_nothing(tmp_path):
    pytest.importorskip("material")
    pytest.importorskip("mkdocs_jupyter")
    said = script("-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site"))
    assert said.returncode == 0, said.stdout + said.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        text = page.read_text()
        fetched = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=\"?(?:https?:)?//[^\s\">]+", text)
        assert not fetched, f"{page.name} fetches {fetched}"
        assert not re.search(r"cdnjs\.|unpkg\.com|jsdelivr\.|fonts\.g", text), f"{page.name} may fetch from elsewhere"
    dacs = (tmp_path / "site" / "methods" / "dacs.html").read_text()
    assert '<svg xmlns="http://www.w3.org/2000/svg"' in dacs and "dacs.svg" not in dacs
