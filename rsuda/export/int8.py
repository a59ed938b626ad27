"""Write an ONNX model in 8-bit integers, calibrated on windows of imagery, and measure on other windows what that changes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rsuda.core.display import quoted
from rsuda.core.errors import InputError
from rsuda.core.spelling import spell
from rsuda.export.calibration_windows import CalibrationWindow
from rsuda.export.programs import INPUT, quiet

_PRODUCTS = ("Conv", "Gemm", "MatMul")  # the operators whose weights are in 8-bit integers


@dataclass(frozen=True)
class Int8Loss:
    """What 8-bit integers change on windows that they were not calibrated on.

    Attributes:
        imagery: name of their domain.
        windows: their number.
        same_classes: share of their pixels with data, 0..1, that keep their class.
        miou_fp32, miou_int8: mean IoU of their labelled pixels, 0..1; None where the imagery has no labels.
    """

    imagery: str
    windows: int
    same_classes: float
    miou_fp32: float | None = None
    miou_int8: float | None = None

    def __str__(self) -> str:
        text = (
            f"{self.same_classes:.1%} of the pixels of {self.windows} other windows of {self.imagery} keep their class"
        )
        if self.miou_fp32 is None or self.miou_int8 is None:
            return text
        return f"{text}, and mIoU on them is {self.miou_int8:.1%} instead of {self.miou_fp32:.1%}"


def to_int8(model: Any, images: Iterable[np.ndarray]) -> Any:
    """Turn an onnx.ModelProto in float32 into one in 8-bit integers.

    Weights have one scale for each output channel, activations the range that they have on the images. What follows the
    last product stays in float32, such as the resizing of logits. In networks with attention all but convolutions does,
    since more integers make them slower (BENCHMARKS.md, Prediction). Weights take 7 of the 8 bits: processors without
    instructions for 8-bit products add them up in 16 bits, which more would overflow.

    Args:
        model: its batch norms are folded.
        images: at least one, (bands, window, window) float32, standardised.

    Raises:
        InputError: the network has nothing to write in 8-bit integers, or onnxruntime cannot do it.
    """
    if not any(node.op_type in _PRODUCTS for node in model.graph.node):
        raise InputError(
            f"this network has neither convolutions nor matrix products, so that 8-bit integers do not make it faster: "
            f"leave out {spell('int8')}"
        )
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        """Images as onnxruntime asks for them, one by one; None ends them."""

        def __init__(self) -> None:
            self.rest = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.rest, None)
            return None if image is None else {INPUT: image[None]}

    with tempfile.TemporaryDirectory() as folder, quiet():
        plain, simple, small = (Path(folder, f"{name}.onnx") for name in ("plain", "simple", "small"))
        try:
            onnx.save(model, plain)
            quant_pre_process(str(plain), str(simple), skip_symbolic_shape=True)
            nodes = onnx.load(simple).graph.node
            attends = any(node.op_type == "Softmax" for node in nodes)
            last = max(number for number, node in enumerate(nodes) if node.op_type in _PRODUCTS)
            quantize_static(
                str(simple),
                str(small),
                Reader(),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=True,
                op_types_to_quantize=["Conv"] if attends else None,  # all that can be by default
                nodes_to_exclude=[node.name for node in nodes[last + 1 :]],
            )
        except InputError:
            raise
        except Exception as error:  # of many kinds, which onnxruntime does not name
            raise InputError(f"onnxruntime cannot write this network in 8-bit integers: {quoted(error)}") from None
        return onnx.load(small)


def int8_loss(
    fp32: Callable[[Tensor], Tensor],
    int8: Callable[[Tensor], Tensor],
    windows: Sequence[CalibrationWindow],
) -> Int8Loss:
    """Compare the classes of two networks on windows.

    Args:
        fp32, int8: images (1, bands, H, W) -> a map (1, K, H, W) of each class.
        windows: at least one, of one domain. Its clutter class does not enter the mean IoU.
    """
    same = pixels = 0
    counts: list[np.ndarray] = []
    for window in windows:
        image, valid, label = window.image(), window.valid(), window.label()
        maps = [network(torch.from_numpy(image)[None])[0].numpy() for network in (fp32, int8)]
        before, after = (scores.argmax(0) for scores in maps)
        same, pixels = same + int((before == after)[valid].sum()), pixels + int(valid.sum())
        if label is not None:
            inside = valid & (label < len(maps[0]))
            counts.append(
                np.stack([_confusion(label[inside], classes[inside], len(maps[0])) for classes in (before, after)])
            )
    total = np.sum(counts, axis=0) if counts else np.zeros((2, 1, 1))
    domain, share = windows[0].domain, same / pixels
    if not total.any():
        return Int8Loss(domain.name, len(windows), share)
    names = windows[0].spec.legend.names
    classes = [k for k in range(len(names)) if names[k] != domain.clutter]
    return Int8Loss(domain.name, len(windows), share, *(_mean_iou(matrix, classes) for matrix in total))


def _confusion(label: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """Count pixels (K, K) by labelled and predicted class."""
    return np.bincount(label.astype(np.int64) * count + classes, minlength=count * count).reshape(count, count)


def _mean_iou(matrix: np.ndarray, classes: Sequence[int]) -> float | None:
    """Compute the mean IoU, 0..1, over those of the classes that a label or prediction contains; None without any."""
    hits = np.diagonal(matrix)
    union = matrix.sum(0) + matrix.sum(1) - hits
    present = [k for k in classes if union[k]]
    return float(np.mean(hits[present] / union[present])) if present else None
