"""Resolve what a new or resumed run does, from flags, files and defaults; nothing heavy is loaded."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rsuda.core.errors import InputError
from rsuda.core.hub import pinned
from rsuda.core.sample_data import SAMPLE_DOMAINS, tiles_folder
from rsuda.core.setting_keywords import KEYWORDS, spell_setting
from rsuda.core.setting_sections import SourceSettings
from rsuda.core.settings import (
    CONFIG,
    MethodPresets,
    OptionNames,
    Settings,
    by_section,
    make_settings,
    merged,
    section_model,
)
from rsuda.core.spelling import spell
from rsuda.core.validation import validate
from rsuda.runs.folders import free_folder, newest_checkpoint, saved_settings

FREE_TO_CHANGE = (
    "training.steps",
    "data",
    "training.device",
    "training.precision",
    "training.threads",
    "training.loggers",
    "patches.workers",
    "validation.every",
    "training.bank",
)

SOURCE_FREE = "source-free"  # the method that reads no source


def resolve(
    config: str | Path | None,
    changes: Mapping[str, Any],
    out: str | Path | None,
    resume: bool,
    tell: Callable[[str], None],
    *,
    presets_of: MethodPresets | None = None,
    option_names: OptionNames | None = None,
) -> tuple[Settings, Path]:
    """Resolve the settings of a run and its folder.

    Args:
        config: YAML file of settings.
        changes: settings that override it, by dotted names.
        out: run folder; the first free one of runs/<source>_<target>_<method> by default, the newest to resume.
        tell: called with what the user needs to know on the way.
        presets_of, option_names: of a method; see ``make_settings``.

    Raises:
        InputError, MissingError: settings that cannot be, or a run to resume that does not exist.
    """

    def make(changes: Mapping[str, Any]) -> Settings:
        return make_settings(changes, config, presets_of=presets_of, option_names=option_names)

    if resume:
        folder = Path(out).expanduser() if out else newest_checkpoint()
        if not out:
            tell(f"Resuming {folder}")
        settings = _resumed(folder, config, changes, option_names)
    else:
        settings = _new(make, changes, tell)
        folder = (
            Path(out).expanduser()
            if out
            else free_folder(settings.source.names, settings.target.name, settings.method.name)
        )
    _check_shared_folder(settings, out)
    return settings, folder


def _check_shared_folder(settings: Settings, out: str | Path | None) -> None:
    """Refuse several processes without ``out``: each resolves its own settings, and all must choose the same free folder."""
    training = settings.training
    if not out and (training.devices != "1" or training.nodes > 1):
        raise InputError(
            f"training by several processes (devices {training.devices}, nodes {training.nodes}) needs "
            f"{spell('out')}, the run folder"
        )


def _new(
    make: Callable[[Mapping[str, Any]], Settings], changes: Mapping[str, Any], tell: Callable[[str], None]
) -> Settings:
    """Resolve the settings of a new run; without a data folder the sample tiles replace the domains they imitate."""
    changes = _without_source(changes) if _is_source_free(changes) else changes
    settings = make(changes)
    if settings.network.start:
        settings = settings.changed({"network.start": pinned(settings.network.start)})
    sourceless = settings.network.start or by_section(changes).get("method", {}).get("name") == SOURCE_FREE
    source = settings.source.name or (settings.method.name == SOURCE_FREE and sourceless)
    names = {"source": source, "target": settings.target.name}
    options = [spell(option) for option, name in names.items() if not name]
    if options:
        what = "are missing: pass both" if len(options) > 1 else "is missing: pass it"
        that = "them" if len(options) > 1 else "it"
        raise InputError(f"{' and '.join(options)} {what}, or a {spell('config')} that names {that}")
    if settings.data is None and {*settings.source.names, settings.target.name} <= set(SAMPLE_DOMAINS):
        tiles = tiles_folder()
        settings = make({"preset": "sample", **changes, "data": str(tiles)})
        kind = "small preset" if settings.preset == "sample" else "preset"
        tell(
            f"No data folder was passed: using the synthetic {tiles.name}/ and the {kind} '{settings.preset}' "
            f"({settings.training.steps} steps, a few minutes on 2 cores). For real imagery pass {spell('data', 'DIR')}."
        )
    return settings


def _is_source_free(changes: Mapping[str, Any]) -> bool:
    """Check whether a run adapts a start to a target without a source: it names the method, or the target alone."""
    sections = by_section(changes)
    method, source, target = (sections.get(section, {}).get("name") for section in ("method", "source", "target"))
    if source or not sections.get("network", {}).get("start"):
        return False
    return method == SOURCE_FREE if method is not None else bool(target)


def _without_source(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Make changes that leave out what a start's settings say of its source, and let the method decide on batch norm."""
    defaults = {"method.name": SOURCE_FREE, "align.target_statistics": None, "align.rare_temperature": None}
    source = {f"source.{name}": field.default for name, field in SourceSettings.model_fields.items()}
    return merged(by_section({**source, **defaults}), by_section(changes))


def changes_of(
    names: Mapping[str, Any], keywords: Mapping[str, Any], settings: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Collect changes to the settings by dotted names, from keywords of ``rsuda.adapt`` (None: no change) and ``settings``.

    Raises InputError for a keyword of the wrong type or out of range, by the name that the reader typed.
    """
    values = {KEYWORDS[keyword]: value for keyword, value in keywords.items()}
    values["network.start"] = None if values.get("network.start") is None else os.fspath(values["network.start"])
    loggers = values.get("training.loggers")
    values["training.loggers"] = [loggers] if isinstance(loggers, str) else loggers
    common = {name: value for name, value in {**names, **values}.items() if value is not None}
    for name in common.keys() & values.keys():
        _check_keyword(name, common[name])
    return common | dict(settings or {})


def _check_keyword(name: str, value: Any) -> None:
    """Validate the value of a keyword by its setting. Raises InputError, which names the keyword."""
    section, _, field = name.rpartition(".")
    if not section:
        return
    try:
        validate(section_model(section), by_section({name: value})[section], "setting", f"{section}.")
    except InputError as error:
        # a list's entry has its number in the name
        raise InputError(re.sub(rf"setting {section}\.{field}(\.\d+)?", spell_setting(name), str(error))) from None


def _resumed(
    folder: Path, config: str | Path | None, changes: Mapping[str, Any], option_names: OptionNames | None
) -> Settings:
    """Resolve the settings of a run to resume, of which only ``FREE_TO_CHANGE`` may change."""
    run_settings = saved_settings(folder)
    settings = make_settings(changes, folder / CONFIG, option_names=option_names)
    before, after = run_settings.by_name(), settings.by_name()
    differences = [name for name in after if name not in FREE_TO_CHANGE and after[name] != before.get(name)]
    if differences or config:
        raise InputError(
            f"{spell('resume', True)} goes on with the settings of {folder} and cannot change "
            f"{', '.join(map(spell_setting, differences)) or 'them by ' + spell('config')} "
            f"(only {', '.join(map(spell_setting, FREE_TO_CHANGE))})"
        )
    return settings
