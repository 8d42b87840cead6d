"""What the predictors of all kinds of model files share: sessions, the order of answers, and errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import chain, islice
from typing import Any, ClassVar, Generic, TypeVar

from ..errors import DataError, ImageError, NotAModelFileError, UnknownNameError
from .model_file import KINDS, ModelFile
from .parallel import map_in_order
from .photos import File, Photos, as_files
from .preprocess import PreprocessSpec
from .runtime import cpu_count, open_session

__all__ = ["BasePredictor"]

Answer = TypeVar("Answer")

_SPIN = 20
"""Microseconds: a fifth faster on an idle machine, hardly slower on a busy one (benchmarks/startup.py)."""

_ONE_NUMBER = ("outlier_score", "confidence")  # for each photo, in every kind of model file


class BasePredictor(ABC, Generic[Answer]):
    """A model file of one kind, ready to answer.

    Parameters
    ----------
    file : ModelFile
        What `read_model_file` gives.
    threads : int, optional
        Processors to use, all by default.

    Raises
    ------
    NotAModelFileError
        The file is of another kind, or its graph does not do what the kind asks for.
    """

    kind: ClassVar[str]
    """What the model files are that it takes."""

    answers: ClassVar[type[list[Any]]] = list
    """What `predict` gives: a list, or one that shows itself in a notebook."""

    def __init__(self, file: ModelFile, *, threads: int | None = None) -> None:
        if (kind := file.manifest["kind"]) != self.kind:
            hint = f"; {KINDS[kind].opened_by}" if kind in KINDS else ""
            raise NotAModelFileError(f"{file.path}: a {kind} model; expected a {self.kind} model{hint}")
        self.manifest = file.manifest
        try:
            self.preprocess = PreprocessSpec.from_dict(file.manifest["preprocess"])
            self._read(file.manifest)
        except (DataError, UnknownNameError) as error:
            raise NotAModelFileError(f"{file.path}: its manifest cannot be used: {error}") from error
        self._file = file
        self._threads = threads or cpu_count()
        outputs = {output.name: output.shape for output in self._session.get_outputs()}
        shape: list[Any] = next((given.shape for given in self._session.get_inputs()), [])
        side, expected = self.preprocess.size, self._outputs()
        if not _fits(shape, side) or any(
            name not in outputs
            or (width and outputs[name][1:2] != [width])
            or (name in _ONE_NUMBER and len(outputs[name]) != 1)
            for name, width in expected.items()
        ):
            wanted = ", ".join(f"{width} {name}" if width else name for name, width in expected.items())
            raise NotAModelFileError(
                f"{file.path}: its graph takes {shape} and gives {outputs}; expected "
                f"['N', {side}, {side}, 3] or ['N', 'H', 'W', 3] and {wanted}"
            )

    def _read(self, manifest: Mapping[str, Any]) -> None:
        """Take what else is needed from the manifest, whose entries have their types; DataError."""

    @abstractmethod
    def _outputs(self) -> Mapping[str, int | None]:
        """Outputs that the graph must have, and their widths; None: any."""

    @abstractmethod
    def _answer(self, photo: File, session: Any) -> Answer | ImageError:
        """The answer for one photo, or why there is none."""

    def answer(self, photo: File, session: Any = None) -> Answer | ImageError:
        """The answer for one photo, or why there is none; may be called from several threads at once.

        Parameters
        ----------
        photo : path or bytes
        session : optional
            Has the `run` of an ONNX Runtime session of this graph; by default the predictor's own, on all of
            its processors.
        """
        return self._answer(photo, self._session if session is None else session)

    @property
    def session(self) -> Any:
        """The ONNX Runtime session that `answer` uses."""
        return self._session

    @cached_property
    def _session(self) -> Any:
        """For one photo at a time, on all processors: lowest latency."""
        return self._open(self._threads, spin=_SPIN)

    @cached_property
    def _worker(self) -> Any:
        """For many photos, each on one processor: highest throughput."""
        return self._open(1)

    def _open(self, threads: int, spin: int = 0) -> Any:
        return open_session(
            self._file.graph, threads=threads, spin=spin, of=str(self._file.path), error=NotAModelFileError
        )

    def __getstate__(self) -> dict[str, Any]:
        """Without what is made when first needed, such as sessions, which belong to one process."""
        made = {
            name
            for base in type(self).__mro__
            for name, value in vars(base).items()
            if isinstance(value, cached_property)
        }
        return {name: value for name, value in self.__dict__.items() if name not in made}

    def predict_each(self, photos: Photos) -> Iterator[Answer | ImageError]:
        """Answers in the order of the photos, as they come; an ImageError for an unreadable one."""
        pending = as_files(photos)
        first = list(islice(pending, 2))
        if len(first) < 2:
            yield from (self._answer(photo, self._session) for photo in first)
            return
        answer = partial(self._answer, session=self._worker)
        yield from map_in_order(answer, chain(first, pending), threads=self._threads)

    def predict(self, photos: Photos) -> list[Answer]:
        """Answer for each photo, in their order.

        Parameters
        ----------
        photos : photo or iterable of photos
            Each a path, bytes, a file opened in binary mode, a Pillow image, or uint8 pixels (H, W, 3) RGB or
            (H, W), see `rehead.core.photos`.

        Returns
        -------
        list
            Of a class that a notebook shows with its photos, as far as they came as paths.

        Raises
        ------
        ImageError
            A photo is unreadable.
        DataError
            What was given is no photo.
        """
        answers: list[Answer] = self.answers()
        for answer in self.predict_each(photos):
            if isinstance(answer, ImageError):
                raise answer
            answers.append(answer)
        return answers


def _fits(shape: Sequence[Any], side: int) -> bool:
    """Whether a graph's input takes photos (N, S, S, 3), or of any height and width."""
    return list(shape[1:]) == [side, side, 3] or (
        len(shape) == 4 and shape[3] == 3 and not any(isinstance(n, int) for n in shape[1:3])
    )
