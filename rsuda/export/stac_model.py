"""Describe a run as a STAC item of the Machine Learning Model extension: input, output, hyperparameters and files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rsuda.core.errors import MissingError
from rsuda.core.packaged_encoders import PACKAGED
from rsuda.core.settings import CONFIG
from rsuda.core.spec import Spec
from rsuda.core.version import __version__
from rsuda.geo.maps.stac_item import PROCESSING, classes, href, identifier
from rsuda.runs.folders import SPEC, WEIGHTS
from rsuda.runs.onnx_network import about_exported
from rsuda.runs.weights import Description, TrainedNetwork, description, saved_settings

if TYPE_CHECKING:
    from pystac import Item
    from pystac.extensions.mlm import ModelInput, ModelOutput

_INPUT_ORDER = ["batch", "bands", "height", "width"]  # from version 1.5 on, named bands need a dimension of this name
_OUTPUT_ORDER = ["batch", "channel", "height", "width"]
_VERSION = r"\d+\.\d+\.\d+(\+[0-9A-Za-z.-]+)?"  # that the extension takes; a torch built from its repository has others


@dataclass(frozen=True)
class _Artifact:
    """What STAC says of a file of weights. ``writer`` is the function that writes such files."""

    title: str
    framework: str
    writer: str
    roles: list[str]


_COMPILED = ["mlm:model", "mlm:compiled"]
_ARTIFACTS = {
    ".safetensors": _Artifact(
        "Weights, with the spec inside", "pytorch", "safetensors.torch.save_file", ["mlm:model", "mlm:weights"]
    ),
    ".onnx": _Artifact("ONNX", "onnx", "onnx.save", _COMPILED),
    ".pt2": _Artifact("Program of torch.export", "pytorch", "torch.export.save", _COMPILED),
}
_EXPORTS = {"onnx": "model.onnx", "onnx_int8": "model_int8.onnx", "pt2": "model.pt2"}  # asset and file
# settings that describe how the weights were trained, and name no files
_HYPERPARAMETERS = (
    "training.steps",
    "training.batch_size",
    "patches.window",
    "optimizer.lr",
    "optimizer.name",
    "optimizer.decoder_lr_factor",
    "optimizer.weight_decay",
    "optimizer.warmup_steps",
    "optimizer.poly_power",
    "training.seed",
    "align.standardise",
    "align.band_matching",
    "align.colours",
    "align.band_mixing",
)


def model_item(trained: TrainedNetwork, folder: Path, window: int = 512) -> Item:
    """Build the item of a finished run. Its assets are the files of the run folder, exported ones too.

    The item has no geometry, since a model does not know where it holds.

    Args:
        folder: the folder of the item's file, to which hrefs are relative.
        window: pixels per side of the input.

    Raises MissingError for a model without a weights file, such as an exported one.
    """
    from pystac.extensions.classification import ClassificationExtension
    from pystac.extensions.mlm import Hyperparameters, MLMExtension, TaskType

    run = trained.path if trained.path.is_dir() else trained.path.parent
    weights = run / WEIGHTS if trained.path.is_dir() else trained.path
    if not weights.is_file() or weights.suffix != ".safetensors":
        raise MissingError(f"a STAC item describes a run with weights, and {trained.path} holds no {WEIGHTS}")
    about = description(weights)
    name = re.sub(r"[^0-9A-Za-z]+$", "", f"rsuda-{identifier(run.resolve().name)}")
    item = _plain_item(name, trained, about, weights)
    MLMExtension.ext(item, add_if_missing=True).apply(
        name,
        f"{about.architecture.encoder} {about.architecture.decoder}",
        [TaskType.SEMANTIC_SEGMENTATION],
        [_model_input(trained.spec, window)],
        [_model_output(trained.spec, window)],
        framework="PyTorch",
        framework_version=str(torch.__version__) if re.fullmatch(_VERSION, torch.__version__) else None,
        total_parameters=sum(parameter.numel() for parameter in trained.model.parameters()),
        hyperparameters=Hyperparameters.create(**_hyperparameters(run, about)),
    )
    del item.properties["mlm:pretrained_source"]  # PySTAC writes a null, which would say "from scratch"
    item.properties |= _pretrained(run)
    ClassificationExtension.ext(item, add_if_missing=True)
    _add_assets(item, trained, weights, folder)
    item.stac_extensions.append("https://stac-extensions.github.io/file/v2.1.0/schema.json")
    return item


def _plain_item(name: str, trained: TrainedNetwork, about: Description, weights: Path) -> Item:
    """Build the item without extensions: its name, date and properties."""
    import pystac

    spec, arch = trained.spec, about.architecture
    properties = {
        "title": f"{arch.encoder} with {arch.decoder}, adapted by {trained.method}",
        "gsd": spec.gsd,
        "processing:software": {"rsuda": __version__},
        "rsuda:method": trained.method,
        "rsuda:network": trained.digest,
        "bands": _bands(spec),
    }
    date = datetime.fromtimestamp(int(weights.stat().st_mtime), UTC)
    return pystac.Item(f"{name}-{trained.digest[:12]}", None, None, date, properties, stac_extensions=[PROCESSING])


def _bands(spec: Spec) -> list[dict[str, str]]:
    """List the bands of the input. Those of the model's input refer to the item's; STAC wants an asset's as well."""
    return [{"name": band} for band in spec.bands]


def _model_input(spec: Spec, window: int) -> ModelInput:
    """Describe the input: standardised windows, with one z-score of raw pixels for each band."""
    from pystac.extensions.mlm import InputStructure, ModelInput, ValueScaling, ValueScalingType
    from pystac.extensions.raster import DataType

    structure = InputStructure.create([-1, len(spec.bands), window, window], _INPUT_ORDER, DataType.FLOAT32)
    text = f"Pixels of {spec.gsd:g} m, standardised; where there is no data, pixels of the value 'low'"
    model_input = ModelInput.create("image", list(spec.bands), structure, description=text)
    model_input.properties["value_scaling"] = [
        ValueScaling.create(ValueScalingType.Z_SCORE, mean=mean, stddev=deviation).to_dict()
        for mean, deviation in zip(*spec.raw_statistics(), strict=True)
    ]
    return model_input


def _model_output(spec: Spec, window: int) -> ModelOutput:
    """Describe the output: logits of the classes of the legend."""
    from pystac.extensions.mlm import ModelOutput, ResultStructure, TaskType
    from pystac.extensions.raster import DataType

    structure = ResultStructure.create([-1, len(spec.legend), window, window], _OUTPUT_ORDER, DataType.FLOAT32)
    numbers = ", ".join(f"{number:g}" for number in spec.temperature)
    which = "the temperature of the predicted class, in the order of the classes" if len(spec.temperature) > 1 else "T"
    text = f"Calibrated probabilities are softmax(logits / T), where T is {which}: {numbers}" if numbers else None
    if spec.bias:
        biases = ", ".join(f"{number:g}" for number in spec.bias)
        text = f"Calibrated probabilities are softmax(log_softmax(logits) / T + b), with T {numbers} and b {biases} by class"
    model_output = ModelOutput.create(
        "logits", [TaskType.SEMANTIC_SEGMENTATION], structure, classes=classes(spec.legend), description=text
    )
    return model_output


def _add_assets(item: Item, trained: TrainedNetwork, weights: Path, folder: Path) -> None:
    """Add the weights, the exported files of the same model, the spec and the configuration."""
    import pystac
    from pystac.extensions.mlm import AssetGeneralMLMExtension

    run = weights.parent
    exports = {
        name: run / file
        for name, file in _EXPORTS.items()
        if (run / file).is_file() and about_exported(run / file).get("network") == trained.digest
    }
    for name, file in {"weights": weights, **exports}.items():
        artifact = _ARTIFACTS[file.suffix]
        asset = pystac.Asset(
            href(file, folder),
            artifact.title if name != "onnx_int8" else "ONNX, in 8-bit integers",
            media_type=f"application/octet-stream; framework={artifact.framework}",
            roles=artifact.roles,
            extra_fields={"file:size": file.stat().st_size, "bands": _bands(trained.spec)},
        )
        item.add_asset(name, asset)
        AssetGeneralMLMExtension.ext(asset).apply(artifact_type=artifact.writer)
    for name, media_type in ((SPEC, "application/json"), (CONFIG, "application/yaml")):
        if (run / name).is_file():
            asset = pystac.Asset(href(run / name, folder), media_type=media_type, roles=["metadata"])
            item.add_asset(Path(name).stem, asset)


def _hyperparameters(folder: Path, about: Description) -> dict[str, Any]:
    """List the hyperparameters: the architecture and, if the run has its configuration, the method's and training's."""
    parameters = about.architecture.model_dump()
    if (folder / CONFIG).is_file():
        settings = saved_settings(folder)
        values = settings.by_name()
        parameters |= settings.method.options | {name: values[name] for name in _HYPERPARAMETERS}
    return parameters


def _pretrained(folder: Path) -> dict[str, Any]:
    """Say whether the encoder began with pretrained weights; the name of a weights file is left out."""
    if not (folder / CONFIG).is_file():
        return {}
    weights = saved_settings(folder).network.weights
    if weights == "none":
        return {"mlm:pretrained": False, "mlm:pretrained_source": None}
    return {"mlm:pretrained": True} | (
        {"mlm:pretrained_source": "ImageNet"} if weights in ("imagenet", PACKAGED) else {}
    )
