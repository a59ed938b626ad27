"""Load libraries without what rsuda does not need of them: seconds and memory of every command.

Nothing here is needed for a right result. Where a library has changed so that this fails, the module that uses it imports it
as any other.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial, wraps
from importlib import import_module
from types import ModuleType
from typing import Any

import torch

_COMPILER = "torch._dynamo"


@contextmanager
def postponed(name: str, **attributes: Any) -> Iterator[None]:
    """Let imports inside take some attributes of a module that is not loaded. Asked for another one, it is loaded.

    It is loaded too where one of its attributes is set, and imports of it from then on get the module itself. An import of a
    module within it fails.

    Args:
        name: of the module.
        attributes: what takes the place of the module's own.
    """
    if name in sys.modules:
        yield
        return
    stand_in = _StandIn(name)
    vars(stand_in).update(attributes)
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        stand_in.leave()


class _StandIn(ModuleType):
    """Stands for a module that is not loaded."""

    def leave(self) -> None:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # every import looks for a path
            raise AttributeError(attribute)
        return getattr(self._module(), attribute)

    def __setattr__(self, attribute: str, value: Any) -> None:
        if attribute.startswith("__"):  # the import system's own
            super().__setattr__(attribute, value)
        else:
            setattr(self._module(), attribute, value)

    def _module(self) -> ModuleType:
        self.leave()
        return import_module(self.__name__)


@contextmanager
def _disabled_later() -> Iterator[None]:
    """Let decorators that keep functions from the compiler do so from when it is loaded. torch's own load it to do so."""
    before = getattr(torch.compiler, "disable", None)
    if before is None:  # another torch
        yield
        return
    torch.compiler.disable = partial(_kept_from_compiler, before)
    try:
        yield
    finally:
        torch.compiler.disable = before


def _kept_from_compiler(disable: Any, function: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Decorate a function by ``torch.compiler.disable`` in the first call after the compiler is loaded."""
    if function is None:
        return partial(_kept_from_compiler, disable, **kwargs)
    disabled: list[Any] = []

    @wraps(function)
    def run(*values: Any, **options: Any) -> Any:
        if _COMPILER not in sys.modules:
            return function(*values, **options)
        if not disabled:
            disabled.append(disable(function, *args, **kwargs))
        return disabled[0](*values, **options)

    return run


def import_encoders() -> None:
    """Import torchvision and timm without torch's compiler: torchvision reads one function of it, timm one decorator."""

    def is_compile_supported(device_type: str) -> bool:
        answer: bool = import_module(compiler).is_compile_supported(device_type)
        return answer

    compiler = f"{_COMPILER}.utils"
    # modules that use them import them again, and report what is wrong with them
    with suppress(Exception), postponed(compiler, is_compile_supported=is_compile_supported), _disabled_later():
        import_module("torchvision.ops")
        import_module("timm")


class _CompiledModules(type):
    """The class of modules that torch has compiled: none is one before the compiler is loaded."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return _COMPILER in sys.modules and isinstance(instance, sys.modules[_COMPILER].OptimizedModule)


def import_lightning() -> None:
    """Import Lightning without two libraries that it reads a name of: seconds of the start of training.

    One is torch's compiler, for the class of compiled modules. The other is scipy's signal processing, to which torchmetrics
    adds an alias for a library of audio.
    """
    compiled = _CompiledModules("OptimizedModule", (), {})
    compiler = postponed(_COMPILER, OptimizedModule=compiled)
    with suppress(Exception), postponed("scipy.signal", hamming=None), compiler, _disabled_later():
        import_module("lightning.pytorch")
