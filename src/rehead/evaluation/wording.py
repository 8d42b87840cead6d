"""How numbers read: "96.9 %" with a narrow no-break space, British plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .intervals import Interval

__all__ = ["count", "listed", "number", "number_range", "percent", "percent_range"]

_SPACE = "\N{NARROW NO-BREAK SPACE}"
_NONE = "\N{EN DASH}"


def percent(share: float, digits: int = 1) -> str:
    """Write a share of 0 to 1 as a percentage; "100 %" and "0 %" only where exact, "–" for nan."""
    return _NONE if math.isnan(share) else f"{_hundredths(share, digits)}{_SPACE}%"


def percent_range(interval: Interval) -> str:
    """Write the ends of an interval of shares, "89.5 to 99.2 %"."""
    if math.isnan(interval.low):
        return _NONE
    return f"{_hundredths(interval.low)} to {_hundredths(interval.high)}{_SPACE}%"


def number(value: float) -> str:
    """Write a score that is not a share with three digits, "–" for nan."""
    return _NONE if math.isnan(value) else f"{value:.3f}"


def number_range(interval: Interval) -> str:
    """Write the ends of an interval, "0.080 to 0.383"."""
    return _NONE if math.isnan(interval.low) else f"{interval.low:.3f} to {interval.high:.3f}"


def count(n: int, singular: str, plural: str | None = None) -> str:
    """Write a number of things, "1 photo", "1,240 photos"."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def listed(names: Sequence[str], most: int = 8) -> str:
    """Write names in quotes, the first `most` of them: "'a', 'b' and 3 more"."""
    quoted = [f"'{name}'" for name in names]
    if len(quoted) > most:
        return f"{', '.join(quoted[:most])} and {len(quoted) - most} more"
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)


def _hundredths(share: float, digits: int = 1) -> str:
    if share in (0.0, 1.0):
        return f"{100 * share:.0f}"
    # 0.9996 is not 100.0 %: rounding must not turn "nearly" into "all"
    step = 10.0**-digits
    return f"{min(max(100 * share, step), 100 - step):.{digits}f}"
