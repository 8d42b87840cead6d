from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataset_files import lay, refusal, rows, table
from rehead.data import Dataset, check_labels, check_trainable, list_photos, read_dataset
from rehead.data.dataset import class_sentence
from rehead.errors import DatasetError

# --- folders ---------------------------------------------------------------------------------


def test_class_folders_are_read_at_any_depth(tmp_path: Path) -> None:
    lay(tmp_path, "dog/2.jpg", "dog/old/1.PNG", "cat/a b.jpeg", "cat/é/x.webp")
    data = read_dataset(tmp_path)
    assert rows(data) == [
        ("cat/a b.jpeg", "cat", "", ""),
        ("cat/é/x.webp", "cat", "", ""),
        ("dog/2.jpg", "dog", "", ""),
        ("dog/old/1.PNG", "dog", "", ""),
    ]
    assert data.classes == ("cat", "dog")
    assert data.root == tmp_path
    assert data.paths == tuple(tmp_path / name for name in data.ids)
    assert data.skipped == data.left_out == ()


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("train", "val", "test"), ("Training", "VALID", "Testing"), ("TRAIN", "validation", "test")],
)
def test_split_folders_are_recognised(tmp_path: Path, train: str, val: str, test: str) -> None:
    lay(tmp_path, f"{train}/cat/1.jpg", f"{train}/dog/1.jpg", f"{val}/cat/2.jpg", f"{test}/dog/deep/3.jpg")
    data = read_dataset(tmp_path)
    assert {(row[1], row[2]) for row in rows(data)} == {
        ("cat", "train"),
        ("dog", "train"),
        ("cat", "val"),
        ("dog", "test"),
    }


def test_a_split_without_classes_is_refused(tmp_path: Path) -> None:
    message = refusal(lay(tmp_path, "train/1.jpg", "test/1.jpg", "test/2.jpg"))
    assert "photos lie directly in it (2, first 'test/1.jpg')" in message
    assert "put each class in a folder of its own: test/CLASS/*.jpg" in message


def test_what_is_not_taken_is_listed_and_clutter_is_not(tmp_path: Path) -> None:
    lay(tmp_path, "cat/1.jpg", "cat/notes.txt", "cat/sub/raw.cr2", "dog/1.jpg", "loose.jpg", "README.md")
    lay(tmp_path, "cat/.DS_Store", "cat/._1.jpg", "cat/.hidden/1.jpg", "dog/Thumbs.db", "dog/desktop.ini")
    lay(tmp_path, "__MACOSX/cat/1.jpg", ".git/1.jpg", "dog/@eaDir/1.jpg/thumb.jpg")
    data = read_dataset(tmp_path)
    assert data.ids == ("cat/1.jpg", "dog/1.jpg")
    assert data.skipped == ("cat/notes.txt", "cat/sub/raw.cr2", "loose.jpg")


def test_photos_beside_the_classes_of_a_split_are_listed(tmp_path: Path) -> None:
    lay(tmp_path, "train/cat/1.jpg", "train/loose.jpg", "test/cat/1.jpg", "labels/cat.txt")
    data = read_dataset(tmp_path)
    assert data.ids == ("test/cat/1.jpg", "train/cat/1.jpg")
    assert data.skipped == ("labels/cat.txt", "train/loose.jpg")


def test_class_folders_without_photos_are_named(tmp_path: Path) -> None:
    lay(tmp_path, "cat/1.jpg", "dog/notes.txt")
    (tmp_path / "emu").mkdir()
    assert "no photo is in 'dog', 'emu'" in refusal(tmp_path)


def test_empty_classes_and_splits_of_a_split_folder_are_named(tmp_path: Path) -> None:
    lay(tmp_path, "train/cat/1.jpg")
    (tmp_path / "train" / "dog").mkdir()
    assert "'dog'" in refusal(tmp_path)
    (tmp_path / "train" / "dog").rmdir()
    (tmp_path / "test").mkdir()
    assert "'test'" in refusal(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert "no photo is in this folder; expected photos/CLASS/*.jpg" in refusal(tmp_path)


def test_photos_without_classes_are_refused(tmp_path: Path) -> None:
    lay(tmp_path, "1.jpg", "2.jpg")
    assert "photos lie directly in it (2, first '1.jpg'); put each class in a folder of its own" in refusal(
        tmp_path
    )
    table(tmp_path, "path,label", "1.jpg,cat")
    assert f"did you mean {tmp_path / 'photos.csv'}?" in refusal(tmp_path)


def test_a_missing_folder_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    assert f"did you mean {tmp_path / 'photos'}?" in refusal(tmp_path / "fotos")
    assert "nor does the folder" in refusal(tmp_path / "no" / "photos")
    assert "does not exist" in refusal(tmp_path / ("x" * 300))
    assert "does not exist" in refusal(tmp_path / "nul\0byte")


def test_an_address_is_shown_with_its_slashes() -> None:
    for read in (read_dataset, list_photos):
        with pytest.raises(DatasetError, match=r"^https://x\.org/photos: an address, not a file; download"):
            read(Path("https://x.org/photos"))


def test_the_photos_of_each_class_are_said_and_what_was_passed_over(tmp_path: Path) -> None:
    lay(tmp_path, "cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/notes.txt", "loose.jpg")
    assert read_dataset(tmp_path).summary() == [
        "3 photos of 2 classes: 'cat' 2, 'dog' 1.",
        "2 files were passed over (no photos, or outside of the class folders): "
        "'dog/notes.txt' and 'loose.jpg'.",
    ]
    many = class_sentence({f"class {n}": n + 1 for n in range(12)})
    assert many.startswith("78 photos of 12 classes, 1 to 12 of each: 'class 0' 1, ")
    assert many.endswith("'class 8' 9 and 3 more.")


@pytest.mark.parametrize(
    ("name", "kind"), [("a.jpg", "a single photo"), ("a.zip", "neither a folder nor a CSV")]
)
def test_other_files_are_refused(tmp_path: Path, name: str, kind: str) -> None:
    lay(tmp_path, name)
    assert kind in refusal(tmp_path / name)


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(tmp_path, "cat/1.jpg")

    def forbidden(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", forbidden)
    assert "cannot be listed (Permission denied)" in refusal(tmp_path)


def test_names_are_composed_and_files_still_found(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "café/é 1.jpg") for form in ("NFC", "NFD"))
    lay(tmp_path, decomposed, "tea/1.jpg")
    data = read_dataset(tmp_path)
    assert data.ids == (composed, "tea/1.jpg")
    assert data.labels.tolist() == ["café", "tea"]
    assert data.paths[0].is_file()


def test_names_that_differ_in_composition_alone_are_refused(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        lay(tmp_path, "cat/" + unicodedata.normalize(form, "é.jpg"))
    if len(list((tmp_path / "cat").iterdir())) == 1:
        pytest.skip("this file system composes names itself")
    assert "two photos are called 'cat/é.jpg'" in refusal(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems refuse such names")
def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / os.fsdecode(b"caf\xe9.jpg")).touch()
    assert "is not UTF-8; rename" in refusal(tmp_path)


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    lay(tmp_path / "store", "1.jpg", "2.jpg")
    photos = lay(tmp_path / "photos", "cat/1.jpg")
    try:
        (photos / "dog").symlink_to(tmp_path / "store")
    except OSError:
        pytest.skip("no symbolic links here")
    (photos / "cat" / "again").symlink_to(photos / "cat")
    (photos / "cat" / "up").symlink_to(photos)
    (photos / "cat" / "self").symlink_to(photos / "cat" / "self")
    (photos / "cat" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    data = read_dataset(photos)
    assert data.ids == ("cat/1.jpg", "cat/gone.jpg", "dog/1.jpg", "dog/2.jpg")
    assert data.skipped == ("cat/self",)


def test_the_order_does_not_depend_on_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(tmp_path, "b/2.jpg", "b/10.jpg", "a/x/1.jpg", "a/1.jpg", "B/1.jpg")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "B")
    (tmp_path / "a" / "same").symlink_to(tmp_path / "B")
    straight = read_dataset(tmp_path)
    assert list(straight.ids) == sorted(straight.ids)
    real = os.scandir

    class Backwards:
        def __init__(self, path: str) -> None:
            self.scan = real(path)

        def __enter__(self) -> Iterable[os.DirEntry[str]]:
            return reversed(list(self.scan))

        def __exit__(self, *error: object) -> None:
            self.scan.close()

    monkeypatch.setattr(os, "scandir", Backwards)
    turned = read_dataset(tmp_path)
    assert (turned.ids, turned.paths) == (straight.ids, straight.paths)


words = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\\\0"), min_size=1, max_size=12
).filter(lambda name: not name.startswith(".") and name.lower() not in {"thumbs.db", "desktop.ini"})


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.sets(
        st.tuples(words, words).map(lambda pair: tuple(map(str.casefold, pair))), min_size=1, max_size=5
    )
)
def test_any_name_is_read_back(tmp_path_factory: pytest.TempPathFactory, names: set[tuple[str, str]]) -> None:
    # One composition and one case each, for file systems that do not tell them apart.
    plain = {tuple(unicodedata.normalize("NFC", part) for part in pair) for pair in names}
    root = lay(tmp_path_factory.mktemp("photos"), *(f"{label} x/{name}.jpg" for label, name in plain))
    data = read_dataset(root)
    expected = sorted(unicodedata.normalize("NFC", f"{label} x/{name}.jpg") for label, name in plain)
    assert list(data.ids) == expected
    assert [name.split("/")[0] for name in data.ids] == data.labels.tolist()
    assert all(path.is_file() for path in data.paths)


# --- Dataset and the checks ------------------------------------------------------------------


def some(labels: list[str], root: Path | None = None) -> Dataset:
    n = len(labels)
    ids = tuple(f"{label}/{row}.jpg" for row, label in enumerate(labels))
    empty = np.full(n, "", dtype=np.str_)
    return Dataset(
        root or Path("photos"), ids, tuple(map(Path, ids)), np.array(labels, np.str_), empty, empty
    )


def test_take_keeps_the_columns_together() -> None:
    data = some(["a", "b", "a", "c"])
    for picked in (
        data.take([2, 1]),
        data.take(np.array([2, 1])),
        data.take(np.array([False, True, True, False])),
    ):
        assert len(picked) == 2
        assert set(picked.ids) == {"a/2.jpg", "b/1.jpg"}
        assert [name.split("/")[0] for name in picked.ids] == picked.labels.tolist()
        assert list(map(str, picked.paths)) == [str(Path(name)) for name in picked.ids]
    assert data.take([2, 1]).ids == ("a/2.jpg", "b/1.jpg")
    assert len(data.take([])) == 0


def test_two_photos_of_two_classes_can_be_trained_on() -> None:
    check_trainable(some(["a", "a", "b", "b"]))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([], "no photo is there"),
        (["a", "a"], "all photos to train on are of one class, 'a'"),
        (["a", "a", "b"], "'b' has 1 photo"),
        (["a", "a", "b", "c"], "'b', 'c' have 1 photo"),
        (["z", "z", *"abcdefg"], "'a', 'b', 'c', 'd', 'e' and 2 more have 1 photo"),
    ],
)
def test_too_little_to_train_on_is_refused(labels: list[str], expected: str) -> None:
    with pytest.raises(DatasetError, match="photos: ") as caught:
        check_trainable(some(labels))
    assert expected in str(caught.value)


def test_a_folder_too_many_is_seen(tmp_path: Path) -> None:
    lay(tmp_path, "unpacked/cat/1.jpg", "unpacked/dog/1.jpg")
    with pytest.raises(DatasetError) as caught:
        check_trainable(read_dataset(tmp_path))
    assert str(caught.value).endswith(f"did you mean {tmp_path / 'unpacked'}?")


def test_folders_too_many_are_seen_at_any_depth(tmp_path: Path) -> None:
    lay(tmp_path, *(f"unpacked/archive/data/{name}/1.jpg" for name in ("cat", "dog")))
    with pytest.raises(DatasetError) as caught:
        check_trainable(read_dataset(tmp_path))
    assert str(caught.value).endswith(f"did you mean {tmp_path / 'unpacked' / 'archive' / 'data'}?")


# --- what is a photo -------------------------------------------------------------------------

JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0"


def test_photos_of_any_name_are_found_by_their_first_bytes(tmp_path: Path) -> None:
    odd = ["photo", "media.jpg_large", "photo.jpg.1", "photo.jpg ", "a.b.c", "photo.JPG?w=640"]
    for name in odd:
        lay(tmp_path, f"cat/{name}")
        (tmp_path / "cat" / name).write_bytes(JPEG)
    lay(tmp_path, "cat/notes.txt", "cat/empty", "cat/raw.cr2", "cat/.hidden", "dog/1.jpg", "dog/page.jpg")
    (tmp_path / "cat" / "raw.cr2").write_bytes(b"II*\0\x10\0\0\0CR\x02\0")
    (tmp_path / "cat" / ".hidden").write_bytes(JPEG)
    (tmp_path / "cat" / "notes.txt").write_text("BMW, P1 and RIFF are no photos", "utf-8")
    (tmp_path / "dog" / "page.jpg").write_text("<html>", "utf-8")  # reading it says what is wrong
    data = read_dataset(tmp_path)
    assert data.ids == tuple(sorted([*(f"cat/{name}" for name in odd), "dog/1.jpg", "dog/page.jpg"]))
    assert data.skipped == ("cat/empty", "cat/notes.txt", "cat/raw.cr2")
    assert [path.name for path in list_photos(tmp_path / "cat")] == sorted(odd)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_passed_over(tmp_path: Path) -> None:
    lay(tmp_path, "cat/1.jpg", "dog/1.jpg")
    os.mkfifo(tmp_path / "cat" / "pipe")
    assert read_dataset(tmp_path).skipped == ("cat/pipe",)


def test_labels_must_have_been_learned() -> None:
    check_labels(["a", "b"], some(["b"]))
    check_labels(["a"], some([]))
    with pytest.raises(DatasetError, match=r"2 photos are labelled 'Alpaca', .* did you mean 'alpaca'"):
        check_labels(["alpaca", "other"], some(["Alpaca", "Alpaca", "other"]))
    with pytest.raises(DatasetError, match=r"1 photo is labelled 'zebra', .* trained on: 'cat', 'dog'"):
        check_labels(["dog", "cat"], some(["zebra"]))


# --- photos to predict -----------------------------------------------------------------------


def test_photos_to_predict(tmp_path: Path) -> None:
    lay(tmp_path, "b.jpg", "a/2.png", "a/.x.jpg", "notes.txt", "odd.name")
    assert list_photos(tmp_path) == (tmp_path / "a" / "2.png", tmp_path / "b.jpg")
    assert list_photos(str(tmp_path / "odd.name")) == (tmp_path / "odd.name",)


def test_no_photos_to_predict(tmp_path: Path) -> None:
    lay(tmp_path, "notes.txt", "photo.jpg")
    with pytest.raises(DatasetError, match=r"did you mean .*photo\.jpg"):
        list_photos(tmp_path / "poto.jpg")
    (tmp_path / "photo.jpg").unlink()
    with pytest.raises(DatasetError, match="no photo is in this folder"):
        list_photos(tmp_path)


def test_a_folder_that_says_it_is_no_class_is_passed_over(photo_folder: Any, tmp_path: Path) -> None:
    root = photo_folder(tmp_path / "photos", {"cat": 2, "dog": 2, "removed": 2})
    (root / "cat" / "old").mkdir()
    (root / "cat" / "0000.jpg").rename(root / "cat" / "old" / "0000.jpg")
    for folder in (root / "removed", root / "cat" / "old"):
        (folder / ".not-a-class").touch()
    (root / "runs").mkdir()
    (root / "runs" / ".not-a-class").touch()
    assert read_dataset(root).counts == {"cat": 1, "dog": 2}
