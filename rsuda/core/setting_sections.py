"""Sections of a run's settings: each field with its type, range, default and description."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from re import fullmatch
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictBool, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from rsuda.core.number_text import metres
from rsuda.core.validation import FrozenModel


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _gsd(value: Any) -> float | str | None:
    if value is None or value == "target":
        return None
    if isinstance(value, str) and value in ("auto", "native"):
        return value
    try:
        number = float("nan") if isinstance(value, bool) else float(metres(value))
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not isfinite(number) or number <= 0:
        raise PydanticCustomError("gsd", "metres per pixel above 0, 'target', 'native' or 'auto'")
    return number


def _share(value: Any) -> float | str:
    if isinstance(value, str) and value == "auto":
        return value
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not 0 <= number <= 1:
        raise PydanticCustomError("share", "a number from 0 to 1, or 'auto'")
    return number


def _switch(value: Any) -> bool | str | None:
    words: dict[Any, bool | None] = {"true": True, "false": False, "null": None}  # on the command line
    if isinstance(value, str) and value in words:
        return words[value]
    if value is None or isinstance(value, bool) or (isinstance(value, str) and value == "auto"):
        return value
    raise PydanticCustomError("switch", "true, false, 'auto' or null")


def _scale(value: Any) -> tuple[float, float]:
    try:
        low, high = (float("nan") if isinstance(factor, bool) else float(factor) for factor in value)
    except (TypeError, ValueError, OverflowError):
        low = high = float("nan")
    if not 0 < low <= high < float("inf"):
        raise PydanticCustomError("scale", "two positive factors, low then high")
    return low, high


def _device(value: Any) -> str:
    if not fullmatch(r"auto|cpu|mps|cuda(:\d+)?", str(value)):
        raise PydanticCustomError("device", "auto, cpu, cuda, cuda:N or mps")
    return str(value)


def _devices(value: Any) -> str:
    if value == "auto":
        return "auto"
    if isinstance(value, bool) or not fullmatch(r"[1-9]\d*(\.0)?", str(value)):
        raise PydanticCustomError("devices", "'auto' or a whole number from 1 on")
    return str(int(float(value)))


Text = Annotated[str, BeforeValidator(_text)]
GSD = Annotated[float | Literal["native", "auto"] | None, BeforeValidator(_gsd)]
Share = Annotated[float | Literal["auto"], BeforeValidator(_share)]
Switch = Annotated[bool | Literal["auto"] | None, BeforeValidator(_switch)]
Scale = Annotated[tuple[float, float], BeforeValidator(_scale)]
Device = Annotated[str, BeforeValidator(_device)]
Devices = Annotated[str, BeforeValidator(_devices)]


class SourceSettings(FrozenModel):
    """The labelled domain."""

    name: Text = Field("", description="Labelled domain: a known name or a domain file; --source may be repeated.")
    also: tuple[Text, ...] = Field((), description="Further labelled domains, each with its own bands, GSD and legend.")
    weights: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        None,
        description="Share of the patches of each source, such as [2, 1]; by default in proportion to their areas.",
    )
    split: Text = Field("train", description="Split of the source that is trained on.")
    bands: Text | None = Field(
        None, description="Band order of the source, e.g. RGB or IRRG; the pair chooses by default."
    )
    nodata: float | None = Field(
        None, description="Value that marks pixels of the source without data; the files' own by default."
    )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all sources, each once; none for a run without the source's data."""
        return tuple(dict.fromkeys(name for name in (self.name, *self.also) if name))

    @property
    def title(self) -> str:
        """The names of all sources as one text."""
        return "+".join(self.names)


class TargetSettings(FrozenModel):
    """The domain that is adapted to."""

    name: Text = Field("", description="Domain to adapt to: name, domain file, folder or glob of rasters.")
    split: Text = Field("train", description="Split of the target that is trained on; its labels are never opened.")
    bands: Text | None = Field(None, description="Band order of the target; the pair chooses by default.")
    nodata: float | None = Field(
        None, description="Value that marks pixels of the target without data; the files' own by default."
    )


class AlignSettings(FrozenModel):
    """What brings the domains nearer to each other, whatever the method. 'auto' is decided by a look at both domains."""

    gsd: GSD = Field(
        "auto",
        description="Common metres per pixel, 'target', 'native', or 'auto': the target's unless the source is much coarser.",
    )
    standardise: Literal["auto", "imagenet", "domain"] = Field(
        "auto",
        description="Mean and deviation of the input: ImageNet's ('imagenet'), each domain's own ('domain'), or 'auto'.",
    )
    band_matching: Literal["auto", "order", "name"] = Field(
        "auto",
        description="How bands are paired: 'order' takes them one by one, 'name' only those that both domains have; or 'auto'.",
    )
    colours: Literal["none", "match"] = Field(
        "none", description="'match' gives the source the colours of the target, by a monotonic curve for each band."
    )
    band_mixing: Share = Field(
        "auto",
        description="Share of each source band that a random mixture of bands may replace; 'auto' is 1 for unlike sensors.",
    )
    rare_temperature: float | None = Field(
        None,
        ge=0,
        description="Draw source patches with rare classes more often (DAFormer); more the nearer to 0, but 0 turns it off, "
        "and null is the method's own.",
    )
    target_statistics: Switch = Field(
        "auto",
        description="Fit the model's normalisation to the target's colours after the last step (batch norm, AdaBN); "
        "null is the method's own, 'auto' is true where colours differ.",
    )


class PatchSettings(FrozenModel):
    """How patches are drawn, augmented and read."""

    window: int = Field(192, ge=32, multiple_of=32, description="Patch size in pixels, a multiple of 32.")
    scale: Scale = Field((0.75, 1.33), description="Random scale of source patches, as factors of the GSD (low, high).")
    max_class_share: float = Field(
        0.75,
        gt=0,
        le=1,
        description="Source patches are drawn again, up to 10 times, while one class covers more than this.",
    )
    flip_rotate: StrictBool = Field(True, description="Flip patches and turn them by right angles.")
    photometric: StrictBool = Field(True, description="Change the colours of source patches at random.")
    hue: float = Field(
        0.05, ge=0, le=0.5, description="Largest turn of a source patch's hue, as a share of the colour circle."
    )
    target_geometry: StrictBool = Field(True, description="Flip and turn target patches too.")
    workers: int = Field(1, ge=0, description="Processes that read patches, for each process that trains.")


class MethodSettings(FrozenModel):
    """The method of adaptation, and its own options, which stand beside its name in files."""

    name: Text = Field(
        "source-free", description="Method; rsuda methods lists all. Presets of papers begin with st-dasegnet."
    )
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the method; its page lists them.")

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        options = {name: value for name, value in fields.items() if name != "name"}
        return {name: value for name, value in fields.items() if name == "name"} | {"options": options}

    @model_serializer
    def _spread_options(self) -> dict[str, Any]:
        return {"name": self.name, **self.options}


class WitnessSettings(FrozenModel):
    """The frozen encoder that methods with a second witness ask; options of theirs, and ``witness`` a flag of commands."""

    witness: str = Field(
        "",
        description="Encoder that gives a second opinion on pseudo labels, such as tu-tf_efficientnet_lite2; empty for the "
        "model's own.",
    )
    witness_weights: str = Field(
        "",
        description="Weights of the encoder of `witness`: 'imagenet', 'packaged' or a file; empty for packaged ones where "
        "they are installed, else 'imagenet'.",
    )


class NetworkSettings(FrozenModel):
    """The network and its first weights."""

    encoder: Text = Field(
        "mobilenet_v2",
        description="Encoder of segmentation-models-pytorch; tu-NAME is one of timm, vision transformers too. Without "
        "weights, EfficientNet-Lite0 takes its place where rsuda[weights] is installed.",
    )
    decoder: Text = Field("segformer", description="Decoder: segformer, unet, deeplabv3plus, deeplabv2 or daformer.")
    channels: int = Field(128, ge=1, le=8192, description="Width of the decoder.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the classifier.")
    output_stride: Literal[8, 16, 32] = Field(32, description="Output stride of the encoder.")
    weights: Text = Field(
        "imagenet",
        description="Encoder weights: imagenet (downloaded), packaged (of rsuda[weights], chosen where it is installed), sample, "
        "none or a file, timm's too.",
    )
    frozen: StrictBool = Field(
        False, description="Leave the encoder's pretrained weights as they are; the decoder and adapters train."
    )
    adapter_rank: int = Field(
        0,
        ge=0,
        le=1024,
        description="Rank of adapters (LoRA) beside the linear layers of a frozen encoder; 0 for none.",
    )
    start: Text | None = Field(
        None, description="Run folder or hf://ORG/NAME whose model training starts from; its settings are the defaults."
    )


class OptimizerSettings(FrozenModel):
    """How the networks are optimised."""

    name: Literal["adamw", "sgd"] = Field(
        "adamw", description="Optimizer of the networks: AdamW, or SGD with momentum 0.9. Discriminators take Adam."
    )
    lr: float = Field(2e-4, ge=0, description="Learning rate of the encoder.")
    decoder_lr_factor: float = Field(5.0, ge=0, description="Learning rate of the decoder, as a multiple of lr.")
    discriminator_lr: float = Field(1e-4, ge=0, description="Learning rate of discriminators.")
    weight_decay: float = Field(
        0.01, ge=0, description="Weight decay of the networks; norms and biases get none under AdamW."
    )
    warmup_steps: int = Field(30, ge=0, description="Steps of linear warm-up.")
    poly_power: float = Field(0.9, ge=0, description="Power of the polynomial decay to 0 at the last step.")
    restart: StrictBool = Field(
        False,
        description="Warm up and decay the learning rate twice: in the source-only phase of a run, and in the rest.",
    )


class TrainingSettings(FrozenModel):
    """How long, how large and on which machines."""

    steps: int = Field(600, ge=1, description="Optimizer steps.")
    batch_size: int = Field(4, ge=1, description="Patches of each domain in a batch of one process.")
    accumulate: int = Field(1, ge=1, description="Batches that make one optimizer step.")
    seed: int = Field(0, ge=0, description="Seed of weights, patches and augmentation.")
    precision: Literal["auto", "bf16", "fp32"] = Field("auto", description="auto, bf16 or fp32.")
    device: Device = Field("auto", description="auto, cpu, cuda, cuda:N or mps (GPUs of Apple).")
    threads: int | None = Field(
        None, ge=1, description="CPU threads of each process that trains; all cores by default."
    )
    devices: Devices = Field("1", description="Devices of each machine that train together, or auto.")
    nodes: int = Field(1, ge=1, description="Machines that train together; each runs this command.")
    strategy: Literal["ddp"] = Field("ddp", description="How they train together: ddp.")
    loggers: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = Field(
        (), description="Tracker of experiments beside metrics.csv: tensorboard, mlflow or wandb; may be repeated."
    )
    bank: StrictBool = Field(
        True,
        description="Keep means of the source's classes in the weights file, to adapt the run later without the source's data.",
    )


class ValidationSettings(FrozenModel):
    """Scores on the target's labels, which training never sees."""

    split: Text = Field("val", description="Split of the target that is scored at the end, where it has labels.")
    every: int = Field(
        0, ge=0, description="Steps after which the target's labelled split is scored, for a curve; 0 is never."
    )
