"""What commands show in the terminal: progress, tables, sentences."""

from __future__ import annotations

from typing import Any


class Bar:
    """A progress bar in pixels a second, made anew for each scene."""

    def __init__(self, shown: bool) -> None:
        self.shown, self.bar, self.last = shown, None, 0

    bar: Any

    def __call__(self, scene: Any, done: int, total: int) -> None:
        if not self.shown:
            return
        if self.bar is None:
            from tqdm import tqdm

            self.last = 0
            self.bar = tqdm(total=total, unit="px", unit_scale=True, desc=str(scene).rpartition("/")[2], leave=False)
        self.bar.update(done - self.last)
        self.last = done

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
        self.bar = None


def tell(done: Any) -> None:
    for note in done.notes:
        print(f"note: {note}")
    name = str(done.scene).rpartition("/")[2]
    if done.skipped:
        print(f"{name}: finished before, {done.raster} is kept (--overwrite makes it anew)")
        return
    total = sum(done.area_m2.values())
    shares = ", ".join(f"{n} {a / total:.0%}" for n, a in done.area_m2.items() if a)
    polygons = f" and {done.polygons.name} ({done.polygon_count} polygons)" if done.polygons else ""
    speed = f"{done.pixels / 1e6 / max(done.seconds, 1e-9):.2f} Mpx/s"
    print(f"{name}: wrote {done.raster}{polygons} in {done.seconds:.1f} s ({speed}): {shares}")


def score_table(fields: dict[str, Any]) -> str:
    width = max(len(n) for n in fields["classes"])
    lines = [f"{'class':{width}}  {'IoU':>6} {'prec.':>6} {'recall':>6} {'F1':>6} {'pixels':>11}"]
    for name, v in fields["classes"].items():
        cells = " ".join(
            f"{100 * v[k]:6.1f}" if v[k] is not None else "     -" for k in ("iou", "precision", "recall", "f1")
        )
        lines.append(f"{name:{width}}  {cells} {v['pixels']:11d}")
    return "\n".join(lines)


def means_line(what: str, s: Any) -> str:
    return (
        f"{what}: mIoU {100 * s.miou:.2f}  mF {100 * s.mf1:.2f}  OA {100 * s.accuracy:.2f}  kappa {100 * s.kappa:.2f}"
    )


def suggestion_table(found: list[Any], domain: Any, spec: Any) -> str:
    """Rank, scene, place, uncertainty and main predicted classes of suggested windows; the place is the centre's."""
    width = max(len("scene"), *(len(s.scene) for s in found))
    lines = [f"{'rank':>4}  {'scene':{width}}  {'row':>6} {'col':>6}  {'centre':24} {'uncertainty':>11}  predicted"]
    for s in found:
        scene = domain.scenes[s.scene]
        x, y = scene.grid_at(spec.gsd).world(s.row + s.size / 2, s.col + s.size / 2)
        centre = f"{x:.1f}, {y:.1f}" if scene.grid.georeferenced else "-"
        main = sorted(s.classes.items(), key=lambda item: -item[1])[:3]
        seen = ", ".join(f"{n} {v:.0%}" for n, v in main if v >= 0.05)
        lines.append(
            f"{s.rank:4d}  {s.scene:{width}}  {s.row:6d} {s.col:6d}  {centre:24} {s.uncertainty:11.3f}  {seen}"
        )
    return "\n".join(lines)
