"""Backbones: pretrained networks without their classifiers, pixels in and features out.

A backbone is known by name (`weights.names()`) or is any ONNX file with a record of its
preprocessing beside it (`net.onnx` and `net.json`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..core.cache import cached_graph
from ..core.engines import ONNX_RUNTIME, Engine
from ..core.model_file import ModelFile, read_model_file
from ..core.photos import File
from ..core.preprocess import GreyRange
from ..core.runtime import cpu_count, open_session
from ..core.text import first_line
from ..errors import (
    DataError,
    ModelFileError,
    NotAModelFileError,
    ReheadError,
    UnknownNameError,
    WeightsError,
)
from ..images import PreprocessSpec, find_grey_range
from . import graphs
from .graphs import inspect
from .weights import locate, registry
from .weights.onnx_file import read_onnx
from .weights.spec import NOT_STATED, WeightSpec

__all__ = ["Backbone", "FeatureLevel", "blocks_of", "load_backbone"]

_GRAPH_VERSION = 2  # raised when `graphs` builds another graph from the same weights


@dataclass(frozen=True)
class FeatureLevel:
    """A layer that features are taken from: the name of its map, and its channels."""

    name: str
    width: int


def blocks_of(widths: Iterable[int]) -> list[slice]:
    """Columns of levels of these widths, side by side."""
    return [slice(start, stop) for start, stop in pairwise(accumulate(widths, initial=0))]


@dataclass(frozen=True)
class Backbone:
    """A network, and everything its features depend on.

    Parameters
    ----------
    name : str
        Registered name, or the file's name.
    preprocess : PreprocessSpec
        How photos are prepared for `image`.
    levels : tuple of FeatureLevel
        Feature levels, first to last.
    weights : mapping
        Name, sha256 and licences of the weights, as they go into the model file.
    trunk : bytes
        Serialised ONNX: `image` uint8 (N, S, S, 3) RGB to a float32 output for each level.
    engine : Engine
        What runs it while features are taken.
    """

    name: str
    preprocess: PreprocessSpec
    levels: tuple[FeatureLevel, ...]
    weights: Mapping[str, Any]
    trunk: bytes = field(repr=False)
    engine: Engine = ONNX_RUNTIME

    @property
    def blocks(self) -> list[slice]:
        """Columns of each level in the features of all levels side by side."""
        return blocks_of([level.width for level in self.levels])

    @cached_property
    def model(self) -> Any:
        """The trunk as onnx.ModelProto; not to be changed."""
        return graphs.load(self.trunk)

    @cached_property
    def context(self) -> dict[str, Any]:
        """The cache key: what features depend on besides the photo and its view.

        The network is in it as it is, not by the digest that a model file claims for its weights.
        """
        levels = [level.name for level in self.levels]
        return {
            "preprocess": self.preprocess.to_dict(),
            "levels": levels,
            "network": inspect.fingerprint(self.model, levels),
            **({} if self.engine == ONNX_RUNTIME else {"engine": self.engine.record()}),
        }

    def for_photos(self, photos: Iterable[File], *, threads: int | None = None) -> Backbone:
        """The same for these photos: with the range of their grey values, where some have more than 8 bits.

        A range that is there already, as in a model file, stays. See `images.find_grey_range`.
        """
        if self.preprocess.grey_range is not None:
            return self
        found = find_grey_range(photos, threads=threads)
        return self if found is None else self.with_grey_range(found)

    def with_grey_range(self, limits: GreyRange | None) -> Backbone:
        """The same with another range of grey values, (black, white)."""
        return replace(self, preprocess=replace(self.preprocess, grey_range=limits))

    def with_engine(self, engine: Engine) -> Backbone:
        """The same whose features another engine takes."""
        return self if engine == self.engine else replace(self, engine=engine)

    def features_graph(self) -> bytes:
        """Serialised ONNX: `image` to `features`, float32 (N, D), all levels pooled, side by side."""
        model = graphs.pooled_levels(self.model, [level.name for level in self.levels])
        return bytes(model.SerializeToString(deterministic=True))


def load_backbone(
    name: str | os.PathLike[str],
    *,
    preprocess: PreprocessSpec | str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
) -> Backbone:
    """Load a backbone.

    Parameters
    ----------
    name : str or path
        A registered name such as "efficientnet_lite0", an ONNX file, or a model file, whose head is dropped.
    preprocess : PreprocessSpec or path, optional
        Instead of the registered record; for an ONNX file, instead of the JSON file of its name. A model
        file has its own.
    weights : path, optional
        Take the registered weights from this file.

    Returns
    -------
    Backbone

    Raises
    ------
    UnknownNameError, WeightsError, ModelFileError, DataError
    """
    if isinstance(preprocess, str | os.PathLike):
        preprocess = read_preprocess(preprocess)
    if os.fspath(name).lower().endswith(".onnx"):
        return _from_file(Path(name), preprocess)
    spec = registry.get(os.fspath(name))
    if spec.needs_torch:
        raise DataError(
            f"{spec.name} is built by torch: pip install 'rehead[torch]', then `rehead train --backbone "
            f"{spec.name}` or FineTunedClassifier; the core runs {', '.join(registry.names())}"
        )
    preprocess = preprocess or spec.preprocess
    trunk = _built(spec, preprocess, locate.locate(spec, file=weights))
    record = {"name": spec.name, "sha256": spec.sha256, "licences": spec.licences}
    return _backbone(spec.name, preprocess, record, trunk)


def read_preprocess(path: str | os.PathLike[str]) -> PreprocessSpec:
    """Read a preprocessing record from a JSON file; raises DataError."""
    try:
        record = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"{os.fspath(path)}: not JSON ({error})") from error
    try:
        return PreprocessSpec.from_dict(record)
    except (DataError, UnknownNameError) as error:
        raise DataError(f"{os.fspath(path)}: {error}") from error


def _backbone(name: str, preprocess: PreprocessSpec, weights: Mapping[str, Any], trunk: bytes) -> Backbone:
    outputs = graphs.load(trunk).graph.output
    levels = tuple(FeatureLevel(o.name, o.type.tensor_type.shape.dim[1].dim_value) for o in outputs)
    return Backbone(name, preprocess, levels, weights, trunk)


def _built(spec: WeightSpec, preprocess: PreprocessSpec, path: Path) -> bytes:
    """Trunk of registered weights, built once and cached."""
    record = {
        "graph": _GRAPH_VERSION,
        "architecture": spec.architecture,
        "weights": spec.sha256,
        "preprocess": preprocess.to_dict(),
    }

    def build() -> bytes:
        from .weights.torch_checkpoint import read_state_dict

        model = graphs.build_trunk(spec.architecture, read_state_dict(path), preprocess)
        return bytes(model.SerializeToString(deterministic=True))

    return cached_graph(record, build)


def _from_file(path: Path, preprocess: PreprocessSpec | None) -> Backbone:
    """A model file, or a user's own network."""
    try:
        file = read_model_file(path)
    except NotAModelFileError:
        return _from_onnx(path, preprocess)
    except ModelFileError as error:
        if path.is_file():
            raise
        raise WeightsError(f"{path}: cannot be read (No such file or directory)") from error
    if preprocess is not None:
        raise DataError(
            f"{path}: a model file brings its own record of preprocessing; leave out --preprocess"
        )
    try:
        return _from_model_file(file)
    except ModelFileError:
        raise
    except Exception as error:  # onnx raises what it likes about a graph that somebody changed
        raise ModelFileError(f"{path}: its network cannot be taken out ({first_line(error)})") from error


def _from_onnx(path: Path, preprocess: PreprocessSpec | None) -> Backbone:
    """A user's own network: every output becomes a feature level, maps and vectors alike."""
    import onnx

    data, digest = read_onnx(path)
    if preprocess is None:
        record = path.with_suffix(".json")
        if not record.is_file():
            raise DataError(
                f"{path}: how photos are prepared for this network is not known; give --preprocess or write "
                f"{record.name} beside it, such as "
                '{"size": 224, "mean": [123.7, 116.3, 103.5], "std": [58.4, 57.1, 57.4]}'
            )
        preprocess = read_preprocess(record)
    try:
        model = onnx.load_from_string(data)
        onnx.checker.check_model(model)
        trunk = graphs.wrap(model, preprocess, str(path)).SerializeToString(deterministic=True)
    except ReheadError:
        raise
    except Exception as error:  # protobuf, the checker and shape inference raise what they like
        raise WeightsError(f"{path}: not a valid ONNX file ({first_line(error)})") from error
    weights = {"name": path.name, "sha256": digest, "licences": dict(NOT_STATED)}
    return _tried(_backbone(path.stem, preprocess, weights, trunk), path, WeightsError)


def _tried(backbone: Backbone, path: Path, error: type[ReheadError]) -> Backbone:
    """The network of a file of others, run on a grey photo; `error` where it does not do as it says."""
    session = open_session(backbone.trunk, threads=cpu_count(), of=str(path), error=error)
    side = backbone.preprocess.size
    names = [level.name for level in backbone.levels]
    found = session.run(names, {"image": np.full((1, side, side, 3), 128, np.uint8)})
    for level, maps in zip(backbone.levels, found, strict=True):
        if maps.shape[1:2] != (level.width,):
            raise error(f"{path}: says that {level.name} is {level.width} wide, and gives {maps.shape[1:]}")
    return backbone


def _from_model_file(file: ModelFile) -> Backbone:
    """The network inside a model file, without its head; its features are those the head was fitted on."""
    import onnx
    import onnx.shape_inference

    if lacking := [name for name in ("backbone", "depths") if name not in file.manifest]:
        raise ModelFileError(f"{file.path}: its manifest lacks {', '.join(lacking)}; it cannot be a backbone")
    names = list(file.manifest["depths"])
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(file.graph))
    tensors = inspect.level_tensors(model)
    if len(names) != len(tensors):
        raise NotAModelFileError(
            f"{file.path}: {len(tensors)} feature levels in its graph, {len(names)} in its manifest; "
            "train it again"
        )
    preprocess = PreprocessSpec.from_dict(file.manifest["preprocess"])
    trunk = graphs.truncated(model, dict(zip(names, tensors, strict=True)), preprocess.size)
    weights = dict(file.manifest["backbone"])
    name = weights.pop("name")
    backbone = _backbone(name, preprocess, weights, trunk.SerializeToString(deterministic=True))
    return _tried(backbone, file.path, NotAModelFileError)
