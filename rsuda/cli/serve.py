"""rsuda serve."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from rsuda.cli.app import app, log
from rsuda.cli.options import Overlap, Run, Threads, Window


@app.command()
def serve(
    run: Run,
    host: Annotated[
        str, typer.Option(help="Address to listen on; others reach this machine by 0.0.0.0.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8000,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Folder or https://HOST/PATH whose rasters clients may name; may be repeated."),
    ] = None,
    max_bytes: Annotated[int, typer.Option(help="Bytes of a request.")] = 64_000_000,
    max_pixels: Annotated[int, typer.Option(help="Pixels of a window.")] = 25_000_000,
    queue: Annotated[int, typer.Option(help="Requests that may wait; further ones get status 503.")] = 16,
    timeout: Annotated[float, typer.Option(help="Seconds from a request to its answer.")] = 60.0,
    window: Window = 512,
    overlap: Overlap = 128,
    batch_size: Annotated[int, typer.Option(help="Windows that the model computes at a time.")] = 4,
    tta: Annotated[str, typer.Option(help="Test-time augmentation: none, flips or all.")] = "none",
    precision: Annotated[str, typer.Option(help="auto, bf16 or fp32.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    threads: Threads = None,
) -> None:
    """Serve a model over HTTP: POST a GeoTIFF, get its class GeoTIFF or GeoJSON."""
    from rsuda.learning.device import use_threads
    from rsuda.serving.serve import serve as run_service

    log()
    use_threads(threads)
    run_service(
        run,
        host=host,
        port=port,
        allow=allow or (),
        max_bytes=max_bytes,
        max_pixels=max_pixels,
        queue=queue,
        timeout=timeout,
        window=window,
        overlap=overlap,
        batch_size=batch_size,
        tta=tta,
        precision=precision,
        device=device,
        tell=lambda sentence: print(sentence, file=sys.stderr, flush=True),
    )
