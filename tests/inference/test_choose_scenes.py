"""The names that a shell or a user gives become scenes: files beside scenes are left out, archives are read in place."""

from zipfile import ZipFile

import numpy as np
import pytest
from oracle_models import write

from rsuda.core.errors import MissingError
from rsuda.inference.choose_scenes import choose_scenes


def test_files_beside_scenes_are_left_out_with_a_note(tmp_path):
    write(tmp_path / "a.tif", np.ones((3, 8, 8), np.uint8))
    for name in ("a.tfw", "a.tif.aux.xml", "readme.txt"):
        (tmp_path / name).write_text("1")
    scenes, (note,), _ = choose_scenes(sorted(tmp_path.iterdir()))  # as a shell expands 'tiles/*'
    assert scenes == [tmp_path / "a.tif"] and "a.tfw and 2 more: left out" in note
    assert choose_scenes([tmp_path / "a.tfw"]).scenes == [tmp_path / "a.tfw"]  # named alone it is refused as a raster


def test_labels_beside_scenes_are_left_out_of_folders_with_a_note(tmp_path):
    image = np.ones((3, 8, 8), np.uint8)
    for name in ("city/images/a.tif", "city/masks/a.tif", "city/b_RGB.tif", "city/b_label.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / name, image)
    folder = tmp_path / "city"
    images = [folder / "b_RGB.tif", folder / "images" / "a.tif"]
    for place in (folder, folder / "**" / "*.tif"):
        scenes, (note,), _ = choose_scenes([place])
        assert sorted(scenes) == sorted(images) and "b_label.tif and 1 more are labels by their names" in note
    assert sorted(choose_scenes([folder, folder / "b_label.tif"]).scenes) == sorted([*images, folder / "b_label.tif"])
    assert choose_scenes([folder / "masks"]).scenes == [folder / "masks" / "a.tif"]  # nothing else would be left


def test_rasters_of_an_archive_are_scenes(tmp_path):
    tile = write(tmp_path / "a.tif", np.ones((3, 8, 8), np.uint8))
    with ZipFile(tmp_path / "tiles.zip", "w") as archive:
        archive.write(tile, "inner/a.tif")
    scenes, _, unnamed = choose_scenes([tmp_path / "tiles.zip"])
    assert scenes == [f"/vsizip/{{{tmp_path.as_posix()}/tiles.zip}}/inner/a.tif"] == list(unnamed)
    with ZipFile(tmp_path / "none.zip", "w") as archive:
        archive.writestr("readme.txt", "")
    with pytest.raises(MissingError, match=r"no raster .* in the archive .*none\.zip"):
        choose_scenes([tmp_path / "none.zip"])
