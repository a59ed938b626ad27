"""Feed damaged and hostile files to every reader: each is accepted or refused in one sentence. benchmarks/fuzz.py tries more."""

import csv
import json
import os
import random
import struct
import time
from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import yaml
from malformed_inputs import BOMBS, TARGETS, TEXT, _about, _tiff, _weights, data_folder, network, outcome
from oracle_models import by_value, trained
from rasterio.transform import from_origin
from short_settings import settings

from rsuda.core.display import csv_cell
from rsuda.core.errors import InputError, MissingError, RsudaError
from rsuda.core.legend import Legend
from rsuda.core.spec import band_names
from rsuda.data.domain_files.domain_file import read_domain_file
from rsuda.data.domain_files.file_patterns import pattern
from rsuda.data.find_domain import domain
from rsuda.geo.maps.attribute_table import attribute_table
from rsuda.geo.maps.qgis_styles import polygon_style, raster_style
from rsuda.geo.rasters.raster import RasterFile
from rsuda.geo.scenes.region import read_area
from rsuda.training.build import check_run

TRIED = {"weights": 15, "onnx": 60, "geotiff": 80, "domain": 60, "settings": 60, "benchmark": 80, "vectors": 40,
         "area": 60, "drawn": 60}  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_file_is_read_or_refused_in_a_sentence(name, tmp_path):
    target, rng, outcomes = TARGETS[name], random.Random(f"{name} 7"), Counter()
    seeds = target.seeds(tmp_path)
    spoilt = [target.spoil(rng, rng.choice(seeds)) for _ in range(TRIED.get(name, 150))]
    path, findings = tmp_path / f"input{target.suffix}", []
    for number, data in enumerate([*seeds, *(BOMBS if name in TEXT else ()), *spoilt]):
        path.write_bytes(data)
        began = time.process_time()  # independent of other work on the machine
        kind, sentence = outcome(target.take, path)
        outcomes[kind] += 1
        if kind == "finding" or time.process_time() - began > 10 or (number == 0 and kind != "accepted"):
            findings.append((number, kind, sentence))
    assert not findings
    assert outcomes["refused"] > 5


# Files that are small and declare much


def header(tmp_path, width, height, block, per_row=1, size=1000):
    """A TIFF of few bytes that declares one block of ``block`` rows, and as many more as fit."""
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1),
        (278, 4, 1, block), (279, 4, 1, 10),
    ]  # fmt: skip
    data = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries))
    data += b"".join(struct.pack("<HHII", *e) for e in entries) + bytes(4)
    path = tmp_path / f"{width}_{height}_{block}.tif"
    path.write_bytes(data.ljust(size, b"\0"))
    return path


@pytest.mark.parametrize(("width", "height", "block", "sentence"), [
    (2**31 - 1, 2**31 - 1, 1, "declares 2147483647 x 2147483647 px; rsuda reads at most 20000000 px"),
    (2**31 - 1, 1, 1, "declares 2147483647 x 1 px; rsuda reads at most 20000000 px"),
    (100_000, 100_000, 100_000, "declares 100000 x 100000 px in 100000 blocks"),
    (40_000, 2_000_000, 1, "declares 40000 x 2000000 px in 2000000 blocks"),
    (60_000, 60_000, 60_000, "declares 60000 x 60000 px in 60000 blocks"),
])  # fmt: skip
def test_small_file_that_declares_terabytes_is_refused_by_its_header(tmp_path, width, height, block, sentence):
    with pytest.raises(InputError, match=sentence):
        RasterFile(header(tmp_path, width, height, block))


def test_sparse_file_of_many_pixels_opens_and_gives_its_windows(tmp_path):
    profile = {"driver": "GTiff", "height": 200_000, "width": 200_000, "count": 3, "dtype": "uint8", "SPARSE_OK": True}
    with rasterio.open(tmp_path / "sparse.tif", "w", tiled=True, blockxsize=512, blockysize=512, nodata=0, BIGTIFF="YES",
                       transform=from_origin(0, 0, 0.5, 0.5), crs="EPSG:32633", **profile) as file:  # fmt: skip
        file.write(np.full((3, 512, 512), 7, np.uint8), window=((1024, 1536), (1024, 1536)))
    found = RasterFile(tmp_path / "sparse.tif")
    assert os.path.getsize(tmp_path / "sparse.tif") < found.grid.height * found.grid.width / 1000
    read = found.read([1, 2, 3], (1000, 1000, 64, 64))
    assert read.values[0, 40, 40] == 7 and read.valid[40, 40] and not read.valid[0, 0]


def test_scene_whose_prediction_fits_on_no_disk_is_refused(tmp_path):
    from rsuda.inference.predict import predict

    vrt = f"""<VRTDataset rasterXSize="19000000" rasterYSize="19000000"><SRS>EPSG:32633</SRS>
<GeoTransform>0, 0.5, 0, 0, 0, -0.5</GeoTransform>
{"".join(f'<VRTRasterBand dataType="Byte" band="{n}"/>' for n in (1, 2))}</VRTDataset>"""
    (tmp_path / "vast.vrt").write_text(vrt)
    with pytest.raises(MissingError, match="on the disk of"):
        list(predict([tmp_path / "vast.vrt"], trained(by_value), tmp_path / "out", device="cpu", window=64, overlap=16))
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("bomb", BOMBS, ids=range(len(BOMBS)))
def test_yaml_bomb_is_refused_at_once(tmp_path, bomb):
    (tmp_path / "d.yaml").write_bytes(bomb)
    began = time.monotonic()
    with pytest.raises(RsudaError) as error:
        read_domain_file(tmp_path / "d.yaml")
    assert time.monotonic() - began < 8 and len(str(error.value)) < 1000


def test_a_domain_that_extends_itself_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("extends: b.yaml")
    (tmp_path / "b.yaml").write_text("extends: a.yaml")
    with pytest.raises(InputError, match="'extends' is nested more than 5 deep"):
        read_domain_file(tmp_path / "a.yaml")


# Patterns, links and names


@pytest.mark.parametrize(
    "text", ["**/a/" * 9 + "x", "{a}a{b}a{c}a{d}a.tif", "*a*a*a*a*a*", "{1}.tif", "{é}.tif", "x" * 501]
)
def test_slow_patterns_and_patterns_without_a_field_are_refused(text):
    with pytest.raises(InputError, match="pattern"):
        pattern(text)


def test_the_slowest_allowed_pattern_is_quick_and_unpaired_braces_are_letters():
    began = time.monotonic()
    assert pattern("**/**/{a}a{b}a{c}!").fullmatch("a/" * 20 + "a" * 250) is None
    assert time.monotonic() - began < 10
    assert pattern("x{t}{{.tif").fullmatch("x1{{.tif")["t"] == "1"
    assert pattern("{}(.tif").fullmatch("{}(.tif")
    assert pattern("{t}_{t}.tif").fullmatch("1_1.tif") and not pattern("{t}_{t}.tif").fullmatch("1_2.tif")


def test_circular_links_are_followed_once(tmp_path):
    folder = data_folder(tmp_path)
    for n in range(6):
        (folder / f"d{n}").mkdir()
        for m in range(6):
            (folder / f"d{n}" / f"l{m}").symlink_to(folder)
    (tmp_path / "d.yaml").write_bytes(TARGETS["domain"].seeds(tmp_path)[1])
    began = time.monotonic()
    assert len(domain(str(tmp_path / "d.yaml"), folder).scenes) == 3
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "name", ["..tif", "...tif", "a\nb.tif", "~.tif", "{x}.tif", "=cmd().tif", "-rf.tif", "a%s.tif"]
)
def test_outputs_of_a_scene_of_any_name_stay_in_the_folder(tmp_path, name):
    from rsuda.inference.predict import predict

    image = tmp_path / "in" / "deep" / name
    image.parent.mkdir(parents=True)
    _tiff(image, bands=2)
    before = {p for p in tmp_path.rglob("*")}
    done = list(predict([image], trained(by_value), tmp_path / "out", device="cpu", window=64, overlap=16))
    assert done[0].raster.parent == tmp_path / "out"
    assert all(p.is_relative_to(tmp_path / "out") for p in set(tmp_path.rglob("*")) - before)


def test_scene_name_too_long_for_outputs_is_refused_first(tmp_path):
    from rsuda.inference.predict import predict

    image = tmp_path / f"{'ä' * 110}.tif"
    _tiff(image, bands=2)
    with pytest.raises(InputError, match="outputs cannot be named after"):
        list(predict([image], trained(by_value), tmp_path / "out", device="cpu", window=64, overlap=16))


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a\nb", "a" * 300, "..", "x/../../y"])
def test_scores_of_a_domain_of_any_name_stay_in_the_run(tmp_path, name):
    from rsuda.evaluation.evaluate import Evaluation, write_scores
    from rsuda.evaluation.metrics import Scores

    run = tmp_path / "a" / "run"
    scores = Scores(np.eye(2, dtype=np.int64), ("=cmd()", "b"))
    for file in write_scores(Evaluation(name, name, "scenes", 1, 0, scores, None, 0), run):
        assert file.resolve().parent == run and file.is_file()
    assert [p.name for p in tmp_path.iterdir()] == ["a"] and [p.name for p in run.parent.iterdir()] == ["run"]
    with next(run.glob("*.csv")).open(newline="") as opened:
        rows = list(csv.reader(opened))
    assert rows[0][6] == rows[1][0] == "'=cmd()"


def test_cells_that_a_spreadsheet_runs_are_quoted():
    assert [csv_cell(t) for t in ("=1", "+1", "-x", "@x", "road", "", "a=b")] == [
        "'=1",
        "'+1",
        "'-x",
        "'@x",
        "road",
        "",
        "a=b",
    ]


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "\x1b[2J", "\ud800", "\ufffe", " ", "x" * 101])
def test_class_names_that_no_file_can_hold_are_refused(name):
    with pytest.raises(InputError, match="a name has 1 to 100 characters"):
        Legend.from_fields([{"name": name, "colour": "#000000"}])


def test_class_names_are_escaped_in_styles_and_tables():
    names = ("<script>alert(1)</script>", "\"&amp;'", "=cmd()", "ü, ő")
    found = Legend.from_fields([{"name": n, "colour": [k, 0, 0]} for k, n in enumerate(names)])
    for text, place in (
        (raster_style(found), ".//paletteEntry"), (polygon_style(found), ".//category"),
        (attribute_table(found, [1] * 4, 1.0), ".//Category"),
    ):  # fmt: skip
        labels = [e.get("label") or e.text for e in ElementTree.fromstring(text).iterfind(place)]
        assert labels == list(names)


# Weights and descriptions


def spoilt_weights(tmp_path, **changed):
    about = _about()
    tensors = {k: v.contiguous() for k, v in network(about).state_dict().items()}
    about = {**about, **{k: {**about[k], **v} if isinstance(v, dict) else v for k, v in changed.items()}}
    (tmp_path / "weights.safetensors").write_bytes(_weights(about, tensors))
    return tmp_path / "weights.safetensors"


@pytest.mark.parametrize("changed", [
    {"architecture": {"channels": 8192}}, {"architecture": {"channels": 10**9}}, {"architecture": {"encoder": "resnet18"}},
    {"architecture": {"encoder": "tu-hf_hub:somebody/something"}}, {"architecture": {"encoder": "tu-local-dir:/etc"}},
    {"architecture": {"extra": 1}}, {"architecture": {"bands": 4}}, {"network": "two-branch"},
    {"network": "two-resolution"}, {"network": "../x"}, {"network": ["plain"]}, {"disentangle": "x"},
    {"weights": "imagenet"}, {"method": ["dacs"]}, {"spec": {"gsd": float("nan")}}, {"spec": {"std": [0, 0, 0]}},
    {"spec": {"bands": "x"}},
])  # fmt: skip
def test_weights_of_another_architecture_are_refused_before_a_network_is_built(tmp_path, changed):
    from rsuda.runs.weights import load_run

    with pytest.raises(InputError):
        load_run(spoilt_weights(tmp_path, **changed))


def test_weights_that_fit_their_description_load_and_leave_the_random_state(tmp_path):
    import torch

    from rsuda.runs.weights import load_run

    file, before = spoilt_weights(tmp_path), torch.get_rng_state()
    assert load_run(file).spec.gsd == 0.5
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.filterwarnings("ignore:`timm-` encoders are deprecated")  # by segmentation-models; old weights name them
@pytest.mark.parametrize("encoder", [
    "mit_b0", pytest.param("mit_b5", marks=pytest.mark.slow), "resnet18", "mobilenet_v2", "efficientnet-b0",
    "timm-efficientnet-b0",
])  # fmt: skip
def test_every_encoder_can_be_described_without_memory(tmp_path, encoder):
    """MiT reads its rates of stochastic depth out of a tensor, and the meta device holds no numbers."""
    import torch
    from safetensors.torch import save_file

    from rsuda.core.spec import Spec
    from rsuda.runs.weights import Description, check_shapes

    fields = _about()
    fields["architecture"]["encoder"] = encoder
    about, spec = Description(**fields), Spec.from_fields(fields["spec"])
    tensors = {k: v.contiguous() for k, v in about.build().state_dict().items()}
    save_file(tensors, tmp_path / "weights.safetensors")
    check_shapes(about, spec, tmp_path / "weights.safetensors")
    assert torch.empty(1).device.type == "cpu"


class Runs:
    """A pickle that makes a folder when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_checkpoint_and_encoder_weights_run_no_code(tmp_path):
    import torch

    from rsuda.learning.encoders.weights_file import read_weights
    from rsuda.runs.weights import checkpoint_step

    torch.save({"global_step": Runs(str(tmp_path / "ran"))}, tmp_path / "last.ckpt")
    with pytest.raises(InputError, match="cannot be resumed"):
        checkpoint_step(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        read_weights(tmp_path / "last.ckpt")
    assert not (tmp_path / "ran").exists()


def test_yaml_runs_no_code(tmp_path):
    (tmp_path / "d.yaml").write_text(f"name: !!python/object/apply:os.mkdir ['{tmp_path}/ran']")
    with pytest.raises(InputError, match="not valid YAML"):
        read_domain_file(tmp_path / "d.yaml")
    assert not (tmp_path / "ran").exists()


def test_onnx_file_reads_no_other_file(tmp_path):
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    from rsuda.runs.weights import load_run

    model = onnx.load_from_string(TARGETS["onnx"].seeds(tmp_path)[0])
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_bytes(bytes(24))
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "../secret"), ("offset", "0"), ("length", "24")):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    (tmp_path / "in" / "x.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InputError):
        load_run(tmp_path / "in" / "x.onnx")


def test_onnx_file_whose_size_names_are_not_text_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    data = TARGETS["onnx"].seeds(tmp_path)[0]
    assert data.count(b"batch") == 2
    (tmp_path / "x.onnx").write_bytes(data.replace(b"batch", b"bat\xd3\xd3"))
    kind, sentence = outcome(TARGETS["onnx"].take, tmp_path / "x.onnx")
    assert kind == "refused" and "ONNX" in sentence


# Polygons


@pytest.mark.parametrize("corner", [[500002.0, float("nan")], [float("nan"), 5999998.0], [500002.0, float("inf")]])
def test_polygon_with_a_corner_that_is_not_finite_is_left_out(tmp_path, corner):
    ring = [[500010.0, 5999990.0], [500010.0, 5999998.0], corner, [500002.0, 5999990.0], [500010.0, 5999990.0]]
    whole = [[500000.0, 5999985.0], [500004.0, 5999985.0], [500004.0, 5999988.0], [500000.0, 5999985.0]]
    geometries = [{"type": "Polygon", "coordinates": [r]} for r in (ring, whole)]
    shapes = [{"type": "Feature", "properties": {"class": 0}, "geometry": g} for g in geometries]
    crs = {"type": "name", "properties": {"name": "EPSG:32633"}}
    path = tmp_path / "area.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": shapes}))
    assert len(read_area(path)) == 1
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": shapes[:1]}))
    with pytest.raises(InputError, match="polygon"):
        read_area(path)


# Benchmarks and settings


def test_refusals_shorten_long_values():
    long = [[{"a": "b" * 50}] * 3] * 300
    for told in ({"preset": long}, {"method": "dacs", "options": {"start": long}}, {"method": "dacs", "options": {5: 1}},
                 {"method": "dacs", "options": {"x" * 5000: 1}}):  # fmt: skip
        with pytest.raises(InputError) as error:
            check_run(settings(**{"source": "potsdam", "target": "vaihingen", **told}))
        assert len(str(error.value)) < 600
    with pytest.raises(InputError, match="occurs twice in") as error:
        band_names(["*a" * 100] * 300)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("changed", [
    {"methods": {"source-only": "x"}}, {"methods": {"source-only": {"only": "p"}}}, {"pairs": {"p": {"matched": "x"}}},
    {"methods": {"source-only": {"options": "x"}}}, {"methods": {"." * 200: {"method": "dacs"}}}, {"seeds": [True]},
])  # fmt: skip
def test_malformed_benchmark_files_are_refused(tmp_path, changed):
    from rsuda.benchmark.plan import read_plan

    plan = yaml.safe_load(TARGETS["benchmark"].seeds(tmp_path)[0])
    (tmp_path / "b.yaml").write_text(yaml.safe_dump({**plan, **changed}))
    with pytest.raises(InputError):
        read_plan(tmp_path / "b.yaml", tmp_path / "out")
