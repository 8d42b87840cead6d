"""Photos as a stream: the same samples from every form, in order, and errors of one line."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rehead.core.csv_cells import CsvWriter
from rehead.data.csv_table import read_rows
from rehead.data.options import TableOptions
from rehead.data.sources import Sample, Source, find_source, open_source, read_photo, samples_of
from rehead.data.sources.files import as_given, expand
from rehead.errors import DatasetError, ImageError, MissingExtraError
from source_files import write_csv, write_folder, write_parquet, write_tar

fsspec = pytest.importorskip("fsspec", reason="needs fsspec: pip install 'rehead[cloud]'")
pa = pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'rehead[cloud]'")

PHOTOS = [(f"{n:03d}", f"photo {n}".encode(), ["red fish", "blå"][n % 2]) for n in range(7)]


def samples(source: Source) -> list[Sample]:
    return list(samples_of(source))


def content(source: Source) -> list[tuple[bytes, str]]:
    return [(read_photo(sample), sample.label) for sample in samples(source)]


@pytest.fixture
def memory() -> Iterator[Any]:
    """fsspec's file system in memory, empty."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


WRITERS: dict[str, Any] = {"a.tar": write_tar, "a.parquet": write_parquet, "a.csv": write_csv}


@pytest.mark.parametrize("name", WRITERS)
def test_every_form_gives_the_same_photos_in_order(name: str, tmp_path: Path) -> None:
    source = open_source(WRITERS[name](tmp_path / name, PHOTOS))
    assert content(source) == [(data, label) for _, data, label in PHOTOS]
    found = samples(source)
    assert len({sample.id for sample in found}) == len(PHOTOS)
    assert found == samples(source)
    assert source.count() in (None, len(PHOTOS))


@pytest.mark.parametrize("name", WRITERS)
def test_an_address_gives_what_a_path_gives(name: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path / name, PHOTOS)
    assert content(open_source(f"file://{path}")) == content(open_source(path))


def test_photos_in_memory_by_folder_and_by_csv(memory: Any) -> None:
    for key, data, label in PHOTOS:
        memory.pipe(f"/bucket/photos/{label}/{key}.jpg", data)
    by_class = sorted(PHOTOS, key=lambda photo: (photo[2], photo[0]))
    folder = open_source("memory://bucket/photos")
    assert content(folder) == [(data, label) for _, data, label in by_class]
    assert next(sample.id for sample in samples(folder)) == "blå/001.jpg"
    rows = [f"photos/{label}/{key}.jpg,{label}" for key, _, label in PHOTOS]
    memory.pipe("/bucket/list.csv", "\n".join(["path,label", *rows]).encode())
    assert content(open_source("memory://bucket/list.csv")) == [(data, label) for _, data, label in PHOTOS]


def test_splits_of_a_bucket(memory: Any) -> None:
    for split in ("train", "test"):
        for label in ("a", "b"):
            memory.pipe(f"/photos/{split}/{label}/1.jpg", b"x")
    found = samples(open_source("memory://photos"))
    assert [(s.split, s.label, s.id) for s in found] == [
        (split, label, f"{split}/{label}/1.jpg") for split in ("test", "train") for label in ("a", "b")
    ]


def test_shards_are_numbered_and_one_after_the_other(tmp_path: Path) -> None:
    for n in range(3):
        write_tar(tmp_path / f"shard-{n:03d}.tar", PHOTOS[2 * n : 2 * n + 2], as_json=True)
    found = samples(open_source(tmp_path / "shard-{000..002}.tar"))
    assert [s.id for s in found] == [f"shard-{n // 2:03d}.tar/{n:03d}" for n in range(6)]
    assert [(s.label, s.group) for s in found] == [(label, "0") for _, _, label in PHOTOS[:6]]
    assert samples(open_source(tmp_path / "shard-*.tar")) == found
    assert samples(open_source(tmp_path)) == found


def test_a_local_folder_of_photos_is_none_and_one_of_shards_is(tmp_path: Path) -> None:
    assert find_source(write_folder(tmp_path / "photos", PHOTOS)) is None
    assert find_source(write_csv(tmp_path / "a.csv", PHOTOS)) is None
    assert find_source(tmp_path / "photos" / "blå" / "001.jpg") is None
    write_tar(tmp_path / "photos" / "other.tar", PHOTOS)
    assert find_source(tmp_path / "photos") is None
    data = tmp_path / "set" / "data"
    data.mkdir(parents=True)
    (tmp_path / "set" / "README.md").write_text("about")
    write_parquet(data / "train-0.parquet", PHOTOS)
    source = find_source(tmp_path / "set")
    assert source is not None
    assert len(samples(source)) == len(PHOTOS)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_shard_that_ends_early(mode: str, tmp_path: Path) -> None:
    """Wherever it is cut: what came before is given, and then one line says so."""
    photos = [(f"{n}", bytes([n]) * 5000, "a") for n in range(20)]
    whole = write_tar(tmp_path / f"a.tar{mode[1:].replace(':', '.')}", photos, mode=mode).read_bytes()
    assert len(content(open_source(tmp_path / "a.tar*"))) == len(photos)
    cut = tmp_path / f"cut.tar{mode[1:].replace(':', '.')}"
    for share in (0.02, 0.3, 0.6, 0.9):
        cut.write_bytes(whole[: int(len(whole) * share)])
        found = []
        with pytest.raises(DatasetError, match="the shard ends early, or is no tar file") as error:
            found += [sample for part in open_source(cut).parts() for sample in part.samples()]
        assert "\n" not in str(error.value)
    cut.write_bytes(whole[: 512 * 13 * 5] if mode == "w" else b"no tar at all")  # between two samples
    with pytest.raises(DatasetError, match="ends early"):
        samples(open_source(cut))


def test_a_parquet_file_that_ends_early(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", PHOTOS)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DatasetError, match=r"a\.parquet: ends early, or is no Parquet file"):
        samples(open_source(path))


def test_what_has_no_photo_is_an_unreadable_photo(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("1.cls", "2.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 1
            tar.addfile(info, io.BytesIO(b"a"))
    first, second = samples(open_source(tmp_path / "a.tar"))
    with pytest.raises(ImageError, match=r"a\.tar/1: its shard has no photo"):
        read_photo(first)
    assert (read_photo(second), second.label) == (b"a", "")


def test_a_table_without_images(tmp_path: Path) -> None:
    from pyarrow import parquet

    parquet.write_table(pa.table({"text": ["a"], "label": [1]}), tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match="no column holds images"):
        samples(open_source(tmp_path / "a.parquet"))


class Closed(fsspec.AbstractFileSystem):  # type: ignore[misc, name-defined]
    """A bucket to which nobody has a right."""

    protocol = "closed"

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise PermissionError("Access Denied")

    info = ls = isdir = find = glob = cat_file = _open = open = _refuse


class Unsigned(Closed):
    """One whose package has errors of its own."""

    protocol = "unsigned"

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("Unable to locate credentials\nand more")

    info = ls = isdir = find = glob = cat_file = _open = open = _refuse


@pytest.mark.parametrize("name", ["photos", "a.tar", "a.csv", "a.parquet", "shard-*.tar"])
def test_a_bucket_without_rights_is_one_line(name: str) -> None:
    fsspec.register_implementation("closed", Closed, clobber=True)
    fsspec.register_implementation("unsigned", Unsigned, clobber=True)
    with pytest.raises(DatasetError, match=r"no right to read it \(Access Denied\); check the credentials"):
        samples(open_source(f"closed://bucket/{name}"))
    with pytest.raises(DatasetError, match="Unable to locate credentials") as error:
        samples(open_source(f"unsigned://bucket/{name}"))
    assert "\n" not in str(error.value)


def test_a_photo_that_is_gone_is_unreadable_and_a_lost_right_stops(memory: Any) -> None:
    fsspec.register_implementation("closed", Closed, clobber=True)
    with pytest.raises(ImageError, match=r"memory://nowhere\.jpg: does not exist"):
        read_photo(Sample("a", "memory://nowhere.jpg"))
    with pytest.raises(DatasetError, match="no right to read it"):
        read_photo(Sample("a", "closed://bucket/a.jpg"))


def test_names_that_are_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetError, match=r"nobody://x: Protocol not known"):
        open_source("nobody://x")
    with pytest.raises(DatasetError, match="no file has such a name"):
        open_source(tmp_path / "*.tar")
    with pytest.raises(DatasetError, match="does not exist"):
        samples(open_source(tmp_path / "gone.tar"))
    with pytest.raises(DatasetError, match="counts down"):
        open_source("a-{9..1}.tar")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DatasetError, match="all of one kind"):
        open_source(tmp_path / "a.txt")
    import builtins

    original = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] in ("fsspec", "pyarrow"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    (tmp_path / "a.parquet").write_bytes(b"")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'rehead\[cloud\]'"):
        open_source("s3://bucket/a.tar")
    with pytest.raises(MissingExtraError, match=r"pip install 'rehead\[cloud\]'"):
        samples(open_source(tmp_path / "a.parquet"))


@pytest.mark.skipif(find_spec("s3fs") is not None, reason="s3fs is installed")
def test_a_protocol_whose_package_is_missing() -> None:
    with pytest.raises(MissingExtraError, match="pip install s3fs"):
        open_source("s3://bucket/a.tar")


@pytest.mark.parametrize(
    "address", ["s3://bucket/a.tar", "hf://datasets/a/b", "memory://a/b.csv", "file:///tmp/a.tar"]
)
def test_an_address_that_was_made_a_path_is_known_again(address: str) -> None:
    assert as_given(Path(address)) == address
    assert as_given(address) == address


def test_disks_are_no_addresses() -> None:
    assert as_given("C:/photos") == "C:/photos"


def test_numbers_keep_their_zeros() -> None:
    assert expand("{0..1}/a-{08..10}.tar") == [f"{k}/a-{n:02d}.tar" for k in (0, 1) for n in (8, 9, 10)]


@given(
    rows=st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=8),
            st.sampled_from(["a", "b, c", 'say "x"', "two\nlines"]),
        ),
        min_size=1,
        max_size=12,
    ),
    newline=st.sampled_from(["\n", "\r\n"]),
    part=st.integers(1, 5),
)
@settings(max_examples=60, deadline=None)
def test_a_csv_in_parts_is_the_csv(
    rows: list[tuple[str, str]], newline: str, part: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Every part begins where the one before ended, whatever is quoted."""
    from rehead.data.sources import listing

    folder = tmp_path_factory.mktemp("csv")
    text = io.StringIO(newline="")
    writer = CsvWriter(text)
    writer.writerow(["path", "label", "group"])
    for n, (group, label) in enumerate(rows):
        (folder / f"{n}.jpg").write_bytes(b"x")
        writer.writerow([f"{n}.jpg", label, group])
    table = folder / "a.csv"
    table.write_bytes(text.getvalue().replace("\r\n", "\n").replace("\n", newline).encode())
    expected, _ = read_rows(table, TableOptions())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "_PHOTOS", part)
        source = open_source(table)
        found = samples(source)
        assert len(list(source.parts())) == -(-len(rows) // part)
    assert [(s.id, s.photo, s.label, s.group) for s in found] == [
        (row.id, str(row.path), row.label, row.group) for row in expected
    ]


def test_a_csv_says_the_line(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text("path,label\na.jpg,x\n,y\n")
    with pytest.raises(DatasetError, match=r"line 3: the path is empty"):
        samples(open_source(table))
    table.write_bytes(b"path,label\na.jpg,\xff\n")
    with pytest.raises(DatasetError, match="line 2: not UTF-8"):
        samples(open_source(table))
