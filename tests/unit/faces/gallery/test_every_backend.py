"""What every gallery does, whichever database it is in."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from postgres_server import Server
from rehead.errors import DataError, GalleryError, OtherEmbedderError, UnknownNameError, WrongKeyError
from rehead.faces.embedding.spec import spec_fingerprint
from rehead.faces.gallery.backend import Search
from rehead.faces.gallery.copying import copy_gallery
from rehead.faces.gallery.database import GalleryDatabase
from rehead.faces.gallery.encryption import GalleryKey, read_key_file, write_key_file
from rehead.faces.gallery.place import gallery_place
from rehead.faces.gallery.records import NewTemplate
from rehead.faces.gallery.store import GalleryStore

SPEC: dict[str, Any] = {
    "name": "fake",
    "sha256": "ab" * 32,
    "dimensions": 8,
    "distance": "cosine",
    "licences": {"weights": "CC0"},
}
KEY = bytes(range(32))
KINDS = ("sqlite", "postgres", "pgvector")
NewPlace = Callable[[str], str]


def unit(*seed: int) -> NDArray[np.float32]:
    row = np.random.default_rng(seed).normal(size=8)
    return (row / np.linalg.norm(row)).astype(np.float32)


def template(number: int, person: int = 0) -> NewTemplate:
    return NewTemplate(f"{person}-{number}", f"{number}.jpg", unit(person, number), {"box": [0, 0, 9, 9]})


def search_of(kind: str) -> Search:
    return "pgvector" if kind == "pgvector" else "memory"


@pytest.fixture
def new_place(tmp_path: Path, request: pytest.FixtureRequest) -> NewPlace:
    """Where a gallery of a kind can be made."""

    def place(kind: str) -> str:
        if kind == "sqlite":
            return str(tmp_path / f"people{len(list(tmp_path.iterdir()))}.db")
        server: Server = request.getfixturevalue("postgres")
        return server.new_url()

    return place


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(kind: str, new_place: NewPlace) -> Iterator[GalleryStore]:
    with GalleryStore(
        new_place(kind), embedding_spec=SPEC, key=KEY, create=True, search=search_of(kind)
    ) as made:
        yield made


def test_what_was_enrolled_is_there_after_opening_again(store: GalleryStore) -> None:
    done = store.enroll("  Ra\u0301ni ", [template(0), template(1)], consent="form 7", expires="2999-01-01")
    assert (done.name, done.added, done.known) == ("R\u00e1ni", 2, 0)
    store.enroll("blå", [template(0, 1)])
    store.close()
    with GalleryStore(store.place, key=KEY, embedding_spec=SPEC) as again:
        assert [(p.name, p.photos, p.consent, p.expires) for p in again.people()] == [
            ("Ráni", 2, "form 7", "2999-01-01"),
            ("blå", 1, None, None),
        ]
        held = again.templates()
        assert held.names == ("Ráni", "blå")
        np.testing.assert_array_equal(held.vectors, np.stack([unit(0, 0), unit(0, 1), unit(1, 0)]))
        assert held.people.tolist() == [0, 0, 1]
        assert [photo.path for photo in again.photos("blå")] == ["0.jpg"]


def test_a_photo_is_enrolled_once(store: GalleryStore) -> None:
    store.enroll("a", [template(0)])
    again = store.enroll("a", [template(0), template(1)])
    assert (again.added, again.known) == (1, 1)
    assert store.owners("0-0") == ["a"]


def test_an_empty_gallery_can_be_searched(store: GalleryStore) -> None:
    assert store.templates().best_scores(unit(1)[None]).shape == (1, 0)


def test_the_search_sees_what_was_enrolled_since(store: GalleryStore) -> None:
    store.enroll("a", [template(0)])
    assert len(store.templates()) == 1
    with GalleryStore(store.place, key=KEY) as other:
        other.enroll("b", [template(0, 1)])
    assert store.templates().names == ("a", "b")
    assert store.templates() is store.templates()


def test_the_expired_are_not_recognised(store: GalleryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.enroll("a", [template(0)], expires=datetime.date.today().isoformat())
    store.enroll("b", [template(0, 1)], expires="29990101")
    assert store.templates().names == ("a", "b")
    tomorrow = datetime.date.today() + datetime.timedelta(days=1)
    for module in ("records", "search", "people", "pgvector"):
        monkeypatch.setattr(f"rehead.faces.gallery.{module}.today", lambda: tomorrow)
    assert store.templates().names == ("b",)
    assert [(person.expired, person.expires) for person in store.people()][1] == (False, "2999-01-01")
    store.remove(["b"])
    assert store.templates().why_nobody == "everybody in the gallery has expired"
    store.remove(["a"])
    assert store.templates().why_nobody == "the gallery is empty"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "means nobody"),
        (" ", "means nobody"),
        ("unknown", "means nobody"),
        ("Ran\udce9", "not UTF-8"),
        ("Ra\x1b[31mni", "control characters"),
    ],
)
def test_names_that_cannot_be_stored_are_refused(store: GalleryStore, name: str, words: str) -> None:
    store.enroll("a", [template(0)])
    for refused in (lambda: store.enroll(name, [template(0)]), lambda: store.rename("a", name)):
        with pytest.raises(DataError, match=words):
            refused()
    with pytest.raises(DataError, match="not UTF-8"):
        store.enroll("b", [template(0, 1)], consent="\udce9")
    assert [person.name for person in store.people()] == ["a"]


def test_a_day_must_be_a_day(store: GalleryStore) -> None:
    for day, words in {"next year": "such as 2027-12-31", "2024-02-29": "is past; expected"}.items():
        with pytest.raises(DataError, match=words):
            store.enroll("a", [template(0)], expires=day)
    assert store.people() == []


@pytest.mark.parametrize(
    ("key", "words"), [(None, "is encrypted; give its key"), (bytes(32), "not the key of the gallery")]
)
def test_wrong_keys(store: GalleryStore, key: bytes | None, words: str) -> None:
    with pytest.raises(WrongKeyError, match=words):
        GalleryStore(store.place, key=key)


def test_another_embedder_is_refused_with_the_way_out(store: GalleryStore) -> None:
    with pytest.raises(OtherEmbedderError, match=r"gallery rebuild .*keeps the names"):
        GalleryStore(store.place, key=KEY, embedding_spec={**SPEC, "name": "other", "sha256": "cd"})
    with pytest.raises(OtherEmbedderError, match="fake with another sha256"):
        GalleryStore(store.place, key=KEY, embedding_spec={**SPEC, "sha256": "cd"})
    GalleryStore(store.place, key=KEY, embedding_spec={**SPEC, "name": "renamed", "licences": {}}).close()
    assert spec_fingerprint(SPEC) == spec_fingerprint({**SPEC, "name": "renamed"})


def test_rebuilding_keeps_names_and_forgets_lost_photos(store: GalleryStore) -> None:
    store.enroll("a", [template(0), template(1)], consent="form 7")
    kept = store.photos("a")[1]
    other = {**SPEC, "sha256": "cd", "dimensions": 4}
    vector = np.array([1, 0, 0, 0], np.float32)
    assert store.replace_templates(other, [(kept.row, vector, {"box": [1, 1, 2, 2]})]) == 1
    store.close()
    with GalleryStore(store.place, key=KEY, embedding_spec=other) as again:
        assert [(p.name, p.photos, p.consent) for p in again.people()] == [("a", 1, "form 7")]
        assert again.templates().vectors.tolist() == [[1, 0, 0, 0]]
        assert again.photos()[0].sha256 == kept.sha256


def test_people_are_renamed_and_merged(store: GalleryStore) -> None:
    store.enroll("a", [template(0), template(1)])
    store.enroll("b", [template(1), template(0, 1)], consent="form 7", expires="2999-12-31")
    with pytest.raises(DataError, match="'b' is in the gallery too"):
        store.rename("a", "b")
    assert store.rename("a", "c").name == "c"
    merged = store.merge("c", "b")
    assert (merged.photos, merged.consent, merged.expires) == (3, "form 7", "2999-12-31")
    assert store.templates().names == ("c",)
    assert store.owners("1-0") == ["c"]
    assert [each.sha256 for each in store.likenesses("c")] == ["0-0", "0-1", "1-0"]
    assert store.candidates(unit(1, 0)[None]).best_scores(unit(1, 0)[None]).max() == pytest.approx(1)


def test_a_removal_takes_people_photos_and_keys(store: GalleryStore) -> None:
    for person, name in enumerate("abc"):
        store.enroll(name, [template(0, person), template(1, person)])
    with pytest.raises(UnknownNameError, match="unknown person 'x'"):
        store.remove(["a", "x"])
    assert len(store.people()) == 3, "all or nobody"
    removed = store.remove(["a", "b"])
    assert [(each.name, each.photos, each.templates, each.key_destroyed) for each in removed] == [
        ("a", 2, 2, True),
        ("b", 2, 2, True),
    ]
    (photo, left) = store.photos()
    assert store.remove_photos("c", [photo.row]).photos == 1
    with pytest.raises(DataError, match="no photo of 'c' would be left"):
        store.remove_photos("c", [left.row])
    found = store.candidates(unit(0, 0)[None])
    assert (found.names, len(found)) == (("c",), 1), "nobody who was removed is found"
    assert store.size().templates == len(store.templates()) == 1


def test_a_removal_replaces_the_key_of_a_file(kind: str, new_place: NewPlace, tmp_path: Path) -> None:
    place, file = new_place(kind), tmp_path / "people.key"
    first = write_key_file(file)
    with GalleryStore(place, embedding_spec=SPEC, key=first, create=True, search=search_of(kind)) as store:
        store.enroll("a", [template(0)])
        store.enroll("b", [template(0, 1)])
        assert store.remove(["a"])[0].key_replaced
        store.enroll("c", [template(0, 2)])
    second = read_key_file(file)
    assert second.value != first.value
    with pytest.raises(WrongKeyError, match="not the key of the gallery"):
        GalleryStore(place, key=first.value)
    with GalleryStore(place, key=second) as store:
        assert store.templates().names == ("b", "c")
        store.rekey()
        assert read_key_file(file).value != second.value


def test_what_fails_leaves_nothing(store: GalleryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.enroll("a", [template(0)])
    before = store.size()
    broken = NewTemplate("x", "x.jpg", unit(9), {"not": object()})  # which is no JSON
    with pytest.raises(TypeError):
        store.enroll("b", [template(0, 1), broken])
    assert [person.name for person in store.people()] == ["a"]
    assert store.size() == before
    store.enroll("b", [template(0, 1)])
    assert store.size().templates == 2


def test_who_is_named_has_the_score_of_an_exact_search(store: GalleryStore) -> None:
    for person in range(30):
        store.enroll(f"p{person:02}", [template(n, person) for n in range(3)])
    probes = np.stack([unit(person, 7) for person in range(5)])
    exact, found = store.templates().best_scores(probes), store.candidates(probes)
    scores = found.best_scores(probes)
    assert len(found.names) + found.unseen == 30
    for row, person in enumerate(scores.argmax(axis=1)):
        assert found.names[person] == store.templates().names[exact[row].argmax()]
        assert scores[row, person] == pytest.approx(exact[row].max(), abs=1e-6)


def test_altered_templates_are_noticed(store: GalleryStore) -> None:
    store.enroll("a", [template(0)])
    store.enroll("b", [template(0, 1)])
    with GalleryDatabase(store.place, GalleryKey(KEY)) as raw, raw.writing():
        raw.execute("UPDATE templates SET vector = (SELECT vector FROM templates ORDER BY id LIMIT 1)")
    for search in (store.templates, lambda: store.candidates(unit(1)[None])):
        with pytest.raises(GalleryError, match="a template of 'b' was changed or damaged"):
            search()


@pytest.mark.parametrize("key", [KEY, None], ids=["encrypted", "clear"])
@pytest.mark.parametrize(
    "kinds",
    [
        ("sqlite", "postgres", "sqlite"),
        ("sqlite", "pgvector", "postgres"),
        ("pgvector", "sqlite", "pgvector"),
    ],
    ids="-".join,
)
def test_copies_are_the_same_to_the_byte(
    kinds: tuple[str, ...], key: bytes | None, new_place: NewPlace
) -> None:
    places = [gallery_place(new_place(kinds[0]))]
    with GalleryStore(
        places[0], embedding_spec=SPEC, key=key, create=True, search=search_of(kinds[0])
    ) as store:
        store.enroll("gone", [template(5, 9)])
        for person in range(4):
            store.enroll(f"p{person}", [template(n, person) for n in range(3)], consent="ja — é")
        store.enroll("past", [template(0, 8)], expires="2999-01-01")
        store.remove(["gone"])
    master = None if key is None else GalleryKey(key)
    for following in kinds[1:]:
        to = gallery_place(new_place(following))
        done = copy_gallery(places[-1], to, key=master, search=search_of(following))
        assert (done.people, done.photos, done.search) == (5, 13, search_of(following))
        places.append(to)
    first, *others = (rows(place, master) for place in places)
    assert all(other == first for other in others)
    with GalleryStore(places[-1], key=key) as copy:
        copy.enroll("new", [template(0, 20)])
        assert copy.candidates(unit(20, 0)[None]).names[0:1] != ()
        assert len(copy.photos()) == 14
    with pytest.raises(GalleryError, match="is there already"):
        copy_gallery(places[0], places[-1], key=master, search=search_of(kinds[-1]))


def rows(place: Any, key: GalleryKey | None) -> dict[str, list[tuple[Any, ...]]]:
    """All that is in the tables of a gallery."""
    with GalleryDatabase(place, key) as opened:
        tables = {
            "about": "name, value",
            "contracts": "id, space, record",
            "people": "id, uid, name, key, consent, expires, added",
            "photos": "id, person, sha256, path, added, hash",
            "templates": "id, photo, contract, vector, face",
        }
        return {
            table: [tuple(row) for row in opened.execute(f"SELECT {columns} FROM {table} ORDER BY 1")]
            for table, columns in tables.items()
        }
