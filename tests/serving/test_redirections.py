"""A web server cannot lead the service elsewhere: not at first, not later, and not by files beside the raster."""

import json
import re
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile
from served_model import Served

from rsuda.core.errors import MissingError
from rsuda.serving.ranged_file import RangedFile

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("uvicorn", reason="the extra serve is not installed")

SIDE = 512
BOX = [500_100, 4_999_840, 500_120, 4_999_860]  # in a block far behind the header
SECRET = "/secret.tif"


def tiff():
    with MemoryFile() as memory:
        place = {"crs": "EPSG:32632", "transform": rasterio.transform.from_origin(500_000, 5_000_000, 0.5, 0.5)}
        with memory.open(driver="GTiff", width=SIDE, height=SIDE, count=3, dtype="uint8", **place) as file:
            file.write(np.random.default_rng(0).integers(0, 255, (3, SIDE, SIDE), np.uint8))
        return memory.read()


class Host(BaseHTTPRequestHandler):
    """A web server whose answers depend on the name of the file; ``asked`` are all paths with the first bytes' numbers."""

    content = tiff()
    asked: list[tuple[str, int]]
    elsewhere: str

    def do_GET(self):
        first = int(re.match(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-")).group(1))
        last = min(int((self.headers.get("Range") or "-").rpartition("-")[2] or 10**9), len(self.content) - 1)
        self.asked.append((self.path, first))
        name, size = self.path.rpartition("/")[2].split("?")[0], len(self.content)
        if name == "moved.tif" or (name == "later.tif" and first) or not name.endswith("tif"):
            self.send_response(302)
            self.send_header("Location", self.elsewhere)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if name == "grown.tif" and first:
            size += 1
        if name == "shifted.tif":
            first += 8
        body = self.content[first : last + 1]
        if name == "drops.tif":
            with suppress(OSError):
                for letter in b"HTTP/1.1 206 Partial Content\r\n" + b"X: y\r\n" * 40:
                    self.wfile.write(bytes([letter]))
                    time.sleep(0.1)
            return
        self.send_response(200 if name == "whole.tif" else 206)
        if name != "whole.tif":
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if name == "cut.tif" else body)
        if name == "cut.tif":
            self.close_connection = True

    def do_HEAD(self):
        self.do_GET()

    def log_message(self, *_):
        pass


@contextmanager
def host(elsewhere):
    """Run a web server. Gives its address and what it is asked for."""
    handler = type("Host", (Host,), {"asked": [], "elsewhere": elsewhere, "protocol_version": "HTTP/1.1"})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", handler.asked
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def world(tiny_run):
    with host("http://127.0.0.1:9/") as (inner, asked_inside), host(inner + SECRET) as (outer, asked_outside):
        service = Served(tiny_run, allow=(f"{outer}/maps",))
        yield service, outer, asked_outside, asked_inside
        service.stop()


def test_a_raster_on_a_web_server_is_predicted_as_a_file_is(world):
    service, outer, asked, inside = world
    asked.clear()
    status, _, content = service.address(address=f"{outer}/maps/city.tif?version=1", bounds=BOX)
    assert status == 200 and inside == []
    wanted = service.window(crop(Host.content))
    with MemoryFile(content) as memory, memory.open() as file:
        assert file.shape == (40, 40) and tuple(file.bounds) == tuple(map(float, BOX))
    assert wanted[0] == 200
    assert {path for path, _ in asked} == {"/maps/city.tif?version=1"}  # no file beside it
    assert len(asked) < 6


def crop(content):
    """The part of a raster in BOX."""
    with MemoryFile(content) as memory, memory.open() as file:
        window = rasterio.windows.from_bounds(*BOX, file.transform)
        values, place = file.read(window=window), file.window_transform(window)
    with MemoryFile() as memory:
        shape = {"width": values.shape[2], "height": values.shape[1], "count": 3, "dtype": "uint8"}
        with memory.open(driver="GTiff", crs="EPSG:32632", transform=place, **shape) as file:
            file.write(values)
        return memory.read()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("moved", "status 302: redirections are not followed"),
        ("later", "status 302: redirections are not followed"),
        ("whole", "its server sends no ranges of bytes"),
        ("shifted", "its server sends another range of bytes than asked for"),
        ("grown", "its server sends another range of bytes than asked for"),
        ("cut", "its server sends fewer bytes than it says"),
    ],
)
def test_a_server_that_misleads_is_refused_in_a_sentence(world, name, reason):
    service, outer, asked, inside = world
    asked.clear()
    address = f"{outer}/maps/{name}.tif"
    status, _, content = service.address(address=address, bounds=BOX)
    assert inside == []
    assert (status, json.loads(content)["error"]) == (404, f"'{address}' cannot be read ({reason})")
    assert {path for path, _ in asked} == {f"/maps/{name}.tif"}
    assert service.address(address=f"{outer}/maps/city.tif", bounds=BOX)[0] == 200  # the service goes on


def test_headers_that_come_byte_by_byte_end_with_the_deadline():
    """Each byte comes in time, so only the deadline of the request ends it."""
    with host("") as (outer, _):
        begin = time.monotonic()
        with pytest.raises(MissingError, match=r"its server is too slow"):
            RangedFile(f"{outer}/drops.tif", begin + 1)
        assert time.monotonic() < begin + 5


def test_folders_and_hosts_that_are_not_allowed_are_not_asked(world):
    service, outer, asked, inside = world
    asked.clear()
    for address in (outer + SECRET, f"{outer}/maps/../secret.tif", f"{outer}/mapsy/a.tif"):
        assert service.address(address=address, bounds=BOX)[0] == 403
    assert asked == inside == []
