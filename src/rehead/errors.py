"""Every error that rehead raises on purpose.

    ReheadError
    ├── DataError                  what the user brought cannot be used
    │   ├── ImageError             one file is not a readable photo (has .path and .reason)
    │   └── DatasetError           the folder, CSV or label list as a whole
    ├── MachineError               memory or a disk failed while a photo was read; the photo may be sound
    ├── UnknownNameError           a name that does not exist; says what was meant
    ├── MissingExtraError          an optional package is not installed; names the pip line
    ├── EngineError                an engine cannot run a network, or gives other features
    ├── WeightsError               pretrained weights cannot be found, read or trusted
    │   ├── WeightsNotFoundError   no source has them
    │   └── HashMismatchError      the bytes are not the published ones
    ├── ModelFileError             a model file cannot be used
    │   ├── NotAModelFileError     it is something else
    │   ├── NewerProtocolError     a later rehead wrote it
    │   ├── AlteredModelFileError  it was changed after it was written
    │   └── NotSignedError         it is not signed, or by somebody else
    ├── GalleryError               a gallery of faces cannot be used
    │   ├── WrongKeyError          its key is missing, or another
    │   ├── OtherEmbedderError     its templates come from another embedder
    │   └── DamagedGalleryError    it is something else, or was damaged
    ├── ClusterError               a cluster cannot be reached, or went away
    ├── TrainingError              a training cannot go on
    └── OutputError                a result cannot be written (full or read-only disk, ...)

The command line turns this class, and only this class, into one line and exit code 2.
A message says what is wrong, where, what was expected and what to do next.
Errors about values also derive from ValueError, so that scikit-learn's grammar holds.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable

__all__ = [
    "AlteredModelFileError",
    "ClusterError",
    "DamagedGalleryError",
    "DataError",
    "DatasetError",
    "EngineError",
    "GalleryError",
    "HashMismatchError",
    "ImageError",
    "MachineError",
    "MissingExtraError",
    "ModelFileError",
    "NewerProtocolError",
    "NotAModelFileError",
    "NotSignedError",
    "OtherEmbedderError",
    "OutputError",
    "ReheadError",
    "TrainingError",
    "UnknownNameError",
    "WeightsError",
    "WeightsNotFoundError",
    "WrongKeyError",
]


_NAMED = 20  # names that a message lists before it only counts


class ReheadError(Exception):
    """Base class of every deliberate error."""


class DataError(ReheadError, ValueError):
    """What the user brought cannot be used."""


class ImageError(DataError):
    """One file is not a readable photo.

    Parameters
    ----------
    path : path, bytes or None
        The file; the attribute is None where the photo came as bytes.
    reason : str
        What is wrong with it, as a phrase: "the file is empty".
    """

    def __init__(self, path: str | os.PathLike[str] | bytes | None, reason: str) -> None:
        self.path = None if path is None or isinstance(path, bytes) else os.fspath(path)
        self.reason = reason
        super().__init__(f"{self.path or 'image bytes'}: {reason}")

    def __reduce__(self) -> tuple[type[ImageError], tuple[str | None, str]]:
        return type(self), (self.path, self.reason)

    def bare(self) -> ImageError:
        """The same for keeping: without traceback, cause and context, which hold bytes and pixels."""
        return type(self)(self.path, self.reason)


class DatasetError(DataError):
    """The folder, CSV or label list as a whole cannot be used."""


class MachineError(ReheadError):
    """Memory or a disk failed while a photo was read; nothing is known of the photo itself."""


class UnknownNameError(ReheadError, ValueError):
    """A name that does not exist.

    Parameters
    ----------
    kind : str
        What was named: "backbone".
    name : str
        The name as given.
    known : iterable of str
        The names that exist; the nearest are suggested.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        near = difflib.get_close_matches(name, self.known, n=1, cutoff=0.6)
        more = f" and {len(self.known) - _NAMED} more" if len(self.known) > _NAMED else ""
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(self.known[:_NAMED])}{more}"
        super().__init__(f"unknown {kind} {name!r}; {hint}")

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, str, list[str]]]:
        return type(self), (self.kind, self.name, self.known)


class MissingExtraError(ReheadError, ImportError):
    """An optional package is not installed."""


class EngineError(ReheadError):
    """An engine cannot run a network, or gives other features than ONNX Runtime."""


class WeightsError(ReheadError):
    """Pretrained weights cannot be found, read or trusted."""


class WeightsNotFoundError(WeightsError):
    """No source has the weights."""


class HashMismatchError(WeightsError):
    """The bytes are not the published ones."""


class ModelFileError(ReheadError):
    """A model file cannot be used."""


class NotAModelFileError(ModelFileError):
    """The file is something else than a rehead model."""


class NewerProtocolError(ModelFileError):
    """A later rehead wrote the file."""


class AlteredModelFileError(ModelFileError):
    """The file was changed after it was written."""


class NotSignedError(ModelFileError):
    """The file is not signed, or not with the key that was expected."""


class GalleryError(ReheadError):
    """A gallery of faces cannot be used."""


class WrongKeyError(GalleryError):
    """The key of a gallery is missing, or another."""


class OtherEmbedderError(GalleryError):
    """The templates of a gallery come from another embedder."""


class DamagedGalleryError(GalleryError):
    """The file is no gallery, or was damaged."""


class ClusterError(ReheadError):
    """A cluster cannot be reached, or went away; what was computed is kept."""


class TrainingError(ReheadError):
    """A network's training cannot go on."""


class OutputError(ReheadError):
    """A result cannot be written."""
