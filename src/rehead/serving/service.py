"""What all routes of a service share."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from .batching import Engine
from .metrics import Metrics
from .models import ModelSet
from .options import ServeOptions

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
    """

    models: ModelSet
    engine: Engine
    options: ServeOptions
    metrics: Metrics


async def service_of(request: Request) -> Service:
    """The service that a request came to; a dependency of routes.

    A coroutine, as FastAPI would run a plain function on another thread: 0.3 ms of each request
    (benchmarks/serve.py).
    """
    found: Service = request.app.state.service
    return found
