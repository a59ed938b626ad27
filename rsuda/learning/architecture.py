"""Describe what a network is built from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

STRIDE = 32  # every encoder used here halves its input five times or dilates from there; crops are multiples of it


@dataclass(frozen=True)
class Architecture:
    """Choices that a network is built from; saved beside its weights.

    Attributes:
        encoder: any encoder name of segmentation-models-pytorch ('mit_b5', 'resnet50', 'mobilenet_v2', 'tu-…').
        decoder: 'segformer' (all-MLP), 'daformer', 'deeplabv3plus', 'deeplabv2' or 'unet'.
        channels: width of the fused feature.
        dropout: Dropout2d before the classifier.
        output_stride: 8, 16 or 32; the encoder's last stages are dilated instead of strided below 32.
        adapter_rank: of the adapters beside the encoder's linear layers; 0 for none.
    """

    encoder: str
    decoder: str
    classes: int
    bands: int = 3
    channels: int = 256
    dropout: float = 0.0
    output_stride: int = 32
    adapter_rank: int = 0

    def as_fields(self) -> dict[str, Any]:
        """Describe the architecture as plain data; without adapters as versions before them did."""
        fields = asdict(self)
        if not self.adapter_rank:
            del fields["adapter_rank"]
        return fields
