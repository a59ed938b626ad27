"""Check the five rules of English that a program can check: words to avoid in prose, and names of variables."""

import ast
import json
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = sorted((ROOT / "rsuda").rglob("*.py"))
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / ".github").rglob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("notebooks/*.py"),
    ]
)
PHRASES = (
    "told", "shall", "anew", "whoever", "is none", "at hand", "lies nowhere", "of another kind", "nobody's",
)  # fmt: skip
NEGATION = r"(?<!there\s)(?:is|are)[\s#]+no"  # "it is no raster"; "there is no raster" is plain English
WORDS = re.compile(r"\b(" + "|".join(PHRASES).replace(" ", r"[\s#]+") + "|" + NEGATION + r")\b", re.IGNORECASE)
PARTICIPLES = {
    "found", "told", "held", "kept", "given", "made", "here", "there", "own", "shown", "asked", "wanted",
    "chosen", "covered", "missing", "refused", "lacking", "absent", "begun", "used", "taken", "selected",
    "turned", "shifted", "written", "moved", "masked", "stored", "scored", "saved", "folded", "squared",
    "described", "dropped", "explained", "resolved", "fitted", "mapped", "seen", "drawn", "known", "named",
    "scaled", "ignored", "adapted", "coloured", "marked", "removed", "added", "joined", "rounded", "shared",
    "padded",
}  # fmt: skip
LETTERS = {"i", "k", "x", "y", "_"}  # indices and coordinates
FORMULAS = {"geo", "learning", "methods"}  # folders whose code states formulas in their symbols


def name(path):
    return path.relative_to(ROOT).as_posix()


def comments(source):
    """The comments of Python source, with their lines."""
    lines = iter(source.splitlines(keepends=True))
    tokens = tokenize.generate_tokens(lambda: next(lines, ""))
    return [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]


def texts(source):
    """The comments and string literals of Python source, f-strings included, with their lines."""
    nodes = ast.walk(ast.parse(source))
    strings = [(n.lineno, n.value) for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return strings + comments(source)


def words_in(texts):
    """Avoided words with their lines, also those that a line break divides."""
    return [
        f"line {line + text.count(chr(10), 0, match.start())}: {' '.join(match.group().split())}"
        for line, text in texts
        for match in WORDS.finditer(text)
        if "None" not in match.group()  # code such as `crop is None`
    ]


def page_words(path):
    text = path.read_text()
    if path.name == "CHANGELOG.md":  # older releases stay as they were published
        text = text[: [*(m.start() for m in re.finditer(r"^## ", text, re.MULTILINE)), len(text)][1]]
    return words_in(comments(text) if path.suffix == ".py" else [(1, text)])


def variables(source):
    """Names that a source binds: assignments, loops, comprehensions, parameters, and the targets of with and except."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.lineno, node.name


def variable_names(path):
    formulas = path.relative_to(ROOT / "rsuda").parts[0] in FORMULAS
    return [
        f"line {line}: {variable}"
        for line, variable in variables(path.read_text())
        if variable in PARTICIPLES or (not formulas and len(variable) == 1 and variable not in LETTERS)
    ]


CHECKS = {
    "words": (
        {*PACKAGE, *PAGES},
        lambda path: words_in(texts(path.read_text())) if path in PACKAGE else page_words(path),
    ),
    "variables": ({*PACKAGE}, variable_names),
}


def test_rules_see_what_they_forbid():
    assert len(PACKAGE) > 100 and len(PAGES) > 30
    source = 'def f(found, *, n=0):\n    """It is none."""\n    s = [k for k in f"told {n}"]  # nobody\'s\n'
    assert {word for _, text in texts(source) for word in WORDS.findall(text)} == {"is none", "told", "nobody's"}
    assert sorted(variable for _, variable in variables(source)) == ["found", "k", "n", "s"]
    assert words_in([(1, "what\n    lies\n    nowhere")]) == ["line 2: lies nowhere"]
    assert words_in([(1, "it is no raster, and they are\n# no rasters")]) == ["line 1: is no", "line 1: are # no"]
    assert not words_in([(1, "there is no file; there\nare no files")])
    assert not words_in([(1, "threshold, Marshall, `scene is None`")])


@pytest.mark.parametrize("check", CHECKS)
def test_english_keeps_its_rules(check):
    paths, offences = CHECKS[check]
    problems = {name(path): offences(path) for path in sorted(paths)}
    problems = {file: lines for file, lines in problems.items() if lines}
    assert not problems, json.dumps(problems, indent=1)
