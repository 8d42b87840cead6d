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
from dataclasses import dataclass, replace
from pathlib import Path

from ..data.csv_table import SPLIT_NAMES
from ..data.folder import NOT_A_CLASS, class_folder_names, class_folders
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
        self._known: dict[str, Photo] = {}  # of the last listing
        with said_in_words(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            self._check()
            self.own.mkdir(exist_ok=True)
            for folder in (self.runs, self.removed):
                folder.mkdir(exist_ok=True)
                (folder / NOT_A_CLASS).touch()
        self.history = History(self.own / "history.json")

    def _check(self) -> None:
        """DataError where the folder is arranged otherwise than a project; nothing in it was changed then."""
        found = class_folders(self.root)
        if splits := [name for name in found if name.lower() in SPLIT_NAMES]:
            raise DataError(
                f"{self.root}: the photos are divided into {' and '.join(splits)}; `rehead studio` divides "
                "them itself, so give a folder whose folders are the classes"
            )
        for name, (listed, _) in found.items():
            photos = sorted(path.name for _, path in listed if path.parent == self.root / name)
            if name.casefold() in (RUNS, REMOVED) and photos:
                raise DataError(
                    f"{self.root / name}: photos are in it ({len(photos)}, first {photos[0]!r}), but "
                    "`rehead studio` keeps other things in a folder of this name; rename the class"
                )

    # what is there

    def classes(self) -> dict[str, list[Photo]]:
        """The photos of each class, sorted; DatasetError where a folder cannot be listed."""
        found = {
            unicodedata.normalize("NFC", name): list(_photos(sorted(listed)))
            for name, (listed, _) in class_folders(self.root).items()
        }
        self._known = {photo.id: photo for photos in found.values() for photo in photos}
        return found

    def removed_photos(self) -> list[Photo]:
        """The photos that were removed, as "removed/CLASS/photo.jpg"."""
        listed = class_folders(self.removed).values() if self.removed.is_dir() else ()
        return list(
            _photos(sorted((f"{REMOVED}/{name}", path) for photos, _ in listed for name, path in photos))
        )

    def photo(self, name: str) -> Photo:
        """The photo of an id, as `find`; does not list the folder again where the last listing has it."""
        known = self._known.get(name)
        return next(_photos([(name, known.path)] if known else []), None) or self.find([name])[0]

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
        for entry in class_folder_names(self.root):
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
            moves = [(path, self.removed / path.relative_to(self.root)) for path in sorted(inside)]
            self._move_all(Change("remove-class", (name,), gone=(folder.name,)), moves)
            for inner in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
                inner.rmdir()
            folder.rmdir()

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
            if _holds(folder, data):
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
            return self._move_all(
                Change("move", (label,)), [(one.path, folder / one.path.name) for one in photos]
            )

    def remove(self, ids: Iterable[str]) -> int:
        """Move photos to the removed ones, from where they come back; return how many."""
        with self._change():
            photos = [one for one in self.find(ids) if not one.path.is_relative_to(self.removed)]
            moves = [(one.path, self.removed / one.path.relative_to(self.root)) for one in photos]
            return self._move_all(Change("remove"), moves)

    def restore(self, ids: Iterable[str]) -> int:
        """Move removed photos to their classes; return how many."""
        with self._change():
            photos = [one for one in self.find(ids) if one.path.is_relative_to(self.removed)]
            made = {one.path.relative_to(self.removed).parts[0] for one in photos}
            made -= set(class_folder_names(self.root))
            moves = [(one.path, self.root / one.path.relative_to(self.removed)) for one in photos]
            return self._move_all(Change("restore", made=tuple(sorted(made))), moves)

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
        known = {unicodedata.normalize("NFC", name): name for name in class_folder_names(self.root)}
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

    def _move_all(self, change: Change, moves: Iterable[tuple[Path, Path]]) -> int:
        """Move files, and keep the change with those that were moved, also where one cannot be."""
        moved = []
        try:
            for source, target in moves:
                moved.append((self._relative(source), self._relative(move_beside(source, target))))
        finally:
            if moved or change.gone:
                self.history.add(replace(change, files=tuple(moved)))
        return len(moved)

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


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


def _holds(folder: Path, data: bytes) -> bool:
    """Whether a file in a folder holds these bytes."""
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                alike = entry.is_file() and entry.stat().st_size == len(data)
                if alike and Path(entry.path).read_bytes() == data:
                    return True
    return False
