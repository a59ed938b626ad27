"""Find the number of processes that train a model together, and the rank of this one."""

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
from rsuda.core.spelling import spell


@dataclass(frozen=True)
class Processes:
    """Processes of a run: ``devices`` on each of ``nodes`` machines. This one has number ``rank``; number 0 writes all files."""

    devices: int = 1
    nodes: int = 1
    rank: int = 0

    @property
    def count(self) -> int:
        """Number of processes on all machines."""
        return self.devices * self.nodes

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def trainer(self, device: torch.device, idle: bool = True) -> dict[str, Any]:
        """Return the arguments of Lightning's Trainer.

        Args:
            idle: whether some parameters have no gradients in some steps, as discriminators before their first step.
        """
        gpu = device.type == "cuda"
        if self.count == 1:
            kind = "gpu" if gpu else device.type
            return {"accelerator": kind, "devices": [device.index or 0] if gpu else 1}
        # batch norm is synchronised, so buffers are equal already
        strategy = DDPStrategy(find_unused_parameters=idle, broadcast_buffers=False)
        return {
            "accelerator": "gpu" if gpu else "cpu",
            "devices": self.devices,
            "num_nodes": self.nodes,
            "strategy": strategy,
            "use_distributed_sampler": False,
        }


def processes(devices: str, nodes: int, device: torch.device) -> Processes:
    """Find the processes of a run and this one's rank from torchrun, SLURM or Lightning's launcher.

    Args:
        devices: a number, or 'auto' for all GPUs of this machine (one process on the CPU).
        nodes: number of machines.

    Raises:
        InputError: more GPUs than this machine has, or a launcher that started a different number of processes.
    """
    gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    each = (gpus or 1) if devices == "auto" else int(devices)
    if each * nodes == 1:
        return Processes()
    if device.index is not None or device.type == "mps":
        raise InputError(
            f"{spell('device')} is {device}, one device, but {each * nodes} must train together: use {spell('device', 'cuda')}"
        )
    if gpus and each > gpus:
        raise InputError(f"{spell('devices')} is {each}, but this machine has {gpus} CUDA devices: use at most {gpus}")
    kinds: list[type[ClusterEnvironment]] = [SLURMEnvironment, TorchElasticEnvironment]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about an installed srun that is not used
        kind = next((k for k in kinds if k.detect()), None)
    if kind is None:
        if nodes > 1 and "MASTER_ADDR" not in os.environ:
            raise InputError(
                f"{spell('nodes')} is {nodes}, but the address of the first machine is unknown: start the command by torchrun "
                "or srun"
            )
        environment = LightningEnvironment()
        return Processes(each, nodes, environment.node_rank() * each + environment.local_rank())
    launcher = kind()
    if launcher.world_size() != each * nodes:
        raise InputError(
            f"the launcher started {launcher.world_size()} processes, but devices x nodes is {each} x {nodes}: make them equal"
        )
    return Processes(each, nodes, launcher.global_rank())
