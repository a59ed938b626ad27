"""Memory limits: of the machine, and of containers by cgroups of both versions."""

import re

import numpy as np
import pytest
from oracle_models import write
from rasterio.shutil import copy

from rsuda.core.capacity import check_memory, container_memory
from rsuda.core.errors import InputError
from rsuda.geo.rasters.info import raster_facts
from rsuda.geo.rasters.raster import RasterFile

GIB = 2**30
VERSION_2 = ("memory.max", "memory.current", "inactive_file")
VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


@pytest.fixture
def system(tmp_path):
    """Writes a root folder with the files of cgroups; groups are limit, usage and file cache by folder."""

    def write(membership, names, groups):
        (tmp_path / "proc" / "self").mkdir(parents=True)
        (tmp_path / "proc" / "self" / "cgroup").write_text(membership)
        for folder, (limit, usage, cache) in groups.items():
            path = tmp_path / "sys" / "fs" / "cgroup" / folder
            path.mkdir(parents=True, exist_ok=True)
            (path / names[0]).write_text(f"{limit}\n")
            (path / names[1]).write_text(f"{usage}\n")
            (path / "memory.stat").write_text(f"anon 5\n{names[2]} {cache}\n")
        return tmp_path

    return write


def test_limit_of_version_2_counts_without_the_file_cache(system):
    root = system("0::/job\n", VERSION_2, {"job": (4 * GIB, 3 * GIB, 1 * GIB)})
    assert container_memory(root) == 2 * GIB


def test_limit_of_version_1_is_read_from_its_controller(system):
    membership = "3:cpu:/job\n2:hugetlb,memory:/job\n1:name=systemd:/job\n"
    root = system(membership, VERSION_1, {"memory/job": (4 * GIB, 3 * GIB, 2 * GIB), "cpu/job": (1, 1, 0)})
    assert container_memory(root) == 3 * GIB


def test_lowest_limit_of_the_parents_holds(system):
    groups = {"": ("max", 9 * GIB, 0), "slurm": (5 * GIB, 3 * GIB, 0), "slurm/job": (4 * GIB, 1 * GIB, 0)}
    assert container_memory(system("0::/slurm/job\n", VERSION_2, groups)) == 2 * GIB


def test_limit_at_the_mount_point_holds_inside_a_container(system):
    root = system("0::/kubepods/outside\n", VERSION_2, {"": (2 * GIB, GIB, 0)})
    assert container_memory(root) == GIB


@pytest.mark.parametrize("limit", ["max", "", "-"])
def test_group_without_a_number_has_no_limit(system, limit):
    assert container_memory(system("0::/\n", VERSION_2, {"": (limit, GIB, 0)})) is None


def test_system_without_cgroups_has_no_limit(tmp_path):
    assert container_memory(tmp_path) is None


def test_group_over_its_limit_has_nothing_left(system):
    assert container_memory(system("0::/\n", VERSION_2, {"": (GIB, 2 * GIB, 0)})) == 0


def test_memory_beyond_the_container_is_refused(system):
    root = system("0::/\n", VERSION_2, {"": (GIB // 2, GIB // 4, 0)})
    check_memory(GIB // 5, "the label", "cut it into tiles", root)
    with pytest.raises(
        InputError, match=r"the label needs 0\.5 GiB .* this container has 0\.2 GiB left: cut it into tiles"
    ):
        check_memory(GIB // 2, "the label", "cut it into tiles", root)


def test_memory_beyond_the_machine_is_refused(tmp_path):
    with pytest.raises(InputError, match="this machine has"):
        check_memory(1 << 60, "the label", "cut it into tiles", tmp_path)


def test_file_of_several_data_sets_names_one_that_can_be_read(tmp_path):
    tile, path = write(tmp_path / "tile.tif", np.ones((3, 9, 9), np.uint8)), tmp_path / "many.gpkg"
    for name, append in (("north", "NO"), ("south", "YES")):
        copy(tile, path, driver="GPKG", RASTER_TABLE=name, APPEND_SUBDATASET=append)
    for read in (RasterFile, raster_facts):
        with pytest.raises(
            InputError, match=r"many\.gpkg holds 2 data sets, and a scene is one raster: name one \((.+?)\)"
        ) as error:
            read(path)
        name = re.search(r"name one \((.+?)\)", str(error.value))[1]
        assert RasterFile(name).count >= 3
