"""Train a method with Lightning: optimizer, schedule, random seeds, augmentation, synchronisation and logging."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from rsuda.core.errors import InputError
from rsuda.core.setting_sections import OptimizerSettings
from rsuda.core.spec import Spec
from rsuda.core.spelling import spell
from rsuda.learning import distributed
from rsuda.learning.augmentation import Augmentation
from rsuda.learning.encoders.new_layers import new_parameters
from rsuda.learning.network import SegmentationNetwork
from rsuda.learning.optimizers import SGD, Adam, AdamW, without_compiler
from rsuda.learning.random_draws import BatchShard
from rsuda.learning.sync_batch_norm import restore, synchronise
from rsuda.methods.base import Method


def lr_factor(settings: OptimizerSettings, step: int, steps: int, source_only: int = 0) -> float:
    """Compute the learning rate at a step of ``steps``, as a share of its full value: linear warm-up, polynomial decay to 0.

    With ``settings.restart`` the first ``source_only`` steps have a warm-up and decay of their own. Self-training that
    begins at the low end of a decay learns little from its labels (BENCHMARKS.md, "Four fields, 400 steps").
    """
    if settings.restart and 0 < source_only < steps:
        step, steps = (step, source_only) if step < source_only else (step - source_only, steps - source_only)
    rising = min(1.0, (step + 1) / (settings.warmup_steps + 1))
    return rising * max(0.0, 1 - step / steps) ** settings.poly_power


class CombinedOptimizer(Optimizer):
    """Several optimizers that step as one.

    One loss and one backward pass serve SGD networks and Adam discriminators alike, and Lightning sees one optimizer.
    """

    def __init__(self, optimizers: list[Optimizer]) -> None:
        self.optimizers = optimizers
        super().__init__([group for optimizer in optimizers for group in optimizer.param_groups], {})
        # the schedule writes into these very groups
        groups = iter(self.param_groups)
        for optimizer in optimizers:
            optimizer.param_groups = [next(groups) for _ in optimizer.param_groups]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {"optimisers": [optimizer.state_dict() for optimizer in self.optimizers]}  # the key of version 0.1

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for optimizer, values in zip(self.optimizers, state["optimisers"], strict=True):
            optimizer.load_state_dict(values)
        self.param_groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]


class MethodModule(L.LightningModule):
    """A method with everything that no paper is about.

    Args:
        method: its networks and its loss.
        optimizer: of its networks and discriminators.
        steps: optimizer steps of the whole run.
        augmentation: of the batches, on their device.
    """

    def __init__(self, method: Method, optimizer: OptimizerSettings, steps: int, augmentation: Augmentation) -> None:
        super().__init__()
        self.method, self.optimizer_settings, self.augmentation = method, optimizer, augmentation
        self.method.steps = steps
        self.share, self.batches = BatchShard(), 1  # of a step's batch, which processes and accumulation divide

    @property
    def model(self) -> SegmentationNetwork:
        """The network that is saved and predicts."""
        return self.method.model

    @property
    def spec(self) -> Spec:
        """What the network expects of pixels."""
        return self.method.spec

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.method(image)
        return logits

    # Each step's randomness is a function of (seed, step) alone: a resumed run draws what the uninterrupted one would
    # have drawn, and two methods see the same source augmentation whatever else they draw.
    def _seed(self, stage: int) -> None:
        torch.manual_seed(((self.method.build.seed * 1_000_003 + self.global_step) * 7 + stage) % (2**63))

    def on_fit_start(self) -> None:
        self.batches = self.trainer.accumulate_grad_batches
        self.share.of = distributed.world_size() * self.batches
        if self.share.of > 1:
            synchronise(self, self.share)

    def on_fit_end(self) -> None:
        restore(self)
        self.share.index, self.share.of, self.batches = 0, 1, 1

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        self.method.step = self.global_step
        # one seed for all parts of a step: each draws for the whole batch and takes its own rows
        self.share.index = index % self.batches * distributed.world_size() + distributed.rank()
        inputs = {"key": batch["key"]}
        self._seed(0)
        if self.method.step in self.method.source_steps:
            inputs |= self.augmentation.source(batch, self.share)
        if self.method.step in self.method.target_steps:
            self._seed(1)
            inputs |= self.augmentation.target(batch, self.share, self.method.distorts_target)
        self._seed(2)
        loss, terms = self.method.loss(inputs)
        size = len(batch["key"])
        for name, value in {"loss": loss, **terms}.items():
            value = value.detach().float()
            # their mean over processes is the whole batch's
            self.log(name, value, prog_bar=True, batch_size=size, sync_dist=distributed.world_size() > 1)
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.method.after_step()

    def configure_optimizers(self) -> Any:
        settings = self.optimizer_settings
        optimizers = [self._optimizer_of_networks()]
        parameters = [parameter for part in self.method.discriminators() for parameter in part.parameters()]
        if parameters:
            optimizers.append(Adam(parameters, lr=settings.discriminator_lr, betas=(0.9, 0.99)))
        optimizer = optimizers[0] if len(optimizers) == 1 else without_compiler(CombinedOptimizer)(optimizers)
        steps, source_only = self.method.steps, self.method.source_only_steps
        schedule = LambdaLR(optimizer, partial(lr_factor, settings, steps=steps, source_only=source_only))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _optimizer_of_networks(self) -> Optimizer:
        settings = self.optimizer_settings
        heads = {id(parameter) for part in self.method.heads() for parameter in part.parameters()}
        heads |= {id(parameter) for parameter in new_parameters(self)}
        discriminators = {id(parameter) for part in self.method.discriminators() for parameter in part.parameters()}
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for parameter in self.parameters():
            if parameter.requires_grad and id(parameter) not in discriminators:
                lr = settings.lr * (settings.decoder_lr_factor if id(parameter) in heads else 1)
                # norms do not decay, as in the papers with AdamW; nor do biases, which their codes decay
                decays = settings.name == "sgd" or parameter.ndim > 1
                groups.setdefault((lr, settings.weight_decay if decays else 0.0), []).append(parameter)
        parameter_groups = [
            {"params": params, "lr": lr, "weight_decay": decay} for (lr, decay), params in groups.items()
        ]
        if settings.name == "adamw":
            return AdamW(parameter_groups, betas=(0.9, 0.999), fused=True)
        return SGD(parameter_groups, momentum=0.9)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Rename what version 0.1 saved by other names. Raises InputError for a checkpoint of another network."""
        tensors = {_key_of_today(key): value for key, value in checkpoint["state_dict"].items()}
        if set(tensors) != set(self.state_dict()):
            raise InputError(
                "the checkpoint holds other parts than this method has, so it was begun by another version: train it "
                f"from the start with {spell('overwrite', True)}"
            )
        checkpoint["state_dict"] = tensors


_PARTS = {
    "judge": "discriminator",
    "judge_s": "discriminator_s",
    "judge_t": "discriminator_t",
    "imagenet": "imagenet.encoder",
}


_VOTES = {  # votes by neighbours before they had another mode
    "source_cells": "witness.cells",
    "source_number": "witness.number",
    "target_cells": "similar.cells",
    "target_labels": "similar.labels",
    "target_number": "similar.number",
}


def _key_of_today(key: str) -> str:
    """Return the name of a tensor in today's checkpoints; version 0.1 saved the method's parts without a prefix."""
    if key.startswith("method.neighbours."):
        part = key.removeprefix("method.neighbours.")
        return f"method.votes.{_VOTES.get(part, part)}"
    if key.startswith("method."):
        return key
    part, dot, rest = key.partition(".")
    return f"method.{_PARTS.get(part, part)}{dot}{rest}"
