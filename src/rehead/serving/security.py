"""Who may ask, and what browsers may do with the answers; for every application of rehead's."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Guard", "new_token"]

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
_SAFE = ("GET", "HEAD", "OPTIONS")
_TOKEN_BYTES = 32  # as `secrets` has it: enough against any guessing


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


class Guard:
    """ASGI middleware: checks Host, Origin and token, and adds the security headers.

    Parameters
    ----------
    app : ASGI application
    hosts : sequence of str
        Names and addresses that the Host header may have, without ports; those of loopback are always known.
    token : str, optional
        What clients have to send: `Authorization: Bearer TOKEN`. A browser opens `/?token=TOKEN` once, and
        gets a cookie.
    origins : sequence of str
        Pages of other hosts that may use it: "https://example.org".
    open_paths : sequence of str
        Paths that need no token.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Sequence[str] = (),
        token: str | None = None,
        origins: Sequence[str] = (),
        open_paths: Sequence[str] = (),
    ) -> None:
        self._app = app
        self._hosts = {host.lower().strip("[]") for host in hosts} | {"localhost"}
        self._token = None if token is None else token.encode()
        self._origins = frozenset(origins)
        self._open = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add_headers(MutableHeaders(scope=message), origin)
            await send(message)

        refusal = self._refusal(scope, headers, origin)
        await (refusal or self._app)(scope, receive, guarded)

    def _refusal(self, scope: Scope, headers: Headers, origin: str) -> Response | None:
        if not self._known_host(headers.get("host", "")):
            return _error(421, "the Host header names another machine; see --allow-host")
        if origin and not self._known_origin(origin, headers.get("host", "")):
            return _error(403, "pages of other origins may not use this; see --allow-origin")
        if scope["method"] == "OPTIONS" and origin in self._origins:
            return Response(status_code=204)
        if self._token is None or scope["path"] in self._open:
            return None
        return self._token_refusal(scope, headers)

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
        refused = _error(401, "this needs a token: Authorization: Bearer TOKEN")
        refused.headers["www-authenticate"] = "Bearer"
        return refused

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
        return name in self._hosts or _is_loopback_address(name)

    def _known_origin(self, origin: str, host: str) -> bool:
        return origin in self._origins or origin in (f"http://{host}", f"https://{host}")

    def _add_headers(self, headers: MutableHeaders, origin: str) -> None:
        for name, value in _HEADERS.items():
            if name not in headers:
                headers[name] = value
        if origin in self._origins:
            headers["access-control-allow-origin"] = origin
            headers["access-control-allow-headers"] = "authorization, content-type"
            headers["access-control-allow-methods"] = "GET, POST"
            headers["cross-origin-resource-policy"] = "cross-origin"
        if self._origins:
            headers.add_vary_header("origin")


def _is_loopback_address(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _cookie(header: str, name: str) -> str:
    pairs = (part.strip().partition("=") for part in header.split(";"))
    return next((value for key, _, value in pairs if key == name), "")


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status)
