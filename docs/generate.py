"""Tables of the pages that the code knows: options of methods and commands, settings, presets.

python docs/generate.py           # writes them between the marks of each page
python docs/generate.py --check   # says which pages are not up to date, and ends with 1 if any is
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import typer.main

from rsuda.cli import app
from rsuda.core.settings import PRESETS, Settings
from rsuda.evaluation.label_free import LabelFree
from rsuda.methods import METHODS, described
from rsuda.training.method_module import Optimisation

DOCS = Path(__file__).parent
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
        f"source-only. Crops are multiples of {about['crop']} px. It reads {about['reads']}.\n\n"
    )
    if not about["options"]:
        return facts
    presets = {k: of_preset(v, name) for k, v in PRESETS.items() if k in ("small", "paper")}
    rows = []
    for option, (default, what) in about["options"].items():
        changed = [f"`{p}`: {v['options'][option]}" for p, v in presets.items() if option in v.get("options", {})]
        rows.append([f"`{option}`", f"`{default}`", "; ".join(changed), what])
    return facts + table(["option", "default", "presets", "what it does"], rows)


def of_preset(preset: dict[str, Any], method_name: str) -> dict[str, Any]:
    own: dict[str, Any] = preset.get("methods", {}).get(method_name, {})
    return own


def methods() -> str:
    rows = []
    for name in METHODS:
        about = described(name)
        rows.append(
            [f"[`{name}`]({name}.md)", about["networks"], f"{about['cost']:.1f}", f"{about['crop']} px", about["reads"]]
        )
    return table(["method", "in memory while training", "cost of a step", "crop, multiples of", "reads"], rows)


def settings() -> str:
    told = documented(Settings, "Attributes:") | documented(Optimisation, "Attributes:")
    told |= documented(Settings, "Attributes:")
    told |= {
        "method": "what `rsuda methods` lists.", "preset": "values of the other settings; see below.",
        "encoder": "of segmentation-models-pytorch; `tu-…` is one of timm.",
        "decoder": "segformer, deeplabv3plus, deeplabv2 or daformer.", "channels": "width of the decoder.",
        "dropout": "before the classifier.", "output_stride": "of the encoder: 8, 16 or 32.",
        "weights": "of the encoder: imagenet (downloaded), none, or a file.",
        "crop": "patch size in pixels, a multiple of 32.", "seed": "of weights, patches and augmentation.",
        "precision": "auto, bf16 or fp32.", "device": "auto, cpu, cuda or cuda:N.", "workers": "processes that read patches.",
        "turns": "whether patches are mirrored and turned by right angles.",
        "photometric": "whether colours of source patches are changed at random.",
        "target_geometry": "whether target patches are mirrored and turned as well.",
    }  # fmt: skip
    shown = [[f"`{f.name}`", f"`{getattr(Settings(), f.name)!r}`", told.get(f.name, "")] for f in fields(Settings)]
    assert all(row[2] for row in shown), [row[0] for row in shown if not row[2]]
    return table(["setting", "default", "what it is"], shown)


def presets() -> str:
    names = ("encoder", "decoder", "steps", "batch_size", "crop", "optimiser", "lr", "weights")
    rows = []
    for preset, held in PRESETS.items():
        values = held | of_preset(held, "st-dasegnet")
        rows.append([f"`{preset}`", *(values.get(n, getattr(Settings(), n)) for n in names)])
    return table(["preset", *names], rows)


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


TABLES: dict[str, Callable[..., str]] = {
    "methods": methods, "settings": settings, "presets": presets, "commands": commands, "label-free": label_free,
    "method": method,
}  # fmt: skip


def up_to_date(page: str) -> str:
    """A page with its tables as the code has them now."""

    def anew(match: re.Match[str]) -> str:
        what, *rest = match["what"].split(" ")
        return f"{match[1]}\n{TABLES[what](*rest)}\n{match[3]}"

    return MARKS.sub(anew, page)


def main() -> int:
    old = []
    for page in sorted(DOCS.rglob("*.md")):
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
