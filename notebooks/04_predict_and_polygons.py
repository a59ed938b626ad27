# %% [markdown]
# # A map and its polygons
#
# This notebook goes from a finished run to products for a planner: a georeferenced raster, polygons that fit together
# without gaps, areas by class, and the confidence of the model.

# %%
from pathlib import Path

import geopandas
import matplotlib.pyplot as plt
import numpy as np
import rasterio
from rasterio.plot import plotting_extent

import rsuda

data = next(path for path in (Path("sample_tiles"), Path("../sample_tiles")) if path.is_dir())
scene = data / "vaihingen/top/top_mosaic_09cm_area2.tif"

# %% tags=["parameters"]
steps = 300  # of training

# %% [markdown]
# Any run folder works. This one is trained on the target's own labels, the *oracle* of the benchmarks: it gives a good map
# after a minute or two of training from scratch. With an adapted model everything below is the same.

# %%
rsuda.adapt(
    "vaihingen",
    "vaihingen",
    data=data,
    method="source-only",
    preset="sample",
    steps=steps,
    window=128,
    workers=0,
    out="runs/oracle",
    overwrite=True,
)
print("\n".join(sorted(path.name for path in Path("runs/oracle").iterdir())))

# %% [markdown]
# ## Predict
#
# `predict` goes through scenes one by one and writes files. The sample tiles have a world file and no CRS, so `crs`
# declares it. Patches below one square metre merge into the neighbour with the longest common border.

# %%
(prediction,) = rsuda.predict(
    scene, "runs/oracle", "maps", crs="EPSG:32632", confidence=True, min_area=1.0, overwrite=True
)
print(f"{prediction.pixels / 1e6:.1f} Mpx, {prediction.polygon_count} polygons")
print("\n".join(sorted(path.name for path in Path("maps").iterdir() if not path.name.startswith("."))))

# %% [markdown]
# ## The raster
#
# A class raster holds its names and colours. The axes are UTM metres: the map has the position of the scene.

# %%
with (
    rasterio.open(scene) as image,
    rasterio.open(prediction.raster) as classes,
    rasterio.open(prediction.confidence) as confidence,
):
    extent = plotting_extent(classes)
    colours = np.array([classes.colormap(1)[k] for k in range(256)], np.uint8)
    names = classes.tags(1)["CLASS_NAMES"].split(",")
    pictures = {
        "scene": image.read().transpose(1, 2, 0)[::2, ::2],
        "classes": colours[classes.read(1)][::2, ::2],
        "confidence": confidence.read(1)[::2, ::2] / 254,
    }
fig, axes = plt.subplots(1, 3, figsize=(10.5, 4.2), dpi=70, sharey=True)
for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
    image = ax.imshow(picture, extent=extent, cmap="magma", vmin=0, vmax=1)
    ax.set_title(title)
    ax.tick_params(labelsize=7)
    ax.ticklabel_format(useOffset=False, style="plain")
    ax.locator_params(nbins=3)
bar = fig.colorbar(image, ax=axes, shrink=0.6, label="probability of the class")

# %% [markdown]
# **Look at** the dark places in the right picture: the model is unsure along borders, on cars, and where trees stand on
# lawns. An unsure pixel is not always wrong, but it is a good place to check first.
#
# ## Polygons
#
# The polygons form a coverage: neighbours share every vertex of their common border, so there are no overlaps and no
# slivers. The sum of their areas is the area of the scene.

# %%
polygons = geopandas.read_file(prediction.polygons)
print(polygons.crs.to_string(), "valid:", bool(polygons.is_valid.all()))
with rasterio.open(prediction.raster) as file:
    ground = file.width * file.height * abs(file.transform.a * file.transform.e)
print(f"polygons {polygons.area.sum():.1f} m2, scene {ground:.1f} m2")
polygons.drop(columns="geometry").sort_values("area_m2", ascending=False).head(6)

# %% [markdown]
# This is a map without a basemap: the polygons of one corner with their borders.

# %%
palette = {name: colours[k][:3] / 255 for k, name in enumerate(names)}
left, bottom, right, top = polygons.total_bounds
corner = polygons.clip((left, top - 40, left + 40, top))
fig, ax = plt.subplots(figsize=(6.4, 6), dpi=70)
for name, group in corner.groupby("name"):
    group.plot(ax=ax, color=[palette[name]], edgecolor="0.25", linewidth=0.5, label=name)
handles = [plt.Rectangle((0, 0), 1, 1, fc=palette[name], ec="0.25") for name in names if name in set(corner["name"])]
ax.legend(
    handles,
    [name for name in names if name in set(corner["name"])],
    loc="upper left",
    bbox_to_anchor=(1, 1),
    frameon=False,
)
ax.plot([left + 2, left + 12], [top - 38.5] * 2, color="black", lw=3)
ax.text(left + 7, top - 37.5, "10 m", ha="center", fontsize=9)
ax.set_axis_off()
plt.tight_layout()

# %% [markdown]
# ## Areas by class
#
# The bars show square metres and the number of patches. `confidence` is the mean probability over the pixels of a polygon,
# here weighted by area.

# %%
weighted = (polygons.confidence * polygons.area_m2).groupby(polygons["name"]).sum()
areas = polygons.groupby("name").area_m2.agg(["sum", "count"]).rename(columns={"sum": "m2", "count": "polygons"})
areas["confidence"] = weighted / areas.m2
areas = areas.sort_values("m2", ascending=False)
fig, ax = plt.subplots(figsize=(6.5, 2.6), dpi=70)
bars = ax.barh(areas.index, areas.m2, color=[palette[name] for name in areas.index], edgecolor="0.25")
ax.bar_label(
    bars, [f" {area:.0f} m2, {count} patches" for area, count in zip(areas.m2, areas.polygons, strict=True)], fontsize=8
)
ax.invert_yaxis()
ax.set_xlim(0, areas.m2.max() * 1.35)
ax.spines[["top", "right"]].set_visible(False)
plt.tight_layout()
areas.round(2)

# %% [markdown]
# ## Simplify the map
#
# Each step makes the map simpler and the file smaller. The raster does not change.

# %%
sizes = {}
for label, options in {
    "as predicted": {},
    "min_area 1 m2": {"min_area": 1.0},
    "min_area 5 m2": {"min_area": 5.0},
    "min_area 5 m2, simplify 0.3 m": {"min_area": 5.0, "simplify": 0.3},
}.items():
    out = Path("maps", label.replace(" ", "_").replace(",", ""))
    (simplified,) = rsuda.predict(scene, "runs/oracle", out, crs="EPSG:32632", overwrite=True, **options)
    frame = geopandas.read_file(simplified.polygons)
    sizes[label] = (len(frame), int(frame.count_coordinates().sum()))
for label, (count, vertices) in sizes.items():
    print(f"{label:32} {count:6} polygons {vertices:8} vertices")
assert polygons.area.sum() > 0 and len(polygons) == prediction.polygon_count
