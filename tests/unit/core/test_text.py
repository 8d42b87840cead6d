from __future__ import annotations

import pytest

from rehead.core.text import moment, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a class", "a class"),
        ("[/old] thé😀 👨‍👩‍👧", "[/old] thé😀 👨‍👩‍👧"),
        ("two\nlines\t\r", "two\\nlines\\t\\r"),
        ("\x1b[31mred\x9b1m\x7f", "\\x1b[31mred\\x9b1m\\x7f"),
        ("gpj\u202egnp\u2069\u200f", "gpj\\u202egnp\\u2069\\u200f"),
        ("line\u2028sep", "line\\u2028sep"),
        ("no\udcff text", "no\\udcff text"),
    ],
)
def test_text_of_others_is_shown_on_one_line(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_a_time_stamp_reads_as_a_date() -> None:
    assert moment("2026-11-27T23:32:05+00:00") == "27 November 2026, 23:32 UTC"
    assert moment("2026-03-01T00:10:00+02:00") == "28 February 2026, 22:10 UTC"
    assert moment("2026-03-01T00:10:00") == "1 March 2026, 00:10"
    assert moment("yesterday") == "yesterday"
