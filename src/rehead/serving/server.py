"""Running an application: the socket, signals, and the end of it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import OutputError

__all__ = ["listen", "run"]

_BACKLOG = 2048  # uvicorn's own
_CONNECTIONS = 500  # at one time, half of the files that a process may usually open
_HEADER_SECONDS = 10.0  # for the headers of a request
_TICKS = 10  # of uvicorn, which come every 0.1 s
_LAST_CALL = 0.4  # seconds in which clients hear, with their answers, that connections will be closed
_LAST_BYTES = 0.1  # seconds for the requests of those that connected last


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at an address; OutputError where that cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(_BACKLOG)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise OutputError(
            f"{host}:{port}: cannot listen there ({error.strerror}); choose another --host or --port"
        ) from error
    return listening


class _Closing:
    """ASGI: tells clients not to send another request on a connection once the service ends.

    A request that arrives while its connection is being closed would be lost. Where uvicorn has refused the
    body of a request itself, and closes the connection, the answer is dropped.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app, self.closing = app, False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def told(message: Message) -> None:
            if self.closing and message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            try:
                await send(message)
            except h11.LocalProtocolError:
                while (await receive())["type"] != "http.disconnect":
                    pass

        await self._app(scope, receive, told)


class _Server(uvicorn.Server):
    """uvicorn's, which also closes quiet connections, hears SIGHUP, and loses no request at the end."""

    def __init__(
        self,
        config: uvicorn.Config,
        closing: _Closing,
        *,
        ready: Callable[[], None],
        on_hangup: Callable[[], None] | None,
    ) -> None:
        super().__init__(config)
        self._closing, self._ready, self._on_hangup = closing, ready, on_hangup
        self._quiet: dict[Any, float] = {}  # connections without a request, and since when

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._on_hangup and hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._on_hangup)
        if self.started:
            self._ready()

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS == 0:
            self._close_quiet()
        return await super().on_tick(counter)

    def _close_quiet(self) -> None:
        """Close connections that have not brought the headers of a request for a while.

        uvicorn has a limit for what comes after a request only, and none once a byte has come.
        """
        now = time.monotonic()
        cycles = {each: getattr(each, "cycle", None) for each in self.server_state.connections}
        idle = (each for each, cycle in cycles.items() if cycle is None or cycle.response_complete)
        self._quiet = {each: self._quiet.get(each, now) for each in idle}
        for each, since in self._quiet.items():
            if now - since > _HEADER_SECONDS:
                each.transport.close()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._closing.closing = True
        await asyncio.sleep(_LAST_CALL)
        for server in self.servers:
            server.close()
        await asyncio.sleep(_LAST_BYTES)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Without sending the signal again at the end: to be stopped is no failure."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        yield


def run(
    app: ASGIApp,
    listening: socket.socket,
    *,
    ready: Callable[[], None],
    on_hangup: Callable[[], None] | None = None,
    proxies: Sequence[str] = (),
    patience: float = 30.0,
) -> None:
    """Serve until SIGTERM or Ctrl-C; what was accepted is finished first.

    Parameters
    ----------
    app : ASGI application
    listening : socket
    ready : callable
        Called once requests are answered.
    on_hangup : callable, optional
        Called at SIGHUP.
    proxies : sequence of str
        Addresses whose X-Forwarded-For and X-Forwarded-Proto are believed.
    patience : float
        Seconds that requests are waited for at the end.
    """
    closing = _Closing(app)
    config = uvicorn.Config(
        closing,
        http="h11",  # which limits headers; httptools takes 0.2 ms less of each request, and has no limit
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=math.ceil(patience),
    )
    _Server(config, closing, ready=ready, on_hangup=on_hangup).run([listening])
