"""Awkward requests get one sentence that a client can act on; what clients may say of a raster they can say."""

import json
import os
import socket
import threading
import time

import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile
from served_model import Served

from rsuda.core.spelling import as_flags
from rsuda.serving.worker import OutOfTimeError

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("uvicorn", reason="the extra serve is not installed")

UTM = "EPSG:32632"
PLACE = rasterio.transform.from_origin(500_000, 5_000_000, 0.5, 0.5)
BOX = [500_000, 4_999_990, 500_010, 5_000_000]


def tiff(crs=UTM, transform=PLACE, size=40, count=3):
    place = {"transform": transform} if transform else {}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", width=size, height=size, count=count, dtype="uint8", crs=crs, **place) as file:
            file.write(np.random.default_rng(0).integers(0, 255, (count, size, size), np.uint8))
        return memory.read()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rasters")
    for name in ("w.tif", "Höhe ü 北.tif"):
        (folder / name).write_bytes(tiff())
    (folder / "circle.tif").symlink_to(folder / "circle.tif")
    (folder / "passwd.tif").symlink_to("/etc/passwd")
    (folder / "folder.tif").mkdir()
    os.mkfifo(folder / "pipe.tif")
    return folder


@pytest.fixture(scope="module")
def served(tiny_run, folder):
    with as_flags():  # as in the command
        service = Served(tiny_run, allow=(str(folder), "http://127.0.0.1:9"), max_bytes=100_000, queue=2, timeout=20)
        yield service
        service.stop()


def error(answer):
    return answer[0], json.loads(answer[2]).get("error", "no error")


def test_polygons_need_a_place_on_earth(served):
    """GeoJSON is in longitude and latitude (RFC 7946): coordinates of pixels would be drawn in the Gulf of Guinea."""
    without = tiff(crs=None)
    assert error(served.window(without, format="geojson")) == (
        422,
        "the raster has no CRS, and GeoJSON is in longitude and latitude: pass its `crs`, or ask for the format geotiff",
    )
    nowhere, far = tiff(crs=None, transform=None), tiff(transform=rasterio.transform.from_origin(5e8, 5e9, 0.5, 0.5))
    for body, query in ((nowhere, {"gsd": 0.5}), (far, {})):
        status, sentence = error(served.window(body, format="geojson", **query))
        assert status == 422 and sentence.endswith("ask for the format geotiff")
    status, _, content = served.window(without, format="geojson", crs=UTM)
    assert status == 200 and content == served.window(tiff(), format="geojson")[2]
    longitude, latitude = json.loads(content)["features"][0]["geometry"]["coordinates"][0][0]
    assert 8.99 < longitude < 9.01 and 45.1 < latitude < 45.2


def test_sentences_name_fields_that_clients_can_pass(served):
    body = tiff(crs=None, transform=None)
    status, sentence = error(served.window(body))
    assert status == 422 and "declare it (`gsd`, metres per pixel)" in sentence and "--" not in sentence
    assert served.window(body, gsd=0.5)[0] == 200
    with MemoryFile(served.window(tiff(), nodata=3)[2]) as memory, memory.open() as file:
        assert file.nodata == 255
    status, sentence = error(served.window(tiff(count=5)))
    assert status == 422 and "bands='blue,green,red,…'" in sentence and "--" not in sentence


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"crs": "/etc/passwd"}, "crs: write a code such as EPSG:32632"),
        ({"crs": "+proj=utm +nadgrids=/etc/passwd"}, "crs: write a code such as EPSG:32632"),
        ({"formt": "geojson"}, "there is no field 'formt': /openapi.json lists them"),
        ({"gsd": "inf"}, "gsd: Input should be a finite number"),
        ({"gsd": "-1"}, "gsd: Input should be greater than 0"),
        ({"nodata": "nan"}, "nodata: Input should be a finite number"),
    ],
)
def test_fields_are_checked(served, query, sentence):
    from urllib.parse import quote

    fields = {name: quote(value) for name, value in query.items()}
    assert error(served.window(tiff(), **fields)) == (422, sentence)


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (200, {"address": "Höhe ü 北.tif"}),
        (200, {"bounds": [499_000, 4_999_990, 500_010, 5_000_000]}),
        (200, {"bounds": [-1e300, -1e300, 1e300, 1e300]}),
        (422, {"bounds": [500_010, 5_000_000, 500_000, 4_999_990]}),
        (422, {"bounds": [9, 45.1, 9.1, 45.2]}),
        (403, {"address": "\ud800\udfff\ud800.tif" + "\0"}),
        (404, {"address": "\ud800.tif"}),
        (404, {"address": "a" * 300 + ".tif"}),
        (404, {"address": "circle.tif"}),
        (403, {"address": "passwd.tif"}),
        (404, {"address": "folder.tif"}),
        (404, {"address": "pipe.tif"}),
        (403, {"address": "../../etc/passwd"}),
        (403, {"address": "file:///etc/passwd"}),
        (403, {"address": "/vsizip/x.zip/a.tif"}),
        (403, {"address": "/VSICURL/http://127.0.0.1/x.tif"}),
        (404, {"address": "GTIFF_DIR:1:w.tif"}),
        (403, {"address": "http://127.0.0.1:10/x.tif"}),
        (404, {"address": "http://127.0.0.1:9/x.tif"}),
        (403, {"address": "http://127.0.0.1:9/%2e%2e/x.tif"}),
        (403, {"address": "http://127.0.0.1:9/..;/x.tif"}),
        (403, {"address": "http://127.0.0.1:9/.%2e%3bx/x.tif"}),
    ],
)
def test_addresses(served, status, fields):
    answer = served.address(**{"address": "w.tif", "bounds": BOX, **fields})
    assert answer[0] == status and (status == 200 or "/tmp" not in error(answer)[1])


def test_bodies_that_are_no_json(served):
    body = json.dumps({"address": "w.tif", "bounds": BOX}).encode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}  # as of curl -d
    assert error(served.ask("POST", "/predict/address", body, form)) == (
        422,
        "the body is not JSON: send it with the header Content-Type: application/json",
    )
    json_type = {"Content-Type": "application/json"}
    nan = body.replace(b"500000,", b"NaN,")
    assert (
        error(served.ask("POST", "/predict/address", nan, json_type))[1] == "bounds.0: Input should be a finite number"
    )
    assert error(served.ask("POST", "/predict/address", b"[" * 50_000, json_type))[0] in (400, 422)
    assert error(served.ask("GET", "/x")) == (404, "GET /x: Not Found; /openapi.json describes all requests")


def raw(served, data):
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as client:
        client.sendall(data)
        return client.recv(200)


def test_lengths_and_chunks(served):
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
    chunk = b"%x\r\n" % len(tiff()) + tiff() + b"\r\n0\r\n\r\n"
    many = b"%x\r\n" % 200_000 + bytes(200_000) + b"\r\n0\r\n\r\n"
    for status, data in {
        b"413": head + b"Content-Length: 99999999999999999999\r\n\r\nII*\0",
        b"400": head + b"Content-Length: -5\r\n\r\nII*\0",
        b"200": head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk,
        b"413 ": head + b"Transfer-Encoding: chunked\r\n\r\n" + many,
    }.items():
        assert raw(served, data).startswith(b"HTTP/1.1 " + status)


def test_an_answer_before_the_end_of_a_large_body_is_not_lost(served):
    """A connection that is closed on unread bytes is reset, and the client reads no sentence."""
    body = b"II*\0" + bytes(80_000)
    for path, method, status in (
        ("/predict?crs=%2Fetc", "POST", 422),
        ("/predict", "PUT", 405),
        ("/predict/", "POST", 404),
    ):
        with socket.create_connection(("127.0.0.1", served.port), timeout=30) as client:
            head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            client.sendall(head.encode())
            for start in range(0, len(body), 8000):
                client.sendall(body[start : start + 8000])
                time.sleep(0.005)
            answer = b"".join(iter(lambda: client.recv(4000), b""))
        assert answer.startswith(b"HTTP/1.1 %d" % status) and b'{"error":' in answer, path
    begin = time.monotonic()
    head = b"POST /predict?crs=%2Fetc HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n"
    assert raw(served, head + b"Expect: 100-continue\r\n\r\n").startswith(b"HTTP/1.1 422")
    assert raw(served, head + b"\r\n").startswith(b"HTTP/1.1 422") and time.monotonic() < begin + 5


def test_slow_drops_of_json_end_in_time(tiny_run):
    service = Served(tiny_run, timeout=1)
    try:
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:
            client.sendall(b"POST /predict/address HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n")
            client.settimeout(0.2)
            begin, answer = time.monotonic(), b""
            while not answer and time.monotonic() < begin + 5:
                client.sendall(b" ")
                try:
                    answer = client.recv(100)
                except TimeoutError:
                    continue
        assert answer.startswith(b"HTTP/1.1 408")
    finally:
        service.stop()


def test_bodies_together_are_limited(served):
    """Clients that send large bodies at once get status 503, before they fill the memory."""
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nII*\0" + bytes(89_996)
    clients = [socket.create_connection(("127.0.0.1", served.port), timeout=20) for _ in range(4)]
    try:
        for client in clients:
            client.sendall(head)
        answers = []
        for client in clients:
            client.settimeout(1)
            try:
                answers.append(client.recv(100))
            except TimeoutError:
                answers.append(b"")
        assert [answer[:12] for answer in answers if answer] == [b"HTTP/1.1 503"]
    finally:
        for client in clients:
            client.close()
    for _ in range(50):
        if not served.service.bodies.size:
            break
        time.sleep(0.1)
    assert served.service.bodies.size == 0


def test_work_of_a_client_that_leaves_is_dropped(served):
    worker, begun, end = served.service.worker, threading.Event(), threading.Event()
    works, real = [], worker._predict

    def wait(work):
        works.append(work)
        begun.set()
        end.wait(10)
        return real(work)

    worker._predict = wait
    try:
        body = tiff()
        with socket.create_connection(("127.0.0.1", served.port)) as client:
            client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            assert begun.wait(10)
        assert works[0].client_left.wait(5)
    finally:
        end.set()
        worker._predict = real
    assert served.window(body)[0] == 200 and isinstance(works[0].answer.exception(10), OutOfTimeError)
