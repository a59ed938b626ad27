"""What commands show in the terminal: progress, tables, sentences."""

from __future__ import annotations

from typing import Any

from rsuda.core.display import printable


class PixelBar:
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
        print(f"note: {printable(note)}")
    name = printable(str(done.scene).rpartition("/")[2])
    if done.skipped:
        print(f"{name}: finished before, {printable(done.raster)} is kept (--overwrite makes it anew)")
        return
    total = sum(done.area_m2.values())
    shares = ", ".join(f"{n} {a / total:.0%}" for n, a in done.area_m2.items() if a)
    polygons = f" and {printable(done.polygons.name)} ({done.polygon_count} polygons)" if done.polygons else ""
    speed = f"{done.pixels / 1e6 / max(done.seconds, 1e-9):.2f} Mpx/s"
    print(f"{name}: wrote {printable(done.raster)}{polygons} in {done.seconds:.1f} s ({speed}): {shares}")


def tell_scores(found: Any, run: Any) -> None:
    """An Evaluation, and where in the run folder it lies."""
    what = f"{found.tiles} tiles" if found.tiles else f"{found.scenes} whole scenes"
    print(f"\n{found.domain}, split {found.split}, {what}, percent:")
    print(score_table(found.scores.as_fields()))
    print(means_line("all classes", found.scores))
    if found.without_clutter is not None:
        print(means_line(f"without {', '.join(found.without_clutter.left_out)}", found.without_clutter))
    if found.off_palette:
        print(f"{found.off_palette} label pixels were outside the legend and ignored")
    print(f"Scores with the confusion matrix: {run}/{found.stem}.json and {found.stem}.csv")


def tell_label_free(found: Any, run: Any) -> None:
    """Scores without labels, and where in the run folder they lie."""
    print(
        f"Without labels: information {found.information:.3f} (the higher of two runs on the same pair is likely the better "
        f"one), certainty {found.certainty:.3f}, agreement {found.agreement:.3f}: {run}/label_free.json"
    )


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


def print_facts(facts: dict[str, Any], indent: int = 0) -> None:
    """Nested facts, a line each; what is None or empty is left out."""
    for key, value in facts.items():
        if value is None or (isinstance(value, (list, dict)) and not value):
            continue
        head = f"{' ' * indent}{printable(key)}:"
        if isinstance(value, dict) and not all(_plain(v) for v in value.values()):
            print(head)
            print_facts(value, indent + 2)
        elif isinstance(value, list) and (isinstance(value[0], dict) or any(len(str(v)) > 60 for v in value)):
            print(head)
            for entry in value:
                print(f"{' ' * indent}  - {_line(entry)}")
        else:
            print(head, _line(value))


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float))


def _line(value: Any) -> str:
    if isinstance(value, dict):
        told = ((k, v) for k, v in value.items() if v is not None)
        return ", ".join(f"{printable(k)} {_line(v)}" for k, v in told)
    if isinstance(value, (list, tuple)):
        return ", ".join(_line(v) for v in value)
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) >= 10_000 else f"{value:.6g}"  # world coordinates
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else printable(value)


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
