"""Photos out of requests, in memory, within limits of bytes and time."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
from typing import Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from .batching import Overloaded

__all__ = ["form_fields", "read_body", "read_json", "read_photos"]

_CLOSE = {"connection": "close"}  # or the rest of the body would have to be read
_DRAINED = 4  # largest bodies that are read and dropped after a refusal
_DRAIN_SECONDS = 2.0
_MAX_FIELDS = 1000  # of a form: Starlette's own limit; 32 MB of empty ones take 4 s


async def read_body(request: Request, *, limit: int, seconds: float) -> bytes:
    """The whole body.

    Parameters
    ----------
    request : Request
    limit : int
        Bytes; more is 413, before they are read where the client says how many it sends.
    seconds : float
        Time for all of it; more is 408.
    """
    said = request.headers.get("content-length", "")
    parts, size, whole = list[bytes](), 0, False
    try:
        _check_encoding(request)
        _check_size(int(said) if said.isascii() and said.isdigit() else 0, limit)
        async with asyncio.timeout(seconds):
            while not whole:
                message = await request.receive()
                _check_connected(message)
                part, whole = message.get("body", b""), not message.get("more_body", False)
                size += len(part)
                _check_size(size, limit)
                parts.append(part)
    except TimeoutError as error:
        raise HTTPException(408, f"the upload took longer than {seconds:g} seconds", _CLOSE) from error
    except (HTTPException, Overloaded):
        if not whole:
            await _drain(request, _DRAINED * limit)
        raise
    return b"".join(parts)


def _check_connected(message: Message) -> None:
    if message["type"] == "http.disconnect":
        raise HTTPException(400, "the upload ended early")


def _check_encoding(request: Request) -> None:
    if request.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise HTTPException(415, "the body is compressed; send it as it is", _CLOSE)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise HTTPException(413, f"the body is larger than the limit of {limit} bytes", _CLOSE)


async def _drain(request: Request, left: int) -> None:
    """Read and drop the rest of a body of bearable length: who still sends when we close never hears why."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            while left > 0:
                message = await request.receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


async def read_json(request: Request, *, limit: int, seconds: float) -> Any:
    """The body as JSON; 400 where it is none."""
    return _json(await read_body(request, limit=limit, seconds=seconds))


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "the body is not JSON") from error


async def read_photos(request: Request, *, limit: int, seconds: float) -> list[bytes]:
    """Photos of a multipart form (fields `photo`), of JSON {"photos": [BASE64, ...]}, or the body itself."""
    kind, parameters = parse_options_header(request.headers.get("content-type", ""))
    body = await read_body(request, limit=limit, seconds=seconds)
    if kind == b"multipart/form-data":
        photos = [
            data for name, data in form_fields(body, parameters.get(b"boundary", b"")) if name == "photo"
        ]
        if not photos:
            raise HTTPException(400, "the form has no field named photo")
    elif kind == b"application/json":
        photos = _encoded(_json(body))
    else:
        photos = [body]
    if not all(photos):
        raise HTTPException(400, "a photo is empty")
    return photos


def _encoded(record: Any) -> list[bytes]:
    photos = record.get("photos") if isinstance(record, dict) else None
    if not isinstance(photos, list) or not photos or not all(isinstance(one, str) for one in photos):
        raise HTTPException(400, 'expected {"photos": ["BASE64", ...]}')
    try:
        return [base64.b64decode(one, validate=True) for one in photos]
    except (binascii.Error, ValueError) as error:
        raise HTTPException(400, "a photo is not base64") from error


class _Fields:
    """Takes the parts of a form as the parser finds them."""

    def __init__(self) -> None:
        self.found: list[tuple[str, bytes]] = []
        self._header, self._value, self._name = bytearray(), bytearray(), ""
        self._data: list[bytes] = []
        self.whole = False

    def on_part_begin(self) -> None:
        if len(self.found) == _MAX_FIELDS:
            raise HTTPException(413, f"the form has more than {_MAX_FIELDS} fields")
        self._name, self._data = "", []

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._header, self._value = bytearray(), bytearray()

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def on_part_end(self) -> None:
        self.found.append((self._name, b"".join(self._data)))

    def on_end(self) -> None:
        self.whole = True


def form_fields(body: bytes, boundary: bytes) -> list[tuple[str, bytes]]:
    """The fields of a multipart form, by name and content, in order; 400 where it is none.

    Starlette's own form puts files of more than 1 MB onto the disk.
    """
    fields = _Fields()
    names = ("part_begin", "part_data", "part_end", "header_field", "header_value", "header_end", "end")
    callbacks: Any = {f"on_{name}": getattr(fields, f"on_{name}") for name in names}
    try:
        parser = MultipartParser(boundary, callbacks)
        parser.write(body)
        parser.finalize()
    except (MultipartParseError, ValueError) as error:
        raise HTTPException(400, "the form cannot be read") from error
    if not fields.whole:
        raise HTTPException(400, "the form is cut short")
    return fields.found
