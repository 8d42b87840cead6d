"""Names of classes that are probably one class, or several in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset_files import lay, table
from rehead.audit.class_names import name_issues
from rehead.data import check_trainable, read_dataset
from rehead.data.class_names import check_folder_name, joined_names, similar_names
from rehead.errors import DataError, DatasetError


def test_names_that_differ_in_case_or_spaces_only() -> None:
    names = ["Cat", "cat ", "dog", "red  fish", "Red fish", "STRASSE", "straße", "dogs"]
    assert similar_names(names) == [("Cat", "cat "), ("Red fish", "red  fish"), ("STRASSE", "straße")]
    assert similar_names(["cat", "dog"]) == []


@pytest.mark.parametrize(
    ("counts", "joined"),
    [
        ({"round;red": 5, "round;blue": 5, "square": 5}, ("round;blue", "round;red")),
        ({"a|b": 3, "a": 20, "b": 5}, ("a|b",)),
        ({"a|b": 2, "a": 20, "b": 5}, ()),  # too few to say
        ({"size;10": 9, "colour;red": 9}, ()),  # no label is there twice
        ({"Smith, John": 9, "Smith, Jane": 9}, ()),
        ({";": 9, "a;": 9, "a": 9}, ()),
        ({}, ()),
    ],
)
def test_names_that_hold_several_labels(counts: dict[str, int], joined: tuple[str, ...]) -> None:
    assert joined_names(counts) == joined


def test_both_are_issues_of_an_audit(tmp_path: Path) -> None:
    lay(tmp_path, *(f"{n}.jpg" for n in range(6)))
    labels = ["Cat", "cat", "cat", "a;b", "a;c", "a;c"]
    data = read_dataset(table(tmp_path, "path;label", *(f'{n}.jpg;"{x}"' for n, x in enumerate(labels))))
    alike, several = name_issues(data)
    assert alike.labels == ("Cat", "cat")
    assert alike.detail.startswith("differ in case or spaces only (photos: 1, 2)")
    assert several.labels == ("a;b", "a;c")
    assert "a photo has one class here" in several.detail
    with pytest.raises(DatasetError, match=r"'Cat', 'a;b' have 1 photo .* these names hold several labels"):
        check_trainable(data)


@pytest.mark.parametrize(
    "name", ["cat", "blå", "red fish", "Smith, John", "a;b", "猫", "con artist", "x" * 200]
)
def test_names_that_a_folder_can_have(name: str, tmp_path: Path) -> None:
    check_folder_name(name)
    (tmp_path / name).mkdir()


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            " ",
            ".",
            "..",
            "../x",
            "a/b",
            "a\\b",
            "/etc",
            "c:x",
            "a\0b",
            "a\nb",
            "a\u202eb",
            "\ud800",
            "a?",
        ),
        *("unknown", ".hidden", "end.", "end ", " start", "con", "NUL.jpg", "com1", "x" * 201, "ä" * 101),
    ],
)
def test_names_that_not_every_system_takes(name: str) -> None:
    with pytest.raises(DataError):
        check_folder_name(name)
