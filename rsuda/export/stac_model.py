"""The STAC item of a run, by the Machine Learning Model extension: what the network expects, gives, and was made with."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rsuda.core.errors import MissingError
from rsuda.core.version import __version__
from rsuda.export.onnx_network import about_exported
from rsuda.geo.stac_item import PROCESSING, classes, href, identifier
from rsuda.runs.weights import CONFIG, SPEC, WEIGHTS, Description, TrainedNetwork, description, saved_settings

if TYPE_CHECKING:
    from pystac import Item

_ARTIFACTS = {  # by suffix: title, framework, what writes such files, roles
    ".safetensors": (
        "Weights, with the spec inside",
        "pytorch",
        "safetensors.torch.save",
        ["mlm:model", "mlm:weights"],
    ),
    ".onnx": ("ONNX", "onnx", "onnx.save", ["mlm:model", "mlm:compiled"]),
    ".pt2": ("Program of torch.export", "pytorch", "torch.export.save", ["mlm:model", "mlm:compiled"]),
}
# settings of a run that say how its weights came about, and name nobody's files
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


def model_item(trained: TrainedNetwork, beside: Path, window: int = 512) -> Item:
    """The item of a finished run; files of the run's folder, exported ones too, are its assets.

    Where a network holds is not known to it, so the item has no geometry.

    Args:
        beside: folder that the item is to lie in, from where hrefs point.
        window: pixels per side that the input is said to have.

    Raises MissingError for a network that has no weights file, such as an exported one.
    """
    import pystac
    from pystac.extensions.classification import ClassificationExtension
    from pystac.extensions.mlm import (
        AssetGeneralMLMExtension,
        Hyperparameters,
        InputStructure,
        MLMExtension,
        ModelInput,
        ModelOutput,
        ResultStructure,
        TaskType,
        ValueScaling,
        ValueScalingType,
    )
    from pystac.extensions.raster import DataType

    folder = trained.path if trained.path.is_dir() else trained.path.parent
    weights = folder / WEIGHTS if trained.path.is_dir() else trained.path
    if not weights.is_file() or weights.suffix != ".safetensors":
        raise MissingError(f"{trained.path} holds no {WEIGHTS}, which a STAC item describes")
    spec, about = trained.spec, description(weights)
    arch = about.architecture
    name = re.sub(r"[^0-9A-Za-z]+$", "", f"rsuda-{identifier(folder.resolve().name)}")
    bands = [{"name": band} for band in spec.bands]  # the input's refer to the item's; STAC wants an asset's as well
    item = pystac.Item(
        f"{name}-{trained.digest[:12]}", None, None, datetime.fromtimestamp(int(weights.stat().st_mtime), UTC),
        {
            "title": f"{arch.encoder} with {arch.decoder}, adapted by {trained.method}", "gsd": spec.gsd,
            "processing:software": {"rsuda": __version__}, "rsuda:method": trained.method,
            "rsuda:network": trained.digest, "bands": bands,
        },
        stac_extensions=[PROCESSING],
    )  # fmt: skip
    # ((v - low) / (high - low) - mean) / std as one z-score of raw pixels
    scaling = [
        ValueScaling.create(ValueScalingType.Z_SCORE, mean=low + mean * (high - low), stddev=std * (high - low))
        for low, high, mean, std in zip(spec.low, spec.high, spec.mean, spec.std, strict=True)
    ]
    order, float32 = ["batch", "channel", "height", "width"], DataType.FLOAT32
    fed = ModelInput.create(
        "image", list(spec.bands), InputStructure.create([-1, len(spec.bands), window, window], order, float32),
        description=f"Pixels of {spec.gsd:g} m, standardised; where there is no data, pixels of the value 'low'",
    )  # fmt: skip
    fed.properties["value_scaling"] = [s.to_dict() for s in scaling]
    given = ModelOutput.create(
        "logits", [TaskType.SEMANTIC_SEGMENTATION],
        ResultStructure.create([-1, len(spec.legend), window, window], order, float32),
        classes=classes(spec.legend),
    )  # fmt: skip
    MLMExtension.ext(item, add_if_missing=True).apply(
        name, f"{arch.encoder} {arch.decoder}", [TaskType.SEMANTIC_SEGMENTATION], [fed], [given],
        framework="pytorch", framework_version=torch.__version__,
        total_parameters=sum(p.numel() for p in trained.model.parameters()),
        hyperparameters=Hyperparameters.create(**_hyperparameters(folder, about)),
    )  # fmt: skip
    del item.properties["mlm:pretrained_source"]  # PySTAC writes a null, which would say "from scratch"
    item.properties |= _pretrained(folder)
    ClassificationExtension.ext(item, add_if_missing=True)
    exported = [folder / "model.onnx", folder / "model.pt2"]
    for path in [weights, *(f for f in exported if f.is_file() and about_exported(f).get("network") == trained.digest)]:
        title, framework, artifact, roles = _ARTIFACTS[path.suffix]
        asset = pystac.Asset(
            href(path, beside), title, None, f"application/octet-stream; framework={framework}", roles,
            {"file:size": path.stat().st_size, "bands": bands},
        )  # fmt: skip
        item.add_asset("weights" if path is weights else path.suffix[1:], asset)
        AssetGeneralMLMExtension.ext(asset).apply(artifact_type=artifact)
    for file, media in ((SPEC, "application/json"), (CONFIG, "application/yaml")):
        if (folder / file).is_file():
            item.add_asset(Path(file).stem, pystac.Asset(href(folder / file, beside), None, None, media, ["metadata"]))
    item.stac_extensions.append("https://stac-extensions.github.io/file/v2.1.0/schema.json")
    return item


def _hyperparameters(folder: Path, about: Description) -> dict[str, Any]:
    """Of the method and, where the run has its configuration, of the training; and the network's widths."""
    parameters = about.architecture.model_dump()
    if (folder / CONFIG).is_file():
        settings = saved_settings(folder)
        values = settings.by_name()
        parameters |= settings.method.options | {name: values[name] for name in _HYPERPARAMETERS}
    return parameters


def _pretrained(folder: Path) -> dict[str, Any]:
    """Whether the encoder began with weights from elsewhere; a file's name says nothing to others."""
    if not (folder / CONFIG).is_file():
        return {}
    begun = saved_settings(folder).network.weights
    if begun == "none":
        return {"mlm:pretrained": False, "mlm:pretrained_source": None}
    return {"mlm:pretrained": True} | ({"mlm:pretrained_source": "ImageNet"} if begun == "imagenet" else {})
