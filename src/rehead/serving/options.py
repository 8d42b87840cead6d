"""What a service is asked for; imports nothing heavy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ..core.options import Opt, check_options

__all__ = ["ServeOptions", "is_loopback"]


def _names(word: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in word.split(",") if part.strip())


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """Where a service listens, whom it answers, and how much it takes on."""

    host: Annotated[str, Opt(help="Address to listen at; any but this machine's own asks for a token.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Opt(help="Port to listen at; 0 takes a free one.", ge=0, le=65535)] = 8000
    token_file: Annotated[
        Path | None,
        Opt(help="File that holds the token that clients have to send; one is made and printed without."),
    ] = None
    allow_host: Annotated[
        tuple[str, ...] | None,
        Opt(
            help="Other names of this machine that clients may use: photos.example.org,10.0.0.7.",
            parse=_names,
        ),
    ] = None
    allow_origin: Annotated[
        tuple[str, ...] | None,
        Opt(help="Pages that may use it from a browser: https://example.org.", parse=_names),
    ] = None
    collect: Annotated[
        Path | None,
        Opt(
            help="Folder for photos that visitors of the page say were answered wrongly, by right class; "
            "nothing is kept without."
        ),
    ] = None
    rate: Annotated[float | None, Opt(help="Requests a second that one client may send.", gt=0)] = None
    trust_proxy: Annotated[
        tuple[str, ...] | None,
        Opt(
            help="Addresses of proxies that say whom a request is from (X-Forwarded-For): 127.0.0.1.",
            parse=_names,
        ),
    ] = None
    threads: Annotated[int | None, Opt(help="Processors to use; all by default.", ge=1)] = None
    queue: Annotated[int, Opt(help="Photos that may wait; requests beyond are refused with 503.", ge=1)] = 64
    max_megabytes: Annotated[
        float, Opt(help="Limit on one request, in megabytes (10^6 bytes).", gt=0, lt=math.inf)
    ] = 32.0
    upload_seconds: Annotated[
        float, Opt(help="Time that an upload may take, from the first byte to the last.", gt=0, lt=math.inf)
    ] = 20.0

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def max_bytes(self) -> int:
        """Bytes that the body of one request may have."""
        return int(self.max_megabytes * 1e6)


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach an address."""
    import ipaddress

    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
