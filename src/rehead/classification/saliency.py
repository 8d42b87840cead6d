"""Saliency: class activation maps, and occlusion.

A class activation map (Zhou et al. 2016) is exact where a network averages its maps and only linear
steps follow, as in every model file with a linear head on a frozen network: the map's mean and the
class's bias add up to its logit. With several feature levels, each level's map is computed at its own
resolution, interpolated to the finest and added.

Occlusion (Zeiler & Fergus 2014) covers the photo patch by patch with grey and measures how much the
probability drops. It needs only the outputs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..backbones import graphs
from ..backbones.backbone import load_backbone
from ..backbones.graphs import cam, inspect
from ..core.model_file import read_model_file
from ..core.parallel import map_in_order
from ..core.photos import Photo, as_file, name_of
from ..core.rejection import UNKNOWN, OperatingPoint
from ..core.runtime import cpu_count, open_session
from ..errors import DataError, NotAModelFileError, UnknownNameError
from ..heads.temperature import softmax
from ..images import PreprocessSpec, load_image
from ..images.picture import PictureMixin
from .predictor import Predictor

__all__ = ["ClassMap", "Explainer", "Explanation", "Maps", "explain"]

_CELLS = 12  # a side; patches are two cells wide, so that each cell is covered by up to four of them
_AGREES = 1e-3  # largest difference in log probability between the maps and the graph's own answer

Maps = NDArray[np.float32]


@dataclass(frozen=True)
class ClassMap:
    """Where in a photo a class's probability comes from.

    Parameters
    ----------
    label : str
    probability : float, 0..1
    values : float32 ndarray (h, w)
        Over what the network saw of the photo. By "cam": what each place adds to the class's logit, its
        mean and `bias` being the logit. By "occlusion": how much the probability drops where the
        place is covered, 0..1, negative where it rises.
    bias : float
        0 by "occlusion".
    """

    label: str
    probability: float
    values: Maps = field(repr=False)
    bias: float = 0.0


@dataclass(frozen=True)
class Explanation(PictureMixin):
    """Why a photo got its answer, which a notebook shows as a picture.

    Parameters
    ----------
    photo : str
        Its path, "" for bytes.
    method : {"cam", "occlusion"}
    answer : str
        A class, or "unknown".
    reason : str
        Why it is "unknown", "" otherwise.
    maps : tuple of ClassMap
        Of the classes that were asked for, the most probable first unless they were named.
    preprocess : PreprocessSpec
        How the photo was prepared, and so which part of it the maps are of.
    """

    photo: str
    method: Literal["cam", "occlusion"]
    answer: str
    reason: str
    maps: tuple[ClassMap, ...]
    preprocess: PreprocessSpec

    def draw(self) -> NDArray[np.uint8]:
        """A picture of it; `draw_explanation` draws one of a photo that came as bytes, too."""
        from .drawing import draw_explanation

        return draw_explanation(self, self.photo)


class Explainer:
    """A classifier that says where its answers come from.

    Parameters
    ----------
    model : path
        A model file; or any ONNX classifier, with a record of its preprocessing beside it (`net.onnx` and
        `net.json`).
    method : {"auto", "cam", "occlusion"}
        "auto" takes class activation maps where the network has them, and occlusion otherwise.
    preprocess : PreprocessSpec or path, optional
        Of an ONNX classifier that is not a model file, instead of the record beside it.
    labels : sequence of str, optional
        Its classes; "class 0", "class 1" ... by default.
    threads : int, optional
        Processors to use, all by default.

    Attributes
    ----------
    labels : tuple of str
    method : {"cam", "occlusion"}

    Raises
    ------
    ModelFileError, WeightsError
        The file cannot be used.
    DataError
        "cam" was asked for and the network has no spatial features that its answer is linear in.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        method: Literal["auto", "cam", "occlusion"] = "auto",
        preprocess: PreprocessSpec | str | os.PathLike[str] | None = None,
        labels: Sequence[str] | None = None,
        threads: int | None = None,
    ) -> None:
        if method not in ("auto", "cam", "occlusion"):
            raise UnknownNameError("method", method, ("auto", "cam", "occlusion"))
        self._threads = threads or cpu_count()
        self._name = os.fspath(model)
        graph = self._read_model_file(Path(model), labels)
        if graph is None:
            graph = self._read_onnx(Path(model), preprocess, labels)
        self._linear = None if method == "occlusion" else self._find_maps(graph, required=method == "cam")
        self.method: Literal["cam", "occlusion"] = "cam" if self._linear else "occlusion"
        pieces = self._linear.pieces if self._linear else ()
        outputs = {self._answer: "answer"} | {piece.tensor: f"maps {n}" for n, piece in enumerate(pieces)}
        if self._limits is not None:
            outputs["outlier_score"] = "outlier score"
        exposed = inspect.expose(graph, outputs)
        # occlusion runs many photos, each on one processor; a single photo takes all of them
        threads = 1 if self.method == "occlusion" else self._threads
        self._session = open_session(exposed, threads=threads, of=self._name)

    def _read_model_file(self, path: Path, labels: Sequence[str] | None) -> Any:
        """The graph of a model file; None where the file is another ONNX."""
        try:
            file = read_model_file(path)
        except NotAModelFileError:
            if path.is_dir() or path.suffix.lower() != ".onnx":
                raise
            return None
        predictor = Predictor(file, threads=self._threads)  # which checks the graph as well as the manifest
        if labels is not None:
            raise DataError(f"{path}: a model file brings its own labels; leave them out")
        self.labels, self.preprocess = predictor.labels, predictor.preprocess
        self._limits: OperatingPoint | None = predictor.operating_point
        self._answer = "probabilities"
        return graphs.load(file.graph)

    def _read_onnx(
        self,
        path: Path,
        preprocess: PreprocessSpec | str | os.PathLike[str] | None,
        labels: Sequence[str] | None,
    ) -> Any:
        """The graph of a user's own classifier."""
        backbone = load_backbone(path, preprocess=preprocess)
        ranks = {o.name: len(o.type.tensor_type.shape.dim) for o in backbone.model.graph.output}
        answers = [level for level in backbone.levels if ranks[level.name] == 2]
        if len(answers) != 1:
            raise DataError(
                f"{path}: expected one output of class scores [N, K], found {len(answers)}; "
                f"its outputs are {', '.join(ranks)}"
            )
        count = answers[0].width
        self.labels = tuple(labels) if labels is not None else tuple(f"class {n}" for n in range(count))
        if len(self.labels) != count:
            raise DataError(f"{path}: has {count} classes, and {len(self.labels)} labels were given")
        self.preprocess, self._answer, self._limits = backbone.preprocess, answers[0].name, None
        return backbone.model

    def _find_maps(self, graph: Any, *, required: bool) -> cam.LinearInMaps | None:
        try:
            return cam.linear_in_maps(graph, self._answer)
        except cam.NotLinearError as error:
            if required:
                raise DataError(
                    f"{self._name}: no class activation map, because its answer is not linear in any spatial "
                    f"features ({error}); use --method occlusion, which needs only the answers"
                ) from error
            return None

    def explain(self, photo: Photo, *, classes: int | Sequence[str] = 3) -> Explanation:
        """Explain the answer for a photo.

        Parameters
        ----------
        photo : path, bytes, binary file, Pillow image, or uint8 pixels (H, W, 3) RGB or (H, W)
        classes : int or sequence of str
            How many of the most probable classes, or which.

        Returns
        -------
        Explanation

        Raises
        ------
        ImageError
            The photo cannot be read.
        UnknownNameError
            A class that is not one.
        """
        file = as_file(photo)
        pixels = load_image(file, self.preprocess)
        if self._linear is None:
            probabilities, outlier, drops = self._occluded(pixels)
            chosen = self._chosen(classes, probabilities)
            values, biases = drops[chosen], np.zeros(len(chosen))
        else:
            probabilities, outlier, maps = self._run(pixels)
            self._check_maps(self._linear, maps, probabilities)
            chosen = self._chosen(classes, probabilities)
            linear = self._linear.only(chosen)
            values, biases = cam.sum_maps(cam.activation_maps(linear, maps), len(chosen)), linear.bias
        reason = self._limits.reason(float(probabilities.max()), outlier) if self._limits else ""
        return Explanation(
            name_of(file),
            self.method,
            UNKNOWN if reason else self.labels[int(probabilities.argmax())],
            reason,
            tuple(
                ClassMap(self.labels[k], float(probabilities[k]), value.astype(np.float32), float(bias))
                for k, value, bias in zip(chosen, values, biases, strict=True)
            ),
            self.preprocess,
        )

    def _chosen(self, classes: int | Sequence[str], probabilities: NDArray[Any]) -> list[int]:
        if isinstance(classes, int):
            order: list[int] = np.argsort(-probabilities, kind="stable")[: max(classes, 1)].tolist()
            return order
        for name in classes:
            if name not in self.labels:
                raise UnknownNameError("class", name, self.labels)
        return [self.labels.index(name) for name in classes]

    def _run(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float64], float, list[Maps]]:
        """Probabilities (K,), outlier score and the pieces' maps of one photo (S, S, 3)."""
        names = [output.name for output in self._session.get_outputs()]
        found = dict(zip(names, self._session.run(None, {"image": pixels[None]}), strict=True))
        row = found.pop("exposed answer")[0].astype(np.float64)
        score = found.pop("exposed outlier score", None)
        if row.shape != (len(self.labels),):
            raise DataError(f"{self._name}: gives {row.size} numbers for {len(self.labels)} classes")
        if row.min() < 0 or abs(row.sum() - 1) > _AGREES:  # logits
            row = softmax(row[None])[0]
        return row, 0.0 if score is None else float(score[0]), [maps[0] for maps in found.values()]

    def _check_maps(
        self, linear: cam.LinearInMaps, maps: Sequence[Maps], probabilities: NDArray[np.float64]
    ) -> None:
        """Raise DataError where the maps do not add up to the graph's own answer."""
        try:
            expected = softmax(linear.logits(maps)[None])[0]
        except ValueError as error:  # maps of other sizes than the graph says
            raise DataError(f"{self._name}: its maps are not of the size that it says ({error})") from error
        if np.abs(expected - probabilities).max() > _AGREES:
            raise DataError(
                f"{self._name}: its maps do not add up to its answer; use --method occlusion, "
                "and please tell us about this network"
            )

    def _occluded(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
        """Probabilities (K,), outlier score and the drop of each where a place is covered (K, g, g).

        The covered photos go through the network side by side, one on each processor: a batch of
        them takes five times as long and ten times the memory.
        """
        edges = np.linspace(0, len(pixels), _CELLS + 1).round().astype(int)
        places = [(r, c) for r in range(_CELLS - 1) for c in range(_CELLS - 1)]
        grey = self._grey()

        def covered(place: tuple[int, int]) -> NDArray[np.float64]:
            r, c = place
            photo = pixels.copy()
            photo[edges[r] : edges[r + 2], edges[c] : edges[c + 2]] = grey
            return self._run(photo)[0]

        whole, outlier, _ = self._run(pixels)
        drop = np.zeros((len(whole), _CELLS, _CELLS))
        times = np.zeros((_CELLS, _CELLS))
        for (r, c), row in zip(places, map_in_order(covered, places, threads=self._threads), strict=True):
            drop[:, r : r + 2, c : c + 2] += (whole - row)[:, None, None]
            times[r : r + 2, c : c + 2] += 1
        return whole, outlier, drop / times

    def _grey(self) -> NDArray[np.uint8]:
        """The colour that the network takes as zero."""
        mean = self.preprocess.mean[::-1] if self.preprocess.channels == "BGR" else self.preprocess.mean
        colour: NDArray[np.uint8] = np.rint(np.clip(mean, 0, 255)).astype(np.uint8)
        return colour


def explain(
    model: str | os.PathLike[str],
    photo: Photo,
    *,
    classes: int | Sequence[str] = 3,
    method: Literal["auto", "cam", "occlusion"] = "auto",
    preprocess: PreprocessSpec | str | os.PathLike[str] | None = None,
    labels: Sequence[str] | None = None,
    threads: int | None = None,
) -> Explanation:
    """Say where in a photo a model's answer comes from.

    Parameters
    ----------
    model, method, preprocess, labels, threads
        As in `Explainer`, which is the faster way for many photos.
    photo, classes
        As in `Explainer.explain`.

    Returns
    -------
    Explanation

    Raises
    ------
    ModelFileError, WeightsError, ImageError, DataError, UnknownNameError

    Examples
    --------
    ``rehead.explain("model.onnx", "photo.jpg").maps[0].values`` is the map of the most probable class.
    """
    explainer = Explainer(model, method=method, preprocess=preprocess, labels=labels, threads=threads)
    return explainer.explain(photo, classes=classes)
