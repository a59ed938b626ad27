"""Feed rubbish to rsuda's readers for a time, and count what happens.

    python benchmarks/fuzz.py domain geotiff --seconds 60 --seed 1 --save found

Each target (tests/rubbish.py) runs in a process of its own with 4 GiB more memory than it has after its imports, and is watched:
an input that kills it, or is not done after ten seconds, is a finding as much as a traceback is. Findings of one
kind and place are saved once. With --guided, atheris (pip install atheris) chooses inputs by the branches of rsuda that they
reach, instead of mutations by form.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ.setdefault("OMP_NUM_THREADS", "1")

from rubbish import BOMBS, SECONDS, TARGETS, TEXT, outcome  # noqa: E402 (it lies beside the tests)

MEMORY = 4 << 30
START = 300  # seconds that imports may take on a busy machine


class Slow(BaseException):
    """An input took too long; no reader may catch this."""


def _alarm(*_: object) -> None:
    raise Slow


class Trial:
    """Inputs of one target, tried one by one in ``folder``; every count is on disk before the next input."""

    def __init__(self, name: str, folder: Path) -> None:
        self.target, self.folder = TARGETS[name], folder
        self.path = folder / f"input{self.target.suffix}"
        self.seeds = self.target.seeds(folder)
        self.path.write_bytes(self.seeds[0])
        outcome(self.target.take, self.path)  # imports, before memory and time are limited
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        signal.signal(signal.SIGALRM, _alarm)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        self.counts: Counter[str] = Counter()
        self.found: dict[str, str] = {}

    def __call__(self, data: bytes) -> None:
        self.path.write_bytes(data)
        (self.folder / "trying").touch()
        signal.alarm(SECONDS)
        try:
            kind, told = outcome(self.target.take, self.path)
        except Slow:
            kind, told = "finding", f"not done after {SECONDS} s"
        finally:
            signal.alarm(0)
        self.counts[kind] += 1
        if kind == "finding":
            key = told.split(":", 2)[0] + (":" + told.split(":", 2)[1][:6] if ":" in told else "")
            if key not in self.found:
                self.found[key] = told
                (self.folder / f"finding-{len(self.found)}{self.target.suffix}").write_bytes(data)
        if kind == "finding" or sum(self.counts.values()) % 20 == 0:
            self.write()

    def write(self) -> None:
        (self.folder / "counts.json").write_text(json.dumps({**self.counts, "found": self.found}))


def _mutate(name: str, folder: Path, seconds: float, seed: int) -> None:
    trial, rng = Trial(name, folder), random.Random(f"{name} {seed}")
    for data in (*trial.seeds, *(BOMBS if name in TEXT else ())):
        trial(data)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = trial.target.spoil(rng, rng.choice(trial.seeds))
        trial(data)
    trial.write()


def _guided(name: str, folder: Path, seconds: float, seed: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["rsuda"]):
        trial = Trial(name, folder)
    corpus = folder / "corpus"
    corpus.mkdir()
    for n, data in enumerate(trial.seeds):
        (corpus / str(n)).write_bytes(data)

    def one(data: bytes) -> None:
        trial(data)
        signal.alarm(0)

    # libFuzzer ends the process itself; counts are written every few inputs
    atheris.Setup(["fuzz", str(corpus), f"-max_total_time={int(seconds)}", f"-seed={seed + 1}", "-max_len=200000",
                   "-rss_limit_mb=0", "-timeout=60", "-verbosity=0"], one)  # fmt: skip
    atheris.Fuzz()


def _child(name: str, folder: str, seconds: float, seed: int, guided: bool) -> None:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    if not guided or "FUZZ_LOG" not in os.environ:
        os.dup2(quiet, 2)
    (_guided if guided else _mutate)(name, Path(folder), seconds, seed)


def fuzz(name: str, seconds: float, seed: int, guided: bool, save: Path | None) -> tuple[Counter[str], dict[str, str]]:
    """Counts by outcome, and findings."""
    counts: Counter[str] = Counter()
    found: dict[str, str] = {}
    end, suffix = time.monotonic() + seconds, TARGETS[name].suffix
    context = multiprocessing.get_context("spawn")
    while (left := end - time.monotonic()) > 1:
        with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as text:
            folder = Path(text)
            began = time.time()
            process = context.Process(target=_child, args=(name, text, left, seed, guided))
            process.start()
            hung = False
            while process.is_alive():
                process.join(2)
                trying = folder / "trying"
                last = trying.stat().st_mtime if trying.exists() else began + START
                hung = time.time() - last > 6 * SECONDS
                if hung:
                    process.kill()
                    process.join()
            held = folder / "counts.json"
            told = json.loads(held.read_text()) if held.is_file() else {}
            counts.update({k: v for k, v in told.items() if k != "found"})
            new = dict(told.get("found", {}))
            for n, key in enumerate(new, 1):
                if save and key not in found:
                    shutil.copy(folder / f"finding-{n}{suffix}", save / f"{name}-{len(found) + n}{suffix}")
            found |= new
            if hung or (process.exitcode and not guided) or (guided and (process.exitcode or 0) < 0):
                key = "hang outside of Python" if hung else f"killed ({process.exitcode})"
                counts["finding"] += 1
                if save and key not in found and (folder / f"input{suffix}").is_file():
                    shutil.copy(folder / f"input{suffix}", save / f"{name}-{key.split()[0]}{suffix}")
                found.setdefault(key, key)
            seed += 1000  # a process that was killed goes on elsewhere
    return counts, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all by default")
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, help="folder for inputs that are findings")
    parser.add_argument("--guided", action="store_true", help="coverage-guided, by atheris")
    a = parser.parse_args()
    unknown = set(a.targets) - set(TARGETS)
    if unknown:
        parser.error(f"unknown targets {', '.join(sorted(unknown))}")
    if a.save:
        a.save.mkdir(parents=True, exist_ok=True)
    print("| target | inputs tried | refused in a sentence | accepted | findings |\n|---|---|---|---|---|")
    every: list[str] = []
    for name in a.targets or TARGETS:
        counts, found = fuzz(name, a.seconds, a.seed, a.guided, a.save)
        row = (name, sum(counts.values()), counts["refused"], counts["accepted"], len(found))
        print(f"| {' | '.join(map(str, row))} |", flush=True)
        every += [f"{name}: {v}" for v in found.values()]
    print(*every, sep="\n")
    raise SystemExit(bool(every))


if __name__ == "__main__":
    main()
