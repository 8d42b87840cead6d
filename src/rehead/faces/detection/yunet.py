"""YuNet: one small network that finds faces and their five points at once (Wu et al. 2023).

Outputs are decoded as OpenCV's `FaceDetectorYN` does it. The network was trained on faces of 10 to 300
pixels; larger ones are found in the photo at a quarter of its size, which costs a sixteenth more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backbones.weights import faces, locate
from ...core.cache import cached_graph
from ...core.runtime import open_session
from ...images import pyramid
from .mtcnn import Detections, nms

__all__ = ["YuNet"]

_GRAPH_VERSION = 1  # raised when `graphs.yunet` makes another graph of the same file
_STRIDES = (8, 16, 32)  # sides of the cells, pixels
_OVERLAP = 0.3  # OpenCV's
# Faces of LFW shrunk to 16, 20 and 24 pixels: 72, 95 and 100 % are found. 300 is the authors' limit: of face
# crops of 640 pixels 15 % are found, and all at a quarter of the size as well (benchmarks/yunet.py).
_SMALLEST, _LARGEST, _FACTOR = 20, 300, 4
# All of 100 portraits of LFW have 0.88 or more; at a tenth of the brightness 98 have 0.8, and 82 have 0.88.
# Of 327 photos of animals and other things 3 animals have 0.8, and 16 have 0.7; people do not count.
_THRESHOLD = 0.8


class YuNet:
    """The network.

    Parameters
    ----------
    threads : int
        Processors that one photo may use.
    """

    def __init__(self, *, threads: int) -> None:
        file = faces.get("yunet")
        path = locate.locate(file)

        def build() -> bytes:
            from ...backbones.graphs.yunet import any_size

            return any_size(path)

        graph = cached_graph({"yunet": _GRAPH_VERSION, "weights": file.sha256}, build)
        self._session = open_session(graph, threads=threads)
        self._names = [output.name for output in self._session.get_outputs()]

    def detect_boxes(self, pixels: NDArray[np.uint8], *, smallest: float) -> Detections:
        """Faces whose side has `smallest` pixels or more, as `Mtcnn.detect_boxes`.

        Below 20 the photo is enlarged, above it is made smaller.
        """
        height, width = pixels.shape[:2]
        sizes = list(_sizes(width, height, smallest))
        found = [
            self._decoded(photo, np.array([width / size[0], height / size[1]]))
            for size, photo in zip(sizes, pyramid(pixels, sizes), strict=True)
        ]
        boxes, points, scores = (np.concatenate(part) for part in zip(*found, strict=True))
        kept = nms(boxes, scores, _OVERLAP)
        return Detections(boxes[kept], points[kept], scores[kept])

    def _decoded(self, photo: NDArray[np.uint8], scale: NDArray[np.float64]) -> Detections:
        """All cells that see a face in the resized photo; in pixels of one that is `scale` times as large."""
        height, width = (-(-side // _STRIDES[-1]) * _STRIDES[-1] for side in photo.shape[:2])
        padded = np.zeros((1, 3, height, width), np.float32)
        padded[0, :, : photo.shape[0], : photo.shape[1]] = photo[..., ::-1].transpose(2, 0, 1)
        outputs: dict[str, Any] = dict(
            zip(self._names, self._session.run(None, {"input": padded}), strict=True)
        )
        parts = []
        for side in _STRIDES:
            both = outputs[f"cls_{side}"][0, :, 0].clip(0, 1) * outputs[f"obj_{side}"][0, :, 0].clip(0, 1)
            (at,) = np.nonzero(both >= _THRESHOLD**2)
            cells = np.stack([at % (width // side), at // (width // side)], axis=-1)
            shift = outputs[f"bbox_{side}"][0, at].astype(np.float64)
            middle, half = cells + shift[:, :2], np.exp(shift[:, 2:]) / 2
            boxes = np.concatenate([middle - half, middle + half], axis=1) * np.tile(side * scale, 2)
            points = (cells[:, None] + outputs[f"kps_{side}"][0, at].reshape(-1, 5, 2)) * (side * scale)
            parts.append(Detections(boxes, points, np.sqrt(both[at], dtype=np.float64)))
        return Detections(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _sizes(width: int, height: int, smallest: float) -> Iterator[tuple[int, int]]:
    """Widths and heights at which the network sees the photo: faces of 20 to 300 pixels are found in each."""
    scale = _SMALLEST / smallest
    while True:
        yield max(1, round(width * scale)), max(1, round(height * scale))
        if max(width, height) * scale <= _LARGEST:
            return
        scale /= _FACTOR
