"""Every option of a run: presets, configuration files, and how they override each other."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from math import inf
from pathlib import Path
from re import fullmatch
from typing import Any

import yaml

from rsuda.core.display import shown
from rsuda.core.documents import read_yaml
from rsuda.core.errors import InputError, unknown

WEIGHTS, CONFIG, SPEC, CHECKPOINT = "weights.safetensors", "config.yaml", "spec.json", "last.ckpt"  # in a run folder
CURVE = "target_curve.csv"
OBJECT = "object: "  # what settings call a domain that was given as an object in Python, before its name


@dataclass(frozen=True)
class Settings:
    """All options of ``rsuda adapt``. A run folder keeps them in ``config.yaml``, which ``--config`` reads again.

    Attributes:
        source, target: known domain, domain file, or (target) folder or glob of rasters; 'object: NAME' for a domain that
            was given as an object in Python.
        source_split, target_split: splits trained on; target labels are never opened.
        score_split: target split scored once at the end, if it is labelled.
        score_every: steps after which the network of that moment is scored on it too, for a curve to look at; 0 for never.
        start: run folder whose network training starts from. What is not given is as in that run (its method's options only
            for the same method).
        data: folder of the data of both domains.
        gsd: metres per pixel of the network's input; None for the target's own; 'native' to leave both as they are.
        source_bands, target_bands: band order as in 'IRRG'; None to let the pair choose.
        standardise: 'imagenet' or 'domain' (each domain by its own mean and standard deviation).
        band_matching: of domains whose bands differ, feed the network their first bands one by one ('order') or only
            those that both have ('name').
        colours: 'match' maps each band of the source monotonically to the target's distribution; 'none' leaves it.
        band_mixing: how much of each band of a source patch a random mixture of bands may replace, 0 to 1.
        rare_temperature: temperature of rare-class sampling of source patches (DAFormer); 0 for none, None for the
            method's own.
        target_statistics: whether batch norm's running statistics are estimated on target patches after the last step
            (AdaBN); None for the method's own.
        scale: random scale of source patches, as factors of the GSD (low, high).
        max_share: source crops are drawn again, up to 10 times, while one class covers more than this.
        batch_size: patches of each domain that one process looks at together.
        accumulate: batches whose gradients make one optimiser step.
        devices: processes of each machine, one for each GPU, or on the CPU; 'auto' for all GPUs.
        nodes: machines that train together.
        strategy: how they do: 'ddp', each holds the whole network.
        options: the method's own.
    """

    source: str = ""
    target: str = ""
    method: str = "st-dasegnet"
    preset: str = "small"
    data: str | None = None
    source_split: str = "train"
    target_split: str = "train"
    score_split: str = "val"
    score_every: int = 0
    start: str | None = None
    gsd: float | str | None = None
    source_bands: str | None = None
    target_bands: str | None = None
    standardise: str = "imagenet"
    band_matching: str = "order"
    colours: str = "none"
    band_mixing: float = 0.0
    rare_temperature: float | None = None
    target_statistics: bool | None = None
    encoder: str = "mobilenet_v2"
    decoder: str = "segformer"
    channels: int = 128
    dropout: float = 0.0
    output_stride: int = 32
    weights: str = "imagenet"
    steps: int = 600
    batch_size: int = 4
    crop: int = 192
    seed: int = 0
    precision: str = "auto"
    device: str = "auto"
    devices: str = "1"
    nodes: int = 1
    strategy: str = "ddp"
    accumulate: int = 1
    workers: int = 1
    optimiser: str = "adamw"
    lr: float = 2e-4
    head_factor: float = 5.0
    discriminator_lr: float = 1e-4
    weight_decay: float = 0.01
    warmup: int = 30
    power: float = 0.9
    scale: tuple[float, float] = (0.75, 1.33)
    max_share: float = 0.75
    turns: bool = True
    photometric: bool = True
    target_geometry: bool = True
    options: dict[str, Any] = field(default_factory=dict)


# A preset is settings, and under 'methods' what it changes for single methods.

# Settings of ST-DASegNet's paper and released code for its two families; 'mit-b0' is the first on a smaller encoder.
# Two deviations: target patches are crops (the released code squeezes whole tiles into the crop, so that it trains on
# another scale than it predicts), the polynomial of resnet50 ends at 0 instead of 1e-5.
_AS_PAPER: dict[str, Any] = {
    "turns": False, "target_geometry": False, "scale": (0.5, 2.0), "workers": 4, "steps": 40_000, "crop": 384,
}  # fmt: skip
_SEGFORMER: dict[str, Any] = {
    **_AS_PAPER,
    "decoder": "segformer", "channels": 256, "dropout": 0.1, "batch_size": 4,
    "optimiser": "adamw", "lr": 6e-5, "head_factor": 1.0, "discriminator_lr": 1e-5, "weight_decay": 0.01,
    "warmup": 800, "power": 1.0, "methods": {"st-dasegnet": {"options": {"strided": 2, "statistics": "both"}}},
}  # fmt: skip
_RESNET: dict[str, Any] = {
    **_AS_PAPER, "encoder": "resnet50", "decoder": "deeplabv3plus", "channels": 512, "dropout": 0.1, "output_stride": 8,
    "batch_size": 6, "optimiser": "sgd", "lr": 1e-3, "head_factor": 2.0,
    "discriminator_lr": 2.5e-4, "weight_decay": 5e-4, "warmup": 0, "power": 0.9,
    "methods": {"st-dasegnet": {"options": {"strided": 3, "statistics": "both"}}},
}  # fmt: skip

# Each method as its own paper has it, street-scene choices included (rare-class temperature 0.01). Batch norm is trained
# throughout; the DeepLab-V2 papers freeze it. Photometric distortion and mirroring of the source as everywhere here.
_DEEPLAB: dict[str, Any] = {
    "encoder": "resnet101", "decoder": "deeplabv2", "output_stride": 8, "optimiser": "sgd", "head_factor": 10.0,
    "weight_decay": 5e-4, "warmup": 0, "power": 0.9, "batch_size": 2, "crop": 512, "turns": False, "workers": 4,
    "scale": (1.0, 1.0), "max_share": 1.0, "rare_temperature": 0.0, "target_statistics": False,
}  # fmt: skip
_DAFORMER: dict[str, Any] = {
    "encoder": "mit_b5", "decoder": "daformer", "channels": 256, "dropout": 0.1, "optimiser": "adamw", "lr": 6e-5,
    "head_factor": 10.0, "weight_decay": 0.01, "warmup": 1500, "power": 1.0, "steps": 40_000, "batch_size": 2, "crop": 512,
    "turns": False, "workers": 4, "scale": (1.0, 1.0), "rare_temperature": 0.01, "target_statistics": False,
}  # fmt: skip
_PAPER: dict[str, dict[str, Any]] = {
    "source-only": {**_DAFORMER, "rare_temperature": 0.0},
    "adaptsegnet": {**_DEEPLAB, "lr": 2.5e-4, "discriminator_lr": 1e-4, "steps": 150_000, "batch_size": 2},  # paper: batch 1
    "dacs": {**_DEEPLAB, "lr": 2.5e-4, "steps": 250_000},
    "bicl": {  # its crop of 730 px is no multiple of 32
        **_DEEPLAB, "lr": 7.5e-5, "steps": 100_000, "crop": 736, "scale": (0.8, 1.2),
        "options": {"static": "rounds", "scope": "pair"},
    },
    "daformer": _DAFORMER,
    "hrda": {**_DAFORMER, "crop": 1024},
    "mic": {**_DAFORMER, "crop": 1024},
    "cluda": {**_DAFORMER, "crop": 1024},
    "st-dasegnet": {**{k: v for k, v in _SEGFORMER.items() if k != "methods"}, "encoder": "mit_b5",
                    "options": {"strided": 2, "statistics": "both"}},
}  # fmt: skip

# For runs of hundreds of steps instead of 40 000: few confidences reach the papers' 0.968 or 0.975, so that q stays under 0.02
# and self-training stays off, and a teacher of decay 0.999 still averages its first steps. ST-DASegNet counts q from 0.8
# (it rises to about 0.3); the others learn from the surer half of each class's pixels, after a source-only start that costs
# less and loses nothing. Rare-class sampling is off: where no class is rare it turns the class frequencies round, which on
# two of the real fields cost 8 and 20 points. Small crops show little at two resolutions. Discriminators are narrower, or
# they would cost more than the network.
_SURE: dict[str, Any] = {
    "trust": "classes",
    "keep_share": 0.5,
    "teacher_decay": 0.99,
    "teacher_statistics": "target",
    "source_only_share": 0.4,
}
_SHORT: dict[str, dict[str, Any]] = {
    "st-dasegnet": {"options": {"certain": 0.8, "pseudo_weight": 1.0, "teacher_decay": 0.99}},
    "adaptsegnet": {"options": {"channels": 16}},
    "dacs": {"options": _SURE},
    "daformer": {"rare_temperature": 0.0, "options": _SURE},
    "hrda": {"rare_temperature": 0.0, "options": _SURE},
    "mic": {"rare_temperature": 0.0, "options": {**_SURE, "resolutions": 1}},
    "cluda": {
        "rare_temperature": 0.0,
        "options": {**_SURE, "resolutions": 1, "temperature": 0.1, "contrast_weight": 0.1, "pixels": 1024},
    },
    "bicl": {
        "options": {"teacher_decay": 0.99, "teacher_statistics": "target", "keep_share": 0.5, "source_only_share": 0.4}
    },
}
PRESETS: dict[str, dict[str, Any]] = {
    # For CPUs: minutes, not days. Fewer, larger steps; the discriminators are scaled to the crop.
    "small": {"methods": _SHORT},
    # For the synthetic sample tiles: a tiny encoder that learns from scratch.
    "sample": {
        "encoder": "tu-mobilenetv3_small_050", "channels": 64, "weights": "none", "steps": 400, "lr": 1e-3,
        "head_factor": 1.0, "discriminator_lr": 1e-4, "warmup": 20, "methods": _SHORT,
    },
    "paper": {"methods": _PAPER},
    "mit-b0": {**_SEGFORMER, "encoder": "mit_b0"},
    "mit-b5": {**_SEGFORMER, "encoder": "mit_b5"},
    "resnet50": _RESNET,
}  # fmt: skip


_NAMES = {f.name for f in fields(Settings)}
_OPTIONAL: dict[str, type] = {"rare_temperature": float, "target_statistics": bool}  # None: as the method has it


def settings(file: str | Path | None = None, **given: Any) -> Settings:
    """Settings from a preset, then a configuration file, then what is given; None counts as not given.

    With ``start`` and without a file, the configuration of the run started from is that file.

    Raises InputError for an unknown field, preset or a value of the wrong type, MissingError where there is no such file.
    """
    told = {k: v for k, v in given.items() if v is not None}
    for key in told:
        if key not in _NAMES:
            raise unknown("option", key, _NAMES)
    own_options = told.pop("options", {})
    held = _read(Path(file)) if file else {}
    if "start" in told and not file:
        held = _read(Path(told["start"]).expanduser() / "config.yaml")
        if told.get("method", held.get("method")) != held.get("method"):
            held["options"] = {}
    preset = told.get("preset", held.get("preset", Settings.preset))
    if not isinstance(preset, str) or preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    base = dict(PRESETS[preset])
    method = told.get("method", held.get("method", Settings.method))
    by_method = base.pop("methods", {})
    own = dict(by_method.get(method, {})) if isinstance(method, str) else {}
    of_preset = own.pop("options", {})
    merged = {**base, **own, **held, **told, "preset": preset}
    of_file = held.get("options") or {}
    if not isinstance(of_file, dict):
        raise InputError(f"'options' in {file} are no 'name: value' pairs")
    if not isinstance(own_options, dict):
        raise InputError(f"options are 'name: value' pairs, not {shown(own_options)}")
    merged["options"] = {k: _number(v) for k, v in {**of_preset, **of_file, **own_options}.items()}
    return check(replace(Settings(), **{k: _typed(k, v) for k, v in merged.items()}))


def _read(path: Path) -> dict[str, Any]:
    held = read_yaml(path, "configuration file") or {}
    if not isinstance(held, dict):
        raise InputError(f"configuration file {path} holds no 'option: value' pairs")
    for key in held:
        if key not in _NAMES:
            raise unknown(f"option in {path}", str(key), _NAMES)
    return held


def _typed(name: str, value: Any) -> Any:
    kinds = {f.name: f.default for f in fields(Settings)}
    default = kinds[name]
    value = str(value) if isinstance(value, Path) else value
    try:
        if name == "scale":
            low, high = value
            return float(low), float(high)
        if name in _OPTIONAL:
            return None if value is None else _typed_as(_OPTIONAL[name], value)
        if name == "devices":
            return value if value == "auto" else str(_typed_as(int, value))
        if name == "gsd":
            return value if value in (None, "native") else float(value)
        if isinstance(default, (bool, int, float)) or isinstance(value, bool):
            return _typed_as(type(default), value)
        if not isinstance(value, dict if name == "options" else str) and not (value is None and default is None):
            raise TypeError
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"option {name.replace('_', '-')} cannot be {shown(value)}") from None
    return value


def _typed_as(kind: type, value: Any) -> Any:
    """A bool, int or float. Raises TypeError or ValueError for a value of another kind."""
    if kind is bool or isinstance(value, bool):
        if not (kind is bool and isinstance(value, bool)):
            raise TypeError
        return value
    if kind is int and int(value) != float(value):
        raise ValueError
    return kind(value)


def check(s: Settings) -> Settings:
    """Raises InputError for a number out of range."""
    from_one = ("steps", "batch_size", "crop", "channels", "nodes", "accumulate")
    counts = ("workers", "warmup", "seed", "score_every")
    rates = ("lr", "head_factor", "discriminator_lr", "weight_decay", "power")
    for name in (*from_one, *counts, *rates):
        least = 1 if name in from_one else 0
        if not least <= getattr(s, name) < inf:
            raise InputError(f"option {name.replace('_', '-')} must be at least {least}, not {getattr(s, name)}")
    if s.devices != "auto" and int(s.devices) < 1:
        raise InputError(f"option devices must be auto or at least 1, not {s.devices}")
    if s.strategy != "ddp":
        raise unknown("strategy", s.strategy, ["ddp"])
    if not 0 <= s.dropout < 1:
        raise InputError(f"option dropout must be from 0 to below 1, not {s.dropout:g}")
    if not 0 < s.max_share <= 1:
        raise InputError(f"option max-share must be above 0 and at most 1, not {s.max_share:g}")
    if s.output_stride not in (8, 16, 32):
        raise InputError(f"option output-stride is 8, 16 or 32, not {s.output_stride}")
    if s.optimiser not in ("adamw", "sgd"):
        raise unknown("optimiser", s.optimiser, ["adamw", "sgd"])
    if isinstance(s.gsd, float) and not 0 < s.gsd < inf:
        raise InputError(f"option gsd must be above 0, not {s.gsd:g}")
    if s.crop % 32:
        raise InputError(f"crop must be a multiple of 32, not {s.crop}: try {max(32, round(s.crop / 32) * 32)}")
    if not 0 < s.scale[0] <= s.scale[1] < inf:
        raise InputError(f"option scale must be two positive factors, low then high, not {s.scale}")
    if s.rare_temperature is not None and not 0 <= s.rare_temperature < inf:
        raise InputError(f"option rare-temperature must be at least 0, not {s.rare_temperature:g}")
    if not 0 <= s.band_mixing <= 1:
        raise InputError(f"option band-mixing must be from 0 to 1, not {s.band_mixing:g}")
    for name, value, known in (
        ("band-matching", s.band_matching, ("order", "name")),
        ("colours", s.colours, ("none", "match")),
    ):
        if value not in known:
            raise unknown(f"value of option {name}", value, known)
    if s.standardise not in ("imagenet", "domain"):
        raise InputError(f"option standardise is imagenet or domain, not '{s.standardise}'")
    return s


def dump(s: Settings) -> str:
    """The settings as YAML."""
    plain = asdict(s)
    plain["scale"] = list(plain["scale"])
    return yaml.safe_dump(plain, sort_keys=False)


def parse_option(text: str) -> tuple[str, Any]:
    """'name=value' as a name and a YAML value. Raises InputError without '='."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise InputError(f"--set takes option=value, not '{text}'")
    try:
        return name.strip(), _number(yaml.safe_load(value))
    except yaml.YAMLError:
        raise InputError(f"the value in --set '{text}' is not valid YAML") from None


def _number(value: Any) -> Any:
    """'5e-3' as a number, which YAML takes for a word since it has no point."""
    return float(value) if isinstance(value, str) and fullmatch(r"[+-]?\d+[eE][+-]?\d+", value) else value
