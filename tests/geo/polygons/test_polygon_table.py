"""Polygons as bytes are those that Shapely writes, and their files are those of GeoPandas."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rsuda.core.legend import IGNORE, Legend
from rsuda.geo.grids.grid import Grid
from rsuda.geo.polygons.files import write_polygons
from rsuda.geo.polygons.polygonise import polygon_table
from rsuda.geo.polygons.rings import find_rings
from rsuda.geo.polygons.run_lengths import encode, find_components
from rsuda.geo.polygons.table import wkb_of

LEGEND = Legend(("ground", "tree", "roof"), (((1, 2, 3),), ((4, 5, 6),), ((7, 8, 9),)))
CLASSES = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 1, IGNORE])
)


@settings(deadline=None)
@given(CLASSES)
def test_bytes_are_those_of_shapely(classes: np.ndarray) -> None:
    runs = encode([classes], *classes.shape)
    components = find_components(runs)
    rings = find_rings(runs, components.of_run, len(components))
    points = np.stack([rings.col, rings.row], 1) * 0.3 + 1e6
    polygons = shapely.from_ragged_array(shapely.GeometryType.POLYGON, points, (rings.ring, rings.component))
    assert list(wkb_of(points, rings)) == list(shapely.to_wkb(polygons, byte_order=1))


@pytest.mark.parametrize("suffix", ["gpkg", "fgb", "geojson", "shp"])
@pytest.mark.parametrize("crs", ["EPSG:32632", "ESRI:102008", None])
def test_files_are_those_of_geopandas(suffix, crs, tmp_path) -> None:
    from rasterio.crs import CRS
    from rasterio.transform import from_origin

    rng = np.random.default_rng(0)
    classes, sure = rng.integers(0, 3, (12, 17), np.uint8), rng.integers(250, 256, (12, 17), np.uint8)
    classes[3:6] = IGNORE
    grid = Grid(12, 17, from_origin(500_000, 600_000, 0.5, 0.5), crs and CRS.from_string(crs))
    table = polygon_table([(classes, sure)], grid, LEGEND, (0.5, 0.5))
    write_polygons(table, tmp_path / f"table.{suffix}")
    write_polygons(table.frame(), tmp_path / f"frame.{suffix}")
    one, other = (gpd.read_file(tmp_path / f"{name}.{suffix}") for name in ("table", "frame"))
    assert one.equals(other) and one.crs == other.crs and len(one) == len(table)
    assert one.confidence.isna().any()
