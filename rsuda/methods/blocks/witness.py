"""Choose the frozen encoder whose features are a second witness for pseudo labels: the model's own, or another one."""

from __future__ import annotations

from dataclasses import replace

from rsuda.core.errors import InputError
from rsuda.core.packaged_encoders import choose_encoder
from rsuda.core.setting_sections import WitnessSettings
from rsuda.core.spelling import spell
from rsuda.learning.network_builder import NetworkBuilder
from rsuda.methods.blocks.hints import HintAccuracy
from rsuda.methods.options import MethodOptions


class WitnessOptions(MethodOptions, WitnessSettings):
    """The options of methods that ask further witnesses: a frozen encoder, and hints of the target."""

    hint_accuracy: HintAccuracy = 0.95


def witness_builder(build: NetworkBuilder, options: WitnessOptions) -> NetworkBuilder:
    """Return the builder of the witness: that of the run, or one of the named encoder with its own first weights.

    Raises InputError for weights without an encoder.
    """
    if not options.witness:
        if options.witness_weights:
            raise InputError(
                f"{spell('method.witness_weights', options.witness_weights)} needs {spell('witness', 'ENCODER')}, the "
                "encoder that the weights are of"
            )
        return build
    weights = options.witness_weights or default_weights(options.witness)
    # its last stage is not among the levels of a cell, and many encoders have no other stride
    return replace(build, arch=replace(build.arch, encoder=options.witness, output_stride=32), weights=weights)


def default_weights(encoder: str) -> str:
    """Name the pretrained weights of an encoder: packaged ones where they are installed, else ImageNet's."""
    return str(choose_encoder({"encoder": encoder}).get("weights", "imagenet"))
