"""What is nobody's idea: optimiser, schedule, randomness, augmentation, logging. A method adds its networks and its loss."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from rsuda.core.display import shown
from rsuda.core.errors import InputError, unknown
from rsuda.core.spec import Spec
from rsuda.learning import distributed as world
from rsuda.learning.augmentation import Augmentation
from rsuda.learning.network import Architecture, build_encoder
from rsuda.learning.random_draws import BatchShard
from rsuda.learning.sync_batch_norm import restore, synchronise
from rsuda.methods.blocks.teacher import Teacher


@dataclass(frozen=True)
class Optimisation:
    """How a method is optimised; every field can be set in a config file.

    Attributes:
        optimiser: 'adamw' or 'sgd' (momentum 0.9) for the networks. Discriminators always take Adam, betas 0.9 / 0.99.
        lr: learning rate of encoders.
        head_factor: learning rate of everything else, as a multiple of ``lr``.
        discriminator_lr: of discriminators.
        weight_decay: of the networks' weights; norms and biases get none under AdamW.
        warmup: steps of linear warm-up.
        power: of the polynomial decay to 0 at the last step.
        steps: optimiser steps in all.
    """

    optimiser: str = "adamw"
    lr: float = 6e-5
    head_factor: float = 1.0
    discriminator_lr: float = 1e-5
    weight_decay: float = 0.01
    warmup: int = 800
    power: float = 1.0
    steps: int = 40_000

    def factor(self, step: int) -> float:
        """Learning rate at a step, as a share of its full value."""
        rising = min(1.0, (step + 1) / (self.warmup + 1))
        return rising * max(0.0, 1 - step / self.steps) ** self.power


class CombinedOptimizer(Optimizer):
    """Several optimisers that step as one, so that one loss and one backward pass serve SGD networks and Adam
    discriminators alike, and Lightning sees a single optimiser."""

    def __init__(self, optimisers: list[Optimizer]) -> None:
        self.optimisers = optimisers
        super().__init__([g for o in optimisers for g in o.param_groups], {})
        # the schedule writes into these very groups
        groups = iter(self.param_groups)
        for optimiser in optimisers:
            optimiser.param_groups = [next(groups) for _ in optimiser.param_groups]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimiser in self.optimisers:
            optimiser.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {"optimisers": [o.state_dict() for o in self.optimisers]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for optimiser, own in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(own)
        self.param_groups = [g for o in self.optimisers for g in o.param_groups]


def balanced(shares: Sequence[float]) -> list[float]:
    """Class weights 1 / sqrt(share), scaled so that the mean weight of a pixel is 1; a class without pixels gets the top
    one. The square root is the usual compromise between none and full balance."""
    present = [max(s, 1e-4) for s in shares]
    scale = 1 / sum(s**0.5 for s in present)
    return [round(scale * s**-0.5, 4) for s in present]


def _alike(value: Any, default: Any) -> bool:
    """Whether an option's value is of its default's kind. A list of numbers may stand for a word ('paper' or weights)."""
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, float):
        return isinstance(value, (int, float))
    if isinstance(default, str) and isinstance(value, list):
        return all(isinstance(v, (int, float)) for v in value)
    return isinstance(value, type(default))


class Method(L.LightningModule):
    """A method of adaptation.

    A subclass sets ``self.model`` in ``__init__`` (the part that prediction needs, images -> logits at image size),
    names its remaining parts as it likes, and writes ``loss``. Its own options are keyword arguments of ``__init__``
    with their defaults.

    Attributes of the class:
        needs_target: whether target images are read at all.
        paper: authors, title, where, year.
        networks: what is in memory while training.
        passes: what a step costs in units of source-only: networks trained (forward and backward) and looked at (forward);
            a teacher with statistics 'shown' is looked at twice, by 'batch' once.
        rare_temperature: of rare-class sampling of source patches, unless the run's settings say otherwise; 0 for none.
        target_statistics: whether batch norm's running statistics are estimated on the target after the last step, unless
            the run's settings say otherwise.
    """

    needs_target: ClassVar[bool] = True
    paper: ClassVar[str] = ""
    networks: ClassVar[str] = "network"
    passes: ClassVar[tuple[float, float]] = (1, 0)
    rare_temperature: ClassVar[float] = 0.0
    target_statistics: ClassVar[bool] = False

    model: nn.Module

    def __init__(
        self,
        arch: Architecture,
        spec: Spec,
        optimisation: Optimisation,
        augmentation: Augmentation | None = None,
        weights: str = "none",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.arch, self.spec, self.optimisation, self.augmentation = arch, spec, optimisation, augmentation
        self.weights, self.seed = weights, seed
        self.share, self.batches = BatchShard(), 1  # of a step's batch, which processes and accumulation divide
        torch.manual_seed(seed)  # so that the same network of two methods starts from the same weights

    @classmethod
    def options(cls) -> dict[str, Any]:
        """The method's own options and their defaults."""
        parameters = inspect.signature(cls.__init__).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}

    @classmethod
    def check_options(cls, name: str, given: Mapping[str, Any]) -> None:
        """Raises InputError for an option that the method does not have, or a value of another kind than its default."""
        known = cls.options()
        for option, value in given.items():
            if option not in known:
                if not known:
                    raise InputError(f"method {name} has no options, but '{option}' was set")
                raise unknown(f"option of method {name}", option, known)
            if not _alike(value, known[option]):
                raise InputError(
                    f"option {option} of method {name} cannot be {shown(value)}; its default is {known[option]!r}"
                )

    @classmethod
    def smallest_crop(cls, options: Mapping[str, Any], stride: int) -> int:
        """Pixels per side that a patch must have; its sides must be multiples of this, or of the encoder's 32."""
        return 32

    def weights_by_class(self, given: list[float] | str) -> list[float]:
        """Class weights from an option: 'none' (all 1) or one number per class. Raises InputError for anything else."""
        names = self.spec.legend.names
        if given == "none":
            return [1.0] * len(names)
        if isinstance(given, str) or len(given) != len(names):
            raise InputError(
                f"option class_weights cannot be {shown(given)}: it takes {len(names)} numbers ({', '.join(names)})"
            )
        return [float(v) for v in given]

    @abstractmethod
    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar to minimise, and its terms for the log.

        ``batch`` holds, augmented and standardised: source_image (B, bands, H, W), source_label (B, H, W) with 255
        ignored, key (B,) int64, a random number for each item's own draws, and, when the method needs the target,
        target_image (B, bands, H, W), target_valid (B, H, W) bool.
        """

    def start_from(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over the weights of another run's ``model``; teachers become copies of it.

        Raises RuntimeError when they are not those of this network.
        """
        self.model.load_state_dict(tensors)
        for teacher in (m for m in self.modules() if isinstance(m, Teacher)):
            teacher.n_averaged.zero_()  # so that the next update is a plain copy
        self.after_step()

    def after_step(self) -> None:
        """Called after each optimiser step (teachers move here)."""

    @staticmethod
    def one_of(option: str, value: Any, allowed: tuple[Any, ...]) -> None:
        """Raises InputError for a value of an option that is not among those allowed."""
        if value not in allowed:
            raise InputError(f"option {option} is {' or '.join(map(str, allowed))}, not '{value}'")

    @property
    def progress(self) -> float:
        """Share of the run's steps that are done, 0 to 1."""
        return self.global_step / self.optimisation.steps

    def classes_named(self, names: str) -> list[int]:
        """Indices of the legend's classes among names separated by commas; names that it lacks are passed over."""
        wanted = {n.strip() for n in names.split(",")}
        return [k for k, n in enumerate(self.spec.legend.names) if n in wanted]

    def frozen_encoder(self) -> nn.Module:
        """The encoder as it was before the first step, for good, without gradients.

        Batch norm normalises by the batch, as it does in the encoder that is trained: with its ImageNet statistics instead,
        features of one and the same network lie far apart from the first step on, and staying near them unlearns the
        source (DAFormer's own encoder has no batch norm).
        """
        encoder = build_encoder(self.arch, self.weights).eval().requires_grad_(False)
        for module in encoder.modules():
            if isinstance(module, _BatchNorm):
                module.train()
                module.momentum = 0.0
        encoder.train = lambda mode=True: encoder  # type: ignore[method-assign]
        return encoder

    def strong(self, image: Tensor, key: Tensor, strength: float) -> Tensor:
        """Colour jitter and blur of standardised images, drawn from each item's key; see Augmentation.strong."""
        return image if self.augmentation is None else self.augmentation.strong(image, key, strength)

    def heads(self) -> list[nn.Module]:
        """Modules trained at ``lr * head_factor``; encoders are trained at ``lr``."""
        return []

    def discriminators(self) -> list[nn.Module]:
        """Modules trained by Adam at ``discriminator_lr``."""
        return []

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image)

    # Each step's randomness is a function of (seed, step) alone: a resumed run draws what the uninterrupted one would
    # have drawn, and two methods see the same source augmentation whatever else they draw.
    def _seed(self, stage: int) -> None:
        torch.manual_seed(((self.seed * 1_000_003 + self.global_step) * 7 + stage) % (2**63))

    def on_fit_start(self) -> None:
        self.batches = self.trainer.accumulate_grad_batches
        self.share.of = world.count() * self.batches
        if self.share.of > 1:
            synchronise(self, self.share)

    def on_fit_end(self) -> None:
        restore(self)
        self.share.index, self.share.of, self.batches = 0, 1, 1

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        assert self.augmentation is not None
        # one seed for all parts of a step: each draws for the whole batch and takes its own
        self.share.index = index % self.batches * world.count() + world.rank()
        ready = {"key": batch["key"]}
        self._seed(0)
        ready["source_image"], ready["source_label"] = self.augmentation.source(
            batch["source_image"], batch["source_label"], self.share
        )
        if self.needs_target:
            self._seed(1)
            ready["target_image"], ready["target_valid"] = self.augmentation.target(
                batch["target_image"], batch["target_valid"], self.share
            )
        self._seed(2)
        loss, terms = self.loss(ready)
        size = len(batch["source_image"])
        for name, value in {"loss": loss, **terms}.items():
            value = value.detach().float()
            # their mean over processes is the whole batch's
            self.log(name, value, prog_bar=True, batch_size=size, sync_dist=world.count() > 1)
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.after_step()

    def configure_optimizers(self) -> Any:
        how = self.optimisation
        heads = {id(p) for m in self.heads() for p in m.parameters()}
        judges = {id(p) for m in self.discriminators() for p in m.parameters()}
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for parameter in self.parameters():
            if parameter.requires_grad and id(parameter) not in judges:
                lr = how.lr * (how.head_factor if id(parameter) in heads else 1)
                decayed = how.optimiser == "sgd" or parameter.ndim > 1
                groups.setdefault((lr, how.weight_decay if decayed else 0.0), []).append(parameter)
        listed = [{"params": p, "lr": lr, "weight_decay": decay} for (lr, decay), p in groups.items()]
        optimisers: list[Optimizer] = []
        if how.optimiser == "adamw":
            optimisers.append(AdamW(listed, betas=(0.9, 0.999), fused=True))
        elif how.optimiser == "sgd":
            optimisers.append(SGD(listed, momentum=0.9))
        else:
            raise unknown("optimiser", how.optimiser, ["adamw", "sgd"])
        if judges:
            parameters = [p for m in self.discriminators() for p in m.parameters()]
            optimisers.append(torch.optim.Adam(parameters, lr=how.discriminator_lr, betas=(0.9, 0.99)))
        optimiser = optimisers[0] if len(optimisers) == 1 else CombinedOptimizer(optimisers)
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": LambdaLR(optimiser, how.factor), "interval": "step"},
        }
