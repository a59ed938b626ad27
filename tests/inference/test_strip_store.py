"""Test the store of finished strips: strips survive an interruption, and those of another job are not used."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsuda.core.errors import ExistsError
from rsuda.inference.strip_store import StripStore


def store(folder, key="k", planes=2, height=10, width=3, strip_rows=4):
    return StripStore(folder, key, (planes, height, width), strip_rows)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 40), rows=st.integers(1, 12), finished=st.sets(st.integers(0, 40)))
def test_missing_and_finished_strips_cover_each_row_once(tmp_path_factory, height, rows, finished):
    first_store = store(tmp_path_factory.mktemp("store") / "s", height=height, strip_rows=rows)
    finished = {b for b in finished if b < first_store.strips}
    for band in finished:
        first, last = first_store.rows(band)
        first_store.write(first, [np.full((last - first, 3), band, np.uint8)] * 2)
    again = store(first_store.folder, height=height, strip_rows=rows)
    covered = np.zeros(height, int)
    for first, last in again.missing():
        covered[first:last] += 1
    for band in again.done:
        covered[slice(*again.rows(band))] += 1
    assert again.done == finished and (covered == 1).all()
    assert all(b[1] < a[0] for b, a in zip(again.missing(), again.missing()[1:], strict=False))


def test_pixels_are_read_back_by_plane_and_row(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 10, 3)).astype(np.uint8)
    first_store = store(tmp_path / "s")
    for row in (4, 8, 0, 2, 6):  # blocks of rows are smaller than strips, and strips arrive in any order
        first_store.write(row, [p[row : row + 2] for p in pixels])
    again = store(tmp_path / "s")
    assert not again.missing()
    for plane in range(2):
        assert np.array_equal(again.read(plane, 0, 10), pixels[plane])
        assert np.array_equal(again.read(plane, 3, 4), pixels[plane, 3:7])


@pytest.mark.parametrize("other", [{"key": "other"}, {"planes": 3}, {"height": 11}, {"width": 4}, {"strip_rows": 5}])
def test_strips_of_another_job_are_not_used(tmp_path, other):
    first_store = store(tmp_path / "s")
    first_store.write(0, [np.ones((4, 3), np.uint8)] * 2)
    assert first_store.done == {0}
    assert store(tmp_path / "s", **other).done == set()


def test_folder_without_a_finished_strip_is_removed(tmp_path):
    first_store = store(tmp_path / "s")
    first_store.write(0, [np.ones((2, 3), np.uint8)] * 2)  # half a strip
    first_store.remove_if_empty()
    assert not first_store.folder.exists()
    first_store = store(tmp_path / "s")
    first_store.write(0, [np.ones((4, 3), np.uint8)] * 2)
    first_store.remove_if_empty()
    assert first_store.folder.exists()


def test_damaged_state_starts_over(tmp_path):
    first_store = store(tmp_path / "s")
    first_store.write(0, [np.ones((4, 3), np.uint8)] * 2)
    (first_store.folder / "bands.json").write_text("{")
    assert store(tmp_path / "s").done == set()


def test_file_in_place_of_the_store_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ExistsError, match="cannot be a folder"):
        store(tmp_path / "out" / "s")
