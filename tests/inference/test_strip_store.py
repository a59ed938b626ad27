"""Bands on disk: what was done survives, what was another job's does not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsuda.core.errors import ExistsError
from rsuda.inference.strip_store import StripStore


def store(folder, key="k", planes=2, height=10, width=3, strip_rows=4):
    return StripStore(folder, key, (planes, height, width), strip_rows)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 40), rows=st.integers(1, 12), done=st.sets(st.integers(0, 40)))
def test_what_is_missing_and_what_is_done_make_up_the_whole(tmp_path_factory, height, rows, done):
    held = store(tmp_path_factory.mktemp("store") / "s", height=height, strip_rows=rows)
    done = {b for b in done if b < held.strips}
    for band in done:
        first, last = held.rows(band)
        held.write(first, [np.full((last - first, 3), band, np.uint8)] * 2)
    again = store(held.folder, height=height, strip_rows=rows)
    covered = np.zeros(height, int)
    for first, last in again.missing():
        covered[first:last] += 1
    for band in again.done:
        covered[slice(*again.rows(band))] += 1
    assert again.done == done and (covered == 1).all()
    assert all(b[1] < a[0] for b, a in zip(again.missing(), again.missing()[1:], strict=False))


def test_pixels_come_back_by_plane_and_row(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 10, 3)).astype(np.uint8)
    held = store(tmp_path / "s")
    for row in (4, 8, 0, 2, 6):  # strips are smaller than bands, and come in any order of bands
        held.write(row, [p[row : row + 2] for p in pixels])
    again = store(tmp_path / "s")
    assert not again.missing()
    for plane in range(2):
        assert np.array_equal(again.read(plane, 0, 10), pixels[plane])
        assert np.array_equal(again.read(plane, 3, 4), pixels[plane, 3:7])


@pytest.mark.parametrize("other", [{"key": "other"}, {"planes": 3}, {"height": 11}, {"width": 4}, {"strip_rows": 5}])
def test_bands_of_another_job_are_not_taken_over(tmp_path, other):
    held = store(tmp_path / "s")
    held.write(0, [np.ones((4, 3), np.uint8)] * 2)
    assert held.done == {0}
    assert store(tmp_path / "s", **other).done == set()


def test_a_folder_without_any_finished_band_is_removed(tmp_path):
    held = store(tmp_path / "s")
    held.write(0, [np.ones((2, 3), np.uint8)] * 2)  # half a band
    held.remove_if_empty()
    assert not held.folder.exists()
    held = store(tmp_path / "s")
    held.write(0, [np.ones((4, 3), np.uint8)] * 2)
    held.remove_if_empty()
    assert held.folder.exists()


def test_a_damaged_state_starts_anew(tmp_path):
    held = store(tmp_path / "s")
    held.write(0, [np.ones((4, 3), np.uint8)] * 2)
    (held.folder / "bands.json").write_text("{")
    assert store(tmp_path / "s").done == set()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ExistsError, match="cannot be a folder"):
        store(tmp_path / "out" / "s")
