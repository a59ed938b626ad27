"""Augmentation of a batch on its device: flips and right angles, photometric distortion (kornia), standardisation."""

from __future__ import annotations

from collections.abc import Sequence

import kornia.augmentation as K
import torch
from torch import Tensor, nn


def dihedral(image: Tensor, label: Tensor, turns: bool = True) -> tuple[Tensor, Tensor]:
    """Each image and its label mirrored with probability 1/2 and, with ``turns``, turned by a random right angle.

    Nadir imagery has no up; street-scene papers only mirror.
    """
    images, labels = [], []
    for x, y in zip(image, label, strict=True):
        if torch.rand(()) < 0.5:
            x, y = x.flip(-1), y.flip(-1)
        quarter = int(torch.randint(4, ())) if turns else 0
        images.append(x.rot90(quarter, (-2, -1)))
        labels.append(y.rot90(quarter, (-2, -1)))
    return torch.stack(images), torch.stack(labels)


class Augmentation:
    """Turns patches in 0..1 into what the network is trained on.

    Args:
        mean, std: standardisation per band, (source, target).
        turns: right-angle rotations beside mirroring.
        photometric: brightness +-32/255, contrast 0.5-1.5, and for 3 bands saturation 0.5-1.5 and hue +-18/360, each
            with probability 1/2 (ST-DASegNet's settings).
        target_geometry: whether the target is mirrored and turned too.
    """

    def __init__(
        self,
        source: tuple[Sequence[float], Sequence[float]],
        target: tuple[Sequence[float], Sequence[float]],
        turns: bool = True,
        photometric: bool = True,
        target_geometry: bool = True,
    ) -> None:
        self.statistics = {"source": source, "target": target}
        self.turns, self.target_geometry = turns, target_geometry
        layers: list[nn.Module] = []
        if photometric:
            layers = [K.RandomBrightness((1 - 32 / 255, 1 + 32 / 255), p=0.5), K.RandomContrast((0.5, 1.5), p=0.5)]
            if len(source[0]) == 3:
                layers += [K.RandomSaturation((0.5, 1.5), p=0.5), K.RandomHue((-0.05, 0.05), p=0.5)]
        self.photometric = K.ImageSequential(*layers) if layers else nn.Identity()

    def standardise(self, image: Tensor, domain: str) -> Tensor:
        mean, std = (
            torch.as_tensor(v, dtype=image.dtype, device=image.device)[:, None, None] for v in self.statistics[domain]
        )
        return (image - mean) / std

    def source(self, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Augmented and standardised source images (B, bands, H, W) and labels (B, H, W)."""
        image, label = dihedral(image, label, self.turns)
        return self._finish(image, "source"), label

    def target(self, image: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """The same for target images and their masks of valid pixels."""
        if self.target_geometry:
            image, valid = dihedral(image, valid, self.turns)
        return self._finish(image, "target"), valid

    def _finish(self, image: Tensor, domain: str) -> Tensor:
        with torch.no_grad(), torch.autocast(image.device.type, enabled=False):
            image = self.standardise(self.photometric(image.float()), domain)
        return image.contiguous(memory_format=torch.channels_last)
