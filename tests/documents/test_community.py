"""Check the files for citing, reporting and contributing, and the promises of SECURITY.md."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from rsuda.core.version import __version__

ROOT = Path(__file__).parents[2]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
assert len(FORMS) == 4
INPUTS = {"textarea", "input", "dropdown", "checkboxes", "markdown"}


def licence():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]


def test_citation_has_the_fields_that_cff_requires():
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cff["cff-version"] == "1.2.0" and cff["message"] and cff["title"] and cff["type"] == "software"
    for author in [*cff["authors"], *(a for r in cff["references"] for a in r["authors"])]:
        assert set(author) <= {"name"} or set(author) <= {"family-names", "given-names"}, author
    assert (str(cff["version"]), cff["license"]) == (__version__, licence())
    for reference in cff["references"]:
        assert {"type", "title", "authors"} <= set(reference)
        assert re.fullmatch(r"10\.\d{4,9}(\.\d+)*/\S+", reference.get("doi", "10.1000/1"))


@pytest.mark.parametrize("path", [f for f in FORMS if f.stem != "config"], ids=lambda p: p.stem)
def test_github_can_read_each_form(path):
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


def test_every_form_that_pages_name_exists():
    assert {f.stem for f in FORMS} == {"bug", "data", "method", "config"}
    assert isinstance(
        yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/config.yml").read_text())["blank_issues_enabled"], bool
    )


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md", ".github/PULL_REQUEST_TEMPLATE.md"])
def test_every_file_that_pages_name_exists(page):
    text = (ROOT / page).read_text()
    named = {n for n in re.findall(r"(?:`|python )((?:docs|tests|benchmarks|notebooks|configs|rsuda)/[\w/.-]+)", text)}
    assert not [n for n in named if not (ROOT / n).exists()]
    assert re.findall(r"weights_only|safe_load", text) or page != "SECURITY.md"


UNSAFE = {"eval", "exec", "compile", "__import__"}
UNPICKLING = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "multiprocessing.connection"}
PIPES = {"Pipe", "Queue", "SimpleQueue", "JoinableQueue", "Listener", "Client", "Connection"}  # they unpickle messages

# messages of child processes that the module itself starts, and a queue between threads
OF_CHILDREN = {
    "worker.py": ["queue.Queue"],
    "on_this_machine.py": [
        "import multiprocessing.connection",
        "import Connection",
        "_SPAWN.Pipe",
        "self.connection.recv",
        "connection.recv",
    ],
}


def unsafe_imports(node):
    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
    yield from (f"import {module}" for module in modules if module in UNPICKLING)
    if isinstance(node, ast.ImportFrom) and node.module.startswith("multiprocessing"):
        yield from (f"import {alias.name}" for alias in node.names if alias.name in PIPES)


def is_unsafe(call):
    name = ast.unparse(call.func)
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if name == "torch.load":
        return options.get("weights_only") != "True"
    if name in UNSAFE or re.fullmatch(r"yaml\.(load|load_all|unsafe_load|full_load)", name):
        return True
    return options.get("allow_pickle", "False") != "False" or name.endswith((".recv", ".Pipe", ".Queue", "jit.load"))


def unsafe(source):
    """Calls and imports that can run code of a file or a message: evaluation, unpickling, YAML tags, whole checkpoints."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from unsafe_imports(node)
        elif isinstance(node, ast.Call) and is_unsafe(node):
            yield ast.unparse(node.func)


@pytest.mark.parametrize("source", [
    "eval(x)", "import pickle", "from pickle import loads", "torch.load(f)", "torch.load(f, weights_only=False)",
    "yaml.load(t, Loader=L)", "np.load(f, allow_pickle=True)", "from multiprocessing import Pipe", "ours.recv()",
])  # fmt: skip
def test_unsafe_code_is_seen(source):
    assert list(unsafe(source))


def test_package_runs_no_code_of_files_or_messages():
    """SECURITY.md promises it."""
    files = sorted((ROOT / "rsuda").rglob("*.py"))
    calls = {file.name: list(unsafe(file.read_text())) for file in files}
    assert len(files) > 100
    assert {file: names for file, names in calls.items() if names} == OF_CHILDREN


def test_workflow_runs_scripts_that_exist_and_the_pythons_of_the_package():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())["jobs"]
    commands = {step["run"].split()[0] for job in jobs.values() for step in job["steps"] if "run" in step}
    assert commands == {".ci/run", ".ci/run-minimum", "pip", "pytest"}
    assert all((ROOT / script).stat().st_mode & 0o100 for script in commands if script.startswith(".ci/"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pythons = [c.rpartition(" ")[2] for c in project["classifiers"] if "Python :: 3." in c]
    release = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]
    scripts = {step["run"].split()[0] for job in release.values() for step in job["steps"] if "run" in step}
    assert scripts == {".github/packaging/prepare", "python", "pip", "twine", "tar", "pytest", "rsuda", "gh"}
    assert (ROOT / ".github/packaging/prepare").stat().st_mode & 0o100
    assert jobs["pythons"]["strategy"]["matrix"]["python"] == pythons
    assert project["requires-python"] == f">={pythons[0]}"
