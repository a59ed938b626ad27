"""The two cities: a regular grid of large blocks in winter light, and a small garden town in summer."""

import math

import numpy as np
from objects import (
    ASPHALT,
    CLAY,
    CONCRETE,
    ROOFS,
    SAND,
    SOIL,
    WATER,
    WHITE,
    ZINC,
    asphalt,
    bare_tree,
    bins,
    box,
    building_site,
    car,
    cell_hash,
    container,
    disc,
    flat_roof,
    grass,
    hedge,
    joints,
    leafy_tree,
    pitched_roof,
    pool,
    rect,
    setts,
    slabs,
    tennis_court,
    tint,
)
from scene import CLUTTER, IMPERVIOUS, LOW_VEGETATION, TREE, WHOLE, Scene, Sensor
from scipy import ndimage

# Low winter sun from the south-south-east against a high summer sun from the south-west; the cameras
# differ too: cool and crisp against warm, hazy, contrasty in the infrared and soft.
POTSDAM = Sensor(
    azimuth=158, elevation=34, sun=(1.0, 1.0, 0.98, 0.93), sky=(0.15, 0.19, 0.24, 0.32),
    gain=(0.86, 0.82, 0.86, 0.94), haze=(0.006, 0.010, 0.016, 0.022), gamma=1.75, blur=0.65, noise=1.7, vignette=0.05,
)  # fmt: skip
VAIHINGEN = Sensor(
    azimuth=232, elevation=54, sun=(1.0, 1.0, 0.95, 0.85), sky=(0.16, 0.15, 0.17, 0.22),
    gain=(1.25, 1.30, 1.08, 0.95), haze=(0.02, 0.035, 0.035, 0.04), gamma=1.45, blur=0.85, noise=2.2, vignette=0.10,
)  # fmt: skip

WINTER_LEAF = [(0.30, 0.070, 0.085, 0.055), (0.26, 0.085, 0.085, 0.055)]  # conifers and ivy only
SUMMER_LEAF = [(0.56, 0.060, 0.100, 0.045), (0.62, 0.080, 0.125, 0.050), (0.50, 0.050, 0.080, 0.045),
               (0.46, 0.110, 0.085, 0.060)]  # fmt: skip
TWIGS = (0.27, 0.225, 0.185, 0.14)


# ---------------------------------------------------------------------------------------------- streets


def pavement(sc, s, t, half, walk, size=0.5) -> None:
    mask = np.abs(t) < half + walk
    sc.paint(WHOLE, mask, slabs(sc, WHOLE, s, t, size), 0.12, IMPERVIOUS)
    # Small mosaic stones between the slabs and the houses.
    edge = mask & (np.abs(t) > half + walk - 0.7)
    stones = 0.35 * cell_hash(s / 0.12, t / 0.12) + 0.05 * sc.noise(0.5)
    sc.paint(WHOLE, edge, tint((0.25, 0.225, 0.215, 0.20), stones))


def carriageway(sc, s, t, half, stone=False, parking=0.0) -> None:
    a = np.abs(t)
    colour = setts(sc, WHOLE, s, t) if stone else asphalt(sc, WHOLE)
    lane = np.mod(a - 0.3, 3.1) - 1.55
    wheel = 0.06 * np.exp(-((np.abs(lane) - 0.8) ** 2) / 0.08) - 0.05 * np.exp(-(lane**2) / 0.1)
    gutter = -0.18 * (a > half - 0.35)
    colour = colour * (1 + wheel + gutter)[..., None].astype(np.float32)
    mask = a < half
    sc.paint(WHOLE, mask, colour, 0.0, IMPERVIOUS)
    if parking:
        lane = mask & (a > half - parking)
        oil = -0.35 * np.clip(sc.noise(0.7, WHOLE, 11) - 1.3, 0, 1)
        sc.paint(WHOLE, lane, setts(sc, WHOLE, s, t) * (0.85 + oil)[..., None])
    kerb = (a >= half) & (a < half + 0.16)
    sc.paint(WHOLE, kerb & (sc.z > 0.05), tint((0.40, 0.38, 0.36, 0.34), -0.35 * joints(s, 1.0, 0.06)))


def markings(sc, s, t, half, free, parking=0.0, dash=(3.0, 7.5), crossings=()) -> None:
    """Centre dashes, parking bays and zebra crossings in worn paint, kept out of junctions by `free`."""
    a = np.abs(t)
    line = (a < 0.07) & joints(s, dash[1], dash[0])
    if parking:
        line |= np.abs(a - (half - parking)) < 0.06
        line |= (a > half - parking) & (a < half) & joints(s, 5.9, 0.12)
    for at in crossings:
        near = np.abs(s - at)
        line &= near > 3.5
        line |= (near < 1.7) & (a < half - 0.3) & joints(t, 1.0, 0.5)
    line = line & free & (a < half)
    worn = np.clip(0.75 + 0.16 * sc.noise(0.3) + 0.14 * sc.noise(0.05), 0.15, 1)[..., None]
    sc.paint(WHOLE, line, sc.refl + (np.float32(WHITE) * 0.85 - sc.refl) * worn)


def manholes(sc, rng, places) -> None:
    for x, y in places:
        if rng.random() < 0.8:
            disc(sc, x, y, 0.42, 0.0, (0.20, 0.19, 0.18, 0.17), IMPERVIOUS)
            disc(sc, x, y, 0.33, 0.0, (0.11, 0.10, 0.10, 0.10), IMPERVIOUS)


def car_row(sc, rng, cx, cy, angle, count, pitch=2.6, full=0.8, ground="asphalt") -> None:
    """A row of bays side by side along `angle`, cars standing across it."""
    colour = ASPHALT if ground == "asphalt" else (0.26, 0.23, 0.215, 0.195)
    rect(sc, cx, cy, angle, count * pitch + 0.4, 5.4, colour, surface=ground, z=0.02)
    win, u, v = sc.frame(cx, cy, angle, count * pitch / 2 + 0.1, 2.6)
    line = (np.abs(np.mod(u + count * pitch / 2 + 0.06, pitch) - 0.06) < 0.06) & (np.abs(v) < 2.5)
    line &= np.abs(u) < count * pitch / 2 + 0.1
    sc.paint(win, line, tint(WHITE, -0.25 + 0.15 * sc.noise(0.3, win)))
    for i in range(count):
        a = (i - (count - 1) / 2) * pitch + rng.normal(0, 0.08)
        b = rng.normal(0, 0.15)
        x, y = cx + a * math.cos(angle) - b * math.sin(angle), cy + a * math.sin(angle) + b * math.cos(angle)
        if rng.random() < full:
            car(sc, rng, x, y, angle + math.pi / 2)


# ---------------------------------------------------------------------------------------------- Potsdam

TILT = math.radians(7)
PITCH_P, PITCH_Q = 66.0, 60.0  # block raster
OFFSET_P, OFFSET_Q = 24.0, 34.0
HALF_NS, WALK_NS, HALF_EW, WALK_EW = 5.6, 2.6, 4.6, 2.4
NET_P, NET_Q = PITCH_P - 2 * (HALF_NS + WALK_NS), PITCH_Q - 2 * (HALF_EW + WALK_EW)
KINDS = ("perimeter", "office", "villas", "yard")


def from_grid(p, q):
    c, s = math.cos(TILT), math.sin(TILT)
    return p * c - q * s, p * s + q * c


def potsdam(sc: Scene) -> None:
    """One world-wide plan, drawn through the window of a tile, so that neighbouring tiles adjoin."""
    c, s = math.cos(TILT), math.sin(TILT)
    x, y = sc.x[None], sc.y[:, None]
    p, q = (x * c + y * s).astype(np.float32), (y * c - x * s).astype(np.float32)
    tp = np.mod(p - OFFSET_P + PITCH_P / 2, PITCH_P) - PITCH_P / 2
    tq = np.mod(q - OFFSET_Q + PITCH_Q / 2, PITCH_Q) - PITCH_Q / 2
    ip = np.rint((p - OFFSET_P) / PITCH_P).astype(int)

    lawn = grass(sc, WHOLE, (0.34, 0.125, 0.130, 0.075), (0.31, 0.205, 0.165, 0.105))
    litter = np.clip(sc.noise(0.3, WHOLE, 12) * 0.3 + sc.noise(3.0, WHOLE, 12) * 0.4 - 0.2, 0, 0.6)[..., None]
    sc.paint(WHOLE, np.ones(sc.shape, bool), lawn + (np.float32((0.26, 0.19, 0.14, 0.10)) - lawn) * litter)
    sc.z[:] = 0.1 + 0.015 * sc.noise(0.16) + 0.04 * sc.noise(1.6)

    pavement(sc, q, tp, HALF_NS, WALK_NS)
    pavement(sc, p, tq, HALF_EW, WALK_EW)
    carriageway(sc, q, tp, HALF_NS, parking=2.2)
    # The stone-paved side streets join between the asphalt main streets.
    carriageway(sc, p, np.where(np.abs(tp) < HALF_NS, 99, tq), HALF_EW, stone=True)
    sc.paint(WHOLE, (np.abs(tp) < HALF_NS) & (np.abs(tq) < HALF_EW), asphalt(sc, WHOLE), 0.0)
    zebra = [OFFSET_Q + k * PITCH_Q + 8.5 for k in range(-3, 6)]
    markings(sc, q, tp, HALF_NS, (np.abs(tq) > HALF_EW + 2) & (ip > -99), 2.2, crossings=zebra)

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
    """Parked cars, traffic, manholes and street trees around one junction's two arms."""
    p0, q0 = OFFSET_P + i * PITCH_P, OFFSET_Q + j * PITCH_Q
    for side in (-1, 1):
        for k in range(7):
            q = q0 + 12.5 + k * 5.9
            if rng.random() < 0.62:
                car(sc, rng, *from_grid(p0 + side * (HALF_NS - 1.1), q + rng.normal(0, 0.2)), TILT + math.pi / 2)
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
            bare_tree(sc, rng, x, y, rng.uniform(2.2, 3.4))


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
        building_site(sc, rng, *at(half_a - 8, half_b - 6), TILT, 14, 8)
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
    """Trees wherever the block has left lawn; mostly leafless, some conifers."""
    for side in (-1, 1):
        leaf = WINTER_LEAF[rng.integers(2)]
        hedge(sc, rng, *at(-half_a, side * (half_b - 0.6)), *at(half_a, side * (half_b - 0.6)), 0.9, 1.2, leaf)
        hedge(sc, rng, *at(side * (half_a - 0.6), -half_b), *at(side * (half_a - 0.6), half_b), 0.9, 1.2, leaf)
    spots = []
    for _ in range(260):
        a, b, r = rng.uniform(-half_a, half_a), rng.uniform(-half_b, half_b), rng.uniform(1.8, 4.6)
        x, y = at(a, b)
        evergreen, leaf, height = rng.random() < 0.22, WINTER_LEAF[rng.integers(2)], rng.uniform(4, 9)
        own = np.random.default_rng(rng.integers(2**32))
        if any(math.hypot(x - u, y - v) < 0.62 * (r + w) for u, v, w in spots):
            continue
        if not blocked(sc, x, y, r * 0.33):
            spots.append((x, y, r))
            if evergreen:
                leafy_tree(sc, own, x, y, r * 0.8, height, leaf, conifer=own.random() < 0.6)
            else:
                bare_tree(sc, own, x, y, r)


def blocked(sc, x, y, r) -> bool:
    """Whether something other than greenery lies there (off the canvas nothing does)."""
    win, u, v = sc.frame(x, y, 0.0, r, r)
    return bool((~np.isin(sc.cls[win], (LOW_VEGETATION, TREE))).any())


# -------------------------------------------------------------------------------------------- Vaihingen

# Way points of the streets in shares of the tile, and what fills the clutter class there.
AREAS = {
    "1": (((-0.1, 0.62), (0.3, 0.52), (0.62, 0.60), (1.1, 0.42)), ((0.45, 0.56), (0.52, 0.25), (0.40, -0.1)), "site"),
    "2": (((0.25, -0.1), (0.34, 0.35), (0.26, 0.65), (0.40, 1.1)), ((0.30, 0.48), (0.65, 0.40), (1.1, 0.52)), "rail"),
    "3": (((-0.1, 0.30), (0.35, 0.38), (0.7, 0.28), (1.1, 0.36)), ((0.55, 0.33), (0.60, 0.7), (0.48, 1.1)), "brook"),
    "5": (((0.70, -0.1), (0.62, 0.3), (0.72, 0.7), (0.60, 1.1)), ((0.66, 0.5), (0.3, 0.56), (-0.1, 0.44)), "site"),
    "11": (((-0.1, 0.45), (0.4, 0.36), (0.75, 0.5), (1.1, 0.58)), ((0.30, 0.37), (0.26, 0.7), (0.34, 1.1)), "rail"),
    "15": (((-0.1, 0.72), (0.4, 0.60), (0.8, 0.68), (1.1, 0.58)), ((0.62, 0.63), (0.55, 0.3), (0.66, -0.1)), "court"),
}


def street_line(points, width, height) -> np.ndarray:
    """Smooth centre line through the way points, one sample every ~0.15 m."""
    pts = np.float64(points) * (width, height)
    spans = np.vstack([2 * pts[0] - pts[1], pts, 2 * pts[-1] - pts[-2]])
    t = np.linspace(0, 1, 300, endpoint=False)[:, None]
    parts = []
    for a, b, c, d in zip(spans, spans[1:], spans[2:], spans[3:], strict=False):  # Catmull-Rom
        parts.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.vstack(parts)


def street_coordinates(sc, line):
    """Distance along and signed distance across the street for every pixel."""
    # The nearest sample of the line comes from a distance transform, the remainder from its tangent.
    step = np.diff(line, axis=0, append=2 * line[-1:] - line[-2:-1])
    along = np.r_[0, np.cumsum(np.hypot(*step.T))[:-1]]
    tangent = step / np.hypot(*step.T)[:, None]
    pad = 200
    col = np.floor((line[:, 0] - sc.x0) / sc.gsd).astype(int) + pad
    row = np.floor((line[:, 1] - sc.y0) / sc.gsd).astype(int) + pad
    rows, cols = sc.shape[0] + 2 * pad, sc.shape[1] + 2 * pad
    ok = (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
    mark = np.full((rows, cols), -1, np.int32)
    mark[row[ok], col[ok]] = np.flatnonzero(ok)
    near = ndimage.distance_transform_edt(mark < 0, return_distances=False, return_indices=True)
    index = mark[tuple(near)][pad:-pad, pad:-pad]
    dx, dy = sc.x[None] - line[index, 0], sc.y[:, None] - line[index, 1]
    tx, ty = tangent[index, 0], tangent[index, 1]
    return (along[index] + dx * tx + dy * ty).astype(np.float32), (dy * tx - dx * ty).astype(np.float32)


def vaihingen(sc: Scene, area: str, width: float, height: float) -> None:
    rng = np.random.default_rng([sc.seed, 7])
    main_points, side_points, theme = AREAS[area]
    lines = [street_line(main_points, width, height), street_line(side_points, width, height)]
    coords = [street_coordinates(sc, line) for line in lines]
    halves = (3.1, 2.5)

    lawn = grass(sc, WHOLE, (0.46, 0.085, 0.125, 0.060), (0.38, 0.19, 0.18, 0.10), -0.3)
    sc.paint(WHOLE, np.ones(sc.shape, bool), lawn)
    sc.z[:] = 0.1 + 0.02 * sc.noise(0.16) + 0.04 * sc.noise(1.6)
    for (s, t), half in zip(coords, halves, strict=True):
        pavement(sc, s, t, half, 1.5, 0.4)
    for (s, t), half in list(zip(coords, halves, strict=True))[::-1]:
        carriageway(sc, s, t, half)
    (s, t), (s2, t2) = coords
    markings(sc, s, t, halves[0], np.abs(t2) > 6, dash=(2.0, 5.0))

    clutter_theme(sc, rng, theme, lines, width, height)
    houses = settle(sc, rng, lines, halves, width, height)
    gardens(sc, rng, houses)
    for line, half in zip(lines, halves, strict=True):
        park_along(sc, rng, line, half, lines)
    greenery(sc, rng, width, height)


def clutter_theme(sc, rng, theme, lines, width, height) -> None:
    if theme in ("rail", "brook"):
        # Both run along the eastern or northern rim, clear of the streets' middle.
        if theme == "rail":
            line = street_line(((0.80, -0.2), (0.86, 0.3), (0.88, 0.7), (0.84, 1.2)), width, height)
            if lines[0][-1][0] > width:
                line = street_line(((-0.2, 0.88), (0.3, 0.92), (0.7, 0.90), (1.2, 0.93)), width, height)
            s, t = street_coordinates(sc, line)
            ballast = tint((0.25, 0.215, 0.19, 0.165), 0.22 * sc.noise(0.1) + 0.1 * sc.noise(0.7))
            mask = np.abs(t) + 0.1 * sc.noise(0.5) < 2.2
            sc.paint(WHOLE, mask, ballast, 0.3, CLUTTER)
            sleeper = mask & (np.abs(t) < 1.3) & joints(s, 0.65, 0.26)
            sc.paint(WHOLE, sleeper, tint((0.33, 0.31, 0.29, 0.26), 0.1 * sc.noise(0.3)), 0.34)
            rail = np.abs(np.abs(t) - 0.75) < 0.07
            sc.paint(WHOLE, rail & mask, (0.38, 0.34, 0.30, 0.27), 0.5)
        else:
            line = street_line(((-0.2, 0.86), (0.2, 0.80), (0.6, 0.88), (1.2, 0.78)), width, height)
            s, t = street_coordinates(sc, line)
            wet = np.abs(t) + 0.35 * sc.noise(1.6) + 0.12 * sc.noise(0.4)
            sc.paint(WHOLE, (wet < 3.0) & (sc.cls == LOW_VEGETATION), tint(SOIL, 0.2 * sc.noise(0.3)), 0.0)
            water = (wet < 2.4) & (sc.cls == LOW_VEGETATION)
            ripple = 0.10 * sc.noise(0.4) + 0.2 * sc.noise(3.0) + 1.2 * (sc.noise(0.25) > 2.4)
            sc.paint(WHOLE, water, tint(WATER, ripple), -0.8, CLUTTER)
    size = {"site": (15, 10), "court": (29, 14.5), "rail": (9, 7), "brook": (9, 7)}[theme]
    place = find_place(sc, rng, size[0] + 1, size[1] + 1, width, height)
    if place and theme == "court":
        tennis_court(sc, rng, *place, 0.84)
    elif place:
        building_site(sc, rng, *place, *size)
    lot = find_place(sc, rng, 21, 12, width, height)
    if lot:
        x, y, turn = lot
        rect(sc, x, y, turn, 21, 11.4, ASPHALT, surface="asphalt", z=0.02)
        off = 2.9
        car_row(sc, rng, x - off * math.sin(turn), y + off * math.cos(turn), turn, 8, ground="setts")
        bins(sc, rng, x + 4.9 * math.sin(turn), y - 4.9 * math.cos(turn), turn, 6)


def find_place(sc, rng, length, breadth, width, height):
    for _ in range(400):
        x, y = rng.uniform(0.12, 0.88) * width, rng.uniform(0.12, 0.88) * height
        turn = rng.uniform(0, math.pi)
        if sc.is_free(x, y, turn, length / 2, breadth / 2):
            return x, y, turn
    return None


def settle(sc, rng, lines, halves, width, height) -> list:
    """Detached houses: first along the streets, facing them, then in the second row."""
    sites = []
    for line, half in zip(lines, halves, strict=True):
        step = np.gradient(line, axis=0)
        for k in range(0, len(line), 12):
            for side in (-1, 1):
                turn = math.atan2(step[k, 1], step[k, 0])
                off = side * (half + 1.5 + rng.uniform(7.5, 9.5))
                sites.append((line[k, 0] - off * math.sin(turn), line[k, 1] + off * math.cos(turn), turn, line[k]))
    order = rng.permutation(len(sites))
    sites = [sites[k] for k in order]
    for _ in range(500):
        x, y = rng.uniform(-0.1, 1.1) * width, rng.uniform(-0.1, 1.1) * height
        sites.append((x, y, rng.uniform(0, math.pi), None))
    houses = []
    names = ("orange", "orange", "brown", "brown", "grey", "grey", "red")
    for x, y, turn, front in sites:
        turn = turn + rng.normal(0, 0.07) + (math.pi / 2 if rng.random() < 0.5 else 0)
        length, breadth = rng.uniform(9.5, 14), rng.uniform(8, 10)
        gap = 2.0 if front is not None else 2.8
        if not sc.is_free(x, y, turn, length / 2 + gap, breadth / 2 + gap):
            continue
        roof, eave, pitch = ROOFS[names[rng.integers(len(names))]], rng.uniform(3.4, 5.5), rng.uniform(34, 46)
        hip = rng.choice((0, 0, 0, 1.1, 2.0))
        if rng.random() < 0.08:
            flat_roof(sc, rng, x, y, turn, length, breadth, 5.8, "gravel")
        else:
            pitched_roof(sc, rng, x, y, turn, length, breadth, eave, pitch, hip, roof, rng.integers(0, 3),
                         solar=rng.random() < 0.3)  # fmt: skip
            if rng.random() < 0.35:
                side = rng.choice((-1, 1)) * breadth * 0.42
                wx, wy = x - side * math.sin(turn), y + side * math.cos(turn)
                pitched_roof(sc, rng, wx, wy, turn + math.pi / 2, breadth * 0.9, length * 0.45, eave, pitch, 0, roof)
        houses.append((x, y, turn, length, breadth, front))
    return houses


def gardens(sc, rng, houses) -> None:
    """Drives, garages, terraces, beds, pools and sheds around each house, hedges between the plots."""
    for x, y, turn, length, breadth, front in houses:
        c, s = math.cos(turn), math.sin(turn)
        side = rng.choice((-1, 1))

        def at(a, b, x=x, y=y, c=c, s=s):
            return x + a * c - b * s, y + a * s + b * c

        if front is not None:
            gx, gy = at(side * (length / 2 + 2.1), 0)
            along = math.atan2(front[1] - y, front[0] - x)
            reach = math.hypot(front[0] - x, front[1] - y)
            garage = sc.is_free(gx, gy, turn, 1.6, 2.8)
            drive(sc, rng, gx, gy, along, reach)
            if garage:
                flat_roof(sc, rng, gx, gy, turn + math.pi / 2, 5.8, 3.2, 2.7, ("gravel", "bitumen")[rng.integers(2)], False)
        for b in (-side, side):
            tx, ty = at(rng.uniform(-2, 2), b * (breadth / 2 + 1.9))
            if sc.is_free(tx, ty, turn, 2.6, 1.7):
                stone = ((0.40, 0.36, 0.31, 0.26), (0.36, 0.29, 0.21, 0.17), CONCRETE)[rng.integers(3)]
                rect(sc, tx, ty, turn, 5.2, 3.4, stone, surface="slabs")
                box(sc, tx + 0.6, ty, turn, 1.5, 0.9, 0.8, (0.5, 0.46, 0.4, 0.34), CLUTTER)
                break
        for _ in range(7):
            a, b = rng.uniform(-13, 13), rng.uniform(-12, 12)
            px, py = at(a, b)
            pick = rng.random()
            if pick < 0.22 and sc.is_free(px, py, turn, 4.4, 2.8):
                pool(sc, rng, px, py, turn, 6.4, 3.2)
            elif pick < 0.5 and sc.is_free(px, py, turn, 2.2, 1.8):
                pitched_roof(sc, rng, px, py, turn, 3.6, 2.8, 2.1, 22, 0, ROOFS["brown"], plain=True)
            elif pick < 0.62 and sc.is_free(px, py, turn, 2.2, 2.2):
                disc(sc, px, py, 1.75, 0.8, (0.10, 0.10, 0.16, 0.30), CLUTTER)
                disc(sc, px, py, 1.4, 0.8, (0.06, 0.06, 0.06, 0.07), CLUTTER)
            elif sc.is_free(px, py, turn, 2.0, 1.2):
                win, u, v = sc.frame(px, py, turn, 2.0, 1.2)
                rows = joints(v, 0.6, 0.35)[..., None]
                green = tint((0.45, 0.10, 0.14, 0.06), 0.25 * sc.noise(0.12, win))
                bed = np.where(rows, green, tint(SOIL, 0.15 * sc.noise(0.1, win)))
                sc.paint(win, (np.abs(u) < 2.0) & (np.abs(v) < 1.2), bed, None, LOW_VEGETATION)
    for k, (x, y, *_) in enumerate(houses):
        for x2, y2, *_ in houses[k + 1 :]:
            gap = math.hypot(x2 - x, y2 - y)
            if gap < 24 and rng.random() < 0.8:
                mx, my, turn = (x + x2) / 2, (y + y2) / 2, math.atan2(y2 - y, x2 - x) + math.pi / 2
                r = rng.uniform(5, 9)
                hedge(sc, rng, mx - r * math.cos(turn), my - r * math.sin(turn), mx + r * math.cos(turn),
                      my + r * math.sin(turn), rng.uniform(0.7, 1.2), 1.5, SUMMER_LEAF[rng.integers(4)])  # fmt: skip


def drive(sc, rng, x, y, along, reach) -> None:
    """Paved strip from the garage to the street, only over lawn, often with a car on it."""
    win, u, v = sc.frame(x, y, along, reach, 1.6)
    mask = (u > -3) & (u < reach) & (np.abs(v) < 1.5) & (sc.cls[win] == LOW_VEGETATION)
    stone = ((0.30, 0.26, 0.235, 0.21), (0.33, 0.24, 0.19, 0.16), CONCRETE)[rng.integers(3)]
    sc.paint(win, mask, slabs(sc, win, u, v, 0.25, stone), 0.08, IMPERVIOUS)
    if rng.random() < 0.65:
        a = rng.uniform(4.4, 5.2)
        cx, cy = x + a * math.cos(along), y + a * math.sin(along)
        if sc.is_free(cx, cy, along, 2.3, 0.95, (IMPERVIOUS, LOW_VEGETATION)):
            car(sc, rng, cx, cy, along)


def park_along(sc, rng, line, half, lines) -> None:
    step = np.gradient(line, axis=0)
    length = np.cumsum(np.hypot(*step.T))
    for start in np.arange(3.0, length[-1], 6.2):
        k = int(np.searchsorted(length, start))
        others = [other for other in lines if other is not line]
        clear = all(np.hypot(*(other - line[k]).T).min() > 8 for other in others)
        turn = math.atan2(step[k, 1], step[k, 0])
        for side in (-1, 1):
            if clear and rng.random() < (0.42 if side > 0 else 0.12):
                off = side * (half - 1.0)
                car(sc, rng, line[k, 0] - off * math.sin(turn), line[k, 1] + off * math.cos(turn), turn)
        if rng.random() < 0.25:
            manholes(sc, rng, [tuple(line[k] + rng.uniform(-1, 1, 2))])


def greenery(sc, rng, width, height) -> None:
    for big, tries in ((True, 420), (False, 300)):
        for _ in range(tries):
            x, y = rng.uniform(-0.02, 1.2) * width - 2, rng.uniform(-0.02, 1.2) * height - 2
            r = rng.uniform(2.0, 4.3) if big else rng.uniform(0.9, 2.0)
            leaf, conifer = SUMMER_LEAF[rng.integers(4)], rng.random() < 0.12
            own = np.random.default_rng(rng.integers(2**32))
            if sc.is_free(x, y, 0.0, r * 0.55, r * 0.55, (LOW_VEGETATION, TREE)):
                leafy_tree(sc, own, x, y, r, r * rng.uniform(1.3, 2.0) + 1.0, leaf, conifer)


__all__ = ["CLAY", "POTSDAM", "SAND", "TWIGS", "VAIHINGEN", "ZINC", "potsdam", "vaihingen"]
