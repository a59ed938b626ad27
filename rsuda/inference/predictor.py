"""A trained network on a device: standardised windows in, class probabilities out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from rsuda.core.errors import InputError, unknown
from rsuda.learning.device import autocast, keep_freed_memory, pick_device, pick_precision
from rsuda.learning.network import STRIDE, without_batch_norm
from rsuda.runs.weights import TrainedNetwork

TTA = ("none", "flips", "all")


@dataclass(frozen=True)
class Predictor:
    """A network on a device, with its windowing.

    Attributes:
        model: the network of ``trained``, its batch norms folded away.
        window: pixels per side of the windows fed to the network, a multiple of 32.
        overlap: pixels that neighbouring windows share at least.
        batch_size: windows at once, all from the same row of windows.
        tta: test-time augmentation: the mean over 'flips' (4 views) or 'all' flips and right-angle turns (8), or 'none'.
    """

    trained: TrainedNetwork
    model: nn.Module
    device: torch.device
    precision: str
    window: int = 512
    overlap: int = 128
    batch_size: int = 4
    tta: str = "none"

    @staticmethod
    def of(
        trained: TrainedNetwork,
        device: str = "auto",
        precision: str = "auto",
        window: int = 512,
        overlap: int = 128,
        batch_size: int = 4,
        tta: str = "none",
    ) -> Predictor:
        """Raises InputError when the window is not a multiple of 32, the overlap does not fit in it, or a batch is empty."""
        if window < STRIDE or window % STRIDE:
            raise InputError(f"the tile size must be a multiple of {STRIDE}, not {window}")
        if not 0 <= overlap < window:
            raise InputError(f"the overlap must be at least 0 and below the tile size {window}, not {overlap}")
        if batch_size < 1:
            raise InputError(f"the batch size must be at least 1, not {batch_size}")
        if tta not in TTA:
            raise unknown("test-time augmentation", tta, TTA)
        where = pick_device(device)
        if where.type == "cpu":
            keep_freed_memory()
        model = without_batch_norm(trained.model.to(where).eval(), len(trained.spec.bands))
        model.to(memory_format=torch.channels_last)
        return Predictor(trained, model, where, pick_precision(precision, where), window, overlap, batch_size, tta)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities (B, K, h, w) float32 of images (B, bands, h, w) on 0..1."""
        mean, std = (np.array(v, np.float32)[:, None, None] for v in (self.trained.spec.mean, self.trained.spec.std))
        return self.of_standardised(torch.from_numpy((images - mean) / std)).cpu().numpy()

    def of_standardised(self, x: Tensor) -> Tensor:
        """Class probabilities (B, K, h, w) float32, on the device, of standardised images (B, bands, h, w)."""
        return torch.stack([logits.softmax(1) for logits in self.looks(x.to(self.device))]).mean(0)

    @torch.inference_mode()
    def looks(self, x: Tensor) -> list[Tensor]:
        """Logits (B, K, h, w) float32 of standardised images on the device, from each view of test-time augmentation."""
        found = []
        for axes, turns in _views(self.tta):
            with autocast(self.precision, self.device):
                logits = self.model(_there(x, axes, turns))
            found.append(_back(logits.float(), axes, turns))
        return found

    @torch.inference_mode()
    def standardised(self, pixels: np.ndarray, valid: np.ndarray | None) -> Tensor:
        """Raw pixels (B, bands, h, w) of any type as the network is fed; where not ``valid`` (B, h, w) they are the 0 of the
        0..1 scale, as in training."""
        spec = self.trained.spec
        low, high, mean, std = (np.array(v, np.float64) for v in (spec.low, spec.high, spec.mean, spec.std))
        # ((v - low) / (high - low) - mean) / std in two steps
        scale, shift = 1 / ((high - low) * std), -(low / (high - low) + mean) / std
        if pixels.dtype not in (np.uint8, np.int16, np.float32):  # torch computes in few types
            pixels = pixels.astype(np.float32)
        raw = torch.from_numpy(pixels).to(self.device)
        x = raw.to(torch.float32, copy=True).mul_(_column(scale, raw)).add_(_column(shift, raw))
        if valid is not None:
            x = torch.where(torch.from_numpy(valid).to(self.device)[:, None], x, _column(-mean / std, x))
        return x


def add_softmax(into: Tensor, logits: Tensor, weight: Tensor) -> None:
    """into += weight * softmax(logits) for (K, h, w) and (h, w), without a pass over memory to normalise."""
    x = logits.contiguous()
    x = x.sub(x.amax(0)).exp_()
    into.addcmul_(x, weight / x.sum(0))


def _column(values: np.ndarray, like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=like.device)[None, :, None, None]


def _views(tta: str) -> Iterator[tuple[list[int], int]]:
    """Views of an image: the axes it is mirrored along, then the right angles it is turned by."""
    mirrored: dict[str, list[list[int]]] = {"none": [[]], "flips": [[], [-1], [-2], [-1, -2]], "all": [[], [-1]]}
    for turns in range(4 if tta == "all" else 1):
        for axes in mirrored[tta]:
            yield axes, turns


def _there(x: Tensor, axes: list[int], turns: int) -> Tensor:
    """The network is fed channels last, so a view that is the image itself is not copied."""
    return torch.rot90(x.flip(axes) if axes else x, turns, (-2, -1)).contiguous(memory_format=torch.channels_last)


def _back(p: Tensor, axes: list[int], turns: int) -> Tensor:
    p = torch.rot90(p, -turns, (-2, -1)) if turns else p
    return p.flip(axes) if axes else p
