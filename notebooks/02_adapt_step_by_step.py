# %% [markdown]
# # Adapting step by step
#
# What happens between `rsuda adapt` and a better map: how the two domains are matched, what a step is fed, what the losses do, and
# what has changed in the end. Source is the sample "Potsdam", target the sample "Vaihingen".

# %%
import csv
import json
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from rsuda.bands import predict_scene
from rsuda.config import settings
from rsuda.domains import domain
from rsuda.engine import Engine
from rsuda.label_free import label_free, write_label_free
from rsuda.pair import pair
from rsuda.run import load_run
from rsuda.verbs.adapt import adapt, check_run
from rsuda.verbs.evaluate import evaluate, write_scores

data = next(p for p in (Path("sample_tiles"), Path("../sample_tiles")) if p.is_dir())

# %% tags=["parameters"]
steps = 240  # of each of the three trainings

# %% [markdown]
# ## 1. Settings
#
# Settings come from a preset; what is named wins. `check_run` fills in what the method chooses for itself, and says what it had to
# change.

# %%
plain = settings(
    source="potsdam", target="vaihingen", data=str(data), method="source-only", preset="sample",
    steps=steps, crop=128, workers=0,
)  # fmt: skip
nearer = replace(plain, standardise="domain", target_statistics=True)
adapted = settings(
    source="potsdam", target="vaihingen", data=str(data), method="bicl", preset="sample", steps=steps, crop=128, workers=0,
    standardise="domain", target_statistics=True,
)  # fmt: skip
adapted, notes = check_run(adapted)
print(adapted.method, adapted.options)

# %% [markdown]
# Three runs will be compared: `plain` trains on the source and hopes. `nearer` does so too, but standardises each city by its own
# mean and deviation, and in the end estimates batch norm's statistics on the target: no method, only the settings of the pair.
# `adapted` is BiCL on top of that.
#
# ## 2. The pair
#
# Before anything is learnt the two cities are brought together: bands by name, one resolution, one legend. Target labels are dropped
# here, so nothing later can open them.

# %%
source, target = domain("potsdam", data, "IRRG"), domain("vaihingen", data)
found = pair(source, target, adapted)
print("bands fed:", found.source_spec.bands, "at", found.gsd, "m")
print("target labels:", {scene.label for scene in found.target})
for band, *values in zip(found.source_spec.bands, found.source_spec.mean, found.target_spec.mean, strict=True):
    print(f"mean of {band:5}: source {values[0]:.3f}, target {values[1]:.3f}")

# %% [markdown]
# What a step is fed: a few source patches with labels, and a few target patches without. **Look at** the target patches: trees with
# leaves, other roofs, softer.

# %%
rng = np.random.default_rng(3)
palette = np.array([*found.legend.palette, (60, 60, 60)], np.uint8)
fig, axes = plt.subplots(3, 4, figsize=(8, 6.2), dpi=64)
for column in axes.T:
    for scenes, first in ((found.source, 0), (found.target, 2)):
        scene = scenes[int(rng.integers(len(scenes)))]
        grid = scene.grid_at(found.gsd)
        window = (int(rng.integers(grid.height - 128)), int(rng.integers(grid.width - 128)), 128, 128)
        values = scene.read(found.source_spec.bands, found.gsd, window).values
        column[first].imshow(np.clip(values.transpose(1, 2, 0) / 255, 0, 1))
        if scene.label:
            column[1].imshow(palette[np.minimum(scene.read_label(found.legend, found.gsd, window)[0], 6)])
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
for ax, title in zip(axes[:, 0], ("source", "its label", "target"), strict=True):
    ax.set_ylabel(title)
plt.tight_layout()

# %% [markdown]
# ## 3. Training
#
# `adapt` is what the command calls. It leaves a run folder.

# %%
runs = {"plain": plain, "nearer": nearer, "adapted": adapted}
for name, s in runs.items():
    adapt(s, Path("runs", name), overwrite=True, quiet=True)

# %% [markdown]
# The losses of the adapted run. The first 40 % of the steps are source-only, until the teacher is worth listening to: **look at** where
# the other terms set in, and that nothing jumps there.

# %%
rows = list(csv.DictReader(open("runs/adapted/metrics.csv")))
fig, axes = plt.subplots(1, 2, figsize=(9, 2.9), dpi=70)
for ax, names in zip(axes, (("ce", "ce_target"), ("forward", "backward", "entropy")), strict=True):
    for name in names:
        points = [(int(r["step"]), float(r[name])) for r in rows if r.get(name)]
        ax.plot(*zip(*points, strict=True), label=name) if points else None
    ax.set_xlabel("step")
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
plt.tight_layout()

# %% [markdown]
# ## 4. How good is it?
#
# With labels: IoU on unseen scenes of the target, opened here for the first time. Without: scores that look at the images alone.

# %%
engines, scores, blind = {}, {}, {}
for name in runs:
    engines[name] = Engine.of(load_run(Path("runs", name)))
    evaluation = evaluate(engines[name], target, "val")
    write_scores(evaluation, Path("runs", name))
    scores[name] = evaluation.scores
    blind[name] = label_free(engines[name], target, "train", windows=6)
    write_label_free(blind[name], Path("runs", name))
names = found.legend.names
print(f"{'IoU, percent':20}" + "".join(f"{n:>9}" for n in runs))
for k, name in enumerate(names):
    print(f"{name:20}" + "".join(f"{100 * s.iou[k]:9.1f}" for s in scores.values()))
print(f"{'mean':20}" + "".join(f"{100 * s.miou:9.1f}" for s in scores.values()))
print(f"{'information':20}" + "".join(f"{b.information:9.3f}" for b in blind.values()), " (label-free)")

# %% [markdown]
# Two things are usual here, and worth knowing. The settings of the pair bring most of it, and the method adds to them. And the
# label-free score puts the runs into an order without having seen a label; whether it is the right one you see above, where labels
# happen to exist.
#
# ## 5. The map

# %%
scene = target.split("val")[0]
whole = (0, 0, scene.grid.height, scene.grid.width)
pictures = {"scene": scene.read(target.bands, None, whole).values.transpose(1, 2, 0)}
pictures |= {n: palette[np.minimum(predict_scene(e, scene).classes, 6)] for n, e in engines.items()}
pictures["label"] = palette[np.minimum(scene.whole_label(found.legend)[0], 6)]
fig, axes = plt.subplots(1, 5, figsize=(12, 3.1), dpi=70)
for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
    ax.imshow(picture[::2, ::2])
    ax.set_title(title)
    ax.axis("off")
plt.tight_layout()

# %% [markdown]
# ## 6. What is kept
#
# The weights file carries what the network expects of pixels, so that prediction cannot guess wrong.

# %%
about = json.loads(Path("runs/adapted/spec.json").read_text())
print(about["method"], about["architecture"])
print({k: v for k, v in about["spec"].items() if k in ("bands", "gsd", "mean")})
