"""Read ONNX files of rsuda back, so that rsuda predicts with the same file as other programs.

Programs of torch.export are not read back: torch.export.load unpickles and evaluates parts of an untrusted file. An ONNX
file only names operators.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rsuda.core.display import quoted
from rsuda.core.documents import parse_json
from rsuda.core.errors import InputError, MissingError, check_extra
from rsuda.core.spec import Spec
from rsuda.core.spelling import spell
from rsuda.learning.calibration import unscaled
from rsuda.runs.trained_network import TrainedNetwork

ONNX = ".onnx"
INPUT, PROBABILITIES = "image", "probabilities"  # names of the input, and of one of the outputs
KEY = "rsuda"  # of rsuda's own metadata in exported files


def load_onnx(path: Path) -> TrainedNetwork:
    """Load an ONNX file of ``rsuda export`` as a model for ``rsuda.predict``, at the window it was exported with.

    ``digest`` is that of the ONNX file.

    Raises:
        MissingError: the file is missing.
        InputError: rsuda did not write it, or onnxruntime is missing.
    """
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
        if path.suffix == ONNX:
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
    """A network that onnxruntime runs on the CPU: standardised images (B, bands, H, W) -> logits (B, K, H, W).

    It computes on as many threads as torch has where it is called, and may be called from several threads at once.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        check_extra("export", "onnxruntime")
        self.path = path
        self._sessions: dict[int, Any] = {}  # by number of threads
        self._lock = Lock()
        try:
            session = self._session()
            self.metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
            inputs, outputs = session.get_inputs(), session.get_outputs()
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
        self.window, self.bands = sides[1], sides[0]
        self.temperature: tuple[float, ...] = ()  # those that probabilities of the file have
        self.bias: tuple[float, ...] = ()

    def _session(self) -> Any:
        """Return the session of this thread's number of threads."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()
        with self._lock:
            if options.intra_op_num_threads not in self._sessions:
                self._sessions[options.intra_op_num_threads] = onnxruntime.InferenceSession(
                    str(self.path), options, providers=["CPUExecutionProvider"]
                )
            return self._sessions[options.intra_op_num_threads]

    def check_window(self, height: int, width: int) -> None:
        """Raise InputError for windows of another size than those of the file."""
        if (height, width) != (self.window, self.window):
            raise InputError(
                f"the exported model has windows of {self.window} x {self.window} px, not {width} x {height}: predict with "
                f"{spell('window', self.window)}, or export it with {spell('window', width)}"
            )

    def raw(self, image: Tensor) -> Tensor:
        """Run the file on images (B, bands, window, window): probabilities or logits, as ``output`` says."""
        self.check_window(*image.shape[-2:])
        values = image.detach().float().cpu().contiguous().numpy()
        # one by one, which takes a tenth less time than all at once: what a layer leaves stays in the cache of the processor
        outputs = [self._output(values[k : k + 1]) for k in range(len(values))]
        return torch.from_numpy(outputs[0] if len(outputs) == 1 else np.concatenate(outputs)).to(image.device)

    def _output(self, values: np.ndarray) -> np.ndarray:
        """Run the file on an image (1, bands, window, window)."""
        try:
            output: np.ndarray = self._session().run([self.output], {INPUT: values})[0]
        except Exception as error:  # of a graph that contradicts its own description
            raise InputError(f"{self.path} cannot be run: {quoted(error)}") from None
        if output.dtype != np.float32 or output.shape[:1] + output.shape[2:] != values.shape[:1] + values.shape[2:]:
            raise InputError(
                f"{self.path} turns {values.shape} into {output.dtype} {output.shape}, which is not a map of classes"
            )
        return output

    def forward(self, image: Tensor) -> Tensor:
        output = self.raw(image)
        if self.output != PROBABILITIES:
            return output
        return unscaled(output, self.temperature, self.bias)
