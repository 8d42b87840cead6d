"""What the verbs that write pictures share."""

from __future__ import annotations

from pathlib import Path

__all__ = ["check_suffix", "read_lines"]


def check_suffix(out: Path, *suffixes: str) -> str:
    """The ending of a file to write, in lower case; DataError where it is none of these."""
    from ..errors import DataError

    if (suffix := out.suffix.lower()) not in suffixes:
        raise DataError(f"{out}: expected a name that ends in {' or '.join(suffixes)}")
    return suffix


def read_lines(path: Path) -> list[str]:
    """The lines of a text file but for blank ones; DataError where it cannot be read."""
    from ..errors import DataError

    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    return [line.strip() for line in text.splitlines() if line.strip()]
