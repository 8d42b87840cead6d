"""Galleries that were changed by somebody without the key, damaged, or are of an earlier protocol."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rehead.errors import DamagedGalleryError, ReheadError, WrongKeyError
from rehead.faces.embedding.spec import spec_fingerprint
from rehead.faces.gallery import schema
from rehead.faces.gallery.maintenance import export_gallery
from rehead.faces.gallery.records import NewTemplate
from rehead.faces.gallery.schema import PROTOCOL
from rehead.faces.gallery.store import GalleryStore

SPEC: dict[str, Any] = {"name": "fake", "sha256": "ab" * 32, "dimensions": 8, "distance": "cosine"}
KEY = bytes(range(32))
GOLDEN = Path(__file__).parents[3] / "golden"


_MADE: dict[bytes | None, bytes] = {}


def made(path: Path, key: bytes | None) -> Path:
    """A gallery of a, who expires in 2999, and b."""
    if key in _MADE:
        path.write_bytes(_MADE[key])
        path.chmod(0o600)
        return path
    with GalleryStore(path, embedding_spec=SPEC, key=key, create=True) as store:
        for number, (name, day) in enumerate({"a": "2999-01-01", "b": None}.items()):
            row = np.eye(8, dtype=np.float32)[number]
            face = {"box": [0, 0, 9, 9], "quality": {"side": 64}}
            store.enroll(name, [NewTemplate(name * 64, f"{name}.jpg", row, face)], expires=day)
    _MADE[key] = path.read_bytes()
    return path


def changed(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as raw, raw:
        for statement in statements:
            raw.execute(statement)
    return path


def read_all(path: Path, key: bytes | None) -> None:
    with GalleryStore(path, key=key, embedding_spec=SPEC) as store:
        store.templates()
        store.photos()
    export_gallery(path, key=key, templates=True)


def test_a_key_and_no_encryption_do_not_go_together(tmp_path: Path) -> None:
    clear = made(tmp_path / "clear.db", None)
    with pytest.raises(WrongKeyError, match=r"not encrypted, but a key is given; if it was made with"):
        GalleryStore(clear, key=KEY, embedding_spec=SPEC, create=True)
    read_all(clear, None)
    stripped = changed(made(tmp_path / "p.db", KEY), "DELETE FROM about WHERE name = 'key_check'")
    with pytest.raises(WrongKeyError, match="else it was changed: restore a copy"):
        GalleryStore(stripped, key=KEY, embedding_spec=SPEC, create=True)
    with pytest.raises(DamagedGalleryError, match="whether the gallery is encrypted was changed"):
        GalleryStore(stripped, embedding_spec=SPEC)


@pytest.mark.parametrize("length", [0, 16, 33])
def test_a_key_of_another_length(tmp_path: Path, length: int) -> None:
    with pytest.raises(WrongKeyError, match=f"a key of {length} bytes is given; expected 32"):
        GalleryStore(tmp_path / "p.db", key=bytes(length), embedding_spec=SPEC, create=True)
    assert not list(tmp_path.iterdir())


def test_a_gallery_without_its_id_is_not_made_anew(tmp_path: Path) -> None:
    path = changed(made(tmp_path / "p.db", KEY), "DELETE FROM about")
    for create in (True, False):
        with pytest.raises(DamagedGalleryError):
            GalleryStore(path, key=KEY, embedding_spec=SPEC, create=create)


@pytest.mark.parametrize(
    "statements",
    [
        ["UPDATE people SET name = 'c' WHERE name = 'a'"],
        [
            "UPDATE people SET name = 'c' WHERE name = 'a'",
            "UPDATE people SET name = 'a' WHERE name = 'b'",
            "UPDATE people SET name = 'b' WHERE name = 'c'",
        ],
        ["UPDATE people SET expires = '2999-12-31' WHERE name = 'a'"],
        ["UPDATE people SET expires = NULL"],
        ["UPDATE people SET expires = 'zzzz'"],
        ["UPDATE people SET consent = 'signed'"],
        ["UPDATE people SET added = '1999-01-01T00:00:00+00:00'"],
    ],
)
def test_what_is_noted_of_a_person_is_bound_to_the_key(tmp_path: Path, statements: list[str]) -> None:
    path = changed(made(tmp_path / "p.db", KEY), *statements)
    with (
        pytest.raises(DamagedGalleryError, match=r"what is noted of '.' was changed"),
        GalleryStore(path, key=KEY) as store,
    ):
        store.people()
    uses: list[Callable[[GalleryStore], object]] = [
        lambda store: store.templates(),
        lambda store: store.enroll("a", []),
        lambda store: store.rekey(tmp_path / "k.key"),
    ]
    for use in uses:
        with contextlib.suppress(DamagedGalleryError), GalleryStore(path, key=KEY) as store:
            use(store)
            assert statements[0].endswith("name = 'a'"), "a person is added, where there is none of that name"
        with GalleryStore(path, key=KEY) as store, pytest.raises(DamagedGalleryError):
            store.people()


def test_a_last_day_that_is_none_is_damage_in_the_clear_too(tmp_path: Path) -> None:
    path = changed(made(tmp_path / "p.db", None), "UPDATE people SET expires = 'zzzz'")
    with pytest.raises(DamagedGalleryError, match="the last day of 'a' was changed or damaged"):
        read_all(path, None)


FOREIGN = {
    "trigger": "CREATE TRIGGER keep BEFORE DELETE ON people BEGIN SELECT RAISE(IGNORE); END",
    "view": "CREATE VIEW v AS SELECT * FROM people",
    "table": "CREATE TABLE t (x)",
    "index": "CREATE INDEX i ON people (name)",
    "column": "ALTER TABLE people ADD COLUMN x DEFAULT 7",
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_rehead_did_not_make_is_refused(tmp_path: Path, kind: str) -> None:
    path = made(tmp_path / "p.db", KEY)
    changed(path, FOREIGN[kind])
    with pytest.raises(DamagedGalleryError, match=r"otherwise than rehead writes it, so it was changed"):
        GalleryStore(path, key=KEY)


@pytest.mark.parametrize("table", ["people", "photos", "templates"])
def test_a_removal_is_read_back_before_it_is_claimed(tmp_path: Path, table: str) -> None:
    path = made(tmp_path / "p.db", KEY)
    with GalleryStore(path, key=KEY) as store:
        changed(path, f"CREATE TRIGGER keep BEFORE DELETE ON {table} BEGIN SELECT RAISE(IGNORE); END")
        with pytest.raises(DamagedGalleryError, match=r"nothing was removed|FOREIGN KEY"):
            store.remove(["a"])
        changed(path, "DROP TRIGGER keep")
        assert len(store.people()) == 2


@pytest.mark.parametrize("key", [KEY, None], ids=["encrypted", "clear"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE about SET value = 7 WHERE name = 'id'",
        "UPDATE about SET value = x'ff00' WHERE name = 'contract'",
        "UPDATE about SET value = x'39' WHERE name = 'contract'",
        "UPDATE contracts SET record = '[]'",
        "UPDATE contracts SET record = 'no JSON'",
        "UPDATE contracts SET record = '{}'",
        "UPDATE contracts SET space = 'other'",
        "UPDATE people SET name = x'00' WHERE name = 'a'",
        "UPDATE people SET name = CAST(x'ff41' AS TEXT) WHERE name = 'a'",
        "UPDATE people SET added = x'00'",
        "UPDATE people SET consent = x'37'",
        "UPDATE people SET expires = x'37'",
        "UPDATE people SET key = 'text'",
        "UPDATE people SET key = x''",
        "UPDATE photos SET path = x'00'",
        "UPDATE photos SET path = CAST(x'ff41' AS TEXT)",
        "UPDATE photos SET sha256 = x'01' WHERE id = 1",
        "UPDATE templates SET vector = 'text'",
        "UPDATE templates SET vector = x'00'",
        "UPDATE templates SET vector = x''",
        "UPDATE templates SET vector = zeroblob(28)",
        "UPDATE templates SET vector = x'0000c07f' || zeroblob(28)",
        "UPDATE templates SET face = 7",
        "UPDATE templates SET face = 'no JSON'",
        "UPDATE templates SET face = '[1]'",
    ],
)
def test_damaged_columns_are_told(tmp_path: Path, statement: str, key: bytes | None) -> None:
    path = changed(made(tmp_path / "p.db", key), statement)
    with pytest.raises(DamagedGalleryError, match=r"p\.db: .*restore a copy") as caught:
        read_all(path, key)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [b"CREATE TABLE people", b"sqlite_autoindex_about_1", b"photos_by_digest"])
def test_a_damaged_schema_is_told(tmp_path: Path, text: bytes) -> None:
    path = made(tmp_path / "p.db", KEY)
    path.write_bytes(path.read_bytes().replace(text, text[:-3] + b"\xff" + text[-2:]))
    with pytest.raises(DamagedGalleryError, match="restore a copy"):
        GalleryStore(path, key=KEY)


def test_an_embedding_spec_of_wrong_types_is_told(tmp_path: Path) -> None:
    path, spec = made(tmp_path / "p.db", None), {"dimensions": "many"}
    changed(path, f"UPDATE contracts SET record = '{json.dumps(spec)}', space = '{spec_fingerprint(spec)}'")
    with (
        pytest.raises(DamagedGalleryError, match="the embedding spec was changed"),
        GalleryStore(path) as store,
    ):
        store.templates()


@pytest.mark.parametrize("key", [KEY, None], ids=["encrypted", "clear"])
def test_files_with_changed_bytes_never_end_in_a_traceback(tmp_path: Path, key: bytes | None) -> None:
    right = made(tmp_path / "p.db", key).read_bytes()
    rng = random.Random(7)
    for _ in range(40):
        data = bytearray(right)
        for _ in range(rng.choice([1, 3, 10])):
            data[rng.randrange(len(data))] = rng.choice([0, 255, rng.randrange(256)])
        (tmp_path / "p.db").write_bytes(data[: rng.choice([len(data), len(data), rng.randrange(len(data))])])
        with contextlib.suppress(ReheadError):
            read_all(tmp_path / "p.db", key)
        for left in tmp_path.glob("p.db-*"):
            left.unlink()


def test_odd_measures_of_quality_are_passed_over(tmp_path: Path) -> None:
    path = changed(
        made(tmp_path / "p.db", KEY), """UPDATE templates SET face = '{"quality": {"side": "x"}}'"""
    )
    with GalleryStore(path, key=KEY) as store:
        assert [photo.quality for photo in store.photos()] == [{}, {}]


def test_a_gallery_of_protocol_1_is_brought_up_to_date(tmp_path: Path) -> None:
    path = Path(shutil.copy(GOLDEN / "gallery_protocol1.db", tmp_path / "p.db"))
    for _ in range(2):
        with GalleryStore(path, key=KEY) as store:
            assert [(p.name, p.photos, p.consent, p.expires) for p in store.people()] == [
                ("Ráni", 2, "form 7", "2999-01-01"),
                ("blå", 1, None, None),
            ]
            assert store.templates().vectors.shape == (3, 8)
        with closing(sqlite3.connect(path)) as raw:
            assert raw.execute("PRAGMA user_version").fetchone() == (PROTOCOL,)
    changed(path, "UPDATE people SET expires = NULL")
    with GalleryStore(path, key=KEY) as store, pytest.raises(DamagedGalleryError, match="'Ráni' was changed"):
        store.people()
    downgraded = changed(path, "UPDATE people SET expires = '2999-01-01' WHERE name = 'Ráni'")
    changed(downgraded, "ALTER TABLE photos DROP COLUMN hash", "PRAGMA user_version = 1")
    with pytest.raises(DamagedGalleryError):
        GalleryStore(downgraded, key=KEY)


def test_a_gallery_of_protocol_1_on_a_read_only_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(shutil.copy(GOLDEN / "gallery_protocol1.db", tmp_path / "p.db"))
    before = path.read_bytes()
    for module in ("schema", "database"):
        monkeypatch.setattr(f"rehead.faces.gallery.{module}.os.access", lambda path, mode: False)
    with GalleryStore(path, key=KEY) as store:
        assert store.templates().names == ("Ráni", "blå")
        assert [photo.path for photo in store.photos("blå")] == ["0.jpg"]
    assert path.read_bytes() == before


def test_days_of_protocol_1_that_are_none_are_not_taken_over(tmp_path: Path) -> None:
    path = Path(shutil.copy(GOLDEN / "gallery_protocol1.db", tmp_path / "p.db"))
    changed(path, "UPDATE people SET expires = '20280229' WHERE name = 'Ráni'")
    with GalleryStore(path, key=KEY) as store:
        assert store.person("Ráni").expires == "2028-02-29"
    path = Path(shutil.copy(GOLDEN / "gallery_protocol1.db", tmp_path / "q.db"))
    changed(path, "UPDATE people SET expires = 'zzzz' WHERE name = 'Ráni'")
    with pytest.raises(DamagedGalleryError, match="the last day of 'Ráni'"):
        GalleryStore(path, key=KEY)


def test_the_journal_is_overwritten_before_it_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = made(tmp_path / "p.db", KEY), list[tuple[bool, bool]]()
    overwrite = schema._overwrite_journal

    def watched(journal: Path) -> None:
        before = journal.read_bytes()
        overwrite(journal)
        assert len(before) == len(journal.read_bytes())
        seen.append((any(before), any(journal.read_bytes())))

    monkeypatch.setattr(schema, "_overwrite_journal", watched)
    with GalleryStore(path, key=KEY) as store, GalleryStore(path, key=KEY) as other:
        (removal,) = store.remove(["a"])
        assert removal.journal_cleared
        assert seen == [(True, False)]
        assert [person.name for person in other.people()] == ["b"]
        other.enroll("c", [NewTemplate("c", "c.jpg", np.eye(8, dtype=np.float32)[2], {})])
        assert store.templates().names == ("b", "c")
    assert (True, False) in seen[1:], "whoever has written does so when it closes the gallery"
    read_all(path, KEY)


def test_a_removal_beside_a_reader_does_not_claim_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "_READER_TIMEOUT", 0.05)
    path = made(tmp_path / "p.db", KEY)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader, GalleryStore(path, key=KEY) as store:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM people").fetchall()
        (removal,) = store.remove(["a"])
        assert not removal.journal_cleared
        reader.execute("COMMIT")
        assert store.remove(["b"])[0].journal_cleared
