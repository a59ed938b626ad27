"""Feed malformed input to rsuda's readers for a time, and count the outcomes.

    python benchmarks/fuzz.py domain geotiff --seconds 60 --seed 1 --save findings

The targets are those of tests/support/malformed_inputs.py. Each runs in a child process with 4 GiB more memory than
it has after its imports. A finding is a traceback, a killed child, or an input that needs more than ten seconds of
processor time. Other work on the machine does not count; five minutes without progress do. Findings of one kind and
place are saved once. With --guided, atheris (pip install atheris) collects the inputs that reach new branches of
rsuda, and mutates them.
"""

from __future__ import annotations

import argparse
import faulthandler
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
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
os.environ.setdefault("OMP_NUM_THREADS", "1")

from malformed_inputs import BOMBS, SECONDS, TARGETS, TEXT, outcome  # noqa: E402 (it is beside the tests)

MEMORY = 4 << 30
STILL = 300  # seconds of the clock without a new input, on a busy machine too
TICKS = os.sysconf("SC_CLK_TCK")


class Slow(BaseException):
    """An input took too long; no reader may catch this."""


def _alarm(*_: object) -> None:
    raise Slow


class Trial:
    """Tries inputs of one target, one by one, in ``folder``. Every count is on disk before the next input."""

    def __init__(self, name: str, folder: Path) -> None:
        self.target, self.folder = TARGETS[name], folder
        self.path = folder / f"input{self.target.suffix}"
        self.seeds = self.target.seeds(folder)
        self.path.write_bytes(self.seeds[0])
        outcome(self.target.take, self.path)  # imports, before memory and time are limited
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        signal.signal(signal.SIGPROF, _alarm)
        faulthandler.register(signal.SIGUSR1, (folder / "stack").open("w"))  # the watchdog requests the stack
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        self.counts: Counter[str] = Counter()
        self.findings: dict[str, str] = {}

    def __call__(self, data: bytes) -> None:
        self.path.write_bytes(data)
        (self.folder / "trying").touch()
        signal.setitimer(signal.ITIMER_PROF, SECONDS, 1)  # repeated, because a callback may swallow it
        try:
            kind, message = outcome(self.target.take, self.path)
        except Slow:
            kind, message = "finding", f"not done after {SECONDS} s"
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        self.counts[kind] += 1
        if kind == "finding":
            key = message.split(":", 2)[0] + (":" + message.split(":", 2)[1][:6] if ":" in message else "")
            if key not in self.findings:
                self.findings[key] = message
                (self.folder / f"finding-{len(self.findings)}{self.target.suffix}").write_bytes(data)
        if kind == "finding" or sum(self.counts.values()) % 20 == 0:
            self.write()

    def write(self) -> None:
        (self.folder / "counts.json").write_text(json.dumps({**self.counts, "findings": self.findings}))


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
    """Half of the changes are libFuzzer's, of bytes. The other half are the target's own, which preserve the format."""
    import atheris

    with atheris.instrument_imports(include=["rsuda"]):
        trial = Trial(name, folder)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, data in enumerate(trial.seeds):
        (corpus / str(number)).write_bytes(data)

    def change(data: bytes, most: int, number: int) -> bytes:
        rng = random.Random(number)
        return trial.target.spoil(rng, data)[:most] if data and rng.random() < 0.5 else atheris.Mutate(data, most)

    end = time.monotonic() + seconds

    def try_one(data: bytes) -> None:
        trial(data)
        if time.monotonic() >= end:
            trial.write()
            (folder / "ended").touch()
            os.kill(os.getpid(), signal.SIGKILL)  # libFuzzer takes any other end for a crash

    # atheris' own clock, which has no off switch, would end the process during an input: it is set to days
    most = max(200_000, *(2 * len(seed_data) for seed_data in trial.seeds))
    atheris.Setup(["fuzz", str(corpus), f"-seed={seed + 1}", f"-max_len={most}", "-rss_limit_mb=0", "-timeout=1000000",
                   f"-artifact_prefix={folder}/", "-verbosity=0"], try_one, custom_mutator=change)  # fmt: skip
    atheris.Fuzz()


def _child(name: str, folder: str, seconds: float, seed: int, guided: bool) -> None:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    if not guided or "FUZZ_LOG" not in os.environ:
        os.dup2(quiet, 2)
    (_guided if guided else _mutate)(name, Path(folder), seconds, seed)


class Watch:
    """Detects a process that hangs where it sees no signal. The measure is its processor time since its last input, to which
    other processes do not add, or a very long time without any progress."""

    def __init__(self, process: multiprocessing.process.BaseProcess, folder: Path) -> None:
        self.process, self.folder = process, folder
        self.mark: float | None = None
        self.began = self.spent = 0.0

    def hung(self) -> bool:
        trying = self.folder / "trying"
        last = trying.stat().st_mtime if trying.exists() else 0.0
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            return False
        spent = (int(fields[11]) + int(fields[12])) / TICKS
        if last != self.mark:
            self.mark, self.began, self.spent = last, time.monotonic(), spent
        busy, still = spent - self.spent, time.monotonic() - self.began
        return still > STILL or (last > 0 and busy > 6 * SECONDS)

    def stack(self) -> str:
        """Return the Python stack of each thread."""
        if self.process.pid and (self.folder / "stack").exists():
            os.kill(self.process.pid, signal.SIGUSR1)
            time.sleep(2)
            return (self.folder / "stack").read_text()
        return ""


def fuzz(name: str, seconds: float, seed: int, guided: bool, save: Path | None) -> tuple[Counter[str], dict[str, str]]:
    """Return counts by outcome, and findings."""
    counts: Counter[str] = Counter()
    findings: dict[str, str] = {}
    end, suffix = time.monotonic() + seconds, TARGETS[name].suffix
    context = multiprocessing.get_context("spawn")
    while (left := end - time.monotonic()) > 1:
        with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as text:
            folder = Path(text)
            process = context.Process(target=_child, args=(name, text, left, seed, guided))
            process.start()
            watch, hung, stack = Watch(process, folder), False, ""
            while process.is_alive():
                process.join(2)
                hung = process.is_alive() and watch.hung()
                if hung:
                    stack = watch.stack()
                    process.kill()
                    process.join()
            file = folder / "counts.json"
            record = json.loads(file.read_text()) if file.is_file() else {}
            new = dict(record.pop("findings", {}))
            counts.update(record)
            for number, key in enumerate(new, 1):
                if save and key not in findings:
                    shutil.copy(folder / f"finding-{number}{suffix}", save / f"{name}-{len(findings) + number}{suffix}")
            findings |= new
            if hung or (process.exitcode and not (folder / "ended").exists()):
                key = "hang outside of Python" if hung else f"killed ({process.exitcode})"
                if save and stack:
                    (save / f"{name}-hang.txt").write_text(stack)
                counts["finding"] += 1
                if save and key not in findings and (folder / f"input{suffix}").is_file():
                    shutil.copy(folder / f"input{suffix}", save / f"{name}-{key.split()[0]}{suffix}")
                findings.setdefault(key, key)
            seed += 1000  # a process that was killed continues with other inputs
    return counts, findings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all by default")
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, help="folder for inputs that are findings")
    parser.add_argument("--guided", action="store_true", help="guided by coverage, with atheris")
    args = parser.parse_args()
    unknown = set(args.targets) - set(TARGETS)
    if unknown:
        parser.error(f"unknown targets {', '.join(sorted(unknown))}")
    if args.save:
        args.save.mkdir(parents=True, exist_ok=True)
    print("| target | inputs tried | refused in a sentence | accepted | findings |\n|---|---|---|---|---|")
    messages: list[str] = []
    for name in args.targets or TARGETS:
        counts, findings = fuzz(name, args.seconds, args.seed, args.guided, args.save)
        row = (name, sum(counts.values()), counts["refused"], counts["accepted"], len(findings))
        print(f"| {' | '.join(map(str, row))} |", flush=True)
        messages += [f"{name}: {message}" for message in findings.values()]
    print(*messages, sep="\n")
    raise SystemExit(bool(messages))


if __name__ == "__main__":
    main()
