"""Evaluation of an embedder: on a list of pairs, or on a folder of people."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.progress import Progress
from ...core.run_dir import run_record, write_json
from ...errors import DatasetError
from ..embedding.spec import spec_fingerprint
from ..gallery.audit import AuditThresholds, EnrolmentIssue, audit
from ..gallery.enrolment import people_in
from ..pipeline import FacePipeline
from ..types import FaceSelection
from ..verification.calibration import Calibration, calibrate, shipped
from ..verification.pairs import Pairs
from .identification import evaluate_open_set
from .lfw import evaluate_pairs, read_pairs
from .report import PairListEvaluation, PeopleEvaluation, write_pairs_report, write_people_report

__all__ = ["PairListEvaluation", "PeopleEvaluation", "evaluate_pair_list", "evaluate_people"]

_SELECTION: FaceSelection = "centre"  # as FaceNet does for LFW


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
    vectors, failed = _embedded(listed.photos, images, pipeline, progress)
    score = np.einsum("ij,ij->i", vectors[listed.first], vectors[listed.second]).astype(np.float64)
    pairs = Pairs(score, listed.people[listed.first], listed.people[listed.second])
    found = PairListEvaluation(evaluate_pairs(pairs, listed.fold), listed, score, failed, vectors)
    if save_calibration is not None:
        source = Path(file).resolve().parent.name
        _calibration(vectors, listed.people, pipeline, source).save(save_calibration)
    if out is not None:
        write_json(Path(out) / "metrics.json", found.to_dict())
        write_pairs_report(Path(out) / "report.html", Path(file).name, found, _record(pipeline, command))
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
    vectors, failed = _embedded(photos, folder, pipeline, progress)
    openset, missing = None, ""
    try:
        openset = evaluate_open_set(vectors, codes)
    except ValueError as error:
        missing = str(error)
    name = Path(folder).resolve().name
    if save_calibration is not None:
        _calibration(vectors, codes, pipeline, name).save(save_calibration)
    known = calibration or shipped(pipeline.embedder.embedding_spec)
    issues, by_chance = None, 0.0
    if known is not None:
        thresholds = AuditThresholds.of(known, len(people))
        by_chance = thresholds.by_chance
        issues = _audit(vectors, codes, [name for name, _ in people], photos, thresholds)
    counts = len(people), len(photos)
    found = PeopleEvaluation(*counts, openset, missing, issues, by_chance, failed, vectors, codes)
    if out is not None:
        write_json(Path(out) / "metrics.json", found.to_dict())
        write_people_report(Path(out) / "report.html", name, found, _record(pipeline, command))
    return found


def _embedded(
    photos: Sequence[Path], folder: str | os.PathLike[str], pipeline: FacePipeline, progress: Progress | None
) -> tuple[NDArray[np.float32], list[tuple[str, str]]]:
    """Vectors, and the photos without a face; DatasetError where that is all of them."""
    vectors, failed = pipeline.embed_one(photos, _SELECTION, progress=progress)
    if len(failed) == len(photos):
        raise DatasetError(f"{folder}: no face was found in any of the {len(photos)} photos")
    return vectors, [(str(photos[row]), reason) for row, reason in failed]


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
