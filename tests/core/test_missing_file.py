import pytest

from rsuda.core.errors import missing_file
from rsuda.core.hub import HubAddress
from rsuda.core.spelling import as_flags


def test_missing_file_has_the_nearest_name_beside_it(tmp_path):
    (tmp_path / "new_city").mkdir()
    assert str(missing_file(tmp_path / "new_citty")) == (
        f"there is no file {tmp_path / 'new_citty'}: did you mean {tmp_path / 'new_city'}?"
    )
    for path in (tmp_path / "ortho.tif", tmp_path / "gone" / "new_city"):
        assert str(missing_file(path)) == f"there is no file {path}"


def test_missing_sample_tile_names_the_command_that_copies_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tile = tmp_path.joinpath("sample_tiles/vaihingen/a.tif").relative_to(tmp_path)
    with as_flags():
        assert str(missing_file(tile)).endswith("a.tif: rsuda sample-tiles copies the sample tiles")
    assert str(missing_file(tile)).endswith("a.tif: rsuda.sample_tiles() copies the sample tiles")


def test_invalid_address_is_printed_with_both_slashes():
    with pytest.raises(ValueError, match="hf://org' is an invalid address of a model"):
        HubAddress.of("hf:/org")
