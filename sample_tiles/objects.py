"""Draw objects above the ground: roofs, trees, cars and clutter.

Random numbers are drawn per object, never per pixel: per-pixel texture comes from `Scene.noise`, so an
object cut by a tile edge looks the same in both tiles.
"""

import math

import numpy as np
from materials import (
    CLAY,
    CONCRETE,
    GLASS,
    POOL,
    SAND,
    SOIL,
    WHITE,
    ZINC,
    box,
    cell_hash,
    disc,
    joints,
    rect,
    tint,
)
from scene import BUILDING, CAR, CLUTTER, IMPERVIOUS, LOW_VEGETATION, TREE, Scene

# ---------------------------------------------------------------------------------------------- roofs


def pitched_roof(sc, rng, cx, cy, angle, length, width, eave, pitch, hip, roof, dormers=0, solar=False, plain=False):
    """Draw a gable (`hip` 0) or hipped roof with tile courses, ridges, gutters, chimneys, dormers and windows.

    It is painted only where it is the highest object, so crossing wings meet in valleys.
    """
    slope = math.tan(math.radians(pitch))
    win, u, v = sc.frame(cx, cy, angle, length / 2, width / 2)
    side, end = width / 2 - np.abs(v), length / 2 - np.abs(u)
    on_end = (end * hip < side) if hip else np.zeros_like(side, bool)
    run = np.where(on_end, end * hip, side)
    z = eave + run * slope
    mask = (side > 0) & (end > 0) & (z > sc.z[win])
    down, along = np.where(on_end, end, side), np.where(on_end, v, u)
    n = sc.noise
    patch = rng.uniform(0.03, 0.09)
    tex = 0.16 * cell_hash(along / 0.3, down / 0.36) - 0.20 * joints(down, 0.36, 0.11)
    tex = tex - 0.07 * joints(along, 0.3, 0.07) + patch * n(1.6, win) + 0.06 * n(0.35, win) + 0.04 * n(0.05, win)
    colour = tint(np.float32(roof) * rng.uniform(0.85, 1.15), tex)
    # Moss grows on the lower courses; lichen greys older roofs.
    moss = np.clip(0.35 * n(0.9, win, 7) - 0.08 * run, 0, 0.45)[..., None] * rng.uniform(0.2, 1.2)
    colour = colour + (np.float32((0.34, 0.14, 0.15, 0.09)) - colour) * moss
    ridge = (side > width / 2 - 0.17) | (np.abs(end * hip - side) < 0.15 if hip else False)
    colour[ridge] *= 1.25
    z = z + 0.08 * ridge
    gutter = (side < 0.16) | (on_end & (end < 0.16))
    colour[gutter] = np.float32(ZINC) * 0.8
    sc.paint(win, mask, colour, z, BUILDING)

    if plain:
        return
    c, s = math.cos(angle), math.sin(angle)

    def world(a, b):
        return cx + a * c - b * s, cy + a * s + b * c

    reach = max(0.3, length / 2 - (width / 2 / hip if hip else 0) - 1.0)
    if solar:
        b, sgn = width / 4, rng.choice((-1, 1))
        panel_l, panel_w = min(2 * reach * 0.8, 7.0), width * 0.3
        if panel_l > 2:
            x, y = world(rng.uniform(-0.1, 0.1) * reach, sgn * b)
            pw, pu, pv = sc.frame(x, y, angle, panel_l / 2, panel_w / 2)
            inside = (np.abs(pu) < panel_l / 2) & (np.abs(pv) < panel_w / 2)
            seam = joints(pu, 1.0, 0.09) | joints(pv, 1.6, 0.09)
            sc.paint(pw, inside, tint((0.07, 0.05, 0.06, 0.10), 1.6 * seam + 0.05 * n(0.5, pw)))
    for i in range(dormers):
        a = reach * ((2 * i + 1) / dormers - 1)
        for sgn in (-1, 1):
            if rng.random() < 0.8:
                x, y = world(a, sgn * width * 0.29)
                top = eave + (width / 2 - width * 0.14) * slope
                box(sc, x, y, angle, 1.7, width * 0.24, top, np.float32(roof) * 0.8, BUILDING)
                x, y = world(a, sgn * width * 0.40)
                box(sc, x, y, angle, 1.8, 0.3, top + 0.05, ZINC, BUILDING)
    for _ in range(rng.integers(1, 5)):
        a, b = rng.uniform(-reach, reach), rng.choice((-1, 1)) * width * rng.uniform(0.15, 0.36)
        rw, ru, rv = sc.frame(*world(a, b), angle, 0.5, 0.65)
        sc.paint(rw, (np.abs(ru) < 0.5) & (np.abs(rv) < 0.65), np.float32(ZINC) * 0.9, None, BUILDING)
        sc.paint(rw, (np.abs(ru) < 0.37) & (np.abs(rv) < 0.5), (0.08, 0.09, 0.12, 0.15), None, BUILDING)
    for _ in range(rng.integers(1, 3)):
        x, y = world(rng.uniform(-reach, reach), rng.uniform(-0.12, 0.12) * width)
        top = eave + width / 2 * slope + 0.8
        stone = ((0.32, 0.27, 0.17, 0.14), CONCRETE, ZINC)[rng.integers(3)]
        box(sc, x, y, angle, rng.uniform(0.8, 1.5), 0.75, top, stone, BUILDING)
        box(sc, x, y, angle, 0.35, 0.35, top - 0.2, (0.03, 0.03, 0.03, 0.03), BUILDING)


def flat_roof(sc, rng, cx, cy, angle, length, width, top, kind="gravel", fittings=True) -> None:
    win, u, v = sc.frame(cx, cy, angle, length / 2, width / 2)
    edge = np.minimum(length / 2 - np.abs(u), width / 2 - np.abs(v))
    n = sc.noise
    if kind == "gravel":
        colour = tint((0.29, 0.265, 0.25, 0.225), 0.13 * n(0.05, win) + 0.06 * n(0.3, win) + 0.10 * n(2.5, win, 1))
        moss = np.clip(0.35 * n(1.8, win, 7) + 0.12 * n(0.3, win) - 0.1, 0, 0.5)[..., None]
        colour = colour + (np.float32((0.33, 0.17, 0.15, 0.11)) - colour) * moss
    elif kind == "metal":
        colour = tint((0.36, 0.36, 0.37, 0.38), 0.05 * n(0.4, win) + 0.06 * n(3.0, win) - 0.25 * joints(u, 0.6, 0.08))
    else:  # bitumen sheets, one metre wide, of different age
        tex = 0.14 * cell_hash(v / 1.0, u / 7.0) - 0.22 * joints(v, 1.0, 0.08) + 0.10 * n(0.9, win)
        colour = tint((0.15, 0.145, 0.145, 0.15), tex + 0.07 * n(0.05, win) + 0.10 * n(3.0, win))
    puddle = np.clip(n(1.7, win, 8) - 1.1, 0, 1)[..., None]
    colour = colour * (1 - 0.4 * puddle)
    sc.paint(win, edge > 0, colour, top, BUILDING)
    rim = tint(CONCRETE if rng.random() < 0.5 else ZINC, 0.06 * n(0.05, win) - 0.2 * joints(u + v, 2.0, 0.07))
    sc.paint(win, (edge > 0) & (edge < 0.32), rim, top + 0.45, BUILDING)
    if not fittings:
        return
    c, s = math.cos(angle), math.sin(angle)
    for i in range(int(length * width / 26) + 2):
        a, b = rng.uniform(-0.42, 0.42) * length, rng.uniform(-0.38, 0.38) * width
        x, y = cx + a * c - b * s, cy + a * s + b * c
        pick = rng.random()
        if i == 0 and length * width > 150:  # lift housing
            box(sc, x, y, angle, 3.4, 2.8, top + 2.4, CONCRETE, BUILDING)
            box(sc, x, y, angle, 3.0, 2.4, top + 2.2, (0.17, 0.16, 0.16, 0.16), BUILDING)
        elif pick < 0.35:  # skylight dome
            box(sc, x, y, angle, 1.5, 1.5, top + 0.4, ZINC, BUILDING)
            box(sc, x, y, angle, 1.1, 1.1, top + 0.55, (0.5, 0.55, 0.58, 0.62), BUILDING)
        elif pick < 0.75:  # vent pipe
            disc(sc, x, y, rng.uniform(0.18, 0.35), top + rng.uniform(0.5, 1.0), ZINC, BUILDING)
        else:  # air conditioning
            box(sc, x, y, angle, rng.uniform(1, 2.2), 1.0, top + 1.1, (0.45, 0.44, 0.43, 0.40), BUILDING, 0.3)


# ------------------------------------------------------------------------------------------ vegetation


def leafy_tree(sc, rng, x, y, r, height, leaf, conifer=False) -> None:
    """Draw a crown of overlapping lobes; the light on its bumps gives the texture."""
    win, u, v = sc.frame(x, y, 0.0, r * 1.25, r * 1.25)
    n = sc.noise
    wobble = 0.10 * r * n(0.7, win, 9) + 0.12 * n(0.25, win)
    if conifer:
        d = np.hypot(u, v)
        spikes = 1 + 0.12 * np.sin(np.arctan2(v, u) * rng.integers(9, 14) + rng.uniform(0, 6))
        z = height * (1 - 0.8 * (d * spikes + wobble) / r)
        mask = d * spikes + wobble < r
    else:
        z = np.full(np.broadcast_shapes(u.shape, v.shape), -np.inf)
        for i in range(int(6 + 2.5 * r)):
            far = 0 if i == 0 else r * math.sqrt(rng.random()) * 0.72
            turn, lobe = rng.uniform(0, 2 * math.pi), r * rng.uniform(0.28, 0.5)
            d2 = (u - far * math.cos(turn)) ** 2 + (v - far * math.sin(turn)) ** 2
            reach = lobe - 0.6 * wobble
            lift = height - 1.1 * r + (r - far) * rng.uniform(0.2, 0.55)
            bump = np.where((d2 < reach**2) & (reach > 0), lift + np.sqrt(np.clip(reach**2 - d2, 0, None)), -np.inf)
            z = np.maximum(z, bump)
        mask = np.isfinite(z)
    z = z + 0.16 * n(0.3, win) + 0.07 * n(0.1, win)
    mask = mask & (z > sc.z[win])
    colour = tint(leaf, 0.13 * n(0.12, win) + 0.12 * n(0.5, win) + rng.uniform(-0.18, 0.18))
    colour *= np.float32((1, *rng.uniform(0.88, 1.15, 3)))
    sc.paint(win, mask, colour, np.maximum(z, 0.4), TREE)


def stroke(sc: Scene, layer, x0, y0, x1, y1, width, strength=1.0) -> None:
    length = math.hypot(x1 - x0, y1 - y0)
    win, u, v = sc.frame((x0 + x1) / 2, (y0 + y1) / 2, math.atan2(y1 - y0, x1 - x0), length / 2, width + sc.gsd)
    over = np.hypot(np.clip(np.abs(u) - length / 2, 0, None), v) - width / 2
    np.maximum(layer[win], strength * np.clip(0.5 - over / sc.gsd, 0, 1), out=layer[win])


def bare_tree(sc, rng, x, y, r) -> None:
    """Draw a leafless crown: three orders of branches and a haze of twigs that shows the ground."""

    def grow(x, y, turn, length, order):
        x1, y1 = x + length * math.cos(turn), y + length * math.sin(turn)
        stroke(sc, sc.twig, x, y, x1, y1, (0.22, 0.13, 0.08, 0.05)[order], (0.95, 0.85, 0.7, 0.55)[order])
        if order < 3:
            for k in range(3):
                along = rng.uniform(0.4, 1.0) if k else 1.0
                bend = rng.uniform(0.25, 0.8) * (-1) ** k
                grow(
                    x + along * (x1 - x),
                    y + along * (y1 - y),
                    turn + bend,
                    length * rng.uniform(0.5, 0.8),
                    order + 1,
                )

    start = rng.uniform(0, 6)
    for k in range(6):
        grow(x, y, start + k * math.pi / 3 + rng.uniform(-0.3, 0.3), r * rng.uniform(0.34, 0.46), 0)
    win, u, v = sc.frame(x, y, 0.0, r * 1.15, r * 1.15)
    n = sc.noise
    d = np.hypot(u, v) / r + 0.09 * n(0.7, win, 9) + 0.03 * n(0.25, win)
    crown = (d < 1.0) & (sc.z[win] < 4)
    fine = np.clip(1 - 2.2 * np.abs(n(0.14, win, 3)), 0, 1)
    coarse = np.clip(1 - 2.6 * np.abs(n(0.3, win, 3)), 0, 1)
    haze = np.clip(0.65 * fine + 0.55 * coarse, 0, 0.85) * (0.9 + 0.2 * n(0.6, win, 4))
    haze = np.clip(haze, 0, 0.9) * np.clip(4 * (1 - d), 0, 1)
    np.maximum(sc.twig[win], haze, out=sc.twig[win])
    # Fallen leaves under the crown.
    litter = tint((0.25, 0.19, 0.145, 0.10), 0.15 * n(0.1, win) + 0.15 * n(0.3, win))
    soft = crown & (sc.cls[win] == LOW_VEGETATION)
    sc.paint(win, soft, 0.45 * sc.refl[win] + 0.55 * litter)
    sc.paint(win, crown, None, None, TREE)


def hedge(sc, rng, x0, y0, x1, y1, width, top, leaf) -> None:
    length = math.hypot(x1 - x0, y1 - y0)
    win, u, v = sc.frame((x0 + x1) / 2, (y0 + y1) / 2, math.atan2(y1 - y0, x1 - x0), length / 2, width)
    n = sc.noise
    mask = (np.abs(u) < length / 2) & (np.abs(v) + 0.05 * n(0.4, win) < width / 2)
    mask &= sc.cls[win] == LOW_VEGETATION
    z = top + 0.07 * n(0.3, win) - 1.2 * v**2 / width
    sc.paint(win, mask, tint(leaf, 0.16 * n(0.12, win) + 0.1 * n(0.6, win)), z, LOW_VEGETATION)


# ------------------------------------------------------------------------------------- cars and clutter

# Paints of cars and their weights.
PAINTS = [
    ((0.62, 0.62, 0.62, 0.61), 4), ((0.37, 0.38, 0.39, 0.40), 4), ((0.16, 0.16, 0.17, 0.18), 4),
    ((0.055, 0.05, 0.052, 0.058), 4), ((0.10, 0.045, 0.06, 0.11), 2), ((0.30, 0.24, 0.05, 0.045), 1.5),
    ((0.30, 0.27, 0.23, 0.18), 1), ((0.12, 0.05, 0.10, 0.085), 0.7), ((0.22, 0.09, 0.16, 0.30), 0.8),
    ((0.52, 0.48, 0.36, 0.06), 0.4),
]  # fmt: skip


def car(sc, rng, x, y, angle) -> None:
    """Draw a car from above: body, bonnet, roof, and between them the ring of glass with its pillars."""
    van = rng.random() < 0.12
    length, width = (5.2, 2.0) if van else (rng.uniform(4.0, 4.75), rng.uniform(1.74, 1.86))
    angle += math.pi * rng.integers(2) + rng.normal(0, 0.02)
    weight = np.array([share for _, share in PAINTS])
    paint = np.float32(PAINTS[rng.choice(len(PAINTS), p=weight / weight.sum())][0]) * rng.uniform(0.85, 1.15)
    win, u, v = sc.frame(x, y, angle, length / 2, width / 2 + 0.2)
    front, a, b = u / (length / 2), np.abs(u) / (length / 2), np.abs(v) / (width / 2)
    body = a ** (9 - 3 * (front > 0)) + b**7 < 1
    body |= (np.abs(front - 0.30) < 0.035) & (b < 1.17) & (b > 0.9)  # mirrors
    middle, reach = (-0.22, 0.70) if van else (-0.20, 0.60)
    cabin = (np.abs(front - middle) / reach) ** 4 + (b / 0.90) ** 6
    roof = (np.abs(front - middle + 0.04) / (reach - 0.23)) ** 7 + (b / 0.71) ** 8 < 1
    glass = (cabin < 1) & ~roof
    beyond = np.clip((np.abs(front - middle + 0.04) - reach + 0.25) / 0.25, 0, 1)
    glass &= np.abs(b - 0.70 - 0.16 * beyond) > 0.045
    n = sc.noise
    sheen = 0.20 * np.exp(-(((v / width) - 0.12) ** 2) / 0.03) - 0.14 * b**4 - 0.10 * (front > 0.4) * a
    colour = tint(paint, sheen + 0.03 * n(0.1, win) + 0.05 * n(0.5, win))
    lamp = (a > 0.91) & (b > 0.52) & (b < 0.84)
    colour[lamp] = 0.5 * colour[lamp] + np.where(front[lamp, None] > 0, 0.25, np.float32((0.1, 0.12, 0.02, 0.02)))
    colour[glass] = tint(GLASS, 0.5 * front + 0.3 * n(0.5, win))[glass]
    seam = (np.abs(front - 0.46 + 0.06 * b**2) < 0.018) & (b < 0.85)
    colour[seam] *= 0.65
    z = np.where(cabin < 1, 1.2, 0.95 - 0.15 * a**2)
    z = np.where(roof, (2.2 if van else 1.42) - 0.06 * b**2, z)
    sc.paint(win, body, colour, z + 0 * u, CAR)


def container(sc, rng, x, y, angle) -> None:
    colour = ((0.25, 0.06, 0.14, 0.28), (0.30, 0.22, 0.08, 0.06), (0.22, 0.10, 0.17, 0.12),
              (0.40, 0.36, 0.28, 0.12), (0.5, 0.5, 0.5, 0.48))[rng.integers(5)]  # fmt: skip
    box(sc, x, y, angle, 6.06, 2.44, 2.6, colour, CLUTTER, 0.28)


def heap(sc, rng, x, y, r, colour) -> None:
    win, u, v = sc.frame(x, y, 0.0, r * 1.3, r * 1.3)
    n = sc.noise
    d = np.hypot(u * rng.uniform(0.8, 1.2), v) / r + 0.10 * n(1.2, win) + 0.04 * n(0.3, win)
    z = 0.7 * r * np.clip(1 - d, 0, 1) + 0.05 * n(0.3, win) + 0.02 * n(0.1, win)
    sc.paint(win, d < 1, tint(colour, 0.10 * n(0.1, win) + 0.10 * n(0.6, win)), np.maximum(z, 0), CLUTTER)


def building_site(sc, rng, cx, cy, angle, length, width) -> None:
    """Churned ground with heaps, containers and stacked material."""
    win, u, v = sc.frame(cx, cy, angle, length / 2 + 0.6, width / 2 + 0.6)
    n = sc.noise
    ragged = 0.25 * n(1.0, win) + 0.1 * n(0.3, win)
    mask = (np.abs(u) + ragged < length / 2) & (np.abs(v) + ragged < width / 2)
    tracks = -0.15 * joints(v + 0.5 * n(6.0, win), 1.7, 0.4)
    tex = 0.12 * n(0.1, win) + 0.15 * n(0.7, win) + 0.12 * n(3.0, win) + tracks
    sc.paint(win, mask, tint(np.float32(SOIL) * 1.1, tex), 0.05 + 0.04 * n(0.5, win), CLUTTER)
    c, s = math.cos(angle), math.sin(angle)

    def world(a, b):
        return cx + a * c - b * s, cy + a * s + b * c

    container(sc, rng, *world(-length / 2 + 3.6, -width / 2 + 1.7), angle)
    if length > 11:
        container(sc, rng, *world(length / 2 - 3.8, -width / 2 + 1.8), angle + 0.06)
    heap(sc, rng, *world(length * 0.22, width * 0.18), min(length, width) * 0.24, SAND)
    heap(sc, rng, *world(-length * 0.22, width * 0.22), min(length, width) * 0.18, (0.30, 0.28, 0.27, 0.25))
    for _ in range(7):
        a, b = rng.uniform(-0.45, 0.45) * length, rng.uniform(-0.1, 0.45) * width
        wood = ((0.50, 0.42, 0.28, 0.16), ZINC, (0.42, 0.33, 0.18, 0.13))[rng.integers(3)]
        box(sc, *world(a, b), angle + rng.normal(0, 0.3), rng.uniform(0.8, 2.6), rng.uniform(0.5, 1.1),
            rng.uniform(0.3, 1.0), wood, CLUTTER, 0.2)  # fmt: skip


def tennis_court(sc, rng, cx, cy, angle, scale=1.0) -> None:
    length, width = 34 * scale, 16.5 * scale
    win, u, v = sc.frame(cx, cy, angle, length / 2, width / 2)
    n = sc.noise
    tex = 0.05 * n(0.05, win) + 0.06 * n(0.4, win) + 0.08 * n(2.0, win)
    sc.paint(win, (np.abs(u) < length / 2) & (np.abs(v) < width / 2), tint(CLAY, tex), 0.05, CLUTTER)
    a, b = np.abs(u) / scale, np.abs(v) / scale
    line = ((np.abs(a - 11.88) < 0.06) & (b < 5.48)) | ((a < 11.9) & (np.abs(b - 5.48) < 0.06))
    line |= ((a < 11.9) & (np.abs(b - 4.11) < 0.06)) | ((np.abs(a - 6.4) < 0.06) & (b < 4.11))
    line |= (b < 0.05) & (a < 6.4)
    sc.paint(win, line, tint(WHITE, 0.08 * n(0.05, win)))
    sc.paint(win, (a < 0.07) & (b < 6.2), (0.10, 0.10, 0.10, 0.10), 1.0, CLUTTER)


def pool(sc, rng, cx, cy, angle, length, width) -> None:
    rect(sc, cx, cy, angle, length + 1.6, width + 1.6, (0.48, 0.44, 0.39, 0.33), IMPERVIOUS, 0.1, "slabs")
    win, u, v = sc.frame(cx, cy, angle, length / 2, width / 2)
    n = sc.noise
    caustic = 0.10 * n(0.25, win) + 0.06 * n(0.6, win) + 0.25 * (length / 2 - u) / length - 0.12
    mask = (np.abs(u) < length / 2) & (np.abs(v) < width / 2)
    sc.paint(win, mask, tint(POOL, caustic), -0.1, CLUTTER)


def bins(sc, rng, x, y, angle, count) -> None:
    for i in range(count):
        colour = ((0.10, 0.09, 0.09, 0.09), (0.15, 0.07, 0.12, 0.25), (0.5, 0.45, 0.38, 0.06),
                  (0.22, 0.16, 0.11, 0.07))[rng.integers(4)]  # fmt: skip
        a = (i - (count - 1) / 2) * 1.45
        box(sc, x + a * math.cos(angle), y + a * math.sin(angle), angle, 1.35, 1.0, 1.2, colour, CLUTTER, 0.45)
