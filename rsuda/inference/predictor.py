"""Run a trained model on a device: standardised windows in, class probabilities out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from rsuda.core.map_options import PredictorOptions
from rsuda.core.validation import validate
from rsuda.learning.calibration import tempered
from rsuda.learning.device import autocast, keep_freed_memory, pick_device, pick_precision
from rsuda.learning.folding import for_prediction
from rsuda.runs.onnx_network import OnnxNetwork
from rsuda.runs.trained_network import TrainedNetwork


@dataclass(frozen=True)
class Predictor:
    """A model on a device, with its windows and views.

    Attributes:
        model: the network of ``trained``; its batch norms are folded into convolutions, on a CPU its activations too.
        precision: bf16 or fp32.
        window: pixels per side of the windows, a multiple of 32.
        overlap: pixels by which neighbouring windows overlap at least.
        batch_size: windows in one forward pass, all from one row of windows.
        tta: test-time augmentation: the mean over 'flips' (4 views), over 'all' flips and right-angle turns (8), or 'none'.
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
        *,
        window: int = 512,
        overlap: int = 128,
        batch_size: int = 4,
        tta: str = "none",
    ) -> Predictor:
        """Prepare a trained model for prediction; see PredictorOptions for the arguments.

        Raises InputError when an option is out of range, this machine lacks the device, or an ONNX file has other windows.
        """
        values = {"window": window, "overlap": overlap, "batch_size": batch_size, "tta": tta}
        options = validate(PredictorOptions, {"device": device, "precision": precision, **values}, "option")
        if isinstance(trained.model, OnnxNetwork):
            trained.model.check_window(options.window, options.window)
        torch_device = pick_device(options.device)
        if torch_device.type == "cpu":
            keep_freed_memory()
        precision = pick_precision(options.precision, torch_device)
        model = trained.model.to(torch_device).eval()
        return Predictor(
            trained,
            for_prediction(model, len(trained.spec.bands), precision, torch_device),
            torch_device,
            precision,
            window=options.window,
            overlap=options.overlap,
            batch_size=options.batch_size,
            tta=options.tta,
        )

    def uncalibrated(self) -> Predictor:
        """Return this predictor without the temperature and bias of its model."""
        return replace(self, trained=replace(self.trained, spec=self.trained.spec.uncalibrated()))

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Predict class probabilities (B, K, h, w) float32 of images (B, bands, h, w) on the 0..1 scale."""
        standardised = torch.from_numpy(self.trained.spec.standardise_unit(images))
        return self.probabilities_of(standardised).cpu().numpy()

    def probabilities_of(self, x: Tensor) -> Tensor:
        """Predict class probabilities (B, K, h, w) float32, on the device, of standardised images (B, bands, h, w)."""
        mean = self.uncalibrated_probabilities_of(x.to(self.device))
        return tempered(mean, self.trained.spec.temperature, axis=1, bias=self.trained.spec.bias)

    @torch.inference_mode()
    def uncalibrated_probabilities_of(self, x: Tensor) -> Tensor:
        """Average the softmax over the views of test-time augmentation, before any temperature.

        Args:
            x: standardised images (B, bands, h, w) on the device.

        Returns:
            (B, K, h, w) float32.
        """
        views = list(_views(self.tta))
        total: Tensor | None = None
        for axes, turns in views:
            with autocast(self.precision, self.device):
                logits = self.model(_to_view(x, axes, turns))
            share = _from_view(logits.float(), axes, turns).softmax(1)
            total = share if total is None else total.add_(share)
        assert total is not None
        return total if len(views) == 1 else total.div_(len(views))

    @torch.inference_mode()
    def standardise(self, pixels: np.ndarray, valid: np.ndarray | None) -> Tensor:
        """Standardise raw pixels (B, bands, h, w) of any type, float32 on the device.

        Args:
            valid: (B, h, w) bool. Invalid pixels are the 0 of the 0..1 scale, as in training.
        """
        spec = self.trained.spec
        scale, shift = spec.scale_shift()
        if pixels.dtype not in (np.uint8, np.int16, np.float32):  # torch computes in few types
            pixels = pixels.astype(np.float32)
        raw = torch.from_numpy(pixels).to(self.device)
        x = raw.to(torch.float32, copy=True).mul_(_column(scale, raw)).add_(_column(shift, raw))
        if valid is not None:
            nodata = -np.array(spec.mean) / np.array(spec.std)
            x = torch.where(torch.from_numpy(valid).to(self.device)[:, None], x, _column(nodata, x))
        return x


def _column(values: np.ndarray, like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=like.device)[None, :, None, None]


def _views(tta: str) -> Iterator[tuple[list[int], int]]:
    """List the views of an image: the axes it is mirrored along, then the right angles it is turned by."""
    mirrored: dict[str, list[list[int]]] = {"none": [[]], "flips": [[], [-1], [-2], [-1, -2]], "all": [[], [-1]]}
    for turns in range(4 if tta == "all" else 1):
        for axes in mirrored[tta]:
            yield axes, turns


def _to_view(x: Tensor, axes: list[int], turns: int) -> Tensor:
    """Mirror, then turn an image, in channels-last memory; a view that is the image itself is not copied."""
    x = x.flip(axes) if axes else x
    # torch copies an image that it turns by 0
    return (torch.rot90(x, turns, (-2, -1)) if turns else x).contiguous(memory_format=torch.channels_last)


def _from_view(logits: Tensor, axes: list[int], turns: int) -> Tensor:
    """Undo ``_to_view``."""
    logits = torch.rot90(logits, -turns, (-2, -1)) if turns else logits
    return logits.flip(axes) if axes else logits
