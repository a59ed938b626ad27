"""Answer HTTP requests: a health check, a description by OpenAPI, and predictions."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rsuda.core.errors import InputError, MissingError, RsudaError
from rsuda.core.map_options import MapOptions
from rsuda.core.version import __version__
from rsuda.inference.predictor import Predictor
from rsuda.serving.serve_options import ServeOptions
from rsuda.serving.sources import NotAllowedError, is_tiff
from rsuda.serving.worker import FORMATS, OutOfTimeError, QueueFullError, TooManyPixelsError, Work, Worker

RETRY_AFTER = 5  # seconds that a client is asked to wait where the queue is full

Format = Literal["geotiff", "geojson"]


class Window(BaseModel):
    """A raster that the service may read, and the part of it to predict."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    address: str = Field(description="File or URL of a GeoTIFF, as the service's --allow permits.")
    bounds: tuple[float, float, float, float] = Field(description="left, bottom, right, top in the raster's CRS")
    format: Format = "geotiff"
    bands: str | None = Field(None, description="Band order of a raster that does not name its bands, e.g. RGBIR.")
    min_confidence: float = Field(0, ge=0, le=1, description="Probability below which a pixel is undecided.")


class Service:
    """A model behind HTTP: requests become work for its worker, and what the worker says becomes an answer.

    Args:
        options: of the prediction, see ``rsuda.predict``; requests change bands, bounds and min_confidence alone.
    """

    def __init__(self, predictor: Predictor, limits: ServeOptions, options: MapOptions) -> None:
        self.limits, self.options, self.trained = limits, options, predictor.trained
        self.worker = Worker(predictor, limits)

    def health(self) -> dict[str, Any]:
        """Describe the model and the queue."""
        spec = self.trained.spec
        return {
            "status": "ok",
            "model": self.trained.name,
            "network": self.trained.digest,
            "bands": list(spec.bands),
            "gsd": spec.gsd,
            "classes": list(spec.legend.names),
            "waiting": self.worker.waiting,
            "finished": self.worker.finished,
        }

    async def answer_body(self, request: Any, format: Format, **more: Any) -> Any:
        """Predict the GeoTIFF in the body of a request."""
        from starlette.requests import ClientDisconnect

        arrived = time.monotonic()
        try:
            body = await asyncio.wait_for(_body(request.stream, request.headers, self.limits), self.limits.timeout)
        except TimeoutError:
            return refusal(408, f"the body took longer than {self.limits.timeout:g} seconds")
        except _TooLargeError:
            return refusal(413, f"the body has more than {self.limits.max_bytes} bytes")
        except ClientDisconnect:
            return refusal(400, "the client left before its body was complete")  # read by nobody
        if not is_tiff(body):
            return refusal(415, f"the body is no GeoTIFF{_hint(body, request.headers)}")
        return await self.answer(body, format, arrived, **more)

    async def answer(self, source: bytes | str, format: Format, arrived: float, **more: Any) -> Any:
        """Predict a source and wait for it. Every error becomes an answer with one sentence."""
        from fastapi import Response

        try:
            chosen = {name: getattr(self.options, name) for name in MapOptions.model_fields} | more
            work = Work(source, format, MapOptions.of(**chosen), arrived + self.limits.timeout)
            self.worker.submit(work)
            content = await asyncio.wait_for(asyncio.wrap_future(work.answer), work.deadline - time.monotonic())
        except Exception as error:
            return self._refusal_of(error)
        return Response(content, media_type=FORMATS[format], headers={"X-Rsuda-Network": self.trained.digest})

    def _refusal_of(self, error: Exception) -> Any:
        if isinstance(error, QueueFullError):
            return refusal(503, f"{self.limits.queue} requests wait already: try again in {RETRY_AFTER} seconds")
        if isinstance(error, OutOfTimeError | TimeoutError):
            return refusal(504, f"the prediction took longer than {self.limits.timeout:g} seconds")
        if isinstance(error, RsudaError):
            return refusal(_status(error), str(error))
        return refusal(500, "the prediction failed")  # the worker has logged why


def refusal(status: int, sentence: str) -> Any:
    """Make an answer of an error: its sentence as JSON."""
    from fastapi.responses import JSONResponse

    return JSONResponse({"error": sentence}, status, {"Retry-After": str(RETRY_AFTER)} if status == 503 else None)


def make_app(service: Service) -> Any:
    """Make the application of FastAPI. The worker starts and stops with it."""
    from fastapi import FastAPI, Query, Request, Response
    from fastapi.exceptions import RequestValidationError

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        service.worker.start()
        yield
        await asyncio.get_running_loop().run_in_executor(None, service.worker.stop)

    app = FastAPI(
        title="rsuda",
        version=__version__,
        description=f"Segmentation of aerial and satellite imagery by the model {service.trained.name}.",
        docs_url=None,  # their pages fetch scripts of other hosts
        redoc_url=None,
        lifespan=running,
    )

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query"))
        return refusal(422, f"{place or 'the body'}: {first['msg']}")

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Say that the service is ready, with its model and its queue."""
        return service.health()

    @app.post("/predict", responses=_RESPONSES, openapi_extra=_BODY, response_model=None)
    async def predict(
        request: Request,
        format: Format = "geotiff",
        bands: str | None = None,
        min_confidence: Annotated[float, Query(ge=0, le=1)] = 0,
    ) -> Response:
        """Predict the GeoTIFF in the body of the request."""
        return await service.answer_body(request, format, bands=bands, min_confidence=min_confidence)

    @app.post("/predict/address", responses=_RESPONSES, response_model=None)
    async def predict_address(window: Window) -> Response:
        """Predict a part of a raster that the service may read."""
        more = {"bounds": window.bounds, "bands": window.bands, "min_confidence": window.min_confidence}
        return await service.answer(window.address, window.format, time.monotonic(), **more)

    return _Limited(app, service.limits)


def _hint(body: bytes, headers: Any) -> str:
    """Say what a body is that holds a GeoTIFF in another form, as forms and compressing clients send it."""
    if headers.get("content-type", "").startswith("multipart/") or body.startswith(b"--"):
        return " but a form: send the file alone, as the body of the request"
    if headers.get("content-encoding", "identity") != "identity" or body[:2] == b"\x1f\x8b":
        return " but compressed: send the file as it is"
    return ""


class _TooLargeError(Exception):
    pass


async def _body(stream: Callable[[], AsyncIterator[bytes]], headers: Any, limits: ServeOptions) -> bytes:
    """Read a body up to the limit."""
    declared = headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limits.max_bytes:
        raise _TooLargeError
    parts, size = [], 0
    async for part in stream():
        size += len(part)
        if size > limits.max_bytes:
            raise _TooLargeError
        parts.append(part)
    return b"".join(parts)


class _Limited:
    """Refuse bodies of JSON above 100 kB before they are read: FastAPI itself reads bodies of any size."""

    MOST = 100_000

    def __init__(self, app: Any, limits: ServeOptions) -> None:
        self.app, self.limits = app, limits

    async def __call__(
        self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http" or scope.get("path") != "/predict/address":
            await self.app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self.MOST:
            await refusal(413, f"the body has more than {self.MOST} bytes")(scope, receive, send)
            return
        size = 0

        async def counted() -> Any:
            nonlocal size
            message = await asyncio.wait_for(receive(), self.limits.timeout)
            size += len(message.get("body", b""))
            if size > self.MOST:
                raise _TooLargeError
            return message

        await self.app(scope, counted, send)  # FastAPI answers status 400 to what receiving raises


def _status(error: RsudaError) -> int:
    kinds = {NotAllowedError: 403, TooManyPixelsError: 413, MissingError: 404, InputError: 422}
    return next((status for kind, status in kinds.items() if isinstance(error, kind)), 500)


_ERROR = {"content": {"application/json": {"schema": {"properties": {"error": {"type": "string"}}, "type": "object"}}}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {media: {"schema": {"type": "string", "format": "binary"}} for media in FORMATS.values()}},
    **{
        status: {"description": text, **_ERROR}
        for status, text in {
            403: "An address that the service may not read",
            404: "A raster that cannot be read",
            408: "A body that does not arrive in time",
            413: "Too many bytes or pixels",
            415: "No GeoTIFF",
            422: "A raster or an option that the model cannot use",
            503: "A full queue; Retry-After says when to try again",
            504: "No answer in time",
        }.items()
    },
}
_BODY = {
    "requestBody": {"required": True, "content": {"image/tiff": {"schema": {"type": "string", "format": "binary"}}}}
}
