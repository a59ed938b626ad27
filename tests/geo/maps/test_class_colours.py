"""Classes without a colour get one that a reader of maps expects, and no two get the same."""

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from rsuda.geo.maps.class_names import class_colours


def channels(colour):
    return [int(colour[k : k + 2], 16) for k in (1, 3, 5)]


def test_grass_is_green_water_is_blue_and_houses_are_red():
    grass, road, houses, water, lot = islice(class_colours(["grass", "Main road", "Houses", "open_water", "lot"]), 5)
    for colour, strongest in ((grass, 1), (houses, 0), (water, 2)):
        assert channels(colour).index(max(channels(colour))) == strongest
    assert len(set(channels(road))) == 1 and lot == next(class_colours())


@given(st.lists(st.sampled_from(["grass", "lawn", "water", "sea", "trees", "a", "", "car"]), max_size=40))
def test_colours_are_distinct_and_go_on_behind_the_names(names):
    colours = list(islice(class_colours(names), len(names) + 5))
    assert len(set(colours)) == len(names) + 5
