"""Test ONNX files in 8-bit integers: what they change is bounded and stated, and rsuda predict runs them."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import rasterio
import torch
from oracle_models import trained, write
from tiny_cities import COLOURS
from torch import nn

from rsuda.cli import main
from rsuda.core.errors import InputError
from rsuda.data.find_domain import domain
from rsuda.export.calibration_windows import choose_windows
from rsuda.export.export import export
from rsuda.export.int8 import to_int8
from rsuda.export.programs import Softmax, to_onnx, traced, write_onnx
from rsuda.inference.predict import predict
from rsuda.runs.onnx_network import about_exported
from rsuda.runs.weights import load_run

WINDOW = {"window": 64, "overlap": 16}
ON_CPU = {"device": "cpu", "precision": "fp32", "polygons": None, **WINDOW}
BANDS = ("red", "green", "blue")


class ByColour(nn.Module):
    """Blur an image, and give each pixel the class of the nearest colour of the tiny city: logits 2 c x - c c."""

    def __init__(self):
        super().__init__()
        self.blur = nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False)
        self.norm = nn.BatchNorm2d(3)
        self.classifier = nn.Conv2d(3, 3, 1)
        nn.init.constant_(self.blur.weight, 1 / 9)
        nn.init.constant_(self.norm.running_mean, 0.1)
        colours = torch.tensor(COLOURS * 0.7 * 0.8 / 255, dtype=torch.float32)
        self.classifier.weight.data = 20 * colours[:, :, None, None]
        self.classifier.bias.data = -10 * (colours**2).sum(1)

    def forward(self, image):
        return self.classifier(self.norm(self.blur(image)))


@pytest.fixture(scope="module")
def by_colour():
    network = trained(lambda image: image, BANDS, high=255.0, names=("a", "b", "c"))
    return replace(network, model=ByColour().eval())


@pytest.fixture(scope="module")
def written(by_colour, tiny_city, tmp_path_factory):
    folder = tmp_path_factory.mktemp("int8")
    return export(by_colour, out=folder / "m.onnx", int8=tiny_city / "west.yaml", data=tiny_city, **WINDOW)


# -- what 8 bits change ------------------------------------------------------------------------------------------------


def test_error_of_a_convolution_is_at_most_that_of_its_rounded_numbers():
    """Half a step of weights (7 bits), of inputs and of outputs (8 bits), with the other factor of each product."""
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 3, 1)
    images = torch.rand(2, 4, 32, 32)
    model = to_int8(to_onnx(traced(layer, 4, 32)), images.numpy())
    session = onnxruntime.InferenceSession(model.SerializeToString())
    with torch.no_grad():
        exact, weights = layer(images).numpy(), layer.weight.abs()[:, :, 0, 0]
        steps = weights.amax(1) / 63
        inputs = torch.einsum("kc,bchw->bkhw", steps[:, None].expand(-1, 4), images) / 2
        rounded = 1 / 255 * weights.sum(1)[:, None, None] / 2 + inputs + 2 * (steps / 255)[:, None, None]
    low, high = min(exact.min(), 0), max(exact.max(), 0)
    bound = rounded.numpy() + (high - low) / 255 / 2
    error = np.abs(np.concatenate([session.run(None, {"image": image[None].numpy()})[0] for image in images]) - exact)
    assert (error <= 1.01 * bound).all() and error.max() > 1e-4, "the file computes in fewer bits"


def test_classes_that_are_clear_stay_and_the_loss_is_the_measured_one(by_colour, written, tiny_city):
    loss = written.loss
    assert written.difference <= 1e-3 and loss.windows == 4 and loss.imagery == "west"
    assert loss.same_classes >= 0.99 and abs(loss.miou_int8 - loss.miou_fp32) <= 0.01 and 0.9 < loss.miou_fp32 <= 1
    _, compared = choose_windows(domain(tiny_city / "west.yaml", tiny_city), by_colour.spec, 64)
    session = onnxruntime.InferenceSession(written.file)
    same = []
    for window in compared:
        with torch.no_grad():
            expected = by_colour.model(torch.from_numpy(window.image())[None]).argmax(1).numpy()
        same.append(session.run(None, {"image": window.image()[None]})[0].argmax(1) == expected)
    assert np.mean(same) == pytest.approx(loss.same_classes, abs=1e-4)


def test_windows_of_calibration_and_comparison_are_others_and_lie_side_by_side(by_colour, tiny_city):
    imagery = domain(tiny_city / "west.yaml", tiny_city)
    calibrated, compared = choose_windows(imagery, by_colour.spec, 64)
    places = {(window.scene.name, window.row, window.col) for window in (*calibrated, *compared)}
    assert places == {(name, row, col) for name in "01" for row in (0, 64) for col in (0, 64)}
    assert (calibrated, compared) == choose_windows(imagery, by_colour.spec, 64)


def test_imagery_without_labels_states_no_accuracy(by_colour, tiny_city, tmp_path):
    (tmp_path / "in").mkdir()
    for n in range(2):
        (tmp_path / "in" / f"{n}.tif").write_bytes((tiny_city / f"village_{n}_image.tif").read_bytes())
    loss = export(by_colour, out=tmp_path / "m.onnx", int8=tmp_path / "in", output="logits", **WINDOW).loss
    assert loss.miou_fp32 is loss.miou_int8 is None and loss.same_classes > 0.98
    assert re.fullmatch(r"\d+\.\d% of the pixels of 4 other windows of in keep their class", str(loss))


def test_weights_are_integers_and_the_metadata_those_of_the_file_in_fp32(by_colour, written, tmp_path):
    model = onnx.load(written.file)
    integers = [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    assert {tuple(tensor.dims) for tensor in integers} >= {(3, 1, 3, 3), (3, 3, 1, 1)}
    assert not {node.op_type for node in model.graph.node} & {"BatchNormalization", "Softmax"}
    plain = export(by_colour, out=tmp_path / "m.onnx", **WINDOW)
    one, other = (
        {entry.key: entry.value for entry in onnx.load(file).metadata_props} for file in (plain.file, written.file)
    )
    about = about_exported(written.file)
    assert about.pop("int8")["same_classes"] == written.loss.same_classes and about == json.loads(one.pop("rsuda"))
    assert {key: value for key, value in other.items() if key != "rsuda"} == one


class Attending(nn.Module):
    """A convolution, then attention among its cells with a linear layer."""

    def __init__(self):
        super().__init__()
        self.cells = nn.Conv2d(3, 8, 8, 8)
        self.query, self.classifier = nn.Linear(8, 8), nn.Conv2d(8, 3, 1)

    def forward(self, image):
        cells = self.cells(image)
        tokens = cells.flatten(2).transpose(1, 2)
        mixed = (self.query(tokens) @ tokens.transpose(1, 2)).softmax(2) @ tokens
        return nn.functional.interpolate(
            self.classifier(cells + mixed.transpose(1, 2).view_as(cells)), scale_factor=8.0
        )


def test_network_with_attention_has_integers_in_its_convolutions_alone():
    torch.manual_seed(0)
    images = torch.randn(2, 3, 64, 64)
    model = to_int8(to_onnx(traced(Attending().eval(), 3, 64)), images.numpy())
    shapes = {tuple(tensor.dims) for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.INT8}
    assert {shape for shape in shapes if len(shape) > 1} == {(8, 3, 8, 8), (3, 8, 1, 1)}


# -- prediction --------------------------------------------------------------------------------------------------------


def command(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["rsuda", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def test_command_predicts_the_map_of_the_model(by_colour, written, tiny_city, tmp_path, monkeypatch):
    scene = tiny_city / "west_1_image.tif"
    words = ["predict", scene, "--model", written.file, "-o", tmp_path / "maps", "--window", 64, "--overlap", 16, "-q"]
    assert command(monkeypatch, *words, "--device", "cpu", "--precision", "fp32", "--format", "none") == 0
    (expected,) = predict([scene], by_colour, tmp_path / "fp32", **ON_CPU)
    with rasterio.open(tmp_path / "maps" / "west_1_image_classes.tif") as raster:
        assert (raster.read(1) == expected.classes()).mean() >= 0.99 and len(np.unique(raster.read(1))) == 3


@pytest.mark.slow
def test_command_writes_the_file_of_a_run_and_says_what_it_changes(tiny_city, tiny_run, tmp_path, monkeypatch, capsys):
    """The tiny run is a network of random weights, of which 8 bits change much: the map has the share that is stated."""
    file, size = tmp_path / "small.onnx", ["--window", 64, "--overlap", 0]
    words = ["export", tiny_run, "--int8", tiny_city / "west.yaml", "--data", tiny_city, "-o", file, *size]
    assert command(monkeypatch, *words) == 0
    says = r"8-bit integers; ([\d.]+)% of the pixels of 4 other windows of west keep their class, and mIoU on them is [\d.]+%"
    stated = float(re.search(says, capsys.readouterr().out)[1]) / 100
    maps = [
        predict(tiny_city / "west_1_image.tif", model, tmp_path / name, **{**ON_CPU, "overlap": 0})[0].classes()
        for name, model in (("fp32", tiny_run), ("int8", load_run(file)))
    ]
    assert (maps[0] == maps[1]).mean() == pytest.approx(stated, abs=0.1)


def test_file_is_called_from_several_threads(by_colour, written):
    network, images = load_run(written.file).model, torch.rand(6, 3, 64, 64)
    expected = network(images)

    def logits(image):
        torch.get_num_threads()
        torch.set_num_threads(1)
        return network(image)

    with ThreadPoolExecutor(3) as pool:
        assert torch.equal(torch.cat([*pool.map(logits, images.split(1))]), expected)


def test_file_of_an_earlier_version_is_read(by_colour, tmp_path):
    """Earlier files end in onnxruntime's own softmax."""
    model = to_onnx(traced(by_colour.model, 3, 64))
    model.graph.node.append(onnx.helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1))
    model.graph.output[0].name = "probabilities"
    about = {"spec": by_colour.spec.as_fields(), "method": "oracle", "window": 64}
    write_onnx(model, tmp_path / "old.onnx", {"rsuda": json.dumps(about)})
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = by_colour.model(image).softmax(1)
        assert torch.allclose(Softmax(by_colour.model)(image), expected, atol=1e-6)
    assert torch.allclose(load_run(tmp_path / "old.onnx").model(image).softmax(1), expected, atol=1e-5)


# -- invalid requests --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"format": "torch-export"}, "`int8` is for ONNX, and `format` is torch-export: leave one of them out"),
        ({"window": 128}, r"west has 2 windows of 128 px at 0\.5 m in which half of the pixels have data, .* need 8"),
    ],
)
def test_requests_that_do_not_fit_are_refused(options, says, by_colour, tiny_city, tmp_path):
    with pytest.raises(InputError, match=says):
        export(
            by_colour, out=tmp_path / "m.onnx", int8=tiny_city / "west.yaml", data=tiny_city, **{**WINDOW, **options}
        )
    assert not list(tmp_path.iterdir())


def test_imagery_without_a_band_or_a_gsd_is_refused(by_colour, tmp_path):
    scene = write(tmp_path / "grey.tif", np.ones((2, 300, 300), np.uint8))
    with pytest.raises(InputError, match=r"grey\.tif has 2 bands, but 3 are needed \(red, green, blue\)"):
        export(by_colour, out=tmp_path / "m.onnx", int8=scene, **WINDOW)
    with pytest.raises(InputError, match="`bands` describes the imagery of `int8`, which is missing"):
        export(by_colour, out=tmp_path / "m.onnx", bands="RGB", **WINDOW)
    scene = write(tmp_path / "grey.tif", np.ones((3, 300, 300), np.uint8), transform=None, crs=None)
    with pytest.raises(InputError, match=r"the GSD of .*grey\.tif is unknown"):
        export(by_colour, out=tmp_path / "m.onnx", int8=scene, **WINDOW)
    assert export(by_colour, out=tmp_path / "m.onnx", int8=scene, gsd=0.5, **WINDOW).loss.windows == 8
    (tmp_path / "m.onnx").unlink()
    assert [file.name for file in tmp_path.iterdir()] == ["grey.tif"]


def test_network_without_products_is_refused(tiny_city, tmp_path):
    network = trained(lambda image: torch.cat([image, -image], 1), BANDS, names=("a", "b", "c", "d", "e", "f"))
    with pytest.raises(InputError, match="neither convolutions nor matrix products"):
        export(network, out=tmp_path / "m.onnx", int8=tiny_city / "west.yaml", data=tiny_city, **WINDOW)
    assert not list(tmp_path.iterdir())


def test_command_refuses_options_that_do_not_fit_the_file(written, tiny_city, tmp_path, monkeypatch, capsys):
    words = ["predict", tiny_city / "west_1_image.tif", "--model", written.file, "-o", tmp_path / "maps"]
    assert command(monkeypatch, *words) == 2
    assert "has windows of 64 x 64 px, not 512 x 512: predict with --window 64" in capsys.readouterr().err
    assert not (tmp_path / "maps").exists()
