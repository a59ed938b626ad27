"""Test that batches beside each other change nothing: neither pixels nor their order, for any number of threads."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest
import torch
from oracle_models import RUN, engine, trained, write

from rsuda.geo.rasters.raster import RasterFile
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.forward_passes import passes_at_once, predicted_windows
from rsuda.inference.predict import predict
from rsuda.inference.window_grid import WindowGrid
from rsuda.learning.network import Architecture
from rsuda.learning.networks import build_network


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def noise(tmp_path):
    """A scene of 9 x 9 windows whose fourth to sixth rows of windows hold no data."""
    values = np.random.default_rng(0).integers(1, 255, (2, 288, 288)).astype(np.uint8)
    values[:, 96:192] = 0
    return Scene("noise", write(tmp_path / "noise.tif", values, nodata=0))


@pytest.mark.parametrize(("threads", "passes"), [(1, 1), (2, 2), (7, 7), (8, 8), (9, 5), (16, 8), (20, 7), (64, 8)])
def test_passes_share_the_threads(threads, passes):
    torch.set_num_threads(threads)
    assert passes_at_once(engine(trained(lambda x: x))) == passes


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_maps_of_any_number_of_threads_are_equal_to_the_byte(tmp_path, noise, threads):
    """Each forward pass has one thread, so that no convolution is divided."""
    torch.manual_seed(0)
    network = build_network("plain", Architecture("mobilenet_v2", "segformer", 5, 2, 32)).eval()
    options = {**RUN, "confidence": True, "probabilities": True, "window": 64, "overlap": 32, "batch_size": 2}
    written = [
        predict([noise.image], trained(network), tmp_path / str(count), threads=count, **options)[0]
        for count in (1, threads)
    ]
    for name in ("classes", "confidence", "probabilities"):
        one, several = (prediction.files[name].read_bytes() for prediction in written)
        assert one == several
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_batches_come_in_order_and_rows_without_data_are_empty(noise, at_once):
    running = engine(trained(lambda x: x), window=32, overlap=0, batch_size=4)
    windows = WindowGrid(running, noise, 0, 288)
    batches = list(predicted_windows(running, windows, range(9), at_once=at_once))
    full = [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
    expected = [(i, columns) for i in range(9) for columns in ([[]] if 3 <= i < 6 else full)]
    assert [(batch.row, batch.columns) for batch in batches] == expected
    for batch in batches:
        assert (batch.probabilities is None) if not batch.columns else len(batch.probabilities) == len(batch.columns)
    one_by_one = [batch for batch in predicted_windows(running, windows, range(9), at_once=1) if batch.columns]
    for batch, alone in zip((batch for batch in batches if batch.columns), one_by_one, strict=True):
        assert (batch.probabilities == alone.probabilities).all()


def test_threads_return_when_the_rest_is_left_out(noise):
    torch.set_num_threads(4)
    running = engine(trained(lambda x: x), window=32, overlap=0)
    batches = predicted_windows(running, WindowGrid(running, noise, 0, 288), range(9))
    next(batches)
    assert torch.get_num_threads() == 1
    batches.close()
    assert torch.get_num_threads() == 4


def test_an_error_of_a_forward_pass_reaches_the_caller(noise):
    def network(x):
        raise ValueError("no such layer")

    torch.set_num_threads(2)
    running = engine(trained(network), window=32, overlap=0)
    with pytest.raises(ValueError, match="no such layer"):
        list(predicted_windows(running, WindowGrid(running, noise, 0, 288), range(9)))
    assert torch.get_num_threads() == 2


@pytest.mark.timeout(60)
def test_a_file_that_two_threads_opened_is_read_by_both(noise):
    """The first thread closes its handle while the second one still reads."""
    file, opened, closed = RasterFile(noise.image), Event(), Event()

    def first():
        with file.opened():
            opened.set()
            return file.read().values.sum()

    def second():
        opened.wait(10)
        with file.opened():
            sums = file.read().values.sum()
            closed.wait(10)
            assert sums == file.read().values.sum()
            return sums

    with ThreadPoolExecutor(2) as threads:
        two, one = threads.submit(second), threads.submit(first)
        result = one.result(20)
        closed.set()
        assert two.result(20) == result


@pytest.mark.timeout(60)
def test_a_context_within_another_leaves_the_file_to_other_threads(noise):
    file = RasterFile(noise.image)
    with file.opened(), file.opened(), ThreadPoolExecutor(1) as thread:
        assert thread.submit(lambda: file.read().values.sum()).result(20) == file.read().values.sum()
