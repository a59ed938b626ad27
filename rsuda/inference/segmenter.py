"""Wrap a trained model as a plain torch module that takes raw pixels, alone or in samples of torchgeo's datasets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rsuda.core.errors import InputError
from rsuda.core.legend import Legend
from rsuda.core.spec import Spec
from rsuda.learning.calibration import divided
from rsuda.learning.network import STRIDE
from rsuda.runs.weights import TrainedNetwork, load_run


class Segmenter(nn.Module):
    """A model that takes raw pixels of images of any size. It standardises them itself.

    A tensor (B, bands, H, W) of pixel values as in the file, of any dtype, becomes logits (B, K, H, W) float32. A
    sample is a dict with "image" (bands, H, W) or (B, bands, H, W). It becomes a copy with "prediction" and
    "probabilities". They are class indices (H, W) or (B, H, W) int64, and (K, H, W) or (B, K, H, W) float32. All other
    keys of the sample, such as "crs", "bounds" and "transform", stay as they are. Probabilities have the temperature of
    ``spec``, logits do not.

    The bands are those of ``spec.bands`` in that order, the pixels ``gsd`` metres long: only ``rsuda.predict`` resamples.
    Pixels that are NaN or infinite count as nodata does in training: they are the 0 of the 0..1 scale.
    """

    def __init__(self, trained: TrainedNetwork) -> None:
        super().__init__()
        self.trained = trained
        self.network = trained.model
        spec = trained.spec
        scale, shift = spec.scale_shift()
        nodata = -np.array(spec.mean) / np.array(spec.std)
        for name, values in (("scale", scale), ("shift", shift), ("nodata", nodata)):
            column = torch.tensor(values, dtype=torch.float32)[:, None, None]
            self.register_buffer(name, column, persistent=False)

    scale: Tensor
    shift: Tensor
    nodata: Tensor

    @property
    def spec(self) -> Spec:
        """What the model expects of pixels."""
        return self.trained.spec

    @property
    def legend(self) -> Legend:
        """The classes, by index."""
        return self.spec.legend

    @property
    def gsd(self) -> float:
        """Metres per pixel that the model was trained at."""
        return self.spec.gsd

    @overload
    def forward(self, image: Tensor) -> Tensor: ...
    @overload
    def forward(self, image: dict[str, Any]) -> dict[str, Any]: ...
    def forward(self, image: Tensor | dict[str, Any]) -> Tensor | dict[str, Any]:
        """Compute logits of a tensor, or add the prediction to a sample.

        Raises InputError for a wrong number of bands, or a sample without an image.
        """
        if isinstance(image, Tensor):
            return self._logits(image)
        if not isinstance(image.get("image"), Tensor):
            raise InputError(f"the sample has no tensor 'image'; it has {', '.join(map(str, image)) or 'no keys'}")
        single = image["image"].ndim == 3
        logits = self._logits(image["image"][None] if single else image["image"])
        calibrated = divided(logits, self.spec.temperature, axis=1, bias=self.spec.bias)
        probabilities = calibrated.softmax(1)
        predicted = {"prediction": (calibrated if self.spec.bias else logits).argmax(1), "probabilities": probabilities}
        return {**image, **{key: value[0] if single else value for key, value in predicted.items()}}

    def _logits(self, image: Tensor) -> Tensor:
        bands = self.spec.bands
        if image.ndim != 4 or image.shape[1] != len(bands):
            raise InputError(
                f"the image is {tuple(image.shape)}; it must be (B, {len(bands)}, H, W) of the bands {', '.join(bands)}"
            )
        height, width = image.shape[-2:]
        if 0 in image.shape:
            raise InputError(f"the image is {tuple(image.shape)} and has no pixels")
        raw = image.to(self.scale.device, torch.float32)
        x = torch.where(raw.isfinite(), raw * self.scale + self.shift, self.nodata)
        x = F.pad(x, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
        return self.network(x).float()[..., :height, :width]


def load(run: str | os.PathLike[str]) -> Segmenter:
    """Load the model of a run as a torch module that takes raw pixels or torchgeo samples, in evaluation mode on the CPU.

    Args:
        run: a run, or its folder.

    Returns:
        the module; see ``Segmenter`` for what it takes and returns.

    Raises:
        MissingError, InputError: the folder is not a finished run.

    Example:
        >>> import rsuda, torch
        >>> network = rsuda.load("runs/two")
        >>> network.spec.bands, network.gsd
        (('ir', 'red', 'green'), 0.09)
        >>> with torch.inference_mode():
        ...     sample = network({"image": torch.randint(0, 256, (3, 100, 70)), "crs": "EPSG:32632"})
        >>> sample["prediction"].shape, sample["crs"]
        (torch.Size([100, 70]), 'EPSG:32632')
    """
    return Segmenter(load_run(Path(run))).eval()
