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


def dihedral(batch: dict[str, Tensor], flip_rotate: bool = True, share: BatchShard = BatchShard()) -> dict[str, Tensor]:
    """Mirror each item's tensors, (B, ..., H, W), with probability 1/2 and, with ``flip_rotate``, turn them by a right angle.

    An item's tensors all move alike; only square ones can be turned. Nadir imagery has no up; street-scene papers only mirror.
    """
    size = len(next(iter(batch.values())))
    moves = [
        (bool(torch.rand(()) < 0.5), int(torch.randint(4, ())) if flip_rotate else 0) for _ in range(share.whole(size))
    ][share.rows(size)]

    def moved(x: Tensor, mirrored: bool, quarter: int) -> Tensor:
        return (x.flip(-1) if mirrored else x).rot90(quarter, (-2, -1))

    return {
        name: torch.stack([moved(x, *move) for x, move in zip(items, moves, strict=True)])
        for name, items in batch.items()
    }


class Augmentation:
    """Turns patches in 0..1 into what the network is trained on.

    Args:
        mean, std: standardisation per band, (source, target).
        flip_rotate: right-angle rotations beside mirroring.
        photometric: brightness +-32/255, contrast 0.5-1.5, and for 3 bands saturation 0.5-1.5 and hue, each with
            probability 1/2 (ST-DASegNet's settings).
        target_geometry: whether the target is mirrored and turned too.
        hue: largest turn of the hue, as a share of the colour circle. Released codes add +-18 to OpenCV's hue, which counts
            half degrees: 0.1.
    """

    def __init__(
        self,
        source: tuple[Sequence[float], Sequence[float]],
        target: tuple[Sequence[float], Sequence[float]],
        flip_rotate: bool = True,
        photometric: bool = True,
        target_geometry: bool = True,
        hue: float = 0.05,
    ) -> None:
        self.statistics = {"source": source, "target": target}
        self.flip_rotate, self.target_geometry = flip_rotate, target_geometry
        layers: list[nn.Module] = []
        if photometric:
            layers = [K.RandomBrightness((1 - 32 / 255, 1 + 32 / 255), p=0.5), K.RandomContrast((0.5, 1.5), p=0.5)]
            if len(source[0]) == 3:
                layers += [K.RandomSaturation((0.5, 1.5), p=0.5), K.RandomHue((-hue, hue), p=0.5)]
        self.photometric = K.ImageSequential(*layers) if layers else nn.Identity()

    def standardise(self, image: Tensor, domain: str) -> Tensor:
        mean, std = (
            torch.as_tensor(v, dtype=image.dtype, device=image.device)[:, None, None] for v in self.statistics[domain]
        )
        return (image - mean) / std

    def source(self, batch: dict[str, Tensor], share: BatchShard = BatchShard()) -> dict[str, Tensor]:
        """Augment the source of a batch, a share of a step's: source_image (B, bands, H, W) in 0..1, source_label and
        source_valid (B, H, W). The image is moved, distorted and standardised."""
        source = dihedral({k: v for k, v in batch.items() if k.startswith("source_")}, self.flip_rotate, share)
        return source | {"source_image": self._finish(source["source_image"], "source", share)}

    def target(
        self, batch: dict[str, Tensor], share: BatchShard = BatchShard(), distorted: bool = False
    ) -> dict[str, Tensor]:
        """Augment the target of a batch: target_image (B, bands, H, W) in 0..1, target_valid and target_hint (B, H, W).

        The image is moved and standardised: the weak view, which teachers label. With ``distorted`` there is target_distorted
        too, the same with photometric distortion.
        """
        target = {k: v for k, v in batch.items() if k.startswith("target_")}
        if self.target_geometry:
            target = dihedral(target, self.flip_rotate, share)
        weak = target["target_image"]
        if distorted:
            target["target_distorted"] = self._finish(weak, "target", share)
        return target | {"target_image": self._finish(weak, "target")}

    @torch.no_grad()
    def strong(self, image: Tensor, key: Tensor, strength: float = 0.2) -> Tensor:
        """Jitter colours of standardised target or mixed images (B, bands, H, W) and blur them, as in DACS and its successors.

        Brightness, contrast and for 3 bands saturation and hue change by up to ``strength``, with probability 0.8.
        Gaussian blur has a sigma of 0.15 to 1.15 px and probability 0.5. Its kernel has 9 px; the released codes' tenth
        of the image only adds zeros. What is drawn depends on each image's key. Jitter is within the values that either
        domain's pixels can have.
        """
        wide = torch.promote_types(image.dtype, torch.float32)
        mean, std = (
            torch.as_tensor(v, dtype=wide, device=image.device)[:, None, None] for v in self.statistics["target"]
        )
        with torch.autocast(image.device.type, enabled=False):
            low, high = self._range_of_mixed
            plain = ((image.to(wide) * std + mean - low) / (high - low)).clamp(0, 1)
            u = uniform(key, STRONG, 7).to(wide)
            factor = 1 + strength * (2 * u[:, :3] - 1)
            enhancement = enhance.adjust_brightness(plain, factor[:, 0] - 1)
            enhancement = enhance.adjust_contrast(enhancement, factor[:, 1])
            if image.shape[1] == 3:
                enhancement = enhance.adjust_saturation(enhancement, factor[:, 2])
                enhancement = enhance.adjust_hue(enhancement, 2 * torch.pi * strength * (2 * u[:, 3] - 1))
            out = torch.where(u[:, 4, None, None, None] < 0.8, enhancement, plain)
            sigma = (0.15 + u[:, 5, None]).expand(-1, 2)
            out = torch.where(u[:, 6, None, None, None] < 0.5, gaussian_blur2d(out, (9, 9), sigma), out)
            return ((out * (high - low) + low - mean) / std).contiguous(memory_format=torch.channels_last)

    @property
    def _range_of_mixed(self) -> tuple[float, float]:
        """Least and greatest value of both domains' pixels, on the target's scale of 0..1.

        A source pixel standardised by the source's statistics may be beyond 0..1 there. One range for all bands keeps grey
        grey.
        """
        bands = zip(*self.statistics["source"], *self.statistics["target"], strict=True)
        ends = [(end - mean_s) / std_s * std_t + mean_t for mean_s, std_s, mean_t, std_t in bands for end in (0, 1)]
        equal = self.statistics["source"] == self.statistics["target"]
        return (0.0, 1.0) if equal else (min(0.0, *ends), max(1.0, *ends))

    def _finish(self, image: Tensor, domain: str, share: BatchShard | None = None) -> Tensor:
        """Standardise images, distorted first where there is a ``share`` to draw for."""
        wide = torch.promote_types(image.dtype, torch.float32)
        with torch.no_grad(), torch.autocast(image.device.type, enabled=False):
            image = image.to(wide)
            image = self.standardise(image if share is None else self._distorted(image, share), domain)
        return image.contiguous(memory_format=torch.channels_last)

    def _distorted(self, image: Tensor, share: BatchShard) -> Tensor:
        if share.of == 1 or not isinstance(self.photometric, K.ImageSequential):
            distorted: Tensor = self.photometric(image)
            return distorted
        size = len(image)
        whole = share.whole(size)
        parameters = self.photometric.forward_parameters(torch.Size((whole, *image.shape[1:])))
        rows_of_shard = torch.zeros(whole, dtype=torch.bool)
        rows_of_shard[share.rows(size)] = True
        # of each layer: a row for each image, or before kornia 0.9 for each that the layer changes
        for item in parameters:
            values = cast("dict[str, Tensor]", item.data)
            is_distorted = values["batch_prob"] > 0.5
            values |= {
                name: rows[rows_of_shard if len(rows) == whole else rows_of_shard[is_distorted]]
                for name, rows in values.items()
                if name != "forward_input_shape"
            }
            values["forward_input_shape"] = torch.tensor(image.shape)
        result: Tensor = self.photometric(image, params=parameters)
        return result
