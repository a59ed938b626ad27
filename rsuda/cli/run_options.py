"""Declare the options of a run, which ``rsuda adapt`` and ``rsuda config`` share, from the fields of the settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from rsuda.cli import completion
from rsuda.cli.options import MAIN, Command, FieldOption, with_options
from rsuda.core.errors import InputError
from rsuda.core.setting_keywords import KEYWORDS
from rsuda.core.settings import setting_field

TRAINING = "Model and training"
GROUPS = {
    MAIN: ("source", "target", "data", "method", "steps"),
    "Domains": ("source_split", "target_split", "source_bands", "target_bands", "source_nodata", "target_nodata"),
    "Alignment (each is 'auto' or off by default)": (
        "gsd",
        "standardise",
        "band_matching",
        "band_mixing",
        "colours",
        "target_statistics",
        "rare_temperature",
    ),
    TRAINING: (
        *("preset", "encoder", "weights", "start", "lr", "batch_size", "accumulate", "window", "seed"),
        *("score_every", "bank", "logger", "witness"),
    ),
    "Machine": ("device", "precision", "workers", "threads"),
    "Several devices or machines": ("devices", "nodes", "strategy"),
}
_SETTINGS = {"source": "source.name", "target": "target.name", **KEYWORDS}
_COMPLETE = {
    "source": completion.domains,
    "target": completion.domains,
    "method": completion.methods,
    "preset": completion.presets,
}
_KINDS: dict[str, Any] = {"source": list[str], "data": Path}


def run_option(name: str, group: str = MAIN) -> FieldOption:
    """Make one option of a run."""
    return FieldOption(
        name,
        setting_field(_SETTINGS[name]),
        group=group,
        complete=_COMPLETE.get(name),
        kind=_KINDS.get(name),
        environment="RSUDA_DATA" if name == "data" else None,
    )


def with_settings(*, before: str) -> Callable[[Command], Command]:
    """Give a command the options of a run."""
    options = [run_option(name, group) for group, names in GROUPS.items() for name in names]
    return with_options(options, before=before)


Domains = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SOURCE TARGET]",
        help="The domains, instead of --source and --target.",
        autocompletion=completion.domains,
        show_default=False,
    ),
]
Config = Annotated[
    Path | None, typer.Option(help="YAML file of settings; flags override it.", rich_help_panel=TRAINING)
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Any setting, such as optimizer.weight_decay=0.05 or method.jitter=0.3; may be repeated.",
        rich_help_panel=TRAINING,
    ),
]


def domains_of(
    words: Sequence[str] | None, source: Sequence[str] | None, target: str | None, start: Path | None = None
) -> tuple[list[str] | None, str | None]:
    """Take source and target from the words before the flags, of which the last is the target, or from the flags.

    One word alone is the target of a run that starts from another without its source.

    Raises:
        InputError: domains in both ways, or one word alone without a start.
    """
    if not words:
        return list(source) if source else None, target
    if target is not None or source:
        flags = " and ".join(flag for flag, value in (("--source", source), ("--target", target)) if value)
        raise InputError(
            f"'{' '.join(words)}' and {flags} both name domains: name them once, and quote patterns such as 'tiles/*.tif'"
        )
    *sources, last = words
    if not sources and start is None:
        raise InputError(f"'{last}' is one domain: name two, rsuda adapt SOURCE TARGET")
    return sources or None, last
