"""Exported networks read back, so that rsuda predicts with the very file that others run."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rsuda.errors import InputError, MissingError, check_extra, unknown
from rsuda.program import INPUT, KEY, LOGITS, PROBABILITIES, quiet
from rsuda.run import Trained
from rsuda.spec import Spec

SUFFIXES = (".onnx", ".pt2")


def load_exported(path: str | Path) -> Trained:
    """A file of ``rsuda export`` as a network for Engine and ``predict``, at the window it was exported with.

    ``digest`` is that of the exported file. Nothing from the file is executed but its operators.

    Raises:
        MissingError: there is no such file.
        InputError: it is none of rsuda's, asks for code to be run, or onnxruntime is missing.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise MissingError(f"there is no exported network {path}")
    if path.suffix not in SUFFIXES:
        raise unknown("suffix of an exported network", path.suffix, SUFFIXES)
    network: OnnxNetwork | TorchProgram
    if path.suffix == ".onnx":
        check_extra("export", "onnxruntime")
        network = OnnxNetwork(path)
    else:
        network = TorchProgram(path)
    try:
        about = json.loads(network.metadata[KEY])
        spec = Spec.from_fields(about["spec"])
    except (KeyError, ValueError):
        raise InputError(f"{path} does not say what network it holds: it was not written by rsuda export") from None
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Trained(network.eval(), spec, path, about["method"], digest)


def about_exported(path: Path) -> dict[str, Any]:
    """What an exported file says of itself, read without opening the network; {} for files of others."""
    try:
        if path.suffix == ".onnx":
            import onnx

            told = {p.key: p.value for p in onnx.load(path, load_external_data=False).metadata_props}.get(KEY, "{}")
        else:
            with zipfile.ZipFile(path) as file:
                name = next(n for n in file.namelist() if n.endswith(f"/extra/{KEY}"))
                told = file.read(name).decode()
        found = json.loads(told)
        return found if isinstance(found, dict) else {}
    except Exception:  # of many kinds, for a file that is something else, or where onnx is not installed
        return {}


class OnnxNetwork(nn.Module):
    """An ONNX file of rsuda, run by onnxruntime on the CPU: standardised images -> logits."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own kinds, which it does not name
            raise InputError(f"{path} cannot be read as ONNX: {str(error).splitlines()[0]}") from None
        self.metadata: dict[str, str] = self.session.get_modelmeta().custom_metadata_map
        self.output = self.session.get_outputs()[0].name
        self.window = int(self.session.get_inputs()[0].shape[-1])

    def raw(self, image: Tensor) -> Tensor:
        """What the file says: probabilities or logits (B, K, H, W)."""
        _check_window(image, self.window)
        fed = image.detach().float().cpu().contiguous().numpy()
        return torch.from_numpy(self.session.run(None, {INPUT: fed})[0]).to(image.device)

    def forward(self, image: Tensor) -> Tensor:
        return _logits(self.raw(image), self.output)


class TorchProgram(nn.Module):
    """A file of torch.export: standardised images -> logits."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        _refuse_pickles(path)
        more = {KEY: ""}
        with quiet():
            program = torch.export.load(path, extra_files=more)
        self.metadata: dict[str, str] = {k: v.decode() if isinstance(v, bytes) else v for k, v in more.items()}
        self.network = program.module()
        self.output = json.loads(self.metadata.get(KEY) or "{}").get("output", LOGITS)
        self.window = next(n for n in program.graph.nodes if n.name == INPUT).meta["val"].shape[-1]

    def raw(self, image: Tensor) -> Tensor:
        """What the file says: probabilities or logits (B, K, H, W)."""
        _check_window(image, self.window)
        with torch.autocast(image.device.type, enabled=False):
            found: Tensor = self.network(image.float().contiguous())
        return found

    def forward(self, image: Tensor) -> Tensor:
        return _logits(self.raw(image), self.output)

    def train(self, mode: bool = True) -> TorchProgram:
        return self  # a program has no training mode, and torch raises when asked for one


def _logits(found: Tensor, kind: str) -> Tensor:
    """Logarithms of probabilities are logits: their softmax is the probabilities."""
    return found.clamp_min(torch.finfo(torch.float32).tiny).log() if kind == PROBABILITIES else found


def _check_window(image: Tensor, window: int) -> None:
    if tuple(image.shape[-2:]) != (window, window):
        raise InputError(
            f"the exported network takes windows of {window} x {window} px, not {image.shape[-1]} x {image.shape[-2]}: "
            f"predict with a tile size of {window}, or export it with --window {image.shape[-1]}"
        )


def _refuse_pickles(path: Path) -> None:
    """torch.export.load unpickles what a file asks it to, which can run anything. Files of ``write_pt2`` do not ask.

    Raises InputError for one that does.
    """
    try:
        with zipfile.ZipFile(path) as file:
            inside = {name.partition("/")[2]: name for name in file.namelist()}
            asked = [n for n in inside if n.startswith("data/aotinductor") or n.endswith((".pkl", ".so"))]
            for name in inside:
                if name.endswith("_config.json"):
                    held = json.loads(file.read(inside[name]))["config"]
                    asked += [
                        entry["path_name"]
                        for entry in held.values()
                        if entry["use_pickle"] or not entry["path_name"].startswith(("weight_", "tensor_"))
                    ]
                elif name.endswith(".pt"):
                    try:
                        torch.load(io.BytesIO(file.read(inside[name])), weights_only=True)
                    except Exception:
                        asked.append(name)
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no file of torch.export: {error}") from None
    if asked:
        raise InputError(f"{path} holds {asked[0]}, which only running code from the file could read: it is not opened")
