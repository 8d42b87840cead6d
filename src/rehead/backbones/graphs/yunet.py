"""YuNet (Wu et al. 2023) for photos of any size: OpenCV Zoo's file says 640 x 640, and does not need it."""

from __future__ import annotations

import os
from pathlib import Path

from ...errors import WeightsError

__all__ = ["any_size"]

_OUTPUTS = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)]


def any_size(path: str | os.PathLike[str]) -> bytes:
    """The graph in the file, for photos whose height and width are multiples of 32.

    Its input `input` is float32 (1, 3, H, W), BGR, 0..255. Its outputs have a row for every cell, which is
    8, 16 or 32 pixels wide, from the upper left, line by line: `cls_8` and `obj_8` (1, cells, 1), whose
    product is the square of the score; `bbox_8` (1, cells, 4), the box's middle from the cell's corner and
    the logarithms of its sides; `kps_8` (1, cells, 10), x and y of five points from that corner, all in
    units of the cell; and so on.

    Raises
    ------
    WeightsError
        The file cannot be read, or has other inputs or outputs.
    """
    import onnx

    try:
        model = onnx.load_from_string(Path(path).read_bytes())
    except Exception as error:  # protobuf's own classes
        raise WeightsError(f"{os.fspath(path)}: cannot be read as ONNX ({type(error).__name__})") from error
    graph = model.graph
    if [one.name for one in graph.input] != ["input"] or {one.name for one in graph.output} != {*_OUTPUTS}:
        raise WeightsError(f"{os.fspath(path)}: is no YuNet: expected the outputs {', '.join(_OUTPUTS)}")
    for value, axes in [(graph.input[0], (2, 3)), *((output, (1,)) for output in graph.output)]:
        for axis in axes:
            value.type.tensor_type.shape.dim[axis].dim_param = f"{value.name} {axis}"
    del graph.value_info[:]
    return bytes(model.SerializeToString(deterministic=True))
