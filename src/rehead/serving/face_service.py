"""What a service answers about faces: who they are, whether two photos show one person, and enrolment.

Detection and embedding run in the caller's thread. SQLite's connections belong to one thread each, so the
gallery is open twice, in a thread for reading and in one for changes: whoever is identified does not wait for
an enrolment. Changes by other processes, such as `rehead faces enroll`, are noticed at the next request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ..errors import DataError
from ..faces.gallery.encryption import GalleryKey
from ..faces.gallery.gallery import FaceGallery
from ..faces.options import NamingOptions
from ..faces.pipeline import FacePipeline
from ..faces.verification.calibration import Calibration, read_calibration
from ..faces.verification.verify import calibration_for, verify
from .face_options import ServeFaceOptions

__all__ = ["FaceService", "open_face_service"]

Result = TypeVar("Result")

_MAX_NAME = 200  # characters: longer than any name of a person, short enough for a line of a log


class _InItsThread:
    """A gallery, opened and used in a thread of its own."""

    def __init__(self, open_gallery: Callable[[], FaceGallery]) -> None:
        self._pool = ThreadPoolExecutor(1, "gallery")
        try:
            self._gallery = self._pool.submit(open_gallery).result()
        except BaseException:
            self._pool.shutdown()
            raise

    def run(self, work: Callable[[FaceGallery], Result]) -> Result:
        """What `work` gives for the gallery; GalleryError where it is of another embedder by now."""

        def checked() -> Result:
            gallery = self._gallery
            gallery.store.check_embedder(gallery.pipeline.embedder.embedding_spec)
            return work(gallery)

        return self._pool.submit(checked).result()

    def close(self) -> None:
        self._pool.submit(self._gallery.close).result()
        self._pool.shutdown()


class FaceService:
    """Answers about faces, as records of JSON. Its methods may be called from any thread.

    Parameters
    ----------
    pipeline : FacePipeline
    open_gallery : callable, optional
        Gives the gallery, opened with the same pipeline; called in the thread that then uses it.
    target_fmr : float, optional
        Of `verify`, as there.
    calibration : Calibration, optional
        The one shipped for the embedder by default.

    Raises
    ------
    GalleryError
        The gallery cannot be opened.
    DataError
        What the embedder's scores mean is not known.
    """

    def __init__(
        self,
        pipeline: FacePipeline,
        open_gallery: Callable[[], FaceGallery] | None = None,
        *,
        target_fmr: float | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self._pipeline, self._target_fmr, self._calibration = pipeline, target_fmr, calibration
        self._read: _InItsThread | None = None
        self._change: _InItsThread | None = None
        if open_gallery is None:
            calibration_for(pipeline, calibration)  # what is missing is said at the start
            return
        try:
            self._read, self._change = _InItsThread(open_gallery), _InItsThread(open_gallery)
            self._read.run(lambda gallery: gallery.threshold())
        except BaseException:
            self.close()
            raise

    @property
    def has_gallery(self) -> bool:
        """Whether there is somebody to identify."""
        return self._read is not None

    def close(self) -> None:
        """Close the gallery."""
        for each in (self._read, self._change):
            if each is not None:
                each.close()

    def identify(self, photo: bytes) -> dict[str, Any]:
        """The faces of a photo, each as `Identification.to_dict`, and what the threshold stands for.

        Raises ImageError where the photo is unreadable.
        """
        observation = self._pipeline.analyze(photo, "all")

        def look(gallery: FaceGallery) -> dict[str, Any]:
            found, threshold = gallery.identify_observation(observation), gallery.threshold()
            return {
                "faces": [each.to_dict() for each in found],
                "threshold": threshold.sentence if threshold.may_name else threshold.refusal,
            }

        return self._opened(self._read).run(look)

    def verify(self, first: bytes, second: bytes) -> dict[str, Any]:
        """Whether two photos show one person, as `Verification.to_dict`, with the rate of false matches.

        Raises ImageError where a photo is unreadable or shows no face.
        """
        found = verify(
            first, second, self._pipeline, target_fmr=self._target_fmr, calibration=self._calibration
        )
        return found.to_dict()

    def people(self) -> list[dict[str, Any]]:
        """Everybody in the gallery, by name."""
        everybody = self._opened(self._read).run(lambda gallery: gallery.people())
        return [{**vars(person), "expired": person.expired} for person in everybody]

    def enroll(
        self, name: str, photos: Sequence[bytes], *, consent: str | None = None, expires: str | None = None
    ) -> dict[str, Any]:
        """Enrol a person, or add photos to one; on the disk when it returns. No path of a photo is kept.

        Raises DataError where the name or the day cannot be one, or no photo can be used.
        """
        if len(name) > _MAX_NAME:
            raise DataError(f"the name has {len(name)} characters; expected up to {_MAX_NAME}")
        done = self._opened(self._change).run(
            lambda gallery: gallery.enroll(name, photos, consent=consent or None, expires=expires or None)
        )
        if done.enrolled is None:
            reasons = "; ".join(f"{photo}: {reason}" for photo, reason in done.skipped)
            raise DataError(f"nobody was enrolled: {reasons or 'there is no photo'}")
        return {
            "name": done.enrolled.name,
            "added": done.enrolled.added,
            "known": done.enrolled.known,
            "skipped": [{"photo": photo, "reason": reason} for photo, reason in done.skipped],
            "notes": [{"photo": photo, "note": note} for photo, note in done.notes],
        }

    def remove(self, name: str) -> dict[str, Any]:
        """Remove a person with all that is kept of them, as `FaceGallery.remove`; UnknownNameError."""
        return vars(self._opened(self._change).run(lambda gallery: gallery.remove(name)))

    @staticmethod
    def _opened(gallery: _InItsThread | None) -> _InItsThread:
        if gallery is None:
            raise DataError("no gallery is served; start `rehead serve` with --gallery")
        return gallery


def open_face_service(
    options: ServeFaceOptions,
    naming: NamingOptions,
    pipeline: FacePipeline,
    key: GalleryKey | None = None,
) -> FaceService:
    """What the options ask for; raises as `FaceService` and `read_calibration` do."""
    calibration = None if options.calibration is None else read_calibration(options.calibration)

    def open_gallery() -> FaceGallery:
        assert options.gallery is not None
        return FaceGallery(
            options.gallery,
            pipeline,
            key=key,
            calibration=calibration,
            fpir=naming.fpir,
            accept_unsupported=naming.accept_unsupported,
            refuse_poor=naming.refuse_poor,
        )

    return FaceService(
        pipeline,
        None if options.gallery is None else open_gallery,
        target_fmr=options.target_fmr,
        calibration=calibration,
    )
