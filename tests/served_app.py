"""An application that answers over a socket, in a thread of this process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from rehead.serving.server import listen

__all__ = ["served_app"]

_SECONDS = 30


@contextlib.contextmanager
def served_app(app: Any) -> Iterator[tuple[str, int]]:
    """Host and port at which the application answers."""
    import uvicorn

    started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            started.set()

    listening = listen("127.0.0.1", 0)
    server = Server(uvicorn.Config(app, log_config=None, access_log=False, server_header=False))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        assert started.wait(_SECONDS)
        host, port = listening.getsockname()
        yield host, port
    finally:
        server.should_exit = True
        thread.join(_SECONDS)
        listening.close()
    assert not thread.is_alive()
