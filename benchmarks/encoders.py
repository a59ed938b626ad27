"""Try encoders: whether timm's own file fits, a run trains, a part is mapped as the whole, and the model exports to ONNX.

    python benchmarks/encoders.py [--encoders mit_b0 tu-vit_tiny_patch16_224 …] [--methods st-dasegnet …] [--window 192]

Weights are random ones in a file as timm (or segmentation-models-pytorch) writes it, with timm's classifier: no accuracy
is measured. Two steps of source-only on the drawn sample tiles, with three bands and with four; then every method of
--methods on each encoder. Prints a table.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import save_file

from rsuda.core.errors import RsudaError
from rsuda.core.settings import Settings, make_settings
from rsuda.data.find_domain import domain
from rsuda.export.export import export
from rsuda.geo.scenes.region import Region
from rsuda.inference.predictor import Predictor
from rsuda.inference.sliding_window import strips
from rsuda.learning.encoders.build import check_encoder
from rsuda.learning.encoders.timm_encoders import PREFIX
from rsuda.learning.network import Architecture, build_encoder
from rsuda.methods import METHODS, option_names, presets_of
from rsuda.runs.weights import load_run
from rsuda.training.train import train

ENCODERS = (
    "mit_b0",
    "mobilenet_v2",
    "resnet18",
    "tu-resnet18",
    "tu-mobilenetv3_small_100",
    "tu-mobilenetv4_conv_small",
    "tu-tf_efficientnet_lite0",
    "tu-regnety_002",
    "tu-convnext_tiny",
    "tu-convnext_tiny.dinov3_lvd1689m",
    "tu-convnextv2_atto",
    "tu-repvit_m0_9",
    "tu-fastvit_t8",
    "tu-efficientvit_b0",
    "tu-hgnetv2_b0",
    "tu-swin_tiny_patch4_window7_224",
    "tu-swinv2_tiny_window8_256",
    "tu-maxvit_nano_rw_256",
    "tu-pvt_v2_b0",
    "tu-sam2_hiera_tiny",
    "tu-hiera_tiny_224",
    "tu-vit_tiny_patch16_224",
    "tu-vit_small_patch14_dinov2",
    "tu-vit_small_patch16_dinov3",
    "tu-eva02_tiny_patch14_224",
    "tu-vit_base_patch16_clip_224",
    "tu-vit_base_patch16_siglip_224",
    "tu-beit_base_patch16_224",
    "tu-deit3_small_patch16_224",
    "tu-samvit_base_patch16_224",
    "tu-naflexvit_base_patch16_gap",
)
DATA = Path(__file__).resolve().parents[1] / "sample_tiles"
NOW = {"source_only_share": 0.0, "uncertain_from": 0.0, "resolutions": 2}  # all parts of a method from the first step


def weights_file(name: str, folder: Path) -> Path:
    """Write random weights: a model of timm with a classifier, as its hub has it, or an encoder of smp."""
    torch.manual_seed(0)
    file = folder / f"{name}.safetensors"
    model = (
        timm.create_model(name.removeprefix(PREFIX))
        if name.startswith(PREFIX)
        else smp.encoders.get_encoder(name, weights=None)
    )
    save_file({key: tensor.clone().contiguous() for key, tensor in model.state_dict().items()}, file)
    return file


def settings(name: str, method: str, file: Path, window: int, start: Path | None = None) -> Settings:
    """Settings of two short steps."""
    fields: dict[str, Any] = {
        "preset": "sample", "data": str(DATA), "target": "vaihingen", "method.name": method,
        "network.encoder": name, "network.weights": str(file), "network.channels": 32,
        "patches.window": window, "patches.workers": 0, "training.steps": 2, "training.batch_size": 2,
        "training.precision": "fp32", "training.bank": True, "align.target_statistics": False,
    }  # fmt: skip
    fields |= {"network.start": str(start), "source": ""} if start else {"source": "potsdam"}
    fields |= {f"method.{k}": v for k, v in NOW.items() if k in option_names(method)}
    return make_settings(fields, presets_of=presets_of, option_names=option_names)


def maps_parts_as_the_whole(run: Path) -> str:
    """Compare a part of a scene with the same part of the whole map."""
    scene = next(iter(domain("vaihingen", DATA).scenes.values()))
    predictor = Predictor.of(load_run(run), "cpu", "fp32", window=96, overlap=32)
    row, col, height, width = 128, 40, 128, 100
    whole = np.concatenate([strip.classes for strip in strips(predictor, scene, Region.of(scene))])
    part = Region(scene.grid.window(row, col, height, width), (row, col, height, width))
    cut = np.concatenate([strip.classes for strip in strips(predictor, scene, part)])
    same = np.array_equal(whole[row : row + height, col : col + width], cut)
    return "yes" if same else "no: other classes in a part"


def tried(action: Callable[[], str | None]) -> str:
    """Do something: 'yes' or what it answers; the sentence of an error otherwise."""
    try:
        return action() or "yes"
    except RsudaError as error:
        return f"no: {error}"
    except Exception as error:
        return f"no: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def try_encoder(name: str, window: int, methods: list[str], folder: Path) -> dict[str, str]:
    """Try one encoder; the answers by column."""
    began, row, run = time.monotonic(), {"encoder": f"`{name}`"}, folder / "run"
    if (refused := tried(lambda: check_encoder(name))) != "yes":
        return {**row, "trains": refused}
    file = weights_file(name, folder)

    def fits() -> str:
        for bands in (3, 4):
            note = build_encoder(Architecture(name, "segformer", 3, bands), str(file)).weights_note
        return f"yes ({note.partition(' of ')[0]} tensors left out)" if note else "yes"

    def trains() -> None:
        train(settings(name, "source-only", file, window), run, overwrite=True, quiet=True)

    def adapts(method: str) -> None:
        needs = METHODS[method].needs_source
        train(settings(name, method, file, window, None if needs else run), folder / method, overwrite=True, quiet=True)

    row["its file fits"] = tried(fits)
    row["trains"] = tried(trains)
    if row["trains"] == "yes":
        row["a part as the whole"] = tried(lambda: maps_parts_as_the_whole(run))
        row["ONNX"] = tried(lambda: f"yes ({export(run, window=96, overlap=32, overwrite=True).difference:.0e})")
        if methods:
            answers = {method: tried(lambda method=method: adapts(method)) for method in methods}  # type: ignore[misc]
            wrong = [f"{method} {answer}" for method, answer in answers.items() if answer != "yes"]
            row["methods"] = "; ".join(wrong) or f"all {len(methods)}"
    print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", nargs="+", default=ENCODERS, help="as --encoder takes them")
    parser.add_argument("--methods", nargs="*", default=[m for m in METHODS if m != "source-only"])
    parser.add_argument("--window", type=int, default=192, help="of training")
    args = parser.parse_args()
    logging.getLogger("rsuda").setLevel(logging.ERROR)
    rows = []
    for name in args.encoders:
        folder = Path(tempfile.mkdtemp())
        try:
            rows.append(try_encoder(name, args.window, list(args.methods), folder))
        finally:
            shutil.rmtree(folder)
        print(rows[-1], file=sys.stderr)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    print("| " + " | ".join(columns) + " |")
    print("| " + " | ".join("---" for _ in columns) + " |")
    for row in rows:
        print("| " + " | ".join(row.get(column, "") for column in columns) + " |")


if __name__ == "__main__":
    main()
