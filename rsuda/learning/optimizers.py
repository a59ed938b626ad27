"""Optimizers of torch that train without its compiler, which takes a fifth of the start of training to import."""

from __future__ import annotations

from functools import cache
from inspect import unwrap
from typing import Any

import torch
from torch import optim

_KEPT_FROM_COMPILER = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


@cache
def without_compiler(kind: Any) -> Any:
    """Derive an optimizer of the same steps from a class.

    torch wraps some methods so that its compiler, which training does not use, leaves them out. The wrappers import it.
    """
    methods = {name: unwrap(getattr(kind, name)) for name in _KEPT_FROM_COMPILER}
    step = torch.no_grad()(unwrap(kind.step))
    return type(kind.__name__, (kind,), {**methods, "step": step, "__module__": __name__})


Adam, AdamW, SGD = (without_compiler(kind) for kind in (optim.Adam, optim.AdamW, optim.SGD))
