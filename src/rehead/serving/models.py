"""The models of a service, by name."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.model_file import ModelFile, read_model_file
from ..core.photos import File
from ..core.predictor import BasePredictor
from ..core.runtime import open_session
from ..core.text import percent, percent_range
from ..errors import DataError, ImageError, ModelFileError, ReheadError, UnknownNameError
from ..workflows.loading import open_any_model

__all__ = ["KeepsOutputs", "ModelSet", "ServedModel"]

_LOG = logging.getLogger("rehead.serving")
_VERSION = 12  # hex digits of the digest: as many as manifests keep of a photo's


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A model file that is being served; a new file makes a new one.

    Parameters
    ----------
    name : str
        What requests call it.
    file : ModelFile
    predictor : BasePredictor
    """

    name: str
    file: ModelFile = field(repr=False)
    predictor: BasePredictor[Any] = field(repr=False)
    _opening: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @cached_property  # each answer says it
    def version(self) -> str:
        """The first digits of the digest of graph and manifest."""
        return self.file.digest[:_VERSION]

    @property
    def kind(self) -> str:
        """What the manifest says: "classifier", "face-classifier", "keypoints"."""
        return str(self.file.manifest["kind"])

    @property
    def manifest(self) -> Mapping[str, Any]:
        """All that the file says of itself."""
        return self.file.manifest

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes; of keypoints the names of the points, where they have some."""
        return tuple(getattr(self.predictor, "labels", getattr(self.predictor, "names", ())))

    @property
    def accuracy(self) -> str:
        """How right it was on its test photos, or that this was not measured; "" where neither is said."""
        if unmeasured := self.manifest.get("unmeasured"):
            return str(unmeasured)
        found = (self.manifest.get("metrics") or {}).get("accuracy")
        if not isinstance(found, Mapping) or not {"value", "low", "high"} <= set(found):
            return ""
        interval = percent_range(_Range(found["low"], found["high"]))
        return (
            f"{percent(found['value'])} of its test photos were named correctly (95 % interval {interval})."
        )

    def answer(self, photo: File, *, maps: bool = False) -> tuple[Any, NDArray[np.float32] | None]:
        """The answer for one photo, or an ImageError; and the map where `maps` asks for one that there is.

        The map, float32 (h, w), says what each place adds to the logit of the nearest class.
        """
        session = self._map_session if maps else None
        if session is None:
            return self.predictor.answer(photo), None
        run = KeepsOutputs(session, ("maps",))
        answer = self.predictor.answer(photo, run)
        if isinstance(answer, ImageError):
            return answer, None
        return answer, run.outputs["maps"][0][self.labels.index(answer.nearest)]

    @property
    def _map_session(self) -> Any:
        with self._opening:  # two requests may be the first
            return self._with_maps

    @cached_property
    def _with_maps(self) -> Any:
        """A session whose graph gives the maps too; None where the network has none."""
        if self.kind != "classifier":
            return None
        from ..exporting.page import page_model  # brings onnx: only for those who ask for maps

        session = open_session(page_model(self.file), threads=1)
        return session if "maps" in {output.name for output in session.get_outputs()} else None


@dataclass(frozen=True)
class _Range:
    low: float
    high: float


class KeepsOutputs:
    """Runs a graph for a predictor, and keeps outputs whether or not it asks for them.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    names : sequence of str
        What is kept.
    """

    def __init__(self, session: Any, names: Sequence[str]) -> None:
        self._session, self._names = session, names
        self.outputs: dict[str, NDArray[Any]] = {}

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Any]) -> list[NDArray[Any]]:
        """As an InferenceSession has it."""
        wanted = list(dict.fromkeys((*self._names, *outputs)))
        found = dict(zip(wanted, self._session.run(wanted, inputs), strict=True))
        self.outputs = {name: found[name] for name in self._names}
        return [found[name] for name in outputs]


class ModelSet:
    """Models by name, in the order given; the first one answers who names none.

    Parameters
    ----------
    places : iterable of str or path
        Model files, each called by its stem, or NAME=PATH.
    threads : int
        Processors that one answer may take.

    Raises
    ------
    ModelFileError
        A file cannot be used.
    DataError
        Two models have one name, or a name cannot stand in an address.
    """

    def __init__(self, places: Iterable[str | Path], *, threads: int = 1) -> None:
        self._threads = threads
        self._paths: dict[str, Path] = {}
        for place in places:
            name, path = _named(place)
            if name in self._paths:
                raise DataError(f"{path}: another model is called {name!r} too; name one as NAME={path}")
            self._paths[name] = path
        if not self._paths:
            raise DataError("no model file to serve was given")
        self._models = {name: self._open(name, path) for name, path in self._paths.items()}

    @property
    def paths(self) -> Mapping[str, Path]:
        """The files, by the names of the models."""
        return self._paths

    def _open(self, name: str, path: Path) -> ServedModel:
        file = read_model_file(path)
        return ServedModel(name, file, open_any_model(file, threads=self._threads))

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(list(self._models.values()))

    def get(self, name: str | None = None) -> ServedModel:
        """The model of a name, the first one of none; UnknownNameError."""
        if name is None:
            return next(iter(self._models.values()))
        if (found := self._models.get(name)) is None:
            raise UnknownNameError("model", name, self._models)
        return found

    def reload(self, name: str) -> bool:
        """Take over the file as it is now; a bad one is refused with a line in the log, and the old stays."""
        try:
            fresh = self._open(name, self._paths[name])
        except ReheadError as error:
            _LOG.error("refused a new file, the old one goes on answering: %s", error)
            return False
        except Exception:  # whatever else a file brings about: the service goes on
            _LOG.exception("%s: could not be opened, the old one goes on answering", self._paths[name])
            return False
        if fresh.version == self._models[name].version:
            return False
        self._models[name] = fresh
        _LOG.info("%s: now version %s", self._paths[name], fresh.version)
        return True


def _named(place: str | Path) -> tuple[str, Path]:
    name, equals, path = str(place).partition("=")
    if not equals or not re.fullmatch(r"[\w.-]+", name) or Path(place).exists():
        name, path = Path(place).stem, str(place)
    if not name or not name.isprintable() or "/" in name:
        raise ModelFileError(f"{path}: its name cannot stand in an address; name it as NAME={path}")
    return name, Path(path)
