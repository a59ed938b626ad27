# %% [markdown]
# # Inside ST-DASegNet
#
# ST-DASegNet trains two students: one in the style of the source, one in that of the target. A disentangle module
# separates their features into a part that is *distinct* of a style and a part that is *universal*. Teachers label the
# target during training. This notebook shows these features, and the pseudo labels over time.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from rsuda.core.settings import make_settings
from rsuda.data.find_domain import domain
from rsuda.methods import presets_of
from rsuda.training.train import train

data = next(path for path in (Path("sample_tiles"), Path("../sample_tiles")) if path.is_dir())
source, target = domain("potsdam", data, bands="IRRG"), domain("vaihingen", data)
legend, size, gsd = target.legend, 384, target.gsd

# %% tags=["parameters"]
steps = 360  # of training
looks = 12  # at the pseudo labels

# %% [markdown]
# ## Pseudo labels over time
#
# At a few moments of the training the teachers label two fixed windows of the target. Their true labels are read *here*, to
# compare; the training itself never reads them.

# %%
windows = [(target.scenes["1"], (100, 100, size, size)), (target.scenes["11"], (300, 200, size, size))]
images = np.stack([scene.read(target.bands, gsd, window).values for scene, window in windows])
truth = np.stack([scene.read_label(legend, gsd, window)[0] for scene, window in windows])


class Watch(Callback):
    """Records the teachers' labels at a few steps."""

    def __init__(self):
        self.step, self.right, self.surer, self.confidence, self.maps = [], [], [], [], []

    def on_train_batch_end(self, trainer, module, *_):
        if trainer.global_step % max(1, steps // looks) and trainer.global_step != 1:
            return
        standardised = np.stack([module.spec.standardise(image) for image in images])
        labels = module.method.pseudo_labels_of(torch.from_numpy(standardised))
        label, confidence, labelled = labels.label.numpy(), labels.confidence.numpy(), truth < len(legend)
        surer = labelled & (confidence >= np.median(confidence[labelled]))
        self.step.append(trainer.global_step)
        self.right.append((label == truth)[labelled].mean())
        self.surer.append((label == truth)[surer].mean())
        self.confidence.append(confidence[labelled].mean())
        self.maps.append(label[0])


watch = Watch()
settings = make_settings(
    {
        "source.name": "potsdam",
        "target.name": "vaihingen",
        "data": str(data),
        "method.name": "st-dasegnet",
        "preset": "sample",
        "training.steps": steps,
        "patches.window": 192,
        "training.batch_size": 2,
        "patches.workers": 0,
        "align.gsd": "target",  # no alignment, so that the teachers begin with the whole gap
        "align.standardise": "imagenet",
        "align.band_matching": "order",
        "align.band_mixing": 0.0,
        "align.target_statistics": False,
    },
    presets_of=presets_of,
)
method = train(settings, Path("runs/st"), overwrite=True, quiet=True, callbacks=[watch])
fig, ax = plt.subplots(figsize=(7, 3.2), dpi=70)
ax.plot(watch.step, 100 * np.array(watch.right), "o-", label="right, of all pixels")
ax.plot(watch.step, 100 * np.array(watch.surer), "s--", label="right, of the surer half")
ax.plot(watch.step, 100 * np.array(watch.confidence), ":", color="0.4", label="mean confidence")
ax.set(xlabel="step", ylabel="%", ylim=(0, 100))
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, fontsize=8)
plt.tight_layout()

# %% [markdown]
# **Look at** the jump in the middle. In the first half of the run the model learns from the source alone, and at best half
# of its labels of the target are right. Then the method sees the target: the teachers' batch norm follows its images, and
# similar cells of the source vote on their labels. Three of four pixels are right from there on, and nine of ten in the surer
# half. Confidence does not show the jump: it is as high before it. Therefore the preset compares pixels within a class only,
# and learns from the surer half of each.
#
# These are the labels at four of the moments:

# %%
palette = np.array([*legend.palette, (60, 60, 60)], np.uint8)
chosen = sorted({round(k) for k in np.linspace(0, len(watch.maps) - 1, 4)})
fig, axes = plt.subplots(1, len(chosen) + 2, figsize=(2.1 * (len(chosen) + 2), 2.5), dpi=70)
pictures = [("target", images[0].transpose(1, 2, 0))]
pictures += [(f"step {watch.step[k]}", palette[watch.maps[k]]) for k in chosen]
pictures += [("label", palette[np.minimum(truth[0], 6)])]
for ax, (title, picture) in zip(axes, pictures, strict=True):
    ax.imshow(picture[::2, ::2])
    ax.set_title(title)
    ax.set(xticks=[], yticks=[])
plt.tight_layout()

# %% [markdown]
# ## Distinct and universal features
#
# One target window and one source window go through both students. Each feature map has many channels. Three principal
# components of them are shown as red, green and blue, so **similar colours mean similar features** within one picture.

# %%
method.eval()
spec, model = method.spec, method.model


def standardised(values):
    unit = spec.unit(values)
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (spec.mean, spec.std))
    return torch.from_numpy((unit - mean) / std).float()[None]


@torch.no_grad()
def features(image):
    """Return, for both students, a level of the pyramid after the disentangle module, and the universal features."""
    f_s, f_t = model.backbone_s(image), model.backbone_t(image)
    d_s, d_t = model.disentangle.distinct[3](f_s[3], f_t[3])
    u_s, u_t = model.disentangle.universal(f_s[-1], f_t[-1])
    return {"distinct, source student": d_s, "distinct, target student": d_t,
            "universal, source student": u_s, "universal, target student": u_t}  # fmt: skip


def colours(*maps):
    """Turn feature maps (1, C, h, w) into RGB pictures by three principal components, common to all of them."""
    flat = torch.cat([features[0].flatten(1) for features in maps], 1).T.double()
    flat = (flat - flat.mean(0)) / flat.std(0).clamp(min=1e-6)
    _, _, axes = torch.linalg.svd(flat, full_matrices=False)
    along = flat @ axes[:3].T
    low, high = along.quantile(0.02, dim=0), along.quantile(0.98, dim=0)
    rgb = ((along - low) / (high - low)).clamp(0, 1).numpy()
    sizes = [features.shape[-2:] for features in maps]
    parts = np.split(rgb, np.cumsum([height * width for height, width in sizes])[:-1])
    return [part.reshape(*size, 3) for part, size in zip(parts, sizes, strict=True)]


places = {
    "target": target.scenes["1"].read(target.bands, gsd, (100, 100, size, size)).values,
    "source": source.scenes["2_10"].read(target.bands, gsd, (50, 50, size, size)).values,
}
pyramids = {place: features(standardised(values)) for place, values in places.items()}
fig, axes = plt.subplots(2, 5, figsize=(12, 5.2), dpi=64)
for row, (place, values) in zip(axes, places.items(), strict=True):
    row[0].imshow(np.clip(values.transpose(1, 2, 0) / 255, 0, 1))
    row[0].set_ylabel(place, fontsize=12)
for kind in ("distinct", "universal"):
    names = [name for name in pyramids["target"] if name.startswith(kind)]
    pictures = colours(*(pyramids[place][name] for place in places for name in names))
    for k in range(len(places)):
        for student, name in enumerate(names):
            ax = axes[k, 1 + student + 2 * (kind == "universal")]
            ax.imshow(pictures[2 * k + student], interpolation="nearest")
            ax.set_title(name if k == 0 else "", fontsize=10)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
plt.tight_layout()

# %% [markdown]
# **Look at** the rows. Distinct features (an eighth of the image's resolution) separate roofs, streets and gardens. The two
# students give the same ground the same colours: they were one until the middle of the run, and have hardly parted since.
# Universal features come from the last level, so they are coarse. After so few steps they say little about the ground: on
# the target they have nearly one colour.
#
# How similar are the two students in numbers? Channels of two networks have no common order, so their maps are compared by
# *linear centred kernel alignment*. It is 1 if they differ only by a rotation and a scale of their channels, and 0 if they
# have nothing in common.


# %%
def alignment(one, other):
    """Return the linear CKA of two feature maps (1, C, h, w) over their pixels."""
    x, y = (features[0].flatten(1).T.double() for features in (one, other))
    x, y = x - x.mean(0), y - y.mean(0)
    return float((y.T @ x).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm()).clamp(min=1e-12))


for place, maps in pyramids.items():
    for kind in ("distinct", "universal"):
        one, other = (features for name, features in maps.items() if name.startswith(kind))
        print(f"{place:7} {kind:10} alignment of the two students {alignment(one, other):.2f}")

# %% [markdown]
# In the paper, universal features should be common to both students, and distinct ones should not. **Compare** the two
# kinds: after so few steps it is still the other way round.
#
# ## The share of each channel
#
# The distinct branch weights each channel between the students by a softmax over the two, so the weights add up to 1. A
# channel at 0.5 is shared, one at 0.9 belongs to the source's student.

# %%
with torch.no_grad():
    for place, values in places.items():
        image = standardised(values)
        f_s, f_t = model.backbone_s(image)[3], model.backbone_t(image)[3]
        d_s, _ = model.disentangle.distinct[3](f_s, f_t)
        shares = (d_s.abs().sum((-2, -1)) / f_s.abs().sum((-2, -1)).clamp(min=1e-9))[0].numpy()
        plt.hist(shares, 14, range=(0, 1), histtype="step", lw=1.8, label=f"{place} image")
plt.gcf().set_size_inches(6, 2.6)
plt.gcf().set_dpi(70)
plt.xlabel("share of a channel that belongs to the source's student")
plt.ylabel("channels")
plt.legend(frameon=False)
plt.tight_layout()

# %% [markdown]
# In a run as short as this most channels stay near one half: the module has begun to separate the styles and is far
# from done. The paper trains 40 000 steps.
