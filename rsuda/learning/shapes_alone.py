"""Build networks of shapes without values, to look at them before they take memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


@contextmanager
def shapes_alone() -> Iterator[None]:
    """Let what is built inside have tensors without values, on the meta device. No random number of others changes."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"), NoDrawsOfShapes():
        yield


class NoDrawsOfShapes(TorchFunctionMode):
    """Leave out normal draws on the meta device, for which torch loads its compiler: more than a second, and 150 MB."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (nn.init.normal_, Tensor.normal_):
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.is_meta:
                return tensor
        return func(*args, **kwargs)
