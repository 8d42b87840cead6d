"""JPEGs with too many scans, and those that end too early."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rehead.errors import ImageError
from rehead.images import PreprocessSpec, jpeg_markers, load_image, read_header, read_image, thumbnail
from rehead.images.jpeg_markers import END, lacks_end


def jpeg(width: int = 160, height: int = 120, **options: Any) -> bytes:
    y, x = np.mgrid[:height, :width]
    bands = (255 * x / width, 255 * y / height, 127 * (1 + np.sin(x / 9 + y / 5)))
    buffer = io.BytesIO()
    Image.fromarray(np.stack(bands, -1).astype(np.uint8)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def with_scans(data: bytes, extra: int) -> bytes:
    """A progressive JPEG whose last scan comes more often."""
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * extra + END


class TestEnd:
    @pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 30, "subsampling": 2}])
    def test_photo_is_read_where_only_its_end_marker_is_missing(self, options: dict[str, Any]) -> None:
        whole = jpeg(**options)
        cut = whole[:-2]
        np.testing.assert_array_equal(read_image(cut), read_image(whole))
        spec = PreprocessSpec(16, (0, 0, 0), (1, 1, 1))
        np.testing.assert_array_equal(load_image(cut, spec), load_image(whole, spec))
        assert thumbnail(cut, 20) == thumbnail(whole, 20)
        assert not read_header(cut).ended and read_header(whole).ended

    @pytest.mark.parametrize("kept", [0.5, 0.8, 0.95])
    def test_photo_is_not_read_where_some_of_it_is_missing(self, kept: float) -> None:
        whole = jpeg(quality=90)
        with pytest.raises(ImageError, match="truncated"):
            read_image(whole[: int(len(whole) * kept)])
        with pytest.raises(ImageError, match="truncated"):
            load_image(whole[: int(len(whole) * kept)], PreprocessSpec(16, (0, 0, 0), (1, 1, 1)))

    def test_what_stands_behind_the_end_does_not_matter(self) -> None:
        film = np.random.default_rng(0).bytes(400_000)  # as phones append; it has all markers by chance
        assert not lacks_end(jpeg() + film)
        thumbnail_in_exif = b"Exif\0\0" + jpeg(16, 16)
        assert lacks_end(jpeg(exif=thumbnail_in_exif)[:-2])

    def test_header_only_is_no_photo(self) -> None:
        data = jpeg()
        assert not lacks_end(data[: data.index(b"\xff\xda")])
        assert not lacks_end(b"\xff\xd8\xff") and not lacks_end(b"") and not lacks_end(b"GIF89a")


class TestScans:
    def test_too_many_are_refused_before_decoding(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(jpeg_markers, "_MAX_SCANNED", 20 * 160 * 120)
        data = jpeg(progressive=True)
        assert read_image(with_scans(data, 10)).shape == (120, 160, 3)
        with pytest.raises(ImageError, match=r"\d\d scans, more than the 20 that are decoded"):
            read_image(with_scans(data, 12))
        with pytest.raises(ImageError, match="scans"):
            load_image(with_scans(data, 500), PreprocessSpec(16, (0, 0, 0), (1, 1, 1)))

    def test_film_behind_a_photo_counts_for_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(jpeg_markers, "_MAX_SCANNED", 20 * 160 * 120)
        assert read_image(jpeg() + b"\xff\xda" * 100).shape == (120, 160, 3)
