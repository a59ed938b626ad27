"""Make one map: its file names, its key, its lock and its store of finished strips have one owner."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioError

from rsuda.core.atomic import check_writable, make_folder
from rsuda.core.capacity import check_disk
from rsuda.core.errors import ExistsError, WriteError, exists
from rsuda.core.legend import IGNORE, Legend
from rsuda.core.locks import LOCK, exclusive
from rsuda.core.map_options import MapOptions
from rsuda.core.spelling import spell
from rsuda.core.undecided import with_undecided
from rsuda.core.version import __version__
from rsuda.geo.maps.attribute_table import SUFFIX as ATTRIBUTES
from rsuda.geo.maps.mosaic import Tile
from rsuda.geo.rasters.dataset_names import is_remote, local_file
from rsuda.geo.rasters.raster import READ_ERRORS, quiet
from rsuda.geo.scenes.region import Region
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.finished_rasters import KEY, FinishedRasters
from rsuda.inference.map_tile import MapTile
from rsuda.inference.predictor import Predictor
from rsuda.inference.products import CLASSES, PRODUCTS, Product
from rsuda.inference.sliding_window import Strip, strip_rows
from rsuda.inference.strip_store import StripStore

BLOCK_ROWS = 512  # rows of a finished map that are read at once
# Options that the key and the tag of version 0.1.0 hold in their own way. Any other option enters them where its value is
# not the default, so that a new option leaves finished maps valid.
_KEY_OPTIONS = ("bands", "gsd", "crs", "aoi", "bounds", "window", "overlap", "tta", "precision")
_VECTORS = ("polygons", "footprints", "stac")  # files that other options of polygons change
_TAG_OPTIONS = ("polygons", "min_area", "simplify", "regularise", "confidence", "probabilities", "co", "stac")


class MapJob:
    """A map that is being made: the owner of its file names, its key, its lock and its strip store.

    Attributes:
        scene, region: what is mapped.
        predictor, options: how.
        raster: path of the class raster.
        files: paths of all data files by what they hold, the class raster last.
        tiles: parts of the map that have rasters of their own.
        key: digest of scene, model and every option that changes pixels.
    """

    def __init__(
        self, scene: Scene, region: Region, predictor: Predictor, options: MapOptions, tiles: Sequence[Tile] = ()
    ) -> None:
        self.scene, self.region, self.predictor, self.options = scene, region, predictor, options
        self.tiles = [part for tile in tiles if (part := MapTile.of(tile, region)) is not None]
        self.folder = (options.out and options.out.expanduser()) or (
            Path() if is_remote(scene.image) else Path(scene.image).parent
        )
        self.key = _key(scene, region, predictor, options)
        self.files = {
            **{
                f"{product.name} of {tile.name}": self.folder / f"{tile.name}_{product.name}.tif"
                for product in _products(options)
                for tile in self.tiles
            },
            **{name: self.folder / f"{scene.name}_{ending}" for name, ending in _endings(options)},
        }
        self.raster = self.files[CLASSES.name]
        self._store: StripStore | None = None

    @property
    def legend(self) -> Legend:
        """The classes of the map: those of the model and, where pixels may be undecided, that class."""
        legend = self.predictor.trained.spec.legend
        return with_undecided(legend) if self.options.min_confidence else legend

    @property
    def work(self) -> Path:
        """The hidden folder of what is not finished."""
        return self.folder / f".{self.raster.stem}-{self.key[:12]}"

    @property
    def staging(self) -> Path:
        """The folder in which files are written before they are moved into place."""
        return self.work / "made"

    @property
    def moving(self) -> Path:
        """A mark that exists while files are moved into place."""
        return self.work / "moving"

    @property
    def tag(self) -> str:
        """The key with a digest of the options that change files and not pixels; the class raster carries it."""
        options = self.options
        values = [getattr(options, name) for name in _TAG_OPTIONS]
        values[_TAG_OPTIONS.index("co")] = sorted(options.co)
        other_options = options.changed("files", without=_TAG_OPTIONS)
        text = json.dumps([*values, other_options] if other_options else values, sort_keys=True)
        return f"{self.key}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def is_finished(self) -> bool:
        """Check whether this very job has written all its files.

        Raises ExistsError for files that anything else has written, unless they may be overwritten.
        """
        if self.options.overwrite:
            return False
        existing = [file for file in self.files.values() if file.exists()]
        if not existing or self.moving.exists():  # interrupted while files were moved into place
            return False
        if len(existing) == len(self.files) and _tag_of(self.raster) == self.tag:
            return True
        changing = [self.files[name] for name in _VECTORS if name in self.files and self.files[name].exists()]
        if self.rasters is None:
            raise exists(existing[0])
        if changing:
            raise ExistsError(
                f"{changing[0]} exists, of other options: pass {spell('overwrite', True)} to replace it (the map "
                f"is not predicted again), or choose another {spell('polygons')} or {spell('out')}"
            )
        return False

    @cached_property
    def rasters(self) -> FinishedRasters | None:
        """The rasters of a finished map that differs by the options of its other files only; None to predict."""
        if _tag_of(self.raster) in (None, self.tag):
            return None
        shape = (self.region.grid.height, self.region.grid.width)
        return FinishedRasters.find(
            lambda name: self.folder / f"{self.scene.name}_{name}.tif", self.key, shape, self.options
        )

    @property
    def keeps_rasters(self) -> bool:
        """Whether the finished rasters stay untouched. Creation options ask for rasters of another form."""
        return self.rasters is not None and not self.options.co

    def reuse(self) -> bool:
        """Fill the store with the pixels of the finished rasters. Returns False where they are missing or unreadable."""
        if self.rasters is None:
            return False
        try:
            for first, end in self.store.missing():
                for row in range(first, end, self.store.strip_rows):
                    self.store.write(row, self.rasters.read(row, min(self.store.strip_rows, end - row)))
        except READ_ERRORS:
            self.discard()
            self.rasters = self._store = None
            return False
        return True

    @contextmanager
    def open(self) -> Iterator[None]:
        """Hold the lock of the map while the block runs. A store without a finished strip is removed at the end.

        Only this process writes the map; others may write other maps into the same folder.

        Raises ExistsError when another process holds the lock.
        """
        make_folder(self.folder)
        check_writable(self.folder)
        with exclusive(self.folder / f".{self.raster.stem}{LOCK}", f"{self.raster}"):
            try:
                yield
            finally:
                if self._store is not None:
                    self._store.remove_if_empty()
                    self._store = None

    @property
    def store(self) -> StripStore:
        """Finished strips on disk: planes of classes, confidence and, if needed, probabilities of all classes.

        Use it inside ``open`` only.

        Raises MissingError when the disk has no room for them.
        """
        if self._store is None:
            planes = 2 + len(self.predictor.trained.spec.legend) * self.options.probabilities
            height, width = self.region.grid.height, self.region.grid.width
            if not self.work.is_dir():  # an existing store has its room already
                check_disk(2 * planes * height * width, self.folder, f"the prediction of {self.scene.image}")
            rows = strip_rows(self.predictor, self.scene)
            lacks = self.rasters is not None and self.rasters.confidence is None  # a prediction never continues it
            key = f"{self.key}-{planes}{'-without-confidence' if lacks else ''}"
            self._store = StripStore(self.work, key, (planes, height, width), rows)
        return self._store

    def write(self, strip: Strip) -> None:
        """Write a strip into the store."""
        self.store.write(strip.row, planes_of(strip, self.options), strip.col)

    def blocks(self, plane: int = 0) -> Iterator[np.ndarray]:
        """Read a plane of the store as (rows, width) uint8 blocks, from top to bottom."""
        for row, count in row_blocks(self.region.grid.height):
            yield self.store.read(plane, row, count)

    def rows_of(self, plane: int) -> Callable[[int, int], np.ndarray]:
        """Return a reader of a plane: (first row, rows) -> (rows, width) uint8."""
        return lambda row, count: self.store.read(plane, row, count)

    def has_data(self) -> bool:
        """Check whether any pixel of the finished strips is valid."""
        return any((block != IGNORE).any() for block in self.blocks())

    def discard(self) -> None:
        """Remove the store with all that is in it."""
        self.store.remove()

    def clean_up(self) -> None:
        """Remove the work folder of a finished map, which a process killed at its very end leaves behind.

        A folder that another process holds stays.
        """
        if self.work.is_dir():
            with suppress(ExistsError, WriteError), self.open():
                shutil.rmtree(self.work, ignore_errors=True)


def planes_of(strip: Strip, options: MapOptions) -> list[np.ndarray]:
    """Arrange the pixels of a strip as planes of the store, each (rows, columns) uint8."""
    return [strip.classes, strip.confidence, *([] if strip.probabilities is None else strip.probabilities)]


def row_blocks(height: int) -> Iterator[tuple[int, int]]:
    """Cut rows into blocks: (first row, rows)."""
    for row in range(0, height, BLOCK_ROWS):
        yield row, min(BLOCK_ROWS, height - row)


def _products(options: MapOptions) -> list[Product]:
    """List the rasters that options ask for, the class raster last."""
    return [product for product in PRODUCTS if product is CLASSES or getattr(options, product.name)]


def _endings(options: MapOptions) -> list[tuple[str, str]]:
    """List what each data file holds and how its name ends, the class raster last."""
    *rasters, classes = _products(options)
    suffix = "vrt" if options.per_tile else "tif"
    endings = [(product.name, f"{product.name}.{suffix}") for product in rasters]
    if options.regularise:
        endings.append(("footprints", f"footprints.{options.polygons}"))
    if options.polygons:
        endings.append(("polygons", f"polygons.{options.polygons}"))
    if options.stac:
        endings.append(("stac", "stac.json"))
    raster = f"{classes.name}.{suffix}"
    return [*endings, ("attributes", raster + ATTRIBUTES), (classes.name, raster)]


def _key(scene: Scene, region: Region, predictor: Predictor, options: MapOptions) -> str:
    """Digest everything that the pixels of a map depend on."""
    place = local_file(scene.image)
    file = None if place is None else os.stat(place)
    fields = {
        "version": __version__,
        "network": predictor.trained.digest,
        "scene": Path(str(scene.image)).name,
        "file": file and [file.st_size, file.st_mtime_ns],
        "grid": [scene.grid.height, scene.grid.width],
        "bands": scene.bands,
        "gsd": scene.gsd,
        "crs": scene.grid.crs and scene.grid.crs.to_wkt(),
        "region": [region.window, repr(region.shapes)],
        "window": predictor.window,
        "overlap": predictor.overlap,
        "tta": predictor.tta,
        "precision": predictor.precision,
        **options.changed("pixels", without=_KEY_OPTIONS),
    }
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _tag_of(raster: Path) -> str | None:
    """Read the tag of a class raster; None for a file that has none or is not a raster."""
    try:
        with quiet(), rasterio.open(raster) as file:
            tag: str | None = file.tags().get(KEY)
            return tag
    except RasterioError:
        return None
