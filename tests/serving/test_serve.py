"""A service answers as ``rsuda predict`` does, refuses bad requests in a sentence, and loses none under load."""

import gzip
import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile
from served_model import HOW, Served

from rsuda.inference.predict import predict

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("uvicorn", reason="the extra serve is not installed")


@pytest.fixture(scope="module")
def served(tiny_run, tiny_city):
    service = Served(tiny_run, allow=(str(tiny_city),), max_bytes=200_000, max_pixels=128 * 128, queue=4)
    yield service
    service.stop()


def pixels(content):
    with MemoryFile(content) as memory, memory.open() as file:
        return (
            file.read(),
            {k: v for k, v in file.tags().items() if k not in ("RSUDA_KEY", "RSUDA_SCENE")},
            file.transform,
        )


def test_window_is_answered_as_predict_does(served, tiny_run, tiny_city, tmp_path):
    scene = tiny_city / "west_1_image.tif"
    (made,) = predict(scene, tiny_run, tmp_path, **HOW, polygons="geojson")
    status, headers, content = served.window(scene.read_bytes())
    assert status == 200 and headers["content-type"].startswith("image/tiff")
    mine, theirs = pixels(content), pixels(made.raster.read_bytes())
    assert (mine[0] == theirs[0]).all() and mine[1:] == theirs[1:]
    status, _, content = served.window(scene.read_bytes(), format="geojson")
    there = json.loads(made.polygons.read_text())
    assert status == 200 and json.loads(content)["features"] == there["features"]
    with rasterio.open(scene) as file:
        left, bottom, right, top = file.bounds
    bounds = (left, bottom, (left + right) / 2, top)
    (part,) = predict(scene, tiny_run, tmp_path / "part", **HOW, polygons=None, bounds=bounds)
    for address in (str(scene), scene.name):
        status, _, content = served.address(address=address, bounds=bounds)
        assert status == 200 and (pixels(content)[0] == pixels(part.raster.read_bytes())[0]).all()


def bad_requests(city):
    tiff = (city / "west_1_image.tif").read_bytes()
    virtual = b"<VRTDataset rasterXSize='9' rasterYSize='9'><SourceFilename>/etc/passwd</SourceFilename></VRTDataset>"
    wide = MemoryFile()
    with wide.open(driver="GTiff", width=600, height=600, count=3, dtype="uint8", crs="EPSG:32632", tiled=True,
                   transform=rasterio.transform.from_origin(0, 0, 0.5, 0.5), sparse_ok=True, compress="deflate"):  # fmt: skip
        pass
    one = MemoryFile()
    with one.open(driver="GTiff", width=40, height=40, count=1, dtype="uint8", crs="EPSG:32632",
                  transform=rasterio.transform.from_origin(0, 0, 0.5, 0.5)) as file:  # fmt: skip
        file.write(np.ones((1, 40, 40), np.uint8))
    box, name = [0, 0, 1, 1], str(city / "west_1_image.tif")

    def address(**fields):
        return ("POST", "/predict/address", json.dumps(fields).encode())

    return [
        (404, ("GET", "/", None)),
        (405, ("GET", "/predict", None)),
        (415, ("POST", "/predict", b"")),
        (415, ("POST", "/predict", b"\x89PNG\r\n\x1a\n" + bytes(100))),
        (415, ("POST", "/predict", virtual)),
        (415, ("POST", "/predict", b"PK\x03\x04" + bytes(100))),
        (404, ("POST", "/predict", b"II*\0" + bytes(50))),
        (404, ("POST", "/predict", tiff[:200])),
        (404, ("POST", "/predict", tiff[: len(tiff) // 2])),
        (413, ("POST", "/predict", tiff + bytes(200_000))),
        (413, ("POST", "/predict", wide.read())),
        (422, ("POST", "/predict", one.read())),
        (422, ("POST", "/predict?format=png", tiff)),
        (422, ("POST", "/predict?min_confidence=2", tiff)),
        (422, ("POST", "/predict?min_confidence=nan", tiff)),
        (422, ("POST", "/predict?bands=banana", tiff)),
        (422, ("POST", "/predict/address", b"{")),
        (422, ("POST", "/predict/address", b"[1, 2]")),
        (422, address(address=name)),
        (422, address(address=name, bounds=[0, 0, 1])),
        (422, address(address=name, bounds=[1, 1, 0, 0])),
        (422, address(address=name, bounds=box)),
        (422, address(address=name, bounds=box, run="../x")),
        (403, address(address="/etc/passwd", bounds=box)),
        (403, address(address=f"{city}/../../etc/passwd", bounds=box)),
        (403, address(address="/vsicurl/http://127.0.0.1/x.tif", bounds=box)),
        (403, address(address="s3://bucket/x.tif", bounds=box)),
        (403, address(address="http://127.0.0.1:1/x.tif", bounds=box)),
        (403, address(address="http://user:secret@host/x.tif", bounds=box)),
        (403, address(address="http://[bad/x.tif", bounds=box)),
        (404, address(address="missing.tif", bounds=box)),
        (422, address(address="east.yaml", bounds=box)),
        (413, ("POST", "/predict/address", b'{"address": "' + b"a" * 200_000 + b'"}')),
    ]  # fmt: skip


def test_bad_requests_are_one_sentence_each_and_the_service_goes_on(served, tiny_city):
    requests = bad_requests(tiny_city)
    assert len(requests) >= 20
    wrong = []
    for status, (method, path, body) in requests:
        answer = served.ask(method, path, body, {"Content-Type": "application/json"} if "address" in path else {})
        fields = json.loads(answer[2])
        sentence = fields.get("error", fields.get("detail", ""))
        if answer[0] != status or not sentence or "Traceback" in sentence or "/tmp/rsuda-serve" in sentence:
            wrong.append((status, path, (body or b"")[:60], answer[0], sentence))
    assert not wrong
    status, _, content = served.ask("GET", "/health")
    assert status == 200 and json.loads(content)["status"] == "ok" and json.loads(content)["classes"] == ["a", "b", "c"]
    described = json.loads(served.ask("GET", "/openapi.json")[2])
    assert {"/predict", "/predict/address", "/health"} <= set(described["paths"])


def test_concurrent_load_loses_nothing_and_memory_stays_flat(served, tiny_city, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # other services may use the machine's
    good, bad = (tiny_city / "west_1_image.tif").read_bytes(), b"not a tiff"
    expected = served.window(good)[2]

    def ask(number):
        status, headers, content = served.window(bad if number % 5 == 0 else good)
        if number % 5 == 0:
            return status == 415
        return (status == 200 and (pixels(content)[0] == pixels(expected)[0]).all()) or (
            status == 503 and headers["retry-after"] == "5"
        )

    with ThreadPoolExecutor(12) as clients:
        assert all(clients.map(ask, range(40)))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert all(clients.map(ask, range(60)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # kB
    assert served.service.worker.waiting == 0 and not list(tmp_path.iterdir())


def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_error_of_the_service(served, tiny_city, caplog):
    body = (tiny_city / "west_1_image.tif").read_bytes()
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + body[:1000])
    time.sleep(0.3)
    assert served.window(body)[0] == 200 and "Traceback" not in caplog.text and "Exception" not in caplog.text


def test_forms_and_compressed_bodies_are_named(served, tiny_city):
    body = (tiny_city / "west_1_image.tif").read_bytes()
    form = b"--x\r\nContent-Disposition: form-data; name=file; filename=a.tif\r\n\r\n" + body + b"\r\n--x--\r\n"
    status, _, content = served.ask("POST", "/predict", form, {"Content-Type": "multipart/form-data; boundary=x"})
    assert status == 415 and "but a form: send the file alone" in json.loads(content)["error"]
    status, _, content = served.ask("POST", "/predict", gzip.compress(body), {"Content-Encoding": "gzip"})
    assert status == 415 and "but compressed: send the file as it is" in json.loads(content)["error"]


def test_connections_that_say_nothing_are_closed_and_others_are_not(served, tiny_city, monkeypatch):
    from rsuda.serving.connections import TimelyConnection

    monkeypatch.setattr(TimelyConnection, "PATIENCE", 0.2)
    silent, slow = (socket.create_connection(("127.0.0.1", served.port), timeout=10) for _ in range(2))
    slow.sendall(b"GET /health HT")
    assert silent.recv(10) == slow.recv(10) == b""
    assert served.window((tiny_city / "west_1_image.tif").read_bytes())[0] == 200


def test_late_answer_is_504_and_slow_client_408(tiny_run, tiny_city):
    service = Served(tiny_run, timeout=0.3)
    try:
        with socket.create_connection(("127.0.0.1", service.port)) as slow:
            slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nII*\0")
            assert slow.recv(1000).startswith(b"HTTP/1.1 408")
        held = threading.Event()
        service.service.worker._predict, real = (lambda work: held.wait(5) or b""), service.service.worker._predict
        status, _, content = service.window((tiny_city / "west_1_image.tif").read_bytes())
        assert status == 504 and json.loads(content)["error"] == "the prediction took longer than 0.3 seconds"
        held.set()
        service.service.worker._predict = real
        assert service.ask("GET", "/health")[0] == 200
    finally:
        service.stop()


@pytest.mark.slow
def test_sigterm_ends_the_command_after_what_is_running(tiny_run, tiny_city):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "rsuda.cli", "serve", tiny_run, "--port", port, "--window", 64, "--overlap", 16]
    process = subprocess.Popen([*map(str, words), "--device", "cpu"], stderr=subprocess.PIPE, text=True, env=os.environ)
    assert "serving run on http://127.0.0.1" in process.stderr.readline()
    for _ in range(200):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/health")
            assert connection.getresponse().status == 200
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/predict", (tiny_city / "west_1_image.tif").read_bytes())
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert connection.getresponse().status == 200
    assert process.wait(60) == 143 and "Traceback" not in process.stderr.read()
