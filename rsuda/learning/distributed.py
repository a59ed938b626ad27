"""Sum, average and gather over the processes that train one network together.

DDP averages gradients over the processes, and gradients flow back through the sums here. So a loss is right if its mean
over the processes is the loss of the whole batch. A mean over equally many pixels needs nothing, and a mean over chosen
pixels is a ``shared_mean``. What relates all items to each other is computed alike by every process on the gathered
batch. With one process every function returns its input, to the last bit.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Count the processes that train together; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process among them, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def leave_group() -> None:
    """End the process group when training is over, so that what follows does not wait for other processes."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


class _Sum(torch.autograd.Function):
    # torch.distributed.nn.functional gives the same gradients to the last bit, and is deprecated
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # each process's loss depends on this one's part
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = len(x)
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[rank() * ctx.rows : (rank() + 1) * ctx.rows]


def all_sum(x: Tensor) -> Tensor:
    """Sum a tensor over processes; it has the same shape in each. Differentiable."""
    return x if world_size() == 1 else cast(Tensor, _Sum.apply(x))


def all_gather(x: Tensor) -> Tensor:
    """Gather (B, ...) to (W B, ...): the rows of all processes in their order. Differentiable.

    B is the same in each process.
    """
    if world_size() == 1:
        return x
    if x.dtype == torch.bool:
        return all_gather(x.to(torch.uint8)).bool()
    return cast(Tensor, _Gather.apply(x))


def shared_mean(total: Tensor, number: Tensor) -> Tensor:
    """Compute ``total / number`` as a loss whose mean over processes is the sum of totals over the sum of numbers.

    Args:
        total: this process's sum over chosen pixels, scalar.
        number: how many they are; 0 in all processes gives ``total``.
    """
    if world_size() == 1:
        return total / number.clamp(min=1)
    return total * world_size() / all_sum(number).clamp(min=1)
