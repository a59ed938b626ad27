"""Turn a plain vision transformer, whose tokens all have one stride, into a pyramid of strides 4, 8, 16 and 32.

Levels come from the blocks at a quarter, half, three quarters and the end of the depth, as in DPT (Ranftl, Bochkovskiy,
Koltun, ICCV 2021, arXiv 2103.13413) and BEiT (Bao et al., ICLR 2022, arXiv 2106.08254). Resizing follows BEiT and ViTDet
(Li, Mao, Girshick, He, ECCV 2022, arXiv 2203.16527): transposed convolutions to finer strides, pooling to coarser ones.
ViTDet makes all levels from the last block. Pseudo labels by votes and feature distances read levels of a frozen encoder, and
four copies of one level would say no more than one.

Deviations: transposed convolutions begin at 0 beside a bilinear resize, so that the first features are the pretrained ones.
Each level is normalised over channels without weights, since the scale of tokens grows with depth.
"""

from __future__ import annotations

from typing import Any

import timm
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (4, 8, 16, 32)
PATCHES = (8, 16, 32)  # pixels of a patch's side that fit these strides


class PlainTransformer(nn.Module):
    """A vision transformer of timm as an encoder: image (B, bands, H, W) -> pyramid; H and W are multiples of 32.

    The pyramid begins with the image and an empty level of stride 2, as smp's Mix Transformers do.

    Args:
        name: of timm, with or without the tag of its weights.
        pretrained: whether timm downloads the weights.
        output_stride: of the deepest level: 8, 16 or 32.
        options: of ``timm.create_model``, which make the image's size free.
    """

    model: Any  # timm's models answer to many types

    def __init__(self, name: str, bands: int, output_stride: int, options: dict[str, Any], pretrained: bool) -> None:
        super().__init__()
        model: Any = timm.create_model(name, pretrained=pretrained, in_chans=bands, num_classes=0, **options)
        depth = len(model.feature_info)
        self.blocks = [depth * quarter // 4 - 1 for quarter in (1, 2, 3, 4)]
        model.prune_intermediate_layers(self.blocks, prune_norm=True, prune_head=True)
        self.model = model
        self.output_stride = output_stride
        width = int(model.feature_info[-1]["num_chs"])
        self.factors: list[float] = [
            model.feature_info[-1]["reduction"] / min(stride, output_stride) for stride in STRIDES
        ]
        self.out_channels = [bands, 0, *[width] * len(STRIDES)]
        self.finer = nn.ModuleList(Finer(width, int(factor)) for factor in self.factors)

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = self.model.forward_intermediates(image, indices=self.blocks, intermediates_only=True)
        pyramid = [image, image.new_empty(image.shape[0], 0, image.shape[-2] // 2, image.shape[-1] // 2)]
        for tokens, finer, factor in zip(maps, self.finer, self.factors, strict=True):
            level = _normalised(tokens)
            pyramid.append(F.avg_pool2d(level, round(1 / factor)) if factor < 1 else finer(level))
        return pyramid


class Finer(nn.Module):
    """Doubles a map's height and width until they are ``factor`` times as many, a power of 2."""

    def __init__(self, width: int, factor: int) -> None:
        super().__init__()
        doublings = max(factor, 1).bit_length() - 1
        self.details = nn.ModuleList(nn.ConvTranspose2d(width, width, 2, 2, bias=False) for _ in range(doublings))
        for detail in self.details:
            nn.init.zeros_(detail.weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        for detail in self.details:
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False) + detail(x)
        return x


def _normalised(tokens: Tensor) -> Tensor:
    """Normalise a feature map (B, C, h, w) to mean 0 and deviation 1 at each place."""
    return F.layer_norm(tokens.permute(0, 2, 3, 1), tokens.shape[1:2]).permute(0, 3, 1, 2)
