"""The account of how well faces are recognised, as one HTML file."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.atomic import write_text
from ...core.text import count
from ...errors import ReheadError
from ...evaluation.charts import error_trade_chart
from ...evaluation.intervals import Interval
from ...evaluation.report import render
from ...images import thumbnail
from .identification import OpenSetResult
from .lfw import PairList, PairResult

__all__ = ["write_pairs_report", "write_people_report"]

_MOST_PAIRS = 24
_THUMBNAIL_SIDE, _THUMBNAIL_QUALITY = 160, 75  # px; some 5 kB a picture

Failed = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class _Rates:
    """A row of the table of rates."""

    target: float
    supported: bool
    left: Interval
    right: Interval


def write_pairs_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    sentence: str,
    result: PairResult,
    listed: PairList,
    scores: NDArray[np.float64],
    failed: Failed,
    run: Mapping[str, Any],
) -> None:
    """Write the report of a list of pairs, whole or not at all.

    Parameters
    ----------
    path : path
        Of the HTML file.
    title, sentence : str
    result : PairResult
    listed : PairList
    scores : float64 ndarray (m,)
        Of the pairs, NaN where a face was not found.
    failed : sequence of (str, str)
        Photos without a face, and why.
    run : mapping
        Folded out on demand, as it is.
    """
    impostors = result.pairs - result.genuine
    marks = [(p.false_matches.value, p.false_non_matches.value) for p in result.operating if p.supported]
    chart = error_trade_chart(result.curve.tolist(), 1 / impostors, marks, result.accuracy.value)
    operating = [
        _Rates(p.target, p.supported, p.false_matches, p.false_non_matches) for p in result.operating
    ]
    people = len(np.unique(listed.people))
    facts = {
        "Pairs": result.pairs,
        "Of one person": result.genuine,
        "People": people,
        "Photos": len(listed.photos),
        "Without a face": len(failed),
        "Accuracy": f"{result.accuracy.value:.4f} ± {result.standard_error:.4f}",
    }
    warnings = []
    if weak := [p.target for p in result.operating if not p.supported]:
        warnings.append(
            f"{count(impostors, 'pair')} of different people support no rate of false matches below "
            f"{100 * min(1.0, 3 / impostors):.2g} %; what stands at {_listed(weak)} is only a hint."
        )
    html = _page(
        title,
        sentence,
        hero=result.accuracy,
        hero_name="pairs told rightly",
        warnings=warnings,
        facts=facts,
        pairs={"operating": operating},
        published=listed.published,
        chart=chart,
        folds=list(zip(result.fold_accuracy, result.fold_threshold, strict=True)),
        worst=_worst(result, listed, scores),
        failed=failed,
        run=run,
    )
    write_text(path, html)


def write_people_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    sentence: str,
    people: int,
    photos: int,
    openset: OpenSetResult | None,
    doubts: Sequence[tuple[str, str]] | None,
    by_chance: float,
    failed: Failed,
    run: Mapping[str, Any],
) -> None:
    """Write the report of a folder of people, whole or not at all.

    Parameters
    ----------
    path : path
        Of the HTML file.
    title, sentence : str
    people, photos : int
    openset : OpenSetResult or None
    doubts : sequence of (str, str) or None
        Sentence and photo, "" where it is about two people.
    by_chance : float
        Pairs of different people that the audit may name together for no reason.
    failed, run
        As in `write_pairs_report`.
    """
    facts: dict[str, str | int] = {"People": people, "Photos": photos, "Without a face": len(failed)}
    warnings, table = [], None
    if openset is not None:
        facts |= {"Photos looked for": openset.probes, "Photos of strangers": openset.strangers}
        table = {
            "points": [
                _Rates(p.target, p.supported, p.false_positives, p.false_negatives) for p in openset.points
            ]
        }
        if weak := [p.target for p in openset.points if not p.supported]:
            warnings.append(f"There are too few strangers to promise a rate of {_listed(weak)}.")
    html = _page(
        title,
        sentence,
        hero=openset.rank_one if openset else Interval(math.nan, math.nan, math.nan),
        hero_name="photos most like their own person",
        warnings=warnings,
        facts=facts,
        openset=table,
        doubts=doubts,
        by_chance=by_chance,
        failed=failed,
        run=run,
    )
    write_text(path, html)


def _page(title: str, sentence: str, **values: Any) -> str:
    empty: dict[str, Any] = {
        "pairs": None,
        "openset": None,
        "doubts": None,
        "worst": [],
        "folds": [],
        "chart": "",
    }
    return render("faces.html.j2", title=title, sentence=sentence, **{**empty, **values})


def _worst(result: PairResult, listed: PairList, scores: NDArray[np.float64]) -> list[dict[str, Any]]:
    """The pairs that were told wrongly, furthest from the threshold first; faces not found come last."""
    wrong = np.flatnonzero(~result.right)
    distance = np.nan_to_num(np.abs(result.margin[wrong]), nan=-1.0)
    rows = wrong[np.argsort(-distance, kind="stable")][:_MOST_PAIRS]
    same = listed.people[listed.first] == listed.people[listed.second]
    worst = []
    for row in rows.tolist():
        photos = [listed.photos[n] for n in (listed.first[row], listed.second[row])]
        if math.isnan(scores[row]):
            said, score = "a face was not found", ""
        else:
            said = "one person, missed" if same[row] else "different people, matched"
            threshold = scores[row] - result.margin[row]
            score = f"score {scores[row]:.3f}, threshold {threshold:.3f}"
        pictures = [_picture(photo) for photo in photos]
        names = [photo.stem for photo in photos]
        worst.append({"said": said, "score": score, "names": names, "pictures": pictures})
    return worst


def _picture(photo: Path) -> str | None:
    try:
        data = thumbnail(photo, _THUMBNAIL_SIDE, quality=_THUMBNAIL_QUALITY)
    except (ReheadError, OSError):
        return None
    return base64.b64encode(data).decode("ascii")


def _listed(rates: Sequence[float]) -> str:
    words = [f"{100 * rate:g} %" for rate in rates]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
