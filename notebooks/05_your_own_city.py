# %% [markdown]
# # Your own city
#
# This notebook starts with a folder of GeoTIFFs from a survey, adds a domain file, and ends with an adapted map. The "city"
# is the synthetic sample target in a less convenient form: four 16-bit tiles with a CRS, and masks that hold numbers
# instead of colours.

# %%
import shutil
from pathlib import Path

import geopandas
import matplotlib.pyplot as plt
import numpy as np
import rasterio
from rasterio.plot import plotting_extent

import rsuda
from rsuda.data.find_domain import domain

sample = next(path for path in (Path("sample_tiles"), Path("../sample_tiles")) if path.is_dir())

# %% tags=["parameters"]
steps = 600  # of training

# %% [markdown]
# ## The delivery

# %%
vaihingen = domain("vaihingen", sample)
for name, area in {"north_1": "1", "north_2": "3", "south_1": "11", "south_2": "2"}.items():
    scene = vaihingen.scenes[area]
    grid = scene.grid
    whole = (0, 0, grid.height, grid.width)
    image = scene.read(vaihingen.bands, None, whole).values.astype(np.uint16) * 12 + 300  # 12 of 16 bit
    mask = (scene.whole_label(vaihingen.legend)[0] + 1)[None]  # 1 to 6; 0 is unlabelled
    for kind, values in (("ortho", image), ("mask", mask)):
        file = Path("survey/springfield", kind, f"{name}.tif")
        file.parent.mkdir(parents=True, exist_ok=True)
        profile = {"driver": "GTiff", "height": grid.height, "width": grid.width, "count": len(values),
                   "dtype": values.dtype, "crs": "EPSG:32632", "transform": grid.transform}  # fmt: skip
        with rasterio.open(file, "w", compress="deflate", **profile) as out:
            out.write(values)
shutil.copytree(sample / "potsdam", "survey/potsdam", dirs_exist_ok=True)
print("\n".join(sorted(path.as_posix() for path in Path("survey/springfield").rglob("*.tif"))))

# %% [markdown]
# ## Inspect the pixels
#
# Look at the data first. 16-bit pixels reach 3400, not 65535; without a stretch the tile would be black.

# %%
with rasterio.open("survey/springfield/ortho/north_1.tif") as file:
    values, extent = file.read(), plotting_extent(file)
    print(file.dtypes, file.crs, f"{file.res[0]:g} m", "smallest and largest:", values.min(), values.max())
low, high = np.percentile(values, (0.5, 99.5), axis=(1, 2))
stretched = ((values - low[:, None, None]) / (high - low)[:, None, None]).clip(0, 1).transpose(1, 2, 0)
fig, axes = plt.subplots(1, 2, figsize=(8, 3.9), dpi=70)
axes[0].imshow(values.transpose(1, 2, 0)[::2, ::2] / 65535)
axes[0].set_title("as it is")
axes[1].imshow(stretched[::2, ::2])
axes[1].set_title("between its percentiles")
for ax in axes:
    ax.axis("off")
plt.tight_layout()

# %% [markdown]
# rsuda makes the same stretch, once for the whole domain, and writes it to the weights file.
#
# ## The domain file
#
# The domain file adds what the files do not contain: the bands, the meaning of the numbers in the masks, and the splits for
# training and scoring. Classes with the meaning of Potsdam's have the same names.

# %%
Path("springfield.yaml").write_text("""\
name: springfield
about: Springfield, summer, infrared red green, 9 cm, 16 bit
images:
  IRRG: {files: "springfield/ortho/{tile}.tif", bands: IRRG}
labels: ["springfield/mask/{tile}.tif"]
legend:
  - {name: impervious surface, value: 1, colour: "#FFFFFF"}
  - {name: building, value: 2, colour: "#0000FF"}
  - {name: low vegetation, value: 3, colour: "#00FFFF"}
  - {name: tree, value: 4, colour: "#00FF00"}
  - {name: car, value: 5, colour: "#FFFF00"}
  - {name: clutter, value: 6, colour: "#FF0000"}
ignore: [0]
splits:
  train: ["north_*", "south_1"]
  val: ["south_2"]
""")
city = domain("springfield.yaml", "survey")
print(city.name, city.gsd, "m,", {split: names for split, names in city.splits.items()})
print("has labels to score by:", city.has_labels("val"))

# %% [markdown]
# ## Adapt
#
# The run adapts from Potsdam to Springfield. The masks of Springfield exist, and training does not open them. The note about
# scenes only says that the sample is smaller than the real Potsdam. `standardise: domain` matters here: it brings two cities
# with different cameras to one scale.

# %%
run = rsuda.adapt(
    "potsdam",
    "springfield.yaml",
    data="survey",
    method="dacs",
    preset="sample",
    steps=steps,
    window=128,
    workers=0,
    settings={"align.standardise": "domain", "align.target_statistics": True},
    out="runs/springfield",
    overwrite=True,
)
spec = rsuda.load(run).spec
print("raw values that become 0:", np.round(spec.low), "and 1:", np.round(spec.high))

# %% [markdown]
# ## The map
#
# The pictures show the unseen tile, its map and its label.

# %%
(prediction,) = rsuda.predict(
    "survey/springfield/ortho/south_2.tif", "runs/springfield", "maps", confidence=True, min_area=1.0, overwrite=True
)
with rasterio.open("survey/springfield/ortho/south_2.tif") as file:
    values = file.read()
with rasterio.open(prediction.raster) as file:
    table = np.array([file.colormap(1)[k] for k in range(256)], np.uint8)
    names, classes = file.tags(1)["CLASS_NAMES"].split(","), file.read(1)
with rasterio.open("survey/springfield/mask/south_2.tif") as file:
    label = file.read(1)
stretched = ((values - low[:, None, None]) / (high - low)[:, None, None]).clip(0, 1).transpose(1, 2, 0)
pictures = {"south_2": stretched, "map": table[classes], "label": table[np.where(label > 0, label - 1, 255)]}
fig, axes = plt.subplots(1, 3, figsize=(10, 4), dpi=70)
for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
    ax.imshow(picture[::2, ::2])
    ax.set_title(title)
    ax.set(xticks=[], yticks=[])
handles = [plt.Rectangle((0, 0), 1, 1, fc=table[k] / 255, ec="0.3") for k in range(len(names))]
fig.legend(handles, names, ncols=6, loc="lower center", frameon=False, fontsize=9)
plt.tight_layout(rect=(0, 0.06, 1, 1))

# %% [markdown]
# **Look at** the map before you trust any number. Streets, roofs, cars and trees are in the right places. The railway on the
# right, *clutter* in the label, is called tree, lawn and street, and much of the lawn is called tree. A class in the place of
# another is the typical error across domains. Try a longer run, a pretrained encoder (`--preset small`) and another method,
# in this order. A source that is more similar helps too.
#
# ## Numbers

# %%
labelled = label > 0
right = (classes == label.astype(int) - 1)[labelled].mean()
polygons = geopandas.read_file(prediction.polygons)
print(f"{100 * right:.0f} % of the labelled pixels are right")
print(polygons.groupby("name").area_m2.agg(["count", "sum"]).round(1))

# %% [markdown]
# Where is the map wrong? Wrong pixels are red on the left; the right picture shows the confidence. **Look at** the railway:
# red and dark. There the model is wrong and unsure. Dark places are good ones to check, and on average the model is less
# confident where it is wrong. But it is not dark everywhere: no threshold of confidence finds all errors.

# %%
with rasterio.open(prediction.confidence) as file:
    sure = file.read(1) / 254
wrong = labelled & (classes != label.astype(int) - 1)
fig, axes = plt.subplots(1, 2, figsize=(7.4, 4), dpi=70)
axes[0].imshow(np.where(wrong[..., None], (0.85, 0.1, 0.1), 0.55 * stretched + 0.45)[::2, ::2])
axes[0].set_title("wrong")
image = axes[1].imshow(sure[::2, ::2], cmap="magma", vmin=0, vmax=1)
axes[1].set_title("confidence")
for ax in axes:
    ax.axis("off")
fig.colorbar(image, ax=axes, shrink=0.7)
print(f"confidence where it is right {sure[labelled & ~wrong].mean():.2f}, where it is wrong {sure[wrong].mean():.2f}")

# %% [markdown]
# With your own folder the steps are the same. Declare what the files do not contain, look at the data before and after, and
# reserve a few labelled tiles to measure the map.
