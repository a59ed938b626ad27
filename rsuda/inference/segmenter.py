"""A run's network as a plain torch module that takes raw pixels, alone or in the samples that torchgeo's datasets give."""

from __future__ import annotations

from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rsuda.core.errors import InputError
from rsuda.core.legend import Legend
from rsuda.core.spec import Spec
from rsuda.learning.network import STRIDE
from rsuda.runs.weights import TrainedNetwork, load_run


class Segmenter(nn.Module):
    """Raw pixels in, classes out. It standardises by its spec itself, and takes images of any size.

    Of a tensor (B, bands, H, W), pixel values as they stand in the file, any dtype: logits (B, K, H, W) float32.
    Of a sample, a dict with "image" (bands, H, W) or (B, bands, H, W): a copy with "prediction", the class indices
    (H, W) or (B, H, W) int64, and "probabilities" (K, H, W) or (B, K, H, W) float32. All other keys of the sample, such
    as "crs", "bounds" and "transform", stay as they are.

    The bands are those of ``spec.bands`` in that order, and pixels ``gsd`` metres long: nothing is resampled here, which
    ``rsuda.predict`` does. Pixels that are no number count as nodata does in training, as the 0 of the 0..1 scale.
    """

    def __init__(self, trained: TrainedNetwork) -> None:
        super().__init__()
        self.trained = trained
        self.network = trained.model
        spec = trained.spec
        for name in ("low", "high", "mean", "std"):
            values = torch.tensor(getattr(spec, name), dtype=torch.float32)
            self.register_buffer(name, values[:, None, None], persistent=False)

    low: Tensor
    high: Tensor
    mean: Tensor
    std: Tensor

    @property
    def spec(self) -> Spec:
        """What the network expects of pixels."""
        return self.trained.spec

    @property
    def legend(self) -> Legend:
        """The classes, index by index."""
        return self.spec.legend

    @property
    def gsd(self) -> float:
        """Metres per pixel that the network was trained at."""
        return self.spec.gsd

    @overload
    def forward(self, image: Tensor) -> Tensor: ...
    @overload
    def forward(self, image: dict[str, Any]) -> dict[str, Any]: ...
    def forward(self, image: Tensor | dict[str, Any]) -> Tensor | dict[str, Any]:
        """Logits of a tensor, or a sample with its prediction. Raises InputError for other bands or no image."""
        if isinstance(image, Tensor):
            return self._logits(image)
        if not isinstance(image.get("image"), Tensor):
            raise InputError(f"the sample has no tensor 'image', but {', '.join(map(str, image)) or 'nothing'}")
        single = image["image"].ndim == 3
        logits = self._logits(image["image"][None] if single else image["image"])
        found = {"prediction": logits.argmax(1), "probabilities": logits.softmax(1)}
        return {**image, **{k: v[0] if single else v for k, v in found.items()}}

    def _logits(self, image: Tensor) -> Tensor:
        wanted = self.spec.bands
        if image.ndim != 4 or image.shape[1] != len(wanted):
            raise InputError(
                f"the image is {tuple(image.shape)}, and the network takes (B, {len(wanted)}, H, W) of the bands "
                f"{', '.join(wanted)}"
            )
        height, width = image.shape[-2:]
        if 0 in image.shape:
            raise InputError(f"the image is {tuple(image.shape)} and has no pixels")
        raw = image.to(self.low.device, torch.float32)
        unit = (raw - self.low) / (self.high - self.low)
        x = (torch.where(raw.isfinite(), unit, 0) - self.mean) / self.std
        x = F.pad(x, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
        return self.network(x).float()[..., :height, :width]


def load(run: str | Path) -> Segmenter:
    """A run's network, in evaluation mode on the CPU.

    Raises MissingError or InputError for what is no finished run.
    """
    return Segmenter(load_run(run)).eval()
