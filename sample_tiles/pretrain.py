"""Pretrain the small encoder of preset 'sample' on drawn cities that are neither of the two sample cities.

python sample_tiles/pretrain.py [--out FILE] [--tiles N] [--steps N]

Each tile is a city of its own: its own seed and plan, a palette with changed colours, a sun and a camera drawn at random, and
a GSD between 6 and 12 cm. Patches have the bands IR, R, G or R, G, B. No sample tile is read.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent))

import garden_town
import grid_city
from scene import BOUNDARY, Scene, Sensor, erode_boundaries, expose

from rsuda.core.spec import IMAGENET_MEAN, IMAGENET_STD
from rsuda.learning.network import Architecture, Network

ENCODER = "tu-lcnet_100"
FIRST_SEED = 700_000  # the sample cities have seeds 33 and 3201 to 3215
SIDE = 640  # pixels of a drawn tile
RIM = 100  # of canvas around it, so that objects outside cast their shadows into it
PATCH, BATCH, LR = 160, 12, 3e-3
THEMES = ("site", "rail", "brook", "court")


def draw_tile(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a tile of a city of its own: image (H, W, 4: IR, R, G, B; uint8) and class index (H, W; uint8)."""
    seed = FIRST_SEED + number
    rng = np.random.default_rng(seed)
    gsd = rng.uniform(0.06, 0.12)
    size = SIDE * gsd
    side = SIDE + 2 * RIM
    if number % 2:
        scene = Scene(*(rng.uniform(-60, 240, 2) - RIM * gsd), side, side, gsd, seed)
        grid_city.TILT = rng.uniform(-0.6, 0.6)
        grid_city.draw(scene)
    else:
        scene = Scene(-RIM * gsd, -RIM * gsd, side, side, gsd, seed)
        garden_town.AREAS["drawn"] = random_plan(rng)
        garden_town.draw(scene, "drawn", size, size)
    repaint(scene, rng)
    sensor = random_sensor(rng)
    inner = slice(RIM, RIM + SIDE), slice(RIM, RIM + SIDE)
    light = scene.radiance(sensor, 6.0, grid_city.TWIGS)[inner]
    return expose(light, sensor, rng), erode_boundaries(scene.cls)[inner]


def random_plan(rng: np.random.Generator) -> tuple:
    """Draw way points of a main street, a side street from its middle, and a theme, as in ``garden_town.AREAS``."""
    main = [(x, rng.uniform(0.3, 0.7)) for x in (-0.1, 0.3, 0.7, 1.1)]
    end = rng.choice((-0.1, 1.1))
    side = [(rng.uniform(0.3, 0.7), 0.5), (rng.uniform(0.3, 0.7), (0.5 + end) / 2), (rng.uniform(0.2, 0.8), end)]
    return tuple(main), tuple(side), THEMES[rng.integers(len(THEMES))]


def repaint(scene: Scene, rng: np.random.Generator) -> None:
    """Change the colours of each class, and of the whole city, by random factors of the bands."""
    factors = np.exp(rng.normal(0, 0.12, (6, 4)) + rng.normal(0, 0.1, 4)).astype(np.float32)
    scene.refl = (scene.refl * factors[scene.cls]).clip(0, 0.9)


def random_sensor(rng: np.random.Generator) -> Sensor:
    """Draw a position of the sun and the response of a camera."""
    return Sensor(
        azimuth=rng.uniform(100, 260), elevation=rng.uniform(28, 62),
        sun=tuple(rng.uniform(0.85, 1.05, 4)), sky=tuple(rng.uniform(0.12, 0.32, 4)),
        gain=tuple(rng.uniform(0.8, 1.35, 4)), haze=tuple(rng.uniform(0, 0.05, 4)), gamma=rng.uniform(1.35, 1.9),
        blur=rng.uniform(0.55, 1.0), noise=rng.uniform(1.2, 2.6), vignette=rng.uniform(0, 0.1),
    )  # fmt: skip


def draw_batch(
    images: torch.Tensor, labels: torch.Tensor, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw patches (B, 3, H, W), flipped, turned and standardised by ImageNet's or their tile's statistics, and their labels."""
    patches, classes = [], []
    for tile in rng.integers(len(images), size=BATCH):
        row, col = rng.integers(SIDE - PATCH, size=2)
        window = slice(row, row + PATCH), slice(col, col + PATCH)
        first = int(rng.random() < 0.25)
        image = images[tile][first : first + 3].float() / 255
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        if rng.random() < 0.5:
            std, mean = torch.std_mean(image[:, ::8, ::8], (1, 2), keepdim=True)
        patch, label = ((image[:, *window] - mean) / std), labels[tile][window]
        patch = patch * float(np.exp(rng.normal(0, 0.15))) + float(rng.normal(0, 0.15))
        turns, flip = int(rng.integers(4)), bool(rng.integers(2))
        for pixels, chosen in ((patch, patches), (label.long(), classes)):
            turned = torch.rot90(pixels, turns, (-2, -1))
            chosen.append(turned.flip(-1) if flip else turned)
    return torch.stack(patches).contiguous(memory_format=torch.channels_last), torch.stack(classes)


def pretrain(images: torch.Tensor, labels: torch.Tensor, steps: int) -> Network:
    """Train a network on segmentation of drawn tiles."""
    torch.manual_seed(0)
    rng = np.random.default_rng(FIRST_SEED)
    network = Network(Architecture(ENCODER, "segformer", classes=6, channels=64)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), LR, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps, pct_start=0.1)
    begin, mean = time.monotonic(), 0.0
    for step in range(1, steps + 1):
        patch, label = draw_batch(images, labels, rng)
        loss = F.cross_entropy(network(patch).logits, label, ignore_index=BOUNDARY)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        mean = loss.item() if step == 1 else 0.98 * mean + 0.02 * loss.item()
        if step % 100 == 0:
            print(f"step {step} of {steps}: loss {mean:.3f}, {time.monotonic() - begin:.0f} s", flush=True)
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "encoder.safetensors")
    parser.add_argument("--tiles", type=int, default=48)
    parser.add_argument("--steps", type=int, default=2600)
    args = parser.parse_args()
    tiles = [draw_tile(number) for number in range(args.tiles)]
    print(f"drew {len(tiles)} tiles", flush=True)
    images = torch.from_numpy(np.stack([image.transpose(2, 0, 1) for image, _ in tiles]))
    labels = torch.from_numpy(np.stack([label for _, label in tiles]))
    network = pretrain(images, labels, args.steps)
    tensors = {
        name: tensor.half() for name, tensor in network.encoder.state_dict().items() if tensor.is_floating_point()
    }
    counts = {name: tensor for name, tensor in network.encoder.state_dict().items() if not tensor.is_floating_point()}
    save_file({name: tensor.contiguous() for name, tensor in {**tensors, **counts}.items()}, args.out)
    print(f"wrote {args.out}, {args.out.stat().st_size / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    main()
