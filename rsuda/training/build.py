"""Build a method for a run: its options, its networks, its class weights, and what can be wrong with them."""

from __future__ import annotations

from collections.abc import Sequence

from rsuda.core.errors import InputError
from rsuda.core.settings import Settings
from rsuda.data.domain import Domain
from rsuda.data.pair import Pair, pair
from rsuda.learning.augmentation import Augmentation
from rsuda.learning.networks import NETWORKS
from rsuda.methods import absolute_name, find_method, options_of
from rsuda.methods.base import Method, NetworkBuilder
from rsuda.methods.blocks.discriminators import strided_layers
from rsuda.methods.old_options import renaming_notes
from rsuda.runs.weights import TrainedNetwork, architecture, load_run
from rsuda.training.method_module import MethodModule, Optimisation


def common_ground(s: Settings, domains: tuple[Domain, Domain]) -> tuple[Pair, TrainedNetwork | None]:
    """Source and target as a pair, and the run that training starts from, as which the pair's pixels are fed."""
    start = load_run(s.network.start) if s.network.start else None
    return pair(*domains, s, start.spec if start else None), start


def build(s: Settings, domain_pair: Pair, start: TrainedNetwork | None = None) -> MethodModule:
    """Build the method of settings with its networks, for a pair, ready for Lightning.

    Args:
        start: a trained network whose weights the method takes over.

    Raises:
        InputError: a window or option that cannot work, or a start that does not fit.
    """
    source, target = domain_pair.source_spec, domain_pair.target_spec
    augmentation = Augmentation(
        (source.mean, source.std),
        (target.mean, target.std),
        s.patches.flip_rotate,
        s.patches.photometric,
        s.patches.target_geometry,
    )
    builder = NetworkBuilder(architecture(s, target), target, s.network.weights, s.training.seed, augmentation)
    method = find_method(s.method.name)(builder, options_of(s.method.name, s.method.options))
    if type(method.model) not in NETWORKS.values():
        raise InputError(
            f"method {s.method.name} has a model of class {type(method.model).__name__}: build it by build.network, with one of "
            f"{', '.join(NETWORKS)}, so that it can be saved and loaded"
        )
    if start:
        start_from(method, s, start)
    return MethodModule(method, optimisation(s), augmentation)


def optimisation(s: Settings) -> Optimisation:
    """How settings optimise a method."""
    how = s.optimizer
    return Optimisation(
        how.name, how.lr, how.decoder_lr_factor, how.discriminator_lr, how.weight_decay, how.warmup_steps, how.poly_power,
        s.training.steps,
    )  # fmt: skip


def start_from(method: Method, s: Settings, trained: TrainedNetwork) -> None:
    """Load the network of a finished run into a method. Raises InputError when it does not fit the method's settings."""
    try:
        method.start_from(trained.model.state_dict())
    except RuntimeError:
        raise InputError(
            f"{s.network.start} holds a network of method {trained.method}, which does not fit method {s.method.name} with "
            f"{s.network.encoder} and {s.network.decoder}: start from it by --method {trained.method} and with its own network"
        ) from None


def balanced(shares: Sequence[float]) -> list[float]:
    """Class weights 1 / sqrt(share), scaled so that the mean weight of a pixel is 1.

    A class without pixels gets the highest weight. The square root is the usual compromise between no balance and full
    balance.
    """
    present = [max(s, 1e-4) for s in shares]
    scale = 1 / sum(s**0.5 for s in present)
    return [round(scale * s**-0.5, 4) for s in present]


def with_class_weights(s: Settings, domain_pair: Pair) -> Settings:
    """Settings in which class weights that follow the source's class shares are numbers."""
    if s.method.options.get("class_weights") != "balanced":
        return s
    return s.changed({"method.class_weights": balanced(domain_pair.class_shares)})


def check_run(s: Settings, together: int = 1) -> tuple[Settings, list[str]]:
    """Check a run before any data are read.

    Args:
        together: processes that train together, whose batches batch norm takes as one.

    Returns:
        Settings with the method's own choices filled in, all options by name, so that a run's configuration means the
        same when defaults change; and notes for the user.

    Raises:
        InputError: an unknown method or option, a value out of range, or a window or batch too small for the method.
    """
    cls = find_method(s.method.name)
    options, notes = options_of(s.method.name, s.method.options), renaming_notes(s.method.options)
    # an absolute path, so that resuming works from another folder
    s = s.changed({"method": {"name": absolute_name(s.method.name), **options.model_dump()}})
    side = cls.window_multiple(options)
    if s.patches.window % side:
        raise InputError(
            f"`patches.window` is {s.patches.window}; method {s.method.name} sees half of it at full resolution, so it must be "
            f"a multiple of {side}: try {max(side, round(s.patches.window / side) * side)}"
        )
    if s.training.batch_size * together < 2:
        raise InputError("batch size 1 leaves batch norm without a batch to normalise by: use 2 or more")
    if s.align.rare_temperature is None:
        s = s.changed({"align.rare_temperature": cls.rare_temperature})
    if s.align.target_statistics is None:
        s = s.changed({"align.target_statistics": cls.target_statistics})
    return _with_fitting_discriminators(s, notes)


def _with_fitting_discriminators(s: Settings, notes: list[str]) -> tuple[Settings, list[str]]:
    """Settings whose discriminators have as many strided layers as the window can feed, and the notes with that change."""
    layers = s.method.options.get("strided")
    if layers is None:
        return s, notes
    cells = s.patches.window // s.network.output_stride
    fitting = strided_layers(cells, layers)
    if fitting != layers:
        notes = [
            *notes,
            f"the discriminators have {fitting} strided layers instead of {layers}, since a window of {s.patches.window} px "
            f"gives {cells} x {cells} feature cells",
        ]
    return s.changed({"method.strided": fitting}), notes
