"""The folder of a project: FOLDER/CLASS/*.jpg, FOLDER/removed/CLASS/*.jpg and FOLDER/runs/NAME/.

No file is ever deleted or written over: what is removed is moved to FOLDER/removed, and what would meet
another file of its name gets a number. FOLDER/.studio holds what the page remembers; without it the folder is
the same to `rehead train`, and to the page.
"""

from __future__ import annotations

import contextlib
import os
import threading
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data.csv_table import SPLIT_NAMES
from ..data.folder import NOT_A_CLASS, class_folders
from ..errors import DataError, ImageError
from ..images import is_image_name, read_header
from ..images.formats import RAW_SUFFIXES, has_image_signature
from .history import Change, History
from .moves import move_beside, move_folder, write_beside
from .names import REMOVED, RUNS, burst_name, class_name, file_name, same_name
from .refused import Refused, said_in_words

__all__ = ["OWN", "Photo", "PhotoFolder"]

OWN = ".studio"
"""In the folder: what the page remembers, hidden and so of no class."""


@dataclass(frozen=True)
class Photo:
    """A photo in the folder.

    Parameters
    ----------
    id : str
        POSIX path below the folder, in form NFC: "CLASS/photo.jpg".
    path : Path
    stamp : str
        Changes with the file.
    """

    id: str
    path: Path
    stamp: str


class PhotoFolder:
    """The photos of a project by class, and all that changes them. Safe to use from several threads.

    Parameters
    ----------
    root : path
        Made where it is not there.

    Raises
    ------
    DataError
        The photos are divided into train and test, so that the first level is not the classes.
    NotWritten
        It cannot be written.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).absolute()
        self.runs, self.removed, self.own = (self.root / name for name in (RUNS, REMOVED, OWN))
        self._changing = threading.RLock()
        with said_in_words(self.root):
            for folder in (self.root, self.own):
                folder.mkdir(parents=True, exist_ok=True)
            for folder in (self.runs, self.removed):
                folder.mkdir(exist_ok=True)
                (folder / NOT_A_CLASS).touch()
        if splits := [name for name in self.classes() if name.lower() in SPLIT_NAMES]:
            raise DataError(
                f"{self.root}: the photos are divided into {' and '.join(splits)}; `rehead studio` divides "
                "them itself, so give a folder whose folders are the classes"
            )
        self.history = History(self.own / "history.json")

    # what is there

    def classes(self) -> dict[str, list[Photo]]:
        """The photos of each class, sorted; DatasetError where a folder cannot be listed."""
        found = class_folders(self.root)
        return {
            unicodedata.normalize("NFC", name): list(_photos(sorted(listed)))
            for name, (listed, _) in found.items()
        }

    def removed_photos(self) -> list[Photo]:
        """The photos that were removed, as "removed/CLASS/photo.jpg"."""
        listed = class_folders(self.removed).values() if self.removed.is_dir() else ()
        return list(
            _photos(sorted((f"{REMOVED}/{name}", path) for photos, _ in listed for name, path in photos))
        )

    def find(self, ids: Iterable[str]) -> list[Photo]:
        """The photos of these ids; Refused where one is not there, whatever path it would be."""
        known = {photo.id: photo for photos in self.classes().values() for photo in photos}
        known |= {photo.id: photo for photo in self.removed_photos()}
        found = [known.get(name) for name in dict.fromkeys(ids)]
        if None in found:
            raise Refused("gone")
        return [photo for photo in found if photo]

    def folder_of(self, name: str) -> Path:
        """The folder of a class; Refused where there is none."""
        for entry in class_folders(self.root):
            if unicodedata.normalize("NFC", entry) == name:
                return self.root / entry
        raise Refused("no-class", name=name)

    # classes

    def make(self, text: str) -> str:
        """Make a class, and return its name; Refused where it cannot be called so or is there."""
        with self._change():
            name = self._new_name(text)
            (self.root / name).mkdir()
            self.history.add(Change("make", (name,), made=(name,)))
            return name

    def rename(self, name: str, text: str) -> str:
        """Call a class otherwise, and return its new name."""
        with self._change():
            folder = self.folder_of(name)
            new = self._new_name(text, besides=name)
            if new != name:
                move_folder(folder, self.root / new)
                self.history.add(Change("rename", (name, new), folders=((folder.name, new),)))
            return new

    def remove_class(self, name: str) -> None:
        """Move all that is in a class to the removed photos, and remove its folder."""
        with self._change():
            folder = self.folder_of(name)
            if folder.is_symlink():
                raise Refused("class-link", name=name)
            inside = [path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()]
            moved = [self._moved(path, self.removed / path.relative_to(self.root)) for path in sorted(inside)]
            for inner in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
                inner.rmdir()
            folder.rmdir()
            self.history.add(Change("remove-class", (name,), tuple(moved), gone=(folder.name,)))

    # photos

    def add(self, data: bytes, name: str, label: str, *, batch: str = "") -> Photo | None:
        """Add a photo to a class, which is made where it is not there; None where the class has it already.

        Parameters
        ----------
        data : bytes
            The file.
        name : str
            What it was called elsewhere.
        label : str
            The class.
        batch : str
            Photos of one batch are undone at once.

        Raises
        ------
        Refused
            It is no photo.
        NotWritten
            It cannot be written.
        """
        name = file_name(name)
        _check_photo(data, name)
        name += "" if is_image_name(name) else ".jpg"  # as Windows and browsers know a photo by its ending
        with self._change():
            folder, made = self._class_folder(label)
            if any(_same(path, data) for path in folder.iterdir()):
                return None
            return self._add(data, folder / name, made, label, batch)

    def add_frame(self, data: bytes, label: str, stamp: str, number: int) -> Photo:
        """Add a photo of a camera, a JPEG, as one of the burst `stamp`: see `names.burst_name`."""
        name = burst_name(stamp, number)
        _check_photo(data, name)
        with self._change():
            folder, made = self._class_folder(label)
            return self._add(data, folder / name, made, label, stamp)

    def move(self, ids: Iterable[str], label: str) -> int:
        """Move photos to a class; return how many were not there yet."""
        with self._change():
            folder = self.folder_of(label)
            photos = [one for one in self.find(ids) if not one.path.is_relative_to(folder)]
            moved = tuple(self._moved(one.path, folder / one.path.name) for one in photos)
            self._keep(Change("move", (label,), moved))
            return len(moved)

    def remove(self, ids: Iterable[str]) -> int:
        """Move photos to the removed ones, from where they come back; return how many."""
        with self._change():
            photos = [one for one in self.find(ids) if not one.path.is_relative_to(self.removed)]
            moved = tuple(
                self._moved(one.path, self.removed / one.path.relative_to(self.root)) for one in photos
            )
            self._keep(Change("remove", (), moved))
            return len(moved)

    def restore(self, ids: Iterable[str]) -> int:
        """Move removed photos to their classes; return how many."""
        with self._change():
            photos = [one for one in self.find(ids) if one.path.is_relative_to(self.removed)]
            made = {one.path.relative_to(self.removed).parts[0] for one in photos}
            made -= set(class_folders(self.root))
            moved = tuple(
                self._moved(one.path, self.root / one.path.relative_to(self.removed)) for one in photos
            )
            self._keep(Change("restore", (), moved, made=tuple(sorted(made))))
            return len(moved)

    def undo(self) -> Change | None:
        """Take the last change back; None where there is none.

        What was moved or renamed by others meanwhile stays where it is. Photos that were added become
        removed ones.
        """
        with self._change():
            change = self.history.take()
            if change is None:
                return None
            for name in change.gone:
                (self.root / name).mkdir(exist_ok=True)
            for before, after in reversed(change.folders):
                with contextlib.suppress(FileNotFoundError, FileExistsError):
                    move_folder(self.root / after, self.root / before)
            for before, after in reversed(change.files):
                back = self.removed / after if change.kind == "add" else self.root / before
                with contextlib.suppress(FileNotFoundError):
                    move_beside(self.root / after, back)
            for name in change.made:
                with contextlib.suppress(OSError):  # somebody put something into it
                    (self.root / name).rmdir()
            return change

    # parts

    @contextlib.contextmanager
    def _change(self) -> Iterator[None]:
        with self._changing, said_in_words(self.root):
            yield

    def _new_name(self, text: str, besides: str = "") -> str:
        name = class_name(text)
        there = [path.name for path in self.root.iterdir()]
        there = [each for each in there if unicodedata.normalize("NFC", each) != besides]
        if other := same_name(there, name):
            raise Refused("class-there", name=other)
        return name

    def _class_folder(self, label: str) -> tuple[Path, tuple[str, ...]]:
        """The folder of a class, and its name where it was made."""
        known = {unicodedata.normalize("NFC", name): name for name in class_folders(self.root)}
        name = known.get(label) or known.get(same_name(known, label) or "")
        if name is not None:
            return self.root / name, ()
        name = self._new_name(label)
        (self.root / name).mkdir()
        return self.root / name, (name,)

    def _add(self, data: bytes, place: Path, made: tuple[str, ...], label: str, batch: str) -> Photo:
        path = write_beside(place, data)
        name = self._relative(path)
        self.history.grow(Change("add", (label, batch), ((name, name),), made=made))
        return next(_photos([(unicodedata.normalize("NFC", name), path)]))

    def _moved(self, source: Path, target: Path) -> tuple[str, str]:
        return self._relative(source), self._relative(move_beside(source, target))

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _keep(self, change: Change) -> None:
        if change.files:
            self.history.add(change)


def _photos(listed: Sequence[tuple[str, Path]]) -> Iterator[Photo]:
    for name, path in listed:
        with contextlib.suppress(OSError):  # gone meanwhile
            at = path.stat()
            yield Photo(name, path, f"{at.st_mtime_ns:x}-{at.st_size:x}")


def _check_photo(data: bytes, name: str) -> None:
    if Path(name).suffix.lower() in RAW_SUFFIXES:
        raise Refused("raw", name=name)
    if not has_image_signature(data):
        raise Refused("not-photo", name=name)
    try:
        read_header(data)
    except ImageError as error:
        raise Refused("no-photo", name=name, why=error.reason) from error


def _same(path: Path, data: bytes) -> bool:
    """Whether a file holds these bytes."""
    try:
        if path.stat().st_size != len(data) or not path.is_file():
            return False
        return path.read_bytes() == data
    except OSError:
        return False
