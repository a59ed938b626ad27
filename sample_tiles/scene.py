"""Draw on the canvas of a tile: reflectance in four bands, height and class per pixel, light and sensor.

Objects are drawn as reflectance and height. Shading and cast shadows then follow from the height
field and the sun, so no shadow of a chimney, a car or a crown is drawn explicitly.
World coordinates are metres, x to the east and y to the SOUTH, as the rows of an image run.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

IMPERVIOUS, BUILDING, LOW_VEGETATION, TREE, CAR, CLUTTER = range(6)
BOUNDARY = 255
WHOLE = (slice(None), slice(None))


@dataclass(frozen=True)
class Sensor:
    """Sun position and camera response of one flight; all band tuples are in the order IR, R, G, B."""

    azimuth: float  # degrees clockwise from north, towards the sun
    elevation: float
    sun: tuple
    sky: tuple
    gain: tuple
    haze: tuple
    gamma: float
    blur: float  # pixels
    noise: float  # grey values
    vignette: float

    def towards_sun(self) -> tuple[float, float]:
        return math.sin(math.radians(self.azimuth)), -math.cos(math.radians(self.azimuth))


class Scene:
    def __init__(self, x0: float, y0: float, rows: int, cols: int, gsd: float, seed: int):
        self.x0, self.y0, self.gsd, self.seed = x0, y0, gsd, seed
        self.shape = (rows, cols)
        self.x = x0 + (np.arange(cols) + 0.5) * gsd
        self.y = y0 + (np.arange(rows) + 0.5) * gsd
        self.refl = np.zeros((rows, cols, 4), np.float32)
        self.z = np.zeros(self.shape, np.float32)
        self.cls = np.full(self.shape, LOW_VEGETATION, np.uint8)
        # Leafless crowns show the ground: their twigs are a separate, half-transparent layer.
        self.twig = np.zeros(self.shape, np.float32)
        self._noise: dict = {}

    def noise(self, scale: float, win=WHOLE, salt: int = 0) -> np.ndarray:
        """Compute smooth unit-variance noise with features of `scale` metres.

        It is a periodic pattern looked up by world position, so neighbouring tiles continue each other.
        """
        if (scale, salt) not in self._noise:
            n = 512
            cell = max(self.gsd, scale / 2.5)
            rng = np.random.default_rng([self.seed, round(scale * 1000), salt])
            base = ndimage.gaussian_filter(rng.standard_normal((n, n)), scale / cell / 2, mode="wrap")
            base = ((base - base.mean()) / base.std()).astype(np.float32)
            fy, iy = np.modf(np.mod(self.y / cell, n))
            fx, ix = np.modf(np.mod(self.x / cell, n))
            fy, fx = fy[:, None].astype(np.float32), fx[None].astype(np.float32)
            iy, ix = iy.astype(int), ix.astype(int)
            rows = base[iy] * (1 - fy) + base[(iy + 1) % n] * fy
            self._noise[scale, salt] = rows[:, ix] * (1 - fx) + rows[:, (ix + 1) % n] * fx
        return self._noise[scale, salt][win]

    def frame(self, cx: float, cy: float, angle: float, half_u: float, half_v: float):
        """Compute the window around a rotated rectangle and its local coordinates (u along, v across)."""
        c, s = math.cos(angle), math.sin(angle)
        ex, ey = half_u * abs(c) + half_v * abs(s), half_u * abs(s) + half_v * abs(c)
        rows = slice(*np.clip(self._index(cy - ey, cy + ey, self.y0), 0, self.shape[0]))
        cols = slice(*np.clip(self._index(cx - ex, cx + ex, self.x0), 0, self.shape[1]))
        dx, dy = self.x[cols][None] - cx, self.y[rows][:, None] - cy
        return (rows, cols), dx * c + dy * s, dy * c - dx * s

    def _index(self, low: float, high: float, origin: float) -> tuple[int, int]:
        return math.floor((low - origin) / self.gsd), math.ceil((high - origin) / self.gsd) + 1

    def paint(self, win, mask, colour=None, z=None, cls=None) -> None:
        for layer, value in ((self.refl, colour), (self.z, z), (self.cls, cls)):
            if value is not None:
                value = np.asarray(value, layer.dtype)
                layer[win][mask] = value[mask] if value.ndim >= 2 else value

    def is_free(self, cx, cy, angle, half_u, half_v, classes=(LOW_VEGETATION,)) -> bool:
        """Return whether the rectangle is on the canvas and has pixels of `classes` only."""
        win, u, v = self.frame(cx, cy, angle, half_u, half_v)
        inside = (np.abs(u) < half_u) & (np.abs(v) < half_v)
        return inside.any() and bool(np.isin(self.cls[win][inside], classes).all())

    def cast(self, sensor: Sensor) -> np.ndarray:
        """Compute the height below which a pixel is in shadow.

        The height field is sheared so that the sun shines along one axis; the shadow is then a running maximum.
        """
        dx, dy = sensor.towards_sun()
        z = self.z
        sideways = abs(dx) > abs(dy)
        if sideways:
            z, dx, dy = z.T, dy, dx
        if dy > 0:  # let row 0 be on the sun's side
            z = z[::-1]
        n, m = z.shape
        drop = np.float32(math.hypot(1, dx / dy) * self.gsd * math.tan(math.radians(sensor.elevation)))
        k = np.arange(n, dtype=np.int32)[:, None]
        shift = np.rint(k * (dx / abs(dy))).astype(np.int32)
        low, high = shift.min(), shift.max()
        source = np.arange(low, m + high, dtype=np.int32)[None] - shift
        ray = np.where((source >= 0) & (source < m), np.take_along_axis(z, source.clip(0, m - 1), 1), -99)
        ray = np.maximum.accumulate(ray + k * drop, axis=0) - k * drop
        top = np.take_along_axis(ray, np.arange(m, dtype=np.int32)[None] + shift - low, 1)
        top = top[::-1] if dy > 0 else top
        return (top.T if sideways else top).astype(np.float32)

    def radiance(self, sensor: Sensor, crown_height: float, twig_colour) -> np.ndarray:
        """Compute sunlight on the slopes of the height field, plus sky light that fills the shadows."""
        dx, dy = sensor.towards_sun()
        e = math.radians(sensor.elevation)
        gy, gx = np.gradient(self.z, self.gsd)
        steep = np.hypot(gx, gy)
        # Walls are not slopes (they are invisible in an orthophoto); crowns are bounded, but stay bumpy.
        keep = np.where(self.cls == TREE, 1 / np.sqrt(1 + steep**2 / 3), steep < 2.5)
        gx, gy = gx * keep, gy * keep
        cosine = (math.sin(e) - math.cos(e) * (gx * dx + gy * dy)) / np.sqrt(1 + gx**2 + gy**2)
        lit = 1 - np.clip((self.cast(sensor) - self.z) / 0.35, 0, 1)
        lit = ndimage.gaussian_filter(lit, 0.06 / self.gsd)
        far = crown_height / math.tan(e) / self.gsd
        veil = ndimage.shift(self.twig, (-dy * far, -dx * far), order=1, mode="reflect")
        veil = 0.8 * np.where(self.z < 2.5, ndimage.gaussian_filter(veil, 1.2), 0)
        # Walls hide part of the sky.
        coarse = ndimage.zoom(ndimage.gaussian_filter(self.z[::4, ::4], 1.2 / self.gsd / 4), 4, order=1)
        pad = [(0, max(0, n - m)) for n, m in zip(self.shape, coarse.shape, strict=True)]
        coarse = np.pad(coarse, pad, "edge")[: self.shape[0], : self.shape[1]]
        open_sky = 1 - 0.55 * np.clip((coarse - self.z) / 5, 0, 1)
        fill = open_sky[..., None] * np.float32(sensor.sky)
        direct = (np.clip(cosine, 0, None) / math.sin(e) * lit * (1 - veil))[..., None] * np.float32(sensor.sun)
        ground = self.refl * (direct + fill)
        # Twigs are above their own shadow.
        twigs = np.float32(twig_colour) * (1 + 0.15 * self.noise(0.3))[..., None]
        twigs = twigs * (lit[..., None] * np.float32(sensor.sun) + fill)
        return ground + self.twig[..., None] * (twigs - ground)


def expose(radiance: np.ndarray, sensor: Sensor, rng: np.random.Generator) -> np.ndarray:
    """Convert radiance to grey values: haze, gain, gamma, lens blur, vignetting, noise."""
    rows, cols = radiance.shape[:2]
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : cols * 1j]
    falloff = 1 - sensor.vignette * (x**2 + y**2) / 2
    out = np.empty(radiance.shape, np.uint8)
    grain = ndimage.gaussian_filter(rng.standard_normal((rows, cols)), 0.5)
    for band in range(4):
        level = ndimage.gaussian_filter(radiance[..., band], sensor.blur) * sensor.gain[band] * falloff
        level = np.clip(level + sensor.haze[band], 0, None)
        # A soft shoulder preserves the texture of bright roofs and cars.
        level = np.where(level > 0.7, 0.7 + 0.3 * (1 - np.exp(-(level - 0.7) / 0.3)), level)
        grey = 255 * level ** (1 / sensor.gamma)
        band_grain = ndimage.gaussian_filter(rng.standard_normal((rows, cols)), 0.5)
        out[..., band] = np.clip(grey + sensor.noise * (grain + band_grain), 0, 255).round()
    return out


def erode_boundaries(cls: np.ndarray) -> np.ndarray:
    """Set the 3 px wide seams between classes to BOUNDARY."""
    seam = ndimage.maximum_filter(cls, 4) != ndimage.minimum_filter(cls, 4)
    return np.where(seam, np.uint8(BOUNDARY), cls)
