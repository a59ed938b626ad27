"""One of several processes that train methods together: torchrun starts it with (data, out, processes, batch size, cases).

Trains each method for some steps in double precision, where only what differs in kind shows, and keeps number 0's state.
"""

import sys
from pathlib import Path

import lightning as L
import torch
from test_contract import ON
from towns import options

from rsuda.data import loader
from rsuda.learning.processes import processes
from rsuda.methods import METHODS
from rsuda.pair import pair
from rsuda.verbs.adapt import build, check_run, domains_of, with_class_weights

STEPS = 3
# what of a method relates the items of a batch to each other, where its defaults have it off
RELATING = {
    "source-only": {"class_weights": "balanced"},
    "dacs": {"trust": "classes", "teacher_statistics": "shown", "threshold": 0.4},
    "daformer": {"threshold": 0.4, "trust": "share", "teacher_statistics": "batch", "things": "b", "distance_weight": 0.1},
    "hrda": {"threshold": 0.4, "trust": "share", "things": "b"},
    "mic": {"threshold": 0.4, "trust": "pixels"},
    "bicl": {"keep": 0.5, "threshold": 0.1, "calibration": 0.9, "ce_on_hybrid": True},
    "bicl:pair": {"keep": 0.5, "threshold": 0.1, "calibration": 0.9, "scope": "pair", "static": "rounds"},
    "cluda": {"threshold": 0.4, "trust": "share"},
    "cluda:one": {"threshold": 0.4, "trust": "classes", "resolutions": 1, "pixels": 64},
    "st-dasegnet": {"certain": 0.4, "trusted": 0.4, "statistics": "target"},
    "st-dasegnet:both": {"certain": 0.4, "pseudo_labels": "separate", "statistics": "both"},
}
CASES = list(dict.fromkeys([*METHODS, *RELATING]))


def trained(data, case, batch_size, devices=1, accumulate=1, **more):
    """The state (networks, discriminators, teachers, thresholds, prototypes' bias) of a method after ``STEPS`` steps."""
    name = case.partition(":")[0]
    more = {"encoder": "tu-mobilenetv3_small_050", "dropout": 0.2, **more}
    s = options(
        data, method=name, steps=STEPS, batch_size=batch_size, accumulate=accumulate, devices=str(devices), crop=192,
        warmup=0, lr=1e-2, optimiser="sgd", options={**ON.get(name, {}), **RELATING.get(case, {})}, **more,
    )  # fmt: skip
    s, _ = check_run(s)
    found = pair(*domains_of(s), s)
    method = build(with_class_weights(s, found), found)
    team = processes(s.devices, 1, torch.device("cpu"))
    trainer = L.Trainer(
        **team.trainer(torch.device("cpu")), max_steps=STEPS, accumulate_grad_batches=accumulate, precision="64-true",
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(method, loader(found, s, method.needs_target))
    assert trainer.global_step == STEPS
    return {k: v.detach().clone() for k, v in method.state_dict().items()}


if __name__ == "__main__":
    data, out, devices, batch_size, cases = sys.argv[1:]
    for case in cases.split(","):
        state = trained(Path(data), case, int(batch_size), int(devices))
        torch.save(state, f"{out}/{case.replace(':', '_')}_{torch.distributed.get_rank()}.pt")
