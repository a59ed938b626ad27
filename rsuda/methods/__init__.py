"""Find methods by name: those of rsuda, of installed packages, and of files.

A name is one of the table below, one of the entry-point group ``rsuda.methods`` of an installed package, or
``my_file.py:MyMethod``. Nothing is imported before a method is used, so that names and presets need no torch.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsuda.core.display import quoted, shown
from rsuda.core.documents import read_yaml
from rsuda.core.errors import InputError, MissingError, unknown
from rsuda.core.validation import validate
from rsuda.methods.old_options import todays

if TYPE_CHECKING:
    from rsuda.methods.base import Method, MethodOptions

GROUP = "rsuda.methods"
_PAPERS = {
    "source-only": "source_only:SourceOnly",
    "adaptsegnet": "adaptsegnet:AdaptSegNet",
    "dacs": "dacs:DACS",
    "daformer": "daformer:DAFormer",
    "hrda": "hrda:HRDA",
    "mic": "mic:MIC",
    "bicl": "bicl:BiCL",
    "cluda": "cluda:CLUDA",
    "st-dasegnet": "st_dasegnet:STDASegNet",
    "source-free": "source_free:SourceFree",
}


def find_method(name: str) -> type[Method]:
    """Find the class of a method.

    Raises:
        InputError: the name is unknown, or its file or package holds no such method.
        MissingError: the file is missing.
    """
    file = _file_of(name)
    if file is not None:
        return _method_of_file(file, name.rpartition(":")[2])
    if name in _PAPERS:
        module, _, cls = _PAPERS[name].partition(":")
        return _as_method(getattr(importlib.import_module(f"{__name__}.{module}"), cls), name)
    if point := _entry_points().get(name):
        try:
            return _as_method(point.load(), name)
        except InputError:
            raise
        except Exception as error:  # an installed package may raise anything
            raise InputError(f"method {name} of {point.value} cannot be imported: {_first_line(error)}") from error
    raise _unknown_method(name)


def _unknown_method(name: str) -> InputError:
    if name.lower().endswith(".py"):
        return InputError(f"method {name} is a file alone: add the name of its class, {name}:CLASS")
    return unknown("method", name, METHODS)


class _Methods(Mapping[str, "type[Method]"]):
    """The named methods, each imported when it is asked for."""

    def __getitem__(self, name: str) -> type[Method]:
        if name not in _PAPERS and name not in _entry_points():
            raise KeyError(name)
        return find_method(name)

    def __contains__(self, name: object) -> bool:
        return name in _PAPERS or name in _entry_points()

    def __iter__(self) -> Iterator[str]:
        return iter({**_PAPERS, **_entry_points()})

    def __len__(self) -> int:
        return len({**_PAPERS, **_entry_points()})


METHODS: Mapping[str, type[Method]] = _Methods()


def absolute_name(name: str) -> str:
    """Return the name with its file's absolute path, which means the same in every working folder."""
    file = _file_of(name)
    return name if file is None else f"{file}:{name.rpartition(':')[2]}"


def presets_of(name: str) -> dict[str, dict[str, Any]]:
    """Read what a method changes in each preset, from the YAML file beside it; {} without such a file.

    Keys are names of presets, values are settings in sections. Imports no method.

    Raises:
        InputError: the method is unknown, or its file is invalid.
    """
    file = _presets_file(name)
    if file is None or not file.is_file():
        return {}
    presets = read_yaml(file, "presets file") or {}
    if not isinstance(presets, dict) or not all(_is_sections(sections) for sections in presets.values()):
        raise InputError(f"presets file {file} must hold presets of sections of 'setting: value' pairs")
    return presets


def _is_sections(sections: Any) -> bool:
    return isinstance(sections, dict) and all(isinstance(values, dict) for values in sections.values())


def _presets_file(name: str) -> Path | None:
    if file := _file_of(name):
        return file.with_suffix(".yaml")
    if name in _PAPERS:
        return Path(__file__).parent / f"{_PAPERS[name].partition(':')[0]}.yaml"
    if point := _entry_points().get(name):
        try:
            spec = importlib.util.find_spec(point.module)
        except (ImportError, ValueError):
            return None
        return Path(spec.origin).with_suffix(".yaml") if spec and spec.origin else None
    raise _unknown_method(name)


def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in _PAPERS}


def _file_of(name: str) -> Path | None:
    """Find the absolute path in 'my_file.py:MyMethod'; None for any other name."""
    path, colon, _ = str(name).rpartition(":")
    return Path(path).expanduser().absolute() if colon and path.endswith(".py") else None


def _method_of_file(file: Path, cls: str) -> type[Method]:
    if not file.is_file():
        raise MissingError(
            f"method file {shown(str(file))} is missing: pass FILE.py:CLASS, or correct it in config.yaml"
        )
    classes = vars(_module_of(file))
    if cls not in classes:
        raise unknown(f"class in {file}", cls, [n for n, value in classes.items() if isinstance(value, type)])
    return _as_method(classes[cls], f"{file}:{cls}")


@cache
def _module_of(file: Path) -> Any:
    """Import a file once, by a module name of its own."""
    name = f"rsuda_method_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a stranger's file may raise anything
        del sys.modules[name]
        raise InputError(f"method file {file} cannot be imported: {_first_line(error)}") from error
    return module


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {quoted(error) if str(error).strip() else ''}"


def _as_method(cls: Any, name: str) -> type[Method]:
    from rsuda.methods.base import Method

    if not (isinstance(cls, type) and issubclass(cls, Method)):
        raise InputError(f"{name} is {shown(cls)}: it must be a subclass of rsuda.methods.base.Method")
    return cls


def options_of(name: str, values: Mapping[str, Any]) -> MethodOptions:
    """Validate the options of a method; names and values of older versions are read as today's.

    Raises:
        InputError: an option is unknown, of the wrong type or out of range.
    """
    return validate(find_method(name).Options, todays(values, name), f"{name} option")


def option_names(name: str) -> list[str]:
    """Name the options of a method. Raises InputError, MissingError; see ``find_method``."""
    return list(find_method(name).Options.model_fields)


def described(name: str) -> dict[str, Any]:
    """Describe a method for users: summary, paper, networks, cost, window, and ``options`` as (default, what it does) by name."""
    cls = find_method(name)
    training_passes, prediction_passes = cls.passes
    fields = cls.Options.model_fields
    return {
        "summary": cls.summary or (cls.__doc__ or "").strip().partition("\n")[0],
        "paper": cls.paper,
        "networks": cls.networks,
        "cost": training_passes + prediction_passes / 3,  # a backward pass costs about two forward ones
        "window_multiple": cls.window_multiple(cls.Options()),
        "reads": _reads(cls),
        "options": {option: (field.default, field.description or "") for option, field in fields.items()},
    }


def _reads(cls: type[Method]) -> str:
    """Name what a method reads of the domains, for a table."""
    if not cls.needs_source:
        source = "the source in its first phase, if it has one" if cls.may_learn_source else "no source"
        return f"target images, never their labels, and {source}"
    return "target images, never their labels" if cls.needs_target else "no target image"
