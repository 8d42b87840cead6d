"""How much all requests together may hold: ASGI middleware."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .batching import Overloaded

__all__ = ["Limits"]


class Limits:
    """Bounds the bytes of all bodies that are held at one time; who would exceed them raises Overloaded.

    Parameters
    ----------
    app : ASGI application
    most : int
        Bytes of all bodies together.
    check_room : callable
        Raises Overloaded, before the body of a request is read.
    """

    def __init__(self, app: ASGIApp, *, most: int, check_room: Callable[[], None]) -> None:
        self._app, self._most, self._check_room = app, most, check_room
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        held, begun, refused = 0, False, False

        async def counted() -> Message:
            nonlocal held, begun, refused
            if not begun:
                begun = refused = True
                self._check_room()
                refused = False
            message = await receive()
            size = 0 if refused else len(message.get("body", b""))
            if self._held + size > self._most:
                refused = True
                raise Overloaded(1, "too many uploads at once; try again later")
            held += size
            self._held += size
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            self._held -= held
