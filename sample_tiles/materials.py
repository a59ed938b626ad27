"""Define the reflectance and texture of materials, and draw simple shapes of them."""

import numpy as np
from scene import IMPERVIOUS, Scene

# Reflectance in IR, R, G, B.
ASPHALT = (0.150, 0.125, 0.126, 0.124)
CONCRETE = (0.34, 0.31, 0.29, 0.265)
ZINC = (0.40, 0.40, 0.41, 0.42)
GLASS = (0.05, 0.05, 0.06, 0.07)
WHITE = (0.72, 0.72, 0.72, 0.70)
SOIL = (0.30, 0.235, 0.175, 0.125)
SAND = (0.52, 0.46, 0.37, 0.26)
CLAY = (0.40, 0.36, 0.185, 0.125)
WATER = (0.015, 0.045, 0.065, 0.06)
POOL = (0.03, 0.13, 0.42, 0.50)
ROOFS = {
    "orange": (0.46, 0.40, 0.215, 0.14),
    "red": (0.38, 0.32, 0.145, 0.10),
    "brown": (0.27, 0.215, 0.15, 0.115),
    "grey": (0.15, 0.135, 0.135, 0.14),
}


def tint(colour, texture) -> np.ndarray:
    return np.float32(colour) * np.float32(1 + np.clip(texture, -0.9, 2))[..., None]


def cell_hash(a, b) -> np.ndarray:
    """Compute a repeatable pseudo-random value in -0.5..0.5 for each integer cell (roof tile, sett, slab)."""
    h = np.sin(np.floor(a) * 12.9898 + np.floor(b) * 78.233) * 43758.5453
    return h - np.floor(h) - 0.5


def joints(a, size, width):
    return np.mod(a, size) < width


def grass(sc: Scene, win, green, dry, dryness=0.0) -> np.ndarray:
    """Compute the colour of a lawn: a patchy mixture of green and dry grass, with bare soil where it is worn."""
    n = sc.noise
    mix = 0.6 * n(6.0, win) + 0.4 * n(1.6, win) + 0.2 * n(0.4, win) + dryness
    mix = (1 / (1 + np.exp(-1.6 * mix)))[..., None].astype(np.float32)
    colour = np.float32(green) * (1 - mix) + np.float32(dry) * mix
    bare = np.clip(0.6 * (n(2.6, win, 1) + 0.5 * n(0.5, win, 1) + 0.5 * dryness - 2.0), 0, 0.8)[..., None]
    colour = colour + (np.float32(SOIL) - colour) * bare
    return colour * (1 + 0.10 * n(0.05, win) + 0.10 * n(0.16, win) + 0.05 * n(0.7, win, 2))[..., None]


def asphalt(sc: Scene, win, colour=ASPHALT) -> np.ndarray:
    n = sc.noise
    repaired = -0.13 * (n(3.0, win, 3) > 1.5) + 0.10 * (n(3.5, win, 4) > 1.7)
    cracks = -0.22 * ((np.abs(n(1.3, win, 5)) < 0.03) & (n(4.0, win, 6) > 0.2))
    fine = 0.06 * n(0.05, win) + 0.035 * n(0.25, win) + 0.05 * n(1.2, win) + 0.07 * n(5.0, win)
    return tint(colour, fine + repaired + cracks)


def slabs(sc: Scene, win, u, v, size=0.5, colour=CONCRETE) -> np.ndarray:
    lines = joints(u, size, 0.06) | joints(v, size, 0.06)
    n = sc.noise
    tex = 0.12 * cell_hash(u / size, v / size) - 0.16 * lines
    return tint(colour, tex + 0.05 * n(0.05, win) + 0.06 * n(0.8, win) + 0.08 * n(4.0, win, 1))


def setts(sc: Scene, win, u, v) -> np.ndarray:
    """Compute the colour of granite setts in offset rows."""
    u = u + 0.08 * np.mod(np.floor(v / 0.16), 2)
    lines = joints(u, 0.18, 0.05) | joints(v, 0.16, 0.05)
    tex = 0.45 * cell_hash(u / 0.18, v / 0.16) - 0.25 * lines
    n = sc.noise
    return tint((0.20, 0.175, 0.17, 0.16), tex + 0.06 * n(0.3, win) + 0.08 * n(3.0, win))


def rect(sc: Scene, cx, cy, angle, length, width, colour, cls=IMPERVIOUS, z=0.1, surface="plain") -> None:
    """Draw a rectangle of ground: a drive, terrace, path or court."""
    win, u, v = sc.frame(cx, cy, angle, length / 2, width / 2)
    mask = (np.abs(u) < length / 2) & (np.abs(v) < width / 2)
    if surface == "slabs":
        tex = slabs(sc, win, u, v, 0.4, colour)
    elif surface == "asphalt":
        tex = asphalt(sc, win, colour)
    elif surface == "setts":
        tex = setts(sc, win, u, v)
    else:
        fine = 0.07 * sc.noise(0.05, win) + 0.07 * sc.noise(0.3, win) + 0.08 * sc.noise(1.6, win)
        tex = tint(colour, fine)
    sc.paint(win, mask, tex, z, cls)


def box(sc: Scene, cx, cy, angle, length, width, top, colour, cls, ribs=0.0) -> None:
    win, u, v = sc.frame(cx, cy, angle, length / 2, width / 2)
    mask = (np.abs(u) < length / 2) & (np.abs(v) < width / 2)
    tex = 0.05 * sc.noise(0.05, win) + 0.06 * sc.noise(0.5, win)
    if ribs:  # corrugated sheet, weathered
        tex = tex - 0.12 * np.abs(sc.noise(0.7, win, 13)) - 0.15 * joints(u, ribs, ribs * 0.4)
    sc.paint(win, mask, tint(colour, tex), top, cls)


def disc(sc: Scene, x, y, r, top, colour, cls) -> None:
    win, u, v = sc.frame(x, y, 0.0, r, r)
    sc.paint(win, np.hypot(u, v) < r, tint(colour, 0.06 * sc.noise(0.05, win)), top, cls)
