"""Results that are pictures: shown by a notebook, or taken as a Pillow image."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ReheadError
from .writing import jpeg

__all__ = ["PictureMixin"]

_QUALITY = 90  # letters stay clear, at a quarter of the size of a PNG


class PictureMixin(ABC):
    """What a result does that can be drawn."""

    @abstractmethod
    def draw(self) -> NDArray[np.uint8]:
        """A picture of it, uint8 (height, width, 3) RGB.

        Raises
        ------
        ImageError
            A photo that it shows is not there any more.
        """

    def to_image(self) -> Image.Image:
        """The same as a Pillow image, RGB."""
        return Image.fromarray(self.draw())

    def _repr_jpeg_(self) -> bytes | None:
        """What IPython shows; None, so that it shows the text, where a photo came as bytes or is gone."""
        try:
            return jpeg(self.draw(), quality=_QUALITY)
        except (ReheadError, OSError):
            return None
