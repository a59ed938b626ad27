"""Build cities, settings and methods for short training runs of every method."""

from labelled_city import city

from rsuda.core.settings import settings
from rsuda.data.find_domain import find_domains
from rsuda.data.pair import pair
from rsuda.data.patches import PatchDataset
from rsuda.methods import METHODS
from rsuda.training.build import build, check_run

# options that switch every part of a method on from the first step
ON = {
    "dacs": {"start": 0.0}, "daformer": {"start": 0.0}, "bicl": {"start": 0.0},
    "hrda": {"start": 0.0, "resolutions": 2}, "mic": {"start": 0.0, "resolutions": 2},
    "cluda": {"start": 0.0, "resolutions": 2, "uncertain_from": 0.0},
}  # fmt: skip
SMALL = {"crop": 192, "batch_size": 2, "steps": 3, "weights": "none", "workers": 0, "channels": 16, "precision": "fp32"}


def build_two_cities(folder):
    """Write two labelled cities of three classes: west is darker than east."""
    city(folder, "east")
    city(folder, "west", gain=0.6, seed=1)
    return folder


def run_settings(data, method, **changes):
    """Settings of a run of a few steps from east to west, with every part of the method on."""
    changes.setdefault("options", ON.get(method, {}))
    return settings(
        source=str(data / "east.yaml"),
        target=str(data / "west.yaml"),
        method=method,
        data=str(data),
        **{**SMALL, **changes},
    )


def built(data, method, **changes):
    """An untrained method, its patches and its settings."""
    checked, _ = check_run(run_settings(data, method, **changes))
    domains = pair(*find_domains(checked), checked)
    return build(checked, domains), PatchDataset(domains, checked, with_target=METHODS[method].needs_target), checked
