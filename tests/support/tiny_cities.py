"""Small cities to train on in seconds: blocks of flat colour, georeferenced, some of them labelled."""

import numpy as np
import yaml
from oracle_models import write
from short_settings import settings

COLOURS = np.array([[255, 255, 255], [0, 0, 255], [0, 255, 0]], np.uint8)
HOSTILE = "<script>alert(1)</script>"  # a class and a domain that run as scripts in a page that does not escape them


def build(folder, names=("a", "b", "c"), called=None):
    """Two cities with labels, east and west, and a village without; ``called`` renames west."""
    rng = np.random.default_rng(0)
    for name, gain in (("east", 1.0), ("west", 0.8), ("village", 0.7)):
        for n in range(2):
            classes = np.kron(rng.integers(0, 3, (4, 4)), np.ones((32, 32), int))
            image = ((COLOURS[classes] * 0.7 + rng.normal(30, 15, (128, 128, 3))) * gain).clip(0, 255).astype(np.uint8)
            write(folder / f"{name}_{n}_image.tif", np.moveaxis(image, -1, 0))
            if name != "village":
                write(folder / f"{name}_{n}_label.tif", np.moveaxis(COLOURS[classes], -1, 0))
        fields = {
            "name": called if called and name == "west" else name, "gsd": 0.5,
            "images": {"RGB": {"files": f"{name}_{{n}}_image.tif", "bands": "RGB"}},
            "labels": [f"{name}_{{n}}_label.tif"], "splits": {"train": ["0"], "val": ["1"]},
            "legend": [{"name": m, "colour": c.tolist()} for m, c in zip(names, COLOURS, strict=True)],
        }  # fmt: skip
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(fields))
    return folder


# what the look at colours would choose, and no bank: both take longer than the steps
CHOSEN = {
    "gsd": "target", "standardise": "imagenet", "band_matching": "name", "band_mixing": 1.0, "target_statistics": True,
    "training.bank": False,
}  # fmt: skip


def options(data, **more):
    """Settings of a run of a few steps from east to west, with alignment as CHOSEN."""
    return settings(
        **{
            **CHOSEN,
            "source": str(data / "east.yaml"), "target": str(data / "west.yaml"), "data": str(data), "preset": "sample",
            "steps": 4, "batch_size": 2, "crop": 64, "workers": 0, "precision": "fp32", "channels": 16,
            "device": "cpu", **more,
        }
    )  # fmt: skip


def train_watched(settings, folder, **how):
    """Train as the command does: with the curve of the target's scores, where the settings ask for one."""
    from rsuda.data.find_domain import find_domains
    from rsuda.evaluation.target_curve import watch_target
    from rsuda.training.train import train

    domains = find_domains(settings)
    return train(settings, folder, callbacks=watch_target(settings, domains[1], folder), objects=domains, **how)


def assess_a_map(image, run, folder):
    """Predict an image by a run into FOLDER/maps, label a sample as a person who finds every fourth pixel wrong would, and
    assess the map into FOLDER/accuracy."""
    import geopandas as gpd

    from rsuda.accuracy.assess import assess
    from rsuda.accuracy.sample import sample
    from rsuda.inference.predict import predict

    (prediction,) = predict([image], run, folder / "maps", polygons=None, device="cpu", precision="fp32")
    file = sample(prediction.raster, folder / "points.gpkg", points=60).file
    points = gpd.read_file(file, layer="points")
    names = [*dict.fromkeys(points["map_class"])]
    points["reference"] = [
        name if number % 4 else names[names.index(name) - 1]
        for name, number in zip(points["map_class"], points["id"], strict=True)
    ]
    points.to_file(file, layer="points")
    assess(prediction.raster, file, out=folder / "accuracy")
