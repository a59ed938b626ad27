"""Run a service until it is stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from rsuda.core.errors import InputError, check_extra
from rsuda.core.map_options import MapOptions
from rsuda.inference.predictor import Predictor
from rsuda.runs.weights import load_run
from rsuda.serving.serve_options import ServeOptions


def serve(
    run: str | os.PathLike[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    allow: Sequence[str] = (),
    max_bytes: int = 64_000_000,
    max_pixels: int = 25_000_000,
    queue: int = 16,
    timeout: float = 60.0,
    window: int = 512,
    overlap: int = 128,
    batch_size: int = 4,
    tta: str = "none",
    precision: str = "auto",
    device: str = "auto",
    tell: Callable[[str], None] = print,
) -> None:
    """Serve a model over HTTP until the process is stopped; it then finishes what waits.

    Args:
        run: a run folder, or hf://ORG/NAME[@REVISION].
        host, port: where it listens; only this machine reaches 127.0.0.1.
        allow: folders and URLs whose rasters clients may name.
        max_bytes, max_pixels, queue, timeout: limits, see ``ServeOptions``.
        window, overlap, batch_size, tta, precision, device: of the prediction; see ``rsuda.predict``.
        tell: called with a sentence when the model is loaded.

    Raises:
        InputError, MissingError: a package, the run or the port is missing, or an option is invalid.
    """
    check_extra("serve", "fastapi", "uvicorn")
    import uvicorn

    from rsuda.serving.app import Service, make_app
    from rsuda.serving.connections import TimelyConnection

    limits = ServeOptions.of(
        allow=tuple(allow), max_bytes=max_bytes, max_pixels=max_pixels, queue=queue, timeout=timeout
    )
    how = {"window": window, "overlap": overlap, "batch_size": batch_size, "tta": tta}
    options = MapOptions.of(**how, precision=precision, device=device, overwrite=True)
    predictor = Predictor.of(load_run(os.fspath(run)), **options.predictor.model_dump())
    app = make_app(Service(predictor, limits, options))
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=TimelyConnection,
        log_level="warning",
        timeout_keep_alive=5,
        timeout_graceful_shutdown=int(timeout) + 1,
        limit_concurrency=limits.queue + 64,
    )
    tell(f"serving {predictor.trained.name} on http://{host}:{port} (health: /health, description: /openapi.json)")
    try:
        uvicorn.Server(config).run()
    except SystemExit:  # of uvicorn, which has logged why it cannot listen
        raise InputError(f"cannot listen on {host}:{port}: choose another port") from None
