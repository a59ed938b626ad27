"""A scene in tiles of columns has the bytes of the whole, and an interrupted one continues."""

import numpy as np
import pytest
import rasterio
import torch
from oracle_models import RUN, engine, trained, write

from rsuda.geo.scenes.region import Region
from rsuda.geo.scenes.scene import Scene
from rsuda.inference import column_tiles
from rsuda.inference.predict import predict
from rsuda.inference.strip_store import StripStore


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """An image of noise with a hole of nodata."""
    values = np.random.default_rng(0).integers(1, 256, (2, 600, 333)).astype(np.uint8)
    values[:, 40:200, 90:180] = 0
    return write(tmp_path_factory.mktemp("wide") / "scene.tif", values, nodata=0)


def convolve(x):
    weight = torch.randn(5, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.conv2d(x / 64, weight, padding=2)


@pytest.mark.parametrize("factor", [1, 0.7, 1.5])
def test_tiles_of_columns_give_the_bytes_of_the_whole(image, factor, tmp_path, monkeypatch):
    network = trained(convolve, gsd=0.5 * factor)
    options = {**RUN, "confidence": True, "probabilities": True, "overlap": 32}
    (whole,) = predict([image], network, tmp_path / "whole", **options)
    running = engine(network)
    region = Region.of(Scene("scene", image))
    assert len(column_tiles.column_tiles(running, Scene("scene", image), region)) == 1
    monkeypatch.setattr(column_tiles, "MOST_BYTES", 200_000)
    tiles = column_tiles.column_tiles(running, Scene("scene", image), region)
    assert len(tiles) >= 3 and tiles[0][0] == 0 and tiles[-1][1] == 333
    (tiled,) = predict([image], network, tmp_path / "tiled", **options)
    for one in sorted((tmp_path / "whole").glob("*.tif")):
        with rasterio.open(one) as first, rasterio.open(tmp_path / "tiled" / one.name) as second:
            assert np.array_equal(first.read(), second.read()), one.name
    assert whole.area_m2 == tiled.area_m2


def test_a_strip_is_finished_with_its_last_tile(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 10)).astype(np.uint8)
    store = StripStore(tmp_path / "store", "key", (2, 8, 10), 4)
    for first, end in ((0, 6), (6, 10)):
        assert store.missing() == [(0, 8)]
        for row in (0, 4):
            store.write(row, [plane[row : row + 4, first:end] for plane in pixels], first)
    assert not store.missing()
    assert all(np.array_equal(store.read(k, 0, 8), pixels[k]) for k in (0, 1))
