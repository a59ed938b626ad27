"""Load libraries without what rsuda does not need of them: seconds and memory of every command.

Nothing here is needed for a right result. Where a library has changed so that this fails, it is imported as any other, later,
by the module that uses it, and what is wrong with it is said there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from types import ModuleType
from typing import Any

import torch


@contextmanager
def postponed(name: str, *, package: bool = False, **attributes: Any) -> Iterator[None]:
    """Let imports inside take some attributes of a module that is not loaded. Asked for another one, it is loaded.

    It is loaded too where one of its attributes is set, and imports of it from then on get the module itself.

    Args:
        name: of the module.
        package: whether the module has modules of its own, for whose imports it is loaded too.
        attributes: what takes the place of the module's own.
    """
    if name in sys.modules:
        yield
        return
    stand_in = _StandIn(name)
    vars(stand_in).update(attributes, _package=package)
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        stand_in.leave()


class _StandIn(ModuleType):
    """Stands for a module that is not loaded."""

    _package: bool

    def leave(self) -> None:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__") and not (attribute == "__path__" and self._package):
            raise AttributeError(attribute)  # every import looks for a path
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
    """Let decorators that keep functions from the compiler load it when such a function is first called, as torch's own do."""
    try:
        later, before = import_module("torch._compile")._disable_dynamo, torch.compiler.disable
    except (ImportError, AttributeError):  # another torch
        yield
        return
    torch.compiler.disable = later
    try:
        yield
    finally:
        torch.compiler.disable = before


def import_encoders() -> None:
    """Import torchvision and timm without torch's compiler: torchvision reads one function of it, timm one decorator."""

    def is_compile_supported(device_type: str) -> bool:
        answer: bool = import_module(compiler).is_compile_supported(device_type)
        return answer

    compiler = "torch._dynamo.utils"
    # modules that use them import them again, and report what is wrong with them
    with suppress(Exception), postponed(compiler, is_compile_supported=is_compile_supported), _disabled_later():
        import_module("torchvision.ops")
        import_module("timm")


def import_lightning() -> None:
    """Import Lightning without scipy's signal processing, to which torchmetrics adds an alias for a library of audio."""
    with suppress(Exception), postponed("scipy.signal", package=True, hamming=None):
        import_module("lightning.pytorch")
