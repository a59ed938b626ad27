"""Files for those who cite, report and contribute are what their readers, people and programs, expect."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from rsuda.core.version import __version__

ROOT = Path(__file__).parents[2]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
INPUTS = {"textarea", "input", "dropdown", "checkboxes", "markdown"}


def licence():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]


def test_citation_has_what_cff_requires():
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cff["cff-version"] == "1.2.0" and cff["message"] and cff["title"] and cff["type"] == "software"
    for author in [*cff["authors"], *(a for r in cff["references"] for a in r["authors"])]:
        assert set(author) <= {"name"} or set(author) <= {"family-names", "given-names"}, author
    assert (str(cff["version"]), cff["license"]) == (__version__, licence())
    for reference in cff["references"]:
        assert {"type", "title", "authors"} <= set(reference)
        assert re.fullmatch(r"10\.\d{4,9}(\.\d+)*/\S+", reference.get("doi", "10.1000/1"))


@pytest.mark.parametrize("path", [f for f in FORMS if f.stem != "config"], ids=lambda p: p.stem)
def test_form_is_one_that_github_takes(path):
    form = yaml.safe_load(path.read_text())
    assert form["name"] and form["description"] and isinstance(form["labels"], list)
    ids = [part.get("id") for part in form["body"]]
    assert len(set(ids)) == len(ids)
    for part in form["body"]:
        assert part["type"] in INPUTS and (part["type"] == "markdown" or part["attributes"]["label"])
        if part["type"] in ("dropdown", "checkboxes"):
            options = part["attributes"]["options"]
            assert options and all(isinstance(o, str if part["type"] == "dropdown" else dict) for o in options)
    assert any(part.get("validations", {}).get("required") for part in form["body"])


def test_forms_are_those_that_pages_speak_of():
    assert {f.stem for f in FORMS} == {"bug", "data", "method", "config"}
    assert isinstance(
        yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/config.yml").read_text())["blank_issues_enabled"], bool
    )


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md", ".github/PULL_REQUEST_TEMPLATE.md"])
def test_files_that_pages_name_exist(page):
    text = (ROOT / page).read_text()
    named = {n for n in re.findall(r"(?:`|python )((?:docs|tests|benchmarks|notebooks|configs|rsuda)/[\w/.-]+)", text)}
    assert not [n for n in named if not (ROOT / n).exists()]
    assert re.findall(r"weights_only|safe_load", text) or page != "SECURITY.md"


def test_nothing_unsafe_is_called():
    """What SECURITY.md says of weights and YAML."""
    for file in (ROOT / "rsuda").rglob("*.py"):
        text = file.read_text()
        for call in re.findall(r"torch\.load\([^\n]*(?:\n[^\n]*){0,2}", text):
            assert "weights_only=True" in call, f"{file}: {call}"
        assert not re.search(
            r"yaml\.(load|unsafe_load|full_load)\(|\bpickle\.loads?\(|(?<![\w.])(eval|exec)\(", text
        ), file


def test_workflows_run_scripts_that_are_there():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())["jobs"]
    scripts = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert sorted(scripts) == [".ci/run", ".ci/run-minimum"]
    assert all((ROOT / script).stat().st_mode & 0o100 for script in scripts)
