"""rsuda report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rsuda.cli.app import app, log
from rsuda.cli.options import Threads


@app.command()
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Runs of one pair, or hf://ORG/NAME; a source-only one is the 'before'."),
    ],
    scene: Annotated[str | None, typer.Option(help="Raster to show as a map to click on.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page; windows to label go beside it.")] = Path(
        "report.html"
    ),
    accuracy: Annotated[
        Path | None,
        typer.Option(
            help="Results of rsuda assess to show; by default the folder accuracy beside the page, if it fits."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(envvar="RSUDA_DATA", help="Folder of the data; the runs' by default.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Windows to suggest for labelling.")] = 10,
    size: Annotated[int, typer.Option(help="Their side in pixels of the model's GSD.")] = 128,
    bands: Annotated[str | None, typer.Option(help="Band order of the scene, where its file lacks it.")] = None,
    gsd: Annotated[float | None, typer.Option(help="Metres per pixel of a scene without a georeference.")] = None,
    crs: Annotated[str | None, typer.Option(help="CRS of a scene that has a transform but no CRS.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, bf16 or fp32; the runs' own by default.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    threads: Threads = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing page.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Write an HTML page: did adapting help, where is the model still wrong, which windows to label next.

    The page works offline and needs no other file. With the labels of the target's score split it shows scores and errors;
    without them, what images alone can tell.
    """
    from rsuda.core.progress_lines import PercentLines
    from rsuda.learning.device import use_threads
    from rsuda.report.report import report as write

    log()
    use_threads(threads)

    def tell(sentence: str) -> None:
        if not quiet:
            print(f"{sentence} …", file=sys.stderr)

    page = write(
        runs,
        scene,
        out=out,
        accuracy=accuracy,
        data=data,
        k=k,
        size=size,
        bands=bands,
        gsd=gsd,
        crs=crs,
        device=device,
        precision=precision,
        overwrite=overwrite,
        tell=tell,
        progress=PercentLines().show,
    )
    if not quiet:
        print(f"Wrote {page} ({page.stat().st_size / 1e6:.1f} MB)")
        windows = page.with_name(f"{page.stem}_windows.gpkg")
        if windows.is_file():
            print(f"Windows to label next: {windows}")
