"""What all routes of a service share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.requests import Request

from .batching import Engine
from .collect import Collection
from .metrics import Metrics
from .models import ModelSet
from .options import ServeOptions
from .uploads import read_body, read_photos

if TYPE_CHECKING:
    from .face_service import FaceService

__all__ = ["Service", "service_of"]


@dataclass(frozen=True, eq=False)
class Service:
    """The models, the threads that answer, and what the service was asked for.

    Parameters
    ----------
    models : ModelSet
    engine : Engine
    options : ServeOptions
    metrics : Metrics
    faces : FaceService, optional
    enrol_token : str, optional
        With which people may be enrolled and removed; nobody may without.
    collection : Collection, optional
        Where photos are kept whose answer was wrong.
    """

    models: ModelSet
    engine: Engine
    options: ServeOptions
    metrics: Metrics
    faces: FaceService | None = None
    enrol_token: str | None = field(default=None, repr=False)
    collection: Collection | None = None

    async def body(self, request: Request) -> bytes:
        """The body of a request, within the limits that were asked for; see `read_body`."""
        return await read_body(request, limit=self.options.max_bytes, seconds=self.options.upload_seconds)

    async def photos(self, request: Request) -> list[bytes]:
        """The photos of a request, within the same limits; see `read_photos`."""
        return await read_photos(request, limit=self.options.max_bytes, seconds=self.options.upload_seconds)


async def service_of(request: Request) -> Service:
    """The service that a request came to; a dependency of routes.

    A coroutine, as FastAPI would run a plain function on another thread: 0.3 ms of each request
    (benchmarks/serve.py).
    """
    found: Service = request.app.state.service
    return found
