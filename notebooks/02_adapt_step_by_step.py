# %% [markdown]
# # Adapt step by step
#
# This notebook shows the steps between `rsuda adapt` and a better map: how the two domains are matched, what a training
# step receives, what the losses do, and what changes in the end. The source is the sample "Potsdam", the target the sample
# "Vaihingen".

# %%
import csv
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import rsuda
from rsuda.core.settings import make_settings
from rsuda.data.pairs.pair import pair
from rsuda.methods import presets_of

data = next(path for path in (Path("sample_tiles"), Path("../sample_tiles")) if path.is_dir())

# %% tags=["parameters"]
steps = 200  # of each of the three trainings

# %% [markdown]
# ## 1. Settings
#
# Settings come from a preset. Named settings override it, and the method chooses the rest.

# %%
common = {"data": str(data), "preset": "sample", "training.steps": steps, "patches.workers": 0}
plain = {
    "align.gsd": "target",
    "align.standardise": "imagenet",
    "align.band_matching": "order",
    "align.band_mixing": 0.0,
    "align.target_statistics": False,
}
aligned = {**plain, "align.target_statistics": True}
runs = {
    "plain": {"method.name": "source-only", **plain},
    "aligned": {"method.name": "source-only", **aligned},
    "adapted": {"method.name": "st-dasegnet", **aligned},
}
settings = make_settings(
    {"source.name": "potsdam", "target.name": "vaihingen", **common, **runs["adapted"]}, presets_of=presets_of
)
print(settings.method.name, settings.network.encoder, settings.network.decoder, settings.method.options)

# %% [markdown]
# The notebook compares three runs. `plain` trains on the source only and turns off what rsuda would choose to bring the
# domains nearer, so that one step can be seen at a time. `aligned` does the same and estimates the statistics
# of batch norm on the target in the end: this is a setting of the pair, not a method. `adapted` is ST-DASegNet with the same
# setting.
#
# ## 2. The pair
#
# Before training the two cities are brought together: bands by name, one resolution, one legend. The target's labels are
# removed here, so no later step can open them.

# %%
source, target = rsuda.domain("potsdam", data, bands="IRRG"), rsuda.domain("vaihingen", data)
cities = pair(source, target, settings)
print("bands fed:", cities.source_spec.bands, "at", cities.gsd, "m")
print("target labels:", {scene.label for scene in cities.target})
for band, *values in zip(cities.source_spec.bands, cities.source_spec.mean, cities.target_spec.mean, strict=True):
    print(f"mean of {band:5}: source {values[0]:.3f}, target {values[1]:.3f}")

# %% [markdown]
# A training step receives a few source patches with labels and a few target patches without. **Look at** the target
# patches: trees with leaves, other roofs, softer contrast.

# %%
rng = np.random.default_rng(3)
palette = np.array([*cities.legend.palette, (60, 60, 60)], np.uint8)
fig, axes = plt.subplots(3, 4, figsize=(8, 6.2), dpi=64)
for column in axes.T:
    for scenes, first in ((cities.source, 0), (cities.target, 2)):
        scene = scenes[int(rng.integers(len(scenes)))]
        grid = scene.grid_at(cities.gsd)
        window = (int(rng.integers(grid.height - 128)), int(rng.integers(grid.width - 128)), 128, 128)
        values = scene.read(cities.source_spec.bands, cities.gsd, window).values
        column[first].imshow(np.clip(values.transpose(1, 2, 0) / 255, 0, 1))
        if scene.label:
            column[1].imshow(palette[np.minimum(scene.read_label(cities.legend, cities.gsd, window)[0], 6)])
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
for ax, title in zip(axes[:, 0], ("source", "its label", "target"), strict=True):
    ax.set_ylabel(title)
plt.tight_layout()

# %% [markdown]
# ## 3. Training
#
# `rsuda.adapt` does what the command does: it trains, writes a run folder, and scores the last checkpoint.

# %%
results = {
    name: rsuda.adapt("potsdam", "vaihingen", out=Path("runs", name), overwrite=True, settings={**common, **options})
    for name, options in runs.items()
}
print(sorted(path.name for path in results["adapted"].path.iterdir()))

# %% [markdown]
# These are the losses of the adapted run. On the left are the cross entropy of both students on the source, and that of
# the target with its pseudo labels. **Look at** the middle of the run: until then both students are one and learn from the
# source alone (`source_only_share: 0.5`). Then the students part, and the target's pseudo labels join. The preset learns from
# the surer half of each class (`trust: classes`, `keep_share: 0.5`), with full weight: `quality` stays at 1. On the right are
# the adversarial terms, which begin there too. `discriminator` would fall to 0 if the discriminators separated the styles easily.

# %%
with open("runs/adapted/metrics.csv") as file:
    rows = list(csv.DictReader(file))
fig, axes = plt.subplots(1, 2, figsize=(9, 2.9), dpi=70)
for ax, names in zip(axes, (("ce_s", "ce_t", "pseudo", "quality"), ("adversarial", "discriminator")), strict=True):
    for name in names:
        points = [(int(row["step"]), float(row[name])) for row in rows if row.get(name)]
        ax.plot(*zip(*points, strict=True), label=name) if points else None
    ax.set_xlabel("step")
    ax.set_xlim(0, steps)
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
plt.tight_layout()

# %% [markdown]
# ## 4. Scores
#
# With labels: IoU on unseen scenes of the target, whose labels are opened here for the first time. Without labels: scores
# from the images alone.

# %%
scores = {name: run.scores.scores for name, run in results.items()}
print(f"{'IoU, percent':20}" + "".join(f"{name:>9}" for name in runs))
for k, name in enumerate(cities.legend.names):
    print(f"{name:20}" + "".join(f"{100 * score.iou[k]:9.1f}" for score in scores.values()))
print(f"{'mean':20}" + "".join(f"{100 * score.miou:9.1f}" for score in scores.values()))
for name in ("information", "agreement"):
    print(
        f"{name:20}" + "".join(f"{getattr(run.label_free, name):9.3f}" for run in results.values()) + "   (label-free)"
    )

# %% [markdown]
# Two results are typical. The setting of the pair brings a part of the gain, and the method adds more to it. And
# label-free scores help but are not certain: both choose the adapted run, which is the best one, without any label. Yet both
# put `aligned` behind `plain`, although its map is better. `rsuda` chooses by their mean, the *selection* score of
# `label_free.json`.
#
# ## 5. The map

# %%
scene = target.split("val")[0]
whole = (0, 0, scene.grid.height, scene.grid.width)
pictures = {"scene": scene.read(target.bands, None, whole).values.transpose(1, 2, 0)}
for name, run in results.items():
    (prediction,) = rsuda.predict(scene.image, run, Path("maps", name), crs="EPSG:32632", polygons=None)
    pictures[name] = palette[np.minimum(prediction.classes(), 6)]
pictures["label"] = palette[np.minimum(scene.whole_label(cities.legend)[0], 6)]
fig, axes = plt.subplots(1, 5, figsize=(12, 3.1), dpi=70)
for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
    ax.imshow(picture[::2, ::2])
    ax.set_title(title)
    ax.set(xticks=[], yticks=[])
plt.tight_layout()

# %% [markdown]
# ## 6. The spec
#
# The weights file holds what the model expects of pixels, so prediction does not have to guess.

# %%
about = json.loads(Path("runs/adapted/spec.json").read_text())
print(about["method"], about["architecture"])
print({key: value for key, value in about["spec"].items() if key in ("bands", "gsd", "mean")})
