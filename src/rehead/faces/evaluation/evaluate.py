"""How well faces are recognised: on a list of pairs, or on a folder of people."""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.progress import Progress
from ...core.run_dir import versions, write_json
from ...core.text import count, percent, percent_range
from ...errors import DatasetError
from ..gallery.audit import EnrolmentIssue, Limits, audit
from ..gallery.gallery import people_in
from ..gallery.records import spec_fingerprint
from ..pipeline import FacePipeline
from ..types import FaceSelection
from ..verification.calibration import Calibration, calibrate, shipped
from ..verification.pairs import Pairs
from .identification import OpenSetResult, evaluate_open_set
from .lfw import PairList, PairResult, evaluate_pairs, read_pairs
from .report import write_pairs_report, write_people_report

__all__ = ["PairAssessment", "PeopleAssessment", "assess_pairs", "assess_people"]

_RULE: FaceSelection = "centre"  # who is meant stands in the middle: FaceNet's rule for LFW


@dataclass(frozen=True)
class PairAssessment:
    """What a list of pairs says.

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
        found = self.result
        text = (
            f"{percent(found.accuracy.value)} of {count(found.pairs, 'pair')} were told rightly "
            f"({percent_range(found.accuracy)}), half of them of one person"
        )
        if 2 * found.genuine != found.pairs:
            text = text.replace("half of them", f"{found.genuine:,} of them")
        if found.failures:
            verb = "counts" if found.failures == 1 else "count"
            text += f"; {count(found.failures, 'pair')} with a face that was not found {verb} as wrong"
        return text + "."

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record."""
        failed = [{"photo": name, "reason": reason} for name, reason in self.failed]
        return {"sentence": self.sentence, "pairs": self.result.to_dict(), "without_a_face": failed}


@dataclass(frozen=True)
class PeopleAssessment:
    """What a folder of people says.

    Parameters
    ----------
    people, photos : int
    openset : OpenSetResult or None
        None where people or photos are too few to try identification.
    missing : str
        Why it is None, "" otherwise.
    doubts : list of (Doubt, str) or None
        Enrolments to look at, each with the photo's path; None where no threshold is known.
    by_chance : float
        Pairs of different people that the audit may name together for no reason.
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
    doubts: list[tuple[EnrolmentIssue, str]] | None
    by_chance: float
    failed: list[tuple[str, str]]
    vectors: NDArray[np.float32]
    codes: NDArray[np.intp]

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        if self.openset is None:
            return f"Identification was not tried: {self.missing}."
        found = self.openset
        return (
            f"{percent(found.rank_one.value)} of {count(found.probes, 'photo')} of enrolled people were most "
            f"like their own person ({percent_range(found.rank_one)}), in galleries of "
            f"{' and '.join(map(str, found.enrolled))} people."
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able record."""
        doubts = None
        if self.doubts is not None:
            doubts = [{**vars(doubt), "photo": photo, "said": doubt.sentence} for doubt, photo in self.doubts]
            for doubt in doubts:
                doubt.pop("row")
        return {
            "sentence": self.sentence,
            "people": self.people,
            "photos": self.photos,
            "identification": self.openset and self.openset.to_dict(),
            "audit": doubts,
            "audit_by_chance": round(self.by_chance, 2),
            "without_a_face": [{"photo": name, "reason": reason} for name, reason in self.failed],
        }


def assess_pairs(
    file: str | os.PathLike[str],
    images: str | os.PathLike[str],
    pipeline: FacePipeline,
    *,
    out: str | os.PathLike[str] | None = None,
    save_calibration: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    command: Sequence[str] = (),
) -> PairAssessment:
    """Test an embedder on a list of pairs, such as LFW's pairs.txt.

    Parameters
    ----------
    file : path
    images : path
        Folder with one folder a person.
    pipeline : FacePipeline
    out : path, optional
        Folder to write metrics.json and report.html to.
    save_calibration : path, optional
        JSON file for what scores mean, from all photos of the list with each other.
    progress : callable, optional
    command : sequence of str
        How it was started, for the report.
    """
    listed = read_pairs(file, images)
    vectors, failed = pipeline.embed_one(listed.photos, _RULE, progress=progress)
    names = [(str(listed.photos[row]), reason) for row, reason in failed]
    if len(failed) == len(listed.photos):
        raise DatasetError(f"{images}: no face was found in any of the {len(listed.photos)} photos")
    score = np.einsum("ij,ij->i", vectors[listed.first], vectors[listed.second]).astype(np.float64)
    pairs = Pairs(score, listed.people[listed.first], listed.people[listed.second])
    result = evaluate_pairs(pairs, listed.fold)
    found = PairAssessment(result, listed, score, names, vectors)
    if save_calibration is not None:
        _calibration(vectors, listed.people, pipeline, Path(file).resolve().parent.name).save(
            save_calibration
        )
    if out is not None:
        folder = Path(out)
        write_json(folder / "metrics.json", found.to_dict())
        record = _record(pipeline, command)
        write_pairs_report(
            folder / "report.html",
            title=Path(file).name,
            sentence=found.sentence,
            result=result,
            listed=listed,
            scores=score,
            failed=names,
            run=record,
        )
    return found


def assess_people(
    folder: str | os.PathLike[str],
    pipeline: FacePipeline,
    *,
    calibration: Calibration | None = None,
    out: str | os.PathLike[str] | None = None,
    save_calibration: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    command: Sequence[str] = (),
) -> PeopleAssessment:
    """Test an embedder on photos of people, one folder a person, and look for wrong enrolments.

    Parameters are those of `assess_pairs`; `calibration` says what scores mean for the audit, by default
    that which comes with rehead for the embedder.
    """
    people = people_in(folder)
    photos = [photo for _, each in people for photo in each]
    codes = np.repeat(np.arange(len(people)), [len(each) for _, each in people])
    vectors, failed = pipeline.embed_one(photos, _RULE, progress=progress)
    names = [(str(photos[row]), reason) for row, reason in failed]
    if len(failed) == len(photos):
        raise DatasetError(f"{folder}: no face was found in any of the {len(photos)} photos")
    openset, missing = None, ""
    try:
        openset = evaluate_open_set(vectors, codes)
    except ValueError as error:
        missing = str(error)
    if save_calibration is not None:
        _calibration(vectors, codes, pipeline, Path(folder).resolve().name).save(save_calibration)
    known = calibration or shipped(pipeline.embedder.contract)
    doubts, by_chance = None, 0.0
    if known is not None:
        limits = Limits.of(known, len(people))
        by_chance = limits.by_chance
        doubts = _doubts(vectors, codes, [name for name, _ in people], photos, limits)
    counts = len(people), len(photos)
    found = PeopleAssessment(*counts, openset, missing, doubts, by_chance, names, vectors, codes)
    if out is not None:
        write_json(Path(out) / "metrics.json", found.to_dict())
        write_people_report(
            Path(out) / "report.html",
            title=Path(folder).resolve().name,
            sentence=found.sentence,
            people=found.people,
            photos=found.photos,
            openset=openset,
            doubts=None if doubts is None else [(doubt.sentence, photo) for doubt, photo in doubts],
            by_chance=by_chance,
            failed=names,
            run=_record(pipeline, command),
        )
    return found


def _doubts(
    vectors: NDArray[np.float32],
    codes: NDArray[np.intp],
    names: Sequence[str],
    photos: Sequence[Path],
    limits: Limits,
) -> list[tuple[EnrolmentIssue, str]]:
    found = np.flatnonzero(np.isfinite(vectors.sum(axis=1)))
    present, person = np.unique(codes[found], return_inverse=True)
    doubts = audit(vectors[found], person, [names[code] for code in present], limits)
    return [(d, "" if d.row is None else str(photos[found[d.row]])) for d in doubts]


def _calibration(
    vectors: NDArray[np.float32], codes: NDArray[np.intp], pipeline: FacePipeline, source: str
) -> Calibration:
    found = np.isfinite(vectors.sum(axis=1))
    contract = spec_fingerprint(pipeline.embedder.contract)
    return calibrate(vectors[found], codes[found], contract=contract, source=source)


def _record(pipeline: FacePipeline, command: Sequence[str]) -> dict[str, Any]:
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": list(command),
        "embedder": dict(pipeline.embedder.contract),
        "versions": versions(),
    }
