"""Measure processor time and memory from a class raster to polygons on disk, for rsuda and for rasterio with GeoPandas.

    python benchmarks/polygons.py [--width 10000] [--noise 4000] [--skip-rasterio]

`predict` takes strips of a map as they are finished; here they come from a file of plain bytes. `polygonize` is the
command on a deflated GeoTIFF of the same mask; its seconds include the start of Python. Seconds are those of the
processor, one thread, so other work on the machine changes them little. The polygons of both are compared.

The clean mask has smooth areas of six classes and some nodata, like a good map. The noise has a random class in
every pixel, the worst case. Each mask and each measurement has a separate process, because a child process inherits the
peak memory of its parent.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

CLASSES = 6
STRIP = 512
PIXEL = 0.25  # metres


def clean(height: int, width: int) -> Iterator[np.ndarray]:
    """Yield strips (h, width) uint8 of the class with the highest smooth random surface; one surface is nodata (255)."""
    from scipy.ndimage import gaussian_filter

    cell = 4  # surfaces are drawn coarsely and interpolated
    rows, cols = height // cell + 2, width // cell + 2
    generator = np.random.default_rng(0)
    surfaces = []
    for k in range(CLASSES + 1):
        noise = generator.standard_normal((rows, cols), dtype=np.float32)
        smooth = gaussian_filter(noise, 6 if k < CLASSES else 60)
        surfaces.append(smooth / smooth.std() - (0 if k < CLASSES else 0.5))
    x = np.arange(width) / cell
    left, share = x.astype(int), (x % 1).astype(np.float32)
    for top in range(0, height, STRIP):
        best = np.full((min(STRIP, height - top), width), -np.inf, np.float32)
        classes = np.full(best.shape, 255, np.uint8)
        y = np.arange(top, top + len(best)) / cell
        up, part = y.astype(int), (y % 1).astype(np.float32)[:, None]
        for k, surface in enumerate(surfaces):
            lines = surface[up] * (1 - part) + surface[up + 1] * part
            value = lines[:, left] * (1 - share) + lines[:, left + 1] * share
            above = value > best
            best[above] = value[above]
            classes[above] = k if k < CLASSES else 255
        yield classes


def noise(height: int, width: int) -> Iterator[np.ndarray]:
    generator = np.random.default_rng(0)
    for top in range(0, height, STRIP):
        yield generator.integers(0, CLASSES, (min(STRIP, height - top), width), dtype=np.uint8)


MASKS = {"clean": clean, "noise": noise}


def measure(way: str, mask: Path, height: int, width: int) -> dict:
    """Turn the mask's file into a GeoPackage. Returns seconds (drawing excludes the file), peak GB, polygons, notes."""
    import geopandas as gpd
    from rasterio.crs import CRS
    from rasterio.features import shapes
    from rasterio.transform import from_origin
    from shapely.geometry import shape

    from rsuda.core.legend import Legend
    from rsuda.geo.grids.grid import Grid
    from rsuda.geo.polygons.files import write_polygons
    from rsuda.geo.polygons.polygonise import polygon_table

    names = tuple(f"class {k}" for k in range(CLASSES))
    legend = Legend(names, tuple(((k, k, k),) for k in range(CLASSES)))
    grid = Grid(height, width, from_origin(500_000, 6_000_000, PIXEL, PIXEL), CRS.from_epsg(32632))

    def strips() -> Iterator[np.ndarray]:
        with open(mask, "rb") as file:
            for top in range(0, height, STRIP):
                rows = min(STRIP, height - top)
                yield np.frombuffer(file.read(rows * width), np.uint8).reshape(rows, width)

    if way == "polygonize":
        return measure_command(mask)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "map.gpkg"
        began = time.process_time()
        if way == "predict":
            frame = polygon_table(strips(), grid, legend, (PIXEL, PIXEL))
            drawn = time.process_time()
            write_polygons(frame, out)
            notes = list(frame.notes)
        else:
            classes = np.concatenate(list(strips()))
            areas = list(shapes(classes, mask=classes != 255, connectivity=4, transform=grid.transform))
            polygons = [shape(geometry) for geometry, _ in areas]
            frame = gpd.GeoDataFrame({"class": [int(value) for _, value in areas]}, geometry=polygons, crs=grid.crs)
            drawn, notes = time.process_time(), []
            frame.to_file(out, driver="GPKG", engine="pyogrio")
        ended = time.process_time()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        digest = digest_of(out)
    return {
        "seconds": ended - began, "drawing": drawn - began, "peak": peak / 2**20, "before": before / 2**20,
        "polygons": len(frame), "notes": notes, "digest": digest,
    }  # fmt: skip


def measure_command(mask: Path) -> dict:
    """Run ``rsuda polygonize`` on the mask's GeoTIFF in a process of its own, whose peak memory is then the children's."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "map.gpkg"
        command = [
            sys.executable,
            "-m",
            "rsuda",
            "polygonize",
            str(mask.with_suffix(".tif")),
            "--out",
            str(out),
            "--json",
        ]
        process = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20
        fields = json.loads(process.stdout)
        digest = digest_of(out)
    return {"seconds": seconds, "peak": peak, "polygons": fields["polygon_count"], "notes": [], "digest": digest}


def digest_of(out: Path) -> str:
    """Condense the outlines and areas of a file of polygons, in their order."""
    import hashlib

    import geopandas as gpd
    import shapely

    frame = gpd.read_file(out)
    digest = hashlib.sha256(b"".join(shapely.to_wkb(frame.geometry.values)))
    for column in ("class", "area_m2"):
        if column in frame:
            digest.update(frame[column].to_numpy().tobytes())
    return digest.hexdigest()


def make(name: str, mask: Path, height: int, width: int) -> None:
    with open(mask, "wb") as file:
        for strip in MASKS[name](height, width):
            file.write(strip.tobytes())
    import rasterio
    from rasterio.windows import Window

    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "uint8", "nodata": 255,
               "crs": "EPSG:32632", "transform": (PIXEL, 0, 500_000, 0, -PIXEL, 6_000_000), "tiled": True,
               "blockxsize": STRIP, "blockysize": STRIP, "compress": "deflate"}  # fmt: skip
    with open(mask, "rb") as file, rasterio.open(mask.with_suffix(".tif"), "w", **profile) as raster:
        for top in range(0, height, STRIP):
            rows = min(STRIP, height - top)
            strip = np.frombuffer(file.read(rows * width), np.uint8).reshape(rows, width)
            raster.write(strip, 1, window=Window(0, top, width, rows))


def in_child(task: str, mask: Path, height: int, width: int) -> dict:
    command = [sys.executable, __file__, "--do", task, str(mask), str(height), str(width)]
    process = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(process.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=10_000)
    parser.add_argument("--noise", type=int, default=4_000)
    parser.add_argument("--skip-rasterio", action="store_true")
    parser.add_argument("--do", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.do:
        task, mask, height, width = args.do
        do = make if task in MASKS else measure
        print(json.dumps(do(task, Path(mask), int(height), int(width))))
        return
    print(
        "| mask | way | polygons | in memory, s | in the file, s | Mpx/s | peak memory, GB |\n|---|---|---|---|---|---|---|"
    )
    notes, seconds, digests = [], {}, {}
    sizes = [("clean", (height, args.width)) for height in (args.width // 2, args.width, 2 * args.width)] + [
        ("noise", (args.noise, args.noise))
    ]
    with tempfile.TemporaryDirectory() as folder:
        mask = Path(folder) / "mask"
        for name, size in sizes:
            in_child(name, mask, *size)
            compared = name == "clean" and size == (args.width, args.width) and not args.skip_rasterio
            for way in ("predict", "polygonize", *(["rasterio"] if compared else [])):
                result = in_child(way, mask, *size)
                notes += result["notes"]
                if compared:
                    seconds[way] = result["seconds"]
                if way != "rasterio":
                    digests[name, size, way] = result["digest"]
                drawing = f"{result['drawing']:.1f}" if "drawing" in result else "-"
                print(
                    f"| {name}, {size[0]:,} x {size[1]:,} | {way} | {result['polygons']:,} | {drawing} | "
                    f"{result['seconds']:.1f} | {size[0] * size[1] / 1e6 / result['seconds']:.1f} | {result['peak']:.2f} |",
                    flush=True,
                )
    if seconds:
        print(f"\nrasterio takes {seconds['rasterio'] / seconds['predict']:.1f} times as long.")
    equal = all(digests[name, size, "predict"] == digests[name, size, "polygonize"] for name, size in sizes)
    print(f"Polygons of predict and polygonize are {'equal' if equal else 'different'}.")
    for note in notes:
        print(f"Note: {note}.")


if __name__ == "__main__":
    main()
