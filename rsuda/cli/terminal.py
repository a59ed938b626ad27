"""Print the progress, tables and sentences of the commands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rsuda.core.display import printable
from rsuda.core.progress_lines import PercentLines


class PixelBar:
    """Progress bar in pixels a second, a new one for each scene; or lines, for a program that reads them."""

    def __init__(self, visible: bool) -> None:
        self.visible, self.bar, self.last = visible, None, 0
        self.lines = PercentLines()

    bar: Any

    def __call__(self, scene: Any, done: int, total: int) -> None:
        self.lines.show(done, total)
        if not self.visible:
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


class Notes:
    """Print the notes of several scenes: a note that differs by its scene alone is printed once, with their number at the end."""

    def __init__(self) -> None:
        self.first: dict[str, str] = {}
        self.more: Counter[str] = Counter()

    def show(self, notes: Sequence[str], scene: object) -> None:
        """Print the notes of a scene that no earlier scene has."""
        name = re.escape(str(scene).rpartition("/")[2].rpartition(".")[0])
        for note in notes:
            kind = re.sub(rf"(?<![^\W_]){name}(?![^\W_])", "", note.replace(str(scene), ""))
            if kind in self.first:
                self.more[kind] += 1
            else:
                self.first[kind] = note
                print(f"note: {printable(note)}")

    def close(self) -> None:
        """Say how many further scenes have each note."""
        for kind, count in self.more.items():
            print(f"note: {count} more scene{'s' * (count > 1)} like this: {printable(self.first[kind])}")


def make_table(*columns: str, right: int = 0) -> Any:
    """Make a table without a frame, whose last ``right`` columns hold numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place >= len(columns) - right else "left", overflow="fold")
    return table


def print_notes(notes: Sequence[str]) -> None:
    """Print notes to the user, a line each."""
    for note in notes:
        print(f"note: {printable(note)}")


def print_table(table: Any) -> None:
    """Print a table of ``make_table``; nothing in its texts counts as markup."""
    from rich.console import Console

    Console(markup=False, highlight=False, emoji=False).print(table)


def print_map(result: Any, notes: Notes) -> None:
    """Print a finished map: notes, files, speed and class shares."""
    notes.show(result.notes, result.scene)
    name = printable(str(result.scene).rpartition("/")[2])
    if result.skipped:
        print(f"{name}: finished before, {printable(result.raster)} is kept (--overwrite predicts it again)")
        return
    total = sum(result.area_m2.values())
    shares = ", ".join(f"{name} {area / total:.0%}" for name, area in result.area_m2.items() if area)
    polygons = f" and {printable(result.polygons.name)} ({_polygons(result.polygon_count)})" if result.polygons else ""
    speed = f"{result.pixels / 1e6 / max(result.seconds, 1e-9):.2f} Mpx/s"
    print(f"{name}: wrote {printable(result.raster)}{polygons} in {result.seconds:.1f} s ({speed}): {shares}")


def _polygons(count: int) -> str:
    return f"{count} polygon{'s' * (count != 1)}"


def print_polygons(result: Any) -> None:
    """Print the polygons of a class raster: notes, files, seconds and class shares."""
    print_notes(result.notes)
    total = sum(result.area_m2.values()) or 1.0
    shares = ", ".join(f"{printable(name)} {area / total:.0%}" for name, area in result.area_m2.items() if area)
    footprints = f" and {printable(result.footprints.name)}" if result.footprints else ""
    print(
        f"wrote {printable(result.polygons)} ({_polygons(result.count)}){footprints} in {result.seconds:.1f} s: {shares}"
    )


def print_scores(result: Any, run: Any) -> None:
    """Print an Evaluation, and the name of its file in the run folder."""
    what = f"{result.tiles} tiles" if result.tiles else f"{result.scenes} whole scenes"
    print(f"\n{result.domain}, split {result.split}, {what}, percent:")
    print(score_table(result.scores.as_fields()))
    print(means_line("all classes", result.scores))
    if result.without_clutter is not None:
        print(means_line(f"without {', '.join(result.without_clutter.left_out)}", result.without_clutter))
    if result.reliability is not None:
        print(reliability_line(result.reliability))
    if result.off_palette:
        print(f"{result.off_palette} label pixels were outside the legend and ignored")
    for note in result.notes:
        print(f"note: {note}")
    print(f"Scores with the confusion matrix: {run}/{result.stem}.json and {result.stem}.csv")


def print_label_free(result: Any, run: Any) -> None:
    """Print the scores without labels, and the name of their file in the run folder."""
    print(
        f"Score without labels: {result.selection:.3f}, the mean of agreement {result.agreement:.3f} and information "
        f"{result.information:.3f} (of several runs on the same pair, choose the highest): {run}/label_free.json"
    )


def score_table(fields: dict[str, Any]) -> str:
    """Format the scores of the classes in percent."""
    width = max(map(len, ["class", *fields["classes"]]))
    lines = [f"{'class':{width}}  {'IoU':>6} {'prec.':>6} {'recall':>6} {'F1':>6} {'pixels':>11}"]
    for name, value in fields["classes"].items():
        cells = " ".join(
            f"{100 * value[k]:6.1f}" if value[k] is not None else "     -" for k in ("iou", "precision", "recall", "f1")
        )
        lines.append(f"{name:{width}}  {cells} {value['pixels']:11d}")
    return "\n".join(lines)


def means_line(what: str, scores: Any) -> str:
    """Format the means over the classes in percent."""
    means = (("mIoU", scores.miou), ("mF", scores.mf1), ("OA", scores.accuracy), ("kappa", scores.kappa))
    return f"{what}: " + "  ".join(f"{name} {100 * mean:.2f}" for name, mean in means)


def reliability_line(reliability: Any) -> str:
    """Format how far confidence is from accuracy."""
    error, confidence, accuracy = (100 * getattr(reliability, k) for k in ("ece", "confidence", "accuracy"))
    return f"confidence: mean {confidence:.2f}  accuracy {accuracy:.2f}  calibration error (ECE) {error:.2f}"


def print_calibration(result: Any) -> None:
    """Print a Calibration: the temperature, what it is fitted on, and the calibration before and after."""
    from rsuda.evaluation.calibrate import CALIBRATION, limit_note, sharp_note, worse_note

    numbers = ", ".join(f"{number:.3g}" for number in result.temperature)
    classes = f" (of their own: {', '.join(result.classes)})" if result.classes else ""
    if result.bias:
        numbers = f"{numbers} and bias {', '.join(f'{number:.3g}' for number in result.bias)}"
    labels = f"{result.pixels} labelled pixels in {result.groups} places: {result.fitted_on}"
    if result.is_none:
        reason = "" if result.too_sharp else ": no scaling is clearly better on other places"
        print(f"Temperature 1{reason}. Fitted on {labels}")
    else:
        print(f"Temperature {numbers}{classes}, fitted on {labels}")
    print(
        "Measured on places that were not fitted:" if result.held_out else "Measured on the fitted pixels themselves:"
    )
    for name, part in (("before", result.before), ("after", result.after)):
        print(
            f"  {name:6}  {reliability_line(part)}  by class {100 * part.class_ece:.2f}  log loss {part.log_loss:.3f}"
        )
    notes = (limit_note(result.temperature, result.bias), worse_note(result), sharp_note(result))
    for note in filter(None, notes):
        print(f"note: {note}")
    estimate = result.estimate
    if estimate is not None:
        print(
            f"Without labels of the target, its accuracy is estimated as {100 * estimate.confidence:.0f} % by mean confidence "
            f"and {100 * estimate.atc:.0f} % by average thresholded confidence (ATC); "
            f"the source's is {100 * estimate.source_accuracy:.0f} %."
        )
        print(
            "note: temperature and estimates are the source's: under shift a model stays too sure, and both estimates are too "
            "high; a few labels of the target are better (rsuda calibrate --labels)"
        )
    change = "may get other" if result.bias else "keep their"
    print(f"Written into the weights and {printable(result.run)}/{CALIBRATION}; maps {change} classes")


def print_facts(facts: dict[str, Any], indent: int = 0) -> None:
    """Print nested facts, a line each; a value that is None or empty is left out."""
    for key, value in facts.items():
        if value is None or (isinstance(value, (str, list, tuple, dict)) and not value):
            continue
        head = f"{' ' * indent}{printable(key)}:"
        if key == "gsd" and isinstance(value, list):
            value = _metres(value)
        if isinstance(value, dict) and not all(_plain(entry) for entry in value.values()):
            print(head)
            print_facts(value, indent + 2)
        elif isinstance(value, list) and (isinstance(value[0], dict) or any(len(str(entry)) > 60 for entry in value)):
            print(head)
            for entry in value:
                print(f"{' ' * indent}  - {_line(entry)}")
        else:
            print(head, _line(value))


def _metres(sizes: list[float]) -> float | str:
    """Format the two values of a GSD: both sides of a pixel, or the smallest and the largest of several scenes."""
    return sizes[0] if sizes[0] == sizes[-1] else f"{sizes[0]:g} to {sizes[-1]:g}"


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float))


def _line(value: Any) -> str:
    if isinstance(value, dict):
        pairs = ((key, entry) for key, entry in value.items() if entry is not None and entry != "")
        return ", ".join(f"{printable(key)} {_line(entry)}" for key, entry in pairs)
    if isinstance(value, (list, tuple)):
        return ", ".join(_line(entry) for entry in value)
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) >= 10_000 else f"{value:.6g}"  # world coordinates
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else printable(value)


def suggestion_table(result: list[Any], domain: Any, spec: Any) -> str:
    """Format suggested windows: rank, scene, row and column, centre, uncertainty, and the main predicted classes."""
    width = max(len("scene"), *(len(item.scene) for item in result))
    lines = [f"{'rank':>4}  {'scene':{width}}  {'row':>6} {'col':>6}  {'centre':24} {'uncertainty':>11}  predicted"]
    for item in result:
        scene = domain.scenes[item.scene]
        x, y = scene.grid_at(spec.gsd).world(item.row + item.size / 2, item.col + item.size / 2)
        centre = f"{x:.1f}, {y:.1f}" if scene.grid.georeferenced else "-"
        main = sorted(item.classes.items(), key=lambda item: -item[1])[:3]
        shares = ", ".join(f"{name} {value:.0%}" for name, value in main if value >= 0.05)
        lines.append(
            f"{item.rank:4d}  {item.scene:{width}}  {item.row:6d} {item.col:6d}  {centre:24} {item.uncertainty:11.3f}  {shares}"
        )
    return "\n".join(lines)


def print_comparison(run: Any) -> None:
    """Print what a person compares at the end of a run: before, after, and known scores; percent of mIoU.

    The column *without labels* has the selection score of ``label_free.json``, 0 to 1.
    """
    from rich.console import Console

    step = run.settings.training.steps
    miou = run.scores.scores.miou if run.scores else None
    rows = [(f"before ({run.before.what})", run.before.miou, run.before.selection)] if run.before else []
    rows.append((f"after (step {step})", miou, run.label_free.selection))
    rows += [(f"{reference.what} (measured)", reference.miou, None) for reference in run.references]
    if len(rows) == 1:
        return
    table = make_table("", *(["mIoU"] if run.scores else []), "without labels", right=1 + bool(run.scores))
    for name, score, selection in rows:
        scores = ["-" if score is None else f"{100 * score:.1f}"] if run.scores else []
        table.add_row(name, *scores, "-" if selection is None else f"{selection:.3f}")
    Console(markup=False, highlight=False, emoji=False, width=110).print(table)
    if run.before and not run.scores and run.label_free.selection < run.before.selection:
        print(
            "note: the score without labels fell, so adapting may not have helped: look at preview.png, or train longer (--steps)"
        )
