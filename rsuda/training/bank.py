"""Make the bank of a run: what it keeps of its source's classes for adaptation without the source."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from rsuda.core.settings import Settings
from rsuda.data.pairs.pair import Pair
from rsuda.data.pairs.patches import PatchDataset
from rsuda.learning.cells import CellEncoder, labels_on_grid
from rsuda.learning.source_bank import CellSums, SourceBank, own_encoder
from rsuda.learning.target_statistics import estimate_statistics
from rsuda.methods.base import Method

WINDOWS = 20  # windows for each class
BATCH = 4

logger = logging.getLogger("rsuda")


def make_bank(method: Method, settings: Settings, pair: Pair, device: torch.device) -> SourceBank:
    """Average a frozen encoder's features over each class of the source.

    The encoder is the pretrained one. Without pretrained weights, or bands for them, it is the model's own,
    with the source's statistics of batch norm. The same run gives the same bank, whatever the number of its processes
    and the size of its batches.
    """
    pretrained = method.build.pretrained_features
    classes = len(pair.target_spec.legend)
    with torch.random.fork_rng(devices=[]):
        if pretrained:
            cell_encoder = method.build.cell_encoder().to(device)
        else:
            encoder = copy.deepcopy(own_encoder(method.model)).to(device)
            estimate_statistics(encoder, (image.to(device) for image, _ in _source_batches(pair, settings)))
            cell_encoder = CellEncoder(encoder)
        sums = CellSums(classes, sum(cell_encoder.widths))
        for image, label in _source_batches(pair, settings):
            cells = cell_encoder(image.to(device))
            sums.add(cells, labels_on_grid(label, classes, (cells.shape[-2], cells.shape[-1])))
    bank = sums.bank(pair.class_shares, pretrained=pretrained)
    logger.info(
        "the weights file keeps means of %d classes of the source (%.1f KB), to adapt the run later without the source's data",
        int((bank.cells > 0).sum()),
        bank.bytes / 1000,
    )
    return bank


def _source_batches(pair: Pair, settings: Settings) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield standardised source images (B, bands, size, size) and labels (B, size, size), centred on each class in turn.

    They are neither augmented nor mixed; the windows of each class are drawn by its own numbers.
    """
    plain = settings.changed({"align.band_mixing": 0.0, "patches.scale": (1.0, 1.0)})
    patches = PatchDataset(pair, plain, with_target=False)
    present = [k for k, share in enumerate(pair.class_shares) if share > 0]
    places = [(k, number) for number in range(WINDOWS) for k in present]
    for first in range(0, len(places), BATCH):
        windows = [patches.source_patch_of_class(*place) for place in places[first : first + BATCH]]
        images = pair.source_spec.standardise_unit(np.stack([image for image, _ in windows]))
        yield torch.from_numpy(images), torch.from_numpy(np.stack([label for _, label in windows]))
