"""Draw streets: pavements, carriageways, markings and parking places.

A street is defined by the distance along (`s`) and across (`t`) for every pixel of the canvas, so the
same code draws straight and curved streets.
"""

import math

import numpy as np
from materials import ASPHALT, WHITE, asphalt, cell_hash, disc, joints, rect, setts, slabs, tint
from objects import car
from scene import IMPERVIOUS, WHOLE


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
    """Draw centre dashes, parking bays and zebra crossings in worn paint; `free` excludes junctions."""
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
    """Draw a row of parking bays along `angle`, with cars across it."""
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
