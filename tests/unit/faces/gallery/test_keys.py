"""The master key of a gallery: replaced after a removal, and never in vain."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rehead.errors import DataError, GalleryError, OutputError, UnknownNameError, WrongKeyError
from rehead.faces.gallery import encryption
from rehead.faces.gallery.database import GalleryDatabase
from rehead.faces.gallery.encryption import GalleryKey, find_key, read_key_file, write_key_file
from rehead.faces.gallery.records import NewTemplate
from rehead.faces.gallery.store import GalleryStore

SPEC: dict[str, Any] = {"name": "fake", "sha256": "ab" * 32, "dimensions": 8, "distance": "cosine"}


def photo(number: int) -> NewTemplate:
    return NewTemplate(f"{number:064}", f"{number}.jpg", np.eye(8, dtype=np.float32)[number], {}, number)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A gallery of a with two photos and b with one, and its key."""
    return made(tmp_path / "people.db", write_key_file(tmp_path / "people.key"))


def made(path: Path, key: GalleryKey | bytes | None) -> Path:
    with GalleryStore(path, embedding_spec=SPEC, key=key, create=True) as store:
        store.enroll("a", [photo(0), photo(1)])
        store.enroll("b", [photo(2)])
    return path


def key_of(path: Path) -> GalleryKey:
    return read_key_file(path.with_suffix(".key"))


def test_after_a_removal_older_copies_cannot_be_read(path: Path) -> None:
    old, copy = key_of(path), Path(shutil.copy(path, path.with_name("copy.db")))
    with GalleryStore(path, key=old) as store:
        (removal,) = store.remove(["a"])
        assert removal.key_replaced
        store.enroll("c", [photo(3)])
    new = key_of(path)
    assert new.value != old.value
    with pytest.raises(WrongKeyError, match="not the key of the gallery"):
        GalleryStore(path, key=old.value)
    with pytest.raises(WrongKeyError):
        GalleryStore(copy, key=new)
    with GalleryStore(path, key=new) as store:
        assert store.templates().names == ("b", "c")
    assert sorted(each.name for each in path.parent.iterdir()) == ["copy.db", "people.db", "people.key"]


def test_removing_one_photo_does_so_too(path: Path) -> None:
    copy = Path(shutil.copy(path, path.with_name("copy.db")))
    with GalleryStore(path, key=key_of(path)) as store:
        first, second = store.photos("a")
        removal = store.remove_photos("a", [first.row])
        assert (removal.photos, removal.key_replaced) == (1, True)
        assert [each.sha256 for each in store.photos("a")] == [second.sha256]
        np.testing.assert_array_equal(store.templates().vectors, np.eye(8, dtype=np.float32)[[1, 2]])
        with pytest.raises(DataError, match="no photo of 'a' would be left; remove the person instead"):
            store.remove_photos("a", [second.row])
    with pytest.raises(WrongKeyError):
        GalleryStore(copy, key=key_of(path))


def test_rebuilding_without_a_photo_does_so_too(path: Path) -> None:
    other = {**SPEC, "sha256": "cd" * 32}
    old = key_of(path)
    with GalleryStore(path, key=old) as store:
        face: dict[str, Any] = {}
        rows = [(photo.row, np.eye(8, dtype=np.float32)[7], face) for photo in store.photos()]
        assert store.replace_templates(other, rows) == 0
        assert key_of(path) == old
        assert store.replace_templates(SPEC, rows[1:]) == 1
        assert len(store.templates()) == 2
    assert key_of(path) != old


def test_keeping_the_key(path: Path) -> None:
    old = key_of(path)
    with GalleryStore(path, key=old) as store:
        assert not store.remove(["a"], keep_key=True)[0].key_replaced
    assert key_of(path) == old


def test_a_key_in_no_file_is_not_replaced_unless_one_is_named(path: Path, tmp_path: Path) -> None:
    with GalleryStore(path, key=key_of(path).value) as store:
        assert not store.remove(["a"])[0].key_replaced
        with pytest.raises(GalleryError, match="name one for the new key with --to"):
            store.rekey()
        with pytest.raises(OutputError, match="is there already; a key is never overwritten"):
            store.rekey(tmp_path / "people.key")
        assert store.rekey(tmp_path / "new/own.key") == tmp_path / "new/own.key"
        store.enroll("c", [photo(3)])
    with pytest.raises(WrongKeyError):
        GalleryStore(path, key=key_of(path))
    with GalleryStore(path, key=find_key(tmp_path / "new/own.key")) as store:
        assert store.templates().names == ("b", "c")
        assert store.remove(["b"])[0].key_replaced
    with GalleryStore(path, key=find_key(tmp_path / "new/own.key")) as store:
        assert store.templates().names == ("c",)


def test_a_key_file_that_other_galleries_may_need_is_replaced_only_when_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "people.key"
    file.write_text("07" * 32 + "\n")  # as an earlier rehead or another program wrote it
    one, two = (made(tmp_path / f"{name}.db", read_key_file(file)) for name in ("people", "staff"))
    with GalleryStore(one, key=read_key_file(file)) as store:
        assert not store.remove(["a"])[0].key_replaced
    with GalleryStore(two, key=read_key_file(file)) as store:
        assert store.rekey(tmp_path / "own.key") == tmp_path / "own.key"
    with GalleryStore(one, key=read_key_file(file)) as store:
        assert store.rekey() == file
    with GalleryStore(one, key=read_key_file(file)) as store:
        assert store.remove(["b"])[0].key_replaced, "the file is of this gallery alone since then"
    with pytest.raises(WrongKeyError, match=r"the key of another gallery, .* name another file"):
        made(tmp_path / "third.db", read_key_file(file))
    assert not (tmp_path / "third.db").exists()
    assert not list(tmp_path.glob("*.new"))


def test_a_copy_does_not_take_the_key_from_the_gallery(path: Path) -> None:
    copy, key = Path(shutil.copy(path, path.with_name("copy.db"))), key_of(path)
    with GalleryStore(copy, key=key_of(path)) as store:
        assert not store.remove(["a"])[0].key_replaced
        with pytest.raises(GalleryError, match=r"the key of .*people\.db too, of which this is a copy"):
            store.rekey()
        store.rekey(copy.with_suffix(".key"))
        assert store.remove(["b"])[0].key_replaced
    assert key_of(path) == key
    moved = path.rename(path.with_name("moved.db"))
    with GalleryStore(moved, key=key) as store:
        assert store.templates().names == ("a", "b")
        assert store.remove(["a"])[0].key_replaced, "nothing is where it was made"
    assert key_of(path).path == str(moved)


def test_a_copy_leaves_alone_what_an_interrupted_change_of_the_gallerys_key_has_begun(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copy(path, path.with_name("copy.db")))
    with GalleryStore(path, key=key_of(path)) as store:
        monkeypatch.setattr(GalleryDatabase, "_settle_key", lambda _: None)  # as if it had been killed
        store.rekey()
        monkeypatch.undo()
    with GalleryStore(copy, key=key_of(path)) as store:
        store.remove(["a"])
    for _ in range(2):
        with GalleryStore(path, key=key_of(path)) as store:
            assert store.templates().names == ("a", "b")
    assert not list(path.parent.glob("*.new"))


def test_the_old_key_is_overwritten_and_the_access_kept(path: Path) -> None:
    file = path.with_suffix(".key")
    file.chmod(0o640)
    link = path.with_name("link.key")
    link.symlink_to(file)
    old = os.open(file, os.O_RDONLY)
    try:
        with GalleryStore(path, key=find_key(link)) as store:
            assert store.rekey() == file
        left = os.read(old, 1000)
    finally:
        os.close(old)
    assert left
    assert not any(left)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert link.is_symlink()


def test_a_backup_of_the_key_by_a_hard_link_is_left_alone(path: Path) -> None:
    file, old = path.with_suffix(".key"), key_of(path)
    backup = path.with_name("backup.key")
    backup.hardlink_to(file)
    with GalleryStore(path, key=old) as store:
        store.rekey()
    assert read_key_file(backup).value == old.value


def test_nothing_is_removed_where_the_key_cannot_be_replaced(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def full(name: Any, *arguments: Any) -> int:
        if str(name).endswith(".new"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(name, *arguments)

    with GalleryStore(path, key=key_of(path)) as store:
        monkeypatch.setattr(os, "open", full)
        with pytest.raises(OutputError, match="No space left"):
            store.remove(["a"])
        assert len(store.people()) == 2
        monkeypatch.undo()
        store.remove(["a"])


def broken(*_: object) -> None:
    raise OSError(errno.EIO, "Input/output error")


def test_a_key_that_cannot_take_its_place_works_beside_its_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with GalleryStore(path, key=key_of(path)) as store:
        monkeypatch.setattr(
            encryption, "_copy_access", lambda *_: (_ for _ in ()).throw(OSError(5, "broken"))
        )
        with pytest.raises(OutputError, match=r"cannot be replaced .* the gallery's key is .*\.new now"):
            store.remove(["a"])
    with GalleryStore(path, key=key_of(path)) as store:
        assert store.templates().names == ("b",)
    monkeypatch.undo()
    with GalleryStore(path, key=key_of(path)) as store:
        assert store.templates().names == ("b",)
    assert not list(path.parent.glob("*.new"))


def test_a_key_that_is_needed_is_not_lost_to_the_next_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with GalleryStore(path, key=key_of(path)) as other:
        with GalleryStore(path, key=key_of(path)) as store:
            monkeypatch.setattr(GalleryDatabase, "_settle_key", lambda _: None)  # as if it had been killed
            store.rekey()
            monkeypatch.undo()
        monkeypatch.setattr(GalleryDatabase, "_rewrap", broken)
        with pytest.raises(OSError, match="Input/output error"):
            other.remove(["a"])
        monkeypatch.undo()
    with GalleryStore(path, key=key_of(path)) as store:
        assert store.templates().names == ("a", "b")


def test_another_process_follows_to_the_new_key(path: Path) -> None:
    with GalleryStore(path, key=key_of(path)) as other, GalleryStore(path, key=key_of(path)) as store:
        assert other.templates().names == ("a", "b")
        store.remove(["a"])
        assert other.templates().names == ("b",)
        other.enroll("c", [photo(3)])
        store.rekey()
        other.enroll("d", [photo(4)])
        other.remove(["b"])
        assert [person.name for person in store.people()] == ["c", "d"]
        assert store.templates().names == ("c", "d")
    with GalleryStore(path, key=key_of(path)) as store:
        assert store.templates().names == ("c", "d")


def test_who_has_the_key_from_elsewhere_is_told_that_it_changed(path: Path) -> None:
    with GalleryStore(path, key=key_of(path).value) as other, GalleryStore(path, key=key_of(path)) as store:
        store.rekey()
        for work in (other.templates, other.people, lambda: other.enroll("c", [photo(3)])):
            with pytest.raises(WrongKeyError, match="needs the key of its time"):
                work()


def test_a_gallery_in_the_clear_has_no_key(tmp_path: Path) -> None:
    with GalleryStore(made(tmp_path / "p.db", None)) as store:
        with pytest.raises(GalleryError, match="is not encrypted, it has no key"):
            store.rekey(tmp_path / "k.key")
        assert not store.remove(["a"])[0].key_replaced
    assert not (tmp_path / "k.key").exists()


def test_renaming_and_merging(path: Path) -> None:
    with GalleryStore(path, key=key_of(path)) as store:
        store.enroll("b", [photo(1)], consent="form 7", expires="2999-12-31")
        with pytest.raises(DataError, match="'b' is in the gallery too; `gallery merge`"):
            store.rename("a", "b")
        with pytest.raises(UnknownNameError):
            store.rename("c", "d")
        assert store.rename("a", " Ra\u0301ni").name == "R\u00e1ni"
        assert store.rename("Ráni", "Ráni").name == "Ráni"
        with pytest.raises(DataError, match="are one person already"):
            store.merge("b", "b")
        merged = store.merge("Ráni", "b")
        assert (merged.photos, merged.consent, merged.expires) == (3, "form 7", "2999-12-31")
    with GalleryStore(path, key=key_of(path)) as store:
        assert [person.name for person in store.people()] == ["Ráni"]
        np.testing.assert_array_equal(store.templates().vectors, np.eye(8, dtype=np.float32)[:3])
        assert [each.path for each in store.likenesses("Ráni")] == ["0.jpg", "1.jpg", "2.jpg"]
        assert [each.hash for each in store.likenesses("Ráni")] == [0, 1, 2]
        store.enroll("c", [photo(3)], expires="2999-06-30")
        assert store.merge("Ráni", "c").expires == "2999-06-30"
