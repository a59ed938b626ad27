"""Read ONNX files of rsuda back, so that rsuda predicts with the same file as other programs.

Programs of torch.export are not read back: torch.export.load unpickles and evaluates parts of an untrusted file. An ONNX
file only names operators.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rsuda.core.display import quoted
from rsuda.core.documents import parse_json
from rsuda.core.errors import InputError, MissingError, check_extra
from rsuda.core.spec import Spec
from rsuda.core.spelling import spell
from rsuda.export.programs import INPUT, KEY, PROBABILITIES
from rsuda.learning.calibration import unscaled
from rsuda.runs.weights import TrainedNetwork


def load_exported(path: str | Path) -> TrainedNetwork:
    """Load an ONNX file of ``rsuda export`` as a model for ``rsuda.predict``, at the window it was exported with.

    ``digest`` is that of the ONNX file.

    Raises:
        MissingError: the file is missing.
        InputError: rsuda did not write it, or onnxruntime is missing.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise MissingError(f"the exported model {path} is missing")
    network = OnnxNetwork(path)
    try:
        about = parse_json(network.metadata[KEY], f"the description in {path}")
        spec, method = Spec.from_fields(about["spec"]), str(about["method"])
    except (KeyError, TypeError):
        raise InputError(f"{path} has no description of its model: it was not written by rsuda export") from None
    if network.bands != len(spec.bands):
        raise InputError(
            f"{path} has an input of {network.bands} bands and describes {len(spec.bands)}: it was not written by rsuda export"
        )
    network.temperature, network.bias = spec.temperature, spec.bias
    return TrainedNetwork(network.eval(), spec, path, method, hashlib.sha256(path.read_bytes()).hexdigest())


def about_exported(path: Path) -> dict[str, Any]:
    """Read rsuda's metadata of an exported file, .onnx or .pt2, without opening the model; {} for other files."""
    try:
        if path.suffix == ".onnx":
            import onnx

            properties = onnx.load(path, load_external_data=False).metadata_props
            text = {entry.key: entry.value for entry in properties}.get(KEY, "{}")
        else:
            with zipfile.ZipFile(path) as file:
                ends = (f"/extra/{KEY}", f"extra_files/{KEY}")  # of today's torch, of 2.6
                text = file.read(next(name for name in file.namelist() if name.endswith(ends))).decode()
        metadata = json.loads(text)
        return metadata if isinstance(metadata, dict) else {}
    except Exception:  # many kinds: the file is something else, or onnx is not installed
        return {}


class OnnxNetwork(nn.Module):
    """A network that onnxruntime runs on the CPU: standardised images (B, bands, H, W) -> logits (B, K, H, W)."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        check_extra("export", "onnxruntime")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            self.metadata: dict[str, str] = self.session.get_modelmeta().custom_metadata_map
            inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
            shape = inputs[0].shape if inputs else []  # names of sizes are decoded on access
            input_names, output_names = [i.name for i in inputs], [i.name for i in outputs]
        except Exception as error:  # onnxruntime's own kinds, which it does not name
            raise InputError(f"{path} cannot be read as ONNX: {quoted(error)}") from None
        sides = [side for side in shape[1:] if type(side) is int and 0 < side <= 1 << 14]
        square = len(shape) == 4 and len(sides) == 3 and sides[1] == sides[2]
        if input_names != [INPUT] or not square or not output_names:
            raise InputError(
                f"the input of {path} is not a square window of an image: it was not written by rsuda export"
            )
        self.output: str = output_names[0]
        self.window, self.path, self.bands = sides[1], path, sides[0]
        self.temperature: tuple[float, ...] = ()  # those that probabilities of the file have
        self.bias: tuple[float, ...] = ()

    def raw(self, image: Tensor) -> Tensor:
        """Run the file on images (B, bands, window, window): probabilities or logits, as ``output`` says."""
        if tuple(image.shape[-2:]) != (self.window, self.window):
            raise InputError(
                f"the exported model has windows of {self.window} x {self.window} px, not {image.shape[-1]} x "
                f"{image.shape[-2]}: predict with {spell('window', self.window)}, or export it with "
                f"{spell('window', image.shape[-1])}"
            )
        values = image.detach().float().cpu().contiguous().numpy()
        try:
            output: np.ndarray = self.session.run([self.output], {INPUT: values})[0]
        except Exception as error:  # of a graph that contradicts its own description
            raise InputError(f"{self.path} cannot be run: {quoted(error)}") from None
        if output.dtype != np.float32 or output.shape[:1] + output.shape[2:] != values.shape[:1] + values.shape[2:]:
            raise InputError(
                f"{self.path} turns {values.shape} into {output.dtype} {output.shape}, which is not a map of classes"
            )
        return torch.from_numpy(output).to(image.device)

    def forward(self, image: Tensor) -> Tensor:
        output = self.raw(image)
        if self.output != PROBABILITIES:
            return output
        return unscaled(output, self.temperature, self.bias)
