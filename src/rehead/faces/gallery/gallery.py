"""FaceGallery: enrol people, and say who is in a photo, or "unknown"."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.progress import Progress
from ...core.rejection import UNKNOWN
from ...data import list_photos
from ...errors import DataError, ImageError
from ..detection.quality import QualityLimits
from ..pipeline import FaceObservation, FacePipeline, default_pipeline
from ..types import Face, FaceSelection
from ..verification.calibration import Calibration, Threshold, calibrate, shipped
from ..verification.verify import calibration_for
from .audit import EnrolmentIssue, Limits, audit
from .records import Enrolled, NewTemplate, Person, Removal, Templates, spec_fingerprint
from .store import GalleryStore

__all__ = ["FALSE_POSITIVES", "Enrolment", "FaceGallery", "GalleryThreshold", "Identification", "Rebuilt"]

FALSE_POSITIVES = 0.01
"""Share of strangers who may be taken for somebody: the higher of the two rates at which NIST's Face
Recognition Vendor Test, part 2 (NISTIR 8271), reports identification."""


@dataclass(frozen=True)
class Enrolment:
    """What became of one person's photos.

    Parameters
    ----------
    enrolled : Enrolled or None
        None where no photo could be used.
    name : str
    skipped : list of (str, str)
        Path and reason of each photo that was not enrolled.
    notes : list of (str, str)
        Path and remark of photos that were, though something is to be said.
    """

    name: str
    enrolled: Enrolled | None
    skipped: list[tuple[str, str]]
    notes: list[tuple[str, str]]


@dataclass(frozen=True)
class GalleryThreshold:
    """From which score a face is somebody in a gallery.

    Parameters
    ----------
    point : Threshold
        For a single comparison.
    aimed, promised : float
        Share of strangers who may be taken for somebody: as asked for, and as the calibration supports
        at this many templates; the higher of the two where it does not support what was asked.
    templates : int
    calibration : Calibration
    """

    point: Threshold
    aimed: float
    promised: float
    templates: int
    calibration: Calibration

    @property
    def sentence(self) -> str:
        """What is promised, in plain words."""
        source = f"{self.calibration.people} people of {self.calibration.source}"
        if self.promised <= self.aimed:
            return (
                f"at most {_share(self.promised)} of strangers are taken for somebody, by {source} and "
                f"{self.templates} templates"
            )
        return (
            f"{_share(self.aimed)} of strangers cannot be promised: {self.templates} templates and {source} "
            f"support no better than {_share(self.promised)}"
        )


@dataclass(frozen=True)
class Identification:
    """Who a face is.

    Parameters
    ----------
    face : Face
    name : str
        Somebody in the gallery, or "unknown".
    nearest : str
        The most alike, also where the name is "unknown"; "" in an empty gallery.
    score : float
        The highest with a template of the nearest; NaN in an empty gallery.
    margin : float
        How much higher that is than the score of the next person; NaN where there is none.
    probability : float
        That a pair of this score shows one person, where half of all pairs do.
    threshold : float
    reason : str
        Why it is "unknown", "" otherwise.
    complaints : tuple of str
        What speaks against the quality of the face.
    """

    face: Face
    name: str
    nearest: str
    score: float
    margin: float
    probability: float
    threshold: float
    reason: str
    complaints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild did: photos embedded anew, and those that could not be (path and reason)."""

    photos: int
    lost: list[tuple[str, str]]


class FaceGallery:
    """People, by their faces.

    Parameters
    ----------
    path : path
        The file, such as people.db.
    pipeline : FacePipeline, optional
        MTCNN and dlib's embedder by default.
    key : bytes, optional
        Master key of the templates (`vault.find_key`); none for a gallery that is not encrypted.
    create : bool
        Whether to make the file where there is none.
    calibration : Calibration, optional
        What scores mean. By default that which comes with rehead for the embedder; where there is none,
        one of the people in the gallery, as soon as they are enough.
    rate : float
        Share of strangers who may be taken for somebody.
    limits : QualityLimits
        Below or beyond which a face is of low quality, which is said.
    refuse_poor : bool
        Whether such a face is neither enrolled nor named.

    Raises
    ------
    GalleryError
        There is no gallery, the key is another, its templates are of another embedder, or it is damaged.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        pipeline: FacePipeline | None = None,
        *,
        key: bytes | None = None,
        create: bool = False,
        calibration: Calibration | None = None,
        rate: float = FALSE_POSITIVES,
        limits: QualityLimits = QualityLimits(),  # noqa: B008 (a frozen value)
        refuse_poor: bool = False,
    ) -> None:
        if not 0 < rate < 1:
            raise DataError(f"the share of strangers is {rate:g}; expected more than 0 and less than 1")
        self.pipeline = pipeline or default_pipeline()
        self.limits = limits
        self.refuse_poor = refuse_poor
        self.rate = rate
        self._given = calibration
        self._limit: tuple[Templates, GalleryThreshold] | None = None
        self.store = GalleryStore(path, contract=self.pipeline.embedder.contract, key=key, create=create)

    def close(self) -> None:
        """Close the file."""
        self.store.close()

    def __enter__(self) -> FaceGallery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # enrolling

    def enroll(
        self,
        name: str,
        photos: Sequence[str | os.PathLike[str]],
        *,
        rule: FaceSelection = "centre",
        consent: str | None = None,
        expires: str | None = None,
        progress: Progress | None = None,
    ) -> Enrolment:
        """Enrol a person, or add photos to one; when this returns, it is on the disk.

        Photos that are unreadable, without a face, or enrolled as somebody else are left out and listed.

        Parameters
        ----------
        name : str
        photos : sequence of path
        rule : {"largest", "centre", "error"}
            Which face of several.
        consent : str, optional
            What is to be noted of it.
        expires : str, optional
            Last day on which the person is recognised, such as "2027-12-31".
        """
        templates, skipped, notes = [], [], []
        for photo, seen in zip(photos, self.pipeline.look_each(photos, rule, progress=progress), strict=True):
            path = os.fspath(photo)
            if isinstance(seen, ImageError):
                skipped.append((path, seen.reason))
            elif not seen.faces:
                skipped.append((path, "no face was found"))
            elif others := [owner for owner in self.store.owners(seen.sha256) if owner != name]:
                skipped.append((path, f"the same photo is enrolled as '{others[0]}'"))
            elif (poor := self.limits.complaints(seen.faces[0].quality)) and self.refuse_poor:
                skipped.append((path, f"of low quality: {'; '.join(poor)}"))
            else:
                if poor:
                    notes.append((path, f"of low quality: {'; '.join(poor)}"))
                if seen.found > 1:
                    notes.append((path, f"{seen.found} faces; one was taken, by the rule '{rule}'"))
                templates.append(_template(seen))
        enrolled = None
        if templates:
            enrolled = self.store.enroll(name, templates, consent=consent, expires=expires)
        return Enrolment(name, enrolled, skipped, notes)

    def enroll_folder(
        self,
        folder: str | os.PathLike[str],
        *,
        rule: FaceSelection = "centre",
        consent: str | None = None,
        expires: str | None = None,
    ) -> Iterator[Enrolment]:
        """Enrol everybody of a folder with one folder a person, one after the other.

        Raises DataError where the folder has no folders with photos.
        """
        for name, photos in people_in(folder):
            yield self.enroll(name, photos, rule=rule, consent=consent, expires=expires)

    def people(self) -> list[Person]:
        """Everybody, by name."""
        return self.store.people()

    def remove(self, name: str) -> Removal:
        """Remove a person and destroy their key."""
        return self.store.remove(name)

    # recognising

    def threshold(self) -> GalleryThreshold:
        """From which score a face is somebody, at the gallery's present size.

        Raises DataError where it is not known what scores of the embedder mean.
        """
        held = self.store.templates()
        if self._limit is None or self._limit[0] is not held:
            calibration = self._calibration()
            point, promised = calibration.for_gallery(self.rate, len(held))
            self._limit = held, GalleryThreshold(point, self.rate, promised, len(held), calibration)
        return self._limit[1]

    def _calibration(self) -> Calibration:
        contract = self.pipeline.embedder.contract
        if self._given is None and shipped(contract) is None:
            held = self.store.templates()
            try:
                return calibrate(
                    held.vectors, held.people, contract=spec_fingerprint(contract), source="this gallery"
                )
            except DataError:
                pass  # too few people: say how to calibrate instead
        return calibration_for(self.pipeline, self._given)

    def identify(
        self, photo: str | os.PathLike[str] | bytes, *, rule: FaceSelection = "all"
    ) -> list[Identification]:
        """Say who the faces of a photo are; ImageError where it is unreadable."""
        return self.identify_seen(self.pipeline.look(photo, rule))

    def identify_each(
        self,
        photos: Sequence[str | os.PathLike[str]],
        *,
        rule: FaceSelection = "all",
        progress: Progress | None = None,
    ) -> Iterator[list[Identification] | ImageError]:
        """As `identify`, of many photos, in their order; an ImageError for an unreadable one."""
        for seen in self.pipeline.look_each(photos, rule, progress=progress):
            yield seen if isinstance(seen, ImageError) else self.identify_seen(seen)

    def identify_seen(self, seen: FaceObservation) -> list[Identification]:
        """Say who the faces are that were seen in a photo."""
        held, limit = self.store.templates(), self.threshold()
        best = held.best_of_each(seen.vectors)
        return [
            self._decide(face, row, held.names, limit) for face, row in zip(seen.faces, best, strict=True)
        ]

    def _decide(
        self, face: Face, row: NDArray[np.float32], names: tuple[str, ...], limit: GalleryThreshold
    ) -> Identification:
        threshold, poor = limit.point.threshold, self.limits.complaints(face.quality)
        if not len(row):
            reason = "the gallery is empty"
            return Identification(face, UNKNOWN, "", math.nan, math.nan, math.nan, threshold, reason, poor)
        order = np.argsort(-row, kind="stable")
        score = float(row[order[0]])
        margin = score - float(row[order[1]]) if len(row) > 1 else math.nan
        nearest = names[order[0]]
        reason = ""
        if score < threshold:
            reason = f"nobody is like it enough (score {score:.3f}, needs {threshold:.3f})"
        elif poor and self.refuse_poor:
            reason = f"of low quality: {'; '.join(poor)}"
        return Identification(
            face,
            UNKNOWN if reason else nearest,
            nearest,
            score,
            margin,
            limit.calibration.probability(score),
            threshold,
            reason,
            poor,
        )

    # keeping it right

    def audit(self) -> list[tuple[EnrolmentIssue, str]]:
        """Enrolments to look at, each with the photo's path, "" where it is about two people."""
        held = self.store.templates()
        known = set(held.names)
        photos = [photo.path for photo in self.store.photos() if photo.person in known]
        if not len(held):
            return []
        limits = Limits.of(self._calibration(), len(held.names))
        found = audit(held.vectors, held.people, held.names, limits)
        return [(doubt, "" if doubt.row is None else photos[doubt.row]) for doubt in found]


def _template(seen: FaceObservation) -> NewTemplate:
    return NewTemplate(
        seen.sha256, str(Path(seen.path).absolute()), seen.vectors[0], face_record(seen.faces[0])
    )


def face_record(face: Face) -> dict[str, Any]:
    """JSON-able record of a face."""
    return {
        "box": [round(float(x), 2) for x in face.box],
        "points": [[round(float(x), 2) for x in point] for point in face.points],
        "score": round(float(face.score), 6),
        "quality": {name: round(float(value), 3) for name, value in asdict(face.quality).items()},
    }


def people_in(folder: str | os.PathLike[str]) -> list[tuple[str, list[Path]]]:
    """Name and photos of each person of a folder with one folder a person, by name; DataError without any."""
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder; expected {root.name}/PERSON/photo.jpg")
    inside = sorted(each for each in root.iterdir() if each.is_dir() and not each.name.startswith("."))
    found = []
    for each in inside:
        try:
            found.append((each.name, list(list_photos(each))))
        except DataError:
            continue  # no photo in it
    if not found:
        raise DataError(
            f"{root}: nobody is in it; expected one folder a person, {root.name}/PERSON/photo.jpg"
        )
    return found


def _share(rate: float) -> str:
    return f"{100 * rate:.2g} %"
