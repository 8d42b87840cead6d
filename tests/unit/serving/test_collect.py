"""Photos that were answered wrongly, in a folder."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rehead.data import read_dataset
from rehead.errors import DataError, ImageError, OutputError
from rehead.serving.collect import Collection, FullError

LABELS = ("cat", "Red fish")


def picture(seed: int = 0, kind: str = "JPEG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("kind", "suffix"), [("JPEG", ".jpg"), ("PNG", ".png"), ("WEBP", ".webp"), ("TIFF", ".tif")]
)
def test_a_photo_is_kept_as_it_is(kind: str, suffix: str, tmp_path: Path) -> None:
    photo = picture(kind=kind)
    place = Collection(tmp_path / "new" / "kept").keep(photo, "cat", LABELS)
    assert place.parent == tmp_path / "new" / "kept" / "cat"
    assert place.suffix == suffix
    assert place.read_bytes() == photo


def test_what_is_kept_is_a_dataset(tmp_path: Path) -> None:
    collection = Collection(tmp_path)
    for seed, label in enumerate(("cat", "cat", "Red fish", "another")):
        collection.keep(picture(seed), label, LABELS)
    assert sorted(read_dataset(tmp_path).labels) == ["Red fish", "another", "cat", "cat"]


def test_a_photo_has_the_class_that_was_said_last(tmp_path: Path) -> None:
    collection = Collection(tmp_path)
    collection.keep(picture(), "cat", LABELS)
    place = collection.keep(picture(), "Red fish", LABELS)
    assert collection.keep(picture(), "Red fish", LABELS) == place
    assert files(tmp_path) == [place.relative_to(tmp_path).as_posix()]
    assert read_dataset(tmp_path).counts == {"Red fish": 1}  # which takes no folder without a photo


def test_a_photo_that_cannot_be_written_leaves_no_empty_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = Collection(tmp_path)
    collection.keep(picture(), "cat", LABELS)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        collection.keep(picture(1), "Red fish", LABELS)
    assert read_dataset(tmp_path).counts == {"cat": 1}


@given(name=st.text(max_size=12))
@settings(max_examples=60)
def test_no_name_leads_out_of_the_folder(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("collect")
    collection = Collection(outside / "kept")
    try:
        place = collection.keep(picture(), name, (*LABELS, name))
    except DataError:
        assert files(outside) == []
    else:
        assert place.parent.parent == outside / "kept"
        assert len(files(outside)) == 1


@pytest.mark.parametrize("name", ["Cat", "cat ", "RED  fish", "Llama"])
def test_a_class_that_is_there_already_is_named(name: str, tmp_path: Path) -> None:
    collection = Collection(tmp_path)
    collection.keep(picture(), "llama", LABELS)
    if name == "cat ":  # spaces around it are not meant
        assert collection.keep(picture(1), name, LABELS).parent.name == "cat"
        return
    with pytest.raises(DataError, match=r"there is a class '(cat|Red fish|llama)' already"):
        collection.keep(picture(1), name, LABELS)


def test_what_is_no_photo_is_not_kept(tmp_path: Path) -> None:
    for data in (b"", b"text", picture()[:200]):
        with pytest.raises(ImageError):
            Collection(tmp_path).keep(data, "cat", LABELS)
    assert files(tmp_path) == []


def test_no_more_is_kept_than_may_be(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "mine.jpg").write_bytes(picture(9))  # does not count
    for _ in range(2):  # the second is of a server that was started again
        collection = Collection(tmp_path, most_photos=2)
        for seed in range(2):
            collection.keep(picture(seed), "cat", LABELS)
        with pytest.raises(FullError, match=r"2 photos .* are kept, of 2 .* at most. Move them"):
            collection.keep(picture(2), "cat", LABELS)
        collection.keep(picture(1), "Red fish", LABELS)  # which is kept already
        collection.keep(picture(1), "cat", LABELS)
    assert len(files(tmp_path)) == 3
    with pytest.raises(FullError):
        Collection(tmp_path, most_bytes=1000).keep(picture(3), "cat", LABELS)


def test_threads_do_not_pass_the_limit(tmp_path: Path) -> None:
    collection = Collection(tmp_path, most_photos=5)

    def keep(seed: int) -> bool:
        try:
            collection.keep(picture(seed), "cat", LABELS)
        except FullError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(keep, range(12))) == 5
    assert len(files(tmp_path)) == 5


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be written"):
        Collection(tmp_path / "kept")


def test_a_file_in_the_way_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("")
    with pytest.raises(OutputError, match="kept"):
        Collection(tmp_path / "kept")


def test_a_disk_that_takes_no_more_is_said_without_its_path(tmp_path: Path) -> None:
    collection = Collection(tmp_path)
    (tmp_path / "cat").write_text("a file in the way")
    with pytest.raises(OutputError, match=r"^the photo cannot be kept") as caught:
        collection.keep(picture(), "cat", LABELS)
    assert str(tmp_path) not in str(caught.value)
    collection.keep(picture(), "Red fish", LABELS)
