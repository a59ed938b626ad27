"""Read a file of pretrained weights, and find each tensor of an encoder in it, whatever library wrote it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any, cast

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from rsuda.core.errors import InputError, MissingError
from rsuda.core.spelling import spell
from rsuda.learning.encoders.input_statistics import Statistics, take_imagenet_statistics
from rsuda.learning.encoders.new_layers import is_new
from rsuda.learning.encoders.timm_encoders import PREFIX, TimmModel
from rsuda.learning.first_layer import repeat_filters

_NESTS = ("state_dict", "model_state_dict", "model_ema", "model", "module", "teacher", "student")
_PREFIXES = ("module.", "_orig_mod.", "encoder.", "backbone.", "model.")
_NAMED = 4  # tensors that a sentence names


@dataclass(frozen=True)
class WeightsFile:
    """The tensors of a file by name, in float32, without the prefixes of programs that trained them.

    ``statistics`` are those of the images it was trained with, where the file says them.
    """

    path: str
    tensors: dict[str, Tensor]
    statistics: Statistics | None = None

    @property
    def has_other_bands(self) -> bool:
        """Whether the first convolution takes other than three bands."""
        first = next((tensor for tensor in self.tensors.values() if tensor.ndim == 4), None)
        return first is not None and first.shape[1] != 3


def read_weights(path: Path) -> WeightsFile:
    """Read a .safetensors file, or one of torch.save that holds tensors alone. No code in it runs.

    Raises:
        MissingError: the file is missing.
        InputError: a file that holds no tensors by name.
    """
    if not path.is_file():
        raise MissingError(f"there is no weights file {path} ({spell('weights')} takes imagenet, none or a file)")
    safe = path.suffix == ".safetensors"
    try:
        content: Any = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors and pickle raise many kinds for a file that is not theirs
        kind = "a safetensors file" if safe else "a file of tensors alone, as torch.save writes it"
        raise InputError(
            f"weights file {path} cannot be read as {kind}: pass a .safetensors or .pth file of the encoder's weights"
        ) from error
    if not isinstance(content, dict):
        raise InputError(f"weights file {path} holds {type(content).__name__}: pass a file of tensors by name")
    statistics = _statistics(content, path)
    while nests := [name for name in _NESTS if isinstance(content.get(name), dict)]:
        content = content[nests[0]]
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    floats = {name: v.float() if v.is_floating_point() else v for name, v in tensors.items()}
    return WeightsFile(str(path), floats, statistics)


def _statistics(content: Mapping[Any, Any], path: Path) -> Statistics | None:
    """Read the mean and deviation that a file holds under 'mean' and 'std': a number, or one for each band."""
    if not {"mean", "std"} <= set(content):
        return None
    try:
        mean, std = (torch.as_tensor(content[name], dtype=torch.float64).flatten().tolist() for name in ("mean", "std"))
    except (TypeError, ValueError, RuntimeError):
        mean, std = [], []
    if not (mean and std and all(map(isfinite, mean)) and all(0 < value < inf for value in std)):
        raise InputError(
            f"weights file {path} has an invalid 'mean' or 'std' of bands on 0..1: store numbers, a 'std' above 0, "
            f"or leave both out"
        )
    return Statistics(tuple(mean), tuple(std))


def load_weights(encoder: nn.Module, file: WeightsFile, name: str, timm_encoder: TimmModel | None) -> str:
    """Load a file into an encoder, by the names of rsuda, smp or timm.

    Args:
        name: of the encoder, for the sentence.
        timm_encoder: timm's model of this encoder; None for one of smp's own.

    Returns:
        a sentence on the tensors of the file that the encoder does not use; empty where it uses all.

    Raises:
        InputError: a tensor of the encoder is missing or has another shape.
    """
    state = encoder.state_dict()
    encoder_keys = [key for key in state if not key.endswith("num_batches_tracked")]
    by_encoder_key = {key.removeprefix("encoder."): (key, tensor) for key, tensor in file.tensors.items()}
    complete = all(key in by_encoder_key for key in encoder_keys)  # a file of rsuda or smp
    if not complete:
        encoder_keys = [key for key in encoder_keys if not is_new(encoder, key)]
        by_encoder_key = _by_timm_names(file, state, timm_encoder)
    fitting = {key: by_encoder_key[key][1] for key in state if key in by_encoder_key}
    statistics = file.statistics
    if statistics is None and timm_encoder is not None and not complete:
        statistics = timm_encoder.statistics
    if statistics is not None:  # weights of unknown origin are taken as ImageNet's
        take_imagenet_statistics(encoder, fitting, statistics)
    repeat_filters(encoder, fitting)
    missing_keys = [key for key in encoder_keys if key not in fitting]
    other = [key for key in fitting if fitting[key].shape != state[key].shape]
    if missing_keys or other:
        raise _unfit(file, name, state, missing_keys, other, fitting)
    encoder.load_state_dict({**encoder.state_dict(), **fitting})
    file_keys = {by_encoder_key[key][0] for key in fitting}
    return _note(file, [key for key in file.tensors if key not in file_keys])


def _by_timm_names(
    file: WeightsFile, state: Mapping[str, Tensor], timm_encoder: TimmModel | None
) -> dict[str, tuple[str, Tensor]]:
    """Rename the file's tensors to the encoder's names, each with its name in the file, after timm's own conversion."""
    bare = {_bare(key): key for key in file.tensors}
    tensors = {key: file.tensors[original] for key, original in bare.items()}
    if timm_encoder is not None:
        tensors = _first_of_several_images(tensors)
        tensors = _converted(tensors, timm_encoder, file.path)
    originals = {_canonical(key): bare.get(key, key) for key in tensors}
    by_name = {_canonical(key): tensor for key, tensor in tensors.items()}
    return {key: (originals[k], by_name[k]) for key in state if (k := _canonical(key)) in by_name}


def _bare(key: str) -> str:
    """Strip a name of the prefixes of the programs that train."""
    while prefix := next((prefix for prefix in _PREFIXES if key.startswith(prefix)), ""):
        key = key.removeprefix(prefix)
    return key


def _canonical(key: str) -> str:
    """Write a name with one sign for '_' and '.': timm's lists of features have 'stages_0.' for 'stages.0.'."""
    return _bare(key).replace("_", ".")


def _converted(tensors: dict[str, Tensor], timm_encoder: TimmModel, path: str) -> dict[str, Tensor]:
    """Convert tensors as timm's own loader does those of other programs, other patches and other image sizes."""
    module = sys.modules[timm.model_entrypoint(timm_encoder.name).__module__]
    convert = getattr(module, "checkpoint_filter_fn", None)
    if convert is None:
        return tensors
    try:
        return cast("dict[str, Tensor]", convert(tensors, timm_encoder.whole()))
    except Exception as error:  # of many kinds, for tensors of another model
        raise InputError(
            f"weights file {path} does not fit the encoder {PREFIX}{timm_encoder.name}: timm cannot convert its tensors "
            f"({type(error).__name__})"
        ) from error


def _first_of_several_images(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert weights of a transformer of time series, such as Prithvi, to one image: patches of dates are added.

    A position embedding of several dates gives that of the first.
    """
    patches, positions = tensors.get("patch_embed.proj.weight"), tensors.get("pos_embed")
    if patches is None or patches.ndim != 5:
        return tensors
    result = {**tensors, "patch_embed.proj.weight": patches.sum(2)}
    if positions is not None:
        tokens = positions.shape[1] - 1
        side = next((n for n in range(1, 9) if tokens % n == 0 and round((tokens // n) ** 0.5) ** 2 == tokens // n), 1)
        result["pos_embed"] = positions[:, : 1 + tokens // side]
    return result


def _unfit(
    file: WeightsFile,
    name: str,
    state: Mapping[str, Tensor],
    missing_keys: list[str],
    other: list[str],
    fitting: Mapping[str, Tensor],
) -> InputError:
    if not missing_keys and len(other) == 1 and fitting[other[0]].shape[2:] == state[other[0]].shape[2:]:
        bands = [tensor.shape[1] for tensor in (fitting[other[0]], state[other[0]])]
        return InputError(
            f"weights file {file.path} is for {bands[0]} bands, and the pair has {bands[1]}: choose other "
            f"{spell('source_bands')} and {spell('target_bands')}, or {spell('weights')} for three bands, which are repeated"
        )
    hint = "" if name.startswith(PREFIX) else f" (timm's files fit encoders of timm, such as {PREFIX}resnet50)"
    return InputError(
        f"weights file {file.path} does not fit the encoder {name}: {len(missing_keys) + len(other)} of its {len(state)} tensors "
        f"are missing or have another shape, the first is {[*missing_keys, *other][0]}{hint}"
    )


def _note(file: WeightsFile, leftovers: list[str]) -> str:
    if not leftovers:
        return ""
    names = ", ".join(leftovers[:_NAMED]) + (f" and {len(leftovers) - _NAMED} more" if len(leftovers) > _NAMED else "")
    return f"{len(leftovers)} of {len(file.tensors)} tensors in {file.path} are not used by the encoder: {names}"
