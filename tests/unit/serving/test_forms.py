from __future__ import annotations

import pytest
from starlette.exceptions import HTTPException

from rehead.serving.uploads import form_fields


def form(*fields: tuple[str, bytes]) -> bytes:
    parts = [
        b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (n.encode(), d) for n, d in fields
    ]
    return b"".join(parts) + b"--b--\r\n"


def test_fields_are_read_in_their_order() -> None:
    fields = [("photo", b"\r\n--b\0\xff"), ("name", "ü".encode()), ("photo", b"")]
    assert form_fields(form(*fields), b"b") == fields


def test_a_form_that_is_cut_short_is_refused() -> None:
    """Or a photo would be missing, and nobody would say so."""
    whole = form(("photo", b"one"), ("photo", b"two"))
    for length in range(len(whole) - len("--\r\n") + 1):
        with pytest.raises(HTTPException) as refused:
            form_fields(whole[:length], b"b")
        assert refused.value.status_code == 400
    with pytest.raises(HTTPException, match="cannot be read"):
        form_fields(whole, b"c")


def test_a_form_has_so_many_fields_at_the_most() -> None:
    assert len(form_fields(form(*[("a", b"")] * 1000), b"b")) == 1000
    with pytest.raises(HTTPException, match="more than 1000 fields"):
        form_fields(form(*[("a", b"")] * 1001), b"b")
