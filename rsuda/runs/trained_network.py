"""Describe a network that is ready to predict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import nn

from rsuda.core.hub import model_name
from rsuda.core.spec import Spec
from rsuda.learning.network import SegmentationNetwork
from rsuda.learning.source_bank import SourceBank


@dataclass(frozen=True)
class TrainedNetwork:
    """A network ready to predict.

    Attributes:
        model: standardised images (B, bands, H, W) -> logits (B, classes, H, W), in evaluation mode.
        spec: what it expects of pixels, and its classes.
        path: the run folder or the weights file.
        method: what trained it.
        digest: the SHA-256 of its file.
        bank: what it keeps of its source's classes; None where it keeps nothing.
    """

    model: nn.Module
    spec: Spec
    path: Path
    method: str
    digest: str
    bank: SourceBank | None = None

    @property
    def name(self) -> str:
        """The name of the run, as files of maps have it."""
        return model_name(self.path)

    @property
    def network_fields(self) -> dict[str, Any]:
        """The kind of the network and its architecture, see ``SegmentationNetwork.as_fields``."""
        return cast(SegmentationNetwork, self.model).as_fields()
