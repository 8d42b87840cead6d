"""Options are declared once; ranges, words and records are derived."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehead.core.options import Opt, arguments_of, check_options, options_of, options_record
from rehead.errors import DataError, UnknownNameError


@dataclass(kw_only=True)
class Parent:
    momentum: Annotated[float, Opt(help="Of SGD.", ge=0, lt=1)] = 0.9
    epochs: Annotated[int, Opt(help="At most.", ge=1, flag="--epochs -e")] = 20


@dataclass(kw_only=True)
class Child(Parent):
    epochs: int = 50
    schedule: Annotated[Literal["cosine", "constant"], Opt(help="Of the rate.")] = "cosine"
    refit: Annotated[bool, Opt(help="On all photos.")] = True
    state: str = "not an option"


def test_a_class_inherits_options_and_may_change_their_defaults() -> None:
    found = options_of(Child)
    assert list(found) == ["momentum", "epochs", "schedule", "refit"]
    assert found["epochs"].default == 50 and found["epochs"].opt is options_of(Parent)["epochs"].opt
    assert [option.flag for option in found.values()] == ["--momentum", "--epochs", "--schedule", "--refit"]


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_number_is_taken_where_it_lies_in_the_range(value: float) -> None:
    if 0 <= value < 1:
        check_options(Child(momentum=value))
    else:
        with pytest.raises(DataError, match=r"^momentum is .*; expected 0 or more and less than 1$"):
            check_options(Child(momentum=value))


@pytest.mark.parametrize("value", [0, 1.5, True, "3"])
def test_a_whole_number_is_no_other_thing(value: object) -> None:
    with pytest.raises(DataError, match=r"epochs is .*; expected a whole number, 1 or more"):
        check_options(Child(epochs=value))  # type: ignore[arg-type]


def test_a_word_that_is_unknown_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"cosin.*did you mean 'cosine'"):
        check_options(Child(schedule="cosin"))  # type: ignore[arg-type]


def test_the_words_say_what_differs_from_the_defaults() -> None:
    assert arguments_of(Child()) == []
    changed = Child(momentum=0.5, schedule="constant", refit=False, state="x")
    assert arguments_of(changed) == ["--momentum", "0.5", "--schedule", "constant", "--no-refit"]
    assert arguments_of(changed, without=["refit"])[-1] == "constant"
    assert options_record(changed) == {
        "momentum": 0.5,
        "epochs": 50,
        "schedule": "constant",
        "refit": False,
    }
