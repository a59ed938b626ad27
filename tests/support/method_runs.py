"""Build cities, settings and methods for short training runs of every method."""

from labelled_city import city
from short_settings import settings

from rsuda.data.find_domain import find_domains
from rsuda.data.pair import pair
from rsuda.data.patches import PatchDataset
from rsuda.methods import find_method
from rsuda.training.build import build, check_run

# options that switch a part of a method on from the first step, for the methods that have them; neighbours need weights
ON = {"source_only_share": 0.0, "resolutions": 2, "uncertain_from": 0.0, "neighbours": 0.0}
# a tiny encoder at output stride 16, so that discriminators have 8 x 8 cells in a small window
SMALL = {
    "encoder": "tu-mobilenetv3_small_050", "output_stride": 16, "channels": 16, "weights": "none", "crop": 128,
    "batch_size": 2, "steps": 3, "workers": 0, "precision": "fp32", "device": "cpu",
}  # fmt: skip


def all_parts(method):
    """Return the options that switch every part of a method on from the first step."""
    return {option: value for option, value in ON.items() if option in find_method(method).Options.model_fields}


def build_two_cities(folder):
    """Write two labelled cities of three classes: west is darker than east."""
    city(folder, "east")
    city(folder, "west", gain=0.6, seed=1)
    return folder


def run_settings(data, method, **changes):
    """Settings of a run of a few steps from east to west, with every part of the method on."""
    changes.setdefault("options", all_parts(method))
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
    patches = PatchDataset(domains, checked, with_target=find_method(method).needs_target)
    return build(checked, domains).method, patches, checked
