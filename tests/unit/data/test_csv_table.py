from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from dataset_files import lay, refusal, rows, table
from rehead.data import read_dataset
from rehead.data.options import TableOptions
from rehead.errors import DatasetError, ImageError
from rehead.images import read_bytes


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_a_csv_is_read(tmp_path: Path, delimiter: str, end: str, bom: str) -> None:
    lay(tmp_path, "a/1.jpg", "2, too.jpg", "3.jpg")
    lines = [
        ["Label", " PATH ", "Split", "group", "remark"],
        [" dog", "3.jpg", "Validation", "Anna", "x"],
        [],
        ["cat", "a/1.jpg", "train", "", ""],
        ["cat", '"2, too.jpg"', "", "Anna"],
    ]
    (tmp_path / "x.CSV").write_bytes((bom + end.join(delimiter.join(line) for line in lines)).encode())
    data = read_dataset(tmp_path / "x.CSV")
    assert rows(data) == [
        ("2, too.jpg", "cat", "", "Anna"),
        ("3.jpg", "dog", "val", "Anna"),
        ("a/1.jpg", "cat", "train", ""),
    ]
    assert data.root == tmp_path


def test_paths_are_relative_to_the_csv_and_absolute_elsewhere(tmp_path: Path) -> None:
    lay(tmp_path, "in/a.jpg", "in/b.jpg", "in/win/c.jpg", "in/ d.jpg", "out/e.jpg")
    csv = table(
        tmp_path / "in",
        "path,label",
        "./a.jpg,x",
        f"{tmp_path / 'in' / 'b.jpg'},x",
        "win\\c.jpg ,x",
        '" d.jpg",x',
        "../out/e.jpg,x",
    )
    data = read_dataset(csv)
    outside = (tmp_path / "out" / "e.jpg").as_posix()
    assert set(data.ids) == {"a.jpg", "b.jpg", "win/c.jpg", " d.jpg", outside}
    assert all(path.is_file() for path in data.paths)


def test_a_csv_and_its_files_may_compose_differently(tmp_path: Path) -> None:
    lay(tmp_path, unicodedata.normalize("NFD", "é.jpg"))
    data = read_dataset(table(tmp_path, "path,label", unicodedata.normalize("NFC", "é.jpg,ü")))
    assert rows(data) == [(unicodedata.normalize("NFC", "é.jpg"), unicodedata.normalize("NFC", "ü"), "", "")]
    assert data.paths[0].is_file()


def test_rows_that_are_not_kept_are_listed_and_not_checked(tmp_path: Path) -> None:
    lay(tmp_path, "1.jpg", "2.jpg")
    lines = ("path,label,keep", "1.jpg,a,yes", "2.jpg,b,", "1.jpg,b,no", "gone.jpg,,FALSE", "2.jpg,a,0")
    data = read_dataset(table(tmp_path, *lines))
    assert rows(data) == [("1.jpg", "a", "", ""), ("2.jpg", "b", "", "")]
    assert data.left_out == ("1.jpg", "2.jpg", "gone.jpg")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((), ["the file is empty", "path,label"]),
        (("", "  "), ["the file is empty"]),
        (("path,label",), ["no photo is listed"]),
        (("path,label,keep", "1.jpg,a,no"), ["no photo is listed"]),
        (
            ("filename,label", "1.jpg,a"),
            [
                "no column 'path'",
                "found: 'filename', 'label'",
                "did you mean 'filename'?",
            ],
        ),
        (
            ("path,class", "1.jpg,a"),
            ["no column 'label'", "did you mean 'class'? Say it with --label-column class"],
        ),
        (("path,lable", "1.jpg,a"), ["no column 'label'", "did you mean 'lable'?"]),
        (("1.jpg,a", "2.jpg,b"), ["no column 'path'", "the first line must be path,label"]),
        (("path,label,Label", "1.jpg,a,b"), ["2 columns are called 'label'"]),
        (("path,label", "1.jpg,a", "", "2.jpg, "), ["line 4", "the label is empty"]),
        (("path,label", "1.jpg"), ["line 2", "the label is empty"]),
        (("path,label", ",a"), ["line 2", "the path is empty"]),
        (("path,label,split", "1.jpg,a,dev"), ["line 2", "split is 'dev'", "train, val or test"]),
        (("path,label,keep", "1.jpg,a,maybe"), ["line 2", "keep is 'maybe'", "yes or no"]),
        (("path,label", "1.jpg,a", "./1.jpg,a"), ["'1.jpg' is listed twice, lines 2 and 3; remove one"]),
        (("path,label", "1.jpg,a", "2.jpg,a", "1.jpg,b"), ["listed twice, lines 2 and 4, as 'a' and as 'b'"]),
        (("path,label", "1.jpg,a", "sub,b"), ["line 3", "'sub' is a folder"]),
        (("path,label", "1.jpg,a,b"), ["line 2", "3 cells under 2 columns"]),
        (("path,label", '"1.jpg,a'), ["line 2", "no valid CSV"]),
        (("path,label", "g.jpg,a"), ["none of its 1 photo exists (line 2: 'g.jpg')", "--root"]),
        (
            ("path,label", *(f"{i}.png,a" for i in range(9))),
            ["none of its 9 photos", "line 6: '4.png', ...)"],
        ),
        (("path,label", "3.jpg,a"), ["did you mean --root", "sub?"]),
        (("path,label", "1,a", "2,b"), ["did you mean --suffix .jpg?"]),
        (
            ("image_id,breed", "1,a"),
            ["no column 'path'", "did you mean 'image_id'", "--path-column image_id"],
        ),
        (("path,dog kind", "1.jpg,a"), ["no column 'label'", "--label-column 'dog kind'"]),
    ],
)
def test_a_csv_error_says_where(tmp_path: Path, lines: tuple[str, ...], expected: list[str]) -> None:
    lay(tmp_path, "1.jpg", "2.jpg", "sub/3.jpg")
    message = refusal(table(tmp_path, *lines))
    for part in expected:
        assert part in message


@pytest.mark.parametrize(
    ("data", "line"),
    [("path,label\na.jpg,caf\u00e9".encode("latin-1"), 2), ("path,label".encode("utf-16"), 1)],
)
def test_a_csv_that_is_not_utf8_is_refused(tmp_path: Path, data: bytes, line: int) -> None:
    (tmp_path / "x.csv").write_bytes(data)
    assert f"line {line}: not UTF-8" in refusal(tmp_path / "x.csv")


def test_columns_of_any_name_a_root_and_an_ending(tmp_path: Path) -> None:
    lay(tmp_path, "train/000a.jpg", "train/b.JPG", "train/sub/c.jpg")
    csv = table(
        tmp_path,
        "image_id,breed,fold,dog",
        "000a,pug,train,Rex",
        "b.JPG,pug,test,Rex",
        "sub\\c,beagle,train,Ada",
        name="labels.csv",
    )
    options = TableOptions(
        path_column="Image_ID",
        label_column="breed",
        split_column="fold",
        group_column="dog",
        root=tmp_path / "train",
        suffix=".jpg",
    )
    data = read_dataset(csv, options)
    assert rows(data) == [
        ("000a.jpg", "pug", "train", "Rex"),
        ("b.JPG", "pug", "test", "Rex"),
        ("sub/c.jpg", "beagle", "train", "Ada"),
    ]
    assert (data.root, data.source) == (tmp_path / "train", csv)
    assert all(path.is_file() for path in data.paths)


def test_a_column_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    csv = table(tmp_path, "path,label,subset", "1.jpg,a,train")
    with pytest.raises(
        DatasetError, match=r"no column 'sub_set' .* did you mean 'subset'\? Say it with --split"
    ):
        read_dataset(csv, TableOptions(split_column="sub_set"))
    with pytest.raises(DatasetError, match="this is a folder; --root, --suffix need a CSV"):
        read_dataset(tmp_path, TableOptions(root=tmp_path, suffix=".png"))


def test_rows_without_a_file_stay_and_reading_them_fails(tmp_path: Path) -> None:
    lay(tmp_path, "1.jpg")
    data = read_dataset(table(tmp_path, "path,label", "1.jpg,a", "gone.jpg,a"))
    assert data.ids == ("1.jpg", "gone.jpg")
    with pytest.raises(ImageError, match="there is no such file"):
        read_bytes(data.paths[1])
