"""What is exported: a model file, and what its graph takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..backbones import graphs
from ..core.model_file import ModelFile
from ..errors import NotAModelFileError

__all__ = ["Graph", "Source", "Tensor", "of_squares", "read_graph"]


@dataclass(frozen=True)
class Tensor:
    """An input or output.

    Parameters
    ----------
    name : str
    dtype : str
        As ONNX calls it: "UINT8", "FLOAT".
    shape : tuple of int
        Without the first axis, which is that of the photos; -1 where an axis may have any length.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """What a graph takes and gives.

    Parameters
    ----------
    image : Tensor
        The photos, (H, W, 3).
    outputs : tuple of Tensor
    """

    image: Tensor
    outputs: tuple[Tensor, ...]

    @property
    def side(self) -> int | None:
        """Of the square that a photo must be brought to; None where it goes in as it is."""
        height, width = self.image.shape[:2]
        return None if -1 in (height, width) else height


@dataclass(frozen=True)
class Source:
    """What is exported.

    Parameters
    ----------
    file : ModelFile
    model : onnx.ModelProto
        Its graph, read.
    graph : Graph
        What that takes and gives.
    name : str
        What a server calls the model.
    runtime_files : Path, optional
        Where onnxruntime-web is, packed or unpacked; the cache or its registry by default.
    """

    file: ModelFile
    model: Any = field(repr=False)
    graph: Graph
    name: str
    runtime_files: Path | None


def of_squares(source: Source) -> Source:
    """The same without the resize, for what resizes otherwise: photos go in as squares, prepared outside."""
    if source.graph.side is not None:
        return source
    outputs = {tensor.name: tensor.name for tensor in source.graph.outputs}
    model = graphs.truncated(source.model, outputs, source.file.manifest["preprocess"]["size"])
    data: bytes = model.SerializeToString(deterministic=True)
    file = replace(source.file, graph=data)
    return replace(source, file=file, model=model, graph=read_graph(model, str(file.path)))


def read_graph(model: Any, of: str) -> Graph:
    """Read an onnx.ModelProto; NotAModelFileError that names `of` where it does not take one photo."""
    inputs = [_tensor(value) for value in model.graph.input]
    if [(image.name, image.dtype, image.shape[2:]) for image in inputs] != [("image", "UINT8", (3,))]:
        raise NotAModelFileError(f"{of}: its graph takes {inputs}; expected uint8 image (N, H, W, 3)")
    return Graph(inputs[0], tuple(_tensor(value) for value in model.graph.output))


def _tensor(value: Any) -> Tensor:
    import onnx

    kind = value.type.tensor_type
    lengths = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim]
    return Tensor(value.name, onnx.TensorProto.DataType.Name(kind.elem_type), tuple(lengths[1:]))
