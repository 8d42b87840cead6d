"""Reading, resizing and writing images.

Every reader, report and model in rehead gets its pixels from `load_image` or `read_image`, so that a
photo looks the same to all of them: upright, 8 bits, RGB, over white.
"""

from __future__ import annotations

from ..core.preprocess import PreprocessSpec
from .contrast import stretched
from .exif import Header, image_size, read_header
from .formats import IMAGE_SUFFIXES, MAX_PIXELS, is_image_name, read_bytes
from .reading import load_image, luma, read_image, thumbnail
from .warping import area_weights, patches, pyramid, warped
from .writing import write_jpeg, write_png

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "Header",
    "PreprocessSpec",
    "area_weights",
    "image_size",
    "is_image_name",
    "load_image",
    "luma",
    "patches",
    "pyramid",
    "read_bytes",
    "read_header",
    "read_image",
    "stretched",
    "thumbnail",
    "warped",
    "write_jpeg",
    "write_png",
]
