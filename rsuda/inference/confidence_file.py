"""Find the confidence raster of a map beside its class raster."""

from __future__ import annotations

from pathlib import Path

from rsuda.geo.maps.class_raster import class_raster_name, raster_tags
from rsuda.geo.rasters.raster import RasterFile, is_remote
from rsuda.inference.finished_rasters import KEY


def confidence_beside(classes: RasterFile) -> tuple[RasterFile | None, str | None]:
    """Find NAME_confidence.tif of the same map beside NAME_classes.tif.

    Returns:
        the raster, uint8 with 0 to 254 for 0 to 1, or None. Then the reason why a raster of this name is not read, or
        None.
    """
    path = classes.path
    if is_remote(path) or not Path(path).stem.endswith("_classes"):
        return None, None
    beside = Path(path).with_name(f"{class_raster_name(path)}_confidence{Path(path).suffix}")
    if not beside.is_file():
        return None, None
    file = RasterFile(beside)
    same_map = raster_tags(beside).get(KEY) == raster_tags(path).get(KEY)
    if file.grid != classes.grid or file.dtype != "uint8" or not same_map:
        return None, f"{beside} belongs to another map"
    return file, None
