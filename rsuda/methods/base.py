"""Define what a method of adaptation is: its networks, its options, and its loss."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import torch
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from torch import Tensor, nn

from rsuda.core.errors import InputError
from rsuda.core.spec import Spec
from rsuda.core.validation import FrozenModel
from rsuda.learning.augmentation import Augmentation
from rsuda.learning.first_layer import name_filters
from rsuda.learning.network import Architecture, FrozenEncoder, SegmentationNetwork, build_encoder
from rsuda.learning.networks import build_network
from rsuda.learning.source_bank import SourceBank
from rsuda.methods.blocks.neighbours import Neighbours, NoNeighbours
from rsuda.methods.blocks.paper_weights import PAPER_WEIGHTS
from rsuda.methods.blocks.teacher import Teacher


class MethodOptions(FrozenModel):
    """The options of a method: every field has a default, a range and a description."""

    @field_validator("*", mode="before")
    @classmethod
    def _number_is_no_bool(cls, value: Any, field: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[str(field.field_name)].annotation is not bool:
            raise ValueError(f"it cannot be {str(value).lower()}")
        return value


def _words_or_numbers(*words: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if value in words if isinstance(value, str) else _are_weights(value):
            return value
        raise ValueError(f"it is {value!r}; it must be {', '.join(words)} or a list of one number per class")

    return BeforeValidator(check)


def _are_weights(values: Any) -> bool:
    numbers = isinstance(values, list | tuple) and not any(isinstance(v, bool) for v in values)
    return numbers and all(isinstance(v, int | float) and 0 <= v < float("inf") for v in values)


ClassWeights = Annotated[str | list[float], _words_or_numbers("none", "balanced")]
PaperClassWeights = Annotated[str | list[float], _words_or_numbers("paper", "none", "balanced", *PAPER_WEIGHTS)]
Weight = Annotated[float, Field(ge=0)]  # of a term of the loss; 0 leaves the term out
Share = Annotated[float, Field(ge=0, le=1)]


_Built = TypeVar("_Built", bound=nn.Module)


@dataclass(frozen=True)
class NetworkBuilder:
    """What a method builds its networks from.

    Attributes:
        arch: encoder, decoder, classes and bands.
        spec: what the network expects of the target's pixels, and its classes.
        weights: of encoders: 'none', 'imagenet', 'packaged' or a file.
        seed: of the networks' random weights.
        augmentation: for methods that distort images themselves; None changes no image.
        start: kind and architecture of the network that training starts from; None for a run from the first weights.
        bank: what that network's run keeps of its source's classes; None where it keeps nothing.
    """

    arch: Architecture
    spec: Spec
    weights: str = "none"
    seed: int = 0
    augmentation: Augmentation | None = None
    start: Mapping[str, Any] | None = None
    bank: SourceBank | None = None

    def network_of_start(self) -> SegmentationNetwork:
        """Build a network of the start's kind; a plain one without a start."""
        fields = dict(self.start or {"network": "plain"})
        fields.pop("architecture", None)
        network: SegmentationNetwork = self.network(fields.pop("network"), **fields)
        return network

    def network(self, kind: str = "plain", **options: Any) -> Any:
        """Build a network of a kind in ``rsuda.learning.networks.NETWORKS``."""
        network = build_network(kind, self.arch, self.weights, **options)
        return self._with_filters(network)

    def frozen_encoder(self, statistics: Literal["batch", "pretrained"] = "batch") -> FrozenEncoder:
        """Build another encoder with the first weights, which training leaves as it is; see ``FrozenEncoder``."""
        return FrozenEncoder(self._with_filters(build_encoder(self.arch, self.weights)), statistics)

    def neighbours(self, weight: float, spread: float) -> Neighbours | NoNeighbours:
        """Build the votes of labelled source cells in a pretrained encoder, if they have a weight and can be.

        A first layer that was made to fit other bands than the three of pretraining gives features that vote worse than
        the model labels: with it the votes are off.
        """
        if not weight or self.weights == "none" or len(self.spec.bands) != 3:
            return NoNeighbours()
        return Neighbours(self.frozen_encoder("pretrained"), self.arch.classes, weight, spread)

    def _with_filters(self, network: _Built) -> _Built:
        if self.weights != "none":
            name_filters(network, self.spec.bands)
        return network

    def strong(self, image: Tensor, key: Tensor, strength: float) -> Tensor:
        """Jitter and blur standardised images, drawn from each item's key; see ``Augmentation.strong``."""
        return image if self.augmentation is None else self.augmentation.strong(image, key, strength)


class Method(nn.Module):
    """A method of adaptation.

    A subclass sets ``self.model`` in ``__init__`` (the network that is saved and predicts), names its remaining parts as it
    likes, and writes ``loss``. Its options are the fields of its class ``Options``.

    Attributes of the class:
        Options: the method's own options.
        off: options that leave the method as source-only, or its start as it is where it reads no source.
        needs_target: whether target images are read at all.
        needs_source: whether source images and labels are read; a method without them adapts a finished run.
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
        """Pixels that a training window's sides must be a multiple of."""
        return 32

    @abstractmethod
    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the scalar to minimise, and its terms for the log.

        ``batch`` holds, augmented and standardised: key (B,) int64, a random number for each item's own draws; when the
        method needs the source, source_image (B, bands, H, W), source_label (B, H, W) with 255 ignored, source_valid (B, H, W)
        bool; when it needs the target, target_image (B, bands, H, W), target_valid (B, H, W) bool. source_image has changed
        colours; target_image is the weak view, flipped and turned only, for teachers. For the student's view of it use
        ``self.build.strong``, or target_distorted, which is there where ``distorts_target``.
        """

    def heads(self) -> list[nn.Module]:
        """Modules trained at the decoder's learning rate; encoders are trained at ``lr``."""
        return []

    def discriminators(self) -> list[nn.Module]:
        """Modules trained by Adam at the discriminators' learning rate."""
        return []

    def after_step(self) -> None:
        """Do what follows each optimiser step (teachers are updated here)."""

    def start_from(self, tensors: Mapping[str, Tensor]) -> None:
        """Load the weights of another run's ``model``; teachers become copies of it.

        Raises RuntimeError when they are not those of this network.
        """
        self.model.load_state_dict(tensors)
        for teacher in (m for m in self.modules() if isinstance(m, Teacher)):
            teacher.n_averaged.zero_()  # so that the next update is a plain copy
        self.after_step()

    @property
    def spec(self) -> Spec:
        """What the network expects of pixels, and its classes."""
        return self.build.spec

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user on what the method does otherwise than its options say."""
        return ()

    @property
    def progress(self) -> float:
        """Share of the run's steps that are done, 0 to 1."""
        return self.step / self.steps

    def weights_by_class(self, option: list[float] | str) -> list[float]:
        """Class weights of an option: 'none' (all 1) or one number per class. Raises InputError for another number."""
        names = self.spec.legend.names
        if option == "none":
            return [1.0] * len(names)
        if isinstance(option, str) or len(option) != len(names):
            raise InputError(
                f"option class_weights is {option}: give {len(names)} numbers, one per class ({', '.join(names)})"
            )
        return [float(v) for v in option]

    def classes_named(self, names: str) -> list[int]:
        """Indices of the legend's classes among names separated by commas; names that the legend lacks are left out."""
        chosen = {n.strip() for n in names.split(",")}
        return [k for k, n in enumerate(self.spec.legend.names) if n in chosen]

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.model(image)
        return logits
