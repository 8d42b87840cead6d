"""Galleries in a real PostgreSQL server: rights, passwords, lost connections, what the database can read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from postgres_server import Server
from rehead.errors import DamagedGalleryError, GalleryError, OutputError, ReheadError
from rehead.faces.gallery.backend import Search
from rehead.faces.gallery.copying import copy_gallery
from rehead.faces.gallery.encryption import GalleryKey, read_key_file, write_key_file
from rehead.faces.gallery.gallery import FaceGallery
from rehead.faces.gallery.misses import measure_misses
from rehead.faces.gallery.place import gallery_place
from rehead.faces.gallery.records import NewTemplate
from rehead.faces.gallery.store import GalleryStore
from rehead.faces.pipeline import FacePipeline
from rehead.faces.verification.calibration import Calibration
from rehead.serving.face_service import FaceService

KEY = bytes(range(32))
SPEC: dict[str, Any] = {"name": "fake", "sha256": "ab" * 32, "dimensions": 8, "distance": "cosine"}
FacePhoto = Callable[..., Path]


def photo(number: int) -> NewTemplate:
    vector = np.random.default_rng(number).normal(size=8).astype(np.float32)
    return NewTemplate(f"{number:064}", f"{number}.jpg", vector / np.linalg.norm(vector), {})


@pytest.fixture
def url(postgres: Server) -> str:
    return postgres.new_url()


@pytest.fixture
def store(url: str) -> Iterator[GalleryStore]:
    with GalleryStore(url, embedding_spec=SPEC, key=KEY, create=True) as made:
        made.enroll("a", [photo(0)])
        yield made


def schema(url: str) -> str:
    return url.rsplit("=", 1)[1]


def one_line(error: BaseException) -> str:
    assert isinstance(error, ReheadError)
    assert "\n" not in str(error)
    return str(error)


# writers


def test_writers_wait_for_each_other_and_numbers_are_unique(postgres: Server, store: GalleryStore) -> None:
    def enrol(person: int) -> None:
        with GalleryStore(store.place, key=KEY) as own:
            for n in range(5):
                own.enroll("shared", [photo(100 * person + n)])

    threads = [threading.Thread(target=enrol, args=(person,)) for person in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.person("shared").photos == 20
    assert len(store.templates()) == 21
    rows = [each.row for each in store.photos()]
    assert len(set(rows)) == 21


def test_readers_see_the_last_state_and_are_not_waited_for(store: GalleryStore) -> None:
    with GalleryStore(store.place, key=KEY) as other, other._file.writing():
        other._file.execute("DELETE FROM people")
        assert store.templates().names == ("a",), "not yet committed"
    assert store.templates().names == ()


def test_a_writer_that_never_ends_is_told_after_a_while(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rehead.faces.gallery.postgres_connection._TIMEOUT", 1.0)
    with (
        GalleryStore(store.place, key=KEY) as other,
        store._file.writing(),
        pytest.raises(GalleryError, match="another process has been writing"),
    ):
        other.enroll("b", [photo(1)])


def test_a_killed_server_rolls_back_and_work_goes_on_after_its_restart(
    postgres: Server, store: GalleryStore
) -> None:
    with (
        pytest.raises(GalleryError, match="connection to the server was lost") as lost,
        store._file.writing(),
    ):
        store._file.execute("DELETE FROM people")
        postgres.kill()
        store._file.execute("DELETE FROM about")
    one_line(lost.value)
    with pytest.raises(GalleryError, match="cannot be reached") as down:
        store.people()
    assert "No such file" in one_line(down.value) or "refused" in str(down.value)
    postgres.start()
    assert [person.name for person in store.people()] == ["a"]
    store.enroll("b", [photo(1)])
    assert store.templates().names == ("a", "b")


WAITING = """
import sys
from rehead.faces.gallery.store import GalleryStore
with GalleryStore(sys.argv[1], key=bytes(range(32))) as store:
    print("ready", flush=True)
    store.rename("a", "b")
"""


def test_ctrl_c_ends_a_writer_that_waits(store: GalleryStore) -> None:
    url = str(store.place).replace("postgresql://", "postgresql://postgres@")
    command = [sys.executable, "-c", WAITING, url]
    with (
        store._file.writing(),
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting,
    ):
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "ready\n"
        time.sleep(0.2)  # until it waits; a signal before that ends it too
        waiting.send_signal(signal.SIGINT)
        _, errors = waiting.communicate(timeout=20)
    assert errors.splitlines()[-1] == "KeyboardInterrupt"
    assert store.templates().names == ("a",)
    store.rename("a", "c")


# passwords, rights, and what is missing


@pytest.fixture
def guarded(postgres: Server) -> Iterator[str]:
    """URL of a gallery for a role with a password, without it."""
    rules = postgres.folder / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text("local all keeper scram-sha-256\n" + before)
    url = postgres.new_url().replace("postgres@", "keeper@")
    postgres.sql(
        "CREATE ROLE keeper LOGIN PASSWORD 'sesame/w@rd'",
        f"CREATE SCHEMA {schema(url)} AUTHORIZATION keeper",
        "SELECT pg_reload_conf()",
    )
    yield url
    rules.write_text(before)
    postgres.sql("SELECT pg_reload_conf()", f"DROP SCHEMA {schema(url)} CASCADE", "DROP ROLE keeper")


def test_a_password_comes_from_where_libpq_has_it_and_is_never_shown(
    guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(GalleryError, match="the server refuses") as refused:
        GalleryStore(guarded, embedding_spec=SPEC, key=KEY, create=True)
    assert "PGPASSWORD" in one_line(refused.value)
    inside = guarded.replace("keeper@", "keeper:sesame%2Fw%40rd@")
    with GalleryStore(inside, embedding_spec=SPEC, key=KEY, create=True) as store:
        assert "sesame" not in str(store.place) + repr(store.place)
        store.enroll("a", [photo(0)])
    wrong = guarded.replace("keeper@", "keeper:wrongsesame@")
    with pytest.raises(GalleryError) as refused:
        GalleryStore(wrong, key=KEY)
    assert "sesame" not in one_line(refused.value)
    monkeypatch.setenv("PGPASSWORD", "sesame/w@rd")
    GalleryStore(guarded, key=KEY).close()
    monkeypatch.delenv("PGPASSWORD")
    passwords = tmp_path / "pgpass"
    passwords.write_text("*:*:*:keeper:sesame/w@rd\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    GalleryStore(guarded, key=KEY).close()
    services = tmp_path / "services.conf"
    host = guarded.split("host=")[1].split("&")[0]
    services.write_text(f"[faces]\nhost={host}\nuser=keeper\ndbname=postgres\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    with GalleryStore(f"postgresql://?service=faces&gallery={schema(guarded)}", key=KEY) as store:
        assert store.templates().names == ("a",)


@pytest.mark.parametrize(
    "bad",
    [
        "postgresql://me:sesame/1@host/db",
        "postgresql://me:ses@me@host/db",
        "postgresql://me:sesame#1@host/db",
        "postgresql://me:sesame?1@host/db",
        "postgresql:/me:sesame@host/db",
        "postgresql://me:sesame@host:x/db",
        "postgresql://me:sesame@host/db?gallery=People",
        "postgresql://me:sesame@127.0.0.1:9/db",
        "postgresql://me:sesame@127.0.0.1:9/db?sslmode=odd",
    ],
)
def test_no_error_holds_a_password(bad: str) -> None:
    pytest.importorskip("asyncpg", reason="galleries on PostgreSQL need rehead[postgres]")
    with pytest.raises(GalleryError) as error:
        GalleryStore(bad, key=KEY)
    assert "ses" not in one_line(error.value)
    assert error.value.__cause__ is None or "ses" not in str(error.value.__cause__)


def test_rights_that_are_missing_are_named(postgres: Server, store: GalleryStore) -> None:
    own = schema(str(store.place))
    postgres.sql("CREATE ROLE reader LOGIN")
    url = str(store.place).replace("postgresql://", "postgresql://reader@")
    try:
        with pytest.raises(OutputError, match="USAGE on the schema") as denied:
            GalleryStore(url, key=KEY)
        one_line(denied.value)
        postgres.sql(
            f"GRANT USAGE ON SCHEMA {own} TO reader", f"GRANT SELECT ON ALL TABLES IN SCHEMA {own} TO reader"
        )
        with GalleryStore(url, key=KEY) as reader:
            assert reader.templates().names == ("a",)
            with pytest.raises(OutputError, match=r"not allowed \(permission denied .* INSERT, UPDATE"):
                reader.enroll("b", [photo(1)])
        with pytest.raises(OutputError, match="CREATE on the database"):
            GalleryStore(url.replace(own, "elsewhere"), key=KEY, embedding_spec=SPEC, create=True)
    finally:
        postgres.sql("DROP OWNED BY reader", "DROP ROLE reader")


def test_an_extension_or_database_that_is_missing(postgres: Server) -> None:
    postgres.sql("CREATE DATABASE plain")
    url = postgres.url("faces", database="plain")
    with pytest.raises(GalleryError, match="have its owner run `CREATE EXTENSION vector`") as missing:
        GalleryStore(url, embedding_spec=SPEC, key=KEY, create=True, search="pgvector")
    one_line(missing.value)
    with pytest.raises(GalleryError, match="there is no such gallery"):
        GalleryStore(url, key=KEY)
    with pytest.raises(GalleryError, match="`CREATE DATABASE`"):
        GalleryStore(postgres.url("faces", database="none"), key=KEY)
    with pytest.raises(GalleryError, match="pgvector searches in PostgreSQL"):
        GalleryStore("people.db", embedding_spec=SPEC, key=KEY, create=True, search="pgvector")
    assert not Path("people.db").exists()


def test_other_tables_are_no_gallery_and_changed_ones_are_refused(
    postgres: Server, store: GalleryStore
) -> None:
    other = postgres.new_url()
    postgres.sql(f"CREATE SCHEMA {schema(other)}", f"CREATE TABLE {schema(other)}.accounts (id INTEGER)")
    with pytest.raises(GalleryError, match=r"not a gallery of rehead; name another with \?gallery=NAME"):
        GalleryStore(other, embedding_spec=SPEC, key=KEY, create=True)
    own = schema(str(store.place))
    for change, undo in [
        (
            f"CREATE RULE kept AS ON DELETE TO {own}.people DO INSTEAD NOTHING",
            f"DROP RULE kept ON {own}.people",
        ),
        (f"CREATE VIEW {own}.faces AS SELECT * FROM {own}.people", f"DROP VIEW {own}.faces"),
        (f"ALTER TABLE {own}.people ADD COLUMN more TEXT", f"ALTER TABLE {own}.people DROP COLUMN more"),
    ]:
        postgres.sql(change)
        with pytest.raises(DamagedGalleryError, match="so it was changed"):
            GalleryStore(store.place, key=KEY)
        postgres.sql(undo)
    postgres.sql(f"UPDATE {own}.state SET protocol = 99")
    with pytest.raises(GalleryError, match="pip install --upgrade rehead"):
        GalleryStore(store.place, key=KEY)


# what the database can read, and what is left of who was removed


def test_the_database_reads_vectors_only_where_it_searches(postgres: Server, store: GalleryStore) -> None:
    secret = photo(0).vector.tobytes()
    own = schema(str(store.place))
    assert secret not in postgres.sql(f"SELECT vector FROM {own}.templates")[0][0]
    tables = (
        f"SELECT relname FROM pg_class WHERE relnamespace = '{own}'::regnamespace AND relname = 'vectors'"
    )
    assert not postgres.sql(tables)
    to = gallery_place(postgres.new_url())
    copy_gallery(store.place, to, key=GalleryKey(KEY), search="pgvector")
    ((read,),) = postgres.sql(f"SELECT vector::text FROM {schema(str(to))}.vectors")
    np.testing.assert_allclose(json.loads(read), photo(0).vector, atol=1e-3)
    with GalleryStore(to, key=KEY) as indexed:
        assert (indexed.search, indexed.encrypted) == ("pgvector", True)
        indexed.enroll("b", [photo(1)])
        indexed.remove(["a"])
        assert len(postgres.sql(f"SELECT photo FROM {schema(str(to))}.vectors")) == 1
    with pytest.raises(GalleryError, match=r"is searched by --search pgvector; .*gallery copy"):
        GalleryStore(to, embedding_spec=SPEC, key=KEY, create=True, search="memory")


def test_a_vector_that_the_database_changed_can_only_be_missed(postgres: Server, url: str) -> None:
    with GalleryStore(url, embedding_spec=SPEC, key=KEY, create=True, search="pgvector") as store:
        store.enroll("a", [photo(0)])
        store.enroll("b", [photo(1)])
        own = schema(url)
        postgres.sql(
            f"UPDATE {own}.vectors SET vector = (SELECT vector FROM {own}.vectors ORDER BY photo LIMIT 1)"
        )
        probe = photo(0).vector[None]
        found = store.candidates(probe)
        scores = dict(zip(found.names, found.best_scores(probe)[0], strict=True))
        assert scores["a"] == pytest.approx(1)
        assert scores["b"] == pytest.approx(float(photo(1).vector @ photo(0).vector), abs=1e-6)


def test_the_expired_do_not_take_the_places_of_others(
    postgres: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = photo(0), photo(1)
    monkeypatch.setattr("rehead.faces.gallery.pgvector._PROPOSED", 3)
    with GalleryStore(url, embedding_spec=SPEC, key=KEY, create=True, search="pgvector") as store:
        for n in range(8):
            store.enroll(f"old{n}", [NewTemplate(f"{n}", "x", near.vector, {})], expires="2999-01-01")
        store.enroll("new", [far])
        store._file.execute("SELECT 1")
        for module in ("records", "search", "people", "pgvector"):
            monkeypatch.setattr(f"rehead.faces.gallery.{module}.today", _far_future)
        found = store.candidates(near.vector[None])
        assert (found.names, found.expired, found.unseen) == (("new",), 8, 0)


def _far_future() -> Any:
    import datetime

    return datetime.date(3000, 1, 1)


def test_rebuilding_for_another_width(url: str) -> None:
    other = {**SPEC, "sha256": "cd" * 32, "dimensions": 4}
    with GalleryStore(url, embedding_spec=SPEC, key=KEY, create=True, search="pgvector") as store:
        store.enroll("a", [photo(0)])
        vector = np.array([0, 1, 0, 0], np.float32)
        store.replace_templates(other, [(store.photos()[0].row, vector, {})])
        assert store.candidates(vector[None]).best_scores(vector[None]).tolist() == [[1.0]]


def test_misses_are_counted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with GalleryStore(url, embedding_spec=SPEC, key=KEY, create=True, search="pgvector") as store:
        for n in range(20):
            store.enroll(f"p{n}", [photo(n)])
        with pytest.raises(ReheadError, match="nobody has two photos; give --cosine"):
            measure_misses(store)
        assert measure_misses(store, probes=20, cosine=0.95).missed == 0
        monkeypatch.setattr("rehead.faces.gallery.pgvector.VectorIndex.nearest", lambda self, probes: [1])
        done = measure_misses(store, probes=50, cosine=0.95)
        assert 30 < done.missed < 50
        assert done.share.low < done.share.value < done.share.high


def test_vacuum_full_takes_who_was_removed_out_of_the_tables(postgres: Server, url: str) -> None:
    with GalleryStore(url, embedding_spec=SPEC, key=KEY, create=True, search="pgvector") as store:
        store.enroll("Rani Kapoor", [photo(771)])
        store.enroll("b", [photo(1)])
        assert not store.remove(["Rani Kapoor"])[0].journal_cleared
    tables = [f"{schema(url)}.{name}" for name in ("people", "photos", "templates", "vectors")]
    postgres.sql(*[f"VACUUM (FULL, ANALYZE) {table}" for table in tables], "CHECKPOINT")
    found = postgres.sql(*[f"SELECT pg_relation_filepath('{table}')" for table in tables[:1]])[0][0]
    vector = photo(771).vector.astype(np.float16).tobytes()
    held = [each.read_bytes() for each in (postgres.folder / found).parent.iterdir() if each.is_file()]
    assert not any(b"Rani Kapoor" in data or vector in data for data in held)


# the key


def test_a_key_is_replaced_only_for_the_gallery_that_it_was_made_for(
    postgres: Server, url: str, tmp_path: Path
) -> None:
    file, copy = tmp_path / "people.key", gallery_place(postgres.new_url())
    key = write_key_file(file)
    with GalleryStore(url, embedding_spec=SPEC, key=key, create=True) as store:
        store.enroll("a", [photo(0)])
        store.enroll("b", [photo(1)])
    copy_gallery(gallery_place(url), copy, key=read_key_file(file))
    back = gallery_place(tmp_path / "back.db")
    copy_gallery(copy, back, key=read_key_file(file))
    for place in (copy, back):
        with GalleryStore(place, key=read_key_file(file)) as other:
            assert not other.remove(["a"])[0].key_replaced
    with GalleryStore(url, key=read_key_file(file)) as store:
        assert store.remove(["a"])[0].key_replaced
    assert read_key_file(file).value != key.value
    assert "postgres@" not in file.read_text()


# faces


def test_faces_are_named_as_by_an_exact_search(
    postgres: Server,
    face_photo: FacePhoto,
    face_pipeline: FacePipeline,
    face_calibration: Calibration,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    people = {f"p{n:02}": face_photo(tmp_path / f"{n}.png", 3 * n, variant=1) for n in range(20)}
    group = face_photo(tmp_path / "group.png", 9, 77, variant=9)
    monkeypatch.setattr("rehead.faces.gallery.pgvector._PROPOSED", 5)
    answers, searches = [], list[Search](["memory", "pgvector"])
    for search in searches:
        with FaceGallery(
            postgres.new_url(),
            face_pipeline,
            key=KEY,
            create=True,
            calibration=face_calibration,
            search=search,
            fpir=0.05,
        ) as gallery:
            for name, file in people.items():
                gallery.enroll(name, [file])
            answers.append(gallery.identify(group))
            assert gallery.threshold().templates == 20
    for exact, found in zip(*answers, strict=True):
        assert (exact.name, exact.nearest, exact.threshold) == (found.name, found.nearest, found.threshold)
        assert found.score == pytest.approx(exact.score, abs=1e-6)
        assert 0 < found.probability <= exact.probability + 1e-3, "who was not proposed counts against it"
    assert [each.name for each in answers[1]] == ["p03", "unknown"]


def test_a_service_goes_on_when_the_server_is_back(
    postgres: Server,
    url: str,
    face_photo: FacePhoto,
    face_pipeline: FacePipeline,
    face_calibration: Calibration,
    tmp_path: Path,
) -> None:
    photo = face_photo(tmp_path / "9.png", 9, variant=1).read_bytes()

    def opened() -> FaceGallery:
        return FaceGallery(url, face_pipeline, key=KEY, create=True, calibration=face_calibration)

    service = FaceService(face_pipeline, opened, calibration=face_calibration)
    try:
        service.enroll("Rani", [photo])
        assert service.identify(photo)["faces"][0]["nearest"] == "Rani"
        postgres.kill()
        with pytest.raises(GalleryError):
            service.identify(photo)
        postgres.start()
        assert service.identify(photo)["faces"][0]["nearest"] == "Rani"
    finally:
        service.close()


# the command line


def rehead(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "rehead", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env={**os.environ, **environ}
    )


def test_on_the_command_line(postgres: Server, store: GalleryStore, tmp_path: Path) -> None:
    key, file, url = KEY.hex(), tmp_path / "people.db", postgres.new_url()
    place = str(store.place).replace("postgresql://", "postgresql://postgres:sesame@")
    copied = rehead("faces", "gallery", "copy", place, file, REHEAD_GALLERY_KEY=key)
    assert (copied.returncode, copied.stderr) == (0, "")
    assert copied.stdout.startswith(f"{file}: 1 person, 1 photo, as in postgresql:///")
    again = rehead("faces", "gallery", "copy", file, url, "--search", "pgvector", REHEAD_GALLERY_KEY=key)
    assert "the database can read the faces' vectors" in again.stdout
    shown = rehead("faces", "gallery", "list", url, REHEAD_GALLERY_KEY=key)
    assert "encrypted\nsearched by pgvector: the database can read" in shown.stdout
    record = json.loads(rehead("faces", "gallery", "list", url, "--json", REHEAD_GALLERY_KEY=key).stdout)
    assert (record["search"], record["encrypted"]) == ("pgvector", True)
    missed = rehead(
        *("faces", "gallery", "misses", url, "--cosine", "0.9", "--probes", "5"), REHEAD_GALLERY_KEY=key
    )
    assert "0 of 5 searches missed the nearest of 1 face (0.00 %, 95 % interval 0.00 to" in missed.stdout
    removed = rehead("faces", "gallery", "remove", place, "a", REHEAD_GALLERY_KEY=key)
    assert "PostgreSQL keeps what was deleted in its tables until VACUUM (FULL, ANALYZE)" in removed.stdout
    refused = rehead("faces", "gallery", "list", place.replace("host=", "host=/none"))
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    for each in (copied, again, shown, missed, removed, refused):
        assert "sesame" not in each.stdout + each.stderr
