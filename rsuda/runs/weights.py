"""A run folder: the resolved configuration, the weights with their spec, a resumable checkpoint, metrics and a log."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn
from torch.overrides import TorchFunctionMode

from rsuda.core.atomic import atomic_write
from rsuda.core.display import shown
from rsuda.core.documents import checked_json
from rsuda.core.errors import InputError, MissingError
from rsuda.core.settings import CHECKPOINT, SPEC, WEIGHTS, Settings
from rsuda.core.settings import CONFIG as CONFIG
from rsuda.core.settings import CURVE as CURVE
from rsuda.core.spec import Spec
from rsuda.core.version import __version__
from rsuda.learning.network import Architecture
from rsuda.methods import METHODS
from rsuda.methods.base import Method, Optimisation
from rsuda.runs.resolve import newest_run as newest_run  # of a run folder both are asked, and neither needs torch
from rsuda.runs.resolve import saved_settings as saved_settings


@dataclass(frozen=True)
class TrainedNetwork:
    """A network ready to predict: ``model`` maps standardised images to logits; ``digest`` is the SHA-256 of its file."""

    model: nn.Module
    spec: Spec
    path: Path
    method: str
    digest: str


def architecture(s: Settings, spec: Spec) -> Architecture:
    return Architecture(s.encoder, s.decoder, len(spec.legend), len(spec.bands), s.channels, s.dropout, s.output_stride)


def save_run(folder: Path, method: Method, s: Settings, spec: Spec) -> None:
    """Write weights (with the spec inside) and spec.json."""
    about = {
        "rsuda": __version__,
        "method": s.method,
        "architecture": method.arch.as_fields(),
        "options": s.options,
        "spec": spec.as_fields(),
    }
    tensors = {k: v.detach().cpu().contiguous() for k, v in method.model.state_dict().items()}
    with atomic_write(folder / WEIGHTS, overwrite=True) as temporary:
        temporary.write_bytes(save(tensors, {"rsuda": json.dumps(about)}))
    with atomic_write(folder / SPEC, overwrite=True) as temporary:
        temporary.write_text(json.dumps(about, indent=2) + "\n")


def load_run(path: str | Path) -> TrainedNetwork:
    """Load a run folder, or a weights file of one.

    Raises:
        MissingError: there is no such run, or it has no weights (it was not finished).
        InputError: the weights were not written by rsuda, or do not fit their own description.
    """
    path = Path(path).expanduser()
    file = path / WEIGHTS if path.is_dir() else path
    if not file.is_file():
        raise MissingError(
            f"{path} holds no {WEIGHTS}: it is no run folder, or its training has not ended (rsuda adapt --out {path} --resume)"
            if path.is_dir()
            else f"there is no run {path}"
        )
    about = description(file)
    spec = Spec.from_fields(about["spec"])
    arch = _architecture(about["architecture"], spec, file)
    method_class = METHODS[about["method"]]
    method_class.check_options(about["method"], about["options"])
    _check_shapes(method_class, arch, spec, about["options"], file)
    method = method_class(arch, spec, Optimisation(), **about["options"])
    with safe_open(file, "pt") as held:
        tensors = {k: held.get_tensor(k) for k in held.keys()}  # noqa: SIM118 (not a dict)
    try:
        method.model.load_state_dict(tensors)
    except RuntimeError as error:
        raise _unfit(file, error) from None
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return TrainedNetwork(method.model.eval(), spec, path, about["method"], digest)


def description(file: Path) -> dict[str, Any]:
    """What a weights file says of its network: method, architecture, options, spec. Raises InputError if nothing, or no network
    of a method that there is."""
    try:
        with safe_open(file, "pt") as held:
            text = (held.metadata() or {}).get("rsuda", "null")
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file} cannot be read as weights: {str(error).splitlines()[0]}") from None
    about = checked_json(text, f"the description in {file}")
    if not about:
        raise InputError(f"{file} does not say what network it holds: it was not written by rsuda")
    kinds = {"method": str, "architecture": dict, "options": dict, "spec": dict}
    wrong = [k for k, kind in kinds.items() if not isinstance(about, dict) or not isinstance(about.get(k), kind)]
    if wrong:
        raise InputError(f"{file} does not say what network it holds: its description has no {', '.join(wrong)}")
    if about["method"] not in METHODS:
        raise InputError(f"{file} was made by method {shown(about['method'])}, which this rsuda does not have")
    found: dict[str, Any] = about
    return found


def _architecture(told: dict[str, Any], spec: Spec, file: Path) -> Architecture:
    """Raises InputError for fields that are unknown, of another kind, or of no network for the spec."""
    try:
        arch = Architecture(**told)
    except TypeError as error:
        raise InputError(f"the architecture in {file} is none: {str(error).partition(' ')[2]}") from None
    numbers = (arch.classes, arch.bands, arch.channels, arch.output_stride)
    if not all(isinstance(v, str) for v in (arch.encoder, arch.decoder)) or not all(type(v) is int for v in numbers):
        raise InputError(f"the architecture in {file} has a field of another kind: {shown(told)}")
    if (arch.classes, arch.bands) != (len(spec.legend), len(spec.bands)):
        raise _unfit(
            file,
            f"{arch.classes} classes and {arch.bands} bands in the architecture, {len(spec.legend)} and "
            f"{len(spec.bands)} in the spec",
        )
    if not isinstance(arch.dropout, int | float) or not 0 <= arch.dropout < 1 or not 1 <= arch.channels <= 8192:
        raise InputError(f"the architecture in {file} has {arch.channels} channels and a dropout of {arch.dropout}")
    if arch.output_stride not in (8, 16, 32):
        raise InputError(f"the architecture in {file} has an output stride of {arch.output_stride}, not 8, 16 or 32")
    return arch


class _Numbers(TorchFunctionMode):
    """On the meta device, keeps true the few numbers that encoders read back (rates of stochastic depth)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        if func is torch.linspace:
            given.setdefault("device", "cpu")
        return func(*args, **given)


def _check_shapes(method: type[Method], arch: Architecture, spec: Spec, options: dict[str, Any], file: Path) -> None:
    """Raises InputError for a file whose tensors are not those of its description, before either takes any memory."""
    with safe_open(file, "pt") as held:
        shapes = {k: tuple(held.get_slice(k).get_shape()) for k in held.keys()}  # noqa: SIM118 (not a dict)
    before = torch.get_rng_state()
    try:
        with torch.device("meta"), _Numbers():
            own = {
                k: tuple(v.shape) for k, v in method(arch, spec, Optimisation(), **options).model.state_dict().items()
            }
    except InputError:
        raise
    except Exception as error:  # of many kinds, out of networks that can be described and not built
        raise _unfit(file, error) from None
    finally:
        torch.set_rng_state(before)
    wrong = [k for k in sorted({*own, *shapes}) if own.get(k) != shapes.get(k)]
    if wrong:
        key = wrong[0]
        raise _unfit(
            file, f"{len(wrong)} tensors differ, such as {key}: {own.get(key)} described, {shapes.get(key)} held"
        )


def _unfit(file: Path, why: object) -> InputError:
    return InputError(f"{file} does not fit its own description: {' '.join(str(why).split())[:200]}")


def checkpoint_step(folder: Path) -> int:
    """The optimiser step that a run's checkpoint was written after."""
    try:
        return int(torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)["global_step"])
    except Exception as error:  # torch's reader lets errors of pickle, zip files and storages through, of a dozen kinds
        raise InputError(
            f"{folder / CHECKPOINT} cannot be read, so it cannot be resumed: train anew with --overwrite"
        ) from error
