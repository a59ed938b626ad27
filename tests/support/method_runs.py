"""Build cities, settings and methods for short training runs of every method."""

from labelled_city import city
from lightning.pytorch.callbacks import Callback
from short_settings import settings

from rsuda.data.find_domain import training_domains
from rsuda.data.pairs.patches import PatchDataset
from rsuda.methods import METHODS, find_method
from rsuda.training.build import build, check_run, common_ground
from rsuda.training.train import train

WITH_SOURCE = [name for name, cls in METHODS.items() if cls.needs_source]
WITHOUT_SOURCE = [name for name, cls in METHODS.items() if not cls.needs_source]

# options that switch a part of a method on from the first step, for the methods that have them; neighbours need weights
ON = {"source_only_share": 0.0, "resolutions": 2, "uncertain_from": 0.0, "neighbours": 0.0}
# a tiny encoder at output stride 16, so that discriminators have 8 x 8 cells in a small window
SMALL = {
    "encoder": "tu-mobilenetv3_small_050", "output_stride": 16, "channels": 16, "weights": "none", "crop": 128,
    "batch_size": 2, "steps": 3, "workers": 0, "precision": "fp32", "device": "cpu",
}  # fmt: skip


# without a look at the cities' colours, and without a bank, each of which costs more than the steps
CHOSEN = {
    "gsd": None, "standardise": "imagenet", "band_matching": "name", "band_mixing": 0.0, "target_statistics": False,
    "training.bank": False,
}  # fmt: skip
# what 'auto' chooses for the two cities
BY_DOMAIN = {"standardise": "domain", "target_statistics": True}


# of runs that end as source-only does where a method is off
AS_SOURCE_ONLY = {"rare_temperature": 0.0, "target_statistics": False}


class InterruptionError(Exception):
    """Training is interrupted on purpose."""


class Interrupt(Callback):
    """Interrupt training after two steps."""

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == 2:
            raise InterruptionError


def all_parts(method):
    """Return the options that switch every part of a method on from the first step."""
    return {option: value for option, value in ON.items() if option in find_method(method).Options.model_fields}


def build_two_cities(folder):
    """Write two labelled cities of three classes: west is darker than east."""
    city(folder, "east")
    city(folder, "west", gain=0.6, seed=1)
    return folder


def run_settings(data, method, *, source_first=False, **changes):
    """Settings of a run of a few steps from east to west, with every part of the method on and alignment as CHOSEN.

    A method without a source adapts a run of one step from east to west, of the same network, which is trained when needed;
    with ``source_first`` it learns east itself.
    """
    changes.setdefault("options", all_parts(method))
    domains = {"source": str(data / "east.yaml"), "target": str(data / "west.yaml"), "data": str(data)}
    changes = {**SMALL, **domains, "method": method, **changes}
    if find_method(method).needs_source or source_first:
        changes = {**CHOSEN, **changes}
    else:
        changes |= {"source": "", "start": str(start_of(data, changes))}
    return settings(**changes)


def start_of(data, changes):
    """The folder of a run of one step of source-only from east to west, with the network of these changes."""
    network = {name: changes[name] for name in ("encoder", "output_stride", "channels", "weights", "crop")}
    folder = data / "_".join(["start", *(str(value).replace("/", "-") for value in network.values())])
    if not (folder / "weights.safetensors").is_file():
        start = run_settings(data, "source-only", steps=1, **network, **{"training.bank": True})
        train(start, folder, overwrite=True, quiet=True)
    return folder


def built(data, method, **changes):
    """A method before its first step, its patches and its settings."""
    checked, _ = check_run(run_settings(data, method, **changes))
    checked, domains, start = common_ground(checked, training_domains(checked))
    patches = PatchDataset(domains, checked, with_target=find_method(method).needs_target)
    return build(checked, domains, start).method, patches, checked
