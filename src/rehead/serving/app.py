"""The application: routes, errors, and what guards them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from .. import __version__
from ..core.parallel import one_blas_thread
from ..errors import (
    DataError,
    GalleryError,
    MachineError,
    MissingExtraError,
    UnknownNameError,
    WeightsError,
)
from . import docs, face_routes, inference_routes, keypoint_routes, page, predict
from .batching import Engine, Overloaded, TooMany
from .collect import Collection
from .limits import Limits
from .metrics import Measured, Metrics
from .models import ModelSet
from .options import ServeOptions
from .security import Guard, error_answer
from .service import Service
from .watching import Watcher

if TYPE_CHECKING:
    from .face_service import FaceService

__all__ = ["add_error_handlers", "create_app"]

_LOG = logging.getLogger("rehead.serving")
_ROUTERS = (
    predict.router,
    inference_routes.router,
    keypoint_routes.router,
    face_routes.router,
    docs.router,
    page.router,
)
_OPEN = page.OPEN_PATHS | {"/v2/health/live", "/v2/health/ready"}  # which orchestrators ask without a token
_AT_ONCE = 8  # largest bodies that all requests may hold together: 256 MB by default


def create_app(
    models: ModelSet,
    options: ServeOptions | None = None,
    *,
    token: str | None = None,
    faces: FaceService | None = None,
    enrol_token: str | None = None,
) -> FastAPI:
    """The application of a service.

    Parameters
    ----------
    models : ModelSet
    options : ServeOptions, optional
    token : str, optional
        What clients have to send.
    faces : FaceService, optional
        Which is closed at the end.
    enrol_token : str, optional
        What those have to send who enrol and remove people.
    """
    options = options or ServeOptions()
    metrics = Metrics()
    engine = Engine(queue=options.queue, workers=options.threads, on_answers=metrics.count)
    metrics.show("waiting_photos", "Photos that wait or are being answered.", lambda: engine.taken)
    service = Service(
        models=models,
        engine=engine,
        options=options,
        metrics=metrics,
        faces=faces,
        enrol_token=enrol_token,
        collection=None if options.collect is None else Collection(options.collect),
    )
    watcher = Watcher(models)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with one_blas_thread:  # each thread of the engine has a processor to itself
            async with watcher.running():
                yield
            engine.close()
            if faces is not None:
                faces.close()

    app = FastAPI(
        title="rehead",
        summary="Answers of model files to photos.",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.openapi_version = "3.0.3"  # the newest that the packaged Swagger UI shows
    app.state.service, app.state.watcher = service, watcher
    for router in _ROUTERS:
        app.include_router(router)
    add_error_handlers(app)
    _add_guards(app, service, token)
    return app


def _add_guards(app: FastAPI, service: Service, token: str | None) -> None:
    """What sees a request before the routes; the last that is added is the first to."""
    options = service.options
    app.add_middleware(Limits, most=_AT_ONCE * options.max_bytes, check_room=service.engine.check_room)
    app.add_middleware(
        Guard,
        hosts=[options.host, *(options.allow_host or ())],
        token=token,
        origins=options.allow_origin or (),
        open_paths=_OPEN,
        rate=options.rate,
    )
    app.add_middleware(Measured, metrics=service.metrics)


def add_error_handlers(app: FastAPI) -> None:
    """Errors as JSON {"error": ...}; what is not foreseen is for the Guard."""

    async def http(_: Request, error: Any) -> JSONResponse:
        return error_answer(error.status_code, str(error.detail), error.headers)

    async def invalid(_: Request, error: Any) -> JSONResponse:
        first = error.errors()[0]
        return error_answer(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")

    async def unknown(_: Request, error: Any) -> JSONResponse:
        return error_answer(404, str(error))

    async def data(_: Request, error: Any) -> JSONResponse:
        return error_answer(400, str(error))

    async def too_many(_: Request, error: Any) -> JSONResponse:
        return error_answer(413, str(error))

    async def overloaded(_: Request, error: Any) -> JSONResponse:
        return error_answer(503, str(error), {"retry-after": str(error.retry_after)})

    async def gallery(request: Request, error: Any) -> JSONResponse:
        _LOG.error("%s %s failed: %s", request.method, request.url.path, error)
        return error_answer(503, "the gallery cannot be used at present; the service's log says why")

    async def missing(_: Request, error: Any) -> JSONResponse:
        return error_answer(501, f"this service lacks what the model needs: {error}")

    async def machine(request: Request, error: Any) -> JSONResponse:
        _LOG.error("%s %s failed: %s", request.method, request.url.path, error)
        return error_answer(
            503, "there is not enough memory at present; try again later", {"retry-after": "5"}
        )

    for kind, handler in (
        (HTTPException, http),
        (RequestValidationError, invalid),
        (UnknownNameError, unknown),
        (DataError, data),
        (TooMany, too_many),
        (Overloaded, overloaded),
        (GalleryError, gallery),
        (MissingExtraError, missing),
        (WeightsError, missing),
        (MachineError, machine),
    ):
        app.add_exception_handler(kind, handler)
