"""Write networks as files that run without rsuda: ONNX, or a program of torch.export."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from rsuda.core.display import quoted
from rsuda.core.errors import InputError
from rsuda.core.spelling import spell
from rsuda.learning.calibration import scaled
from rsuda.runs.onnx_network import INPUT as INPUT
from rsuda.runs.onnx_network import KEY as KEY
from rsuda.runs.onnx_network import PROBABILITIES as PROBABILITIES

LOGITS = "logits"


class Softmax(nn.Module):
    """A network followed by a softmax: probabilities (B, K, H, W).

    Args:
        temperature, bias: those of its spec; see ``rsuda.core.spec.Spec``.
    """

    def __init__(self, network: nn.Module, temperature: Sequence[float] = (), bias: Sequence[float] = ()) -> None:
        super().__init__()
        self.network = network
        self.temperature = tuple(temperature)
        self.register_buffer("inverse", 1 / torch.tensor(self.temperature), persistent=False)
        self.register_buffer("bias", torch.tensor(tuple(bias)), persistent=False)

    inverse: Tensor
    bias: Tensor

    def forward(self, image: Tensor) -> Tensor:
        logits = self.network(image)
        if self.temperature:
            logits = scaled(logits, self.inverse, self.bias, 1)
        # onnxruntime takes five times as long for its own softmax over the second axis
        exponentials = (logits - logits.amax(1, keepdim=True)).exp()
        return exponentials / exponentials.sum(1, keepdim=True)


def traced(network: nn.Module, bands: int, window: int) -> ExportedProgram:
    """Trace a network in evaluation mode on the CPU: (B, bands, window, window) float32 -> (B, K, window, window), B >= 1.

    The program holds no lines of source code, which torch stores beside each step.

    Raises InputError for a network that torch.export cannot follow.
    """
    with quiet(), torch.no_grad():
        try:
            program = torch.export.export(
                network, (torch.zeros(2, bands, window, window),), dynamic_shapes=({0: Dim("batch", min=1)},)
            )
        except RuntimeError as error:
            raise InputError(f"torch.export cannot follow this network: {quoted(error)}") from error
    program._example_inputs = None  # which files of torch.export would hold; the setter of older torch takes no None
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def to_onnx(program: ExportedProgram, output: str = LOGITS) -> Any:
    """Convert a program to an onnx.ModelProto with the input ``image`` and one output, for any batch.

    Args:
        output: the name of the output.

    Raises InputError when ONNX lacks an operator of the network.
    """
    from torch.onnx import OnnxExporterError

    with quiet():
        try:
            exported = torch.onnx.export(
                program,
                dynamo=True,
                input_names=[INPUT],
                output_names=[output],
                verbose=False,
                dynamic_shapes=({0: Dim("batch", min=1)},),
            )
        except OnnxExporterError as error:
            raise InputError(
                f"ONNX has no operator for {_operators(error)} of this network: {spell('format', 'torch-export')} "
                "writes it"
            ) from error
    assert exported is not None
    model = exported.model_proto
    for part in [
        *model.graph.node,
        *model.graph.value_info,
        *(node for function in model.functions for node in function.node),
    ]:
        del part.metadata_props[:]  # lines of source code, with their paths
        part.doc_string = ""
    return model


def with_softmax(
    model: Any, classes: int, window: int, temperature: Sequence[float] = (), bias: Sequence[float] = ()
) -> Any:
    """Append a softmax to an onnx.ModelProto: its output ``logits`` becomes ``probabilities``; see ``Softmax``."""
    from onnx.compose import add_prefix, merge_models

    ending = to_onnx(traced(Softmax(nn.Identity(), temperature, bias), classes, window), PROBABILITIES)
    ending.ir_version = model.ir_version
    prefix = "softmax_"  # onnx 1.17 gives it to inputs and outputs in any case
    merged = merge_models(model, add_prefix(ending, prefix), io_map=[(LOGITS, prefix + INPUT)])
    for names in (node.output for node in merged.graph.node):
        names[:] = [PROBABILITIES if name == prefix + PROBABILITIES else name for name in names]
    merged.graph.output[0].name = PROBABILITIES
    return merged


def write_onnx(model: Any, path: Path, metadata: Mapping[str, str]) -> None:
    """Check and write an onnx.ModelProto with metadata."""
    import onnx

    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _operators(error: BaseException) -> str:
    """Name the operators that an exporter's error complains about."""
    text, cause = "", error
    while cause is not None:
        text, cause = f"{text} {cause}", cause.__cause__  # type: ignore[assignment]
    names = re.findall(r"No ONNX function found for <OpOverload\(op='([\w.]+)'", text)
    return " and ".join(dict.fromkeys(names)) or f"a step ({quoted(error)})"


def write_pt2(program: ExportedProgram, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a program of torch.export with metadata."""
    with quiet():
        torch.export.save(program, path, extra_files=dict(metadata))


def largest_difference(network: nn.Module, other: Callable[[Tensor], Tensor], bands: int, window: int) -> float:
    """Compare a network with ``other`` on standard normal images, one alone and two at once.

    Returns:
        the largest absolute difference.
    """
    image = torch.randn(2, bands, window, window, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(image)
        return max(float((other(image[:count]) - expected[:count]).abs().max()) for count in (1, 2))


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what exporters print and warn about their own internals."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
