"""Measure a service under load: requests per second, latencies, errors and memory.

    python benchmarks/serve.py RUN SCENE --seconds 600 --clients 6 [--window 256] [--threads 1]

Three quarters of the requests are windows of the scene, answered as GeoTIFF or GeoJSON, or a part of a raster that the service
may read, in a folder or on a web server. The others are of 30 bad kinds. Each request has the status that it must get: another
one, or none, is an error.
"""

import argparse
import http.client
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import rasterio
from rasterio.io import MemoryFile
from rasterio.windows import Window

MOST_BYTES = 2_000_000
END = [500_000, 1_999_800, 500_100, 1_999_850]  # of the raster on the web server, far behind its header


def cut(scene, size, folder):
    """Cut windows of a scene into GeoTIFFs; a scene without a georeference gets one of 0.5 m. Returns their bytes."""
    with rasterio.open(scene) as file:
        corners = [
            (r, c) for r in range(0, file.height - size + 1, size) for c in range(0, file.width - size + 1, size)
        ]
        transform = file.transform if file.crs else rasterio.transform.from_origin(500_000, 2_000_000, 0.5, 0.5)
        bodies = []
        for row, col in corners[:16]:
            window = Window(col, row, size, size)
            place = rasterio.windows.transform(window, transform)
            profile = {"driver": "GTiff", "width": size, "height": size, "count": 3, "dtype": "uint8"}
            with rasterio.open(folder / "w.tif", "w", **profile, crs=file.crs or "EPSG:32643", transform=place) as out:
                out.write(file.read([1, 2, 3], window=window))
            bodies.append((folder / "w.tif").read_bytes())
    return bodies


def web_server(content):
    """Serve a raster in ranges of bytes under any name, or a redirection: at first, or behind the first block."""

    class Host(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            first, last = map(int, re.findall(r"\d+", self.headers["Range"]))
            last = min(last, len(content) - 1)
            moved = self.path == "/moved.tif" or (self.path == "/later.tif" and first)
            body = b"" if moved else content[first : last + 1]
            self.send_response(302 if moved else 206)
            self.send_header(
                *(("Location", "/x.tif") if moved else ("Content-Range", f"bytes {first}-{last}/{len(content)}"))
            )
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Host)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def ask(port, path, body, method="POST"):
    """Send one request. Returns its status and the seconds that it took; 0 for a lost one."""
    began = time.monotonic()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        kind = {"Content-Type": "application/json"} if "address" in path else {}
        connection.request(method, path, body, kind)
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.status, time.monotonic() - began
    except OSError:
        return 0, time.monotonic() - began


def hang_up(port, path, body, method="POST"):
    """Announce a body and leave in its middle. Returns status -1, since nobody reads the answer."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        header = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {2 * len(body)}\r\n\r\n"
        connection.sendall(header.encode() + body)
    return -1, 0.0


def good_requests(bodies, raster, bounds, host):
    """Paths and bodies of requests that must be answered."""
    places = {raster.name: bounds, f"{host}/w.tif": END}
    parts = [json.dumps({"address": place, "bounds": box}).encode() for place, box in places.items()]
    return [
        *(("/predict", body) for body in bodies),
        ("/predict?format=geojson", bodies[0]),
        *(("/predict/address", part) for part in parts),
    ]


def bad_requests(tiff, raster, bounds, host):
    """Bad requests by name: the status that each must get, method, path and body."""
    virtual = b"<VRTDataset rasterXSize='9' rasterYSize='9'><SourceFilename>/etc/passwd</SourceFilename></VRTDataset>"

    def address(**fields):
        return "POST", "/predict/address", json.dumps({"address": raster.name, "bounds": bounds, **fields}).encode()

    return {
        "unknown path": (404, "GET", "/", None),
        "wrong method": (405, "GET", "/predict", None),
        "empty body": (415, "POST", "/predict", b""),
        "text": (415, "POST", "/predict", b"no tiff"),
        "PNG": (415, "POST", "/predict", b"\x89PNG\r\n\x1a\n" + bytes(100)),
        "virtual raster": (415, "POST", "/predict", virtual),
        "archive": (415, "POST", "/predict", b"PK\x03\x04" + bytes(100)),
        "damaged header": (404, "POST", "/predict", b"II*\0" + bytes(500)),
        "header alone": (404, "POST", "/predict", tiff[:300]),
        "half a file": (404, "POST", "/predict", tiff[: len(tiff) // 2]),
        "too many bytes": (413, "POST", "/predict", tiff + bytes(MOST_BYTES)),
        "too many pixels": (413, "POST", "/predict", plain_tiff(4000, 3)),
        "one band of three": (422, "POST", "/predict", plain_tiff(64, 1)),
        "unknown format": (422, "POST", "/predict?format=png", tiff),
        "confidence above 1": (422, "POST", "/predict?min_confidence=2", tiff),
        "confidence nan": (422, "POST", "/predict?min_confidence=nan", tiff),
        "unknown bands": (422, "POST", "/predict?bands=banana", tiff),
        "damaged JSON": (422, "POST", "/predict/address", b"{"),
        "large JSON": (413, "POST", "/predict/address", b'{"address": "' + b"a" * 200_000 + b'"}'),
        "no bounds": (422, "POST", "/predict/address", json.dumps({"address": raster.name}).encode()),
        "bounds elsewhere": (422, *address(bounds=[0, 0, 1, 1])),
        "unknown field": (422, *address(run="../x")),
        "file outside": (403, *address(address="/etc/passwd")),
        "path that leads out": (403, *address(address=f"{raster.parent}/../../etc/passwd")),
        "/vsi path": (403, *address(address="/vsicurl/http://127.0.0.1/x.tif")),
        "host not allowed": (403, *address(address="http://user:secret@127.0.0.1:1/x.tif")),
        "redirection": (404, *address(address=f"{host}/moved.tif", bounds=END)),
        "later redirection": (404, *address(address=f"{host}/later.tif", bounds=END)),
        "another host's port": (403, *address(address="http://127.0.0.1:22/w.tif")),
        "client hangs up": (-1, "POST", "/predict", tiff),
    }


def plain_tiff(side, bands):
    """A GeoTIFF without texture, of few bytes."""
    profile = {"driver": "GTiff", "width": side, "height": side, "count": bands, "dtype": "uint8", "sparse_ok": True}
    place = rasterio.transform.from_origin(500_000, 2_000_000, 0.5, 0.5)
    with MemoryFile() as memory:
        with memory.open(**profile, crs="EPSG:32643", transform=place, compress="deflate", tiled=True) as file:
            if side < 1000:
                file.write(np.ones((bands, side, side), np.uint8))
        return memory.read()


def noise_tiff():
    """A GeoTIFF of 400 px, so large that it is read in several ranges of bytes."""
    profile = {"driver": "GTiff", "width": 400, "height": 400, "count": 3, "dtype": "uint8", "crs": "EPSG:32643"}
    with MemoryFile() as memory:
        with memory.open(**profile, transform=rasterio.transform.from_origin(500_000, 2_000_000, 0.5, 0.5)) as file:
            file.write(np.random.default_rng(0).integers(0, 256, (3, 400, 400), np.uint8))
        return memory.read()


def memory(process):
    """Resident megabytes of a process."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def measure(port, process, good, bad, seconds, clients):
    """Send requests from all clients until the time is up. Returns (name, expected, status, seconds) of each, and memory."""
    results, sizes, end, names = [], [], time.monotonic() + seconds, list(bad)

    def client(number):
        rng = np.random.default_rng(number)
        while time.monotonic() < end:
            if rng.random() < 0.75:
                path, body = good[rng.integers(len(good))]
                results.append(("good", 200, *ask(port, path, body)))
                continue
            name = names[rng.integers(len(names))]
            status, method, path, body = bad[name]
            send = hang_up if status < 0 else ask
            results.append((name, status, *send(port, path, body, method)))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    while time.monotonic() < end:
        sizes.append(memory(process))
        time.sleep(1)
    for thread in threads:
        thread.join()
    return results, sizes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("scene")
    for name, default in (("seconds", 60), ("clients", 8), ("window", 256), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bodies = cut(args.scene, args.window, folder)
        raster = folder / "w.tif"
        with rasterio.open(raster) as file:
            middle = file.transform * (args.window // 2, args.window // 2)
            bounds = [file.bounds.left, middle[1], middle[0], file.bounds.top]
        words = [
            "serve",
            args.run,
            "--port",
            port,
            "--threads",
            args.threads,
            "--device",
            "cpu",
            "--window",
            args.window,
        ]
        host = web_server(noise_tiff())
        words += [
            "--allow",
            host,
            "--overlap",
            args.window // 4,
            "--allow",
            folder,
            "--max-bytes",
            MOST_BYTES,
            "--max-pixels",
            4_000_000,
        ]
        process = subprocess.Popen([sys.executable, "-m", "rsuda.cli", *map(str, words)])
        while ask(port, "/predict", bodies[0])[0] != 200:
            time.sleep(0.5)
        good, bad = good_requests(bodies, raster, bounds, host), bad_requests(bodies[0], raster, bounds, host)
        results, sizes = measure(port, process, good, bad, args.seconds, args.clients)
        health = ask(port, "/health", None, "GET")[0]
        left = len(list(Path(tempfile.gettempdir()).glob("rsuda-serve-*")))
        process.terminate()
        process.wait()
    print(json.dumps(summary(args, results, sizes) | {"health at the end": health, "files left": left}, indent=1))


def summary(args, results, sizes):
    """Sum up the load; memory is the mean of ten seconds."""
    times = sorted(took for name, _, status, took in results if name == "good" and status == 200)
    refused = sorted(took for name, expected, status, took in results if name != "good" and status == expected > 0)
    wrong = Counter(f"{name}: {status}" for name, expected, status, _ in results if status != expected)
    kinds = Counter(name for name, *_ in results if name != "good")
    places = {"first": 0, "third": len(sizes) // 3, "two thirds": 2 * len(sizes) // 3, "last": max(0, len(sizes) - 10)}
    return {
        "clients": args.clients,
        "window": args.window,
        "seconds": args.seconds,
        "requests": len(results),
        "answered per second": round(len(times) / args.seconds, 2),
        "requests per second": round(len(results) / args.seconds, 2),
        "p50 s": round(times[len(times) // 2], 2),
        "p99 s": round(times[int(len(times) * 0.99)], 2),
        "p50 s of refusals": round(refused[len(refused) // 2], 3),
        "good requests": sum(name == "good" for name, *_ in results),
        "bad requests": sum(kinds.values()),
        "kinds of bad requests": len(kinds),
        "least of a kind": min(kinds.values()),
        "other than expected": dict(wrong),
        "memory MB": {name: round(float(np.mean(sizes[i : i + 10]))) for name, i in places.items()},
        "most memory MB": round(max(sizes)),
    }


if __name__ == "__main__":
    main()
