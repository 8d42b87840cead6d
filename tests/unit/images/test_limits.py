"""Pixels, bytes and memory: what a photo may take, and what is the machine's fault and not the photo's."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rehead.errors import DataError, ImageError, MachineError
from rehead.images import (
    PreprocessSpec,
    file_digest,
    image_size,
    limits,
    load_image,
    read_bytes,
    read_image,
    set_max_pixels,
    thumbnail,
)

SPEC = PreprocessSpec(32, (0, 0, 0), (1, 1, 1))


@pytest.fixture(autouse=True)
def limits_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_limit", limits.MAX_PIXELS)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)


def encoded(width: int, height: int, kind: str, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (width, height), 90 if mode != "RGB" else (90, 60, 30)).save(buffer, kind, **options)
    return buffer.getvalue()


class TestPixels:
    def test_large_jpeg_is_read_at_a_reduced_scale(self) -> None:
        """200 million pixels, more than twice Pillow's own limit."""
        data = encoded(16320, 12240, "JPEG", mode="L")
        assert image_size(data) == (16320, 12240)
        assert load_image(data, SPEC).shape == (32, 32, 3)
        assert read_image(data, at_least=(500, 500)).shape == (1530, 2040, 3)
        assert len(thumbnail(data, 32)) > 100
        with pytest.raises(ImageError, match=r"16320 x 12240 pixels, .*--max-pixels 199756800"):
            read_image(data)

    def test_progressive_jpeg_is_held_as_a_whole(self) -> None:
        data = encoded(400, 300, "JPEG", progressive=True)
        with pytest.raises(ImageError, match="400 x 300 pixels, more than the limit of 100000"):
            load_image(data, SPEC, max_pixels=100_000)
        assert load_image(encoded(400, 300, "JPEG"), SPEC, max_pixels=100_000).shape == (32, 32, 3)

    def test_limit_of_the_process(self) -> None:
        png = encoded(400, 300, "PNG")
        set_max_pixels(100_000)
        with pytest.raises(ImageError, match="limit of 100000") as caught:
            load_image(png, SPEC)
        assert "bomb" not in str(caught.value)
        set_max_pixels(120_000)
        assert load_image(png, SPEC).shape == (32, 32, 3)
        with pytest.raises(DataError, match="1 or more"):
            set_max_pixels(0)

    def test_raised_limit_holds_for_pillow_too(self) -> None:
        set_max_pixels(200_000_000)
        assert Image.MAX_IMAGE_PIXELS == 200_000_000
        set_max_pixels(1000)
        assert Image.MAX_IMAGE_PIXELS == 200_000_000


class TestFiles:
    def test_sparse_file_is_not_read(self, tmp_path: Path) -> None:
        path = tmp_path / "huge.jpg"
        with path.open("wb") as file:
            file.write(b"\xff\xd8\xff\xe0")
            file.truncate(60 << 30)
        for read in (read_bytes, read_image, image_size, file_digest):
            with pytest.raises(ImageError, match="a file of more than"):
                read(path)

    def test_file_that_grows_is_not_read_on(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "photo.jpg"
        path.write_bytes(bytes(2000))
        real = os.stat_result([0o100644, 0, 0, 0, 0, 0, 10, 0, 0, 0])
        monkeypatch.setattr("rehead.images.formats.byte_limit", lambda: 1000)
        monkeypatch.setattr(Path, "stat", lambda _: real)
        with pytest.raises(ImageError, match="a file of more than"):
            read_bytes(path)


class TestMachine:
    @pytest.mark.parametrize("number", [errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ESTALE])
    def test_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        path = tmp_path / "photo.png"
        path.write_bytes(encoded(8, 8, "PNG"))

        def fails(*_: Any) -> Any:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(Path, "open", fails)
        for read in (read_bytes, read_image, file_digest):
            with pytest.raises(MachineError, match=r"photo\.png: .*failed"):
                read(path)

    @pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux: a file whose reading fails")
    def test_real_read_error(self, tmp_path: Path) -> None:
        path = tmp_path / "photo.jpg"
        path.symlink_to("/proc/self/mem")
        with pytest.raises(MachineError, match="Input/output error"):
            read_image(path)

    def test_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(*_: Any) -> Any:
            raise MemoryError

        photo = encoded(8, 8, "PNG")
        monkeypatch.setattr(Image.Image, "load", fails)
        with pytest.raises(MachineError, match="image bytes: not enough memory"):
            load_image(photo, SPEC)

    @pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space as Linux has them")
    def test_sound_photos_are_never_called_damaged(self, tmp_path: Path) -> None:
        """In less and less memory they are read, or it is said that memory is short."""
        for kind in ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP"):
            (tmp_path / kind).write_bytes(encoded(3000, 2000, kind))
        (tmp_path / "progressive").write_bytes(encoded(3000, 2000, "JPEG", progressive=True))
        (tmp_path / "deflate").write_bytes(encoded(3000, 2000, "TIFF", compression="tiff_adobe_deflate"))
        code = f"""
import resource, sys
from pathlib import Path
from rehead.errors import MachineError
from rehead.images import read_image
photos = sorted(Path({str(tmp_path)!r}).iterdir())
for photo in photos:
    read_image(photo)  # everything is loaded
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
short = 0
for more in (200, 90, 50, 30, 15, 5):
    resource.setrlimit(resource.RLIMIT_AS, (used + (more << 20), -1))
    for photo in photos:
        try:
            read_image(photo)
        except MachineError:
            short += 1
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
sys.exit(0 if short else "memory was never short")
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
        if done.returncode == -signal.SIGSEGV:
            pytest.skip("this Pillow crashes where memory is short, as 11.3 does")
        assert done.returncode == 0, done.stderr


class TestMemory:
    def test_budget_lets_in_what_fits_and_the_largest_alone(self) -> None:
        budget = limits._Budget(100)
        lock, now, most = threading.Lock(), list[int](), list[int]()

        def work(amount: int) -> None:
            with budget.take(amount):
                with lock:
                    now.append(amount)
                    most.append(sum(now))
                    assert sum(now) <= 100 or now == [amount]
                with lock:
                    now.remove(amount)

        with ThreadPoolExecutor(8) as pool:
            for future in [pool.submit(work, amount) for amount in [30, 60, 250, 90, 20] * 40]:
                future.result()
        assert budget.taken == 0 and max(most) == 250

    def test_photo_whose_exif_stands_behind_its_pixels_is_not_waited_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        photo = encoded(40, 30, "PNG", exif=exif)
        monkeypatch.setattr(limits._MEMORY, "total", 1)
        for _ in range(2):
            assert image_size(photo) == (30, 40)
            assert read_image(photo).shape == (40, 30, 3)

    def test_it_is_given_back_when_decoding_fails(self) -> None:
        damaged = encoded(64, 64, "PNG")[:80]
        for _ in range(3):
            with pytest.raises(ImageError):
                read_image(damaged)
        assert limits._MEMORY.taken == 0

    @pytest.mark.skipif(sys.platform != "linux", reason="peak memory as Linux counts it")
    @pytest.mark.parametrize("photo", ["float", "16 bits"])
    def test_large_photos_take_a_few_bytes_a_pixel_in_all_threads_together(
        self, tmp_path: Path, photo: str
    ) -> None:
        side = 4000
        path = tmp_path / "photo"
        if photo == "float":
            Image.new("F", (side, side), 0.5).save(path, "TIFF", compression="tiff_adobe_deflate")
        else:
            Image.fromarray(np.zeros((side, side), np.uint16)).save(path, "PNG")
        code = f"""
from pathlib import Path
from rehead.core.parallel import map_in_order
from rehead.core.preprocess import PreprocessSpec
from rehead.images import limits, load_image
limits._MEMORY.total = {side * side}  # as if they were of the largest size: one at a time
spec = PreprocessSpec(32, (0, 0, 0), (1, 1, 1), grey_range=(0, 4095))
def high():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
before = high()
assert len(list(map_in_order(lambda path: load_image(path, spec), [{str(path)!r}] * 4, threads=4))) == 4
print((high() - before) / {side * side})
"""
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
        )
        assert float(done.stdout) < 9  # 5 of the picture and its 8 bits, and what is converted
