"""Names of classes that are probably one class, or several in one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

__all__ = ["joined_names", "similar_names"]

_SEPARATORS = ";|"  # a comma stands in names of people and places too
_MANY = 0.1  # share of the photos from which a table means several labels by it; a choice


def similar_names(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names that differ in case or spaces only, those of one kind together: [("Cat", "cat ")]."""
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        found.setdefault(" ".join(name.casefold().split()), []).append(name)
    return [tuple(alike) for alike in found.values() if len(alike) > 1]


def joined_names(counts: Mapping[str, int]) -> tuple[str, ...]:
    """Names such as "round;red" and "round;blue" that hold several labels, where many photos have such.

    `counts` are the photos of each class. At least one label is in two of the names.
    """
    for separator in _SEPARATORS:
        parts = {name: [part.strip() for part in name.split(separator)] for name in counts}
        joined = sorted(name for name in counts if len(parts[name]) > 1 and all(parts[name]))
        seen = Counter(part for own in parts.values() for part in set(own))
        again = any(seen[part] > 1 for name in joined for part in parts[name])
        if again and sum(counts[name] for name in joined) >= _MANY * sum(counts.values()):
            return tuple(joined)
    return ()
