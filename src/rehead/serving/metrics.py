"""What Prometheus asks for, at `/metrics`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import ImageError
from .models import ServedModel

__all__ = ["Measured", "Metrics"]

_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0)
"""Seconds. A photo takes some 7 ms where nothing waits, so more buckets lie there than by default."""


class Metrics:
    """Counters of one service, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def made(kind: Any, name: str, text: str, *labels: str, **options: Any) -> Any:
            return kind(f"rehead_{name}", text, labels, registry=self.registry, **options)

        self.requests = made(Counter, "requests", "Requests answered.", "route", "status")
        self.seconds = made(
            Histogram, "request_seconds", "From headers to the end of the answer.", "route", buckets=_BUCKETS
        )
        self.answers = made(Counter, "answers", 'Photos answered, by class or "unknown".', "model", "label")
        self.unknown = made(Counter, "unknown", 'Photos answered "unknown", by reason.', "model", "reason")
        self.unreadable = made(Counter, "unreadable", "Photos that could not be read.", "model")
        self.models = made(Gauge, "model_info", "1 for each model file served.", "model", "version", "kind")

    def show(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Show a number that is asked for when it is looked at."""
        Gauge(f"rehead_{name}", text, registry=self.registry).set_function(value)

    def count(self, model: ServedModel, answers: Sequence[Any]) -> None:
        """Count the answers of a model."""
        for answer in answers:
            if isinstance(answer, ImageError):
                self.unreadable.labels(model.name).inc()
                continue
            self.answers.labels(model.name, getattr(answer, "label", "")).inc()
            if answer.reason:
                reason = "unlike" if answer.reason.startswith("unlike") else "unsure"
                self.unknown.labels(model.name, reason).inc()

    def page(self, models: Sequence[ServedModel]) -> Response:
        """All numbers as Prometheus reads them."""
        self.models.clear()
        for model in models:
            self.models.labels(model.name, model.version, model.kind).set(1)
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class Measured:
    """ASGI middleware: counts requests by route and status, and measures how long they take.

    Parameters
    ----------
    app : ASGI application
    metrics : Metrics
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "other")  # never an address that somebody made up
            self._metrics.requests.labels(route, status).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - begun)
