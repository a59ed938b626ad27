"""Read untrusted polygons from any vector file that GDAL reads, and from GeoParquet."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import shapely

from rsuda.core.display import printable, quoted
from rsuda.core.errors import InputError, MissingError, unknown
from rsuda.geo.polygons.files import readable
from rsuda.geo.polygons.late_imports import geopandas as gpd
from rsuda.geo.polygons.late_imports import pyogrio
from rsuda.geo.polygons.unread import why_unreadable

VECTORS = (".gpkg", ".fgb", ".geojson", ".shp", ".kml", ".parquet", ".geoparquet")
# read where a pattern of a domain file ends so; in a folder such files are often of other kinds, or beside rasters
NAMED_VECTORS = (*VECTORS, ".gml", ".json", ".kmz", ".mif", ".sqlite", ".tab")
# of drawing programs, databases that are folders, and archives: a command makes a GeoPackage of them
CONVERTIBLE_VECTORS = (".dgn", ".dwg", ".dxf", ".gdb", ".mdb", ".zip", ".pbf", ".osm")
_PARQUET = (".parquet", ".geoparquet")
LAYER_MARK = "|layername="  # as QGIS writes it
_FRAMES = 8  # files whose polygons stay in memory, so that scenes share them


def split_layer(text: str) -> tuple[str, str | None]:
    """Split 'city.gpkg|layername=houses', as QGIS writes it, into the file and the name of its layer, None without one."""
    file, mark, layer = text.partition(LAYER_MARK)
    return file, layer.split("|")[0] if mark else None


def read_frame(path: Path, layer: str | None = None, columns: Collection[str] | None = None) -> gpd.GeoDataFrame:
    """Read a layer of a vector file.

    Args:
        layer: name of the layer; None for the only layer, or the only one of polygons.
        columns: columns to read, in lower case; None for all.

    Raises:
        InputError: the file is unreadable or has no geometries, or the layer is unknown or ambiguous.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # GDAL warns of files that it reads well
            frame = _read(path, layer, columns)
        if isinstance(frame, gpd.GeoDataFrame):
            frame.geometry  # noqa: B018 (a frame may have lost its geometries)
            return frame
    except InputError:
        raise
    except Exception as error:  # pyogrio, pyproj, pandas and GEOS each raise their own errors for a damaged file
        raise InputError(f"{path} cannot be read as polygons: {why_unreadable(path, error)}") from None
    raise InputError(f"{path} cannot be read as polygons: it has no geometries")


def _read(path: Path, layer: str | None, columns: Collection[str] | None) -> gpd.GeoDataFrame:
    if is_parquet(path):
        frame = read_parquet(path)
        selection = [name for name in frame.columns if columns is None or str(name).lower() in columns]
        return frame[[*dict.fromkeys([*selection, frame.geometry.name])]]
    shapefile = path.suffix.lower() == ".shp"
    if shapefile and not _beside(path, ".shx"):
        raise InputError(
            f"{path} cannot be read: {path.stem}.shx is missing beside it; a shapefile is several files (.shp, .shx, .dbf, "
            ".prj), so copy all of them"
        )
    layer = _choose_layer(path, layer)
    # without a .cpg GDAL takes texts for Latin-1; those of UTF-8 are rarely valid Latin-1
    encodings = ("UTF-8", None) if shapefile and not _beside(path, ".cpg") else (None,)
    with readable(path) as plain:
        fields = pyogrio.read_info(plain, layer=layer)["fields"]
        selection = [name for name in fields if columns is None or name.lower() in columns]
        for encoding in encodings:
            with suppress(UnicodeDecodeError):
                return gpd.read_file(plain, layer=layer, columns=selection, encoding=encoding)
        return gpd.read_file(plain, layer=layer, columns=selection)


def is_parquet(path: Path) -> bool:
    """Check whether a file is GeoParquet by its name."""
    return path.suffix.lower() in _PARQUET


def read_parquet(path: Path) -> gpd.GeoDataFrame:
    """Read GeoParquet, which the GDAL of pyogrio's wheels lacks. Raises InputError without pyarrow."""
    if find_spec("pyarrow") is None:
        raise InputError(f"{path} is GeoParquet, which needs pyarrow: pip install pyarrow, or convert it to GeoPackage")
    return gpd.read_parquet(path)


def _beside(path: Path, suffix: str) -> bool:
    """Check whether a file of the same name lies beside a file, whatever the case of its suffix."""
    return any(path.with_suffix(ending).is_file() for ending in (suffix, suffix.upper()))


def _choose_layer(path: Path, layer: str | None) -> str:
    """Choose the layer of this name, the only layer, or the only one of polygons.

    Raises:
        InputError: that is not one layer.
    """
    with readable(path) as plain:
        every = [(str(name), kind) for name, kind in pyogrio.list_layers(plain)]
        kinds = {
            name: str(kind) for name, kind in every if kind is not None or name == layer
        }  # tables have no geometries
    if layer is not None:
        if layer not in kinds:
            raise unknown(f"layer of {path}", layer, kinds)
        return layer
    if len(kinds) == 1:
        return next(iter(kinds))
    polygons = [name for name, kind in kinds.items() if "Polygon" in kind or "Surface" in kind]
    polygons = polygons or [
        name for name, kind in kinds.items() if kind.split()[0] in ("Unknown", "GeometryCollection")
    ]
    if len(polygons) == 1:
        return polygons[0]
    if polygons:
        raise InputError(
            f"{path} has {len(polygons)} layers of polygons ({', '.join(polygons[:20])}): "
            f"name one, as in {path.name}{LAYER_MARK}{polygons[0]}"
        )
    layers = ", ".join(f"{name} ({kind})" for name, kind in list(kinds.items())[:20])
    raise InputError(f"{path} has no layer of polygons: its layers are {layers or 'none'}")


def column_samples(path: Path, layer: str | None) -> str:
    """List the columns of a layer with a few of their values, for a sentence."""
    frame = read_frame(path, layer).head(1000)
    columns = []
    for name in [name for name in frame.columns if name != frame.geometry.name][:20]:
        values = list(dict.fromkeys(printable(str(value)[:40]) for value in frame[name].dropna()))
        columns.append(f"{printable(str(name)[:40])} ({', '.join(values[:4])}{', …' if len(values) > 4 else ''})")
    return ", ".join(columns) or "none"


def file_state(path: Path) -> tuple[int, int]:
    """Return a file's modification time and size, by which a change shows. Raises MissingError without the file."""
    if not path.is_file():
        raise MissingError(f"there is no file {path}")
    state = path.stat()
    return state.st_mtime_ns, state.st_size


@lru_cache(_FRAMES)
def polygons_of(
    path: Path, layer: str | None, state: tuple[int, int], crs: str | None, columns: frozenset[str] = frozenset()
) -> gpd.GeoDataFrame:
    """Read the polygons of a layer: valid, in two dimensions, in a CRS. Scenes share the result: leave it unchanged.

    Args:
        state: of ``file_state``; a changed file is read again.
        crs: WKT to project to; None for the layer's own coordinates.
        columns: columns to read, in lower case.

    Raises:
        InputError: the layer is unreadable, or has features and no polygon.
    """
    frame = _polygons_in_file(path, layer, state, columns)
    if frame.crs is None or crs is None or frame.empty:
        return frame
    return frame.set_geometry(project(frame.geometry, crs, str(path), keep_all=True))


@lru_cache(_FRAMES)
def _polygons_in_file(
    path: Path, layer: str | None, _state: tuple[int, int], columns: frozenset[str]
) -> gpd.GeoDataFrame:
    frame = read_frame(path, layer, columns)
    shapes = clean(frame.geometry)
    whole = are_whole(shapes)
    if not whole.any():
        check_polygons(frame.geometry, path)
    return frame.set_geometry(shapes)[whole].reset_index(drop=True)


def has_polygons(shapes: gpd.GeoSeries) -> bool:
    """Check whether a shape is a polygon, or a collection, which may hold some."""
    return bool(shapes.geom_type.isin(["Polygon", "MultiPolygon", "GeometryCollection"]).any())


def check_polygons(shapes: gpd.GeoSeries, path: Path) -> None:
    """Raise InputError for a layer that has shapes and no valid polygon."""
    kinds = sorted(set(shapes.geom_type.dropna()))
    if kinds and not has_polygons(shapes):
        raise InputError(
            f"{path} has no polygon, only {' and '.join(kinds)}: draw polygons, or buffer lines and points first"
        )


def clean(shapes: gpd.GeoSeries) -> gpd.GeoSeries:
    """Take the polygons of geometries, in two dimensions and valid; geometries without one become empty polygons."""
    values = np.array(shapely.force_2d(np.asarray(shapes.values)), object)
    for i in np.flatnonzero(shapely.get_type_id(values) == shapely.GeometryType.GEOMETRYCOLLECTION):
        values[i] = _polygons_in(values[i])
    whole = are_whole(gpd.GeoSeries(values, crs=shapes.crs))
    values[~whole] = shapely.Polygon()
    for i in np.flatnonzero(~shapely.is_valid(values)):
        values[i] = _polygons_in(shapely.make_valid(values[i]))
    return gpd.GeoSeries(values, index=shapes.index, crs=shapes.crs)


def _polygons_in(shape: shapely.Geometry) -> shapely.Geometry:
    """List the polygons of a geometry, also those of collections within it."""
    parts = [shape]
    while any(part.geom_type not in ("Polygon", "Point", "LineString", "LinearRing") for part in parts):
        parts = [inner for part in parts for inner in shapely.get_parts(part)]
    return shapely.MultiPolygon([part for part in parts if part.geom_type == "Polygon" and not part.is_empty])


def are_whole(shapes: gpd.GeoSeries) -> np.ndarray:
    """Mark (n,) bool the shapes that are polygons, not empty, with finite corners."""
    whole = np.array(shapes.geom_type.isin(["Polygon", "MultiPolygon"]) & ~shapes.is_empty)
    # bounds ignore some corners that are not finite
    corners, shape = shapely.get_coordinates(np.asarray(shapes.values), return_index=True)
    whole[shape[~np.isfinite(corners).all(1)]] = False
    return whole


def project(shapes: gpd.GeoSeries, crs: str, what: str, *, keep_all: bool = False) -> gpd.GeoSeries:
    """Project shapes to another CRS.

    Args:
        what: noun for the shapes in error messages.
        keep_all: replace shapes that cannot be projected by empty ones instead of leaving them out.

    Raises:
        InputError: no shape can be projected, or there is no transformation between the CRSs.
    """
    try:
        scene_shapes = shapes.to_crs(crs)
    except Exception as error:  # of pyproj, for many kinds of invalid CRS
        raise InputError(f"{what} cannot be projected to the scene's CRS: {quoted(error)}") from None
    valid = are_whole(scene_shapes)
    if len(scene_shapes) and not valid.any():
        x, y = shapely.get_coordinates(np.asarray(shapes.values))[0]
        raise InputError(
            f"{what} is outside of the scene's CRS: its coordinates, such as ({x:.10g}, {y:.10g}), do not fit the CRS that it "
            f"declares, {shapes.crs.to_string()[:100]} (that of GeoJSON without 'crs' is longitude and latitude); correct "
            "the CRS, for example by ogr2ogr -a_srs EPSG:… out.gpkg in"
        )
    return scene_shapes.where(valid, shapely.Polygon()) if keep_all else scene_shapes[valid]
