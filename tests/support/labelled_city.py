"""Two tiny cities: labels are blocks of three classes, images their noisy colours; the second is darker."""

from pathlib import Path

import numpy as np
import yaml
from oracle_models import write
from rasterio.transform import from_origin

COLOURS = np.array([[255, 255, 255], [0, 0, 255], [0, 255, 0]], np.uint8)
NAMES = ("road", "roof", "tree")
LEGEND = [{"name": n, "value": k, "colour": c.tolist()} for k, (n, c) in enumerate(zip(NAMES, COLOURS, strict=True))]
SETTINGS = {
    "network.channels": 16, "network.weights": "none", "patches.window": 192, "patches.workers": 0, "training.batch_size": 2,
    "training.steps": 2, "training.precision": "fp32", "training.device": "cpu",
    "align.gsd": "target", "align.standardise": "domain", "align.band_matching": "name", "align.band_mixing": 0.0,
    "training.bank": False,  # which takes longer than the steps, as does the look at colours that chooses alignment
    "align.target_statistics": False,  # weights after the last step, as training alone leaves them
}  # fmt: skip
SMALL = {"method": "source-only", "preset": "sample", "settings": SETTINGS}


def city(folder, name, gain=1.0, seed=0, size=224, scenes=2):
    """Images NAME_N_image.tif, labels by colour NAME_N_label.tif and by index NAME_N_mask.tif, domain file NAME.yaml."""
    rng, folder = np.random.default_rng(seed), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(scenes):
        classes = np.kron(rng.integers(0, 3, (7, 7)), np.ones((32, 32), int))[:size, :size]
        image = ((COLOURS[classes] * 0.7 + rng.normal(30, 15, (size, size, 3))) * gain).clip(0, 255).astype(np.uint8)
        where = from_origin(500_000 + 1000 * n, 6_000_000, 0.5, 0.5)
        for kind, values in (
            ("image", image),
            ("label", COLOURS[classes]),
            ("mask", classes[..., None].astype(np.uint8)),
        ):
            write(folder / f"{name}_{n}_{kind}.tif", np.moveaxis(values, -1, 0), where)
    fields = {
        "name": name, "gsd": 0.5, "images": {"RGB": {"files": f"{name}_{{n}}_image.tif", "bands": "RGB"}},
        "labels": [f"{name}_{{n}}_label.tif"], "splits": {"train": ["0"], "val": ["1"]},
        "legend": [{k: v for k, v in c.items() if k != "value"} for c in LEGEND],
    }  # fmt: skip
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(fields))
    return folder / f"{name}.yaml"
