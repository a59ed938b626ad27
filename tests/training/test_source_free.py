"""Adaptation without the source's data: the bank of a run, the settings, and what is refused."""

import shutil

import pytest
import torch
import yaml
from method_runs import run_settings as settings_without_bank
from oracle_models import write
from safetensors.torch import load_file, save_file
from short_settings import by_dotted_name

from rsuda.core.errors import InputError, MissingError
from rsuda.data.find_domain import find_domains
from rsuda.data.pairs.pair import pair
from rsuda.learning.network import Architecture, build_encoder
from rsuda.learning.source_bank import CellSums, ClassPrototypes
from rsuda.methods import option_names, presets_of
from rsuda.methods.source_free import _partners
from rsuda.runs.resolve import resolve
from rsuda.runs.weights import load_run, saved_settings
from rsuda.training.build import check_run
from rsuda.training.train import train


@pytest.fixture(scope="module")
def data(two_cities, tmp_path_factory):
    """A copy of the cities, beside which runs are written."""
    return shutil.copytree(two_cities, tmp_path_factory.mktemp("source_free") / "data")


@pytest.fixture(scope="module")
def start(data):
    """A run from east to west with a bank of its own encoder."""
    folder = data / "run"
    train(run_settings(data, "source-only", steps=2), folder, quiet=True)
    return folder


@pytest.fixture(scope="module")
def bare(data):
    """The same run without its bank."""
    folder = data / "bare"
    train(settings_without_bank(data, "source-only", steps=2), folder, quiet=True)
    return folder


def run_settings(data, method, **changes):
    """Settings of a run that keeps a bank."""
    return settings_without_bank(data, method, **{"training.bank": True, **changes})


def resolved(cities, folder, **changes):
    """Settings as ``rsuda adapt --start FOLDER --target west`` resolves them."""
    changes = {"start": str(folder), "target": str(cities / "west.yaml"), **changes}
    settings, out = resolve(
        None,
        {{"start": "network.start"}.get(k, k): v for k, v in by_dotted_name(changes).items()},
        None,
        False,
        lambda text: None,
        presets_of=presets_of,
        option_names=option_names,
    )
    return settings, out


def test_a_start_and_a_target_alone_are_adapted_without_the_source(data, start):
    settings, out = resolved(data, start)
    assert (settings.method.name, settings.source.names, settings.network.start) == ("source-free", (), str(start))
    assert settings.training.steps == saved_settings(start).training.steps
    assert out.name == "west_source-free"
    for more in ({"source": str(data / "east.yaml")}, {"method": "dacs"}):
        assert resolved(data, start, **more)[0].source.name == str(data / "east.yaml")


def test_the_sources_files_are_not_read(data, start, tmp_path):
    alone = shutil.copytree(
        data, tmp_path / "alone", ignore=shutil.ignore_patterns("east*", "start*", "bare", "west_*_label*")
    )
    settings, _ = resolved(alone, start, data=str(alone))
    method = train(settings, tmp_path / "out", quiet=True)
    trained = load_run(tmp_path / "out")
    assert trained.method == "source-free" and trained.spec == load_run(start).spec
    assert all(torch.equal(v, trained.bank.tensors()[k]) for k, v in load_run(start).bank.tensors().items())
    assert method.cells is not None and "source" not in (tmp_path / "out" / "run.json").read_text()


def test_the_bank_is_beside_the_model_and_may_be_left_out(data, start, bare, tmp_path, caplog):
    tensors = load_file(start / "weights.safetensors")
    assert tensors["bank.means"].shape[0] == 3 and not tensors["bank.pretrained"]
    assert torch.allclose(tensors["bank.shares"].sum(), torch.tensor(1.0)) and (tensors["bank.cells"] > 0).all()
    without = load_file(bare / "weights.safetensors")
    assert set(without) == {k for k in tensors if not k.startswith("bank.")}
    assert all(torch.equal(without[k], tensors[k]) for k in without) and load_run(bare).bank is None
    method = train(resolved(data, bare)[0], tmp_path / "adapted", quiet=True)
    assert method.cells is None and load_run(tmp_path / "adapted").bank is None
    assert "keeps no class means of its source" in caplog.text


def test_a_finished_run_gets_a_bank_when_it_is_resumed(data, start, bare, tmp_path):
    shutil.copytree(bare, tmp_path / "run")
    train(run_settings(data, "source-only", steps=2), tmp_path / "run", resume=True, quiet=True)
    one, other = (load_file(folder / "weights.safetensors") for folder in (start, tmp_path / "run"))
    assert set(one) == set(other) and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("method", ["st-dasegnet", "hrda"])
def test_starts_of_every_kind_of_network_are_adapted(data, method, tmp_path):
    train(run_settings(data, method, steps=1), tmp_path / "start", quiet=True)
    train(resolved(data, tmp_path / "start")[0], tmp_path / "adapted", quiet=True)
    before, after = (load_run(tmp_path / name).network_fields for name in ("start", "adapted"))
    assert before == after and before["network"] != "plain"


def test_a_pretrained_encoder_is_the_banks(data, tmp_path):
    file = tmp_path / "encoder.safetensors"
    encoder = build_encoder(Architecture("tu-mobilenetv3_small_050", "segformer", 3, output_stride=16))
    save_file({k: v.contiguous() for k, v in encoder.state_dict().items()}, file)
    train(run_settings(data, "source-only", steps=1, weights=str(file)), tmp_path / "start", quiet=True)
    assert load_run(tmp_path / "start").bank.pretrained
    method = train(resolved(data, tmp_path / "start")[0], tmp_path / "adapted", quiet=True)
    frozen = method.cells.encoder.state_dict()
    assert all(torch.equal(v, encoder.state_dict()[k]) for k, v in frozen.items())
    with pytest.raises(InputError, match=r"need pretrained encoder weights, but `weights` is 'none'"):
        train(resolved(data, tmp_path / "start", weights="none")[0], tmp_path / "other", quiet=True)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"gsd": 1.0}, r"`gsd` is 1.0, but the model of .* was trained at 0.5 m"),
        ({"target": "infrared.yaml"}, r"infrared_0.tif has 1 band, but 3 are needed \(red, green, blue\)"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(data, start, changes, says, tmp_path, monkeypatch):
    fields = yaml.safe_load((data / "west.yaml").read_text())
    images = {"IR": {"files": "infrared_{n}.tif", "bands": "I"}}
    (tmp_path / "infrared.yaml").write_text(
        yaml.safe_dump({**fields, "name": "infrared", "images": images, "labels": []})
    )
    for n in "01":
        write(data / f"infrared_{n}.tif", torch.ones(1, 192, 192, dtype=torch.uint8).numpy())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=says):
        train(resolved(data, start, **changes)[0], tmp_path / "out", quiet=True)
    assert not (tmp_path / "out").exists()


def test_a_start_that_is_missing_is_named(data, tmp_path):
    with pytest.raises(MissingError, match=r"nowhere"):
        resolved(data, tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"method source-free adapts a finished run: pass start=RUN"):
        check_run(resolved(data, None, method="source-free", start=None)[0])


def test_a_bank_that_does_not_fit_its_file_is_refused(start, tmp_path):
    from safetensors import safe_open

    tensors = load_file(start / "weights.safetensors")
    with safe_open(start / "weights.safetensors", "pt") as file:
        about = file.metadata()
    for change in ({"bank.more": torch.ones(1)}, {"bank.means": torch.ones(2, 5)}):
        save_file({**tensors, **change}, tmp_path / "weights.safetensors", about)
        with pytest.raises(InputError, match=r"does not fit its own description.*means of the source's classes"):
            load_run(tmp_path / "weights.safetensors")


def test_the_target_is_standardised_by_itself_where_the_pair_was(data, tmp_path):
    train(run_settings(data, "source-only", steps=1, standardise="domain"), tmp_path / "start", quiet=True)
    settings, _ = resolved(data, tmp_path / "start", target=str(data / "east.yaml"))
    train(settings, tmp_path / "adapted", quiet=True)
    before, after = (load_run(tmp_path / name).spec for name in ("start", "adapted"))
    of_east = pair(*find_domains(s := saved_settings(tmp_path / "start")), s).source_spec
    assert before.mean != pytest.approx(after.mean) and after.mean == pytest.approx(of_east.mean)


def test_cells_are_nearest_to_the_mean_of_their_class():
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(3, 8, generator=generator)
    label = torch.arange(3).repeat(1, 20, 1)  # (1, 20, 3)
    cells = centres[label].permute(0, 3, 1, 2) + 0.1 * torch.randn(1, 8, 20, 3, generator=generator)
    sums = CellSums(4, 8)
    sums.add(cells, label)
    bank = sums.bank((0.5, 0.3, 0.2, 0.0), pretrained=True)
    assert bank.cells.tolist() == [20, 20, 20, 0] and bank.fits(4) and not bank.fits(3)
    assert torch.allclose(bank.means[:3], centres, atol=0.1) and not bank.means[3].any()
    scores = ClassPrototypes(bank.means, bank.deviation, bank.cells)(cells)
    assert torch.equal(scores.argmax(1), label) and scores.abs().max() <= 1 + 1e-6 and not scores[:, 3].any()
    halves = CellSums(4, 8)
    for part, of in zip(cells.split(10, 2), label.split(10, 1), strict=True):
        halves.add(part, of)
    again = halves.bank((0.5, 0.3, 0.2, 0.0), pretrained=True)
    assert all(
        torch.allclose(v, again.tensors()[k], atol=1e-6) for k, v in bank.tensors().items() if v.is_floating_point()
    )


def test_neighbours_of_a_batch_are_mixed_with_each_other():
    assert _partners(4).tolist() == [1, 0, 3, 2] and _partners(3).tolist() == [1, 0, 2]
