"""Build a method for a run: its options, its networks, its class weights, and what can be wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rsuda.core.errors import InputError
from rsuda.core.settings import Settings
from rsuda.core.spelling import spell
from rsuda.data.domains.domain import Domain
from rsuda.data.pairs.pair import Pair, pair
from rsuda.data.pairs.target_alone import target_alone
from rsuda.learning.augmentation import Augmentation
from rsuda.learning.encoders.build import check_encoder
from rsuda.learning.encoders.licences import licence_note
from rsuda.learning.networks import NETWORKS
from rsuda.methods import absolute_name, find_method, options_of
from rsuda.methods.base import Method, NetworkBuilder
from rsuda.methods.blocks.discriminators import strided_layers
from rsuda.methods.blocks.witness import default_weights
from rsuda.methods.old_options import renaming_notes
from rsuda.runs.weights import TrainedNetwork, architecture, load_run
from rsuda.training.loggers import check_loggers
from rsuda.training.method_module import MethodModule


def common_ground(
    settings: Settings, domains: tuple[Domain | None, Domain]
) -> tuple[Settings, Pair, TrainedNetwork | None]:
    """Match source and target as a pair, and load the run that training starts from, whose spec the pair then has.

    Without the source's data the pair is the target alone, as the start expects it. Returns the settings with what the pair
    chose for them, the pair, and the run.
    """
    start = load_run(settings.network.start) if settings.network.start else None
    if start is not None:  # a temperature is of the weights that it was fitted on
        start = replace(start, spec=start.spec.uncalibrated())
    source, target = domains
    if source is not None:
        domain_pair = pair(source, target, settings, start.spec if start else None)
    else:
        assert start is not None  # check_run sees to it
        domain_pair = target_alone(target, settings, start.spec)
    return settings.changed(domain_pair.alignment.as_settings()), domain_pair, start


def build(settings: Settings, domain_pair: Pair, start: TrainedNetwork | None = None) -> MethodModule:
    """Build the method of settings with its networks, for a pair, ready for Lightning.

    Args:
        start: a trained network whose weights the method takes over.

    Raises:
        InputError: a window or option that cannot work, or a start that does not fit.
    """
    name, source, target = settings.method.name, domain_pair.source_spec, domain_pair.target_spec
    augmentation = Augmentation(
        (source.mean, source.std),
        (target.mean, target.std),
        settings.patches.flip_rotate,
        settings.patches.photometric,
        settings.patches.target_geometry,
        settings.patches.hue,
    )
    builder = NetworkBuilder(
        architecture(settings, target),
        target,
        settings.network.weights,
        settings.training.seed,
        augmentation,
        start.network_fields if start else None,
        start.bank if start and not domain_pair.source else None,
        frozen=settings.network.frozen or settings.network.adapter_rank > 0,
        has_source=bool(domain_pair.source),
    )
    method = find_method(name)(builder, options_of(name, settings.method.options))
    if type(method.model) not in NETWORKS.values():
        raise InputError(
            f"method {name} has a model of class {type(method.model).__name__}, which cannot be saved: build it by "
            f"build.network, as {', '.join(NETWORKS)}"
        )
    if start:
        start_from(method, settings, start)
    return MethodModule(method, settings.optimizer, settings.training.steps, augmentation)


def start_from(method: Method, settings: Settings, start: TrainedNetwork) -> None:
    """Load the network of a finished run into a method. Raises InputError when it does not fit the method's settings."""
    try:
        method.start_from(start.model.state_dict())
    except RuntimeError:
        network = settings.network
        raise InputError(
            f"{network.start} holds a network of method {start.method}, which does not fit method {settings.method.name} "
            f"with {network.encoder} and {network.decoder}: start from it by {spell('method', start.method)} and "
            "with its own network"
        ) from None


def balanced(shares: Sequence[float]) -> list[float]:
    """Compute class weights 1 / sqrt(share), scaled so that the mean weight of a pixel is 1.

    A class without pixels gets the highest weight. The square root is the usual compromise between no balance and full
    balance.
    """
    present = [max(share, 1e-4) for share in shares]
    scale = 1 / sum(share**0.5 for share in present)
    return [round(scale * share**-0.5, 4) for share in present]


def options_for_pair(settings: Settings, domain_pair: Pair) -> Settings:
    """Replace options that follow the pair by values: balanced class weights, and the statistics of batch norm.

    Args:
        settings: with section ``align`` as ``common_ground`` returns it.
    """
    options = settings.method.options
    changes: dict[str, Any] = {}
    if options.get("class_weights") == "balanced":
        changes["method.class_weights"] = balanced(domain_pair.class_shares)
    if options.get("statistics") == "auto":
        changes["method.statistics"] = "target" if settings.align.target_statistics else "both"
    return settings.changed(changes) if changes else settings


def check_run(settings: Settings, together: int = 1) -> tuple[Settings, list[str]]:
    """Check a run before any data are read.

    Args:
        together: processes that train together, whose batches batch norm takes as one.

    Returns:
        Settings with the method's own choices filled in, all options by name, so that a run's configuration means the
        same when defaults change; and notes for the user.

    Raises:
        InputError: an unknown method or option, a value out of range, or a window or batch too small for the method.
    """
    check_loggers(settings.training.loggers)
    name, notes = settings.method.name, renaming_notes(settings.method.options, settings.method.name)
    cls, options = find_method(name), options_of(name, settings.method.options)
    # an absolute path, so that resuming works from another folder
    settings = settings.changed({"method": {"name": absolute_name(name), **options.model_dump()}})
    side, window = cls.window_multiple(options), settings.patches.window
    if window % side:
        raise InputError(
            f"{spell('window')} is {window}; method {name} sees half of it at full resolution, so it must be a multiple of "
            f"{side}: try {max(side, round(window / side) * side)}"
        )
    if settings.training.batch_size * together < 2:
        raise InputError(
            f"{spell('batch_size')} is {settings.training.batch_size}, which leaves batch norm without a batch to normalise by: "
            "use 2 or more"
        )
    _check_source(settings, cls)
    notes = [*notes, *_check_network(settings)]
    if settings.align.rare_temperature is None:
        settings = settings.changed({"align.rare_temperature": cls.rare_temperature})
    if settings.align.target_statistics is None:
        settings = settings.changed({"align.target_statistics": cls.target_statistics})
    return _with_fitting_discriminators(settings, notes)


def _check_network(settings: Settings) -> list[str]:
    """Check the encoder before anything is read. Returns a note on the licence of weights that are downloaded.

    Raises InputError for an encoder that cannot be used, and for one of random weights that would never learn.
    """
    network = settings.network
    check_encoder(network.encoder, network.output_stride)
    if (network.frozen or network.adapter_rank) and network.weights == "none" and not network.start:
        name = "frozen" if network.frozen else "adapter_rank"
        raise InputError(
            f"network.{name} leaves the encoder as it is, and network.weights 'none' are random: pass "
            f"{spell('weights', 'FILE')}, {spell('start', 'RUN')} or {spell(f'network.{name}', False if network.frozen else 0)}"
        )
    notes = [licence_note(network.encoder)] if network.weights == "imagenet" and not network.start else []
    return [*notes, *_check_witness(settings.method.options)]


def _check_witness(options: Mapping[str, Any]) -> list[str]:
    """Check the encoder of a second witness. Returns a note on the licence of weights that are downloaded."""
    witness = options.get("witness")
    if not witness:
        return []
    check_encoder(witness)
    weights = options.get("witness_weights") or default_weights(witness)
    return [licence_note(witness)] if weights == "imagenet" else []


def _check_source(settings: Settings, cls: type[Method]) -> None:
    """Raise InputError where a method that reads a source has none, or one that reads none has one or lacks a start.

    A method that may learn a source has either.
    """
    name, start = settings.method.name, settings.network.start
    if cls.needs_source:
        if not settings.source.name:
            raise InputError(
                f"method {name} reads a labelled source: pass {spell('source')}, or {spell('method', 'source-free')} with "
                f"{spell('start', 'RUN')}"
            )
    elif settings.source.name and not cls.may_learn_source:
        raise InputError(
            f"method {name} reads no source, and the source is {settings.source.title}: leave {spell('source')} out, or choose "
            f"another {spell('method')}"
        )
    elif not settings.source.name and not start:
        instead = f", or {spell('source')} to train one first" if cls.may_learn_source else ""
        raise InputError(f"method {name} adapts a finished run: pass {spell('start', 'RUN')}{instead}")


def _with_fitting_discriminators(settings: Settings, notes: list[str]) -> tuple[Settings, list[str]]:
    """Limit the discriminators' strided layers to what the window can feed, and note that."""
    layers, window = settings.method.options.get("strided"), settings.patches.window
    if layers is None:
        return settings, notes
    cells = window // settings.network.output_stride
    fitting = strided_layers(cells, layers)
    if fitting != layers:
        number = "1 strided layer" if fitting == 1 else f"{fitting} strided layers"
        notes = [
            *notes,
            f"the discriminators of {settings.method.name} have {number} instead of {layers}, since a window of {window} px is "
            f"small for them ({cells} x {cells} feature cells)",
        ]
    return settings.changed({"method.strided": fitting}), notes
