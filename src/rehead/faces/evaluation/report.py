"""Results of an evaluation of faces, and their report as one HTML file."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.atomic import write_text
from ...core.run_dir import failed_photos
from ...core.text import count, percent, percent_range
from ...evaluation.charts import det_chart
from ...evaluation.intervals import Interval
from ...evaluation.report import base64_thumbnail, render
from ..gallery.audit import EnrolmentIssue
from .identification import OpenSetResult
from .lfw import PairList, PairResult

__all__ = ["PairListEvaluation", "PeopleEvaluation", "write_pairs_report", "write_people_report"]

_MOST_PAIRS = 24
_THUMBNAIL_SIDE = 160  # px; some 5 kB a picture


@dataclass(frozen=True)
class PairListEvaluation:
    """Results on a list of pairs.

    Parameters
    ----------
    result : PairResult
    listed : PairList
    scores : float64 ndarray (m,)
    failed : list of (str, str)
        Path and reason of each photo without a face.
    vectors : float32 ndarray (P, D)
        Of the photos; NaN where there is no face.
    """

    result: PairResult
    listed: PairList
    scores: NDArray[np.float64]
    failed: list[tuple[str, str]]
    vectors: NDArray[np.float32]

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        result = self.result
        genuine = "half" if 2 * result.genuine == result.pairs else f"{result.genuine:,}"
        text = (
            f"{percent(result.accuracy.value)} of {count(result.pairs, 'pair')} were classified correctly "
            f"({percent_range(result.accuracy)}), {genuine} of them of one person"
        )
        if result.failures:
            verb = "counts" if result.failures == 1 else "count"
            text += f"; {count(result.failures, 'pair')} with a face that was not found {verb} as wrong"
        return text + "."

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record."""
        failed = failed_photos(self.failed)
        return {"sentence": self.sentence, "pairs": self.result.to_dict(), "without_a_face": failed}


@dataclass(frozen=True)
class PeopleEvaluation:
    """Results on a folder of people.

    Parameters
    ----------
    people, photos : int
    openset : OpenSetResult or None
        None where people or photos are too few for identification.
    missing : str
        Why it is None, "" otherwise.
    issues : list of (EnrolmentIssue, str) or None
        Enrolments to review, each with the photo's path; None where there is no calibration.
    by_chance : float
        Expected number of pairs of different people, at most, among them.
    failed : list of (str, str)
        Path and reason of each photo without a face.
    vectors : float32 ndarray (n, D)
    codes : int ndarray (n,)
        Person of each photo.
    """

    people: int
    photos: int
    openset: OpenSetResult | None
    missing: str
    issues: list[tuple[EnrolmentIssue, str]] | None
    by_chance: float
    failed: list[tuple[str, str]]
    vectors: NDArray[np.float32]
    codes: NDArray[np.intp]

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        if self.openset is None:
            return f"Identification was not tried: {self.missing}."
        openset = self.openset
        return (
            f"{percent(openset.rank_one.value)} of {count(openset.probes, 'photo')} of enrolled people were "
            f"most like their own person ({percent_range(openset.rank_one)}), in galleries of "
            f"{' and '.join(map(str, openset.enrolled))} people."
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record."""
        return {
            "sentence": self.sentence,
            "people": self.people,
            "photos": self.photos,
            "identification": self.openset and self.openset.to_dict(),
            "audit": self.issues and [issue.to_dict(photo) for issue, photo in self.issues],
            "audit_by_chance": round(self.by_chance, 2),
            "without_a_face": failed_photos(self.failed),
        }


def write_pairs_report(
    path: str | os.PathLike[str], title: str, found: PairListEvaluation, run: Mapping[str, Any]
) -> None:
    """Write the report of a list of pairs, whole or not at all; `run` is shown on demand, as it is."""
    result, listed = found.result, found.listed
    impostors = result.pairs - result.genuine
    marks = [(p.fmr.value, p.fnmr.value) for p in result.operating if p.supported]
    facts = {
        "Pairs": result.pairs,
        "Of one person": result.genuine,
        "People": len(np.unique(listed.people)),
        "Photos": len(listed.photos),
        "Without a face": len(found.failed),
        "Accuracy": f"{result.accuracy.value:.4f} ± {result.standard_error:.4f}",
    }
    warnings = []
    if unsupported := [p.target_fmr for p in result.operating if not p.supported]:
        warnings.append(
            f"{count(impostors, 'pair')} of different people support no false-match rate below "
            f"{100 * min(1.0, 3 / impostors):.2g} %; what stands at {_join(unsupported)} is only a hint."
        )
    html = render(
        "faces.html.j2",
        title=title,
        sentence=found.sentence,
        hero=result.accuracy,
        hero_name="pairs classified correctly",
        warnings=warnings,
        facts=facts,
        pairs={"operating": [_rates(p.target_fmr, p.supported, p.fmr, p.fnmr) for p in result.operating]},
        published=listed.published,
        chart=det_chart(result.curve.tolist(), 1 / impostors, marks, result.accuracy.value),
        folds=list(zip(result.fold_accuracy, result.fold_threshold, strict=True)),
        worst=_worst(result, listed, found.scores),
        openset=None,
        issues=None,
        failed=found.failed,
        run=run,
    )
    write_text(path, html)


def write_people_report(
    path: str | os.PathLike[str], title: str, found: PeopleEvaluation, run: Mapping[str, Any]
) -> None:
    """Write the report of a folder of people, whole or not at all; `run` is shown on demand, as it is."""
    facts = {"People": found.people, "Photos": found.photos, "Without a face": len(found.failed)}
    warnings, table = [], None
    if (openset := found.openset) is not None:
        facts |= {"Photos searched for": openset.probes, "Photos of strangers": openset.strangers}
        table = {"points": [_rates(p.target_fpir, p.supported, p.fpir, p.fnir) for p in openset.points]}
        if unsupported := [p.target_fpir for p in openset.points if not p.supported]:
            warnings.append(f"There are too few strangers to support a rate of {_join(unsupported)}.")
    html = render(
        "faces.html.j2",
        title=title,
        sentence=found.sentence,
        hero=openset.rank_one if openset else Interval(math.nan, math.nan, math.nan),
        hero_name="photos most like their own person",
        warnings=warnings,
        facts=facts,
        pairs=None,
        openset=table,
        issues=found.issues and [(issue.sentence, photo) for issue, photo in found.issues],
        by_chance=found.by_chance,
        failed=found.failed,
        run=run,
    )
    write_text(path, html)


def _rates(target: float, supported: bool, left: Interval, right: Interval) -> dict[str, Any]:
    """A row of the table of error rates."""
    return {"target": target, "supported": supported, "left": left, "right": right}


def _worst(result: PairResult, listed: PairList, scores: NDArray[np.float64]) -> list[dict[str, Any]]:
    """The pairs classified wrongly, furthest from the threshold first; faces not found come last."""
    wrong = np.flatnonzero(~result.correct)
    distance = np.nan_to_num(np.abs(result.margin[wrong]), nan=-1.0)
    rows = wrong[np.argsort(-distance, kind="stable")][:_MOST_PAIRS]
    same = listed.people[listed.first] == listed.people[listed.second]
    worst = []
    for row in rows.tolist():
        photos = [listed.photos[n] for n in (listed.first[row], listed.second[row])]
        if math.isnan(scores[row]):
            outcome, score = "a face was not found", ""
        else:
            outcome = "one person, missed" if same[row] else "different people, matched"
            threshold = scores[row] - result.margin[row]
            score = f"score {scores[row]:.3f}, threshold {threshold:.3f}"
        pictures = [base64_thumbnail(photo, _THUMBNAIL_SIDE) for photo in photos]
        names = [photo.stem for photo in photos]
        worst.append({"said": outcome, "score": score, "names": names, "pictures": pictures})
    return worst


def _join(rates: Sequence[float]) -> str:
    words = [f"{100 * rate:g} %" for rate in rates]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
