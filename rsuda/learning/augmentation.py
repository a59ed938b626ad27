"""Augment a batch on its device: flips and right angles, photometric distortion (kornia), standardisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import kornia.augmentation as K
import torch
from kornia import enhance
from kornia.filters import gaussian_blur2d
from torch import Tensor, nn

from rsuda.learning.random_draws import BatchShard, uniform

STRONG = 0  # purpose of the draws


def dihedral(
    image: Tensor, label: Tensor, flip_rotate: bool = True, share: BatchShard = BatchShard()
) -> tuple[Tensor, Tensor]:
    """Each image and its label mirrored with probability 1/2 and, with ``flip_rotate``, turned by a random right angle.

    Nadir imagery has no up; street-scene papers only mirror.
    """
    moves = [
        (bool(torch.rand(()) < 0.5), int(torch.randint(4, ())) if flip_rotate else 0)
        for _ in range(share.whole(len(image)))
    ]
    images, labels = [], []
    for x, y, (mirrored, quarter) in zip(image, label, moves[share.rows(len(image))], strict=True):
        if mirrored:
            x, y = x.flip(-1), y.flip(-1)
        images.append(x.rot90(quarter, (-2, -1)))
        labels.append(y.rot90(quarter, (-2, -1)))
    return torch.stack(images), torch.stack(labels)


class Augmentation:
    """Turns patches in 0..1 into what the network is trained on.

    Args:
        mean, std: standardisation per band, (source, target).
        flip_rotate: right-angle rotations beside mirroring.
        photometric: brightness +-32/255, contrast 0.5-1.5, and for 3 bands saturation 0.5-1.5 and hue +-18/360, each
            with probability 1/2 (ST-DASegNet's settings).
        target_geometry: whether the target is mirrored and turned too.
    """

    def __init__(
        self,
        source: tuple[Sequence[float], Sequence[float]],
        target: tuple[Sequence[float], Sequence[float]],
        flip_rotate: bool = True,
        photometric: bool = True,
        target_geometry: bool = True,
    ) -> None:
        self.statistics = {"source": source, "target": target}
        self.flip_rotate, self.target_geometry = flip_rotate, target_geometry
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

    def source(self, image: Tensor, label: Tensor, share: BatchShard = BatchShard()) -> tuple[Tensor, Tensor]:
        """Augmented and standardised source images (B, bands, H, W) and labels (B, H, W), a share of a step's batch."""
        image, label = dihedral(image, label, self.flip_rotate, share)
        return self._finish(image, "source", share), label

    def target(self, image: Tensor, valid: Tensor, share: BatchShard = BatchShard()) -> tuple[Tensor, Tensor]:
        """The same for target images and their masks of valid pixels."""
        if self.target_geometry:
            image, valid = dihedral(image, valid, self.flip_rotate, share)
        return self._finish(image, "target", share), valid

    @torch.no_grad()
    def strong(self, image: Tensor, key: Tensor, strength: float = 0.2) -> Tensor:
        """Colour jitter and blur of standardised target or mixed images (B, bands, H, W), as in DACS and its successors.

        Brightness, contrast and for 3 bands saturation and hue by up to ``strength``, with probability 0.8; Gaussian blur of
        sigma 0.15 to 1.15 px with probability 0.5 (kernel of 9 px; the released codes' tenth of the image only adds
        zeros). What is drawn depends on each image's key.
        """
        wide = torch.promote_types(image.dtype, torch.float32)
        mean, std = (
            torch.as_tensor(v, dtype=wide, device=image.device)[:, None, None] for v in self.statistics["target"]
        )
        with torch.autocast(image.device.type, enabled=False):
            plain = (image.to(wide) * std + mean).clamp(0, 1)
            u = uniform(key, STRONG, 7).to(wide)
            factor = 1 + strength * (2 * u[:, :3] - 1)
            jittered = enhance.adjust_brightness(plain, factor[:, 0] - 1)
            jittered = enhance.adjust_contrast(jittered, factor[:, 1])
            if image.shape[1] == 3:
                jittered = enhance.adjust_saturation(jittered, factor[:, 2])
                jittered = enhance.adjust_hue(jittered, 2 * torch.pi * strength * (2 * u[:, 3] - 1))
            out = torch.where(u[:, 4, None, None, None] < 0.8, jittered, plain)
            sigma = (0.15 + u[:, 5, None]).expand(-1, 2)
            out = torch.where(u[:, 6, None, None, None] < 0.5, gaussian_blur2d(out, (9, 9), sigma), out)
            return ((out - mean) / std).contiguous(memory_format=torch.channels_last)

    def _finish(self, image: Tensor, domain: str, share: BatchShard) -> Tensor:
        wide = torch.promote_types(image.dtype, torch.float32)
        with torch.no_grad(), torch.autocast(image.device.type, enabled=False):
            image = self.standardise(self._distorted(image.to(wide), share), domain)
        return image.contiguous(memory_format=torch.channels_last)

    def _distorted(self, image: Tensor, share: BatchShard) -> Tensor:
        if share.of == 1 or not isinstance(self.photometric, K.ImageSequential):
            distorted: Tensor = self.photometric(image)
            return distorted
        size = len(image)
        whole = share.whole(size)
        drawn = self.photometric.forward_parameters(torch.Size((whole, *image.shape[1:])))
        rows_of_shard = torch.zeros(whole, dtype=torch.bool)
        rows_of_shard[share.rows(size)] = True
        for item in drawn:  # of each layer: a row for each image, or before kornia 0.9 for each that the layer changes
            values = cast("dict[str, Tensor]", item.data)
            changed = values["batch_prob"] > 0.5
            values |= {
                name: rows[rows_of_shard if len(rows) == whole else rows_of_shard[changed]]
                for name, rows in values.items()
                if name != "forward_input_shape"
            }
            values["forward_input_shape"] = torch.tensor(image.shape)
        shared: Tensor = self.photometric(image, params=drawn)
        return shared
