"""Test that exported models predict as the original, also for whole scenes, and describe themselves."""

import json
import os
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import rasterio
import torch
from oracle_models import Oracle, legend, trained, write
from scipy.ndimage import gaussian_filter

from rsuda.cli import main
from rsuda.core.errors import ExistsError, InputError, MissingError
from rsuda.core.spec import Spec
from rsuda.export.deepness import deepness_metadata
from rsuda.export.export import TOLERANCE, export
from rsuda.inference.predict import predict
from rsuda.inference.predictor import Predictor
from rsuda.learning.network import Architecture
from rsuda.learning.networks import build_network
from rsuda.runs.onnx_network import about_exported
from rsuda.runs.weights import load_run, save_run

ROOT = Path(__file__).parents[2]
NAMES = ("road", "roof <&> tower", "tree")
BANDS = ("red", "green", "blue")
SPEC = Spec(BANDS, 0.5, (0.0,) * 3, (255.0,) * 3, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), legend(NAMES))
WINDOW = {"window": 64, "overlap": 16}
ON_CPU = {"device": "cpu", "precision": "fp32", **WINDOW}


def saved(folder, encoder="resnet18", decoder="segformer", method="source-only", stride=32, channels=16):
    """Create a run folder with random weights and batch-norm statistics as after training."""
    torch.manual_seed(0)  # logits of some random networks are large, and so are differences of rounding
    arch = Architecture(encoder, decoder, len(NAMES), len(BANDS), channels, 0.1, stride)
    kinds = {"hrda": "two-resolution", "st-dasegnet": "two-branch"}
    model = build_network(kinds.get(method, "plain"), arch)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    save_run(folder, model, SPEC, method)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("export") / "my run")


@pytest.fixture(scope="module")
def as_onnx(run):
    return export(run, "onnx", **WINDOW)


@pytest.fixture(scope="module")
def as_program(run):
    return export(run, "torch-export", **WINDOW)


def textured(path, height=150, width=210):
    noise = np.random.default_rng(0).normal(size=(3, height, width))
    values = np.stack([gaussian_filter(band, 2) for band in noise])
    return write(path, np.clip(127 + 300 * values, 0, 255).astype(np.uint8), descriptions=BANDS)


def mask(scene, network, out, **options):
    (prediction,) = predict([scene], network, out, polygons=None, **{**ON_CPU, **options})
    with rasterio.open(prediction.raster) as file:
        return file.read(1)


# -- exported files ----------------------------------------------------------------------------------------------------


def test_onnx_file_gives_the_probabilities_of_the_model_for_any_batch(run, as_onnx):
    assert as_onnx.file == run / "model.onnx" and as_onnx.difference <= TOLERANCE
    session = onnxruntime.InferenceSession(as_onnx.file)
    (image_input,), (output,) = session.get_inputs(), session.get_outputs()
    assert (image_input.name, image_input.shape) == ("image", ["batch", 3, 64, 64])
    assert (output.name, output.shape) == ("probabilities", ["batch", 3, 64, 64])
    image = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = load_run(run).model(image)
    assert float(logits.std()) > 0.01  # logits differ, so that a comparison is meaningful
    for batch in (1, 3):
        probabilities = session.run(None, {"image": image[:batch].numpy()})[0]
        assert np.abs(probabilities - logits[:batch].softmax(1).numpy()).max() < 1e-5


def test_onnx_metadata_are_those_of_deepness_and_rsuda(run, as_onnx):
    metadata = onnxruntime.InferenceSession(as_onnx.file).get_modelmeta().custom_metadata_map
    read = {k: json.loads(v) for k, v in metadata.items()}
    assert read["model_type"] == "Segmentor" and read["resolution"] == 50
    assert read["class_names"] == {"0": "road", "1": "roof <&> tower", "2": "tree"}
    assert read["tile_size"] == read["tiles_size"] == 64 and read["tiles_overlap"] == 25
    assert read["seg_thresh"] == 0 and read["seg_small_segment"] == 0
    assert np.allclose(read["standardization_mean"], SPEC.mean) and np.allclose(read["standardization_std"], SPEC.std)
    assert Spec.from_fields(read["rsuda"]["spec"]) == load_run(run).spec
    assert read["rsuda"]["network"] == load_run(run).digest and read["rsuda"]["window"] == 64
    assert about_exported(as_onnx.file) == read["rsuda"]


@pytest.mark.parametrize(("low", "high"), [(0.0, 255.0), (0.0, 10_000.0), (-300.0, 2_000.0)])
def test_deepness_standardises_pixels_as_the_spec(low, high):
    spec = replace(SPEC, low=(low,) * 3, high=(high, high, high + 7))
    pixels = np.random.default_rng(0).integers(int(low), int(high), (2, 3, 5, 6)).astype(np.int16)
    metadata = {k: json.loads(v) for k, v in deepness_metadata(spec, 512, 128).items()}
    mean, std = (np.array(metadata[f"standardization_{k}"])[:, None, None] for k in ("mean", "std"))
    engine = Predictor.of(replace(trained(lambda x: x, BANDS), spec=spec), "cpu", "fp32")
    assert np.allclose((pixels / 255 - mean) / std, engine.standardise(pixels, None).numpy(), atol=1e-5)


def test_exported_files_contain_no_source_paths(as_onnx, as_program):
    """Weights are excluded, since any three letters occur in a few million random bytes."""
    model = onnx.load(as_onnx.file)
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
    with zipfile.ZipFile(as_program.file) as archive:
        members = [archive.read(name) for name in archive.namelist() if "/weights/weight_" not in name]
        assert sum(map(len, members)) < 4_000_000, "the members that are read hold no weights"
    for content in (model.SerializeToString(), b"".join(members)):
        assert len(content) > 10_000
        assert b".py" not in content and str(ROOT).encode() not in content and b"site-packages" not in content


def test_onnx_file_gives_logits_on_request(tmp_path):
    network = trained(lambda x: torch.cat([x, -x], 1), BANDS[:2], names=("a", "b", "c", "d"))
    exported = export(network, "onnx", tmp_path / "plain.onnx", output="logits", **WINDOW)
    session = onnxruntime.InferenceSession(exported.file)
    image = np.random.default_rng(0).normal(size=(1, 2, 64, 64)).astype(np.float32)
    assert np.array_equal(session.run(["logits"], {"image": image})[0], np.concatenate([image, -image], 1))
    assert set(session.get_modelmeta().custom_metadata_map) == {
        "rsuda"
    }  # Deepness would interpret logits as probabilities


def test_program_gives_the_logits_of_the_model_and_stores_no_images(run, as_program):
    metadata = {"rsuda": ""}
    program = torch.export.load(as_program.file, extra_files=metadata).module()
    image = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(program(image), load_run(run).model(image), atol=1e-5)
    assert json.loads(metadata["rsuda"])["output"] == "logits" and about_exported(as_program.file) == json.loads(
        metadata["rsuda"]
    )
    assert as_program.file.stat().st_size < 1.1 * (run / "weights.safetensors").stat().st_size + 1e6


def test_program_gives_probabilities_on_request(tmp_path):
    network = trained(lambda x: torch.cat([x, -x], 1), BANDS[:2], names=("a", "b", "c", "d"))
    exported = export(network, "torch-export", tmp_path / "p", output="probabilities", **WINDOW)
    image = torch.randn(2, 2, 64, 64)
    assert exported.file.name == "p" and sorted(f.name for f in tmp_path.iterdir()) == ["p"]
    (tmp_path / "p").rename(tmp_path / "p.pt2")  # torch reads by suffix
    probabilities = torch.export.load(tmp_path / "p.pt2").module()(image)
    assert torch.allclose(probabilities, torch.cat([image, -image], 1).softmax(1), atol=1e-6)


# -- whole scenes ------------------------------------------------------------------------------------------------------


def test_exported_files_predict_the_map_of_the_run(run, as_onnx, as_program, tmp_path):
    scene = textured(tmp_path / "scene.tif")
    expected = mask(scene, run, tmp_path / "run")
    assert len(np.unique(expected)) > 1
    assert (mask(scene, as_onnx.file, tmp_path / "onnx") == expected).mean() >= 0.999
    program = torch.export.load(as_program.file).module()
    network = replace(load_run(run), model=Oracle(lambda image: program(image)))
    assert (mask(scene, network, tmp_path / "program") == expected).mean() >= 0.999


@pytest.mark.slow
def test_onnx_file_predicts_the_map_of_the_run_for_a_real_scene(real_data, tmp_path):
    run = saved(tmp_path / "run", "mobilenet_v2", channels=64)
    exported = export(run, "onnx", window=256, overlap=64)
    for scene in sorted((real_data / "mumbai" / "val" / "images").iterdir())[:3]:
        options = {"gsd": 0.5, "window": 256, "overlap": 64}
        expected = mask(scene, run, tmp_path / "a", **options)
        assert (mask(scene, load_run(exported.file), tmp_path / "b", **options) == expected).mean() >= 0.999


def test_window_that_differs_from_the_file_is_refused(as_onnx, tmp_path):
    with pytest.raises(InputError, match=r"has windows of 64 x 64 px, not 96 x 96: predict with window=64"):
        mask(textured(tmp_path / "scene.tif"), load_run(as_onnx.file), tmp_path / "out", window=96)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "decoder", "method", "stride"),
    [
        ("mobilenet_v2", "segformer", "source-only", 32),
        ("mobilenet_v2", "unet", "bicl", 32),
        ("mobilenet_v2", "daformer", "dacs", 32),
        ("mobilenet_v2", "segformer", "st-dasegnet", 32),
        ("mobilenet_v2", "segformer", "hrda", 32),
        ("mobilenet_v2", "segformer", "cluda", 32),
        ("mit_b0", "segformer", "source-only", 32),
        ("mit_b0", "daformer", "mic", 32),
        ("mit_b0", "unet", "source-only", 32),
        ("resnet18", "deeplabv3plus", "source-only", 16),
        ("resnet50", "deeplabv3plus", "source-only", 8),
        ("resnet18", "deeplabv2", "adaptsegnet", 8),
    ],
)
def test_every_architecture_can_be_exported(encoder, decoder, method, stride, tmp_path):
    run = saved(tmp_path / "run", encoder, decoder, method, stride)
    # ONNX files are converted from the program of torch.export
    for format in ["onnx"] if stride == 32 and method == "source-only" else ["onnx", "torch-export"]:
        exported = export(run, format, window=128, overlap=32)
        assert exported.file.is_file() and exported.difference <= TOLERANCE


# -- invalid models and files ------------------------------------------------------------------------------------------


def test_operator_unknown_to_onnx_is_named_and_nothing_is_written(tmp_path):
    network = trained(lambda x: torch.special.bessel_j0(x) + x, BANDS)
    with pytest.raises(InputError, match=r"ONNX has no operator for \w+\.\w*bessel_j0 .*format='torch-export'"):
        export(network, "onnx", tmp_path / "bessel.onnx", **WINDOW)
    assert not list(tmp_path.iterdir())
    assert export(network, "torch-export", tmp_path / "bessel.pt2", **WINDOW).difference == 0


def test_network_that_torch_cannot_export_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"torch\.export cannot follow this network: "):
        export(trained(lambda x: x if x.sum() > 0 else -x, BANDS), "onnx", tmp_path / "a.onnx", **WINDOW)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["onnx", "torch-export"])
def test_exported_file_that_differs_from_its_model_is_removed(format, tmp_path):
    with pytest.raises(InputError, match=r"differs from the original by up to [\d.]+ \(at most 0\.001"):
        export(trained(lambda x: x + torch.rand_like(x), BANDS), format, tmp_path / "model", **WINDOW)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"format": "onxn"}, "unknown export format 'onxn': did you mean 'onnx'"),
        ({"output": "classes"}, "unknown output 'classes'"),
        ({"window": 100}, "`window` is 100; it must be a multiple of 32"),
        ({"window": 0}, "`window` is 0; it must be a multiple of 32"),
        ({"window": 64, "overlap": 64}, "`overlap` is 64; it must be at least 0 and below the window of 64 px"),
        ({"out": "."}, "is a folder"),
    ],
)
def test_invalid_export_options_are_refused(options, says, run):
    with pytest.raises(InputError, match=re.escape(says)):
        export(run, **options)


def test_existing_export_is_replaced_with_overwrite_only(tmp_path):
    network, file = trained(lambda x: 2 * x, BANDS, names=BANDS), tmp_path / "model.onnx"
    file.write_bytes(b"mine")
    with pytest.raises(ExistsError, match=r"model\.onnx exists: pass overwrite=True"):
        export(network, "onnx", file, **WINDOW)
    assert file.read_bytes() == b"mine"
    export(network, "onnx", file, overwrite=True, **WINDOW)
    assert load_run(file).spec == network.spec


@pytest.mark.parametrize(("format", "package"), [("onnx", "onnx and onnxscript and onnxruntime"), ("stac", "pystac")])
def test_missing_extra_is_named(format, package, run, monkeypatch):
    monkeypatch.setattr("rsuda.core.errors.find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf"needs {package}, which .* not installed: pip install 'rsuda\[export\]'"):
        export(run, format)


def test_exported_files_of_other_programs_are_refused(tmp_path):
    with pytest.raises(MissingError, match=r"the exported model .* is missing"):
        load_run(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(InputError, match="cannot be read as ONNX"):
        load_run(tmp_path / "text.onnx")
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["b", 3, 64, 64])
    same = onnx.helper.make_tensor_value_info("same", onnx.TensorProto.FLOAT, ["b", 3, 64, 64])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["image"], ["same"])], "g", [image], [same])
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "other.onnx")
    with pytest.raises(InputError, match="was not written by rsuda export"):
        load_run(tmp_path / "other.onnx")
    assert about_exported(tmp_path / "other.onnx") == about_exported(tmp_path / "text.onnx") == {}


# -- the command and the page ------------------------------------------------------------------------------------------


def command(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["rsuda", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def test_command_prints_text_or_json(run, tmp_path, monkeypatch, capsys):
    words = ["export", run, "--window", 64, "--overlap", 16]
    assert command(monkeypatch, *words, "--format", "torch-export", "-o", tmp_path / "a.pt2") == 0
    assert re.search(r"wrote .*a\.pt2: logits of windows of 64 px; .* differ .* by at most", capsys.readouterr().out)
    assert command(monkeypatch, *words, "--format", "stac", "-o", tmp_path / "b.json", "--json") == 0
    fields = json.loads(capsys.readouterr().out)
    assert (
        fields["file"] == str(tmp_path / "b.json") and fields["difference"] is None and (tmp_path / "b.json").is_file()
    )


def test_unfinished_run_is_refused_in_one_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / "config.yaml").write_text("method: dacs\n")
    assert command(monkeypatch, "export", tmp_path) == 2
    assert "holds no weights.safetensors" in capsys.readouterr().err
    assert command(monkeypatch, "export", tmp_path / "none") == 2
    assert "the run" in capsys.readouterr().err


def test_code_of_the_page_runs(run, as_onnx, as_program, tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "export.md").read_text(), re.S)
    assert len(blocks) == 3
    monkeypatch.chdir(tmp_path)
    os.symlink(run, "RUN")
    textured(Path("scene.tif"))
    results = [{}, {}, {}]
    blocks[1] = blocks[1].replace('"maps")', '"maps", window=64, overlap=16)')  # those of the exported file
    for block, names in zip(blocks, results, strict=True):
        exec(compile(block, "docs/export.md", "exec"), names)
    assert results[0]["classes"].shape == (64, 64) and results[2]["logits"].shape == (1, 3, 64, 64)
    assert Path("maps/scene_classes.tif").is_file()
    engine = Predictor.of(load_run(run), **ON_CPU)
    with rasterio.open("scene.tif") as scene:
        pixels = scene.read(window=((0, 64), (0, 64)))
    expected = engine.probabilities_of(engine.standardise(pixels[None], None)).numpy()
    assert np.abs(results[0]["probabilities"] - expected).max() < 1e-4
