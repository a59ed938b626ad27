"""Zip archives as ISPRS delivers them: their rasters are read in place."""

import warnings
import zipfile

import numpy as np
import pytest
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from rsuda.core.errors import MissingError
from rsuda.data.find_domain import domain

CLASSES = np.array([[255, 255, 255], [0, 0, 255]], np.uint8)
INDEX = (np.indices((40, 50)).sum(0) // 20 % 2).astype(np.uint8)
IMAGE = np.random.default_rng(0).integers(1, 255, (3, 40, 50), np.uint8)


def raster(values, driver="GTiff"):
    values = values[None] if values.ndim == 2 else values
    with MemoryFile() as memory, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(driver=driver, height=40, width=50, count=len(values), dtype="uint8") as file:
            file.write(values)
        return memory.read()


def archive(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)


@pytest.fixture
def potsdam(tmp_path):
    world = "0.05\n0\n0\n-0.05\n366676.6\n5808665.0\n"
    archive(
        tmp_path / "2_Ortho_RGB.zip",
        {
            "2_Ortho_RGB/top_potsdam_2_10_RGB.tif": raster(IMAGE),
            "2_Ortho_RGB/top_potsdam_2_10_RGB.tfw": world,
            "2_Ortho_RGB/top_potsdam_2_13_RGB.tif": raster(IMAGE[::-1]),
            "__MACOSX/2_Ortho_RGB/._top_potsdam_2_10_RGB.tif": b"x",
        },
    )
    label = raster(CLASSES[INDEX].transpose(2, 0, 1))
    names = ("top_potsdam_2_10_label.tif", "top_potsdam_2_13_label.tif")
    archive(tmp_path / "5_Labels_all.zip", dict.fromkeys(names, label))
    return tmp_path


def test_archives_of_potsdam_are_read_in_place(potsdam):
    result = domain("potsdam", potsdam)
    assert list(result.scenes) == ["2_10", "2_13"] and result.bands == ("red", "green", "blue")
    scene = result.labelled("train")[0]
    assert (scene.read(result.bands, None, (0, 0, 40, 50)).values == IMAGE).all()
    assert (scene.whole_label(result.legend)[0] == INDEX).all()
    assert scene.grid.georeferenced and scene.file.grid.bounds[0] == pytest.approx(366676.575)
    assert any("read inside of 2_Ortho_RGB.zip, which is slow" in note and "unzip" in note for note in result.notes)


def test_ground_truth_at_the_root_of_its_archive(tmp_path):
    archive(
        tmp_path / "ISPRS_semantic_labeling_Vaihingen.zip",
        {"top/top_mosaic_09cm_area1.tif": raster(IMAGE), "top/top_mosaic_09cm_area2.tif": raster(IMAGE)},
    )
    label = raster(CLASSES[INDEX].transpose(2, 0, 1))
    archive(
        tmp_path / "more/ISPRS_semantic_labeling_Vaihingen_ground_truth_COMPLETE.zip",
        {"top_mosaic_09cm_area1.tif": label, "top_mosaic_09cm_area2.tif": label},
    )
    result = domain("vaihingen", tmp_path)
    assert [scene.name for scene in result.labelled("train")] == ["1"] and len(result.scenes) == 2
    assert (result.scenes["1"].whole_label(result.legend)[0] == INDEX).all()


def test_unpacked_files_take_the_place_of_their_archive(potsdam):
    with zipfile.ZipFile(potsdam / "2_Ortho_RGB.zip") as file:
        file.extract("2_Ortho_RGB/top_potsdam_2_10_RGB.tif", potsdam / "unpacked")
    images = [scene.image for scene in domain("potsdam", potsdam).scenes.values()]
    assert images[0] == potsdam / "unpacked/2_Ortho_RGB/top_potsdam_2_10_RGB.tif" and str(images[1]).startswith(
        "/vsizip/"
    )


def test_a_folder_of_archives_and_an_archive_are_targets(potsdam):
    archive(potsdam / "png dir/Tiles.ZIP", {"a b.png": raster(IMAGE, "PNG")})
    for place in (potsdam / "png dir", potsdam / "png dir/Tiles.ZIP"):
        result = domain(str(place), bands="RGB", gsd=1.0)
        scene = result.scenes["a b"]
        assert (scene.read(("red", "green", "blue"), None, (0, 0, 40, 50)).values == IMAGE).all()
        assert result.notes and "Tiles.ZIP" in result.notes[0]


def test_init_looks_into_archives(potsdam, tmp_path):
    import rsuda

    facts = rsuda.init(potsdam, tmp_path / "p.yaml")
    assert (facts["scenes"], facts["labelled"], facts["bands"]) == (2, 2, "RGB")


def test_damaged_and_empty_archives_are_left_out_with_a_warning(tmp_path, caplog):
    (tmp_path / "2_Ortho_RGB.zip").write_bytes(b"PK\x03\x04 half a download")
    archive(tmp_path / "text.zip", {"read me.txt": "hello", "inner.zip": b"PK"})
    with pytest.raises(MissingError, match="no image of domain potsdam"):
        domain("potsdam", tmp_path)
    assert "2_Ortho_RGB.zip is left out, since the archive is damaged" in caplog.text
    with pytest.raises(MissingError, match="no raster"):
        domain(str(tmp_path), bands="RGB", gsd=1.0)


def test_a_damaged_member_is_an_error_with_its_path(tmp_path):
    archive(tmp_path / "x.zip", {"a.tif": b"II*\0 no raster"})
    with pytest.raises(MissingError, match=r"cannot read /vsizip/\{.*x\.zip\}/a\.tif"):
        domain(str(tmp_path / "x.zip"), bands="RGB", gsd=1.0)
