"""A run goes to a hub as safetensors, JSON and a card, and comes back the same; nothing else is taken from a hub."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import yaml

from rsuda.core.errors import ExistsError, InputError, MissingError
from rsuda.core.hub import SHARED, HubAddress
from rsuda.inference.predict import predict
from rsuda.runs.weights import load_run
from rsuda.sharing.card import card
from rsuda.sharing.push import push

HOW = {"device": "cpu", "precision": "fp32", "window": 64, "overlap": 16, "polygons": None}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def run(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


@pytest.fixture
def hub(run, tmp_path):
    """A folder that a run was pushed to."""
    push(run, f"file://{tmp_path}/hub/east west", license="cc-by-4.0")
    return tmp_path / "hub" / "east west"


class Hub(BaseHTTPRequestHandler):
    """Answers what huggingface_hub asks of a repository: its files, and each of them."""

    folder = None
    asked = None

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0]
        self.asked.append(path)
        name = path.partition(f"/resolve/{COMMIT}/")[2]
        files = [
            {"type": "file", "path": file.name, "rfilename": file.name, "size": file.stat().st_size, "oid": "0" * 40}
            for file in sorted(self.folder.iterdir())
        ]
        if path.startswith("/api/models/org/city/tree/"):
            self.answer(json.dumps(files).encode())
        elif path.startswith("/api/models/org/city"):
            self.answer(json.dumps({"id": "org/city", "sha": COMMIT, "siblings": files}).encode())
        elif name and (self.folder / name).is_file():
            body = (self.folder / name).read_bytes()
            self.answer(body, {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Repo-Commit": COMMIT})
        else:
            self.answer(b"{}", {"X-Error-Code": "RepoNotFound"}, 404)

    def answer(self, body, headers=(), status=200):
        self.send_response(status)
        for name, value in {
            "Content-Length": str(len(body)),
            "Content-Type": "application/json",
            **dict(headers),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def test_pushed_files_are_safetensors_json_and_a_card(run, hub):
    names = {file.name for file in hub.iterdir()}
    assert {"weights.safetensors", "spec.json", "README.md"} <= names
    assert all(any(fnmatch(name, pattern) for pattern in SHARED) for name in names)
    assert (run / "last.ckpt").is_file() and (run / "config.yaml").is_file()  # and stay where they are
    files = [file for file in hub.iterdir() if file.name != "README.md"]  # which names the address
    assert not any(str(run.parent).encode() in file.read_bytes() for file in files)
    shared = load_run(f"file://{hub}".replace(" ", "%20"))
    assert shared.digest == load_run(run).digest and shared.spec == load_run(run).spec


def test_card_has_the_front_matter_of_hubs_and_the_numbers_of_the_run(tiny_city, run, tmp_path):
    from rsuda.api import evaluate

    evaluation = evaluate(run, tiny_city / "west.yaml", data=tiny_city, device="cpu", window=64, overlap=16)
    text = card(run, license="cc-by-4.0").read_text()
    _, front, body = text.split("---\n", 2)
    fields = yaml.safe_load(front)
    assert fields["license"] == "cc-by-4.0" and fields["pipeline_tag"] == "image-segmentation"
    (result,) = fields["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == pytest.approx(evaluation.scores.miou, abs=1e-4)
    assert f"mIoU {100 * evaluation.scores.miou:.1f}" in body and "labels of **east**" in body and "| 0 | a |" in body
    assert str(tmp_path) not in text and "rsuda predict scene.tif --model hf://ORG/NAME" in body
    with pytest.raises(ExistsError, match=r"README\.md exists"):
        card(run)
    push(run, f"file://{tmp_path}/hub/two")  # the licence of the card goes along
    assert (
        yaml.safe_load((tmp_path / "hub" / "two" / "README.md").read_text().split("---\n")[1])["license"] == "cc-by-4.0"
    )


def test_push_replaces_a_model_only_when_asked_and_nothing_else_ever(run, hub, tmp_path):
    address = f"file://{hub}".replace(" ", "%20")
    with pytest.raises(ExistsError, match="holds a model: pass overwrite=True"):
        push(run, address)
    assert push(run, address, overwrite=True).bytes > 1000
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    with pytest.raises(ExistsError, match="holds other files than a pushed model"):
        push(run, f"file://{tmp_path}/home", overwrite=True)
    assert (tmp_path / "home" / "letter.txt").read_text() == "dear"


def test_push_to_a_link_keeps_the_link(run, hub, tmp_path):
    (tmp_path / "link").symlink_to(hub, target_is_directory=True)
    push(run, f"file://{tmp_path}/link", overwrite=True)
    assert (tmp_path / "link").is_symlink() and (hub / "weights.safetensors").is_file()
    assert [folder.name for folder in hub.parent.iterdir()] == [hub.name]


@pytest.mark.skipif(os.name == "nt", reason="file://host/folder is a share of a network there")
@pytest.mark.parametrize("address", ["file://hub/city", "file:///srv/a#b", "file:///srv/a?b"])
def test_address_of_a_folder_of_which_a_part_would_be_dropped_is_refused(address):
    with pytest.raises(InputError, match=r"names a host, 'hub'|has a '\?' or '#'"):
        HubAddress.of(address)


def test_weights_that_were_written_in_part_are_one_sentence(run):
    weights = run / "weights.safetensors"
    whole = weights.read_bytes()
    for length in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        weights.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"weights\.safetensors cannot be read as weights"):
            load_run(run)


@pytest.mark.parametrize("address", ["hf://name", "hf://a/b/c", "hf://a/../b", "hf://a/b@", "hf://a b/c", "hf://a/b?x"])
def test_address_that_is_none_is_refused(address):
    with pytest.raises(InputError, match="is an invalid address of a model: write hf://ORG/NAME"):
        HubAddress.of(address)


def test_addresses_are_read():
    assert HubAddress.of("hf://org/name@v1.2") == HubAddress("org/name", "v1.2")
    assert HubAddress.of("hf:/org/name") == HubAddress("org/name")  # as a path has it
    assert HubAddress.of("runs/a") is None and HubAddress.of("C:\\runs\\a") is None


def test_folder_without_a_model_is_one_sentence(tmp_path, run):
    with pytest.raises(MissingError, match=r"has no file weights\.safetensors, which every model of rsuda has"):
        load_run(f"file://{tmp_path}")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "weights.safetensors").write_bytes(b"\x80\x04\x95pickled")
    with pytest.raises(InputError, match="cannot be read as weights"):
        load_run(f"file://{damaged}")


MAP = """
import os, sys
from rsuda.core.errors import RsudaError
from rsuda.inference.predict import predict
try:
    (made,) = predict(sys.argv[1], sys.argv[2], sys.argv[3], device="cpu", precision="fp32", window=64, overlap=16, polygons=None)
    import rasterio
    print(rasterio.open(made.raster).tags()["RSUDA_RUN"])
except RsudaError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@pytest.mark.slow
def test_model_of_a_hub_is_downloaded_once_and_used_offline(tiny_city, run, hub, tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub")
    (hub / "evil.pkl").write_bytes(b"never fetched")
    (hub / "train.py").write_text("raise SystemExit")
    asked = []
    handler = type("Handler", (Hub,), {"folder": hub, "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    scene = tiny_city / "west_1_image.tif"

    def mapped(address, out):
        words = [sys.executable, "-c", MAP, scene, address, tmp_path / out]
        return subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=120)

    first = mapped("hf://org/city", "online")
    assert first.stdout.strip() == f"org/city@{COMMIT[:12]}", first.stderr
    assert any(path.endswith("weights.safetensors") for path in asked)
    assert not any(path.endswith((".pkl", ".py")) for path in asked)
    server.shutdown()
    server.server_close()
    second = mapped("hf://org/city", "offline")
    assert second.stdout == first.stdout, second.stderr
    (here,) = predict(scene, run, tmp_path / "here", **HOW)
    import rasterio

    for out in ("online", "offline"):
        with rasterio.open(tmp_path / out / here.raster.name) as file:
            assert np.array_equal(file.read(1), here.classes())
    other = mapped("hf://org/town", "none")
    assert other.returncode and "hf://org/town is not in the cache and cannot be downloaded" in other.stderr
