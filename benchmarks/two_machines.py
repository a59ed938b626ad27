"""Compare training on two machines with two processes of one: by torchrun, and under a real SLURM with a time limit.

    python benchmarks/two_machines.py [--slurm]

The machines are network namespaces of this one, each with its own host name and address, joined by a virtual cable
(veth). So all messages between the processes cross a network. The script needs root and iproute2. --slurm needs
slurmctld, slurmd, slurm-client and munge, and starts a cluster of the two; it writes its configuration to
/etc/slurm if that is empty. The commands are those of docs/training_at_scale.md. Weights are compared bit by bit.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOSTS = {"hosta": "10.77.0.1", "hostb": "10.77.0.2"}
RSUDA = [sys.executable, "-m", "rsuda.cli", "adapt"]
RUN = ["--source", "potsdam", "--target", "vaihingen", "--batch-size", "2", "--device", "cpu", "--quiet"]
ETC = Path("/etc/slurm")


def sh(line: str) -> str:
    process = subprocess.run(line, shell=True, capture_output=True, text=True)
    if process.returncode:
        raise SystemExit(f"{line}\n{process.stdout[-2000:]}{process.stderr[-4000:]}")
    return process.stdout


def on(host: str, line: str) -> str:
    """Return the shell line that runs a line on a host."""
    return f"ip netns exec {host} unshare --uts sh -c {shlex.quote(f'hostname {host}; {line}')}"


def build() -> None:
    names = "".join(f"{address} {host}\n" for host, address in HOSTS.items())
    for host in HOSTS:
        sh(f"ip netns add {host} && ip -n {host} link set lo up && mkdir -p /etc/netns/{host}")
        Path(f"/etc/netns/{host}/hosts").write_text(f"127.0.0.1 localhost\n{names}")
    first, second = HOSTS
    sh(f"ip link add cable_a netns {first} type veth peer name cable_b netns {second}")
    for host, cable in ((first, "cable_a"), (second, "cable_b")):
        sh(f"ip -n {host} addr add {HOSTS[host]}/24 dev {cable} && ip -n {host} link set {cable} up")


def tear_down() -> None:
    for host in HOSTS:
        subprocess.run(
            f"ip netns pids {host} | xargs -r kill -9; ip netns del {host}; rm -rf /etc/netns/{host}", shell=True
        )


def by_torchrun(out: Path, steps: int) -> None:
    first, second = HOSTS
    lines = [
        shlex.join([
            sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", "--node-rank", str(rank),
            "--master-addr", HOSTS[first], "--master-port", "29500", *RSUDA[1:], *RUN, "--steps", str(steps), "--devices", "1",
            "--nodes", "2", "--out", str(out),
        ])
        for rank in (0, 1)
    ]  # fmt: skip
    other = subprocess.Popen(on(second, lines[1]), shell=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    sh(on(first, lines[0]))
    other.wait()


def start_slurm(state: Path) -> None:
    nodes = "\n".join(
        f"NodeName={host} NodeAddr={ip} CPUs=2 RealMemory=4000 State=UNKNOWN" for host, ip in HOSTS.items()
    )
    (first, address), *_ = HOSTS.items()
    (state / "cgroup").mkdir(parents=True)
    configuration = {
        "slurm.conf": f"""ClusterName=two
SlurmctldHost={first}({address})
SlurmUser=root
StateSaveLocation={state}
SlurmdSpoolDir={state}/%n
SlurmdPidFile={state}/%n.pid
SlurmctldPidFile={state}/controller.pid
SlurmctldLogFile={state}/controller.log
SlurmdLogFile={state}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
JobAcctGatherType=jobacct_gather/none
KillWait=5
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
""",
        "cgroup.conf": f"CgroupPlugin=cgroup/v1\nCgroupMountpoint={state}/cgroup\n",
    }
    ETC.mkdir(exist_ok=True)
    for name, text in configuration.items():
        if (ETC / name).exists():
            raise SystemExit(f"{ETC / name} exists: this machine already has a SLURM cluster")
        (ETC / name).write_text(text)
    for host in HOSTS:
        (state / host).mkdir()
    sh("mkdir -p /run/munge && chown munge: /run/munge && chmod 755 /run/munge")
    subprocess.run("su -s /bin/sh munge -c munged", shell=True, stderr=subprocess.DEVNULL)  # unless it runs already
    sh(on(first, "slurmctld"))
    for host in HOSTS:
        sh(on(host, f"slurmd -N {host}"))
    time.sleep(5)


def by_slurm(state: Path, words: list[str], minutes: int) -> str:
    """Run a job to its end or its time limit. Returns its output."""
    job = state / "job.sh"
    job.write_text(
        "#!/bin/bash\n#SBATCH --nodes=2\n#SBATCH --ntasks-per-node=1\n"
        f"#SBATCH --time={minutes}\n#SBATCH --output={state}/job.log\n"
        f"cd {Path.cwd()}\nexport OMP_NUM_THREADS=1\nsrun {shlex.join([*RSUDA, *words])}\n"
    )
    first = next(iter(HOSTS))
    sh(on(first, f"sbatch --wait {job} || true"))
    return (state / "job.log").read_text()


def compare(name: str, one: Path, other: Path) -> None:
    same = (one / "weights.safetensors").read_bytes() == (other / "weights.safetensors").read_bytes()
    print(f"{name}: weights {'equal to the last bit' if same else 'DIFFER'}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slurm", action="store_true")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--long", type=int, default=120, help="steps of the job that a time limit of a minute ends")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        try:
            build()
            one, long = folder / "one", folder / "long"
            command = shlex.join([*RSUDA, *RUN, "--devices", "2"])
            sh(f"{command} --steps {args.steps} --out {one}")
            by_torchrun(folder / "torchrun", args.steps)
            compare(f"torchrun, two machines, {args.steps} steps", folder / "torchrun", one)
            if not args.slurm:
                return
            state = folder / "slurm"
            start_slurm(state)
            two = ["--devices", "1", "--nodes", "2", "--out"]
            by_slurm(state, [*RUN, "--steps", str(args.steps), *two, str(folder / "short")], 10)
            compare(f"srun, two machines, {args.steps} steps", folder / "short", one)
            sh(f"{command} --steps {args.long} --out {long}")
            limited = folder / "limited"
            output = by_slurm(state, [*RUN, "--steps", str(args.long), *two, str(limited)], 1)
            if "DUE TO TIME LIMIT" not in output or (limited / "weights.safetensors").exists():
                raise SystemExit(f"the job ended before its time limit: use more than {args.long} steps with --long")
            by_slurm(state, ["--out", str(limited), "--resume"], 10)
            step = re.search(r"checkpoint of step (\d+)", (limited / "log.txt").read_text())
            compare(
                f"srun, ended by its time limit, resumed from step {step and step[1]} of {args.long}", limited, long
            )
        finally:
            tear_down()
            if args.slurm and (ETC / "slurm.conf").is_file() and str(folder) in (ETC / "slurm.conf").read_text():
                for name in ("slurm.conf", "cgroup.conf"):
                    (ETC / name).unlink(missing_ok=True)


if __name__ == "__main__":
    main()
