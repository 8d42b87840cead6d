"""Formatting of numbers and names in reports: "96.9 %" with a narrow no-break space."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Sequence
from typing import Protocol

__all__ = [
    "count",
    "duration",
    "file_size",
    "first_line",
    "first_of",
    "latency",
    "listed",
    "moment",
    "number",
    "number_range",
    "percent",
    "percent_range",
    "points",
    "points_range",
    "printable",
    "thousands",
]


class Ends(Protocol):
    """Whatever has two ends, such as `evaluation.Interval`."""

    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


_SPACE = "\N{NARROW NO-BREAK SPACE}"
_NONE = "\N{EN DASH}"
_MONTHS = (  # strftime's are in the language of the system
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)


def percent(fraction: float, digits: int = 1) -> str:
    """Write a fraction of 0 to 1 as a percentage; "100 %" and "0 %" only where exact, "–" for nan."""
    return _NONE if math.isnan(fraction) else f"{_hundredths(fraction, digits)}{_SPACE}%"


def percent_range(interval: Ends, digits: int = 1) -> str:
    """Write the ends of an interval of fractions, "89.5 to 99.2 %"."""
    if math.isnan(interval.low):
        return _NONE
    return f"{_hundredths(interval.low, digits)} to {_hundredths(interval.high, digits)}{_SPACE}%"


def number(value: float) -> str:
    """Write a score that is not a fraction with three digits, "–" for nan."""
    return _NONE if math.isnan(value) else f"{value:.3f}"


def number_range(interval: Ends) -> str:
    """Write the ends of an interval, "0.080 to 0.383"."""
    return _NONE if math.isnan(interval.low) else f"{interval.low:.3f} to {interval.high:.3f}"


def count(n: int, singular: str, plural: str | None = None) -> str:
    """Write a number of things, "1 photo", "1,240 photos"."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def points(difference: float, *, sign: bool = False) -> str:
    """Write a difference of fractions in percentage points, "1.5 points"; with `sign` "+1.5 points"."""
    if math.isnan(difference):
        return _NONE
    return f"{_signed(difference, always=sign)} points"


def points_range(interval: Ends) -> str:
    """Write the ends of an interval of differences, "−2.1 to 5.3"."""
    return _NONE if math.isnan(interval.low) else f"{_signed(interval.low)} to {_signed(interval.high)}"


def duration(seconds: float) -> str:
    """Write how long something took, "7.0 s", "2 min 53 s", "3 h 5 min"."""
    if seconds < 60:
        return f"{seconds:.1f}{_SPACE}s"
    whole, (big, small) = (seconds, ("min", "s")) if seconds < 3600 else (seconds / 60, ("h", "min"))
    high, low = divmod(round(whole), 60)
    return f"{high}{_SPACE}{big} {low}{_SPACE}{small}"


def latency(seconds: float) -> str:
    """Write how long one answer takes, "8.3 ms"."""
    return _NONE if math.isnan(seconds) else f"{1000 * seconds:.1f}{_SPACE}ms"


def file_size(size: int) -> str:
    """Write the size of a file in bytes, "13.5 MB", "370 kB"."""
    return f"{size / 1e6:.1f}{_SPACE}MB" if size >= 1e6 else f"{size / 1e3:.0f}{_SPACE}kB"


def thousands(n: int) -> str:
    """Write a count of parameters, "3.4 million", "93,893"."""
    return f"{n / 1e6:.1f} million" if n >= 1_000_000 else f"{n:,}"


def listed(names: Sequence[str], most: int = 8) -> str:
    """Write names in quotes, the first `most` of them: "'a', 'b' and 3 more"."""
    quoted = [f"'{name}'" for name in names]
    if len(quoted) > most:
        return f"{', '.join(quoted[:most])} and {len(quoted) - most} more"
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)


def first_of(names: Sequence[str], most: int = 5) -> str:
    """Write names as Python does, the first `most` of them: "'a', 'b' and 3 more"; for errors."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def first_line(error: Exception) -> str:
    """What an error of another library says in its first line, for a message; else the name of its class."""
    return (str(error).splitlines() or [type(error).__name__])[0]


# Controls (a terminal obeys them), the marks and overrides of bidirectional text (Unicode annex 9, table 4),
# line and paragraph separators, and the halves of surrogate pairs: bytes of a file name that are no UTF-8.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Write text of others, such as names of files and classes, on one line: what is no glyph as an escape.

    A newline becomes "\\n", an escape character "\\x1b", a right-to-left override "\\u202e".
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def moment(date: str) -> str:
    """Write the time of a record, ISO 8601, as "27 November 2026, 23:32 UTC"; other text as it is."""
    try:
        time = datetime.datetime.fromisoformat(date)
    except ValueError:
        return date
    if time.tzinfo:
        time = time.astimezone(datetime.UTC)
    zone = " UTC" if time.tzinfo else ""
    return f"{time.day} {_MONTHS[time.month - 1]} {time.year}, {time:%H:%M}{zone}"


def _signed(difference: float, *, always: bool = False) -> str:
    text = f"{100 * difference:+.1f}" if always else f"{100 * difference:.1f}"
    return "0" if not float(text) else text.replace("-", "\N{MINUS SIGN}")


def _hundredths(fraction: float, digits: int = 1) -> str:
    if fraction in (0.0, 1.0):
        return f"{100 * fraction:.0f}"
    # 0.9996 is not 100.0 %: rounding must not turn "nearly" into "all"
    step = 10.0**-digits
    return f"{min(max(100 * fraction, step), 100 - step):.{digits}f}"
