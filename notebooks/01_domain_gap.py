# %% [markdown]
# # The gap between two cities
#
# Why does a model that maps one city well fail on the next? This notebook compares the two synthetic cities of rsuda: a
# labelled "Potsdam" and a "Vaihingen" as the unlabelled target. It shows their images, colours, resolutions and classes,
# and the map that a model trained on the first makes of the second.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import rsuda
from rsuda.data.find_domain import domain
from rsuda.evaluation.evaluate import evaluate
from rsuda.inference.predictor import Predictor
from rsuda.inference.sliding_window import predict_scene
from rsuda.runs.weights import load_run

data = next(path for path in (Path("sample_tiles"), Path("../sample_tiles")) if path.is_dir())
potsdam, vaihingen = domain("potsdam", data), domain("vaihingen", data)
for city in (potsdam, vaihingen):
    print(f"{city.name}: {len(city.scenes)} scenes, bands {', '.join(city.bands)}, {city.gsd:g} m a pixel")

# %% tags=["parameters"]
steps = 600  # of training, below

# %% [markdown]
# ## The same 40 metres of ground
#
# Both patches are 40 m wide. Infrared, red and green are shown as red, green and blue. **Look at** the size of a car: at
# 5 cm it has three times as many pixels as at 9 cm. Look at the trees too: they are leafless in the one city and full in
# the other.

# %%
fig, axes = plt.subplots(1, 2, figsize=(8, 4.2), dpi=70)
for ax, city in zip(axes, (potsdam, vaihingen), strict=True):
    scene = city.split("train")[0]
    side = round(40 / city.gsd)
    patch = scene.read(("ir", "red", "green"), None, (0, 0, side, side))
    ax.imshow(patch.values.transpose(1, 2, 0))
    ax.set_title(f"{city.name}: {side} x {side} px at {100 * city.gsd:.0f} cm")
    ax.axis("off")
plt.tight_layout()

# %% [markdown]
# rsuda reads both at the target's resolution, so this part of the gap is closed before training begins. Here is
# Potsdam's patch read at 9 cm:

# %%
scene, side = potsdam.split("train")[0], round(40 / vaihingen.gsd)
plt.figure(figsize=(3.6, 3.8), dpi=70)
plt.imshow(scene.read(("ir", "red", "green"), vaihingen.gsd, (0, 0, side, side)).values.transpose(1, 2, 0) / 255)
plt.title(f"potsdam at 9 cm: {side} x {side} px")
plt.axis("off")
plt.tight_layout()

# %% [markdown]
# ## Colours
#
# The histograms show the same three bands of all training scenes. **Look at** the infrared: Vaihingen's summer gardens are
# bright where Potsdam's winter lawns are dull, and its hazier camera has fewer dark pixels. A model that learnt
# "vegetation is this bright in infrared" learnt a number that is wrong in the other city.

# %%
bands = ("ir", "red", "green")
fig, axes = plt.subplots(1, 3, figsize=(9, 2.6), dpi=70, sharey=True)
for city, colour in ((potsdam, "tab:blue"), (vaihingen, "tab:orange")):
    pixels = [scene.read(bands, None, (0, 0, scene.grid.height, scene.grid.width)) for scene in city.split("train")]
    values = np.concatenate([image.values[:, image.valid] for image in pixels], 1)[:, ::10]
    for ax, band, row in zip(axes, bands, values, strict=True):
        ax.hist(row, 48, range=(0, 255), density=True, histtype="step", color=colour, lw=1.8, label=city.name)
        ax.set_title(band)
axes[0].legend(frameon=False)
plt.tight_layout()

# %% [markdown]
# ## Classes
#
# The bars show the share of the ground that each class covers. The target's labels are opened here to draw the picture;
# adaptation never opens them.

# %%
legend = potsdam.legend
fig, ax = plt.subplots(figsize=(7, 2.8), dpi=70)
for k, city in enumerate((potsdam, vaihingen)):
    counts = np.zeros(256)
    for scene in city.split("train"):
        counts += np.bincount(scene.whole_label(city.legend)[0].ravel(), minlength=256)
    shares = 100 * counts[: len(legend)] / counts[: len(legend)].sum()
    bars = ax.bar(
        np.arange(len(legend)) + 0.4 * k - 0.2, shares, 0.38, label=city.name, color=("tab:blue", "tab:orange")[k]
    )
    ax.bar_label(bars, fmt="%.0f", fontsize=8)
ax.set_xticks(range(len(legend)), [name.replace(" ", "\n") for name in legend.names])
ax.set_ylabel("% of labelled pixels")
ax.margins(y=0.12)
ax.legend(frameon=False)
plt.tight_layout()

# %% [markdown]
# The shares differ, and this matters: methods that force the target's *map* to look like the source's labels
# (AdaptSegNet) assume equal shares.
#
# ## A model that knows only Potsdam
#
# A small model is trained from scratch on Potsdam alone and scored on unseen scenes of both cities. The settings turn off
# what rsuda would choose to bring the domains nearer, so that the whole gap shows.

# %%
unaligned = {
    "align.gsd": "target",
    "align.standardise": "imagenet",
    "align.band_matching": "order",
    "align.band_mixing": 0.0,
    "align.target_statistics": False,
}
run = rsuda.adapt(
    "potsdam",
    "vaihingen",
    data=data,
    method="source-only",
    preset="sample",
    steps=steps,
    window=128,
    workers=0,
    settings=unaligned,
    out="runs/source-only",
    overwrite=True,
)
predictor = Predictor.of(load_run(run.path))
scores_of = {city.name: evaluate(predictor, city, "val").scores for city in (potsdam, vaihingen)}
print(f"{'IoU, percent':20} {'potsdam':>9} {'vaihingen':>10}")
for k, name in enumerate(legend.names):
    print(f"{name:20} {100 * scores_of['potsdam'].iou[k]:9.1f} {100 * scores_of['vaihingen'].iou[k]:10.1f}")
print(f"{'mean':20} {100 * scores_of['potsdam'].miou:9.1f} {100 * scores_of['vaihingen'].miou:10.1f}")

# %% [markdown]
# The model is small and its training short, but the difference between the columns is the gap: the same model, the same
# classes, another city. Which classes does it confuse?

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 4), dpi=70, sharey=True)
for ax, (name, scores) in zip(axes, scores_of.items(), strict=True):
    rows = scores.matrix / scores.matrix.sum(1, keepdims=True).clip(1)
    ax.imshow(rows, vmin=0, vmax=1, cmap="Blues")
    for (row, column), share in np.ndenumerate(rows):
        if share >= 0.05:
            colour = "white" if share > 0.5 else "black"
            ax.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=8)
    ax.set_title(name)
    ax.set_xticks(range(len(legend)), [name.split()[0] for name in legend.names], rotation=40, ha="right")
    ax.set_xlabel("mapped as")
axes[0].set_yticks(range(len(legend)), legend.names)
axes[0].set_ylabel("is")
fig.suptitle("percent of each label's pixels")
plt.tight_layout()

# %% [markdown]
# **Look at** the rows on the right. In Vaihingen a third of the roofs are called impervious surface, and so are four fifths
# of the cars. Scattered noise would be harmless. Adaptation is for whole classes that turn into others. Here is the same on
# the ground:

# %%
palette = np.array([*legend.palette, (90, 90, 90)], np.uint8)
fig, axes = plt.subplots(2, 3, figsize=(9, 6.4), dpi=70)
for row, city in zip(axes, (potsdam, vaihingen), strict=True):
    scene = city.split("val")[0]
    whole = (0, 0, scene.grid.height, scene.grid.width)
    image = scene.read(("ir", "red", "green"), None, whole).values.transpose(1, 2, 0)
    label = scene.whole_label(city.legend)[0]
    classes = predict_scene(predictor, scene).classes
    pictures = (image, palette[np.minimum(classes, 6)], palette[np.minimum(label, 6)])
    for ax, picture, title in zip(row, pictures, (city.name, "map", "label"), strict=True):
        ax.imshow(picture[::2, ::2])
        ax.set_title(title)
        ax.set(xticks=[], yticks=[])
plt.tight_layout()

# %% [markdown]
# The next notebook, *Adapt step by step*, closes a part of the gap.
