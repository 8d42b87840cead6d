"""Who may ask, and what browsers may do with the answers; for every application of rehead's."""

from __future__ import annotations

import hmac
import ipaddress
import logging
import math
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import DataError

__all__ = ["Guard", "error_answer", "new_token", "read_token"]

_LOG = logging.getLogger("rehead.serving")

_HEADERS = {
    # what the pages need: their own files, and pictures and the camera's video that they hold themselves
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; font-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
_PAIRS = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
_SAFE = ("GET", "HEAD", "OPTIONS")
_TOKEN_BYTES = 32  # as `secrets` has it: enough against any guessing
_SHORTEST = 16  # characters of a token that somebody chose
_MOST_CLIENTS = 10_000  # whose rate is known at one time, 2 MB
_BURST = 2.0  # seconds of a client's rate that it may send at once


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def read_token(path: Path) -> str:
    """The token in a file; DataError where there is none that could not be guessed."""
    try:
        token = path.read_text("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the token cannot be read ({error})") from error
    if len(token) < _SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        raise DataError(
            f"{path}: expected a token of at least {_SHORTEST} letters and digits, such as "
            f"`python -c 'import secrets; print(secrets.token_urlsafe({_TOKEN_BYTES}))'` makes"
        )
    return token


class Guard:
    """ASGI middleware: checks Host, Origin, token and rate, and adds the security headers.

    What an application fails with is logged, and answered by 500 without a trace.

    Parameters
    ----------
    app : ASGI application
    hosts : sequence of str
        Names that the Host header may have, without ports. localhost and addresses are always known: a page
        that has its own name resolve to this machine (DNS rebinding) sends a name.
    token : str, optional
        What clients have to send: `Authorization: Bearer TOKEN`. A browser opens `/?token=TOKEN` once, and
        gets a cookie.
    origins : sequence of str
        Pages of other hosts that may use it: "https://example.org".
    open_paths : collection of str
        Paths that need no token; one that is given makes the cookie all the same.
    rate : float, optional
        Requests a second of one client, but for those that only read (GET): more are 429. Of IPv6, a client
        is a network of 64 bits.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Sequence[str] = (),
        token: str | None = None,
        origins: Sequence[str] = (),
        open_paths: Collection[str] = (),
        rate: float | None = None,
    ) -> None:
        self._app = app
        self._hosts = {host.lower().strip("[]") for host in hosts} | {"localhost"}
        self._token = None if token is None else token.encode()
        self._origins = frozenset(origins)
        self._open = frozenset(open_paths)
        self._rate = None if rate is None else _Rate(rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._add_headers(message, origin)
            await send(message)

        refusal = self._refusal(scope, headers, origin)
        try:
            await (refusal or self._app)(scope, receive, guarded)
        except Exception:
            _LOG.exception("%s %s failed", scope["method"], scope["path"])
            if not started:
                await error_answer(500, "this failed; the log of the service says why")(
                    scope, receive, guarded
                )

    def _refusal(self, scope: Scope, headers: Headers, origin: str) -> Response | None:
        if not self._known_host(headers.get("host", "")):
            return error_answer(421, "the Host header names another machine; see --allow-host")
        if origin and not self._known_origin(origin, headers.get("host", "")):
            return error_answer(403, "pages of other origins may not use this; see --allow-origin")
        if scope["method"] == "OPTIONS" and origin in self._origins:
            return Response(status_code=204)
        if self._token is not None:
            refusal = self._token_refusal(scope, headers)
            if refusal is not None and not (scope["path"] in self._open and refusal.status_code == 401):
                return refusal
        if self._rate and scope["method"] not in _SAFE and (wait := self._rate.wait(scope)):
            wait_for = {"retry-after": str(math.ceil(wait))}
            return error_answer(429, "too many requests; try again later", wait_for)
        return None

    def _token_refusal(self, scope: Scope, headers: Headers) -> Response | None:
        assert self._token is not None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(given.strip()):
            return None
        if self._is_token(_cookie(headers.get("cookie", ""), self._cookie_name(scope))):
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        if scope["method"] == "GET" and self._is_token(dict(query).get("token", "")):
            rest = urlencode([pair for pair in query if pair[0] != "token"])
            # a path that begins with two slashes would lead to another host
            path = "/" + scope["path"].lstrip("/")
            response = RedirectResponse(path + ("?" + rest if rest else ""), 303)
            secure = scope.get("scheme") == "https"
            response.set_cookie(
                self._cookie_name(scope),
                self._token.decode(),
                httponly=True,
                samesite="strict",
                secure=secure,
            )
            return response
        said = {"www-authenticate": "Bearer"}
        return error_answer(401, "this needs a token: Authorization: Bearer TOKEN", said)

    def _is_token(self, given: str) -> bool:
        return self._token is not None and hmac.compare_digest(given.encode("utf-8", "replace"), self._token)

    def _cookie_name(self, scope: Scope) -> str:
        """One for each port: browsers share cookies among the ports of a host."""
        server = scope.get("server") or ("", 0)
        return f"rehead-token-{server[1]}"

    def _known_host(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._hosts or _is_address(name)

    def _known_origin(self, origin: str, host: str) -> bool:
        return origin in self._origins or origin in (f"http://{host}", f"https://{host}")

    def _add_headers(self, message: Message, origin: str) -> None:
        given = message["headers"]
        names = {name.lower() for name, _ in given}
        message["headers"] = [*given, *(pair for pair in _PAIRS if pair[0] not in names)]
        if not self._origins:
            return
        headers = MutableHeaders(scope=message)
        headers.add_vary_header("origin")
        if origin in self._origins:
            headers["access-control-allow-origin"] = origin
            headers["access-control-allow-headers"] = "authorization, content-type"
            headers["access-control-allow-methods"] = "GET, POST"
            headers["cross-origin-resource-policy"] = "cross-origin"


class _Rate:
    """A bucket of tokens for each client, which fills at the rate."""

    def __init__(self, rate: float) -> None:
        self._rate, self._most = rate, max(1.0, _BURST * rate)
        self._left: dict[str, tuple[float, float]] = {}  # and when

    def wait(self, scope: Scope) -> float:
        """Seconds that the client has to wait, 0 where it may go on."""
        client, now = _network((scope.get("client") or ("",))[0]), time.monotonic()
        left, then = self._left.pop(client, (self._most, now))
        left = min(self._most, left + (now - then) * self._rate)
        allowed = left >= 1
        self._left[client] = (left - allowed, now)
        if len(self._left) > _MOST_CLIENTS:
            del self._left[next(iter(self._left))]  # who was not heard of for the longest time
        return 0.0 if allowed else (1 - left) / self._rate


def _network(address: str) -> str:
    """The address of IPv4, the first half of that of IPv6: the other half is the client's to choose."""
    return ":".join(ipaddress.ip_address(address).exploded.split(":")[:4]) if ":" in address else address


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _cookie(header: str, name: str) -> str:
    pairs = (part.strip().partition("=") for part in header.split(";"))
    return next((value for key, _, value in pairs if key == name), "")


def error_answer(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A refusal as all of them are written: JSON {"error": ...}."""
    return JSONResponse({"error": message}, status, headers)
