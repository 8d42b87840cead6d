"""Requests that no honest client sends, made from a seed, and a client that sends them byte for byte."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import random
import socket
import struct
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

__all__ = ["KINDS", "TOKEN", "Attack", "attack", "exchange", "good_photo", "request"]

Piece = bytes | float  # what is sent, or how long to wait before the next

TOKEN = "second-token-of-20-letters"
"""What all of them send as the second token, so that they get further."""

_PATHS = ("/predict", "/v2/models/{model}/infer", "/keypoints", "/identify", "/verify", "/people/enroll")
_BOUNDARY = b"----boundary"


@dataclass(frozen=True)
class Attack:
    """A hostile request.

    Parameters
    ----------
    kind : str
        In words, for a message.
    pieces : sequence of bytes or float
        What is sent; a number is a pause in seconds.
    half_close : bool
        Whether the client then says that it sends no more.
    """

    kind: str
    pieces: Sequence[Piece]
    half_close: bool = False


def good_photo(form: str = "JPEG", size: tuple[int, int] = (40, 30), seed: int = 0) -> bytes:
    """A photo of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


_PHOTOS = [good_photo(form) for form in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")]


def request(
    path: str,
    body: bytes = b"",
    kind: str = "application/octet-stream",
    *,
    method: str = "POST",
    host: str = "127.0.0.1",
    more: Sequence[tuple[str, str]] = (),
    length: str | None = None,
) -> bytes:
    """A request of HTTP/1.1 that closes the connection."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", f"Content-Type: {kind}"]
    lines.append(f"X-Enrol-Token: {TOKEN}")
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    lines += [f"{name}: {value}" for name, value in more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape") + body


def form(fields: Sequence[tuple[str, bytes]]) -> bytes:
    """A multipart form."""
    parts = [
        b'--%b\r\nContent-Disposition: form-data; name="%b"; filename="../../x.jpg"\r\n\r\n%b\r\n'
        % (_BOUNDARY, name.encode(), data)
        for name, data in fields
    ]
    return b"".join(parts) + b"--" + _BOUNDARY + b"--\r\n"


_FORM = f"multipart/form-data; boundary={_BOUNDARY.decode()}"


def infer_body(rng: random.Random) -> tuple[bytes, list[tuple[str, str]]]:
    """An inference request that is right, in JSON or in binary."""
    height, width = rng.randint(1, 40), rng.randint(1, 40)
    entry: dict[str, object] = {"name": "image", "shape": [1, height, width, 3], "datatype": "UINT8"}
    pixels = rng.randbytes(height * width * 3)
    if rng.random() < 0.5:
        return json.dumps({"inputs": [{**entry, "data": list(pixels)}]}).encode(), []
    if rng.random() < 0.5:
        photo = rng.choice(_PHOTOS)
        entry = {"name": "image", "shape": [1], "datatype": "BYTES"}
        pixels = struct.pack("<I", len(photo)) + photo
    entry["parameters"] = {"binary_data_size": len(pixels)}
    text = json.dumps({"inputs": [entry], "outputs": [{"name": "probabilities"}]}).encode()
    return text + pixels, [("Inference-Header-Content-Length", str(len(text)))]


def valid(rng: random.Random, model: str) -> bytes:
    """A request as an honest client sends it."""
    path = rng.choice(_PATHS).format(model=model)
    if path.endswith("/infer"):
        body, more = infer_body(rng)
        return request(path, body, more=more)
    photo = rng.choice(_PHOTOS)
    way = rng.random()
    if way < 0.4:
        return request(path, form([("photo", photo), ("photo", photo), ("name", b"x")]), _FORM)
    if way < 0.6:
        return request(path, json.dumps({"photos": ["aGFsbG8="]}).encode(), "application/json")
    return request(path, photo)


def mutated(rng: random.Random, data: bytes, times: int) -> bytes:
    """The same with bytes changed, taken out and doubled."""
    changed = bytearray(data)
    for _ in range(times):
        at = rng.randrange(len(changed) + 1)
        way = rng.randrange(4)
        if way == 0 and at < len(changed):
            changed[at] = rng.randrange(256)
        elif way == 1:
            del changed[at : at + rng.randint(1, 9)]
        elif way == 2:
            changed[at:at] = rng.randbytes(rng.randint(1, 9))
        else:
            changed[at:at] = changed[at : at + rng.randint(1, 99)]
    return bytes(changed)


def truncated(rng: random.Random, model: str) -> Attack:
    whole = valid(rng, model)
    return Attack("truncated", [whole[: rng.randrange(len(whole))]], half_close=True)


def mangled(rng: random.Random, model: str) -> Attack:
    return Attack("mangled", [mutated(rng, valid(rng, model), rng.randint(1, 20))])


def garbage(rng: random.Random, model: str) -> Attack:
    data = rng.choice(
        [
            rng.randbytes(rng.randint(1, 3000)),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(500),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + rng.randbytes(50),
            b"GET /\r\n\r\n",
            b"\r\n" * rng.randint(1, 3000),
            valid(rng, model).replace(b"Connection: close", b"Connection: keep-alive") * 3,
            request("/predict", more=[("Upgrade", "websocket"), ("Connection", "upgrade")], method="GET"),
            b"\0" * rng.randint(1, 70_000),
        ]
    )
    return Attack("garbage", [data])


def lengths(rng: random.Random, model: str) -> Attack:
    path, photo = rng.choice(_PATHS).format(model=model), rng.choice(_PHOTOS)
    wrong = ["-1", "+5", "0x10", "1e3", "", "99999999999999999999", "9" * 400, "5, 5", "5 5", "²"]
    wrong += [str(len(photo) - 1), str(len(photo) + 1), str(10**9), "0"]
    more = rng.choice([[], [], [("Content-Length", "3")], [("Transfer-Encoding", "chunked")]])
    data = request(path, photo, length=rng.choice(wrong), more=more)
    return Attack("lengths", [data])


def chunked(rng: random.Random, model: str) -> Attack:
    head = request(rng.choice(_PATHS).format(model=model), more=[("Transfer-Encoding", "chunked")])
    head = head.replace(b"Content-Length: 0\r\n", b"")
    photo = rng.choice(_PHOTOS)
    body = rng.choice(
        [
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(photo), photo),
            b"%x\r\n%b\r\n0\r\n" % (len(photo) + 5, photo),
            b"FFFFFFFFFFFFFFFFFF\r\n" + photo,
            b"-5\r\n" + photo,
            b"5;" + b"a" * 70_000 + b"\r\nhello\r\n0\r\n\r\n",
            b"".join(b"1\r\n%c\r\n" % byte for byte in photo[:2000]) + b"0\r\n\r\n",
            b"zz\r\n",
            b"0\r\n" + b"Trailer: x\r\n" * 5000 + b"\r\n",
        ]
    )
    return Attack("chunked", [head + body])


def content_types(rng: random.Random, model: str) -> Attack:
    kinds = [
        "",
        "text/html",
        "application/json; charset=utf-16",
        "multipart/form-data",
        "image/jpeg;" * 200,
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary="' + "b" * 5000 + '"',
        "application/x-www-form-urlencoded",
        "application/json",
        _FORM,
        'a/b; c="\\',
        "\udcff\udcfe",
        "multipart/form-data; boundary*=utf-8''%ff",
        "multipart/mixed; boundary=x",
    ]
    body = rng.choice([*_PHOTOS, b"", form([("photo", _PHOTOS[0])]), b'{"photos": []}', b"photo=1&photo=2"])
    path = rng.choice(_PATHS).format(model=model)
    return Attack("content types", [request(path, body, rng.choice(kinds))])


def bad_json(rng: random.Random, model: str) -> Attack:
    path = rng.choice(_PATHS[:5]).format(model=model)
    good = json.dumps({"photos": ["aGFsbG8="], "inputs": [{"name": "image", "shape": [1]}]}).encode()
    body = rng.choice(
        [
            mutated(rng, good, rng.randint(1, 5)),
            rng.choice([b"[", b'{"a":', b'{"photos":[']) * rng.randint(1000, 300_000),
            b'{"photos": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            b'{"photos": [' + b"[]," * 300_000 + b"1]}",
            b'{"inputs": ' + rng.choice([b"NaN", b"1e999", b"9" * 6000, b'"\\ud800"', b"null", b"3"]) + b"}",
            json.dumps({"photos": [rng.choice([None, 3, "", "%%%", "a" * 99_999, {}, []])]}).encode(),
            json.dumps({"photos": ["aGFsbG8="] * rng.randint(60, 30_000)}).encode(),
            good.decode().encode(rng.choice(["utf-16", "utf-32", "utf-8-sig"])),
            b"\xff\xfe" + rng.randbytes(40),
            b"",
        ]
    )
    return Attack("bad JSON", [request(path, body, "application/json")])


def bad_forms(rng: random.Random, model: str) -> Attack:
    path, photo = rng.choice(["/predict", "/verify", "/people/enroll", "/identify"]), _PHOTOS[0]
    good = form([("photo", photo), ("name", b"\xff\xfe")])
    body = rng.choice(
        [
            good.replace(_BOUNDARY, b"other"),
            good.replace(b"--\r\n", b""),
            good[: rng.randrange(len(good))],
            good.replace(b"\r\n", b"\n"),
            mutated(rng, good, rng.randint(1, 9)),
            form([("photo", b"")] * rng.randint(1, 20_000)),
            (b"--" + _BOUNDARY + b"\r\n\r\n\r\n") * 20_000,
            b"\r\n--" * rng.randint(1, 200_000),
            (b"\r\n--" + _BOUNDARY[:-1]) * 20_000,
            b"--" + _BOUNDARY + b"\r\n" + b"A: b\r\n" * 50_000,
            b"--" + _BOUNDARY + b"\r\nContent-Disposition: form-data; name=" + b"a" * 500_000 + b"\r\n\r\n",
            b"--" + _BOUNDARY + b'\r\nContent-Disposition: form-data; name="' + b"\\" * 100_000,
            form([("photo" * 1000, photo), ("name\0", b"x"), ("", b"")]),
            b"",
        ]
    )
    return Attack("bad forms", [request(path, body, _FORM)])


def bad_tensors(rng: random.Random, model: str) -> Attack:
    path = f"/v2/models/{model}/infer"
    body, more = infer_body(rng)
    numbers: list[object] = [-1, 0, 2**31, 2**63, 10**30, 1.5, True, None, "1", [], 3, 40]
    way = rng.randrange(7)
    if way == 0:
        body = mutated(rng, body, rng.randint(1, 9))
    elif way == 1:
        wrong = rng.choice(["-1", "0", "x", str(len(body) + 1), str(rng.randrange(len(body))), "9" * 99])
        more = [("Inference-Header-Content-Length", wrong)]
    elif way in (2, 3):
        entry = {
            "name": rng.choice(["image", "image", "x", 3, None]),
            "shape": rng.choice(
                [[rng.choice(numbers) for _ in range(rng.randint(0, 9))], [10**6] * 4, [1, 1, 10**8, 3], None]
            ),
            "datatype": rng.choice(["UINT8", "BYTES", "FP32", "INT64", "BOOL", "FP16", "BF16", "", 3]),
            "data": rng.choice([[rng.choice(numbers) for _ in range(9)], [[]], [[[1]], 2], "x", {}, 3]),
        }
        body, more = json.dumps({"inputs": [entry] * rng.choice([1, 1, 2])}).encode(), []
    elif way == 4:
        shape = [rng.choice([1, 2, 70, 1000]), 1, 1, 3]
        data = [0] * (shape[0] * 3)
        entry = {"name": "image", "shape": shape, "datatype": "UINT8", "data": data}
        outputs = [
            {
                "name": rng.choice(["label", "features", "x", 3]),
                "parameters": rng.choice(
                    [{"classification": rng.choice(numbers)}, {"binary_data": rng.choice(numbers)}, 3, {}]
                ),
            }
        ]
        body, more = json.dumps({"inputs": [entry], "outputs": outputs}).encode(), []
    elif way == 5:
        side = rng.choice([100_000, 16_385, 16_384])
        shape = rng.choice([[1, 1, side, 3], [1, side, 1, 3]])
        entry = {"name": "image", "shape": shape, "datatype": "UINT8"}
        entry["parameters"] = {"binary_data_size": side * 3}
        text = json.dumps({"inputs": [entry]}).encode()
        body, more = text + bytes(side * 3), [("Inference-Header-Content-Length", str(len(text)))]
    else:
        count = rng.choice([1, 2, 100_000])
        raw = rng.choice([struct.pack("<I", 2**32 - 1), struct.pack("<I", 0) * count, rng.randbytes(50), b""])
        entry = {
            "name": "image",
            "shape": [count],
            "datatype": "BYTES",
            "parameters": {"binary_data_size": len(raw)},
        }
        text = json.dumps({"inputs": [entry]}).encode()
        body, more = text + raw, [("Inference-Header-Content-Length", str(len(text)))]
    return Attack("bad tensors", [request(path, body, more=more)])


_TRICKS = [
    "/../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "//evil.example/..",
    "/static/../../../etc/passwd",
    "/\\..\\..\\windows",
    "/static/%2e%2e%2f%2e%2e%2fetc/passwd",
    "/v2/models/..%2f..%2fx/infer",
    "/v2/models/%00/infer",
    "/v2/models//infer",
    "/v2/models/{model}/versions/-1/infer",
    "/predict?model=../../x",
    "/predict?model=%ff%fe&maps=maybe",
    "/%",
    "/%zz",
    "*",
    ";/x",
    "http://evil.example/predict",
    "/predict?maps=1&maps=2&model=",
    "/docs/../metrics",
    "/é中",
    "/.git/config",
    "/static/",
    "/%2fetc/passwd",
    "/keypoints?detect=x",
    "/people",
    "/people/enroll",
    "/people/remove",
    "/openapi.json",
    "/v2/health/live/",
    "/metrics/x",
    "/v2/models/a%0d%0aX-Evil:%201/ready",
    "/docs",
    "/v2",
    "/v2/models/{model}",
]
_METHODS = [
    "GET",
    "POST",
    "PUT",
    "DELETE",
    "HEAD",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PROPFIND",
    "get",
    "G\x00T",
]
_HOSTS = [
    "evil.example",
    "127.0.0.1.evil.example",
    "127.0.0.1@evil.example",
    "[::1",
    "localhost:99999999",
    "127.0.0.1:x",
    "�",
    "[::ffff:10.0.0.1]",
    "0.0.0.0",
    "127.1",
    "evil.example:8000",
    "[v1.x]",
    "xn--",
    "2130706433",
    "%31",
    "127.0.0.1#x",
    "127.0.0.1/x",
    "::1",
]


def paths(rng: random.Random, model: str) -> Attack:
    long = ["/" + "a" * 60_000, "/?" + "a=b&" * 10_000, "/v2/models/" + "%F0%9F%90%9F" * 500]
    path = rng.choice([*_TRICKS, *long]).format(model=model)
    method = rng.choice([*_METHODS, "A" * 300])
    return Attack("paths", [request(path, rng.choice([b"", _PHOTOS[0]]), method=method)])


def hosts(rng: random.Random, model: str) -> Attack:
    host = rng.choice([*_HOSTS, "", "a" * 9000, "localhost\tx"])
    more = rng.choice(
        [
            [],
            [("Host", "127.0.0.1")],
            [("X-Forwarded-Host", "127.0.0.1")],
            [
                (
                    "Origin",
                    rng.choice(["https://evil.example", "null", "\udcff", "http://[", "http://127.0.0.1:1"]),
                )
            ],
            [("Authorization", "Bearer \udcff" + "x" * 2000)],
            [("Cookie", "=;" * 3000)],
        ]
    )
    data = request("/predict", _PHOTOS[0], host=host, more=more)
    if rng.random() < 0.1:
        data = data.replace(b"Host: " + host.encode("utf-8", "surrogateescape") + b"\r\n", b"")
    return Attack("hosts", [data])


def headers(rng: random.Random, model: str) -> Attack:
    more = rng.choice(
        [
            [(f"X-{n}", "y") for n in range(rng.randint(50, 3000))],
            [("X", "y" * rng.randint(10_000, 200_000))],
            [("X" * 20_000, "y")],
            [("X y", "z"), ("", "z")],
            [("X", "a\r\n folded\r\n\tmore")],
            [("Cookie", "a=b; " * 9000)],
            [("Expect", rng.choice(["100-continue", "200-ok"]))],
            [("Range", "bytes=0-9999999999")],
            [("Accept", "*/*," * 9000), ("Accept-Encoding", "br;q=x"), ("Accept-Language", "\udcff")],
            [("Inference-Header-Content-Length", "1"), ("Inference-Header-Content-Length", "2")],
            [("X-Enrol-Token", "\udcff" * 50)],
        ]
    )
    path = rng.choice([*_PATHS, "/people", "/"]).format(model=model)
    return Attack("headers", [request(path, _PHOTOS[1], more=more)])


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(width: int, height: int, data: bytes) -> bytes:
    """A PNG that says it has as many grey pixels."""
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


@cache
def _bombs() -> list[tuple[bytes, list[tuple[str, str]]]]:
    """Bodies that grow when they are decoded, and their headers."""
    jpegs = []
    for width in (65_500, 1, 1300):
        jpeg = bytearray(_PHOTOS[0])
        frame = jpeg.index(b"\xff\xc0")
        jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65_500, width)
        jpegs.append(bytes(jpeg))
    gif = _PHOTOS[3][:6] + struct.pack("<HH", 65_535, 65_535) + _PHOTOS[3][10:]
    zeros = zlib.compress(bytes(8 * 1024**2), 9)
    text = _chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(64 * 1024**2), 1))
    packed = gzip.compress(bytes(20 * 1024**2), 1)
    photos = [
        png_bomb(2**31 - 1, 2**31 - 1, zeros),
        png_bomb(100_000, 100_000, zeros),
        png_bomb(9000, 9000, zeros),  # 81 million pixels, but not the data for them
        _PHOTOS[1][:33] + text + _PHOTOS[1][33:],
        gif,
        *jpegs,
    ]
    codings = ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x"]
    return [*((photo, []) for photo in photos), *((packed, [("Content-Encoding", c)]) for c in codings)]


@cache
def _large() -> bytes:
    """81 million pixels in 79 kB, just below the limit: decoded, which takes a second."""
    return png_bomb(9000, 9000, zlib.compress(bytes(9001 * 9000), 9))


def bombs(rng: random.Random, model: str) -> Attack:
    body, more = (_large(), []) if rng.random() < 0.02 else rng.choice(_bombs())
    path = rng.choice(_PATHS[:3]).format(model=model)
    whole = [*more, ("Inference-Header-Content-Length", "0")] if path.endswith("infer") else more
    return Attack("bombs", [request(path, body, more=whole)])


def damaged_photos(rng: random.Random, model: str) -> Attack:
    photo = mutated(rng, rng.choice(_PHOTOS), rng.randint(1, 40))
    path = rng.choice(_PATHS[:4]).format(model=model)
    more = [("Inference-Header-Content-Length", "0")] if path.endswith("infer") else []
    return Attack("damaged photos", [request(path, photo or b"x", more=more)])


def huge(rng: random.Random, model: str) -> Attack:
    """More than the limit of a request, which is refused before all of it is read."""
    path = rng.choice(_PATHS).format(model=model)
    if rng.random() < 0.5:
        return Attack("huge", [request(path, b"x" * 1000, length=str(rng.choice([10**8, 10**12])))])
    head = request(path, more=[("Transfer-Encoding", "chunked")]).replace(b"Content-Length: 0\r\n", b"")
    chunk = b"100000\r\n" + bytes(1024**2) + b"\r\n"
    return Attack("huge", [head, *[chunk] * 12, b"0\r\n\r\n"])


def slow(rng: random.Random, model: str) -> Attack:
    whole = valid(rng, model)
    end = whole.index(b"\r\n\r\n") + 4
    if rng.random() < 0.3:  # nothing after the headers, or not even all of them
        return Attack("slow", [whole[: rng.choice([end, end // 2])], 3.0], half_close=True)
    body = whole[end:]
    return Attack("slow", [whole[:end], *(p for n in range(30) for p in (body[n : n + 1], 0.1)), b"x"])


_WEIGHTS: dict[Callable[[random.Random, str], Attack], int] = {
    truncated: 10,
    mangled: 12,
    garbage: 6,
    lengths: 7,
    chunked: 6,
    content_types: 6,
    bad_json: 8,
    bad_forms: 9,
    bad_tensors: 14,
    paths: 10,
    hosts: 6,
    headers: 7,
    bombs: 4,
    damaged_photos: 10,
    huge: 1,
    slow: 1,
}
KINDS = len(_WEIGHTS)
"""How many kinds there are."""


def attack(seed: int, number: int, model: str) -> Attack:
    """The hostile request of a number, always the same for a seed."""
    rng = random.Random(f"{seed} {number}")
    (kind,) = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
    return kind(rng, model)


def exchange(
    address: tuple[str, int], of: Attack, *, seconds: float, patience: float = 1.5
) -> tuple[int | None, bytes]:
    """Send it, and read until the service closes: the status, None without one, and the body.

    Where nothing comes for `patience` seconds, as the service waits for the rest of the request, the client
    says that it sends no more.

    Raises
    ------
    TimeoutError
        The service neither answered nor closed within `seconds`.
    """
    deadline = time.monotonic() + seconds
    with socket.create_connection(address, timeout=seconds) as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has heard enough
            for piece in of.pieces:
                if isinstance(piece, float):
                    time.sleep(piece)
                else:
                    client.sendall(piece)
            if of.half_close:
                client.shutdown(socket.SHUT_WR)
        reply = _read(client, deadline, patience)
    head, _, body = reply.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    return (int(words[1]) if len(words) > 1 and words[1].isdigit() else None), body


def _read(client: socket.socket, deadline: float, patience: float) -> bytes:
    """What comes before the connection is closed; after a whole response that keeps it open, no more."""
    reply = b""
    client.settimeout(patience)
    while not _is_whole(reply):
        try:
            part = client.recv(65_536)
        except TimeoutError:
            if time.monotonic() > deadline:
                raise
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_WR)
            continue
        except ConnectionResetError:
            break
        if not part:
            break
        reply += part
    return reply


def _is_whole(reply: bytes) -> bool:
    head, end, body = reply.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n") if end else ():
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.split(b":")[1])
    return False
