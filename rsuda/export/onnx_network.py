"""ONNX files of rsuda read back, so that rsuda predicts with the very file that others run.

Programs of torch.export are not read back: torch.export.load runs what a file asks for (pickles, expressions and names
that are evaluated), and a file may come from anybody. An ONNX file only names operators.
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

from rsuda.core.documents import checked_json
from rsuda.core.errors import InputError, MissingError, check_extra
from rsuda.core.spec import Spec
from rsuda.export.programs import INPUT, KEY, PROBABILITIES
from rsuda.runs.weights import TrainedNetwork


def load_exported(path: str | Path) -> TrainedNetwork:
    """An ONNX file of ``rsuda export`` as a network for Engine and ``predict``, at the window it was exported with.

    ``digest`` is that of the ONNX file.

    Raises:
        MissingError: there is no such file.
        InputError: it is none of rsuda's ONNX files, or onnxruntime is missing.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise MissingError(f"there is no exported network {path}")
    network = OnnxNetwork(path)
    try:
        about = checked_json(network.metadata[KEY], f"the description in {path}")
        spec, method = Spec.from_fields(about["spec"]), str(about["method"])
    except (KeyError, TypeError):
        raise InputError(f"{path} does not say what network it holds: it was not written by rsuda export") from None
    if network.bands != len(spec.bands):
        raise InputError(
            f"{path} takes {network.bands} bands, and describes {len(spec.bands)}: it was not written by rsuda export"
        )
    return TrainedNetwork(network.eval(), spec, path, method, hashlib.sha256(path.read_bytes()).hexdigest())


def about_exported(path: Path) -> dict[str, Any]:
    """What an exported file, .onnx or .pt2, says of itself, read without opening the network; {} for files of others."""
    try:
        if path.suffix == ".onnx":
            import onnx

            told = {p.key: p.value for p in onnx.load(path, load_external_data=False).metadata_props}.get(KEY, "{}")
        else:
            with zipfile.ZipFile(path) as file:
                ends = (f"/extra/{KEY}", f"extra_files/{KEY}")  # of today's torch, of 2.6
                name = next(n for n in file.namelist() if n.endswith(ends))
                told = file.read(name).decode()
        found = json.loads(told)
        return found if isinstance(found, dict) else {}
    except Exception:  # of many kinds, for a file that is something else, or where onnx is not installed
        return {}


class OnnxNetwork(nn.Module):
    """An ONNX file of rsuda, run by onnxruntime on the CPU: standardised images (B, bands, H, W) -> logits (B, K, H, W)."""

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
            takes, gives = self.session.get_inputs(), self.session.get_outputs()
            shape = takes[0].shape if takes else []  # names of sizes are decoded here
            given, found = [t.name for t in takes], [g.name for g in gives]
        except Exception as error:  # onnxruntime's own kinds, which it does not name
            told = str(error).splitlines() or [type(error).__name__]
            raise InputError(f"{path} cannot be read as ONNX: {told[0][:300]}") from None
        sides = [n for n in shape[1:] if type(n) is int and 0 < n <= 1 << 14]
        if given != [INPUT] or len(shape) != 4 or len(sides) != 3 or sides[1] != sides[2] or not found:
            raise InputError(f"{path} takes no square windows of images: it was not written by rsuda export")
        self.output: str = found[0]
        self.window, self.path, self.bands = sides[1], path, sides[0]

    def raw(self, image: Tensor) -> Tensor:
        """What the file gives: probabilities or logits, as ``output`` says."""
        if tuple(image.shape[-2:]) != (self.window, self.window):
            raise InputError(
                f"the exported network takes windows of {self.window} x {self.window} px, not {image.shape[-1]} x "
                f"{image.shape[-2]}: predict with a tile size of {self.window}, or export it with --window "
                f"{image.shape[-1]}"
            )
        fed = image.detach().float().cpu().contiguous().numpy()
        try:
            found: np.ndarray = self.session.run([self.output], {INPUT: fed})[0]
        except Exception as error:  # of a graph that says something else of itself than it does
            told = str(error).splitlines() or [type(error).__name__]
            raise InputError(f"{self.path} cannot be run: {told[0][:300]}") from None
        if found.dtype != np.float32 or found.shape[:1] + found.shape[2:] != fed.shape[:1] + fed.shape[2:]:
            raise InputError(
                f"{self.path} answers {fed.shape} with {found.dtype} {found.shape}, which is no map of classes"
            )
        return torch.from_numpy(found).to(image.device)

    def forward(self, image: Tensor) -> Tensor:
        found = self.raw(image)
        # logarithms of probabilities are logits: their softmax is the probabilities
        return found.clamp_min(torch.finfo(torch.float32).tiny).log() if self.output == PROBABILITIES else found
