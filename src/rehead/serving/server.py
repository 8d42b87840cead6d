"""Running an application: the socket, signals, and the end of it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from ..errors import OutputError

__all__ = ["listen", "run"]

_BACKLOG = 2048  # uvicorn's own


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at an address; OutputError where that cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        raise OutputError(
            f"{host}:{port}: cannot listen there ({error.strerror}); choose another --host or --port"
        ) from error
    return listening


def run(app: Any, listening: socket.socket, *, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; what was accepted is finished first.

    Parameters
    ----------
    app : ASGI application
    listening : socket
    ready : callable
        Called once requests are answered.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, proxy_headers=False)
    Server(config).run([listening])
