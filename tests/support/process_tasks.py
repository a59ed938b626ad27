"""One of several processes that train methods together: torchrun starts it with (data, out, processes, batch size, cases).

Trains each method for some steps in double precision, where only what differs in kind shows, and keeps number 0's state.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import lightning as L
import numpy as np
import rasterio
import torch
import yaml
from method_runs import all_parts
from oracle_models import write
from safetensors.torch import save_file
from tiny_cities import build as towns
from tiny_cities import options

from rsuda.data.find_domain import training_domains
from rsuda.data.pairs.patches import loader
from rsuda.methods import METHODS
from rsuda.methods.blocks import nearest_cells, nearest_means, similar_cells
from rsuda.training.build import build, check_run, common_ground, options_for_pair
from rsuda.training.processes import processes
from rsuda.training.train import train

ROOT = Path(__file__).parents[2]
STEPS = 3
# what of a method relates the items of a batch to each other, where its defaults have it off
RELATING = {
    "source-only": {"class_weights": "balanced"},
    "dacs": {"trust": "classes", "teacher_statistics": "target", "threshold": 0.4},
    "daformer": {
        "threshold": 0.4,
        "trust": "share",
        "teacher_statistics": "batch",
        "things": "b",
        "distance_weight": 0.1,
    },
    "hrda": {"threshold": 0.4, "trust": "share", "things": "b"},
    "mic": {"threshold": 0.4, "trust": "pixels"},
    "bicl": {"keep_share": 0.5, "threshold": 0.1, "calibration": 0.9, "ce_on_hybrid": True},
    "bicl:pair": {
        "keep_share": 0.5,
        "threshold": 0.1,
        "calibration": 0.9,
        "scope": "pair",
        "static": "rounds",
        "centred": True,
    },
    "cluda": {"threshold": 0.4, "trust": "share"},
    "cluda:one": {
        "threshold": 0.4,
        "trust": "classes",
        "resolutions": 1,
        "pixels": 64,
        "centred": True,
        "contrast_share": 0.3,
    },
    "st-dasegnet": {"certain": 0.4, "trusted": 0.4, "statistics": "target"},
    "source-free": {"keep_share": 0.4, "prototype_weight": 3.0},
    "source-free:source": {"keep_share": 0.4, "prototype_weight": 3.0, "source_only_share": 0.6},
    "st-dasegnet:both": {"certain": 0.4, "pseudo_labels": "separate", "statistics": "both"},
    "dacs:hints": {"trust": "classes", "threshold": 0.4, "hint_accuracy": 0.8},
    "dacs:neighbours": {"threshold": 0.4, "neighbours": 1.0, "spread": 0.5},
    "st-dasegnet:prototypes": {"trust": "classes", "neighbours": 1.0, "votes": "prototypes", "spread": 0.5},
}
CASES = list(dict.fromkeys([*METHODS, *RELATING]))


NETWORK = {"encoder": "tu-mobilenetv3_small_050", "weights": "none", "dropout": 0.2}


def trained(data, case, batch_size, devices=1, accumulate=1, **more):
    """The state (networks, discriminators, teachers, thresholds, prototypes' bias) of a method after ``STEPS`` steps."""
    name = case.partition(":")[0]
    more = {**NETWORK, **more}
    if "neighbours" in RELATING.get(case, {}) or case == "source-free:source":
        more |= {"weights": str(data / "encoder.safetensors")}
        # short lists, which vote from the second step on
        nearest_cells.CELLS = nearest_means.CELLS = similar_cells.START = 100
    if "hint_accuracy" in RELATING.get(case, {}):
        more["target"] = str(data / "hinted.yaml")
    if not METHODS[name].needs_source and case != "source-free:source":
        more |= {"source": "", "start": str(data / "start")}
    s = options(
        data, method=name, steps=STEPS, batch_size=batch_size, accumulate=accumulate, devices=str(devices), crop=192,
        warmup=0, lr=1e-2, optimiser="sgd", options={**all_parts(name), **RELATING.get(case, {})}, **more,
    )  # fmt: skip
    s, _ = check_run(s)
    s, found, start = common_ground(s, training_domains(s))
    module = build(options_for_pair(s, found), found, start)
    team = processes(s.training.devices, 1, torch.device("cpu"))
    trainer = L.Trainer(
        **team.trainer(torch.device("cpu")), max_steps=STEPS, accumulate_grad_batches=accumulate, precision="64-true",
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, loader(found, s, with_target=module.method.needs_target))
    assert trainer.global_step == STEPS
    return {k: v.detach().clone() for k, v in module.method.state_dict().items()}


def cities(folder):
    """Cities larger than a crop, with nodata in a corner, so that patches hold unlike numbers of valid pixels; and a start."""
    towns(folder)
    hints = {"extends": "west.yaml", "name": "west", "hints": "west_{n}_label.tif"}
    (folder / "hinted.yaml").write_text(yaml.safe_dump(hints))
    rng = np.random.default_rng(1)
    for path in sorted(folder.glob("*.tif")):
        with rasterio.open(path) as file:
            values = np.tile(file.read(), (1, 2, 2))
        if "image" in path.name:
            # no two places alike, or rounding decides which of equal confidences is below a quantile
            values = (values + rng.normal(0, 15, values.shape)).clip(1, 255).astype(np.uint8)
            values[:, :90, :170] = 0
        write(path, values, nodata=0 if "image" in path.name else None)
    method = train(options(folder, method="source-only", steps=1, crop=192, **NETWORK), folder / "start", quiet=True)
    encoder = {name: values.contiguous() for name, values in method.model.network.encoder.state_dict().items()}
    save_file(encoder, folder / "encoder.safetensors")
    return folder


def surroundings(**environment):
    """Of processes that meet on this machine, whatever its name resolves to."""
    met = {"GLOO_SOCKET_IFNAME": "lo"} if Path("/sys/class/net/lo").exists() else {}
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "support")))
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **met, **environment}


def python(*words, **environment):
    words = [sys.executable, *map(str, words)]
    done = subprocess.run(words, env=surroundings(**environment), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return done


def train_by_two(data, out):
    """Every case by two processes with batches of 2, started by torchrun; states into ``out``."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    python(
        "-m", "torch.distributed.run", "--nproc-per-node", 2, "--master-addr", "127.0.0.1", "--master-port", port,
        __file__, data, out, 2, 2, ",".join(CASES),
    )  # fmt: skip


def held(out, case):
    """The states that both processes left."""
    return tuple(torch.load(out / f"{case.replace(':', '_')}_{k}.pt") for k in (0, 1))


def furthest(one, other):
    """The largest difference of two states, over the largest value of the tensor that it is in, and which that is."""
    assert set(one) == set(other)
    return max(
        (float((a.double() - other[k].double()).abs().max() / (other[k].double().abs().max() + 1e-4)), k)
        for k, a in one.items()
        if a.numel()
    )


if __name__ == "__main__":
    data, out, devices, batch_size, cases = sys.argv[1:]
    for case in cases.split(","):
        state = trained(Path(data), case, int(batch_size), int(devices))
        torch.save(state, f"{out}/{case.replace(':', '_')}_{torch.distributed.get_rank()}.pt")
