"""ST-DASegNet: self-training guided disentangled adaptation.

Zhao, Lyu et al., "Self-training guided disentangled adaptation for cross-domain remote sensing image semantic
segmentation", Int. J. Appl. Earth Obs. Geoinf. 2024, doi 10.1016/j.jag.2023.103646.

Symbols: x_s, y_s a source image and its label, x_t a target image; B_S, B_T the source and target student backbones,
H_S, H_T their decoders, T_S, T_T the EMA teachers of the decoders, D_S, D_T the domain discriminators.
F_ab is the feature of an image of domain a through backbone b.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rsuda.core.errors import InputError
from rsuda.learning.decoders import four_deepest
from rsuda.learning.losses import cross_entropy
from rsuda.learning.network import Architecture, Decoder, build_encoder, resize
from rsuda.learning.target_statistics import running_statistics_kept
from rsuda.methods.base import Method
from rsuda.methods.blocks.discriminators import Discriminator, domain_loss, spatial_softmax
from rsuda.methods.blocks.pseudo_labels import PseudoLabels, quality_weighted
from rsuda.methods.blocks.teacher import Teacher

# Class weights of the two students' cross entropy and factors c of pseudo labels, for the paper's own
# legends: name: (H_S, H_T, c). LoveDA's are those of rural -> urban. The released code writes c as 1.01, 1.51, 2.01 for a
# reason of its own (relabelling in place); here 1, 1.5, 2.
PAPER_WEIGHTS: tuple[dict[str, tuple[float, float, float]], ...] = (
    {
        "impervious surface": (1.0, 1.0, 1.0),
        "building": (1.0, 1.0, 1.0),
        "low vegetation": (1.0, 1.25, 1.5),
        "tree": (1.25, 1.25, 1.5),
        "car": (1.5, 1.5, 2.0),
        "clutter": (1.5, 1.5, 2.0),
    },
    {
        "background": (1.25, 1.25, 1.5),
        "building": (1.0, 1.0, 1.0),
        "road": (1.25, 1.25, 1.5),
        "water": (1.0, 1.0, 1.0),
        "barren": (1.5, 1.5, 2.0),
        "forest": (1.25, 1.25, 1.5),
        "agricultural": (1.0, 1.0, 1.0),
    },
)


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

    Z = ReLU(conv(mean of F_S and F_T)); E_k = F_k Z^T over positions, without scaling; M = mean over k of the row softmax of
    (row maximum - E_k); output ReLU(conv_k(M F_k)), d channels.
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
    """Domain disentangle module: distinct branches at every level, the universal branch at the last level only (the
    paper's figure draws both everywhere; the released code has them so), concatenated there.

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


class Students(nn.Module):
    """Both students and the disentangle module: all that prediction needs.

    Prediction is the mean of the logits H_S(F'_ts) and H_T(F'_tt); the teachers are not used.
    """

    disentangle: Disentangle | None

    def __init__(self, arch: Architecture, weights: str = "none", disentangle: bool = True) -> None:
        super().__init__()
        self.backbone_s = build_encoder(arch, weights)
        channels = self.backbone_s.out_channels
        self.disentangle = Disentangle(channels) if disentangle else None
        if self.disentangle is not None:
            channels = self.disentangle.out_channels
        self.head_s = Decoder(arch, channels)
        self.backbone_t = build_encoder(arch, weights)
        self.head_t = Decoder(arch, channels)

    def separate(self, f_s: list[Tensor], f_t: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """The two styles of one image through the disentangle module, where there is one."""
        return (f_s, f_t) if self.disentangle is None else self.disentangle(f_s, f_t)

    def forward(self, image: Tensor) -> Tensor:
        f_s, f_t = self.separate(self.backbone_s(image), self.backbone_t(image))
        return resize((self.head_s(f_s)[1] + self.head_t(f_t)[1]) / 2, image.shape[-2:])


class STDASegNet(Method):
    """The whole method. Options:

    Args:
        adversarial_weight: lambda of the fooling and discriminator terms (paper 0.005).
        pseudo_weight: lambda of the pseudo-label terms (paper 0.25).
        certain, trusted: confidences 0.975 and 0.8 of the quality weights.
        pseudo_labels: 'shared', the mean of both teachers supervises both students (released code, which made the
            published numbers), or 'separate', each teacher supervises its own student (the paper's figure 4).
        quality: 'batch', q multiplies every weight (paper), or 'none', q = 1, for runs too short for q to rise.
        class_weights: 'paper' (of its two legends; 1 for any other), 'none', 'balanced' (by the square root of each class's
            share of the source) or one per class, for both students.
        disentangle: False leaves the disentangle module out (ablation).
        strided: strided layers of the discriminators (paper 2 for MiT, 3 for ResNet-50), fewer for small crops.
        statistics: 'both', batch norm's running statistics follow source and target batches (paper), or 'target': only
            target batches. Training normalises each domain by its own batch, prediction sees the target alone, so
            mixed running statistics fit neither.
        teacher_decay: final decay of the teachers.
    """

    paper: ClassVar[str] = "Zhao, Lyu et al., ST-DASegNet, JAG 2024, arXiv 2301.05526"
    networks: ClassVar[str] = "two networks, two teachers of decoders, two discriminators"
    passes: ClassVar[tuple[float, float]] = (4, 1)
    model: Students
    weight_s: Tensor
    weight_t: Tensor
    factor: Tensor

    def __init__(
        self,
        *base: Any,
        adversarial_weight: float = 0.005,
        pseudo_weight: float = 0.25,
        certain: float = 0.975,
        trusted: float = 0.8,
        pseudo_labels: str = "shared",
        quality: str = "batch",
        class_weights: str | list[float] = "paper",
        disentangle: bool = True,
        strided: int = 2,
        statistics: str = "target",
        teacher_decay: float = 0.999,
    ) -> None:
        super().__init__(*base)
        for name, value, allowed in (
            ("pseudo_labels", pseudo_labels, ("shared", "separate")),
            ("statistics", statistics, ("both", "target")),
            ("quality", quality, ("batch", "none")),
        ):
            if value not in allowed:
                raise InputError(f"option {name} of method st-dasegnet is {' or '.join(allowed)}, not '{value}'")
        self.adversarial_weight, self.pseudo_weight = adversarial_weight, pseudo_weight
        self.certain, self.trusted = certain, trusted
        self.pseudo_labels, self.statistics, self.quality = pseudo_labels, statistics, quality
        self.model = Students(self.arch, self.weights, disentangle)
        self.teacher_s = Teacher(self.model.head_s, teacher_decay)
        self.teacher_t = Teacher(self.model.head_t, teacher_decay)
        deepest = self.model.backbone_s.out_channels[-1]
        self.judge_s = Discriminator(deepest, strided=strided)
        self.judge_t = Discriminator(deepest, strided=strided)
        by_class = zip(("weight_s", "weight_t", "factor"), self._class_weights(class_weights), strict=True)
        for name, values in by_class:
            self.register_buffer(name, torch.tensor(values), persistent=False)

    def _class_weights(self, given: str | list[float]) -> tuple[list[float], list[float], list[float]]:
        if given == "paper":
            names = self.spec.legend.names
            known = next((w for w in PAPER_WEIGHTS if set(names) == set(w)), {})
            s, t, c = zip(*(known.get(n, (1.0, 1.0, 1.0)) for n in names), strict=True)
            return list(s), list(t), list(c)
        same = self.weights_by_class(given)
        return same, same, [1.0] * len(same)

    def heads(self) -> list[nn.Module]:
        return [self.model.head_s, self.model.head_t, *([self.model.disentangle] if self.model.disentangle else [])]

    def discriminators(self) -> list[nn.Module]:
        return [self.judge_s, self.judge_t]

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        x_s, y_s, model = batch["source_image"], batch["source_label"], self.model
        size = (x_s.shape[-2], x_s.shape[-1])
        adapting = self.adversarial_weight > 0 or self.pseudo_weight > 0

        # Source images through both backbones, supervised in both.
        with ExitStack() as stack:
            if adapting and self.statistics == "target":
                stack.enter_context(running_statistics_kept(model))
            f_ss, f_st = model.backbone_s(x_s), model.backbone_t(x_s)
            g_ss, g_st = model.separate(f_ss, f_st)
            p_ss, p_st = resize(model.head_s(g_ss)[1], size), resize(model.head_t(g_st)[1], size)
        terms = {"ce_s": cross_entropy(p_ss, y_s, self.weight_s), "ce_t": cross_entropy(p_st, y_s, self.weight_t)}
        loss = terms["ce_s"] + terms["ce_t"]
        if not adapting:
            return loss, terms

        # Target images through both backbones; the teachers label them, the students learn the labels.
        x_t, valid = batch["target_image"], batch["target_valid"]
        f_ts, f_tt = model.backbone_s(x_t), model.backbone_t(x_t)
        g_ts, g_tt = model.separate(f_ts, f_tt)
        if self.pseudo_weight > 0:
            for_s, for_t = self._label(g_ts, g_tt, valid)
            p_ts, p_tt = resize(model.head_s(g_ts)[1], size), resize(model.head_t(g_tt)[1], size)
            terms["pseudo"] = cross_entropy(p_ts, for_s.label, self.weight_s, for_s.weight) + cross_entropy(
                p_tt, for_t.label, self.weight_t, for_t.weight
            )
            terms["quality"] = (for_s.quality + for_t.quality) / 2
            loss = loss + self.pseudo_weight * terms["pseudo"]

        # Stage 1: target in B_S shall look like source, source in B_T like target. Stage 2: the discriminators learn to
        # tell them apart, on detached features. With the discriminators frozen in stage 1, the gradient of the sum is
        # that of the two stages, so one backward pass serves both. Only the last level, before the disentangle module.
        if self.adversarial_weight > 0:
            deepest = {k: spatial_softmax(f[-1]) for k, f in (("ss", f_ss), ("st", f_st), ("ts", f_ts), ("tt", f_tt))}
            terms["fool"] = self._judged(self.judge_s, deepest["ts"], True, size) + self._judged(
                self.judge_t, deepest["st"], True, size
            )
            kept = {k: f.detach() for k, f in deepest.items()}
            terms["judge"] = (
                domain_loss(self.judge_s(kept["ss"]), True, size) + domain_loss(self.judge_s(kept["ts"]), False, size)
                + domain_loss(self.judge_t(kept["tt"]), True, size) + domain_loss(self.judge_t(kept["st"]), False, size)
            )  # fmt: skip
            # the released code scales the discriminators' own term by the same weight (nearly neutral under Adam)
            loss = loss + self.adversarial_weight * (terms["fool"] + terms["judge"])
        return loss, terms

    @torch.no_grad()
    def _label(self, g_ts: list[Tensor], g_tt: list[Tensor], valid: Tensor) -> tuple[PseudoLabels, PseudoLabels]:
        """Pseudo labels for each student. The teachers read the students' disentangled features; unlike the
        released code they do so in eval mode and without gradients, since live dropout only makes the labels noisy."""
        by_s, by_t = self.teacher_s(g_ts)[1], self.teacher_t(g_tt)[1]
        if self.pseudo_labels == "shared":
            by_s = by_t = (by_s + by_t) / 2
        scaled = self.quality == "batch"
        for_s, for_t = (
            quality_weighted(resize(logits, valid.shape[-2:]), valid, self.factor, self.certain, self.trusted, scaled)
            for logits in (by_s, by_t)
        )
        return for_s, for_t

    @torch.no_grad()
    def pseudo_labels_of(self, image: Tensor) -> PseudoLabels:
        """The first student's pseudo labels of images as prediction sees them, for looking at."""
        was = self.model.training
        self.model.eval()
        features = self.model.separate(self.model.backbone_s(image), self.model.backbone_t(image))
        self.model.train(was)
        valid = torch.ones(len(image), *image.shape[-2:], dtype=torch.bool, device=image.device)
        return self._label(*features, valid)[0]

    def _judged(self, judge: nn.Module, feature: Tensor, real: bool, size: tuple[int, int]) -> Tensor:
        """A domain loss whose gradient reaches the feature and not the discriminator."""
        frozen = {name: p.detach() for name, p in judge.named_parameters()}
        return domain_loss(torch.func.functional_call(judge, frozen, (feature,)), real, size)

    def after_step(self) -> None:
        self.teacher_s.follow(self.model.head_s)
        self.teacher_t.follow(self.model.head_t)
