"""Points that QGIS and other programs have changed: their labels count as they were meant, or one sentence says why not."""

import shutil

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine

from rsuda.accuracy.assess import assess
from rsuda.accuracy.sample import sample
from rsuda.core.errors import InputError
from rsuda.core.legend import Legend
from rsuda.geo.grids.grid import Grid
from rsuda.geo.maps.cog import write_cog

NAMES = ("water", "field", "town")
LEGEND = Legend(NAMES, (((0, 0, 200),), ((200, 200, 0),), ((200, 0, 0),)), ((0,), (1,), (2,)))
UTM = Affine(2, 0, 400_000, 0, -2, 5_600_000)


def write_map(path, classes, transform=UTM, crs="EPSG:32632"):
    grid = Grid(*classes.shape, transform, None if crs is None else rasterio.crs.CRS.from_string(crs))
    write_cog(path, [("class", lambda row, count: classes[row : row + count])], grid, LEGEND, overwrite=True)
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A map, its labelled sample, and its classes."""
    folder, rng = tmp_path_factory.mktemp("edited"), np.random.default_rng(1)
    ground = np.digitize(np.arange(100)[:, None] + rng.normal(0, 15, (100, 80)), (25, 80)).astype(np.uint8)
    classes = np.where(rng.random(ground.shape) < 0.1, rng.integers(0, 3, ground.shape), ground).astype(np.uint8)
    map_ = write_map(folder / "town_classes.tif", classes)
    file = sample(map_, folder / "points.gpkg", points=120).file
    points = gpd.read_file(file, layer="points")
    points["reference"] = [NAMES[k] for k in ground[points["row"], points["col"]]]
    points.to_file(file, layer="points")
    return map_, file, classes, ground


def edited(world, folder, change, *, tables=True, map_=None):
    """Assess points after a change, in a file with the tables of the sample or without."""
    file = folder / "edited.gpkg"
    if tables:
        shutil.copy(world[1], file)
    change(gpd.read_file(world[1], layer="points")).to_file(file, layer="points")
    return assess(map_ or world[0], file)


def numbers(result):
    estimates = [result.overall, *(part.area for part in result.classes)]
    return [result.total_area, *(getattr(part, name) for part in estimates for name in ("value", "se", "low", "high"))]


SAME = {
    "reordered": lambda points: points.sample(frac=1, random_state=0),
    "reprojected": lambda points: points.to_crs(4326),
    "columns in capitals": lambda points: points.rename(
        columns={name: name.upper() for name in points.columns if name != "geometry"}
    ),
    "pasted twice": lambda points: pd.concat([points, points.iloc[:30]]),
    "labels padded and in capitals": lambda points: points.assign(reference=" " + points["reference"].str.upper()),
    "labels as numbers": lambda points: points.assign(
        reference=points["reference"].map({n: float(k) for k, n in enumerate(NAMES)})
    ),
    "weights with a decimal comma": lambda points: points.assign(
        weight=points["weight"].astype(str).str.replace(".", ",")
    ),
}


@pytest.mark.parametrize("tables", [True, False], ids=["with tables", "without tables"])
@pytest.mark.parametrize("name", SAME)
def test_what_other_programs_do_to_points_changes_no_number(world, tmp_path, name, tables):
    result = edited(world, tmp_path, SAME[name], tables=tables)
    assert numbers(result) == pytest.approx(numbers(assess(*world[:2])), rel=1e-6)


def test_without_tables_the_strata_are_counted_in_the_map(world, tmp_path):
    """Points that are missing, and a second sample beside the first, leave the map as large as it is."""
    other = sample(world[0], tmp_path / "other.gpkg", points=90, seed=5, allocation="equal").file
    second = gpd.read_file(other, layer="other")
    second["reference"] = [NAMES[k] for k in world[3][second["row"], second["col"]]]
    less = edited(world, tmp_path, lambda points: points.iloc[30:], tables=False)
    both = edited(world, tmp_path, lambda points: pd.concat([points, second]), tables=False)
    assert less.total_area == pytest.approx(both.total_area) == world[2].size * 4
    assert less.labelled == 90 and both.labelled > 200 and both.overall.se < less.overall.se


def test_weights_count_the_ground_of_the_map_that_was_sampled(world, tmp_path):
    coarse = write_map(tmp_path / "coarse.tif", world[2][::2, ::2], UTM @ Affine.scale(2))
    result = edited(world, tmp_path, lambda points: points, tables=False, map_=coarse)
    assert result.total_area == pytest.approx(world[2].size * 4)


def with_label(points, number, label):
    points.loc[points["id"] == number, "reference"] = label
    return points


def by_hand(points):
    """A point beside the first one, as somebody may draw it in QGIS."""
    return gpd.GeoDataFrame({"reference": ["town"]}, geometry=points.geometry[:1].translate(20, 0), crs=points.crs)


REFUSED = {
    "stratum renamed": (lambda p: p.rename(columns={"stratum": "s"}), r"without the column 'stratum': keep that column"),
    "added by hand": (
        lambda p: pd.concat([p, by_hand(p)]),
        "1 points of .*, such as number 121 of the file, have no stratum, so they were not drawn",
    ),
    "moved": (lambda p: p.assign(geometry=p.translate(2, 0)), r"120 points of .* are not on the pixels that were drawn"),
    "two opinions": (
        lambda p: pd.concat([p, with_label(p.iloc[:1].copy(), p["id"][0], "town" if p["reference"][0] != "town" else "field")]),
        "lie at one place and have the labels",
    ),
    "a class that the map lacks": (
        lambda p: with_label(p, 7, "marsh"),
        r"unknown label of point 7 'marsh'.*a class that the map lacks goes into its `legend`",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_points_that_would_give_wrong_numbers_are_refused(world, tmp_path, name):
    change, sentence = REFUSED[name]
    with pytest.raises(InputError, match=sentence):
        edited(world, tmp_path, change)


def test_weights_of_two_samples_in_one_file_are_refused_where_the_map_does_not_say_the_strata(world, tmp_path):
    other = write_map(tmp_path / "other.tif", (world[2] + 1).astype(np.uint8) % 3)
    with pytest.raises(InputError, match="have different weights, as those of two samples"):
        edited(
            world,
            tmp_path,
            lambda points: points.assign(weight=np.where(points["id"] < 60, points["weight"] * 2, points["weight"])),
            tables=False,
            map_=other,
        )
    with pytest.raises(InputError, match=r"add up to 2\.00 times the area of"):
        edited(world, tmp_path, lambda points: points.assign(weight=2 * points["weight"]), tables=False, map_=other)


def test_a_gsd_may_be_declared_when_drawing_or_when_assessing_but_not_contradicted(world, tmp_path):
    map_ = write_map(tmp_path / "plain.tif", world[2], Affine.identity(), None)

    def labelled(name, **options):
        file = sample(map_, tmp_path / name, points=60, **options).file
        points = gpd.read_file(file, layer=file.stem).assign(reference="field")
        points.to_file(file, layer=file.stem)
        return file

    declared, unknown = labelled("declared.gpkg", gsd=0.5), labelled("unknown.gpkg")
    results = [assess(map_, declared), assess(map_, unknown, gsd=0.5), assess(map_, declared, gsd=0.5)]
    assert {(part.total_area, part.unit, part.classes[1].mapped_area) for part in results} == {
        (2000.0, "m2", (world[2] == 1).sum() / 4)
    }
    assert assess(map_, unknown).unit == "pixels"
    with pytest.raises(
        InputError, match=r"was drawn with a GSD of 0\.5 m, and that of .* is 1 m now: pass the same `gsd`"
    ):
        assess(map_, declared, gsd=1.0)


def test_an_extended_sample_keeps_columns_of_the_user_and_says_where_pixels_run_out(world, tmp_path):
    shutil.copy(world[1], tmp_path / "mine.gpkg")
    points = gpd.read_file(world[1], layer="points").assign(photo="a.jpg", sure=0.5)
    points.to_file(tmp_path / "mine.gpkg", layer="points")
    result = sample(world[0], tmp_path / "more.gpkg", extend=tmp_path / "mine.gpkg", add={"water": 10**6})
    assert "water has fewer pixels than were asked for" in result.notes[0]
    more = gpd.read_file(result.file, layer="more")
    assert more["photo"].notna().sum() == more["sure"].notna().sum() == len(points)
    assert (more["map_class"] == "water").sum() == (world[2] == 0).sum()


def test_what_is_no_file_of_points_is_said_with_the_way_out(world, tmp_path):
    with pytest.raises(InputError, match="name the map first and the points last"):
        assess(world[1], world[0])
    gpd.read_file(world[1], layer="points").drop(columns="geometry").to_csv(tmp_path / "points.csv")
    with pytest.raises(InputError, match="it is a table, so save its points as a GeoPackage first"):
        assess(world[0], tmp_path / "points.csv")
