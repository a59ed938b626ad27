"""Settings of a run in sections: what each one is, its range, and how presets, files and flags override each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from re import fullmatch
from typing import Any, ClassVar, Self

import yaml
from pydantic import Field
from pydantic.fields import FieldInfo

from rsuda.core.display import shown
from rsuda.core.documents import read_json, read_yaml
from rsuda.core.errors import InputError, MissingError, unknown
from rsuda.core.hub import CONFIG as CONFIG
from rsuda.core.hub import SPEC, HubAddress, local_model
from rsuda.core.hub_settings import OBJECT as OBJECT
from rsuda.core.hub_settings import of_hub
from rsuda.core.old_settings import OLD_NAMES, note_old_names, renamed_options
from rsuda.core.packaged_encoders import choose_encoder
from rsuda.core.setting_sections import (
    AlignSettings,
    MethodSettings,
    NetworkSettings,
    OptimizerSettings,
    PatchSettings,
    SourceSettings,
    TargetSettings,
    Text,
    TrainingSettings,
    ValidationSettings,
    WitnessSettings,
)
from rsuda.core.spelling import spell
from rsuda.core.unknown_setting import unknown_setting
from rsuda.core.validation import FrozenModel, validate
from rsuda.core.version import __version__

_LIKE = "like"  # of a preset's file: the preset whose changes for a method hold here too
PRESET_FILES = Path(__file__).with_name("presets")

MethodPresets = Callable[[str], Mapping[str, Mapping[str, Any]]]  # name of a method -> preset -> deviations in sections
OptionNames = Callable[[str], Iterable[str]]  # name of a method -> names of its options


class Settings(FrozenModel):
    """All settings of ``rsuda adapt`` in sections. A run folder has them in ``config.yaml``, which ``config`` reads."""

    sections: ClassVar[tuple[str, ...]] = (
        "source",
        "target",
        "align",
        "patches",
        "method",
        "network",
        "optimizer",
        "training",
        "validation",
    )

    preset: Text = Field("small", description="Preset: small, raw, sample, paper, mit-b0, mit-b5 or resnet50.")
    data: Text | None = Field(None, description="Folder of the data of both domains.")
    source: SourceSettings = Field(SourceSettings(), description="The labelled domain.")
    target: TargetSettings = Field(TargetSettings(), description="The domain that is adapted to.")
    align: AlignSettings = Field(AlignSettings(), description="What brings the domains nearer.")
    patches: PatchSettings = Field(PatchSettings(), description="How patches are drawn and augmented.")
    method: MethodSettings = Field(MethodSettings(), description="The method and its own options.")
    network: NetworkSettings = Field(NetworkSettings(), description="The network and its first weights.")
    optimizer: OptimizerSettings = Field(OptimizerSettings(), description="How it is optimised.")
    training: TrainingSettings = Field(TrainingSettings(), description="How long, how large, and where.")
    validation: ValidationSettings = Field(ValidationSettings(), description="Scores on the target.")

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """Return settings with some values changed, by dotted names such as 'training.steps'.

        Raises:
            InputError: a name that is unknown, or a value out of range.
        """
        fields = merged(self.model_dump(), by_section(changes))
        return validate(type(self), fields, "setting")

    def by_name(self) -> dict[str, Any]:
        """Return every value by its dotted name, the method's options among them."""
        values: dict[str, Any] = {}
        for name, value in self.model_dump().items():
            values |= {f"{name}.{k}": part for k, part in value.items()} if name in self.sections else {name: value}
        return values


def is_auto(name: str, value: Any) -> bool:
    """Check whether a setting, by its dotted name, is chosen by a look at both domains before training."""
    return name.startswith("align.") and value == "auto"


def section_model(section: str) -> type[FrozenModel]:
    """Find the model of a section: its fields with their types and ranges."""
    model = Settings.model_fields[section].annotation
    assert isinstance(model, type) and issubclass(model, FrozenModel)
    return model


def setting_names(options: Iterable[str] = ()) -> list[str]:
    """Name every setting with dots, and the options of a method."""
    names = ["preset", "data"]
    for section in Settings.sections:
        fields = section_model(section).model_fields
        names += [f"{section}.{field}" for field in fields if (section, field) != ("method", "options")]
    return [*names, *(f"method.{option}" for option in options)]


def setting_field(name: str) -> FieldInfo:
    """Find the field of a setting by its dotted name: its type, range, default and description.

    Of a method's options those alone that are flags of commands."""
    section, _, field = name.rpartition(".")
    if section == "method" and field in WitnessSettings.model_fields:
        return WitnessSettings.model_fields[field]
    return (section_model(section) if section else Settings).model_fields[field]


def description(name: str) -> str:
    """Describe a setting by its dotted name."""
    return str(setting_field(name).description)


def preset_names() -> tuple[str, ...]:
    """Name the presets."""
    return tuple(sorted(file.stem for file in PRESET_FILES.glob("*.yaml")))


def preset(name: Any) -> dict[str, Any]:
    """Read the deviations of a preset, in sections. Raises InputError for an unknown name."""
    return {section: values for section, values in _preset_file(name).items() if section != _LIKE}


def _preset_file(name: Any) -> dict[str, Any]:
    if not isinstance(name, str) or name not in preset_names():
        raise unknown("preset", name, preset_names())
    return deepcopy(_preset(name))


@cache
def _preset(name: str) -> dict[str, Any]:
    fields: dict[str, Any] = read_yaml(PRESET_FILES / f"{name}.yaml", "preset")
    return fields


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge settings in sections; later layers win, value by value."""
    fields: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            before = fields.get(name)
            fields[name] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
    return fields


def by_section(fields: Mapping[str, Any], what: str = "setting", *, old_names: bool = False) -> dict[str, Any]:
    """Group settings by section. A file may hold sections, dotted names, and the flat names of older versions.

    Args:
        fields: 'training: {steps: 5}', 'training.steps: 5' or, of older versions, 'steps: 5'. The name of a domain or method
            may stand for its section: 'source: potsdam'.
        what: noun of an entry in a sentence, such as 'setting in FILE'.
        old_names: read flat names of older versions too.

    Raises:
        InputError: a section that holds no 'name: value' pairs. Unknown names are left for ``check_names``.
    """
    sections: dict[str, Any] = {}
    for key, value in fields.items():
        key = str(key)
        if old_names and key == "options":
            value = renamed_options(_pairs(value, f"{what} options"))
            key = "method"
        elif old_names and key not in Settings.model_fields:
            key = OLD_NAMES.get(key, key)
        sections = merged(sections, _entry(key, value, what))
    return sections


def _entry(key: str, value: Any, what: str) -> dict[str, Any]:
    """Read one entry of a file, plan or command line as settings in sections."""
    section, _, name = key.partition(".")
    if name:
        return {section: {name: _number(value)}}
    if key in ("source", "target", "method") and isinstance(value, str | Path):
        return {key: {"name": str(value)}}
    if key == "source" and isinstance(value, list | tuple) and value:
        return {key: {"name": str(value[0]), "also": [str(name) for name in value[1:]]}}
    if key in Settings.sections:
        return {key: {str(k): _number(part) for k, part in _pairs(value, f"{what} {key}").items()}}
    return {key: value}


def _pairs(value: Any, what: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise InputError(f"{what} is {shown(value)}; it must be 'name: value' pairs")
    return value or {}


def check_names(
    fields: Mapping[str, Any], options: Iterable[str] | None, what: str = "setting", method: str = ""
) -> None:
    """Check the names of settings in sections.

    Args:
        options: names of the method's options; None where they are checked elsewhere.
        method: its name, for the sentence on an option that is another method's.

    Raises:
        InputError: an unknown section or name, with the nearest among all of them.
    """
    all_names = setting_names(options or ())
    for key, value in fields.items():
        if key in Settings.sections:
            for name in value:
                if f"{key}.{name}" not in all_names and (key != "method" or options is not None):
                    raise unknown_setting(what, f"{key}.{name}", all_names, method)
        elif key not in Settings.model_fields:
            raise unknown_setting(
                what, f"{key}.{next(iter(value))}" if isinstance(value, dict) and value else key, all_names
            )


def read_settings(file: str | Path) -> dict[str, Any]:
    """Read a configuration file as settings in sections; flat names of older versions are read with a note.

    Raises:
        MissingError: the file is missing.
        InputError: a file that holds no settings, or an unknown name outside the method's options.
    """
    path = Path(file).expanduser()
    fields = read_yaml(path, "configuration file") or {}
    if not isinstance(fields, dict):
        raise InputError(f"configuration file {path} holds no 'setting: value' pairs")
    sections = by_section(fields, f"setting in {path}", old_names=True)
    check_names(sections, None, f"setting in {path}")
    validate(Settings, sections, f"setting in {path}")
    note_old_names(path, [k for k in fields if k in OLD_NAMES and k not in Settings.model_fields])
    return sections


def make_settings(
    changes: Mapping[str, Any] | None = None,
    file: str | Path | None = None,
    *,
    presets_of: MethodPresets | None = None,
    option_names: OptionNames | None = None,
) -> Settings:
    """Merge a preset, what the preset changes for the method, a configuration file, and changes, in this order.

    With ``network.start`` among the changes and without a file, the configuration of that run is the file.

    Args:
        changes: by dotted names or in sections.
        file: YAML file of settings.
        presets_of: deviations of a method in each preset; ``rsuda.methods.presets_of``.
        option_names: names of a method's options, for the check of names; without it they are not checked here.

    Raises:
        InputError: an unknown name or preset, or a value of the wrong type or out of range.
        MissingError: the file is missing.
    """
    overrides = by_section(changes or {})
    start = overrides.get("network", {}).get("start")
    layer = read_settings(file) if file else {}
    if start and not file:
        layer = _settings_of_start(start)
    chosen_preset = overrides.get("preset", layer.get("preset", Settings.model_fields["preset"].default))
    base = preset(chosen_preset)
    name = _method_name(overrides, layer, base)
    if start and not file and name != _method_name(layer, base):
        layer["method"] = {}  # options of another method
    options = option_names(name) if option_names else None
    check_names(overrides, options, method=name)
    of_methods = presets_of(name) if presets_of else {}
    of_method = dict(of_methods.get(chosen_preset) or of_methods.get(_preset_file(chosen_preset).get(_LIKE, ""), {}))
    fields = merged(base, of_method, layer, overrides, {"preset": chosen_preset})
    fields = merged(fields, {"network": choose_encoder(fields.get("network") or {})})
    return validate(Settings, fields, "setting")


def _settings_of_start(start: str) -> dict[str, Any]:
    """Read the settings of the run that training starts from; of a hub's model without settings, its network alone."""
    folder = local_model(start)
    if HubAddress.of(start) is None:
        if not (folder / CONFIG).is_file():
            raise MissingError(f"{spell('start')} is {start}, where no run is: name a folder that holds {CONFIG}")
        return read_settings(folder / CONFIG)
    if (folder / CONFIG).is_file():
        return of_hub(read_settings(folder / CONFIG))
    about = read_json(folder / SPEC, "model description")
    network = about.get("architecture") if isinstance(about, dict) else None
    if not isinstance(network, dict):
        raise InputError(f"{folder / SPEC} is not a description of a model: the field 'architecture' is missing")
    names = sorted(NetworkSettings.model_fields.keys() & network.keys())
    return {"network": {name: network[name] for name in names} | {"weights": "none"}}


def _method_name(*layers: Mapping[str, Any]) -> str:
    names = [layer["method"]["name"] for layer in layers if layer.get("method", {}).get("name") is not None]
    name = names[0] if names else MethodSettings.model_fields["name"].default
    return validate(MethodSettings, {"name": name}, "setting", "method.").name


def dump(settings: Settings) -> str:
    """Write settings as YAML, in sections."""
    fields = settings.model_dump(mode="json")
    lines = yaml.safe_dump(fields, sort_keys=False)
    return f"# rsuda {__version__}: every setting of the run; rsuda adapt reads this file as its config\n{lines}"


def parse_option(text: str) -> tuple[str, Any]:
    """Read 'name=value' as a name and a YAML value. Raises InputError without '='."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise InputError(f"a setting is NAME=VALUE, such as training.steps=200, not '{text}'")
    try:
        return name.strip(), _number(yaml.safe_load(value))
    except yaml.YAMLError:
        raise InputError(f"the value in the setting '{text}' is not valid YAML") from None


def _number(value: Any) -> Any:
    """Read '5e-3' as a number; YAML takes it for a word, since it has no point."""
    return float(value) if isinstance(value, str) and fullmatch(r"[+-]?\d+[eE][+-]?\d+", value) else value
