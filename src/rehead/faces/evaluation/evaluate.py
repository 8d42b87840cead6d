"""Evaluation of an embedder: on a list of pairs, or on a folder of people."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.progress import Progress
from ...core.run_dir import run_record, write_json
from ...core.text import count, percent, percent_range
from ...errors import DatasetError
from ..embedding.spec import spec_fingerprint
from ..gallery.audit import AuditThresholds, EnrolmentIssue, audit
from ..gallery.enrolment import people_in
from ..pipeline import FacePipeline
from ..types import FaceSelection
from ..verification.calibration import Calibration, calibrate, shipped
from ..verification.pairs import Pairs
from .identification import OpenSetResult, evaluate_open_set
from .lfw import PairList, PairResult, evaluate_pairs, read_pairs
from .report import write_pairs_report, write_people_report

__all__ = ["PairListEvaluation", "PeopleEvaluation", "evaluate_pair_list", "evaluate_people"]

_SELECTION: FaceSelection = "centre"  # as FaceNet does for LFW


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
        failed = [{"photo": name, "reason": reason} for name, reason in self.failed]
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
        issues = None
        if self.issues is not None:
            issues = [{**vars(issue), "photo": photo, "said": issue.sentence} for issue, photo in self.issues]
            for issue in issues:
                issue.pop("row")
        return {
            "sentence": self.sentence,
            "people": self.people,
            "photos": self.photos,
            "identification": self.openset and self.openset.to_dict(),
            "audit": issues,
            "audit_by_chance": round(self.by_chance, 2),
            "without_a_face": [{"photo": name, "reason": reason} for name, reason in self.failed],
        }


def evaluate_pair_list(
    file: str | os.PathLike[str],
    images: str | os.PathLike[str],
    pipeline: FacePipeline,
    *,
    out: str | os.PathLike[str] | None = None,
    save_calibration: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    command: Sequence[str] = (),
) -> PairListEvaluation:
    """Evaluate an embedder on a list of pairs, such as LFW's pairs.txt.

    Parameters
    ----------
    file : path
    images : path
        Folder with one folder a person.
    pipeline : FacePipeline
    out : path, optional
        Folder to write metrics.json and report.html to.
    save_calibration : path, optional
        JSON file for a calibration on all pairs of photos of the list.
    progress : callable, optional
    command : sequence of str
        The command line, for the report.
    """
    listed = read_pairs(file, images)
    vectors, failed = pipeline.embed_one(listed.photos, _SELECTION, progress=progress)
    failures = [(str(listed.photos[row]), reason) for row, reason in failed]
    if len(failed) == len(listed.photos):
        raise DatasetError(f"{images}: no face was found in any of the {len(listed.photos)} photos")
    score = np.einsum("ij,ij->i", vectors[listed.first], vectors[listed.second]).astype(np.float64)
    pairs = Pairs(score, listed.people[listed.first], listed.people[listed.second])
    result = evaluate_pairs(pairs, listed.fold)
    found = PairListEvaluation(result, listed, score, failures, vectors)
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
            failed=failures,
            run=record,
        )
    return found


def evaluate_people(
    folder: str | os.PathLike[str],
    pipeline: FacePipeline,
    *,
    calibration: Calibration | None = None,
    out: str | os.PathLike[str] | None = None,
    save_calibration: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    command: Sequence[str] = (),
) -> PeopleEvaluation:
    """Evaluate an embedder on photos of people, one folder a person, and audit their enrolment.

    Parameters are those of `evaluate_pair_list`; `calibration` sets the audit's thresholds, by default
    the one shipped for the embedder.
    """
    people = people_in(folder)
    photos = [photo for _, each in people for photo in each]
    codes = np.repeat(np.arange(len(people)), [len(each) for _, each in people])
    vectors, failed = pipeline.embed_one(photos, _SELECTION, progress=progress)
    failures = [(str(photos[row]), reason) for row, reason in failed]
    if len(failed) == len(photos):
        raise DatasetError(f"{folder}: no face was found in any of the {len(photos)} photos")
    openset, missing = None, ""
    try:
        openset = evaluate_open_set(vectors, codes)
    except ValueError as error:
        missing = str(error)
    if save_calibration is not None:
        _calibration(vectors, codes, pipeline, Path(folder).resolve().name).save(save_calibration)
    known = calibration or shipped(pipeline.embedder.embedding_spec)
    issues, by_chance = None, 0.0
    if known is not None:
        thresholds = AuditThresholds.of(known, len(people))
        by_chance = thresholds.by_chance
        issues = _audit(vectors, codes, [name for name, _ in people], photos, thresholds)
    counts = len(people), len(photos)
    found = PeopleEvaluation(*counts, openset, missing, issues, by_chance, failures, vectors, codes)
    if out is not None:
        write_json(Path(out) / "metrics.json", found.to_dict())
        write_people_report(
            Path(out) / "report.html",
            title=Path(folder).resolve().name,
            sentence=found.sentence,
            people=found.people,
            photos=found.photos,
            openset=openset,
            issues=None if issues is None else [(issue.sentence, photo) for issue, photo in issues],
            by_chance=by_chance,
            failed=failures,
            run=_record(pipeline, command),
        )
    return found


def _audit(
    vectors: NDArray[np.float32],
    codes: NDArray[np.intp],
    names: Sequence[str],
    photos: Sequence[Path],
    thresholds: AuditThresholds,
) -> list[tuple[EnrolmentIssue, str]]:
    found = np.flatnonzero(np.isfinite(vectors.sum(axis=1)))
    present, person = np.unique(codes[found], return_inverse=True)
    issues = audit(vectors[found], person, [names[code] for code in present], thresholds)
    return [(i, "" if i.row is None else str(photos[found[i.row]])) for i in issues]


def _calibration(
    vectors: NDArray[np.float32], codes: NDArray[np.intp], pipeline: FacePipeline, source: str
) -> Calibration:
    found = np.isfinite(vectors.sum(axis=1))
    fingerprint = spec_fingerprint(pipeline.embedder.embedding_spec)
    return calibrate(vectors[found], codes[found], fingerprint=fingerprint, source=source)


def _record(pipeline: FacePipeline, command: Sequence[str]) -> dict[str, Any]:
    return run_record(command, {"embedder": dict(pipeline.embedder.embedding_spec)})
