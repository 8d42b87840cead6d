"""When a photo was taken: its header is read only where there is EXIF."""

from __future__ import annotations

import io

import pytest
from PIL import ExifTags, Image

from rehead.errors import ImageError
from rehead.images import read_header
from rehead.images.exif import read_clock


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_it_is_as_in_the_header(kind: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2024:05:06 07:08:09"
    file = io.BytesIO()
    Image.new("RGB", (8, 6)).save(file, kind, exif=exif)
    header = read_header(file.getvalue())
    assert read_clock(file.getvalue()) == (header.taken, header.camera)
    assert kind == "WEBP" or header.camera == "Maker"


def test_without_exif_nothing_is_opened() -> None:
    assert read_clock(b"no photo") == (None, "")
    with pytest.raises(ImageError):
        read_clock(b"no photo, but Exif")
