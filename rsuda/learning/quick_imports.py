"""Load libraries without what rsuda does not need of them: seconds and memory of every command."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

import torch


@contextmanager
def postponed(name: str, **attributes: Any) -> Iterator[None]:
    """Let imports inside take some attributes of a module that is not loaded. Asked for another one, it is loaded.

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
        if attribute.startswith("__"):  # the import system looks for a path
            raise AttributeError(attribute)
        self.leave()
        return getattr(import_module(self.__name__), attribute)


@contextmanager
def _disabled_later() -> Iterator[None]:
    """Let decorators that keep functions from the compiler load it when such a function is first called, as torch's own do."""
    before = torch.compiler.disable
    torch.compiler.disable = getattr(import_module("torch._compile"), "_disable_dynamo", before)
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
    with postponed(compiler, is_compile_supported=is_compile_supported), _disabled_later():
        import_module("torchvision.ops")
        import_module("timm")


def import_lightning() -> None:
    """Import Lightning without scipy's signal processing, to which torchmetrics adds an alias for a library of audio."""
    with postponed("scipy.signal", hamming=None):
        import_module("lightning.pytorch")
