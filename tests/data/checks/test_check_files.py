"""Files are read at their ends before training: broken ones are named, shared ones have one reader."""

import numpy as np
import pytest
from oracle_models import write

from rsuda.core.errors import MissingError
from rsuda.data.checks.files import check_pixels, check_readable
from rsuda.geo.scenes.scene import Scene


def test_scenes_of_source_and_target_share_their_files(tmp_path):
    scenes = [Scene(str(k), write(tmp_path / f"{k}.tif", np.ones((3, 64, 64), np.uint8))) for k in range(8)]
    for _ in range(20):  # threads that share an open file fail in some runs only
        check_readable([*scenes, *(scene.without_label() for scene in scenes)])


def test_broken_file_is_named_once(tmp_path):
    scene = Scene("x", write(tmp_path / "x.tif", np.random.default_rng(0).integers(0, 255, (3, 99, 99), np.uint8)))
    scene.file  # noqa: B018 (the header is read while the file is whole)
    scene.image.write_bytes(scene.image.read_bytes()[:2000])
    with pytest.raises(MissingError, match=r"cannot read .*x\.tif"):
        check_readable([scene, scene.without_label()])


def test_scenes_without_data_and_broken_ones_are_named(tmp_path):
    values = np.random.default_rng(0).integers(1, 255, (3, 99, 99), np.uint8)
    scenes = [
        Scene(name, write(tmp_path / f"{name}.tif", values * (name != "empty"), nodata=0))
        for name in ("a", "empty", "cut")
    ]
    scenes[2].image.write_bytes(scenes[2].image.read_bytes()[:2000])
    broken, empty = check_pixels(scenes)
    assert "cut.tif" in broken and empty.startswith("1 of 2 scenes holds no data") and empty.endswith("(empty)")
    (tmp_path / "page.tif").write_text("<!DOCTYPE html><html>sign in</html>")
    (tmp_path / "none.tif").touch()
    for name, says in (("page", "it is a web page: download"), ("none", "it is empty")):
        with pytest.raises(MissingError, match=says):
            Scene(name, tmp_path / f"{name}.tif").file  # noqa: B018
