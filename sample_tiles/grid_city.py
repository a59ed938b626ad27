"""Draw a city like Potsdam: regular blocks in winter, a low sun from the south-south-east, a cool and crisp camera."""

import math

import numpy as np
from materials import ASPHALT, CONCRETE, ROOFS, SOIL, asphalt, grass, rect
from objects import (
    bare_tree,
    bins,
    building_site,
    car,
    container,
    flat_roof,
    hedge,
    leafy_tree,
    pitched_roof,
    pool,
    tennis_court,
)
from scene import LOW_VEGETATION, TREE, WHOLE, Scene, Sensor
from streets import car_row, carriageway, manholes, markings, pavement

SENSOR = Sensor(
    azimuth=158, elevation=34, sun=(1.0, 1.0, 0.98, 0.93), sky=(0.15, 0.19, 0.24, 0.32),
    gain=(0.94, 0.90, 0.94, 1.02), haze=(0.006, 0.010, 0.016, 0.022), gamma=1.75,
    blur=0.65, noise=1.7, vignette=0.05,
)  # fmt: skip
WINTER_LEAF = [(0.30, 0.070, 0.085, 0.055), (0.26, 0.085, 0.085, 0.055)]  # conifers and ivy only
TWIGS = (0.40, 0.345, 0.29, 0.225)

TILT = math.radians(7)
PITCH_P, PITCH_Q = 66.0, 60.0  # block raster
OFFSET_P, OFFSET_Q = 24.0, 34.0
HALF_NS, WALK_NS, HALF_EW, WALK_EW = 5.6, 2.6, 4.6, 2.4
NET_P, NET_Q = PITCH_P - 2 * (HALF_NS + WALK_NS), PITCH_Q - 2 * (HALF_EW + WALK_EW)
KINDS = ("perimeter", "office", "villas", "yard")


def from_grid(p, q):
    c, s = math.cos(TILT), math.sin(TILT)
    return p * c - q * s, p * s + q * c


def draw(sc: Scene) -> None:
    """Draw a tile of one plan of the whole city, so that neighbouring tiles fit."""
    c, s = math.cos(TILT), math.sin(TILT)
    x, y = sc.x[None], sc.y[:, None]
    p, q = (x * c + y * s).astype(np.float32), (y * c - x * s).astype(np.float32)
    tp = np.mod(p - OFFSET_P + PITCH_P / 2, PITCH_P) - PITCH_P / 2
    tq = np.mod(q - OFFSET_Q + PITCH_Q / 2, PITCH_Q) - PITCH_Q / 2

    lawn = grass(sc, WHOLE, (0.34, 0.125, 0.130, 0.075), (0.31, 0.205, 0.165, 0.105))
    litter = np.clip(sc.noise(0.3, WHOLE, 12) * 0.3 + sc.noise(3.0, WHOLE, 12) * 0.4 - 0.2, 0, 0.6)[..., None]
    sc.paint(WHOLE, np.ones(sc.shape, bool), lawn + (np.float32((0.26, 0.19, 0.14, 0.10)) - lawn) * litter)
    sc.z[:] = 0.1 + 0.015 * sc.noise(0.16) + 0.04 * sc.noise(1.6)

    pavement(sc, q, tp, HALF_NS, WALK_NS)
    pavement(sc, p, tq, HALF_EW, WALK_EW)
    for across, half, other in ((tp, HALF_NS, tq), (tq, HALF_EW, tp)):  # green verges with the street trees
        verge = (np.abs(across) > half + 0.16) & (np.abs(across) < half + 1.4) & (np.abs(other) > 11)
        sc.paint(WHOLE, verge, lawn * 0.92, 0.12, LOW_VEGETATION)
    carriageway(sc, q, tp, HALF_NS, parking=2.2)
    # The side streets are paved with stone and end at the main streets of asphalt.
    carriageway(sc, p, np.where(np.abs(tp) < HALF_NS, 99, tq), HALF_EW, stone=True)
    sc.paint(WHOLE, (np.abs(tp) < HALF_NS) & (np.abs(tq) < HALF_EW), asphalt(sc, WHOLE), 0.0)
    zebra = [OFFSET_Q + k * PITCH_Q + 8.5 for k in range(-3, 6)]
    markings(sc, q, tp, HALF_NS, np.abs(tq) > HALF_EW + 2, 2.2, crossings=zebra)

    cells = {(i, j) for i in range(-3, 6) for j in range(-3, 6)}
    for i, j in sorted(cells):
        near = from_grid(OFFSET_P + (i + 0.5) * PITCH_P, OFFSET_Q + (j + 0.5) * PITCH_Q)
        out = max(sc.x[0] - near[0], near[0] - sc.x[-1], sc.y[0] - near[1], near[1] - sc.y[-1])
        if out < 45:
            block(sc, np.random.default_rng([sc.seed, i + 50, j + 50]), i, j)
    for i, j in sorted(cells):
        near = from_grid(OFFSET_P + i * PITCH_P, OFFSET_Q + (j + 0.5) * PITCH_Q)
        if max(sc.x[0] - near[0], near[0] - sc.x[-1], sc.y[0] - near[1], near[1] - sc.y[-1]) < 45:
            street_life(sc, np.random.default_rng([sc.seed, i + 50, j + 50, 1]), i, j)


def street_life(sc, rng, i, j) -> None:
    """Draw parked cars, traffic, manholes and street trees along two arms of a junction."""
    p0, q0 = OFFSET_P + i * PITCH_P, OFFSET_Q + j * PITCH_Q
    for side in (-1, 1):
        for k in range(7):
            q = q0 + 12.5 + k * 5.9
            if rng.random() < 0.62:
                car(
                    sc,
                    rng,
                    *from_grid(p0 + side * (HALF_NS - 1.1), q + rng.normal(0, 0.2)),
                    TILT + math.pi / 2,
                )
        for k in range(8):
            p = p0 + 12 + k * 5.9
            if rng.random() < (0.5 if side > 0 else 0.15):
                car(sc, rng, *from_grid(p, q0 + side * (HALF_EW - 1.1)), TILT)
    for k in range(2):
        q = q0 + rng.uniform(15, 50)
        car(sc, rng, *from_grid(p0 + (1.7 if k else -1.7), q), TILT + math.pi / 2)
    manholes(sc, rng, [from_grid(p0 + rng.uniform(-2, 2), q0 + rng.uniform(5, 55)) for _ in range(3)])
    manholes(sc, rng, [from_grid(p0 + rng.uniform(8, 55), q0 + rng.uniform(-2, 2)) for _ in range(3)])
    side = rng.choice((-1, 1))
    for k in range(4):
        x, y = from_grid(p0 + side * (HALF_NS + 0.9), q0 + 17 + k * 10 + rng.normal(0, 0.8))
        rect(sc, x, y, TILT, 1.3, 1.3, SOIL, LOW_VEGETATION)
        if rng.random() < 0.85:
            bare_tree(sc, rng, x, y, rng.uniform(2.4, 3.8))


def block(sc, rng, i, j) -> None:
    p0, q0 = OFFSET_P + (i + 0.5) * PITCH_P, OFFSET_Q + (j + 0.5) * PITCH_Q
    half_a, half_b = NET_P / 2, NET_Q / 2
    kind = KINDS[(i + 2 * j + (j // 2)) % 4]

    def at(a, b):
        return from_grid(p0 + a, q0 + b)

    def red():
        return ROOFS[("orange", "red", "red", "brown")[rng.integers(4)]]

    if kind == "perimeter":
        d, eave, roof = 12.0, rng.uniform(7.0, 8.5), red()
        pitched_roof(sc, rng, *at(0, -half_b + d / 2), TILT, NET_P, d, eave, 36, 0, roof, 6)
        pitched_roof(sc, rng, *at(-half_a + d / 2, 0), TILT + math.pi / 2, NET_Q, d, eave, 36, 0, roof, 5)
        flat_roof(sc, rng, *at(half_a - 4, half_b - 13), TILT + math.pi / 2, 24, 7, 3.2, "bitumen", False)
        rect(sc, *at(7, 0), TILT, 3, NET_Q - 12, (0.27, 0.24, 0.22, 0.20), surface="setts")
        car_row(sc, rng, *at(half_a - 12.6, 6), TILT + math.pi / 2, 7, ground="setts")
        building_site(sc, rng, *at(-5, half_b - 6), TILT, 15, 9)
        bins(sc, rng, *at(4, -half_b + 14), TILT, 6)
    elif kind == "office":
        flat_roof(sc, rng, *at(-5, -half_b + 8), TILT, NET_P - 13, 14, 9.0, "gravel")
        flat_roof(sc, rng, *at(-half_a + 8, 5), TILT + math.pi / 2, 17, 13, 7.0, "bitumen")
        rect(sc, *at(9, 2), TILT, 24, 17, ASPHALT, surface="asphalt", z=0.02)
        car_row(sc, rng, *at(9, -4), TILT, 9)
        car_row(sc, rng, *at(9, 8), TILT, 9, full=0.6)
        bins(sc, rng, *at(half_a - 3, 0), TILT + math.pi / 2, 6)
        building_site(sc, rng, *at(-half_a + 10, half_b - 6), TILT, 14, 8)
        container(sc, rng, *at(half_a - 2.5, -half_b + 8), TILT + math.pi / 2)
    elif kind == "villas":
        for a, b in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
            turn = TILT + (math.pi / 2 if rng.random() < 0.4 else 0)
            x, y = at(a * (half_a - 9.5), b * (half_b - 8.5))
            pitched_roof(sc, rng, x, y, turn, rng.uniform(14, 16.5), rng.uniform(11.5, 13), 7.0, 38,
                         rng.choice((1.0, 1.3)), red(), rng.integers(0, 3))  # fmt: skip
            rect(sc, *at(a * (half_a - 18.4), b * (half_b - 7)), TILT, 2.0, 14, CONCRETE, surface="slabs")
        building_site(sc, rng, *at(3, 1), TILT, 14, 9)
        pool(sc, rng, *at(-14, 1), TILT, 7, 3.6)
        bins(sc, rng, *at(half_a - 9, 0), TILT, 4)
    else:
        flat_roof(sc, rng, *at(-half_a + 15, -half_b + 9.5), TILT, 29, 18, 7.5, ("metal", "bitumen")[(i + j) % 2])
        pitched_roof(sc, rng, *at(half_a - 8, -half_b + 8), TILT, 15, 13, 6.5, 34, 0, red(), 2)
        rect(sc, *at(6, 0), TILT, 36, 6, ASPHALT, surface="asphalt", z=0.02)
        car_row(sc, rng, *at(10, -2), TILT, 9)
        tennis_court(sc, rng, *at(-6, 13.5), TILT, 0.86)
        building_site(sc, rng, *at(half_a - 6.5, 13), TILT + math.pi / 2, 14, 9)
    planting(sc, rng, at, half_a, half_b)


def planting(sc, rng, at, half_a, half_b) -> None:
    """Plant trees on the lawn of a block; most are leafless, some are conifers."""
    for side in (-1, 1):
        leaf = WINTER_LEAF[rng.integers(2)]
        hedge(sc, rng, *at(-half_a, side * (half_b - 0.6)), *at(half_a, side * (half_b - 0.6)), 0.9, 1.2, leaf)
        hedge(sc, rng, *at(side * (half_a - 0.6), -half_b), *at(side * (half_a - 0.6), half_b), 0.9, 1.2, leaf)
    spots = []
    for _ in range(260):
        a, b, r = rng.uniform(-half_a, half_a), rng.uniform(-half_b, half_b), rng.uniform(2.0, 5.0)
        x, y = at(a, b)
        evergreen, leaf, height = rng.random() < 0.25, WINTER_LEAF[rng.integers(2)], rng.uniform(1.2, 1.9)
        tree_rng = np.random.default_rng(rng.integers(2**32))
        if any(math.hypot(x - u, y - v) < 0.62 * (r + w) for u, v, w in spots):
            continue
        if not blocked(sc, x, y, r * 0.33):
            spots.append((x, y, r))
            if evergreen:
                leafy_tree(sc, tree_rng, x, y, r * 0.75, 1 + r * height, leaf, conifer=tree_rng.random() < 0.6)
            else:
                bare_tree(sc, tree_rng, x, y, r)


def blocked(sc, x, y, r) -> bool:
    """Return whether the square has pixels other than greenery; outside of the canvas it has none."""
    win = sc.frame(x, y, 0.0, r, r)[0]
    return bool((~np.isin(sc.cls[win], (LOW_VEGETATION, TREE))).any())
