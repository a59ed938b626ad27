"""Check that sentences of pages and of public docstrings have at most 25 words.

Code, tables, headings, addresses of links and formulas are left out. A piece of code within a sentence is one word, and so
is a paper's title or reference.
"""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST = 25  # words
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / name for name in ("README.md", "BENCHMARKS.md", "DESIGN.md"))])
PACKAGE = sorted((ROOT / "rsuda").rglob("*.py"))
FENCE = re.compile(
    r"^ *```.*?^ *```|^=+ [= ]+$.*^=+ [= ]+$", re.MULTILINE | re.DOTALL
)  # code, or a table of a docstring
NO_PROSE = re.compile(r"^ *(#|\||:::|!\[|<|>>>|\.\.\. )|^ {4,}\S")
ITEM = re.compile(r"^ *([-*]|\d+\.) ")
ARGUMENT = re.compile(ITEM.pattern + r"|^ {4}(?=\S)")  # also an indented row of a docstring
CODE = re.compile(r"(`+).+?\1|\$[^$]+\$")
LINK = re.compile(r"!?\[([^\]]*)\](\([^)]*\)|\[[^\]]*\])|<?https?://\S+")
REFERENCE = re.compile(r"""\([^()]*\b(19|20)\d\d\b[^()]*\)|"[A-Z][^"]{20,}\"""")  # of a paper: its place, or its title
END = re.compile(r"""(?<!\bal)(?<!\be\.g)(?<!\bi\.e)(?<!\bvs)[.!?]["')*]*\s+""")


def blocks(text, new_block=ITEM):
    """Paragraphs and list items of Markdown or of a docstring as (line, words in a row)."""
    text = FENCE.sub(lambda fence: "\n" * fence.group().count("\n"), text)
    line, parts, after_item = 1, [], False
    for number, row in enumerate([*text.splitlines(), ""], 1):
        item = new_block.match(row)
        prose = item or (row.strip() and (after_item or not NO_PROSE.match(row)))
        if (item or not prose) and parts:
            yield line, " ".join(parts)
            parts = []
        if prose:
            line = line if parts else number
            parts.append(new_block.sub("", row).strip())
        after_item = bool(prose and (item or after_item))


def sentences(text, new_block):
    """Sentences as (line of their block, words)."""
    for line, block in blocks(text, new_block):
        block = LINK.sub(lambda link: link.group(1) or "link", CODE.sub("Code", REFERENCE.sub("Reference", block)))
        for sentence in END.split(block):
            yield line, [word for word in sentence.split() if re.search(r"\w", word)]


def long_sentences(text, new_block=ITEM):
    return [
        f"line {line}: {len(words)} words: {' '.join(words)}"
        for line, words in sentences(text, new_block)
        if len(words) > MOST
    ]


def public_docstrings(source):
    """Docstrings of the module and of its classes, functions and methods without a leading underscore."""

    def walk(node):
        text = ast.get_docstring(node)
        if text:
            yield getattr(node, "lineno", 1), text
        for child in node.body:
            definition = isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            if definition and not child.name.startswith("_"):
                yield from walk(child)

    return walk(ast.parse(source))


def offences(path):
    if path.suffix == ".md":
        return long_sentences(path.read_text())
    return [
        f"docstring at {line}, {problem}"
        for line, text in public_docstrings(path.read_text())
        for problem in long_sentences(text, ARGUMENT)
    ]


def test_sentences_are_counted_as_a_reader_counts_them():
    long = "word " * 26
    assert long_sentences(long) and not long_sentences(long[5:])
    assert long_sentences(f"- item\n  {long}") and long_sentences(f"A table:\n\n{long}(Guo et al. 2017)")
    assert not long_sentences(f"# {long}\n\n| {long} |\n\n```text\n{long}\n```\n\n    {long}\n\n`{long}` is code")
    assert not long_sentences("word " * 20 + "ends. rsuda " + "word " * 20)
    assert not long_sentences(f"See [one]({long.replace(' ', '-')}) " + "word " * 22)
    text = f'"""{long}"""'
    source = f"{text}\nclass A:\n    def b(self):\n        {text}\n    def _c(self):\n        {text}\n"
    assert [line for line, text in public_docstrings(source) if long_sentences(text)] == [1, 3]


@pytest.mark.parametrize("paths", [PAGES, PACKAGE], ids=["pages", "package"])
def test_no_sentence_is_long(paths):
    assert len(paths) > 25
    problems = {path.relative_to(ROOT).as_posix(): offences(path) for path in paths}
    problems = {file: lines for file, lines in problems.items() if lines}
    assert not problems, json.dumps(problems, indent=1)
