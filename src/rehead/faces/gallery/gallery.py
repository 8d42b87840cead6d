"""FaceGallery: enrol people, and identify the faces of photos."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence

from ...core.photos import File, Photo
from ...core.progress import Progress
from ...errors import DataError, ImageError
from ..detection.quality import QualityLimits
from ..embedding.spec import spec_fingerprint
from ..pipeline import FaceObservation, FacePipeline, default_pipeline
from ..types import FaceSelection
from ..verification.calibration import Calibration, calibrate, shipped
from ..verification.verify import calibration_for
from .audit import AuditThresholds, EnrolmentIssue, audit
from .backend import Search
from .encryption import GalleryKey
from .enrolment import Enrolment, PersonFolder, person_folders, screen
from .identification import Identifications, identify
from .maintenance import changed_photos, lost_people
from .place import PostgresPlace
from .records import GallerySize, Person, PhotoRecord, Removal, checked_day, checked_name, checked_text
from .store import GalleryStore
from .threshold import PRIOR, TARGET_FPIR, GalleryThreshold

__all__ = ["FaceGallery"]

_LOST = "no photo enrolled as {!r} is there any more; `gallery remove` forgets them if that is meant"


class FaceGallery:
    """People and the templates of their faces.

    Parameters
    ----------
    path : path
        The file, such as people.db, or the URL of a PostgreSQL database.
    pipeline : FacePipeline, optional
        MTCNN and dlib's embedder by default.
    key : GalleryKey or bytes, optional
        Master key of the templates (`encryption.find_key`); none for a gallery that is not encrypted.
    create : bool
        Make the file where there is none.
    calibration : Calibration, optional
        What scores mean. By default the one shipped for the embedder; where there is none, one of the
        people in the gallery, as soon as they are enough.
    fpir : float
        False-positive identification rate: share of strangers who may be identified as somebody.
    accept_unsupported : bool
        Name people although the calibration does not support so low a rate; everybody is "unknown" then
        otherwise.
    prior : float
        Share of strangers among the faces that are identified, which the probability of a name depends on.
    limits : QualityLimits
        Outside of which a face is of low quality, which the answers mention.
    refuse_poor : bool
        Whether such a face is neither enrolled nor named.
    search : {"memory", "pgvector"}, optional
        Where a gallery that is made is searched, as in `GalleryStore`.

    Raises
    ------
    GalleryError
        There is no gallery, the key is another, its templates are of another embedder, or it is damaged.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | PostgresPlace,
        pipeline: FacePipeline | None = None,
        *,
        key: GalleryKey | bytes | None = None,
        create: bool = False,
        calibration: Calibration | None = None,
        fpir: float = TARGET_FPIR,
        accept_unsupported: bool = False,
        prior: float = PRIOR,
        limits: QualityLimits = QualityLimits(),  # noqa: B008 (a frozen value)
        refuse_poor: bool = False,
        search: Search | None = None,
    ) -> None:
        for share in (fpir, prior):
            if not 0 < share < 1:
                raise DataError(f"the share of strangers is {share:g}; expected more than 0 and less than 1")
        self.pipeline = pipeline or default_pipeline()
        self.limits = limits
        self.refuse_poor = refuse_poor
        self.fpir, self.accept_unsupported, self.prior = fpir, accept_unsupported, prior
        self._given_calibration = calibration
        self._cached: tuple[GallerySize, GalleryThreshold] | None = None
        self.store = GalleryStore(
            path, embedding_spec=self.pipeline.embedder.embedding_spec, key=key, create=create, search=search
        )

    def close(self) -> None:
        """Close the file."""
        self.store.close()

    def __enter__(self) -> FaceGallery:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # enrolment

    def enroll(
        self,
        name: str,
        photos: Sequence[File],
        *,
        selection: FaceSelection = "centre",
        consent: str | None = None,
        expires: str | None = None,
        progress: Progress | None = None,
    ) -> Enrolment:
        """Enrol a person, or add photos to one; when this returns, it is on the disk.

        Photos that are unreadable, without a face, enrolled as somebody else, or a copy of one that is
        enrolled, are left out and listed.

        Parameters
        ----------
        name : str
        photos : sequence of path or bytes
            The gallery keeps no path of bytes; `rebuild` finds such photos by their contents.
        selection : {"largest", "centre", "error"}
            Which face to use where a photo has several.
        consent : str, optional
            Note about it.
        expires : str, optional
            Last day on which the person is recognised, such as "2027-12-31".

        Raises
        ------
        DataError
            The name cannot be one, the day is no date or past.
        """
        name, consent = checked_name(name), checked_text(consent, "a note about consent")
        expires = checked_day(expires, coming=True)
        return self._enroll(name, photos, (), selection, consent, expires, progress)

    def _enroll(
        self,
        name: str,
        photos: Sequence[File],
        changed: Collection[tuple[PhotoRecord, str]],
        selection: FaceSelection,
        consent: str | None,
        expires: str | None,
        progress: Progress | None = None,
    ) -> Enrolment:
        """As `enroll`; enrolled photos that have `changed` are removed, unless none would be left."""
        gone = {photo.sha256 for photo, _ in changed}
        enrolment, templates = screen(
            name,
            photos,
            self.pipeline.analyze_each(photos, selection, need_face=True, progress=progress),
            selection=selection,
            owners=self.store.owners,
            known=[each for each in self.store.likenesses(name) if each.sha256 not in gone],
            limits=self.limits,
            refuse_poor=self.refuse_poor,
        )
        if templates:
            enrolment.enrolled = self.store.enroll(name, templates, consent=consent, expires=expires)
        if changed and len(changed) == self.store.person(name).photos:
            enrolment.problem = _LOST.format(name)
        elif changed:
            self.store.remove_photos(name, [photo.row for photo, _ in changed])
            enrolment.removed += [(photo.path, reason) for photo, reason in changed]
        return enrolment

    def enroll_folder(
        self,
        folder: str | os.PathLike[str],
        *,
        selection: FaceSelection = "centre",
        consent: str | None = None,
        expires: str | None = None,
    ) -> Iterator[Enrolment]:
        """Enrol everybody of a folder with one folder a person, one after the other.

        Raises DataError where nobody in it can be enrolled.
        """
        return self.enroll_each(person_folders(folder), selection=selection, consent=consent, expires=expires)

    def enroll_each(
        self,
        folders: Sequence[PersonFolder],
        *,
        selection: FaceSelection = "centre",
        consent: str | None = None,
        expires: str | None = None,
        sync: bool = False,
    ) -> Iterator[Enrolment]:
        """Enrol everybody of some folders, one after the other; folders with a problem are listed.

        With `sync`, enrolled photos of these folders that have been changed or deleted since are removed
        from the gallery. Of a person of whom no photo would be left, nothing is removed: that is a problem.
        """
        consent, expires = checked_text(consent, "a note about consent"), checked_day(expires, coming=True)
        known = {person.name for person in self.people()} if sync else set()
        for each in folders:
            if each.problem:
                yield Enrolment(each.name, problem=each.problem)
                continue
            changed = changed_photos(self.store, each) if each.name in known else ()
            yield self._enroll(each.name, each.photos, changed, selection, consent, expires)

    def lost(self, folders: Sequence[PersonFolder]) -> Iterator[Enrolment]:
        """People enrolled from folders beside these whose photos are all gone, as problems."""
        for name, folder in lost_people(self.store, folders):
            yield Enrolment(name, problem=f"{folder}: {_LOST.format(name)}")

    def people(self) -> list[Person]:
        """Everybody, by name."""
        return self.store.people()

    def remove(self, name: str) -> Removal:
        """Remove a person and destroy their key, as `GalleryStore.remove`."""
        return self.store.remove([name])[0]

    # identification

    def threshold(self) -> GalleryThreshold:
        """The threshold at the gallery's present size; DataError where there is no calibration."""
        size = self.store.size()
        if self._cached is None or self._cached[0] is not size:
            self._cached = (
                size,
                GalleryThreshold.of(
                    self._calibration(),
                    self.fpir,
                    size.templates,
                    accept_unsupported=self.accept_unsupported,
                    prior=self.prior,
                ),
            )
        return self._cached[1]

    def _calibration(self) -> Calibration:
        spec = self.pipeline.embedder.embedding_spec
        if self._given_calibration is None and shipped(spec) is None:
            templates = self.store.templates()
            try:
                return calibrate(
                    templates.vectors,
                    templates.people,
                    fingerprint=spec_fingerprint(spec),
                    source="this gallery",
                )
            except DataError:
                pass  # too few people: the error below says how to calibrate instead
        return calibration_for(self.pipeline, self._given_calibration)

    def identify(self, photo: Photo, *, selection: FaceSelection = "all") -> Identifications:
        """Identify the faces of a photo; ImageError where it is unreadable."""
        return self.identify_observation(self.pipeline.analyze(photo, selection))

    def identify_each(
        self,
        photos: Sequence[Photo],
        *,
        selection: FaceSelection = "all",
        progress: Progress | None = None,
    ) -> Iterator[Identifications | ImageError]:
        """As `identify`, of many photos, in their order; an ImageError for an unreadable one."""
        for result in self.pipeline.analyze_each(photos, selection, progress=progress):
            yield result if isinstance(result, ImageError) else self.identify_observation(result)

    def identify_observation(self, observation: FaceObservation) -> Identifications:
        """Identify faces that the pipeline has analyzed already."""
        return identify(
            observation,
            self.store.candidates(observation.vectors),
            self.threshold(),
            limits=self.limits,
            refuse_poor=self.refuse_poor,
        )

    # audit

    def audit(self) -> list[tuple[EnrolmentIssue, str]]:
        """Enrolments to review, each with the photo's path, "" where it is about two people."""
        templates = self.store.templates()
        searched = set(templates.names)
        photos = [photo.path for photo in self.store.photos() if photo.person in searched]
        if not len(templates):
            return []
        thresholds = AuditThresholds.of(self._calibration(), len(templates.names))
        issues = audit(templates.vectors, templates.people, templates.names, thresholds)
        return [(issue, "" if issue.row is None else photos[issue.row]) for issue in issues]
