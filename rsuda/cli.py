"""The command line: names -> verbs. Heavy imports stay inside the commands, so that --help answers at once."""

from __future__ import annotations

import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from rsuda import __version__
from rsuda.errors import InputError, MissingError, RsudaError

app = typer.Typer(
    no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Segmentation of aerial and satellite imagery with unsupervised domain adaptation.",
)  # fmt: skip

SAMPLE_DOMAINS = ("potsdam", "vaihingen")


def main() -> None:
    """Entry point. What a user can fix is one sentence on stderr and exit code 2; a bug keeps its traceback."""
    try:
        app(standalone_mode=True)
    except RsudaError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _version(asked: bool) -> None:
    if asked:
        print(f"rsuda {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def adapt(
    source: Annotated[str | None, typer.Option(help="Labelled domain: a known name or a domain file.")] = None,
    target: Annotated[
        str | None, typer.Option(help="Domain to adapt to: name, domain file, folder or glob of rasters.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="st-dasegnet by default; rsuda methods lists all.")] = None,
    data: Annotated[Path | None, typer.Option(envvar="RSUDA_DATA", help="Folder of the data of both domains.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run folder; runs/<pair>_<method> by default.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of options; flags override it.")] = None,
    preset: Annotated[str | None, typer.Option(help="small, paper, mit-b0, mit-b5, resnet50.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Patches of each domain in a step.")] = None,
    crop: Annotated[int | None, typer.Option(help="Patch size in pixels, a multiple of 32.")] = None,
    gsd: Annotated[
        str | None, typer.Option(help="Common metres per pixel (the target's by default), or 'native'.")
    ] = None,
    source_bands: Annotated[str | None, typer.Option(help="Band order of the source, e.g. RGB or IRRG.")] = None,
    target_bands: Annotated[str | None, typer.Option(help="Band order of the target.")] = None,
    weights: Annotated[str | None, typer.Option(help="Encoder weights: imagenet, none or a file.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, patches and augmentation.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, bf16 or fp32.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that read patches.")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--set", help="option=value of the method; may be repeated.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing run.")] = False,
    resume: Annotated[bool, typer.Option(help="Go on with the run in --out (or the newest checkpoint).")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Train on a labelled source and an unlabelled target, and leave a run folder."""
    from rsuda.config import parse_option, settings

    _log()
    given: dict[str, Any] = {
        "source": source, "target": target, "method": method, "preset": preset, "steps": steps, "batch_size": batch_size,
        "crop": crop, "gsd": gsd, "source_bands": source_bands, "target_bands": target_bands, "weights": weights,
        "seed": seed, "precision": precision, "device": device, "workers": workers,
        "data": str(data) if data else None, "options": dict(parse_option(o) for o in option or []),
    }  # fmt: skip
    if resume:
        folder = out or _newest_checkpoint()
        s = settings(folder / "config.yaml", **given)
        kept = settings(folder / "config.yaml")
        free = ("steps", "data", "device", "precision", "workers")
        changed = [f.name for f in fields(s) if f.name not in free and getattr(s, f.name) != getattr(kept, f.name)]
        if changed or config:
            raise InputError(
                f"--resume goes on with the options of {folder} and cannot change {', '.join(changed) or 'them by --config'} "
                f"(only {', '.join(free)})"
            )
    else:
        s = settings(config, **given)
        if not s.source or not s.target:
            raise InputError("--source and --target are needed, or a --config that names them")
        if s.data is None and {s.source, s.target} <= set(SAMPLE_DOMAINS):
            tiles = _sample_tiles()
            s = settings(config, **{**given, "data": str(tiles), "preset": preset or "sample"})
            print(
                f"No data folder is given: using the synthetic {tiles.name}/ and the small preset 'sample' "
                f"({s.steps} steps, a few minutes on 2 cores). For real imagery pass --data DIR."
            )
        folder = out or _free_folder(s.source, s.target, s.method)

    from rsuda.adapt import adapt as run
    from rsuda.adapt import domains_of

    run(s, folder, overwrite, resume, quiet or not sys.stderr.isatty())
    domain = domains_of(s)[1]
    _score_label_free(folder, domain, s.target_split, s.device, s.precision)
    if domain.has_labels(s.score_split):
        _score(folder, domain, s.score_split, "scenes", s.device, s.precision)
    else:
        print(f"{domain.name} has no labelled split '{s.score_split}', so nothing was scored.")
    print(f"Next: rsuda predict SCENE.tif --model {folder}")


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

    _log()
    s = saved_settings(run)
    found = find(domain or s.target, data or s.data, bands or (s.target_bands if domain in (None, s.target) else None))
    _score(run, found, split, protocol, device, precision, tile_size, overlap)


@app.command()
def predict(
    scenes: Annotated[
        list[str], typer.Argument(help="Rasters to map: files, or what GDAL can open (https://…, /vsi…).")
    ],
    model: Annotated[Path | None, typer.Option(help="Run folder; the newest in runs/ by default.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the outputs; beside each scene by default.")
    ] = None,
    format: Annotated[str, typer.Option(help="Polygons: gpkg, fgb, geojson, parquet or none.")] = "gpkg",
    min_area: Annotated[
        float, typer.Option(help="Square metres; smaller patches of the polygons join a neighbour.")
    ] = 0.0,
    simplify: Annotated[float, typer.Option(help="Metres by which borders are simplified, neighbours' alike.")] = 0.0,
    regularise: Annotated[
        list[str] | None,
        typer.Option(help="Class whose footprints are squared, in a file of their own; may be repeated."),
    ] = None,
    confidence: Annotated[
        bool, typer.Option("--confidence", help="Raster of the class's probability, 0 to 254.")
    ] = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Raster of the probabilities of all classes, 0 to 254.")
    ] = False,
    aoi: Annotated[Path | None, typer.Option(help="File of polygons: predict only what lies in them.")] = None,
    bounds: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(help="LEFT BOTTOM RIGHT TOP in the scene's CRS: predict only this rectangle."),
    ] = None,
    bands: Annotated[
        str | None, typer.Option(help="Band order of the scenes, where the files do not tell, e.g. RGBIR.")
    ] = None,
    gsd: Annotated[float | None, typer.Option(help="Metres per pixel of scenes without a georeference.")] = None,
    crs: Annotated[
        str | None, typer.Option(help="CRS of scenes that have a transform but none, e.g. EPSG:32632.")
    ] = None,
    tile_size: Annotated[int, typer.Option(help="Window in pixels of the network's GSD, a multiple of 32.")] = 512,
    overlap: Annotated[int, typer.Option(help="Overlap of windows in pixels.")] = 128,
    batch_size: Annotated[int, typer.Option(help="Windows at once.")] = 4,
    tta: Annotated[
        str, typer.Option(help="Mean over 'flips' (4 views) or 'all' flips and right-angle turns (8); none.")
    ] = "none",
    precision: Annotated[str, typer.Option(help="auto, bf16 or fp32.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    co: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE: creation option of GDAL's COG driver; may be repeated.")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Spread over a Dask cluster: tcp://HOST:PORT, or 'local' for --workers processes."),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes of --scheduler local.")] = 2,
    threads: Annotated[int | None, typer.Option(help="CPU threads of each process; all cores by default.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON per scene, for scripts.")] = False,
) -> None:
    """Write a class GeoTIFF and polygons for each scene.

    Scenes that an earlier run finished are skipped, and a scene that was broken off goes on where it stood.
    """
    import json

    from rsuda.predict import predict as run
    from rsuda.run import newest_run
    from rsuda.screen import Bar, tell

    _log()
    told = not (quiet or as_json)
    if model is None:
        model = newest_run()
        if told:
            print(f"Using the newest run, {model}")
    bar = Bar(told and sys.stderr.isatty())
    found = run(
        scenes, model, out, None if format == "none" else format, min_area=min_area, simplify=simplify,
        regularise=regularise or (), confidence=confidence, probabilities=probabilities, aoi=aoi, bounds=bounds, bands=bands,
        gsd=gsd, crs=crs, co=co or (), overwrite=overwrite, scheduler=scheduler, workers=workers, threads=threads, progress=bar,
        device=device, precision=precision, window=tile_size, overlap=overlap, batch_size=batch_size, tta=tta,
    )  # fmt: skip
    try:
        for done in found:
            bar.close()
            if as_json:
                print(json.dumps(done.as_fields()), flush=True)
            elif told:
                tell(done)
    except KeyboardInterrupt:
        bar.close()
        print("Interrupted: the same command goes on from the last finished band.", file=sys.stderr)
        raise typer.Exit(130) from None


@app.command()
def methods(
    name: Annotated[str | None, typer.Argument(help="One method, with what each of its options does.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
) -> None:
    """List the methods: paper, what each needs, options with defaults."""
    import json

    from rsuda.errors import unknown
    from rsuda.methods import METHODS, described

    if name is not None and name not in METHODS:
        raise unknown("method", name, METHODS)
    found = {n: described(n) for n in ([name] if name else METHODS)}
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for known, about in found.items():
        print(f"{known}: {about['paper']}")
        print(f"  in memory: {about['networks']}; a step costs about {about['cost']:.1f} times one of source-only")
        print(f"  crop: a multiple of {about['crop']} px; batch: 2 or more; {about['reads']}")
        for option, (default, what) in about["options"].items():
            print(f"  --set {option}={default}" + (f"\n      {what}" if name else ""))


@app.command()
def benchmark(
    file: Annotated[Path, typer.Argument(help="Benchmark file: pairs, methods, seeds.")],
    data: Annotated[Path | None, typer.Option(envvar="RSUDA_DATA", help="Folder of the data of all pairs.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for runs and table; runs/<name of the file> by default.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Encoder weights: imagenet, none or a file.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of every run, instead of the file's.")] = None,
    device: Annotated[
        list[str] | None, typer.Option(help="auto, cpu or cuda:N; repeat it to run one process on each.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file and list the runs; run nothing.")] = False,
) -> None:
    """Run methods x seeds x pairs, run by run; finished runs are kept. Writes table.md, table.csv and table.png."""
    from rsuda.benchmark import read_plan, run_plan
    from rsuda.benchmark_table import write_table

    _log()
    folder = out or Path("runs") / file.stem
    plan = read_plan(file, folder, data=str(data) if data else None, weights=weights, steps=steps)
    waiting = [j for j in plan.jobs if not j.done]
    print(f"{plan.name}: {len(plan.jobs)} runs, {len(plan.jobs) - len(waiting)} of them done")
    if dry_run:
        for job in waiting:
            print(f"  {job.pair} / {job.method} / seed {job.seed}: {job.settings.method}, {job.settings.steps} steps")
        return
    failed = 0
    for ended, (job, found) in enumerate(run_plan(plan, device or ["auto"]), 1):
        what = f"[{ended} of {len(waiting)}] {job.pair} / {job.method} / seed {job.seed}"
        if isinstance(found, str):
            failed += 1
            print(f"{what}: failed: {found}", flush=True)
        else:
            print(f"{what}: mIoU {100 * found['miou']:.2f}, {found['seconds_per_step']} s a step", flush=True)
        write_table(plan, folder)
    table, *_ = write_table(plan, folder)
    print(f"\n{table.read_text()}\nTable: {table}, also as .csv and .png")
    if failed:
        raise InputError(f"{failed} of {len(waiting)} runs failed; the sentences above say why")


def _score(
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
    from rsuda.evaluate import evaluate as score
    from rsuda.evaluate import write_scores
    from rsuda.run import load_run
    from rsuda.screen import means_line, score_table

    found = score(Engine.of(load_run(run), device, precision, window, overlap), domain, split, protocol)
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


def _score_label_free(run: Path, domain: Any, split: str, device: str, precision: str) -> None:
    from rsuda.engine import Engine
    from rsuda.label_free import label_free, write_label_free
    from rsuda.run import load_run

    found = label_free(Engine.of(load_run(run), device, precision), domain, split)
    file = write_label_free(found, run)
    print(
        f"Without labels: information {found.information:.3f} (the higher of two runs on the same pair is likely the better "
        f"one), certainty {found.certainty:.3f}, agreement {found.agreement:.3f}: {file}"
    )


def _sample_tiles() -> Path:
    """sample_tiles/ of the working folder, or of the checkout that rsuda is installed from."""
    for place in (Path("sample_tiles"), Path(__file__).parent.parent / "sample_tiles"):
        if (place / "potsdam").is_dir():
            return place
    raise MissingError(
        "no data folder is given, and sample_tiles/ is not here: pass --data DIR (or set RSUDA_DATA), or work in a "
        "checkout of rsuda"
    )


def _free_folder(source: str, target: str, method: str) -> Path:
    """runs/<source>_<target>_<method>, with a number if that exists."""
    names = [Path(n).stem or "target" for n in (source, target)]
    stem = Path("runs") / f"{names[0]}_{names[1]}_{method}"
    folder, number = stem, 2
    while folder.exists():
        folder, number = Path(f"{stem}_{number}"), number + 1
    return folder


def _newest_checkpoint() -> Path:
    found = sorted(Path("runs").glob("*/last.ckpt"), key=os.path.getmtime)
    if not found:
        raise MissingError("there is no run to resume in runs/: pass --out RUN")
    print(f"Resuming {found[-1].parent}")
    return found[-1].parent


def _log() -> None:
    import logging

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("rsuda").setLevel(logging.DEBUG)
    for handler in logging.getLogger().handlers:  # the run's log file takes the details too
        handler.setLevel(logging.INFO if sys.stderr.isatty() else logging.DEBUG)


if __name__ == "__main__":
    main()
