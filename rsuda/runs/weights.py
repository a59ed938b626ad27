"""Save and load the network of a run: its weights, what kind of network they belong to, and what it expects of pixels."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ConfigDict, Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch.overrides import TorchFunctionMode

from rsuda.core.atomic import atomic_write
from rsuda.core.display import quoted, shown
from rsuda.core.documents import parse_json
from rsuda.core.errors import InputError, MissingError
from rsuda.core.hub import local_model
from rsuda.core.settings import CONFIG as CONFIG
from rsuda.core.settings import Settings
from rsuda.core.spec import Spec
from rsuda.core.spelling import spell, spell_command
from rsuda.core.validation import FrozenModel, validate
from rsuda.core.version import __version__
from rsuda.learning.network import Architecture, SegmentationNetwork
from rsuda.learning.networks import build_network
from rsuda.learning.shapes_alone import shapes_alone
from rsuda.learning.source_bank import SourceBank
from rsuda.runs.folders import CHECKPOINT, SPEC, WEIGHTS
from rsuda.runs.folders import CURVE as CURVE
from rsuda.runs.folders import newest_run as newest_run
from rsuda.runs.folders import saved_settings as saved_settings
from rsuda.runs.onnx_network import ONNX, load_onnx
from rsuda.runs.trained_network import TrainedNetwork as TrainedNetwork


class ArchitectureFields(FrozenModel):
    """The architecture in a weights file; see ``rsuda.learning.network.Architecture``."""

    model_config = ConfigDict(strict=True)

    encoder: str
    decoder: str
    classes: int = Field(ge=1)
    bands: int = Field(3, ge=1)
    channels: int = Field(256, ge=1, le=8192)
    dropout: float = Field(0.0, ge=0, lt=1)
    output_stride: Literal[8, 16, 32] = 32
    adapter_rank: int = Field(0, ge=0, le=1024)


class Description(FrozenModel):
    """What a weights file says of its network.

    Attributes:
        rsuda: the version that wrote it.
        network: its kind, one of ``rsuda.learning.networks.NETWORKS``.
        disentangle: of kind 'two-branch' only; whether it has the disentangle module.
        method: what trained it; nothing depends on it.
    """

    model_config = ConfigDict(strict=True)

    rsuda: str = ""
    network: Literal["plain", "two-resolution", "two-branch"]
    architecture: ArchitectureFields
    disentangle: bool = True
    spec: dict[str, Any]
    method: str = ""

    def build(self) -> SegmentationNetwork:
        """Build the network with random weights. Raises InputError for an encoder or decoder that is unknown."""
        options: dict[str, Any] = {"disentangle": self.disentangle} if self.network == "two-branch" else {}
        arch = Architecture(**self.architecture.model_dump())
        network: SegmentationNetwork = build_network(self.network, arch, **options)
        return network


def architecture(settings: Settings, spec: Spec) -> Architecture:
    """Describe the architecture that settings ask for, with the classes and bands of a spec."""
    net = settings.network
    return Architecture(
        net.encoder,
        net.decoder,
        len(spec.legend),
        len(spec.bands),
        net.channels,
        net.dropout,
        net.output_stride,
        net.adapter_rank,
    )


_BANK = "bank."  # before the names of the bank's tensors, beside those of the network


def save_run(folder: Path, model: SegmentationNetwork, spec: Spec, method: str, bank: SourceBank | None = None) -> None:
    """Write weights.safetensors, with the description inside, and spec.json, the description for people.

    Args:
        method: name of what trained the network, for information.
        bank: what the run keeps of its source's classes.
    """
    about = save_weights(folder / WEIGHTS, model, spec, method, bank)
    with atomic_write(folder / SPEC, overwrite=True) as temporary:
        temporary.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8", newline="\n")


def save_weights(
    file: Path, model: SegmentationNetwork, spec: Spec, method: str, bank: SourceBank | None = None
) -> dict[str, Any]:
    """Write a weights file, see ``save_run``, and return the description in it."""
    about = {"rsuda": __version__, **model.as_fields(), "spec": spec.as_fields(), "method": method}
    tensors = {k: tensor.detach().cpu().contiguous() for k, tensor in model.state_dict().items()}
    tensors |= {f"{_BANK}{k}": tensor for k, tensor in (bank.tensors() if bank else {}).items()}
    with atomic_write(file, overwrite=True) as temporary:
        temporary.write_bytes(save(tensors, {"rsuda": json.dumps(about)}))
    return about


def load_run(path: str | Path) -> TrainedNetwork:
    """Load a run folder, a weights file of one, a model of a hub (hf://org/name, file:///folder), or an ONNX file.

    Raises:
        MissingError: the run is missing, or has no weights (its training has not ended).
        InputError: the weights were not written by rsuda, or do not fit their own description.
    """
    path = local_model(path)
    if path.suffix.lower() == ONNX:
        return load_onnx(path)
    file = path / WEIGHTS if path.is_dir() else path
    if not file.is_file():
        if not path.is_dir():
            raise MissingError(f"the run {path} is missing: name a run folder or a weights file")
        if not (path / CONFIG).is_file():
            inside = sorted(folder for folder in path.iterdir() if (folder / WEIGHTS).is_file())
            advice = f"did you mean {inside[-1]}?" if inside else "name a run folder or a weights file"
            raise MissingError(f"{path} is not a run folder: {advice}")
        raise MissingError(
            f"{path} holds no {WEIGHTS}: finish its training with "
            f"{spell_command('adapt', out=path, resume=True)}, or name a run folder"
        )
    about = description(file)
    spec = Spec.from_fields(about.spec)
    check_shapes(about, spec, file)
    with torch.random.fork_rng(devices=[]):
        model = about.build()
    with safe_open(file, "pt") as weights:
        tensors = {k: weights.get_tensor(k) for k in weights.keys()}  # noqa: SIM118 (not a dict)
    of_bank = {k.removeprefix(_BANK): tensors.pop(k) for k in [*tensors] if k.startswith(_BANK)}
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise _unfit(file, error) from None
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return TrainedNetwork(model.eval(), spec, path, about.method, digest, _bank(of_bank, len(spec.legend), file))


def _bank(tensors: dict[str, torch.Tensor], classes: int, file: Path) -> SourceBank | None:
    """Read the bank of a file's tensors; None without any. Raises InputError for tensors of other classes."""
    if not tensors:
        return None
    if set(tensors) != {field.name for field in fields(SourceBank)}:
        raise _unfit(file, f"the means of the source's classes in it have the tensors {', '.join(sorted(tensors))}")
    bank = SourceBank(**tensors)
    if not bank.fits(classes):
        raise _unfit(file, f"the means of the source's classes in it are not those of {classes} classes")
    return bank


def description(file: Path) -> Description:
    """Read what a weights file says of its network. Raises InputError where it says nothing, or describes no network."""
    try:
        with safe_open(file, "pt") as weights:
            text = (weights.metadata() or {}).get("rsuda", "null")
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file} cannot be read as weights: {quoted(error)}") from None
    fields = parse_json(text, f"the description in {file}")
    if not fields:
        raise InputError(f"{file} does not say what network it holds: it was not written by rsuda")
    if not isinstance(fields, dict):
        raise InputError(f"{file} does not say what network it holds: its description is {shown(fields)}")
    if "network" not in fields:
        fields = _of_version_0_1(fields, file)
    return validate(Description, fields, f"field of the description in {file}:")


_TWO_RESOLUTIONS = {"hrda", "mic", "cluda"}
_OLD_METHODS = {*_TWO_RESOLUTIONS, "source-only", "adaptsegnet", "dacs", "daformer", "bicl", "st-dasegnet"}


def _of_version_0_1(fields: dict[str, Any], file: Path) -> dict[str, Any]:
    """Make the description of a file that names its method and options instead of its kind of network; read for one release."""
    kinds = {"method": str, "architecture": dict, "options": dict, "spec": dict}
    wrong = [name for name, kind in kinds.items() if not isinstance(fields.get(name), kind)]
    if wrong:
        raise InputError(f"{file} does not say what network it holds: its description has no {', '.join(wrong)}")
    fields = dict(fields)
    method, options = fields["method"], fields.pop("options")
    if method not in _OLD_METHODS:
        raise InputError(f"{file} was made by method {shown(method)}, which this rsuda does not have")
    if method in _TWO_RESOLUTIONS and options.get("resolutions", 2) == 2:
        return {**fields, "network": "two-resolution"}
    if method == "st-dasegnet":
        return {**fields, "network": "two-branch", "disentangle": options.get("disentangle", True)}
    return {**fields, "network": "plain"}


class _LinspaceOnCpu(TorchFunctionMode):
    """Keep true, on the meta device, the few numbers that encoders read back: their rates of stochastic depth."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            kwargs.setdefault("device", "cpu")
        return func(*args, **kwargs)


def check_shapes(about: Description, spec: Spec, file: Path) -> None:
    """Check that a file holds the tensors it describes, before either takes any memory.

    Raises InputError for tensors, classes or bands that differ, and for a network that cannot be built.
    """
    arch = about.architecture
    if (arch.classes, arch.bands) != (len(spec.legend), len(spec.bands)):
        raise _unfit(
            file,
            f"{arch.classes} classes and {arch.bands} bands in the architecture, {len(spec.legend)} and "
            f"{len(spec.bands)} in the spec",
        )
    with safe_open(file, "pt") as weights:
        names = [name for name in weights.keys() if not name.startswith(_BANK)]  # noqa: SIM118 (not a dict)
        shapes = {name: tuple(weights.get_slice(name).get_shape()) for name in names}
    try:
        with shapes_alone(), _LinspaceOnCpu():
            expected = {name: tuple(tensor.shape) for name, tensor in about.build().state_dict().items()}
    except InputError:
        raise
    except Exception as error:  # of many kinds, out of networks that can be described and not built
        raise _unfit(file, error) from None
    wrong = [name for name in sorted({*expected, *shapes}) if expected.get(name) != shapes.get(name)]
    if wrong:
        name = wrong[0]
        raise _unfit(
            file,
            f"{len(wrong)} tensors differ, such as {name}: {expected.get(name)} described, {shapes.get(name)} in the file",
        )


def _unfit(file: Path, why: object) -> InputError:
    return InputError(f"{file} does not fit its own description: {' '.join(str(why).split())[:200]}")


def checkpoint_step(folder: Path) -> int:
    """Read the optimiser step after which a run's checkpoint was written. Raises InputError for an unreadable file."""
    try:
        return int(torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)["global_step"])
    except Exception as error:  # torch's reader lets errors of pickle, zip files and storages through, of a dozen kinds
        raise InputError(
            f"{folder / CHECKPOINT} cannot be read, so it cannot be resumed: train it from the start with "
            f"{spell('overwrite', True)}"
        ) from error
