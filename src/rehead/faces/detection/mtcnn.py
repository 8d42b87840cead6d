"""MTCNN: a cascade of three networks, each slower and more accurate than the last (Zhang et al. 2016).

P-net proposes boxes over an image pyramid, R-net refines them, O-net refines them again and finds five
points. Each network is followed by non-maximum suppression and box regression. Thresholds, pyramid factor
and overlaps are those of the authors' `demo.m`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...backbones.weights import faces, locate
from ...core.cache import cached_graph
from ...core.geometry import Boxes, Points, area
from ...core.runtime import open_session
from ...images import patches, pyramid

__all__ = ["Detections", "Mtcnn"]

_GRAPH_VERSION = 3  # raised when `graphs.mtcnn` builds other graphs from the same weights
_CELL, _STRIDE = 12, 2  # P-net's receptive field and stride, pixels
_PYRAMID_FACTOR = 0.709  # from one size of the photo to the next
# Score thresholds of P-net, R-net and O-net. The authors take 0.7 for O-net as well; of the 807 people that
# LFW's first pairs portray the lowest score is 0.991 (benchmarks/faces.py).
_THRESHOLDS = (0.6, 0.7, 0.9)
_BLOCK = 256  # boxes of which all pairs are compared at once: 0.5 MB an array
_BATCH = 512  # boxes at once; a crowd then needs 30 MB at most


class Detections(NamedTuple):
    """Faces of one photo."""

    boxes: Boxes  # (N, 4)
    points: Points  # (N, 5, 2)
    scores: NDArray[np.float64]  # (N,), 0..1


class Mtcnn:
    """The cascade.

    Parameters
    ----------
    threads : int
        Processors that one photo may use.
    """

    def __init__(self, *, threads: int) -> None:
        self._proposal, self._refinement, self._output = (_session(letter, threads) for letter in "pro")

    def detect_boxes(self, pixels: NDArray[np.uint8], *, smallest: float) -> Detections:
        """Faces whose shorter side has `smallest` pixels or more.

        Parameters
        ----------
        pixels : uint8 array of shape (H, W, 3), RGB
        smallest : float
            Below 12 the photo is enlarged.
        """
        boxes = self._propose(pixels, smallest)
        scores, offsets = self._run(self._refinement, pixels, boxes, 24, "face", "shift")
        above = scores > _THRESHOLDS[1]
        boxes, scores, offsets = boxes[above], scores[above], offsets[above]
        kept = nms(boxes, scores, 0.7)
        found = self._run_output_net(pixels, apply_box_regression(boxes[kept], offsets[kept]))
        boxes, points, scores = (part[found.scores > _THRESHOLDS[2]] for part in found)
        kept = nms(boxes, scores, 0.7, of_smaller=True)
        return Detections(boxes[kept], points[kept], scores[kept])

    def refine(self, pixels: NDArray[np.uint8], boxes: Boxes) -> Detections:
        """Points and scores of faces that another detector found, at its boxes (N, 4), in their order.

        O-net runs twice: its first run only moves the box to where it expects one.
        """
        moved = self._run_output_net(pixels, boxes).boxes
        _, points, scores = self._run_output_net(pixels, moved)
        return Detections(boxes, points, scores)

    def _run_output_net(self, pixels: NDArray[np.uint8], boxes: Boxes) -> Detections:
        """O-net's detections for `boxes` (N, 4), in their order."""
        boxes = _squares(boxes)
        scores, offsets, flat = self._run(self._output, pixels, boxes, 48, "face", "shift", "points")
        sides = (boxes[:, 2:] - boxes[:, :2])[:, None]
        points = boxes[:, None, :2] + sides * flat.reshape(-1, 2, 5).transpose(0, 2, 1)
        return Detections(apply_box_regression(boxes, offsets), points, scores)

    def _propose(self, pixels: NDArray[np.uint8], smallest: float) -> Boxes:
        height, width = pixels.shape[:2]
        sizes = list(_sizes(width, height, smallest))
        all_boxes, all_scores = [np.empty((0, 4))], [np.empty(0)]
        for size, photo in zip(sizes, pyramid(pixels, sizes), strict=True):
            face, shift = self._proposal.run(["face", "shift"], {"image": photo[None]})
            rows, columns = np.nonzero(face[0] >= _THRESHOLDS[0])
            scale = np.array([width / size[0], height / size[1]] * 2)
            corner = np.stack([columns, rows], -1) * _STRIDE
            boxes = np.concatenate([corner, corner + _CELL], -1) * scale
            scores = face[0][rows, columns].astype(np.float64)
            kept = nms(boxes, scores, 0.5)
            offsets = shift[0][:, rows[kept], columns[kept]].T.astype(np.float64)
            # the second suppression, too, is among boxes before regression
            all_boxes.append(np.concatenate([boxes[kept], offsets], -1))
            all_scores.append(scores[kept])
        both = np.concatenate([boxes.reshape(-1, 8) for boxes in all_boxes])
        kept = nms(both[:, :4], np.concatenate(all_scores), 0.7)
        return _squares(apply_box_regression(both[kept, :4], both[kept, 4:]))

    @staticmethod
    def _run(
        session: Any, pixels: NDArray[np.uint8], boxes: Boxes, side: int, *outputs: str
    ) -> list[NDArray[np.float64]]:
        """The outputs of a network for every box, cut out of the photo."""
        parts = [
            session.run(outputs, {"image": patches(pixels, boxes[start : start + _BATCH], side)})
            for start in range(0, max(1, len(boxes)), _BATCH)
        ]
        return [np.concatenate(part).astype(np.float64) for part in zip(*parts, strict=True)]


def _session(letter: str, threads: int) -> Any:
    file = faces.get(f"mtcnn_{letter}net")
    path = locate.locate(file)

    def build() -> bytes:
        from ...backbones.graphs import mtcnn
        from ...backbones.weights.joblib_lz4 import read_arrays

        networks = {"p": mtcnn.proposal_network, "r": mtcnn.refinement_network, "o": mtcnn.output_network}
        return bytes(networks[letter](read_arrays(path)).SerializeToString(deterministic=True))

    graph = cached_graph({"graph": _GRAPH_VERSION, "weights": file.sha256}, build)
    return open_session(graph, threads=threads)


def _sizes(width: int, height: int, smallest: float) -> Iterator[tuple[int, int]]:
    """Widths and heights of the image pyramid."""
    scale = _CELL / smallest
    while min(width, height) * scale >= _CELL:
        yield round(width * scale), round(height * scale)
        scale *= _PYRAMID_FACTOR


def nms(
    boxes: Boxes, scores: NDArray[np.float64], overlap: float, *, of_smaller: bool = False
) -> NDArray[np.intp]:
    """Non-maximum suppression: indices of the boxes kept, by falling score.

    A box goes where one of a higher score overlaps it by more than `overlap`: intersection over union or,
    with `of_smaller`, over the smaller of both areas.
    """
    order = np.argsort(-scores, kind="stable")
    x0, y0, x1, y1 = boxes[order].T
    areas = area(boxes[order])

    def covers(some: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which of some boxes, one a row, overlap which of the others too much."""
        one = some[:, None]
        wide = (np.minimum(x1[one], x1[others]) - np.maximum(x0[one], x0[others])).clip(0)
        high = (np.minimum(y1[one], y1[others]) - np.maximum(y0[one], y0[others])).clip(0)
        common = wide * high
        both = areas[one], areas[others]
        whole = np.minimum(*both) if of_smaller else both[0] + both[1] - common
        return np.asarray(common > overlap * whole)

    kept: list[int] = []
    for start in range(0, len(order), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(order)))
        block = block[~covers(np.array(kept, np.intp), block).any(axis=0)]
        covered = covers(block, block)
        left = np.ones(len(block), np.bool_)
        for n in range(len(block)):
            if left[n]:
                kept.append(block[n])
                left &= ~covered[n]
    return order[kept]


def apply_box_regression(boxes: Boxes, offsets: NDArray[np.float64]) -> Boxes:
    """Boxes (N, 4) with their corners moved by `offsets` (N, 4), in units of their sides."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.asarray(boxes + offsets * np.concatenate([sides, sides], axis=1))


def _squares(boxes: Boxes) -> Boxes:
    """Squares of the longer side about the same centres, of a pixel at least."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True, initial=1) / 2
    return np.concatenate([middle - half, middle + half], axis=1)
