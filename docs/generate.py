"""Tables of the pages that the code or a results file knows: options of methods and commands, settings, presets, scores.

python docs/generate.py           # writes them between the marks of each page
python docs/generate.py --check   # says which pages are not up to date, and ends with 1 if any is
"""

from __future__ import annotations

import csv
import inspect
import re
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer.main

from rsuda.cli import app
from rsuda.core.settings import Settings, description, make_settings, preset, preset_names, setting_names
from rsuda.evaluation.label_free import LabelFree
from rsuda.methods import METHODS, described, presets_of

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "benchmarks" / "results" / "four_fields_lite0" / "table.csv"
FIELDS = {
    "dubai → mumbai": "Dubai → Mumbai: other city, sensor, season",
    "mumbai → dubai": "Mumbai → Dubai: the same, back",
    "dubai 1 m → 0.5 m": "Dubai at 1 m → Dubai at 0.5 m: other district",
    "mumbai RGB → IRRG": "Mumbai → simulated IRRG sensor",
}
MARKS = re.compile(r"(<!-- table: (?P<what>[\w -]+) -->\n).*?(<!-- end of table -->)", re.S)


def cell(text: Any) -> str:
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def table(head: list[str], rows: list[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell(c) for c in line) + " |\n" for line in lines)


def documented(cls: type, heading: str) -> dict[str, str]:
    """Field to what its class's docstring says of it."""
    told: dict[str, str] = {}
    text = inspect.cleandoc(cls.__doc__ or "").partition(heading)[2]
    for names, what in re.findall(r"^    (\w+(?:, \w+)*): (.*(?:\n {8,}.*)*)", text, re.MULTILINE):
        told |= dict.fromkeys(names.split(", "), " ".join(what.split()))
    return told


def method(name: str) -> str:
    about = described(name)
    facts = (
        f"In memory while training: {about['networks']}. A step costs about {about['cost']:.1f} times one of "
        f"source-only. Windows are multiples of {about['window_multiple']} px. It reads {about['reads']}.\n\n"
    )
    if not about["options"]:
        return facts
    presets = {k: v.get("method", {}) for k, v in presets_of(name).items() if k in ("small", "paper")}
    rows = []
    for option, (default, what) in about["options"].items():
        changed = [f"`{preset}`: {values[option]}" for preset, values in presets.items() if option in values]
        rows.append([f"`{option}`", f"`{default if default != '' else repr(default)}`", "; ".join(changed), what])
    return facts + table(["option", "default", "presets", "what it does"], rows)


def methods() -> str:
    """Compare all methods in one table, for the site."""
    rows = []
    for name in METHODS:
        about = described(name)
        rows.append(
            [
                f"[`{name}`]({name}.md)",
                about["networks"],
                f"{about['cost']:.1f}",
                f"{about['window_multiple']} px",
                about["reads"],
            ]
        )
    return table(["method", "in memory while training", "cost of a step", "window, multiples of", "reads"], rows)


def settings() -> str:
    defaults = Settings().by_name()
    rows = [[f"`{name}`", f"`{defaults[name]!r}`", description(name)] for name in setting_names()]
    return table(["setting", "default", "what it is"], rows)


def presets() -> str:
    names = (
        "network.encoder", "network.decoder", "training.steps", "training.batch_size", "patches.window", "optimizer.name",
        "optimizer.lr", "network.weights",
    )  # fmt: skip
    rows = []
    for name in preset_names():
        changes = {"preset": name}
        if "network" not in preset(name):
            changes["network.weights"] = "imagenet"  # an installed package may choose others
        values = make_settings(changes, presets_of=presets_of).by_name()
        rows.append([f"`{name}`", *(values[n] for n in names)])
    return table(["preset", *(n.partition(".")[2] if n != "optimizer.name" else "optimizer" for n in names)], rows)


def commands() -> str:
    group = typer.main.get_command(app)
    assert hasattr(group, "list_commands")
    text = ""
    for name in group.list_commands(None):
        command = group.commands[name]
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        usage = " ".join(
            [f"rsuda {name}", "[OPTIONS]", *((a.name or "").upper() + "…" * (a.nargs == -1) for a in arguments)]
        )
        text += f"\n## {name}\n\n{inspect.cleandoc(command.help or '')}\n\n```text\n{usage}\n```\n\n"
        rows = []
        for p in (p for p in command.params if not getattr(p, "hidden", False)):
            told = f"`{(p.name or '').upper()}`" if p in arguments else ", ".join(f"`{o}`" for o in p.opts)
            default = "" if p.default in (None, False) or callable(p.default) or not p.default else f"`{p.default}`"
            rows.append([told, default, getattr(p, "help", "") or ""])
        text += table(["option", "default", "what it does"], rows)
    return text.lstrip("\n")


def label_free() -> str:
    return table(["score", "what it is"], [[f"`{k}`", v] for k, v in documented(LabelFree, "Attributes:").items()])


def _with_deviation(values: list[float]) -> str:
    """Mean ± standard deviation over seeds; other numbers of seeds than three are in brackets."""
    if not values:
        return "-"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    seeds = "" if len(values) == 3 else f" ({len(values)})"
    return f"{statistics.mean(values):.1f}{spread}{seeds}"


def four_fields() -> str:
    """mIoU of the default method on four pairs: mean ± deviation, the paired gain and the share of the gap."""
    runs: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    with RESULTS.open(newline="") as file:
        for line in csv.DictReader(file):
            runs[line["pair"], line["row"]][int(line["seed"])] = 100 * float(line["miou"])
    rows = []
    for pair, title in FIELDS.items():
        names = ("source-only", "source-only, matched", "source-free", "oracle")
        scores = [runs.get((pair, name), {}) for name in names]
        if not any(scores):
            continue  # not run yet
        plain, matched, default, oracle = scores
        gain = [default[seed] - matched[seed] for seed in default if seed in matched]
        closed = "-"
        if plain and default and oracle:
            low, high = statistics.mean(plain.values()), statistics.mean(oracle.values())
            closed = f"{100 * (statistics.mean(default.values()) - low) / (high - low):.0f} %"
        rows.append(
            [
                title,
                *(_with_deviation(list(score.values())) for score in scores),
                f"{statistics.mean(gain):+.1f}" if gain else "-",
                closed,
            ]
        )
    head = [
        "pair",
        "source-only",
        "aligned source-only",
        "source-free (default)",
        "oracle",
        "gain over aligned",
        "gap closed",
    ]
    return table(head, rows)


TABLES: dict[str, Callable[..., str]] = {
    "settings": settings, "presets": presets, "commands": commands, "label-free": label_free,
    "method": method, "four-fields": four_fields,
}  # fmt: skip


def up_to_date(page: str) -> str:
    """A page with its tables as the code has them now."""

    def anew(match: re.Match[str]) -> str:
        what, *rest = match["what"].split(" ")
        return f"{match[1]}\n{TABLES[what](*rest)}\n{match[3]}"

    return MARKS.sub(anew, page)


def main() -> int:
    old = []
    for page in [DOCS.parent / "README.md", *sorted(DOCS.rglob("*.md"))]:
        text = page.read_text()
        made = up_to_date(text)
        if made != text:
            old.append(page)
            if "--check" not in sys.argv:
                page.write_text(made)
    print("\n".join(f"{p.relative_to(DOCS.parent)} {'is old' if '--check' in sys.argv else 'written'}" for p in old))
    return int(bool(old) and "--check" in sys.argv)


if __name__ == "__main__":
    raise SystemExit(main())
