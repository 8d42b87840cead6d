"""Size, sharpness and pose of a face: what it says of recognition without a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...core.geometry import Boxes, Points, similarity
from ...images import warped
from ..embedding.alignment import ARCFACE, ARCFACE_SIZE, DLIB
from ..types import Quality

__all__ = ["QualityLimits", "measure_quality"]

# A face in front of the camera, in millimetres: x to the right in the photo, y down, z towards the camera.
# In the plane it is the median face of `alignment.DLIB`, so that the median photo of LFW counts as straight
# ahead, at 63 mm between the pupils (Dodgson 2004, the adult mean). The tip of the nose stands 27 mm before
# the eyes, as in the model of six points that head pose tutorials share.
_PUPILS = 63.0
_NOSE = 27.0

# Rows and columns of the aligned face, and limits beyond which were one of 200 portraits of LFW, and 97 % of
# masks and 99 % of sunglasses drawn on them; of 294 others, 4 besides three in sunglasses and one in goggles
# (benchmarks/hard_photos.py draws them). Foreheads do not count: they are often behind hair.
_EYES = np.s_[46:60, 28:48], np.s_[46:60, 64:84]
_NOSE_AND_CHEEKS = np.s_[64:74, 50:62], np.s_[66:76, 32:44], np.s_[66:76, 68:80]
_BETWEEN_EYES = np.s_[46:60, 50:62], np.s_[60:65, 30:44], np.s_[60:65, 68:82]
_MOUTH = np.s_[82:106, 40:72]
_DARK_LIDS, _SAME_SKIN, _LEAST_SKIN = 0.5, 0.035, 0.11
_COVERS = {"eyes": "sunglasses", "mouth": "a mask"}


def _face_model() -> NDArray[np.float64]:
    flat = (DLIB - DLIB.mean(axis=0)) * (_PUPILS / np.linalg.norm(DLIB[1] - DLIB[0]))
    depth = np.array([0, 0, _NOSE, 0, 0])
    return np.column_stack([flat, depth - depth.mean()])


def measure_quality(pixels: NDArray[np.uint8], box: Boxes, points: Points) -> Quality:
    """Quality of one face.

    Parameters
    ----------
    pixels : uint8 array of shape (H, W, 3), RGB
    box : float64 array of shape (4,)
    points : float64 array of shape (5, 2)
    """
    sides = box[2:] - box[:2]
    yaw, pitch, roll = _pose(points)
    face = warped(pixels, similarity(points, ARCFACE), ARCFACE_SIZE).astype(np.float64)
    grey = face @ [0.299, 0.587, 0.114]  # ITU-R BT.601
    return Quality(float(sides.min()), _sharpness(grey), yaw, pitch, roll, _covered(face, grey))


def _covered(face: NDArray[np.float64], grey: NDArray[np.float64]) -> tuple[str, ...]:
    """Parts of the aligned face, (112, 112, 3) and in grey, that are behind sunglasses or a mask.

    Sunglasses: both eyes with their lids are darker than half of nose and cheeks. A mask: hardly anything
    around the mouth has the colour of the skin between and below the eyes, as r and g of r + g + b; it cannot
    be told in a grey photo, nor with sunglasses.
    """
    skin = np.median(np.concatenate([grey[part].ravel() for part in _NOSE_AND_CHEEKS]))
    if max(np.quantile(grey[eye], 0.75) for eye in _EYES) < _DARK_LIDS * skin:
        return ("eyes",)
    chroma = face[..., :2] / (face.sum(axis=-1, keepdims=True) + 30)
    upper = np.median(np.concatenate([chroma[part].reshape(-1, 2) for part in _BETWEEN_EYES]), axis=0)
    like_skin = np.linalg.norm(chroma[_MOUTH] - upper, axis=-1) < _SAME_SKIN
    return ("mouth",) if like_skin.mean() < _LEAST_SKIN else ()


def _sharpness(grey: NDArray[np.float64]) -> float:
    """Standard deviation of the Laplacian (Pech-Pacheco et al. 2000) of the aligned face in grey."""
    middle = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * middle
    return float(laplacian.std())


def _pose(points: Points) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees: the rotation of the model that projects to these points.

    The points are taken as a scaled orthographic projection of the model (DeMenthon and Davis 1995), whose
    two rows are found by least squares.
    """
    centred = points - points.mean(axis=0)
    rows = np.linalg.lstsq(_face_model(), centred, rcond=None)[0].T
    left, _, right = np.linalg.svd(rows, full_matrices=False)
    across, down = left @ right  # the nearest rows of a rotation
    towards = np.cross(across, down)
    roll = np.arctan2(down[0], across[0])
    # the direction that the face is turned to, in the photo with its roll undone
    right_of = np.cos(roll) * across[2] + np.sin(roll) * down[2]
    below = np.cos(roll) * down[2] - np.sin(roll) * across[2]
    yaw = np.arctan2(right_of, towards[2])
    pitch = np.arcsin(np.clip(-below, -1, 1))
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))


@dataclass(frozen=True)
class QualityLimits:
    """Limits beyond which a face is of low quality; benchmarks/face_quality.py measured the defaults.

    Parameters
    ----------
    side : float
        Least shorter side of the box, pixels.
    sharpness : float
        Least sharpness.
    yaw, pitch : float
        Largest turn to a side, and up or down, degrees.
    """

    side: float = 32.0
    sharpness: float = 4.0
    yaw: float = 50.0
    pitch: float = 40.0

    def complaints(self, quality: Quality) -> tuple[str, ...]:
        """What is wrong with a face, as phrases; none where it is good enough."""
        return tuple(phrase for _, phrase in self._failed(quality))

    def kinds(self, quality: Quality) -> tuple[str, ...]:
        """The same in a word or two each, to be counted: "too small", "blurred", "covered", "turned away"."""
        return tuple(kind for kind, _ in self._failed(quality))

    def _failed(self, quality: Quality) -> list[tuple[str, str]]:
        failed = []
        if quality.side < self.side:
            failed.append(("too small", f"{quality.side:.0f} pixels wide, less than {self.side:.0f}"))
        if quality.sharpness < self.sharpness:
            phrase = f"blurred: sharpness {quality.sharpness:.1f}, less than {self.sharpness:g}"
            failed.append(("blurred", phrase))
        failed += [("covered", f"{part} covered, as by {_COVERS[part]}") for part in quality.covered]
        turns = (("aside", quality.yaw, self.yaw), ("up or down", quality.pitch, self.pitch))
        for way, angle, most in turns:
            if abs(angle) > most:
                phrase = f"turned {way} by {abs(angle):.0f} degrees, more than {most:.0f}"
                failed.append(("turned away", phrase))
        return failed
