"""The fenced blocks of the documentation's pages, and the options that its commands may have.

Blocks say by their language what is done with them: ``bash`` and ``python`` are run in the order of the page, ``yaml`` is
checked as what it is (and written, if it has a title, for the commands below it), ``text`` is only read: its ``rsuda …`` lines
must be commands that exist.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer.main

from rsuda.cli import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(p for p in (ROOT / "docs").rglob("*.md"))])
assert len(PAGES) >= 30
LANGUAGES = {"bash", "python", "yaml", "text", "json", "svg"}
_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>```+)(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)(?P=fence) *$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """``line`` is that of the opening fence; ``title`` the file name in ``yaml title="city.yaml"``, or ''."""

    page: Path
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found, whole = [], page.read_text()
    for match in _FENCE.finditer(whole):
        language, _, rest = match["info"].strip().partition(" ")
        title = re.search(r'title="([^"]*)"', rest)
        body = re.sub(rf"^{match['indent']}", "", match["body"], flags=re.M)
        line = whole.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, language, title.group(1) if title else "", body))
    return found


def commands(text: str) -> list[list[str]]:
    """The words of each ``rsuda …`` command of a block, without ``rsuda``; '…' stands for words left out."""
    found = []
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        for part in re.split(r"&&|;|\|", line):
            if re.match(r"(\$ )?(\.venv/bin/)?rsuda( |$)", part.strip()):
                found.append(shlex.split(part.strip().removeprefix("$ "), comments=True)[1:])
    return found


def others(text: str) -> list[str]:
    """What a bash block asks for beside rsuda and its installation."""
    kept = []
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        for part in re.split(r"&&|;|\|", line):
            words = shlex.split(part.strip(), comments=True)
            program = words[0].rpartition("/")[2] if words else ""
            if words and program not in ("rsuda", "pip", "pytest") and words[:3] != ["python3", "-m", "venv"]:
                kept.append(part.strip())
    return kept


@cache
def _group() -> Any:
    return typer.main.get_command(app)


def options(command: str | None = None) -> set[str]:
    """The options of a command, or of all of them. Raises KeyError for a command that does not exist."""
    group = _group()
    chosen = group.commands.values() if command is None else [group.commands[command]]
    found = {"--help", "--version"}
    for one in chosen:
        found |= {o for p in one.params for o in (*p.opts, *p.secondary_opts) if o.startswith("-")}
    return found


def unknown_words(words: list[str]) -> list[str]:
    """What of a command line rsuda does not have: the command, or options."""
    if not words or words[0] in ("--help", "--version", "…", "COMMAND"):
        return []
    try:
        known = options(words[0])
    except KeyError:
        return [words[0]]
    given = [w.partition("=")[0] for w in words[1:] if re.match(r"--?[a-zA-Z]", w)]
    return [w for w in given if w not in known]
