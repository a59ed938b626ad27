"""rsuda for Python programs: light to import, the verbs as functions, the network as a module, the pair as a DataModule."""

import doctest
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import rasterio
import torch
from labelled_city import NAMES, SETTINGS, SMALL, city
from oracle_models import by_value, trained
from processor_time import children_seconds
from safetensors.torch import load_file

import rsuda
from rsuda.cli import main
from rsuda.inference.predictor import Predictor
from rsuda.inference.segmenter import Segmenter
from rsuda.runs.weights import load_run
from rsuda.training.train import train

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two cities and a run from one to the other, in the working folder."""
    folder = tmp_path_factory.mktemp("world")
    before = Path.cwd()
    os.chdir(folder)
    city("data", "east")
    city("data", "west", 0.8, 1)
    run = rsuda.adapt("data/east.yaml", "data/west.yaml", data="data", out="run", **SMALL)
    yield run
    os.chdir(before)


def weights(run):
    tensors = load_file(Path(run) / "weights.safetensors")
    return {k: v for k, v in tensors.items() if not k.startswith("bank.")}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


# -- import ------------------------------------------------------------------------------------------------------------


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_import_loads_nothing_and_takes_no_time():
    heavy = "{'torch', 'rasterio', 'numpy', 'geopandas', 'lightning', 'yaml', 'typer'}"
    assert python(f"import sys, rsuda; print({heavy} & set(sys.modules))").strip() == "set()"
    code = "import time; t = time.process_time(); import rsuda; print(time.process_time() - t)"
    assert min(float(python(code)) for _ in range(3)) < 0.1


def test_help_takes_little_more_than_python_itself():
    """In seconds of CPU, so that what else the machine does is not counted."""

    def least(*words):
        took = []
        for _ in range(3):
            before = children_seconds()
            subprocess.run([sys.executable, *words], capture_output=True, check=True, cwd=ROOT)
            after = children_seconds()
            took.append(after - before)
        return min(took)

    assert least("-m", "rsuda.cli", "--help") - least("-c", "pass") < 0.4


def test_every_public_name_is_there_and_is_told_to_type_checkers():
    for name in rsuda.__all__:
        assert getattr(rsuda, name) is not None and name in dir(rsuda)
    listed = Path(rsuda.__file__).read_text().partition("if TYPE_CHECKING:")[2].partition("else:")[0]
    told = {
        n.strip() for line in listed.splitlines() if "import" in line for n in line.partition("import")[2].split(",")
    }
    assert told == set(rsuda.__all__)
    with pytest.raises(AttributeError, match="adopt"):
        rsuda.adopt  # noqa: B018


@pytest.mark.slow
def test_examples_of_the_docstrings_run(tmp_path, monkeypatch):
    (tmp_path / "sample_tiles").symlink_to(ROOT / "sample_tiles")
    monkeypatch.chdir(tmp_path)
    run = 0
    for name in ("rsuda.api", "rsuda.data.find_domain", "rsuda.info.info", "rsuda.training.datamodule"):
        module = importlib.import_module(name)
        # a run is made and then used
        order = {f: k for k, f in enumerate(("adapt", "predict", "evaluate", "load"))}
        tests = [t for t in doctest.DocTestFinder().find(module) if t.examples]
        for test in sorted(tests, key=lambda t: order.get(t.name.rpartition(".")[2], 9)):
            outcome = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
            assert not outcome.failed, test.name
            run += outcome.attempted
    assert run > 10


# -- verbs -------------------------------------------------------------------------------------------------------------


def test_a_run_is_a_folder_with_scores(world):
    assert world.scores.split == "val" and world.scores.scenes == 1 and 0 <= world.scores.scores.miou <= 1
    assert 0 <= world.label_free.certainty <= 1 and world.settings.method.name == "source-only"
    assert (world.path / "scores_west_val.json").is_file() and os.fspath(world) == "run"
    assert "on west val" in repr(world) and world.as_fields()["scores"]["domain"] == "west"
    text = (world.path / "log.txt").read_text()
    assert "data/east.yaml -> data/west.yaml by source-only" in text


def test_the_command_line_ends_with_a_line_of_json_when_asked(world, tmp_path, capfd):
    words = [
        "--source",
        "data/east.yaml",
        "--target",
        "data/west_0_image.tif",
        "--data",
        "data",
        "--out",
        tmp_path / "run",
    ]
    words += ["--method", SMALL["method"], "--preset", SMALL["preset"]]
    words += [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    with pytest.raises(SystemExit) as end:
        main(["adapt", *map(str, words), "--json"])
    out, err = capfd.readouterr()
    told = json.loads(out)
    assert not end.value.code and told["run"] == str(tmp_path / "run") and told["scores"] is None
    assert 0 <= told["label_free"]["certainty"] <= 1 and "nothing was scored" in err


def test_domains_given_as_objects_train_the_same_network_and_say_so_in_the_configuration(world, tmp_path):
    east, west = (rsuda.domain(f"data/{n}.yaml", "data") for n in ("east", "west"))
    run = rsuda.adapt(east, west, out=tmp_path / "run", **SMALL)
    assert same(weights(run), weights(world))
    assert (run.settings.source.name, run.settings.target.name) == ("object: east", "object: west")
    with pytest.raises(rsuda.InputError, match=r"'west' was passed as an object.*pass the object again"):
        rsuda.evaluate(run)
    with pytest.raises(rsuda.InputError, match="'east' was passed as an object"):
        rsuda.adapt(out=run.path, resume=True)
    assert rsuda.evaluate(run, west).scores.miou == run.scores.scores.miou  # at the run's own precision
    recorded = json.loads((run.path / "scores_west_val.json").read_text())
    assert (recorded["protocol"], recorded["prediction"]["precision"], recorded["prediction"]["window"]) == (
        "scenes",
        "fp32",
        512,
    )
    before = (run.path / "scores_west_val.json").read_bytes()
    with pytest.raises(rsuda.ExistsError, match="scores_west_val"):
        rsuda.evaluate(run, west, window=96, overlap=32)
    assert (run.path / "scores_west_val.json").read_bytes() == before
    assert rsuda.evaluate(run, west, window=96, overlap=32, overwrite=True).scores.miou != run.scores.scores.miou
    more = rsuda.adapt(east, west, out=run.path, resume=True, steps=3)
    assert more.settings.training.steps == 3 and not same(weights(more), weights(world))


def test_free_folders_are_named_after_both_domains_however_they_are_given(world, monkeypatch, tmp_path):
    east, west = (rsuda.domain(Path(f"data/{n}.yaml"), "data") for n in ("east", "west"))
    from rsuda.runs.resolve import resolve

    monkeypatch.chdir(tmp_path)
    told = []
    names = {"source.name": f"object: {east.name}", "target.name": f"object: {west.name}"}
    s, folder = resolve(None, names, None, False, told.append)
    assert folder == Path("runs/east_west_source-free") and s.source.name == "object: east" and not told


def test_settings_that_do_not_exist_are_refused_by_name(world):
    with pytest.raises(rsuda.InputError, match=r"unknown setting 'step': did you mean 'training\.steps'"):
        rsuda.adapt("a", "b", settings={"step": 3})
    with pytest.raises(rsuda.InputError, match="unknown domain 'potsdamm': did you mean 'potsdam'"):
        rsuda.domain("potsdamm")
    with pytest.raises(rsuda.InputError, match="'labels' describes a torchgeo dataset"):
        rsuda.domain("potsdam", labels=3)
    with pytest.raises(rsuda.ExistsError, match="run exists"):
        rsuda.adapt("data/east.yaml", "data/west.yaml", data="data", out="run", **SMALL)
    with pytest.raises(rsuda.MissingError, match="nowhere"):
        rsuda.load("nowhere")


def test_predictions_are_read_back_as_arrays_and_polygons(world, tmp_path):
    how = {"device": "cpu", "precision": "fp32", "window": 64, "overlap": 16}
    scene = Path("data/west_1_image.tif")
    (done,) = rsuda.predict(scene, world, tmp_path, confidence=True, probabilities=True, **how)
    classes, sure, shares = done.classes(), done.confidences(), done.class_probabilities()
    assert classes.shape == sure.shape == (224, 224) and classes.dtype == np.uint8 and shares.shape == (3, 224, 224)
    clear = np.diff(np.sort(shares, 0)[-2:], axis=0)[0] > 1.5 / 254  # the others may be ties of eight bits
    assert clear.mean() > 0.5 and (shares.argmax(0) == classes)[clear].all()
    np.testing.assert_allclose(shares.max(0), sure, atol=1 / 254 + 1e-6)
    assert done.grid.transform.a == 0.5 and done.grid.crs.to_epsg() == 32632
    frame = done.polygons_frame()
    assert len(frame) == done.polygon_count and frame.crs.to_epsg() == 32632
    areas = frame.groupby("name")["area_m2"].sum().to_dict()
    assert areas == pytest.approx({n: a for n, a in done.area_m2.items() if a})
    assert set(areas) <= set(NAMES)
    # the network itself and the scene as text give the same files, which are finished
    (again,) = rsuda.predict([str(scene)], rsuda.load(world), tmp_path, confidence=True, probabilities=True, **how)
    assert again.skipped and (again.classes() == classes).all()
    (bare,) = rsuda.predict([scene], world, tmp_path / "bare", polygons=None, **how)
    for ask, says in (
        (bare.confidences, "confidence=True"), (bare.class_probabilities, "probabilities=True"),
        (bare.polygons_frame, "no polygons"),
    ):  # fmt: skip
        with pytest.raises(rsuda.InputError, match=says):
            ask()


# -- the network as a module -------------------------------------------------------------------------------------------


def test_the_module_answers_as_prediction_does(world):
    network = rsuda.load(world)
    assert (network.spec.bands, network.gsd, network.legend.names) == (("red", "green", "blue"), 0.5, NAMES)
    assert not network.training
    images = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    engine = Predictor.of(load_run(world), "cpu", "fp32", window=64, overlap=16)
    expected = engine.probabilities_of(engine.standardise(images.numpy(), None))
    with torch.inference_mode():
        logits = network(images)
    assert logits.shape == (2, 3, 64, 96) and logits.dtype == torch.float32
    torch.testing.assert_close(logits.softmax(1), expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (33, 70), (64, 31), (100, 32)])
def test_an_image_of_any_size_gets_a_class_for_each_pixel(height, width):
    image = torch.randint(0, 5, (2, 2, height, width)).double()
    found = Segmenter(trained(by_value))(image)
    assert (found.argmax(1) == image[:, 0]).all()


def test_a_sample_comes_back_with_its_prediction_and_all_it_had():
    network = Segmenter(trained(by_value))
    image = torch.randint(0, 5, (2, 20, 30))
    sample = {"image": image, "crs": "EPSG:32632", "bounds": (slice(0, 1), slice(0, 1)), "mask": None}
    found = network(sample)
    assert (found["prediction"] == image[0]).all() and found["prediction"].dtype == torch.int64
    assert found["probabilities"].shape == (5, 20, 30)
    torch.testing.assert_close(found["probabilities"].sum(0), torch.ones(20, 30))
    assert {k: found[k] for k in sample} == sample and "prediction" not in sample
    batch = network({"image": image[None].repeat(3, 1, 1, 1)})
    assert batch["prediction"].shape == (3, 20, 30) and batch["probabilities"].shape == (3, 5, 20, 30)


def test_the_module_standardises_by_its_spec_and_takes_what_is_no_number_for_nodata():
    network = Segmenter(trained(lambda x: x, low=100.0, high=300.0, names=("a", "b")))
    image = torch.tensor([200.0, float("nan")]).reshape(1, 1, 1, 2).repeat(1, 2, 1, 1)
    assert network(image)[0, 0, 0].tolist() == [0.5, 0.0]
    assert network.to("meta").scale.device.type == "meta"  # what it standardises by moves with the network


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (torch.zeros(1, 3, 32, 32), r"\(1, 3, 32, 32\).*\(B, 2, H, W\).*red, green"),
        (torch.zeros(2, 32, 32), r"must be \(B, 2, H, W\)"),
        (torch.zeros(1, 2, 0, 32), "no pixels"),
        ({"mask": torch.zeros(1)}, "no tensor 'image'; it has mask"),
        ({}, "no tensor 'image'; it has no keys"),
    ],
)
def test_what_is_no_image_is_refused(given, says):
    with pytest.raises(rsuda.InputError, match=says):
        Segmenter(trained(by_value))(given)


def test_gradients_reach_the_image():
    image = torch.rand(1, 2, 32, 32, requires_grad=True)
    Segmenter(trained(lambda x: x.sum(1, keepdim=True) * torch.ones(5)[:, None, None])).train()(image).sum().backward()
    assert image.grad.abs().min() > 0


# -- the pair as a DataModule ------------------------------------------------------------------------------------------


def fit(method, module, steps):
    trainer = L.Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(method, datamodule=module)
    return trainer


def test_two_steps_with_the_data_module_give_the_weights_of_adapt(world):
    module = rsuda.PairDataModule("data/east.yaml", "data/west.yaml", data="data", **SMALL)
    method = module.build_method()
    fit(method, module, 2)
    assert same({k: v.contiguous() for k, v in method.model.state_dict().items()}, weights(world))


def test_batches_hold_the_keys_that_are_told_and_a_plain_lightning_module_may_take_them(world):
    words = {**SMALL, "method": "dacs"}
    module = rsuda.PairDataModule(rsuda.domain("data/east.yaml", "data"), "data/west.yaml", data="data", **words)
    module.setup()
    batch = next(iter(module.train_dataloader()))
    assert {k: (tuple(v.shape), str(v.dtype)) for k, v in batch.items()} == {
        "source_image": ((2, 3, 192, 192), "torch.float32"), "source_label": ((2, 192, 192), "torch.uint8"),
        "source_valid": ((2, 192, 192), "torch.bool"),
        "target_image": ((2, 3, 192, 192), "torch.float32"), "target_valid": ((2, 192, 192), "torch.bool"),
        "key": ((2,), "torch.int64"),
    }  # fmt: skip
    for key in batch:
        assert key in rsuda.PairDataModule.__doc__

    class Plain(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer, self.seen = torch.nn.Conv2d(3, 3, 1), 0

        def training_step(self, batch, index):
            self.seen += 1
            label = torch.where(batch["source_label"] == 255, -100, batch["source_label"].long())
            return torch.nn.functional.cross_entropy(self.layer(batch["source_image"]), label)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    plain = Plain()
    assert fit(plain, module, 2).global_step == plain.seen == 2


def test_standardised_batches_are_those_that_the_method_sees_before_augmentation(world):
    common = {"data": "data", **SMALL, "method": "dacs"}
    plain, ready = (
        rsuda.PairDataModule("data/east.yaml", "data/west.yaml", standardise=standardise, **common)
        for standardise in (False, True)
    )
    batch, standardised = (next(iter(module.train_dataloader())) for module in (plain, ready))
    method = plain.build_method()
    for domain in ("source", "target"):
        seen = method.augmentation.standardise(batch[f"{domain}_image"], domain)
        torch.testing.assert_close(standardised[f"{domain}_image"], seen, rtol=1e-6, atol=1e-6)
        assert torch.equal(batch["key"], standardised["key"])
    with pytest.raises(rsuda.InputError, match="standardise is True"):
        ready.build_method()


def test_validation_windows_cover_the_labelled_split_of_the_target(world):
    module = rsuda.PairDataModule("data/east.yaml", "data/west.yaml", data="data", window=96, **SMALL)
    batches = list(module.val_dataloader())
    assert {k: (tuple(v.shape[1:]), str(v.dtype)) for k, v in batches[0].items()} == {
        "image": ((3, 192, 192), "torch.float32"), "mask": ((192, 192), "torch.uint8"),
    }  # fmt: skip
    module = rsuda.PairDataModule(
        "data/east.yaml", "data/west.yaml", data="data", **{**SMALL, "settings": {**SETTINGS, "patches.window": 96}}
    )
    masks = torch.cat([batch["mask"] for batch in module.val_dataloader()])
    assert masks.shape == (9, 96, 96)  # one scene of 224 px
    with rasterio.open("data/west_1_mask.tif") as file:
        label = file.read(1)
    starts = (0, 64, 128)
    for index, (row, col) in enumerate((row, col) for row in starts for col in starts):
        assert (masks[index].numpy() == label[row : row + 96, col : col + 96]).all()


def test_a_data_module_refuses_what_adapt_refuses(world):
    with pytest.raises(rsuda.InputError, match="unknown method 'dac'"):
        rsuda.PairDataModule("data/east.yaml", "data/west.yaml", method="dac")
    with pytest.raises(rsuda.InputError, match="`source` and `target` are missing"):
        rsuda.PairDataModule()
    module = rsuda.PairDataModule("data/east.yaml", "data/none.yaml", data="data", **SMALL)
    with pytest.raises(rsuda.MissingError, match=r"no domain file data/none\.yaml"):
        module.setup()


def test_training_from_python_and_by_the_verb_is_the_same(world, tmp_path):
    assert train.__module__ == "rsuda.training.train"
    from short_settings import settings

    train(settings("run/config.yaml"), tmp_path / "again", quiet=True)
    assert same(weights(tmp_path / "again"), weights(world))
