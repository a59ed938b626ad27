"""rsuda evaluate, and what adapt says of a run at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rsuda.cli.app import app, log


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    domain: Annotated[str | None, typer.Option(help="Domain to score on; the run's target by default.")] = None,
    split: Annotated[str, typer.Option(help="Labelled split.")] = "val",
    protocol: Annotated[
        str, typer.Option(help="scenes (each pixel once) or st-dasegnet (the paper's 512-px tiles).")
    ] = "scenes",
    data: Annotated[
        Path | None, typer.Option(envvar="RSUDA_DATA", help="Folder of the data; the run's by default.")
    ] = None,
    bands: Annotated[str | None, typer.Option(help="Band order to use where the domain has several.")] = None,
    tile_size: Annotated[int, typer.Option(help="Window of prediction in pixels.")] = 512,
    overlap: Annotated[int, typer.Option(help="Overlap of windows in pixels.")] = 128,
    precision: Annotated[str, typer.Option(help="auto, bf16 or fp32.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Score a run: per-class IoU, precision, recall, F1, their means, accuracy, kappa, confusion matrix."""
    from rsuda.domains import domain as find
    from rsuda.run import saved_settings

    log()
    s = saved_settings(run)
    found = find(domain or s.target, data or s.data, bands or (s.target_bands if domain in (None, s.target) else None))
    score(run, found, split, protocol, device, precision, tile_size, overlap)


def score(
    run: Path,
    domain: Any,
    split: str,
    protocol: str,
    device: str,
    precision: str,
    window: int = 512,
    overlap: int = 128,
) -> None:
    from rsuda.engine import Engine
    from rsuda.run import load_run
    from rsuda.screen import means_line, score_table
    from rsuda.verbs.evaluate import evaluate as measure
    from rsuda.verbs.evaluate import write_scores

    found = measure(Engine.of(load_run(run), device, precision, window, overlap), domain, split, protocol)
    json_file, csv_file = write_scores(found, run)
    what = f"{found.tiles} tiles" if found.tiles else f"{found.scenes} whole scenes"
    print(f"\n{domain.name}, split {split}, {what}, percent:")
    print(score_table(found.scores.as_fields()))
    print(means_line("all classes", found.scores))
    if found.without_clutter is not None:
        print(means_line(f"without {domain.clutter}", found.without_clutter))
    if found.off_palette:
        print(f"{found.off_palette} label pixels were outside the legend and ignored")
    print(f"Scores with the confusion matrix: {json_file} and {csv_file.name}")


def score_label_free(run: Path, domain: Any, split: str, device: str, precision: str) -> None:
    from rsuda.engine import Engine
    from rsuda.label_free import label_free, write_label_free
    from rsuda.run import load_run

    found = label_free(Engine.of(load_run(run), device, precision), domain, split)
    file = write_label_free(found, run)
    print(
        f"Without labels: information {found.information:.3f} (the higher of two runs on the same pair is likely the better "
        f"one), certainty {found.certainty:.3f}, agreement {found.agreement:.3f}: {file}"
    )
