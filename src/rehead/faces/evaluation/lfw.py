"""Pairs of photos in folds: the protocol of Labeled Faces in the Wild (Huang et al. 2007).

For each fold the threshold is the one of the highest accuracy on all other folds; the accuracy is the mean
over folds. A pair in which a face could not be found counts as wrong, whatever its truth. FNMR at a target
FMR is cross-validated in the same way: the threshold comes from the impostor pairs of the other folds.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.duplicates import connected_groups
from ...errors import DatasetError
from ...evaluation.intervals import Interval, proportion
from ..verification.error_rates import rule_of_three, threshold_at
from ..verification.pairs import Pairs

__all__ = ["PairList", "PairResult", "VerificationPoint", "evaluate_pairs", "read_pairs"]

_FOLDS = 10  # LFW's; made of the people where a file has one set of pairs only
_TARGET_FMRS = (0.1, 0.01, 0.001)
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class PairList:
    """Pairs of photos.

    Parameters
    ----------
    photos : tuple of Path, length P
        Each once.
    people : int ndarray (P,)
        Person on each, as a code.
    first, second : int ndarray (m,)
        The photos of each pair, as indices of `photos`.
    fold : int ndarray (m,)
        0 and up; as published, or of the people where only one set is there.
    published : bool
        Whether the folds are those of the file.
    """

    photos: tuple[Path, ...]
    people: NDArray[np.intp]
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    fold: NDArray[np.intp]
    published: bool


def read_pairs(file: str | os.PathLike[str], images: str | os.PathLike[str]) -> PairList:
    """Read a list of pairs in LFW's form.

    Its first line is the number of folds and of pairs of each kind in a fold ("10 300"), or the latter
    alone; then each fold has so many lines "NAME 1 4", two photos of one person, and as many
    "NAME 1 OTHER 2".
    Photo 4 of NAME is IMAGES/NAME/NAME_0004.jpg.

    Raises
    ------
    DatasetError
        The file is not in that form, or photos are missing.
    """
    path, root = Path(file), Path(images)
    try:
        lines = [line.split() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise DatasetError(f"{path}: the pairs cannot be read ({reason})") from error
    folds, size = _header(path, lines)
    numbers: dict[tuple[str, int], int] = {}
    pairs = []
    for n, words in enumerate(lines[1:], 2):
        keys = _photos_of(path, n, words)
        pairs.append([numbers.setdefault(key, len(numbers)) for key in keys])
    files = [_file_of(root, name, number) for name, number in numbers]
    if missing := [key for key, file in zip(numbers, files, strict=True) if file is None]:
        name, number = missing[0]
        raise DatasetError(
            f"{root}: {len(missing)} of {len(numbers)} photos of {path.name} are not there, such as "
            f"{name}/{name}_{number:04d}.jpg; give the folder that holds one folder a person"
        )
    people = np.unique([name for name, _ in numbers], return_inverse=True)[1].astype(np.intp)
    first, second = np.array(pairs, dtype=np.intp).T
    if folds > 1:
        fold = np.arange(len(pairs)) // (2 * size)
    else:
        fold = _folds_of_people(people[first], people[second])
    return PairList(tuple(file for file in files if file is not None), people, first, second, fold, folds > 1)


def _header(path: Path, lines: Sequence[Sequence[str]]) -> tuple[int, int]:
    numbers = [int(word) for word in lines[0] if word.isdecimal()] if lines else []
    if len(numbers) not in (1, 2) or len(numbers) != len(lines[0]) or min(numbers) < 1:
        raise DatasetError(
            f"{path}: not a list of pairs; expected LFW's form, whose first line is the number of folds "
            "and of pairs, such as '10 300'"
        )
    folds, size = (1, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])
    if len(lines) - 1 != 2 * folds * size:
        raise DatasetError(
            f"{path}: {len(lines) - 1} pairs; its first line announces {folds} x 2 x {size} = "
            f"{2 * folds * size}"
        )
    return folds, size


def _photos_of(path: Path, line: int, words: Sequence[str]) -> tuple[tuple[str, int], tuple[str, int]]:
    if len(words) in (3, 4) and words[1].isdecimal() and words[-1].isdecimal():
        other = words[0] if len(words) == 3 else words[2]
        return (words[0], int(words[1])), (other, int(words[-1]))
    raise DatasetError(f"{path}, line {line}: {' '.join(words)!r}; expected 'NAME 1 4' or 'NAME 1 OTHER 2'")


def _file_of(root: Path, name: str, number: int) -> Path | None:
    stem = f"{name}_{number:04d}"
    candidates = (folder / f"{stem}{suffix}" for folder in (root / name, root) for suffix in _SUFFIXES)
    return next((each for each in candidates if each.is_file()), None)


def _folds_of_people(first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.intp]:
    """Folds that share no person: connected groups of people go to the smallest fold, the largest first."""
    n = int(max(first.max(), second.max())) + 1
    group = connected_groups(np.stack([first, second], axis=1), n)[first]
    groups, sizes = np.unique(group, return_counts=True)
    load = np.zeros(_FOLDS)
    fold_of = {}
    for g in np.argsort(-sizes, kind="stable"):
        fold_of[groups[g]] = smallest = int(load.argmin())
        load[smallest] += sizes[g]
    return np.unique([fold_of[g] for g in group], return_inverse=True)[1].astype(np.intp)


@dataclass(frozen=True)
class VerificationPoint:
    """Error rates at thresholds set for a false-match rate.

    Parameters
    ----------
    target_fmr : float
    supported : bool
        Whether there are impostor pairs enough for so low a rate (the rule of three).
    fmr, fnmr : Interval
        As measured on folds that had no part in the threshold; a face that was not found is a non-match.
    """

    target_fmr: float
    supported: bool
    fmr: Interval
    fnmr: Interval

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record."""
        return {
            "target": self.target_fmr,
            "supported": self.supported,
            "false_matches": self.fmr.to_dict(),
            "false_non_matches": self.fnmr.to_dict(),
        }


@dataclass(frozen=True)
class PairResult:
    """Results on pairs in folds.

    Parameters
    ----------
    pairs, genuine : int
        All, and those of one person.
    failures : int
        Pairs in which a face could not be found; they count as wrong.
    accuracy : Interval
        Share of pairs classified correctly.
    fold_accuracy, fold_threshold : tuple of float
    standard_error : float
        Of the mean over folds, as LFW reports it.
    operating : tuple of VerificationPoint
    curve : float ndarray (k, 2)
        FMR and FNMR over all thresholds.
    correct : bool ndarray (m,)
    margin : float ndarray (m,)
        Score less the threshold of its fold; NaN where a face was not found.
    """

    pairs: int
    genuine: int
    failures: int
    accuracy: Interval
    fold_accuracy: tuple[float, ...]
    fold_threshold: tuple[float, ...]
    standard_error: float
    operating: tuple[VerificationPoint, ...]
    curve: NDArray[np.float64]
    correct: NDArray[np.bool_]
    margin: NDArray[np.float64]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record."""
        return {
            "pairs": self.pairs,
            "genuine": self.genuine,
            "failures": self.failures,
            "accuracy": self.accuracy.to_dict(),
            "standard_error": round(self.standard_error, 6),
            "fold_accuracy": [round(x, 6) for x in self.fold_accuracy],
            "fold_threshold": [round(x, 6) for x in self.fold_threshold],
            "operating": [point.to_dict() for point in self.operating],
            "curve": [{"false_matches": a, "false_non_matches": b} for a, b in self.curve.round(6).tolist()],
        }


def evaluate_pairs(pairs: Pairs, fold: NDArray[np.intp]) -> PairResult:
    """Cross-validate thresholds over folds (m,); scores are NaN where a face was not found."""
    failed = np.isnan(pairs.score)
    score = np.where(failed, -np.inf, pairs.score)
    count = int(fold.max()) + 1
    if count < 2 or not pairs.same.any() or pairs.same.all():
        raise DatasetError(
            f"{len(pairs)} pairs, {int(pairs.same.sum())} of one person; both kinds, and people enough for "
            "two folds, are needed"
        )
    correct, margin = np.zeros(len(pairs), bool), np.full(len(pairs), np.nan)
    thresholds, accuracies = [], []
    for number in range(count):
        inside = fold == number
        threshold = _best_threshold(score[~inside & ~failed], pairs.same[~inside & ~failed])
        correct[inside] = ((score[inside] >= threshold) == pairs.same[inside]) & ~failed[inside]
        margin[inside] = pairs.score[inside] - threshold
        thresholds.append(threshold)
        accuracies.append(float(correct[inside].mean()))
    return PairResult(
        len(pairs),
        int(pairs.same.sum()),
        int(failed.sum()),
        proportion(correct),
        tuple(accuracies),
        tuple(thresholds),
        float(np.std(accuracies, ddof=1) / math.sqrt(count)),
        tuple(_operating_point(target, score, pairs, fold) for target in _TARGET_FMRS),
        _curve(score, pairs.same),
        correct,
        margin,
    )


def _best_threshold(score: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    """The threshold of the highest accuracy: the middle of the gap, of equals the widest."""
    order = np.argsort(score, kind="stable")
    ordered, genuine = score[order], same[order]
    # with a threshold above the first k scores, impostors among them are correct, and genuine ones after them
    below = np.concatenate([[0], np.cumsum(~genuine)])
    above = np.concatenate([np.cumsum(genuine[::-1])[::-1], [0]])
    edges = np.concatenate([[ordered[0] - 1e-6], ordered, [ordered[-1] + 1e-6]])
    correct, gap = below + above, np.diff(edges)
    correct = np.where(gap > 0, correct, -1)
    best = np.flatnonzero(correct == correct.max())
    k = int(best[gap[best].argmax()])
    return float((edges[k] + edges[k + 1]) / 2)


def _operating_point(
    target_fmr: float, score: NDArray[np.float64], pairs: Pairs, fold: NDArray[np.intp]
) -> VerificationPoint:
    same = pairs.same
    supported = rule_of_three(int((~same).sum())) <= target_fmr * (1 + 1e-9)
    matched = np.zeros(len(score), bool)
    for number in range(int(fold.max()) + 1):
        inside = fold == number
        others = score[~inside & ~same]
        lowest = 1 / (len(others) + 1)
        matched[inside] = score[inside] >= threshold_at(others, max(target_fmr, lowest))
    return VerificationPoint(target_fmr, supported, proportion(matched[~same]), proportion(~matched[same]))


def _curve(score: NDArray[np.float64], same: NDArray[np.bool_]) -> NDArray[np.float64]:
    """FMR and FNMR at every threshold at which one of them changes, strictest first."""
    order = np.argsort(-score, kind="stable")
    genuine = same[order]
    last = np.append(np.flatnonzero(score[order][1:] != score[order][:-1]), len(score) - 1)
    fmr = np.cumsum(~genuine)[last] / (~same).sum()
    fnmr = 1 - np.cumsum(genuine)[last] / same.sum()
    finite = np.isfinite(score[order][last])
    curve = np.stack([fmr, fnmr], axis=1)[finite]
    return np.concatenate([[[0.0, 1.0]], curve])
