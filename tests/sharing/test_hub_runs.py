"""Every command that takes a run takes a model of a hub: it reads the hub's files, and writes into a copy in runs/."""

import json
import shutil
import sys

import pytest
import yaml

from rsuda.core.errors import ExistsError, InputError
from rsuda.core.hub import HubAddress, is_shared, local_model, run_folder
from rsuda.core.hub_settings import of_hub, without_machine
from rsuda.core.settings import make_settings
from rsuda.data.find_domain import training_domains
from rsuda.report.runs import read_runs
from rsuda.runs.folders import saved_settings
from rsuda.runs.weights import load_run
from rsuda.sharing.push import push
from rsuda.training.build import build, check_run, common_ground

SMALL = ("--window", 128, "--overlap", 32, "--device", "cpu")


@pytest.fixture
def hub(rsuda, tmp_path):
    """The address of a folder that the world's run was pushed to, and the digests of its files."""
    said = rsuda("push", "good", f"file://{tmp_path}/hub/city")
    assert said.code == 0, said.err
    return f"file://{tmp_path}/hub/city"


def files(address):
    return {file.name: file.read_bytes() for file in HubAddress.of(address).folder.iterdir()}


def test_settings_on_a_hub_name_no_folder(rsuda, hub, tmp_path):
    fields = yaml.safe_load(files(hub)["config.yaml"])
    assert fields["data"] is None and (fields["source"]["name"], fields["target"]["name"]) == ("east", "west")
    assert fields["network"] == yaml.safe_load((tmp_path / "good" / "config.yaml").read_text())["network"]
    assert not any(str(tmp_path).encode() in content for name, content in files(hub).items() if name != "README.md")


def test_commands_take_a_model_of_a_hub_and_leave_it_as_it_is(rsuda, hub, tmp_path):
    before = files(hub)
    on_west = ("--data", "data", *SMALL)
    assert json.loads(rsuda("info", hub, "--json").out)["run"] == hub
    assert rsuda("info", "scene.tif", "--model", hub).code == 0
    said = rsuda("evaluate", hub, "--domain", "west.yaml", *on_west)
    assert said.code == 0 and "runs/city/scores_west_val.json" in said.out, said.err
    assert f"{hub} is copied to runs/city" in str(said.err)
    said = rsuda("calibrate", hub, "--labels", "west.yaml", *on_west)
    assert said.code == 0, said.err
    assert load_run("runs/city").spec.temperature and not load_run(hub).spec.temperature
    assert rsuda("card", hub, "--overwrite").code == 0 and (tmp_path / "runs/city/README.md").is_file()
    assert rsuda("export", hub, "--window", 64, "--overlap", 16, "--format", "stac", "--out", "item.json").code == 0
    assert rsuda("suggest", hub, "--domain", "west.yaml", "--data", "data", "--size", 64, "-k", 2).code == 0
    assert rsuda("push", hub, f"file://{tmp_path}/hub/other").code == 0
    (of_report,) = read_runs([hub])
    assert of_report.settings.target.name == "west" and not of_report.terms
    assert files(hub) == before
    written = {"origin.json", "calibration.json", "scores_west_val.json", "scores_west_val.csv"}
    assert {file.name for file in (tmp_path / "runs/city").iterdir()} == {*before, *written}


def test_training_starts_from_a_model_of_a_hub(rsuda, hub, tmp_path):
    words = ("config", "--start", hub, "--target", "west.yaml", "--data", "data")
    of_run, of_hub = saved_settings(tmp_path / "good"), yaml.safe_load(rsuda(*words).out)
    assert of_hub["network"] == {**of_run.network.model_dump(), "start": hub}
    assert of_hub["preset"] == "sample" and of_hub["method"]["name"] == "source-free"
    model = HubAddress.of(hub).folder
    (model / "config.yaml").unlink()  # as models are that were pushed by earlier versions
    bare = yaml.safe_load(rsuda(*words).out)
    assert bare["network"] == {**of_hub["network"], "weights": "none"} and bare["preset"] == "small"
    (tmp_path / "bare.yaml").write_text(yaml.safe_dump(bare))
    settings, domains, start = common_ground(*both(make_settings(file="bare.yaml")))
    method = build(settings, domains, start).method
    weights = load_run(model).model.state_dict()
    assert all((weights[name] == value).all() for name, value in method.model.state_dict().items())


def both(settings):
    settings, _ = check_run(settings)
    return settings, training_domains(settings)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right that most users of Windows lack")
def test_links_of_a_model_lead_to_no_file_of_the_user(rsuda, hub, tmp_path):
    """A copy or a push of it would hold what the link names, such as a key of the user's."""
    (tmp_path / "secret.json").write_text("{}")
    folder = HubAddress.of(hub).folder
    (folder / "calibration.json").symlink_to(tmp_path / "secret.json")
    for use in (
        local_model,
        run_folder,
        lambda place: push(place, f"file://{tmp_path}/elsewhere"),
        lambda _: push(folder, "file:///x"),
    ):
        with pytest.raises(
            InputError, match=r"calibration\.json' is a link that leads out of the model, to .*secret\.json"
        ):
            use(hub)
    assert not list(tmp_path.glob("elsewhere*")) and not list(tmp_path.glob("runs/city*"))
    (folder / "calibration.json").unlink()
    cached = tmp_path / "models--org--city" / "snapshots" / "0123"
    cached.mkdir(parents=True)
    for file in folder.iterdir():  # as in the cache of huggingface_hub
        (cached.parents[1] / file.name).write_bytes(file.read_bytes())
        (cached / file.name).symlink_to(cached.parents[1] / file.name)
    assert local_model(cached.as_uri()) == cached


def test_copy_is_used_again_until_the_hub_has_another_model(rsuda, hub, tmp_path):
    copy = run_folder(hub)
    (copy / "calibration.json").write_text("{}")
    assert run_folder(hub) == copy and (copy / "calibration.json").is_file()
    shutil.rmtree(copy)
    copy.mkdir()
    with pytest.raises(ExistsError, match=r"runs/city exists and differs from file://.*as it is now: rename it"):
        run_folder(hub)


def test_settings_of_a_hub_choose_no_path_tracker_device_or_method_file():
    settings = make_settings().changed(
        {
            "data": "/home/me", "source.name": "C:\\my\\east.yaml", "source.also": ["a/b.yaml"], "target.name": "object: mine",
            "network.weights": "/home/me/w.pth", "network.start": "/home/me/runs/first", "method.name": "/home/me/m.py:Mine",
            "training.loggers": ["wandb"], "training.device": "cuda:3",
        }
    )  # fmt: skip
    fields = without_machine(settings.model_dump())
    assert "/" not in json.dumps(fields) and "my\\" not in str(fields)
    assert (fields["source"]["name"], fields["source"]["also"], fields["target"]["name"]) == (
        "east",
        ("b",),
        "object: mine",
    )
    assert fields["network"]["weights"] == "none" and fields["method"]["name"] == "m.py:Mine"
    assert fields["training"]["loggers"] == [] and fields["training"]["device"] == "auto"
    assert not {"source", "target", "method"} & of_hub(settings.model_dump()).keys()


@pytest.mark.parametrize(
    "name", ["model.pth", "scores_a/../../b.json", "folder/spec.json", "scores_..\\b.json", "spec.json.py"]
)
def test_a_hub_decides_no_place_and_no_kind_of_a_file(name):
    assert is_shared("spec.json") and is_shared("scores_val.json") and not is_shared(name)
