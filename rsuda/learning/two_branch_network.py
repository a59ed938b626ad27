"""ST-DASegNet's network: two encoders and two decoders, one for each style, and a module that disentangles their features.

Zhao, Lyu et al., "Self-training guided disentangled adaptation for cross-domain remote sensing image semantic
segmentation", Int. J. Appl. Earth Obs. Geoinf. 2024, doi 10.1016/j.jag.2023.103646.

F_S and F_T are the features of one image through the source and the target encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rsuda.learning.decoders import four_deepest
from rsuda.learning.network import Architecture, Decoder, SegmentationNetwork, build_encoder, resize


class Distinct(nn.Module):
    """Selects, channel by channel, between the two styles of one image.

    u = GAP(F_S + F_T); z = W_f u; a_k = W_k z; (v_S, v_T) = softmax over {S, T}; output v_k * F_k. No norm and no
    activation between the linear layers. Squeezed width d = max(C // 8, 8).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = max(channels // 8, 8)
        self.squeeze = nn.Linear(channels, width)
        self.source = nn.Linear(width, channels)
        self.target = nn.Linear(width, channels)

    def forward(self, f_s: Tensor, f_t: Tensor) -> tuple[Tensor, Tensor]:
        z = self.squeeze((f_s + f_t).mean((-2, -1)))
        v_s, v_t = torch.stack([self.source(z), self.target(z)]).softmax(0)[..., None, None].unbind(0)
        return v_s * f_s, v_t * f_t


class Universal(nn.Module):
    """Channel attention that both styles share.

    Z = ReLU(conv(mean of F_S and F_T)); E_k = F_k Z^T over positions, without scaling. M = mean over k of the row
    softmax of (row maximum - E_k). The output is ReLU(conv_k(M F_k)), d channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = max(channels // 8, 8)
        self.common = nn.Conv2d(channels, channels, 3, padding=1)
        self.source = nn.Conv2d(channels, width, 3, padding=1)
        self.target = nn.Conv2d(channels, width, 3, padding=1)

    def forward(self, f_s: Tensor, f_t: Tensor) -> tuple[Tensor, Tensor]:
        z = self.common((f_s + f_t) / 2).relu().flatten(2)
        attention = []
        for f in (f_s, f_t):
            # unscaled inner products over H*W positions: in bfloat16 they would saturate on rounding
            with torch.autocast(f.device.type, enabled=False):
                wide = torch.promote_types(f.dtype, torch.float32)
                attention.append((f.flatten(2).to(wide) @ -z.to(wide).transpose(1, 2)).softmax(-1))
        m = (attention[0] + attention[1]) / 2
        out = []
        for f, conv in ((f_s, self.source), (f_t, self.target)):
            out.append(conv((m.to(f.dtype) @ f.flatten(2)).view_as(f)).relu())
        return out[0], out[1]


class Disentangle(nn.Module):
    """Domain disentangle module: distinct branches at every level, the universal branch at the last level only,
    concatenated there. The paper's figure draws both everywhere; the released code has them so.

    Args:
        channels: of the pyramid's levels. Those before the four deepest (the image itself, and stride 2, which the paper's
            networks do not have) pass unchanged.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        levels = four_deepest(channels)
        self.distinct = nn.ModuleList(Distinct(c) if k in levels else nn.Identity() for k, c in enumerate(channels))
        self.universal = Universal(channels[-1])
        self.out_channels = [*channels[:-1], channels[-1] + max(channels[-1] // 8, 8)]

    def forward(self, p_s: list[Tensor], p_t: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        out_s, out_t = [], []
        for f_s, f_t, distinct in zip(p_s, p_t, self.distinct, strict=True):
            d_s, d_t = distinct(f_s, f_t) if isinstance(distinct, Distinct) else (f_s, f_t)
            out_s.append(d_s)
            out_t.append(d_t)
        u_s, u_t = self.universal(p_s[-1], p_t[-1])
        out_s[-1], out_t[-1] = torch.cat([out_s[-1], u_s], 1), torch.cat([out_t[-1], u_t], 1)
        return out_s, out_t

    def of_equal_branches(self, pyramid: list[Tensor]) -> list[Tensor]:
        """Compute the output of a pyramid for both styles while encoders and layers of both styles are equal."""
        # v_S = v_T = 1/2 is a choice of equal layers, so the distinct branches have no gradient
        out = [
            f / 2 if isinstance(distinct, Distinct) else f for f, distinct in zip(pyramid, self.distinct, strict=True)
        ]
        out[-1] = torch.cat([out[-1], self.universal(pyramid[-1], pyramid[-1])[0]], 1)
        return out

    @torch.no_grad()
    def make_equal(self) -> None:
        """Copy the layers of the source style to the target style."""
        for module in (*self.distinct, self.universal):
            if isinstance(module, Distinct | Universal):
                module.target.load_state_dict(module.source.state_dict())


class TwoBranchNetwork(SegmentationNetwork):
    """Both students and the disentangle module: all that prediction needs.

    Prediction is the mean of the logits H_S(F'_ts) and H_T(F'_tt) of a target image; teachers take no part in it.

    Args:
        disentangle: False leaves the disentangle module out (an ablation).
    """

    kind: ClassVar[str] = "two-branch"
    disentangle: Disentangle | None

    def __init__(self, arch: Architecture, weights: str = "none", disentangle: bool = True) -> None:
        super().__init__(arch)
        self.backbone_s = build_encoder(arch, weights)
        channels = self.backbone_s.out_channels
        self.disentangle = Disentangle(channels) if disentangle else None
        if self.disentangle is not None:
            channels = self.disentangle.out_channels
        self.head_s = Decoder(arch, channels)
        self.backbone_t = build_encoder(arch, weights)
        self.head_t = Decoder(arch, channels)

    def separate(self, f_s: list[Tensor], f_t: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Separate the styles of two pyramids of one image, each level (B, C, h, w), by the disentangle module if any."""
        return (f_s, f_t) if self.disentangle is None else self.disentangle(f_s, f_t)

    def forward(self, image: Tensor) -> Tensor:
        f_s, f_t = self.separate(self.backbone_s(image), self.backbone_t(image))
        return resize((self.head_s(f_s)[1] + self.head_t(f_t)[1]) / 2, image.shape[-2:])

    def source_branch(self, image: Tensor) -> Tensor:
        """Compute the logits (B, K, H, W) of the source branch alone, as if the target branch equalled it.

        It takes half the work.
        """
        f = self.backbone_s(image)
        g = f if self.disentangle is None else self.disentangle.of_equal_branches(f)
        return resize(self.head_s(g)[1], image.shape[-2:])

    @torch.no_grad()
    def make_equal(self) -> None:
        """Make the target branch a copy of the source branch; the prediction is then that of ``source_branch``."""
        self.backbone_t.load_state_dict(self.backbone_s.state_dict())
        self.head_t.load_state_dict(self.head_s.state_dict())
        if self.disentangle is not None:
            self.disentangle.make_equal()

    def as_fields(self) -> dict[str, Any]:
        return {**super().as_fields(), "disentangle": self.disentangle is not None}
