"""Measure a service under load: requests per second, latencies, errors and memory.

python benchmarks/serve.py RUN SCENE --seconds 60 --clients 8 [--window 256] [--threads 1]
"""

import argparse
import http.client
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window


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


def ask(port, body):
    """Send one request. Returns its status and the seconds that it took; 0 for a lost one."""
    began = time.monotonic()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        connection.request("POST", "/predict", body)
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.status, time.monotonic() - began
    except OSError:
        return 0, time.monotonic() - began


def memory(process):
    """Resident megabytes of a process."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def measure(port, process, bodies, seconds, clients):
    """Send requests from all clients until the time is up. Returns (status, seconds) of each, and memory by second."""
    results, sizes, end = [], [], time.monotonic() + seconds
    bad = [b"no tiff", bodies[0][:300], b"II*\0" + bytes(500)]

    def client(number):
        rng = np.random.default_rng(number)
        while time.monotonic() < end:
            good = rng.random() > 0.1
            results.append((good, *ask(port, bodies[rng.integers(len(bodies))] if good else bad[rng.integers(3)])))

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
    words = ["serve", args.run, "--port", port, "--threads", args.threads, "--device", "cpu", "--window", args.window]
    words += ["--overlap", args.window // 4]
    process = subprocess.Popen([sys.executable, "-m", "rsuda.cli", *map(str, words)])
    with tempfile.TemporaryDirectory() as folder:
        bodies = cut(args.scene, args.window, Path(folder))
    while ask(port, bodies[0])[0] != 200:
        time.sleep(0.5)
    results, sizes = measure(port, process, bodies, args.seconds, args.clients)
    process.terminate()
    process.wait()
    times = sorted(took for good, status, took in results if good and status == 200)
    fields = {
        "clients": args.clients,
        "window": args.window,
        "seconds": args.seconds,
        "requests": len(results),
        "answered per second": round(len(times) / args.seconds, 2),
        "p50 s": round(times[len(times) // 2], 2),
        "p99 s": round(times[int(len(times) * 0.99)], 2),
        "status of good requests": dict(Counter(status for good, status, _ in results if good)),
        "status of bad requests": dict(Counter(status for good, status, _ in results if not good)),
        "memory MB, first, middle, last": [round(sizes[i]) for i in (0, len(sizes) // 2, -1)],
    }
    print(json.dumps(fields, indent=1))


if __name__ == "__main__":
    main()
