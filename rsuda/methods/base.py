"""Define what a method of adaptation is: a network, options, and a loss.

A method builds its networks by a ``NetworkBuilder`` (``rsuda.learning.network_builder``). Its options are a ``MethodOptions``
(``rsuda.methods.options``).
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rsuda.core.errors import InputError
from rsuda.core.spec import Spec
from rsuda.learning.encoders.adapters import with_own_adapters
from rsuda.learning.network import SegmentationNetwork
from rsuda.learning.network_builder import NetworkBuilder
from rsuda.methods.blocks.teacher import Teacher
from rsuda.methods.options import ClassWeights, MethodOptions, PaperClassWeights, Share, Weight

ENDLESS = sys.maxsize  # a training loop of one's own may go on after the last step of the settings

__all__ = ["ClassWeights", "Method", "MethodOptions", "NetworkBuilder", "PaperClassWeights", "Share", "Weight"]


class Method(nn.Module):
    """A method of adaptation.

    A subclass sets ``self.model`` in ``__init__`` (the network that is saved and predicts), names its remaining parts as it
    likes, and writes ``loss``. Its options are the fields of its class ``Options``.

    Attributes of the class:
        Options: the method's own options.
        off: options that leave the method as source-only, or its start as it is where it reads no source.
        needs_target: whether target images are read at all.
        needs_source: whether source images and labels are read at every step; a method without them adapts a finished run.
        may_learn_source: whether a method that needs no source can learn one first.
        summary: what the method does, in words for users.
        paper: authors, title, venue, year.
        networks: what is in memory while training.
        passes: what a step costs in units of source-only: networks trained (forward and backward) and networks that
            predict (forward). A teacher with statistics 'target' predicts twice, one with 'batch' once.
        rare_temperature: of rare-class sampling of source patches, unless the run's settings set it; 0 for none.
        target_statistics: whether batch norm's running statistics are estimated on the target after the last step, unless
            the run's settings set it.

    Attributes of a method that it may set:
        distorts_target: whether a batch has ``target_distorted`` too, the target with photometric distortion.

    Attributes of a method that training sets:
        step: optimiser steps done.
        steps: optimiser steps of the whole run.
    """

    Options: ClassVar[type[MethodOptions]] = MethodOptions
    off: ClassVar[dict[str, Any]] = {}
    needs_target: ClassVar[bool] = True
    needs_source: ClassVar[bool] = True
    may_learn_source: ClassVar[bool] = False
    summary: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    networks: ClassVar[str] = "network"
    passes: ClassVar[tuple[float, float]] = (1, 0)
    rare_temperature: ClassVar[float] = 0.0
    target_statistics: ClassVar[bool] = False
    distorts_target: bool = False

    model: SegmentationNetwork

    def __init__(self, build: NetworkBuilder, options: Any) -> None:
        super().__init__()
        self.build, self.options = build, options
        self.step, self.steps = 0, 1
        torch.manual_seed(build.seed)  # so that the same network of two methods starts from the same weights

    @classmethod
    def window_multiple(cls, options: Any) -> int:
        """Return the number of pixels of which a training window's sides must be a multiple."""
        return 32

    @abstractmethod
    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the scalar to minimise, and its terms for the log.

        ``batch`` is augmented and standardised. It always has key (B,) int64, a random number for each item's own
        draws. When the method needs the source, it has source_image (B, bands, H, W), source_label (B, H, W) with 255
        ignored, and source_valid (B, H, W). When it needs the target, it has target_image (B, bands, H, W) and
        target_valid (B, H, W) bool. Where the target has hints, it has target_hint (B, H, W) uint8 with 255 for none.
        source_image has changed colours; target_image is the weak view, flipped and turned only, for teachers. For the
        student's view of it use ``self.build.strong``, or target_distorted, which is there where ``distorts_target``.
        """

    def heads(self) -> list[nn.Module]:
        """List the modules trained at the decoder's learning rate; encoders are trained at ``lr``."""
        return []

    def discriminators(self) -> list[nn.Module]:
        """List the modules trained by Adam at the discriminators' learning rate."""
        return []

    def after_step(self) -> None:
        """Update what follows the trained weights, such as teachers, after each optimiser step."""

    def start_from(self, tensors: Mapping[str, Tensor]) -> None:
        """Load the weights of another run's ``model``; teachers become copies of it.

        Raises RuntimeError when they are not those of this network.
        """
        self.load_start(tensors)
        for teacher in (m for m in self.modules() if isinstance(m, Teacher)):
            teacher.restart()
        self.after_step()

    def load_start(self, tensors: Mapping[str, Tensor]) -> None:
        """Load the weights of another run's ``model`` into ``self.model``; see ``start_from``."""
        self.model.load_state_dict(with_own_adapters(self.model, tensors))

    @property
    def spec(self) -> Spec:
        """Spec of the network: bands, GSD and value ranges of its pixels, and its classes."""
        return self.build.spec

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user on where the method departs from its options."""
        return ()

    @property
    def progress(self) -> float:
        """Share of the run's steps that are done, 0 to 1."""
        return self.step / self.steps

    @property
    def source_only_share(self) -> float:
        """Share of the run, 0 to 1, in which the method learns from the source alone: its option, where it has one."""
        return float(getattr(self.options, "source_only_share", 0.0))

    @property
    def source_only(self) -> bool:
        """Whether the step is one of the source-only phase."""
        return self.progress < self.source_only_share

    @property
    def source_only_steps(self) -> int:
        """Steps of the source-only phase."""
        steps = int(self.source_only_share * self.steps)
        return steps + (steps / self.steps < self.source_only_share)

    @property
    def source_steps(self) -> range:
        """Steps that read source images and labels."""
        return range(ENDLESS if self.needs_source else 0)

    @property
    def target_steps(self) -> range:
        """Steps that read target images."""
        return range(self.source_only_steps, ENDLESS) if self.needs_target else range(0)

    @property
    def ends_on_target(self) -> bool:
        """Whether the last steps learn the target alone, so that batch norm's running statistics have lost the source. They
        are then estimated on the target, whatever ``align.target_statistics`` says."""
        return False

    def weights_by_class(self, option: list[float] | str) -> list[float]:
        """Read the class weights of an option: 'none' (all 1) or one number per class.

        Raises:
            InputError: the number of weights is another.
        """
        names = self.spec.legend.names
        if option == "none":
            return [1.0] * len(names)
        if isinstance(option, str) or len(option) != len(names):
            raise InputError(
                f"option class_weights is {option}: give {len(names)} numbers, one per class ({', '.join(names)})"
            )
        return [float(v) for v in option]

    def classes_named(self, names: str) -> list[int]:
        """Find the indices of classes by names separated by commas; names that the legend lacks are left out."""
        class_names = {name.strip() for name in names.split(",")}
        return [k for k, name in enumerate(self.spec.legend.names) if name in class_names]

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.model(image)
        return logits
