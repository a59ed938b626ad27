"""Damage valid input of every reader with a seed, and read the result.

A target's ``take`` may return, or raise RsudaError with a sentence. Anything else is a finding: another exception, more than
SECONDS, more memory than the process is given.
"""

import contextlib
import copy
import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
import yaml
from affine import Affine

SECONDS = 10  # more than this for one input is a hang

NUMBERS = (
    0, 1, -1, 2, 3, 31, 255, 256, 65536, 10**7, 10**9, 2**31, 2**63, -(2**63), 10**400, 1e-300, 1e300, 1e-9, 0.5, -0.0,
    float("nan"), float("inf"), float("-inf"), True, False,
)  # fmt: skip
TEXTS = (
    "", " ", ".", "..", "../../x", "/etc/passwd", "a/b", "~", "a" * 300, "line\nbreak", "nul\0", "\ud800", "\u202e", "<script>",
    "=cmd()", "{}", "{1}", "{tile", "{a}{b}", "**/" * 30, "*a" * 30, "{t}" * 9, "[[", "[!", "(?P<x>", "\\", "EPSG:0", "imagenet",
    "native", "1e-300", "5e999", "tu-hf_hub:a/b", "!!python/object:os.system", "NaN", "RGB", "RGBIR", "R,R", ",", "#ffffff",
)  # fmt: skip


def value(rng: random.Random, depth: int = 0):
    """Anything that JSON or YAML can hold."""
    kind = rng.randrange(8 if depth < 3 else 5)
    if kind < 2:
        return rng.choice(NUMBERS)
    if kind < 4:
        return rng.choice(TEXTS)
    if kind == 4:
        return None
    if kind == 5:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 6:
        return {rng.choice(TEXTS): value(rng, depth + 1) for _ in range(rng.randrange(3))}
    return [value(rng, depth + 1)] * rng.choice((1, 2, 300))


def _places(tree, path=()):
    yield path
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, child in children:
        yield from _places(child, (*path, key))


def spoil(rng: random.Random, tree):
    """A copy of a tree of lists and dicts with one to three of its places changed, removed, added or doubled."""
    tree = [copy.deepcopy(tree)]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        *above, key = rng.choice([p for p in _places(tree) if p])
        parent = tree
        for k in above:
            parent = parent[k]
        how = rng.randrange(6) if above else 0
        if how < 3 or not isinstance(parent, dict | list):
            parent[key] = value(rng)
        elif how == 3:
            del parent[key]
        elif how == 4:
            parent[key] = [parent[key], parent[key]]
        elif isinstance(parent, dict):
            parent[rng.choice((*TEXTS, 5, None))] = value(rng)
        else:
            parent.append(copy.deepcopy(parent[key]))
        if not tree:
            tree = [None]
    return tree[0]


def spoil_bytes(rng: random.Random, data: bytes, most: int = 8) -> bytes:
    """Bytes with a few flipped, overwritten by extreme numbers, doubled or cut off."""
    data = bytearray(data)
    for _ in range(rng.randrange(1, most)):
        at = rng.randrange(max(1, len(data)))
        how = rng.randrange(6)
        if how < 2 and data:
            data[at] ^= 1 << rng.randrange(8)
        elif how == 2 and data:
            data[at] = rng.randrange(256)
        elif how == 3:
            form, number = rng.choice((("<H", 0xFFFF), ("<I", 0xFFFFFFFF), ("<I", 0x7FFFFFFF), ("<I", 0), ("<H", 1)))
            data[at : at + struct.calcsize(form)] = struct.pack(form, number)
        elif how == 4:
            data[at:at] = data[at : at + rng.randrange(64)]
        elif rng.random() < 0.3:
            del data[at:]
    return bytes(data)


def spoil_tiff(rng: random.Random, data: bytes) -> bytes:
    """A classic little-endian TIFF with entries of its directory changed; sometimes other bytes too."""
    first = struct.unpack_from("<I", data, 4)[0]
    if data[:4] != b"II*\0" or first + 2 > len(data):
        return spoil_bytes(rng, data)
    data, entries = bytearray(data), struct.unpack_from("<H", data, first)[0]
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = first + 2 + 12 * rng.randrange(entries)
        part = rng.randrange(4)
        extreme = rng.choice(
            (0, 1, 2, 3, 7, 16, 255, 512, 4096, 65535, 2**20, 2**24, 2**30, 2**31 - 1, 2**31, 2**32 - 1)
        )
        if part == 0:
            struct.pack_into("<H", data, at + 2, rng.randrange(20))
        elif part == 1:
            struct.pack_into("<I", data, at + 4, extreme)
        elif rng.random() < 0.05:
            struct.pack_into(
                "<H", data, at, rng.choice((256, 257, 258, 259, 262, 277, 322, 323, 33550, 33922, 34264, 34735))
            )
        else:
            struct.pack_into("<I", data, at + 8, extreme)
    return bytes(data) if rng.random() < 0.8 else spoil_bytes(rng, bytes(data))


@dataclass(frozen=True)
class Target:
    """A reader: ``seeds`` writes valid files into a folder and returns their bytes, ``spoil`` changes one, ``take`` reads
    what is at a path."""

    suffix: str
    seeds: Callable[[Path], list[bytes]]
    take: Callable[[Path], object]
    spoil: Callable[[random.Random, bytes], bytes] = field(default=spoil_bytes)


def _tree_of(load, dump):
    def spoiled(rng, data):
        if rng.random() < 0.15:
            return spoil_bytes(rng, data)
        try:
            return dump(spoil(rng, load(data)))
        except (TypeError, ValueError, yaml.YAMLError):  # what cannot be written in this form
            return spoil_bytes(rng, data)

    return spoiled


def _yaml(tree) -> bytes:
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True).encode("utf-8", "surrogatepass")


def _json(tree) -> bytes:
    return json.dumps(tree).encode()


spoil_yaml = _tree_of(yaml.safe_load, _yaml)
spoil_json = _tree_of(json.loads, _json)

BOMBS = (  # YAML and JSON that no mutation would find
    b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n".encode() for i in range(20)
    ) + b"splits: *u\nscenes: *u\nseeds: *u\nscale: *u\noptions: *u\n",
    b"a: &a [*a]\nscale: &b [*b, *b]\n", b"[" * 100_000, b"{a: " * 5_000, b"? " * 3_000, b"- " * 20_000,
    b"legend: 2001-99-99\n", b"gsd: !!int ''\n", b"gsd: !!bool x\n", b"gsd: !!float ''\n", b"gsd: !!timestamp x\n",
    b"gsd: 1" + b":59" * 4_000, b"steps: " + b"9" * 6_000, b"steps: !!python/object/apply:os.getcwd []\n",
    b"\xff\xfe\x00", b"\0", b"a: b: c", b"---\na: 1\n---\nb: 2\n", b"<<: [1]\n", b"<<: x\nsteps: 3\n", b"? [a]\n: b\n",
    b"%YAML 9.9\n---\na\n", b"!<tag:x> y", b"*nobody", b"x: " + b"a" * 2_000_000, b"null", b"5", b"", b'"' + b"\\ud800" + b'"',
)  # fmt: skip

LEGEND = [
    {"name": "road", "colour": "#ffffff", "value": 0},
    {"name": "roof", "colours": [[0, 0, 255]], "values": [1, 2]},
]


def _tiff(path: Path, bands=3, size=32, dtype="uint8", place=True, mask=None, **profile) -> bytes:
    rng = np.random.default_rng(0)
    with rasterio.open(
        path, "w", driver="GTiff", height=size, width=size, count=bands, dtype=dtype, crs="EPSG:32633" if place else None,
        transform=Affine(0.5, 0, 500_000, 0, -0.5, 6_000_000) if place else None, **profile,
    ) as file:  # fmt: skip
        file.write(rng.integers(0, 3, (bands, size, size)).astype(dtype))
        if mask is not None:
            file.write_mask(mask)
    return path.read_bytes()


def data_folder(folder: Path) -> Path:
    """A small data folder: two scenes with labels by value, and files of odd names."""
    inner = folder / "data"
    if not inner.is_dir():
        inner.mkdir()
        for n in ("1", "2", "a" * 200 + "ab"):
            _tiff(inner / f"x_{n}.tif")
            _tiff(inner / f"y_{n}.tif", bands=1)
    return inner


# Domain files


def _domain_seeds(folder: Path) -> list[bytes]:
    data_folder(folder)
    full = {
        "name": "town", "about": "a town", "get": "nowhere", "gsd": 0.5, "gsd_of": {"1": 0.4}, "crs": "EPSG:32633",
        "images": {"RGB": {"files": "**/x_{tile}.tif", "bands": "RGB"}}, "labels": ["y_{tile}.tif"],
        "bad_labels": {"y_2.tif": "damaged"}, "legend": LEGEND, "ignore": [255], "clutter": "road",
        "splits": {"train": ["1"], "val": ["2*"]}, "scenes": ["*"], "protocol": {"window": 32, "stride": 16},
    }  # fmt: skip
    return [_yaml(full), _yaml({"images": full["images"], "legend": LEGEND}), _yaml({"extends": "potsdam", "gsd": 1.0})]


def _take_domain(path: Path) -> None:
    from rsuda.core.errors import RsudaError
    from rsuda.data.domain_files.domain_file import describe
    from rsuda.info.info import domain_facts, info

    data = path.parent / "data"
    with contextlib.suppress(RsudaError):
        describe(str(path))
    info(str(path), data=data)
    from rsuda.data.find_domain import domain

    found = domain(str(path), data)
    domain_facts(found)
    _ = found.gsd
    for split in found.splits:
        assert not any("/" in name for name in found.splits[split])


# Legends


def _take_legend(path: Path) -> None:
    from rsuda.core.documents import read_json
    from rsuda.core.legend import Legend
    from rsuda.geo.maps.attribute_table import attribute_table
    from rsuda.geo.maps.qgis_styles import polygon_style, raster_style

    held = read_json(path, "legend")
    held = held if isinstance(held, dict) else {"legend": held}
    found = Legend.from_fields(held.get("legend"), held.get("ignore"))
    for text in (attribute_table(found, [1] * len(found), 1.0), raster_style(found), polygon_style(found)):
        from xml.etree import ElementTree

        ElementTree.fromstring(text.encode("utf-8"))
    found.encode(np.zeros((3, 4, 4), np.uint8))
    Legend.from_fields(found.as_fields())


# Settings


def _settings_seeds(folder: Path) -> list[bytes]:
    from short_settings import settings

    from rsuda.core.settings import dump

    return [dump(settings(preset=p, source="a", target="b")).encode() for p in ("small", "sample", "paper")]


def _take_settings(path: Path) -> None:
    from short_settings import settings

    from rsuda.core.settings import dump
    from rsuda.training.build import check_run

    s, _ = check_run(settings(path))
    path.with_name("again.yaml").write_text(dump(s))
    assert settings(path.with_name("again.yaml")) == s


# Benchmark files


def _plan_seeds(folder: Path) -> list[bytes]:
    small = {
        "about": "x", "settings": {"preset": "sample", "steps": 3}, "seeds": [0, 1], "baseline": "source-only",
        "pairs": {"p": {"source": "potsdam", "target": "vaihingen", "matched": {"colours": "match"}}}, "oracle": "oracle",
        "methods": {"source-only": {"as_is": True}, "dacs": {"only": ["p"], "options": {"source_only_share": 0.5}},
                    "oracle": {"oracle": True}},
    }  # fmt: skip
    return [_yaml(small)]


def _take_plan(path: Path) -> None:
    from rsuda.benchmark.plan import read_plan

    out = path.parent / "out"
    for job in read_plan(path, out).jobs:
        assert job.folder.resolve().is_relative_to(out.resolve()) and job.folder != out
        job.folder.exists()


# Run folders: description, weights, checkpoint, metrics


def _about() -> dict:
    return {
        "rsuda": "0.1.0", "network": "plain", "method": "source-only",
        "architecture": {
            "encoder": "tu-mobilenetv3_small_050", "decoder": "segformer", "classes": 2, "bands": 3, "channels": 16,
            "dropout": 0.0, "output_stride": 32,
        },
        "spec": {
            "bands": ["red", "green", "blue"], "gsd": 0.5, "low": [0.0] * 3, "high": [255.0] * 3, "mean": [0.5] * 3,
            "std": [0.2] * 3, "legend": [{"name": "road", "colour": [255, 255, 255]}, {"name": "roof", "colour": [0, 0, 255]}],
        },
    }  # fmt: skip


def _take_spec(path: Path) -> None:
    from rsuda.core.spec import Spec
    from rsuda.info.info import run_facts

    run = path.parent / "run"
    run.mkdir(exist_ok=True)
    (run / "spec.json").write_bytes(path.read_bytes())
    facts = run_facts(run)
    spec = Spec.from_fields(json.loads(path.read_text())["spec"])
    assert np.isfinite(spec.unit(np.zeros((len(spec.bands), 2, 2), np.uint8))).all()
    assert facts["spec"]["classes"] == list(spec.legend.names)


def _weights(about: dict, tensors) -> bytes:
    from safetensors.torch import save

    return save(tensors, {"rsuda": json.dumps(about)})


def network(about: dict):
    """Build an untrained network of a description."""
    from rsuda.learning.network import Architecture
    from rsuda.learning.networks import build_network

    return build_network("plain", Architecture(**about["architecture"]))


def _weights_seeds(folder: Path) -> list[bytes]:
    about = _about()
    tensors = {k: v.contiguous() for k, v in network(about).state_dict().items()}
    return [_weights(about, tensors)]


def _spoil_weights(rng: random.Random, data: bytes) -> bytes:
    length = struct.unpack_from("<Q", data)[0]
    if rng.random() < 0.2:
        return spoil_bytes(rng, data[: 8 + length]) + data[8 + length :]
    header = json.loads(data[8 : 8 + length])
    if rng.random() < 0.7:
        told = json.loads(header["__metadata__"]["rsuda"])
        header["__metadata__"]["rsuda"] = json.dumps(spoil(rng, told))
    else:
        header = spoil(rng, header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def _take_weights(path: Path) -> None:
    from rsuda.runs.weights import load_run

    load_run(path)


def _checkpoint_seeds(folder: Path) -> list[bytes]:
    import torch

    held = {"global_step": 3, "state_dict": {"a": torch.zeros(4, 4)}, "pytorch-lightning_version": "2.6.6"}
    torch.save(held, folder / "seed.ckpt")
    torch.save(held, folder / "old.ckpt", _use_new_zipfile_serialization=False)
    return [(folder / "seed.ckpt").read_bytes(), (folder / "old.ckpt").read_bytes()]


def _take_checkpoint(path: Path) -> None:
    from rsuda.runs.weights import checkpoint_step

    run = path.parent / "ckpt"
    run.mkdir(exist_ok=True)
    (run / "last.ckpt").write_bytes(path.read_bytes())
    assert checkpoint_step(run) >= 0


def _table_seeds(folder: Path) -> list[bytes]:
    return [b"epoch,loss,quality,step\n0,1.5,,9\n0,1.25,0.5,19\n", b"step,miou,road\n2,0.5,\n4,0.6,0.25\n"]


def _take_tables(path: Path) -> None:
    from rsuda.info.info import run_facts
    from rsuda.report.runs import _curve, _terms

    run = path.parent / "tables"
    run.mkdir(exist_ok=True)
    for name in ("metrics.csv", "scores_x.json", "label_free.json"):
        (run / name).write_bytes(path.read_bytes())
    run_facts(run)
    from rsuda.core.errors import RsudaError

    refusals = []
    for read in (_terms, _curve):
        try:
            read(path)
        except RsudaError as error:
            refusals.append(error)
    if len(refusals) == 2:  # neither a table of losses nor one of scores
        raise refusals[0]


# ONNX


def _onnx_seeds(folder: Path) -> list[bytes]:
    from onnx import TensorProto, helper, numpy_helper

    from rsuda.export.programs import INPUT, KEY

    weight = numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), "w")
    node = helper.make_node("Conv", [INPUT, "w"], ["logits"])
    shape = ["batch", 3, 32, 32]
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2, 32, 32])], [weight],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    helper.set_model_props(model, {KEY: json.dumps(_about())})
    return [model.SerializeToString()]


def _take_onnx(path: Path) -> None:
    import torch

    from rsuda.runs.onnx_network import about_exported, load_onnx

    about_exported(path)
    trained = load_onnx(path)
    trained.model(torch.zeros(1, len(trained.spec.bands), trained.model.window, trained.model.window))


# Vectors


def _vector_seeds(folder: Path) -> list[bytes]:
    import geopandas as gpd
    from shapely.geometry import MultiPolygon, box

    shapes = [box(500_002, 5_999_990, 500_010, 5_999_998), MultiPolygon([box(500_000, 5_999_985, 500_004, 5_999_988)])]
    frame = gpd.GeoDataFrame({"name": ["road", "roof"], "class": [0, 1]}, geometry=shapes, crs="EPSG:32633")
    frame.to_file(folder / "seed.geojson", driver="GeoJSON")
    return [(folder / "seed.geojson").read_bytes(), json.dumps(json.loads(frame.to_crs(4326).to_json())).encode()]


def _binary_vector_seeds(folder: Path) -> list[bytes]:
    import geopandas as gpd

    _vector_seeds(folder)
    frame, found = gpd.read_file(folder / "seed.geojson"), []
    for name, driver in (("seed.gpkg", "GPKG"), ("seed.fgb", "FlatGeobuf")):
        frame.to_file(folder / name, driver=driver)
        found.append((folder / name).read_bytes())
    return found


def _take_area(path: Path) -> None:
    from rsuda.geo.scenes.region import read_area, region_of

    scene = _scene(path.parent)
    region = region_of(scene, read_area(path))
    if region is not None:
        region.inside(0, region.grid.height)


def _scene(folder: Path):
    from rsuda.geo.scenes.scene import Scene

    image = folder / "scene.tif"
    if not image.is_file():
        _tiff(image)
    return Scene("scene", image, None, ("red", "green", "blue"))


def _take_drawn(path: Path) -> None:
    from rsuda.core.legend import Legend
    from rsuda.geo.polygons.classes import PolygonLayer
    from rsuda.geo.polygons.labels import PolygonLabels

    scene, legend = _scene(path.parent), Legend.from_fields(LEGEND)
    PolygonLabels(PolygonLayer(path), scene.grid).labels_at(legend, (1.0, 1.0), (0, 0, 32, 32))


# Rasters


def _raster_seeds(folder: Path) -> list[bytes]:
    inside = np.zeros((32, 32), bool)
    inside[4:20] = True
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        seeds = [
            _tiff(folder / "striped.tif"), _tiff(folder / "tiled.tif", tiled=True, blockxsize=16, blockysize=16),
            _tiff(folder / "deep.tif", dtype="uint16", compress="deflate", predictor=2),
            _tiff(folder / "real.tif", 4, dtype="float32"),
            _tiff(folder / "masked.tif", mask=inside), _tiff(folder / "alpha.tif", 4, photometric="RGB", alpha="yes"),
            _tiff(folder / "bare.tif", place=False, compress="lzw"), _tiff(folder / "nodata.tif", 1, nodata=0, interleave="band"),
        ]  # fmt: skip
    with rasterio.open(folder / "bare.tif", "r+") as file:
        points = [
            rasterio.control.GroundControlPoint(r, c, 500_000 + c, 6_000_000 - r) for r, c in ((0, 0), (0, 9), (9, 0))
        ]
        file.gcps = points, rasterio.crs.CRS.from_epsg(32633)
    seeds.append((folder / "bare.tif").read_bytes())
    with rasterio.open(folder / "nodata.tif", "r+") as file:
        file.write_colormap(1, {0: (255, 255, 255), 1: (0, 0, 255)})
    return [*seeds, (folder / "nodata.tif").read_bytes()]


def _take_raster(path: Path) -> None:
    from rsuda.core.errors import RsudaError
    from rsuda.core.legend import Legend
    from rsuda.geo.rasters.info import raster_facts
    from rsuda.geo.rasters.labels import labels_at
    from rsuda.geo.scenes.scene import Scene

    with contextlib.suppress(RsudaError):
        json.dumps(raster_facts(path), allow_nan=False)
    scene = Scene("x", path, None, None, None, None)
    bands = scene.file.band_order or tuple("abcdefgh")[: scene.file.count]
    numbers = scene.file.band_numbers(bands)
    grid = scene.grid
    scene.valid(bands, (0, 0, min(64, grid.height), min(64, grid.width)))
    scene.file.read_at(numbers, (1.0, 1.0), (-8, -8, 64, 64))
    scene.file.read_at(numbers, (1.5, 0.5), (max(0, grid.height - 20), 0, 32, 32))
    with contextlib.suppress(RsudaError):
        labels_at(scene.file, Legend.from_fields(LEGEND), (1.0, 1.0), (0, 0, 64, 64))
    with contextlib.suppress(RsudaError):
        assert 0 < scene.gsd[0] < float("inf")


def _picture_seeds(folder: Path) -> list[bytes]:
    found = []
    for suffix, driver in (("png", "PNG"), ("jpg", "JPEG")):
        path = folder / f"seed.{suffix}"
        with rasterio.open(path, "w", driver=driver, height=16, width=16, count=3, dtype="uint8") as file:
            file.write(np.random.default_rng(0).integers(0, 255, (3, 16, 16)).astype(np.uint8))
        found.append(path.read_bytes())
    return found


TARGETS = {
    "domain": Target(".yaml", _domain_seeds, _take_domain, spoil_yaml),
    "legend": Target(".json", lambda folder: [_json({"legend": LEGEND, "ignore": [255]}), _json({"legend": [
        {"name": "a", "colours": ["#000000", [1, 2, 3]]}], "ignore": ["#ff0000"]})], _take_legend, spoil_json),
    "settings": Target(".yaml", _settings_seeds, _take_settings, spoil_yaml),
    "benchmark": Target(".yaml", _plan_seeds, _take_plan, spoil_yaml),
    "spec": Target(".json", lambda folder: [_json(_about())], _take_spec, spoil_json),
    "weights": Target(".safetensors", _weights_seeds, _take_weights, _spoil_weights),
    "checkpoint": Target(".ckpt", _checkpoint_seeds, _take_checkpoint),
    "tables": Target(".csv", _table_seeds, _take_tables),
    "onnx": Target(".onnx", _onnx_seeds, _take_onnx),
    "area": Target(".geojson", _vector_seeds, _take_area, spoil_json),
    "drawn": Target(".geojson", _vector_seeds, _take_drawn, spoil_json),
    "vectors": Target(".gpkg", _binary_vector_seeds, _take_drawn),
    "geotiff": Target(".tif", _raster_seeds, _take_raster, spoil_tiff),
    "picture": Target(".png", _picture_seeds, _take_raster),
}  # fmt: skip
TEXT = ("domain", "legend", "settings", "benchmark", "spec", "area", "drawn")  # to which the bombs are fed


def outcome(take: Callable[[Path], object], path: Path) -> tuple[str, str]:
    """('accepted', ''), ('refused', sentence) or ('finding', what happened)."""
    from rsuda.core.errors import RsudaError

    try:
        take(path)
    except RsudaError as error:
        text = str(error)
        if not text.strip() or len(text) > 2_000 or "Traceback" in text:
            return "finding", f"a refusal of {len(text)} characters, that is no sentence: {text[:200]}"
        return "refused", text
    except Exception as error:
        import traceback

        where = [f for f in traceback.extract_tb(error.__traceback__) if "/rsuda/" in f.filename] or [None]
        place = f"{Path(where[-1].filename).name}:{where[-1].lineno}" if where[-1] else "?"
        return "finding", f"{type(error).__name__} at {place}: {str(error)[:200]}"
    return "accepted", ""
