"""Answer HTTP requests: a health check, a description by OpenAPI, and predictions."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from rsuda.core.errors import InputError, MissingError, RsudaError
from rsuda.core.map_options import MapOptions
from rsuda.core.spelling import as_keywords
from rsuda.core.version import __version__
from rsuda.inference.predictor import Predictor
from rsuda.serving.bodies import AnswerAfterBody, Bodies, SmallBodies
from rsuda.serving.refusal import RETRY_AFTER, refusal
from rsuda.serving.serve_options import ServeOptions
from rsuda.serving.sources import NotAllowedError, is_tiff
from rsuda.serving.worker import (
    FORMATS,
    ClientLeftError,
    OutOfTimeError,
    QueueFullError,
    TooManyPixelsError,
    Work,
    Worker,
)

Format = Literal["geotiff", "geojson"]


def _code(crs: str) -> str:
    """Check that a CRS is a code: other texts may name files, which PROJ would read."""
    if not re.fullmatch(r"(?i:(EPSG|ESRI|IAU|IGNF|OGC):)?\w{1,20}", crs, re.ASCII):
        raise ValueError("write a code such as EPSG:32632")
    return crs


Crs = Annotated[str, AfterValidator(_code)]


class Wish(BaseModel):
    """What a client may say of a raster and of the answer."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    format: Format = Field("geotiff", description="Classes as a GeoTIFF, or polygons in longitude and latitude.")
    bands: str | None = Field(None, description="Band order of a raster that does not name its bands, e.g. RGBIR.")
    gsd: float | None = Field(None, gt=0, description="Metres per pixel of a raster without a georeference.")
    crs: Crs | None = Field(None, description="CRS of a raster that has a transform but no CRS, e.g. EPSG:32632.")
    nodata: float | None = Field(None, description="Value of pixels without data, where the raster does not say it.")
    min_confidence: float = Field(0, ge=0, le=1, description="Probability below which a pixel is undecided.")


class Window(Wish):
    """A raster that the service may read, and the part of it to predict."""

    address: str = Field(description="File or URL of a GeoTIFF, as the service's --allow permits.")
    bounds: tuple[float, float, float, float] = Field(description="left, bottom, right, top in the raster's CRS")


class Service:
    """A model behind HTTP: requests become work for its worker, and what the worker says becomes an answer.

    Args:
        options: of the prediction, see ``rsuda.predict``; requests change the fields of ``Wish`` and the bounds alone.
    """

    def __init__(self, predictor: Predictor, limits: ServeOptions, options: MapOptions) -> None:
        self.limits, self.options, self.trained = limits, options, predictor.trained
        self.worker = Worker(predictor, limits)
        self.bodies = Bodies(limits)

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

    async def answer_body(self, request: Any, wish: Wish) -> Any:
        """Predict the GeoTIFF in the body of a request."""
        arrival = time.monotonic()
        async with self.bodies.of(request, self.limits.max_bytes) as body:
            if not isinstance(body, bytes):
                return body
            if not is_tiff(body):
                return refusal(415, f"the body is not a GeoTIFF{_hint(body, request.headers)}")
            return await self.answer(body, wish, arrival, request)

    async def answer(self, source: bytes | str, wish: Wish, arrival: float, request: Any) -> Any:
        """Predict a source and wait for it. Every error becomes an answer with one sentence."""
        from fastapi import Response

        try:
            values = {name: getattr(self.options, name) for name in MapOptions.model_fields}
            values |= wish.model_dump(exclude={"format", "address"})
            work = Work(source, wish.format, MapOptions.of(**values), arrival + self.limits.timeout)
            self.worker.submit(work)
            content = await _unless_left(work, request.receive)
        except Exception as error:
            return self._refusal_of(error)
        return Response(content, media_type=FORMATS[wish.format], headers={"X-Rsuda-Network": self.trained.digest})

    def _refusal_of(self, error: Exception) -> Any:
        if isinstance(error, QueueFullError):
            return refusal(503, f"{self.limits.queue} requests wait already: try again in {RETRY_AFTER} seconds")
        if isinstance(error, ClientLeftError):
            return refusal(400, "the client left before its answer")  # read by nobody
        if isinstance(error, OutOfTimeError | TimeoutError):
            return refusal(504, f"the prediction took longer than {self.limits.timeout:g} seconds")
        if isinstance(error, RsudaError):
            return refusal(_status(error), str(error))
        return refusal(500, "the prediction failed")  # the worker has logged why


def make_app(service: Service) -> Any:
    """Make the application of FastAPI. The worker starts and stops with it."""
    from fastapi import FastAPI, Query, Request, Response
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        service.worker.start()
        with as_keywords():
            yield
            await asyncio.get_running_loop().run_in_executor(None, service.worker.stop)

    app = FastAPI(
        title="rsuda",
        version=__version__,
        description=f"Segmentation of aerial and satellite imagery by the model {service.trained.name}.",
        docs_url=None,  # their pages fetch scripts of other hosts
        redoc_url=None,
        lifespan=running,
        redirect_slashes=False,  # a redirection loses the body, and names the host that the client said
    )

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return refusal(422, _sentence(error.errors()[0], request.headers))

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        where = f"{request.method} {request.url.path}"
        return refusal(error.status_code, f"{where}: {error.detail}; /openapi.json describes all requests")

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Say that the service is ready, with its model and its queue."""
        return service.health()

    @app.post("/predict", responses=_RESPONSES, openapi_extra=_BODY, response_model=None)
    async def predict(request: Request, wish: Annotated[Wish, Query()]) -> Response:
        """Predict the GeoTIFF in the body of the request."""
        return await service.answer_body(request, wish)

    @app.post("/predict/address", responses=_RESPONSES, response_model=None)
    async def predict_address(request: Request, window: Window) -> Response:
        """Predict a part of a raster that the service may read."""
        return await service.answer(window.address, window, time.monotonic(), request)

    return AnswerAfterBody(SmallBodies(app, service.bodies))


async def _unless_left(work: Work, receive: Callable[[], Awaitable[Any]]) -> bytes:
    """Wait for an answer until its deadline. Where the client leaves, its work stops at the next strip.

    Raises what the worker raises, TimeoutError, and ClientLeftError.
    """

    async def leave() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    answer: asyncio.Future[bytes] = asyncio.wrap_future(work.answer)
    departure: asyncio.Future[None] = asyncio.ensure_future(leave())
    try:
        seconds = work.deadline - time.monotonic()
        await asyncio.wait(
            list[asyncio.Future[Any]]([answer, departure]), timeout=seconds, return_when="FIRST_COMPLETED"
        )
        if answer.done():
            return answer.result()
        raise ClientLeftError if departure.done() else TimeoutError
    finally:
        departure.cancel()
        if not answer.done():
            work.client_left.set()
            answer.cancel()


def _sentence(error: dict[str, Any], headers: Any) -> str:
    """Say what is wrong with a field of a request, by an error of pydantic."""
    place = ".".join(str(part) for part in error["loc"] if part not in ("body", "query"))
    if not place and "json" not in headers.get("content-type", ""):
        return "the body is not JSON: send it with the header Content-Type: application/json"
    if error["type"] == "extra_forbidden":
        return f"there is no field '{place}': /openapi.json lists them"
    return f"{place or 'the body'}: {error['msg'].removeprefix('Value error, ')}"


def _hint(body: bytes, headers: Any) -> str:
    """Say what a body is that holds a GeoTIFF in another form, as forms and compressing clients send it."""
    if headers.get("content-type", "").startswith("multipart/") or body.startswith(b"--"):
        return " but a form: send the file alone, as the body of the request"
    if headers.get("content-encoding", "identity") != "identity" or body[:2] == b"\x1f\x8b":
        return " but compressed: send the file as it is"
    return ""


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
