"""Reading, resizing and writing images.

Every reader, report and model in rehead gets its pixels from `load_image` or `read_image`, so that a
photo looks the same to all of them: upright, 8 bits, RGB, over white.
"""

from __future__ import annotations

from ..core.preprocess import PreprocessSpec
from .contrast import stretched
from .exif import Header, image_size, read_header
from .formats import IMAGE_SUFFIXES, file_digest, is_image_file, is_image_name, read_bytes
from .golden import golden_pictures
from .grey_range import find_grey_range
from .limits import MAX_PIXELS, set_max_pixels
from .reading import load_image, luma, read_image, thumbnail
from .views import CAMERA_VIEWS, camera_view
from .warping import area_weights, patches, pyramid, warped
from .writing import png, write_jpeg, write_png

__all__ = [
    "CAMERA_VIEWS",
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "Header",
    "PreprocessSpec",
    "area_weights",
    "camera_view",
    "file_digest",
    "find_grey_range",
    "golden_pictures",
    "image_size",
    "is_image_file",
    "is_image_name",
    "load_image",
    "luma",
    "patches",
    "png",
    "pyramid",
    "read_bytes",
    "read_header",
    "read_image",
    "set_max_pixels",
    "stretched",
    "thumbnail",
    "warped",
    "write_jpeg",
    "write_png",
]
