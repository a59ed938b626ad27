"""Build a method for a run: its options, its networks, its class weights, and what can be wrong with them."""

from __future__ import annotations

from dataclasses import replace

from rsuda.core.errors import InputError
from rsuda.core.settings import Settings
from rsuda.data.domain import Domain
from rsuda.data.pair import Pair, pair
from rsuda.learning.augmentation import Augmentation
from rsuda.methods import absolute_name, find_method
from rsuda.methods.base import Method, Optimisation, balanced
from rsuda.methods.blocks.discriminators import strided_layers
from rsuda.runs.weights import TrainedNetwork, architecture, load_run


def common_ground(s: Settings, domains: tuple[Domain, Domain]) -> tuple[Pair, TrainedNetwork | None]:
    """Source and target as a pair, and the run that training starts from, as which the pair's pixels are fed."""
    start = load_run(s.start) if s.start else None
    return pair(*domains, s, start.spec if start else None), start


def build(s: Settings, found: Pair, start: TrainedNetwork | None = None) -> Method:
    """The method with its networks, for a pair; they are those of ``start`` if there is one.

    Raises InputError for a crop or option that cannot work, or a start that does not fit.
    """
    cls = find_method(s.method)
    source, target = found.source_spec, found.target_spec
    augmentation = Augmentation(
        (source.mean, source.std), (target.mean, target.std), s.turns, s.photometric, s.target_geometry
    )
    arch = architecture(s, target)
    method = cls(arch, target, optimisation(s), augmentation, s.weights, s.seed, **s.options)
    if start:
        start_from(method, s, start)
    return method


def optimisation(s: Settings) -> Optimisation:
    return Optimisation(
        s.optimiser, s.lr, s.head_factor, s.discriminator_lr, s.weight_decay, s.warmup, s.power, s.steps
    )


def start_from(method: Method, s: Settings, trained: TrainedNetwork) -> None:
    """Give a method the network of a finished run. Raises InputError when that is no network of the method's settings."""
    try:
        method.start_from(trained.model.state_dict())
    except RuntimeError:
        raise InputError(
            f"{s.start} holds a network of method {trained.method}, which does not fit method {s.method} with {s.encoder} and "
            f"{s.decoder}: start from it by --method {trained.method} and with its own network"
        ) from None


def with_class_weights(s: Settings, found: Pair) -> Settings:
    """Settings in which class weights that follow the source's class shares are numbers."""
    if s.options.get("class_weights") != "balanced":
        return s
    return replace(s, options={**s.options, "class_weights": balanced(found.class_shares)})


def check_run(s: Settings, together: int = 1) -> tuple[Settings, list[str]]:
    """What can be wrong with a run before any data are read; settings with the method's own choices filled in, and notes.

    Args:
        together: processes that train together, whose batches batch norm takes as one.

    Raises InputError for an unknown method or option, or a crop or batch too small for the method.
    """
    s = replace(s, method=absolute_name(s.method))  # so that resuming works from another folder
    cls, notes = find_method(s.method), []
    cls.check_options(s.method, s.options)
    # all options by name, so that a run's configuration means the same when defaults change
    s = replace(s, options={**cls.options(), **s.options})
    side = cls.smallest_crop(s.options, s.output_stride)
    if s.crop % side:
        raise InputError(
            f"method {s.method} needs a crop that is a multiple of {side} px, not {s.crop}: half of it is seen at full "
            f"resolution, and that must be a multiple of 32; try {max(side, round(s.crop / side) * side)}"
        )
    if s.batch_size * together < 2:
        raise InputError("batch size 1 leaves batch norm without a batch to normalise by: use 2 or more")
    if s.rare_temperature is None:
        s = replace(s, rare_temperature=cls.rare_temperature)
    if s.target_statistics is None:
        s = replace(s, target_statistics=cls.target_statistics)
    if "strided" in cls.options():  # scale the discriminators to the crop
        wanted = s.options.get("strided", cls.options()["strided"])
        layers = strided_layers(s.crop // s.output_stride, wanted)
        if layers != wanted:
            cells = s.crop // s.output_stride
            notes.append(
                f"the discriminators have {layers} strided layers instead of {wanted}, since a crop of {s.crop} px gives "
                f"{cells} x {cells} feature cells"
            )
        s = replace(s, options={**s.options, "strided": layers})
    return s, notes
