"""Compare what finished runs hold."""

import torch
from safetensors.torch import load_file

from rsuda.evaluation.target_curve import read_curve


def content(run):
    """Everything in a finished run except times."""
    state = torch.load(run / "last.ckpt", weights_only=True)
    return {
        "weights": load_file(run / "weights.safetensors"), "checkpoint": state["state_dict"],
        "optimiser": state["optimizer_states"], "schedule": state["lr_schedulers"],
        "spec": (run / "spec.json").read_text(), "config": (run / "config.yaml").read_text(),
        "metrics": (run / "metrics.csv").read_text(), "curve": read_curve(run / "target_curve.csv"),
    }  # fmt: skip


def same(one, other):
    """Equal to the last bit, through dicts and lists of tensors."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(v, other[k]) for k, v in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other
