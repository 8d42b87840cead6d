"""Photos that were answered wrongly, kept with their right class: `rehead serve --collect DIR`."""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..core import atomic
from ..core.text import file_size
from ..data.class_names import check_folder_name, similar_names
from ..errors import DataError, OutputError
from ..images import read_image
from ..images.formats import image_suffix

__all__ = ["MOST_BYTES", "MOST_PHOTOS", "Collection", "FullError"]

MOST_PHOTOS = 10_000
MOST_BYTES = 2_000_000_000
"""What one folder is given: more than people correct by hand, and too little to fill a disk. Choices."""

_NAME = re.compile(r"[0-9a-f]{32}\.\w+")  # of a photo that was kept: the first half of its sha256


class FullError(DataError):
    """As many photos are kept as may be."""


class Collection:
    """A folder of photos by class, as `rehead train` reads it. Its methods may be called from any thread.

    Parameters
    ----------
    folder : path
        Made where it is not there. Other photos in it stay as they are, and do not count.
    most_photos, most_bytes : int
        How many are kept, those of earlier runs counted.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """

    def __init__(
        self, folder: str | Path, *, most_photos: int = MOST_PHOTOS, most_bytes: int = MOST_BYTES
    ) -> None:
        self.folder = Path(folder)
        self._most_photos, self._most_bytes = most_photos, most_bytes
        self._lock = threading.Lock()
        with atomic.output_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            atomic.check_place(self.folder / "photo.jpg")
            sizes = [path.stat().st_size for path in self._kept("*")]
        self._photos, self._bytes = len(sizes), sum(sizes)

    def _kept(self, name: str) -> Iterator[Path]:
        return (
            path for path in self.folder.glob(f"*/{name}") if _NAME.fullmatch(path.name) and path.is_file()
        )

    def keep(self, photo: bytes, label: str, labels: Sequence[str]) -> Path:
        """Write a photo as it is to `folder/CLASS/DIGEST.jpg`, whole or not at all.

        The ending is that of its format. A photo that was kept for another class is that class's no longer.

        Parameters
        ----------
        photo : bytes
            A file of a photo.
        label : str
            Its right class.
        labels : sequence of str
            Classes of the model; another one has to differ from them, and from those kept, by more than case
            and spaces.

        Raises
        ------
        ImageError
            It is no readable photo.
        DataError
            No class can be called so.
        FullError
            It would be more than may be kept.
        OutputError
            The disk does not take it.
        """
        label = label if label in labels else unicodedata.normalize("NFC", label).strip()
        check_folder_name(label)
        read_image(photo)
        name = hashlib.sha256(photo).hexdigest()[:32] + image_suffix(photo)
        with self._lock:
            self._check_class(label, labels)
            before = list(self._kept(name))
            if not before:
                self._check_room(len(photo))
            place = self.folder / label / name
            if place not in before:
                self._write(place, photo)
            for other in before:
                if other != place:
                    other.unlink(missing_ok=True)
                    _remove_empty(other.parent)
            if not before:
                self._photos, self._bytes = self._photos + 1, self._bytes + len(photo)
        return place

    def _check_class(self, label: str, labels: Sequence[str]) -> None:
        if label in labels:
            return
        with atomic.output_errors(self.folder):
            there = {*labels, *(one.name for one in self.folder.iterdir() if one.is_dir())}
        for alike in similar_names({*there, label}):
            if label in alike and label not in there:
                other = next(one for one in alike if one != label)
                raise DataError(
                    f"{label!r}: there is a class {other!r} already; choose that, or another name"
                )

    def _check_room(self, size: int) -> None:
        if self._photos + 1 > self._most_photos or self._bytes + size > self._most_bytes:
            raise FullError(
                f"{self._photos} photos ({file_size(self._bytes)}) are kept, of {self._most_photos} "
                f"({file_size(self._most_bytes)}) at most. Move them elsewhere and start the server again"
            )

    def _write(self, place: Path, photo: bytes) -> None:
        try:
            atomic.write_bytes(place, photo)
        except OutputError as error:  # whose path is nothing for a page
            _remove_empty(place.parent)
            reason = error.__cause__.strerror if isinstance(error.__cause__, OSError) else None
            raise OutputError(
                f"the photo cannot be kept ({reason or 'its folder cannot be written'})"
            ) from error


def _remove_empty(folder: Path) -> None:
    """Remove the folder of a class without photos, which `rehead train` would not take."""
    with contextlib.suppress(OSError):
        folder.rmdir()
