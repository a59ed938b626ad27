"""Draw a town like Vaihingen: gardens in summer, a high sun from the south-west, a warm, hazy, soft camera."""

import math

import numpy as np
from materials import ASPHALT, CONCRETE, ROOFS, SOIL, WATER, box, disc, grass, joints, rect, slabs, tint
from objects import bins, building_site, car, flat_roof, hedge, leafy_tree, pitched_roof, pool, tennis_court
from scene import CLUTTER, IMPERVIOUS, LOW_VEGETATION, TREE, WHOLE, Scene, Sensor
from scipy import ndimage
from streets import car_row, carriageway, manholes, markings, pavement

SENSOR = Sensor(
    azimuth=232, elevation=54, sun=(1.0, 1.0, 0.95, 0.85), sky=(0.16, 0.15, 0.17, 0.22),
    gain=(1.25, 1.30, 1.08, 0.95), haze=(0.02, 0.045, 0.045, 0.05), gamma=1.45,
    blur=0.85, noise=2.2, vignette=0.10,
)  # fmt: skip
SUMMER_LEAF = [(0.56, 0.060, 0.100, 0.045), (0.62, 0.080, 0.125, 0.050), (0.50, 0.050, 0.080, 0.045),
               (0.46, 0.110, 0.085, 0.060)]  # fmt: skip

# Way points of the streets in shares of the tile, and the theme of the clutter class.
AREAS = {
    "1": (
        ((-0.1, 0.62), (0.3, 0.52), (0.62, 0.60), (1.1, 0.42)),
        ((0.45, 0.56), (0.52, 0.25), (0.40, -0.1)),
        "site",
    ),
    "2": (
        ((0.25, -0.1), (0.34, 0.35), (0.26, 0.65), (0.40, 1.1)),
        ((0.30, 0.48), (0.65, 0.40), (1.1, 0.52)),
        "rail",
    ),
    "3": (
        ((-0.1, 0.30), (0.35, 0.38), (0.7, 0.28), (1.1, 0.36)),
        ((0.55, 0.33), (0.60, 0.7), (0.48, 1.1)),
        "brook",
    ),
    "5": (
        ((0.70, -0.1), (0.62, 0.3), (0.72, 0.7), (0.60, 1.1)),
        ((0.66, 0.5), (0.3, 0.56), (-0.1, 0.44)),
        "site",
    ),
    "11": (
        ((-0.1, 0.45), (0.4, 0.36), (0.75, 0.5), (1.1, 0.58)),
        ((0.30, 0.37), (0.26, 0.7), (0.34, 1.1)),
        "rail",
    ),
    "15": (
        ((-0.1, 0.72), (0.4, 0.60), (0.8, 0.68), (1.1, 0.58)),
        ((0.62, 0.63), (0.55, 0.3), (0.66, -0.1)),
        "court",
    ),
}


def street_line(points, width, height) -> np.ndarray:
    """Interpolate a smooth centre line through the way points, one sample every ~0.15 m."""
    pts = np.float64(points) * (width, height)
    spans = np.vstack([2 * pts[0] - pts[1], pts, 2 * pts[-1] - pts[-2]])
    t = np.linspace(0, 1, 300, endpoint=False)[:, None]
    parts = []
    for a, b, c, d in zip(spans, spans[1:], spans[2:], spans[3:], strict=False):  # Catmull-Rom
        parts.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.vstack(parts)


def street_coordinates(sc, line):
    """Compute the distance along and the signed distance across the street for every pixel."""
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


def draw(sc: Scene, area: str, width: float, height: float) -> None:
    rng = np.random.default_rng([sc.seed, 7])
    main_points, side_points, theme = AREAS[area]
    lines = [street_line(main_points, width, height), street_line(side_points, width, height)]
    coords = [street_coordinates(sc, line) for line in lines]
    halves = (3.1, 2.5)

    lawn = grass(sc, WHOLE, (0.46, 0.085, 0.125, 0.060), (0.38, 0.19, 0.18, 0.10), -0.1)
    sc.paint(WHOLE, np.ones(sc.shape, bool), lawn)
    sc.z[:] = 0.1 + 0.02 * sc.noise(0.16) + 0.04 * sc.noise(1.6)
    for (s, t), half in zip(coords, halves, strict=True):
        pavement(sc, s, t, half, 1.5, 0.4)
    for (s, t), half in list(zip(coords, halves, strict=True))[::-1]:
        carriageway(sc, s, t, half)
    (s, t), (_, t2) = coords
    markings(sc, s, t, halves[0], np.abs(t2) > 6, dash=(2.0, 5.0))

    clutter_theme(sc, rng, theme, lines, width, height)
    houses = settle(sc, rng, lines, halves, width, height)
    gardens(sc, rng, houses)
    for line, half in zip(lines, halves, strict=True):
        park_along(sc, rng, line, half, lines)
    greenery(sc, rng, width, height)


def clutter_theme(sc, rng, theme, lines, width, height) -> None:
    if theme in ("rail", "brook"):
        # Both follow the eastern or northern rim, away from the middle of the streets.
        if theme == "rail":
            line = street_line(((0.80, -0.2), (0.86, 0.3), (0.88, 0.7), (0.84, 1.2)), width, height)
            if lines[0][-1][0] > width:
                line = street_line(((-0.2, 0.88), (0.3, 0.92), (0.7, 0.90), (1.2, 0.93)), width, height)
            s, t = street_coordinates(sc, line)
            ballast = tint((0.25, 0.215, 0.19, 0.165), 0.22 * sc.noise(0.1) + 0.1 * sc.noise(0.7))
            mask = (np.abs(t) + 0.1 * sc.noise(0.5) < 2.2) & (sc.cls == LOW_VEGETATION)  # roads cross level
            sc.paint(WHOLE, mask, ballast, 0.3, CLUTTER)
            sleeper = mask & (np.abs(t) < 1.3) & joints(s, 0.65, 0.26)
            sc.paint(WHOLE, sleeper, tint((0.33, 0.31, 0.29, 0.26), 0.1 * sc.noise(0.3)), 0.34)
            rail = np.abs(np.abs(t) - 0.75) < 0.07
            sc.paint(WHOLE, rail, (0.38, 0.34, 0.30, 0.27))
            sc.z[rail & mask] = 0.5
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
    lot = find_place(sc, rng, 21, 12, width, height, lines)
    if lot:
        x, y, turn = lot
        points = np.vstack(lines)
        door = points[np.hypot(*(points - (x, y)).T).argmin()]
        rect(sc, (x + door[0]) / 2, (y + door[1]) / 2, math.atan2(door[1] - y, door[0] - x),
             math.dist((x, y), door) - 3, 4, ASPHALT, surface="asphalt", z=0.02)  # fmt: skip
        rect(sc, x, y, turn, 21, 11.4, ASPHALT, surface="asphalt", z=0.02)
        shift = 2.9
        car_row(sc, rng, x - shift * math.sin(turn), y + shift * math.cos(turn), turn, 8, ground="setts")
        bins(sc, rng, x + 4.9 * math.sin(turn), y - 4.9 * math.cos(turn), turn, 6)


def find_place(sc, rng, length, breadth, width, height, lines=()):
    """Find a free rectangle; with street lines, the candidate closest to a street."""
    best = None
    for _ in range(600):
        x, y = rng.uniform(0.12, 0.88) * width, rng.uniform(0.12, 0.88) * height
        turn = rng.uniform(0, math.pi)
        gap = min((np.hypot(*(line - (x, y)).T).min() for line in lines), default=0.0)
        if (best is None or gap < best[0]) and sc.is_free(x, y, turn, length / 2, breadth / 2):
            best = gap, x, y, turn
            if not lines:
                break
    return best and best[1:]


def settle(sc, rng, lines, halves, width, height) -> list:
    """Build detached houses: first along the streets, facing them, then in the second row."""
    sites = []
    for line, half in zip(lines, halves, strict=True):
        step = np.gradient(line, axis=0)
        for k in range(0, len(line), 12):
            for side in (-1, 1):
                turn = math.atan2(step[k, 1], step[k, 0])
                shift = side * (half + 1.5 + rng.uniform(7.5, 9.5))
                sites.append((line[k, 0] - shift * math.sin(turn), line[k, 1] + shift * math.cos(turn), turn, line[k]))
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
    """Draw drives, garages, terraces, beds, pools and sheds around each house, and hedges between the plots."""
    for house in houses:
        lawn(sc, rng, house)
    for x, y, turn, length, breadth, front in houses:
        c, s = math.cos(turn), math.sin(turn)
        side = rng.choice((-1, 1))

        def at(a, b, x=x, y=y, c=c, s=s):
            return x + a * c - b * s, y + a * s + b * c

        if front is not None:
            garage(sc, rng, *at(side * (length / 2 + 2.1), 0), turn, (x, y), front)
        terrace(sc, rng, at, turn, side, breadth)
        for _ in range(7):
            px, py = at(rng.uniform(-13, 13), rng.uniform(-12, 12))
            garden_object(sc, rng, px, py, turn)
    hedges(sc, rng, houses)


def lawn(sc, rng, house) -> None:
    """Draw grass around a house; every owner mows differently."""
    x, y, turn, *_ = house
    win, u, v = sc.frame(x, y, turn, 12, 12)
    mask = (np.abs(u) < rng.uniform(8, 12)) & (np.abs(v) < rng.uniform(8, 12)) & (sc.cls[win] == LOW_VEGETATION)
    dry, tone = rng.uniform(-0.25, 0.45), rng.uniform(0.8, 1.15)
    swath = 0.05 * np.sin(v * rng.uniform(4, 7))[..., None]
    meadow = sc.refl[win] * (1 - dry) + dry * np.float32((0.36, 0.20, 0.185, 0.11))
    sc.paint(win, mask, meadow * (tone + swath))


def garage(sc, rng, x, y, turn, house, front) -> None:
    """Draw a drive to the street, and a garage at its end if the place is free."""
    along = math.atan2(front[1] - house[1], front[0] - house[0])
    is_free = sc.is_free(x, y, turn, 1.6, 2.8)
    drive(sc, rng, x, y, along, math.hypot(front[0] - house[0], front[1] - house[1]))
    if is_free:
        roof = ("gravel", "bitumen")[rng.integers(2)]
        flat_roof(sc, rng, x, y, turn + math.pi / 2, 5.8, 3.2, 2.7, roof, False)


def terrace(sc, rng, at, turn, side, breadth) -> None:
    """Draw slabs with a table on one side of a house, on the other side if the first is occupied."""
    for b in (-side, side):
        x, y = at(rng.uniform(-2, 2), b * (breadth / 2 + 1.9))
        if sc.is_free(x, y, turn, 2.6, 1.7):
            stone = ((0.40, 0.36, 0.31, 0.26), (0.36, 0.29, 0.21, 0.17), CONCRETE)[rng.integers(3)]
            rect(sc, x, y, turn, 5.2, 3.4, stone, surface="slabs")
            box(sc, x + 0.6, y, turn, 1.5, 0.9, 0.8, (0.5, 0.46, 0.4, 0.34), CLUTTER)
            return


def garden_object(sc, rng, x, y, turn) -> None:
    """Draw a pool, a shed, a trampoline or a bed if the place is free."""
    pick = rng.random()
    if pick < 0.22 and sc.is_free(x, y, turn, 4.4, 2.8):
        pool(sc, rng, x, y, turn, 6.4, 3.2)
    elif pick < 0.5 and sc.is_free(x, y, turn, 2.2, 1.8):
        pitched_roof(sc, rng, x, y, turn, 3.6, 2.8, 2.1, 22, 0, ROOFS["brown"], plain=True)
    elif pick < 0.62 and sc.is_free(x, y, turn, 2.2, 2.2):
        disc(sc, x, y, 1.75, 0.8, (0.10, 0.10, 0.16, 0.30), CLUTTER)
        disc(sc, x, y, 1.4, 0.8, (0.06, 0.06, 0.06, 0.07), CLUTTER)
    elif sc.is_free(x, y, turn, 2.0, 1.2):
        win, u, v = sc.frame(x, y, turn, 2.0, 1.2)
        rows = joints(v, 0.6, 0.35)[..., None]
        green = tint((0.45, 0.10, 0.14, 0.06), 0.25 * sc.noise(0.12, win))
        bed = np.where(rows, green, tint(SOIL, 0.15 * sc.noise(0.1, win)))
        sc.paint(win, (np.abs(u) < 2.0) & (np.abs(v) < 1.2), bed, None, LOW_VEGETATION)


def hedges(sc, rng, houses) -> None:
    """Draw hedges halfway between most neighbours."""
    for k, (x, y, *_) in enumerate(houses):
        for x2, y2, *_ in houses[k + 1 :]:
            gap = math.hypot(x2 - x, y2 - y)
            if gap < 24 and rng.random() < 0.8:
                mx, my, turn = (x + x2) / 2, (y + y2) / 2, math.atan2(y2 - y, x2 - x) + math.pi / 2
                r = rng.uniform(5, 9)
                dx, dy = r * math.cos(turn), r * math.sin(turn)
                leaf = SUMMER_LEAF[rng.integers(4)]
                hedge(sc, rng, mx - dx, my - dy, mx + dx, my + dy, rng.uniform(0.7, 1.2), 1.5, leaf)


def drive(sc, rng, x, y, along, reach) -> None:
    """Draw a paved strip over the lawn from the garage to the street, often with a car on it."""
    win, u, v = sc.frame(x, y, along, reach, 1.6)
    mask = (u > -3) & (u < reach) & (np.abs(v) < 1.5) & (sc.cls[win] == LOW_VEGETATION)
    stone = ((0.30, 0.26, 0.235, 0.21), (0.33, 0.24, 0.19, 0.16), CONCRETE)[rng.integers(3)]
    sc.paint(win, mask, slabs(sc, win, u, v, 0.25, stone), 0.08, IMPERVIOUS)
    a = rng.uniform(4.4, 5.2)
    if rng.random() < 0.75 and a + 7.2 < reach:
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
            if clear and rng.random() < (0.52 if side > 0 else 0.14):
                shift = side * (half - 1.0)
                x, y = line[k, 0] - shift * math.sin(turn), line[k, 1] + shift * math.cos(turn)
                if sc.is_free(x, y, turn, 2.8, 0.9, (IMPERVIOUS,)):
                    car(sc, rng, x, y, turn)
        if rng.random() < 0.25:
            manholes(sc, rng, [tuple(line[k] + rng.uniform(-1, 1, 2))])


def greenery(sc, rng, width, height) -> None:
    for big, tries in ((True, 420), (False, 300)):
        for _ in range(tries):
            x, y = rng.uniform(-0.02, 1.2) * width - 2, rng.uniform(-0.02, 1.2) * height - 2
            r = rng.uniform(2.0, 4.3) if big else rng.uniform(0.9, 2.0)
            leaf, conifer = SUMMER_LEAF[rng.integers(4)], rng.random() < 0.12
            tree_rng = np.random.default_rng(rng.integers(2**32))
            if sc.is_free(x, y, 0.0, r * 0.55, r * 0.55, (LOW_VEGETATION, TREE)):
                leafy_tree(sc, tree_rng, x, y, r, r * rng.uniform(1.3, 2.0) + 1.0, leaf, conifer)
