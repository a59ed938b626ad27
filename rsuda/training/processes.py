"""How many processes train a network together, and which of them this one is, before and while they do."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from lightning.fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.pytorch.strategies import DDPStrategy

from rsuda.core.errors import InputError


@dataclass(frozen=True)
class Processes:
    """``devices`` on each of ``nodes`` machines; this one is number ``rank`` of them. Number 0 writes all files."""

    devices: int = 1
    nodes: int = 1
    rank: int = 0

    @property
    def count(self) -> int:
        return self.devices * self.nodes

    @property
    def first(self) -> bool:
        return self.rank == 0

    def trainer(self, device: torch.device, idle: bool = True) -> dict[str, Any]:
        """Arguments of Lightning's Trainer; ``idle``: whether some parameters have steps without gradients, as discriminators
        and students do before a method sets in."""
        gpu = device.type == "cuda"
        if self.count == 1:
            return {"accelerator": "gpu" if gpu else "cpu", "devices": [device.index or 0] if gpu else 1}
        # batch norm is synchronised, so that buffers are equal as they are
        strategy = DDPStrategy(find_unused_parameters=idle, broadcast_buffers=False)
        return {
            "accelerator": "gpu" if gpu else "cpu", "devices": self.devices, "num_nodes": self.nodes,
            "strategy": strategy, "use_distributed_sampler": False,
        }  # fmt: skip


def processes(devices: str, nodes: int, device: torch.device) -> Processes:
    """The processes of a run, and this one's number, from what torchrun, SLURM or Lightning's own launcher say.

    Args:
        devices: a number, or 'auto' for all GPUs of this machine (one process on the CPU).

    Raises:
        InputError: for more GPUs than there are, or a launcher that started another number of processes.
    """
    gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    each = (gpus or 1) if devices == "auto" else int(devices)
    if each * nodes == 1:
        return Processes()
    if device.index is not None:
        raise InputError(
            f"device '{device}' is one device, but {each * nodes} are to train together: use --device cuda"
        )
    if gpus and each > gpus:
        raise InputError(f"{each} devices were asked for, but this machine has {gpus} CUDA devices")
    kinds: list[type[ClusterEnvironment]] = [SLURMEnvironment, TorchElasticEnvironment]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that srun is there and not used
        kind = next((k for k in kinds if k.detect()), None)
    if kind is None:
        if nodes > 1 and "MASTER_ADDR" not in os.environ:
            raise InputError(
                f"{nodes} nodes were asked for, but nothing says where they meet: start the command by torchrun or srun"
            )
        own = LightningEnvironment()
        return Processes(each, nodes, own.node_rank() * each + own.local_rank())
    launcher = kind()
    if launcher.world_size() != each * nodes:
        raise InputError(
            f"{launcher.world_size()} processes were started, but devices x nodes is {each} x {nodes}: they must be equal"
        )
    return Processes(each, nodes, launcher.global_rank())
