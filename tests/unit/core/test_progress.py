"""A bar in a notebook, and nothing elsewhere; IPython is told from what is loaded, never imported."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehead.core.progress import in_notebook, progress_bar, tracked
from rehead.core.values import AnswerList

Shown = list[dict[str, str]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Time passes only when this is called."""
    now = [0.0]
    monkeypatch.setattr("rehead.core.progress.time.monotonic", lambda: now[0])

    def later(seconds: float) -> None:
        now[0] += seconds

    return later


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """IPython as a kernel has it; what it was told to show, in order."""
    shown: Shown = []

    class Handle:
        def update(self, data: dict[str, str], *, raw: bool) -> None:
            assert raw
            shown.append(data)

    def display(data: dict[str, str], *, raw: bool, display_id: bool) -> Handle:
        assert raw and display_id
        shown.append(data)
        return Handle()

    ipython: Any = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    ipython.display = types.SimpleNamespace(display=display)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    return shown


def test_a_plain_process_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not in_notebook()
    with progress_bar(None, "Looking") as report:
        assert report is None
    assert "IPython" not in sys.modules


@pytest.mark.parametrize("shell", [None, types.SimpleNamespace()], ids=["imported only", "in a terminal"])
def test_ipython_without_a_kernel_is_no_notebook(monkeypatch: pytest.MonkeyPatch, shell: object) -> None:
    ipython: Any = types.ModuleType("IPython")
    ipython.get_ipython = lambda: shell
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert not in_notebook()


def test_a_half_loaded_ipython_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    assert not in_notebook()


def test_a_long_step_shows_a_bar_that_ends_as_a_line(notebook: Shown, clock: Callable[[float], None]) -> None:
    with progress_bar(None, "Looking at <b>") as report:
        assert report is not None
        for done in range(1, 5):
            clock(1)
            report(done, 4)
    *bars, line = notebook
    assert [bar["text/plain"] for bar in bars] == [f"Looking at <b>: {n} of 4" for n in range(1, 5)]
    assert all("<progress" in bar["text/html"] and "<b>" not in bar["text/html"] for bar in bars)
    assert "<progress" not in line["text/html"]
    assert line["text/plain"].startswith("Looking at <b>: 4 of 4 photos in 4.0")


def test_a_quick_step_shows_nothing(notebook: Shown, clock: Callable[[float], None]) -> None:
    assert list(tracked(range(3), 3, None, "Looking")) == [0, 1, 2]
    assert notebook == []


def test_a_bar_is_not_drawn_more_often_than_it_is_seen(
    notebook: Shown, clock: Callable[[float], None]
) -> None:
    clock(1)
    with progress_bar(None, "Looking") as report:
        assert report is not None
        clock(1)
        for done in range(1000):
            report(done, 1000)
    assert len(notebook) == 2


def test_a_step_that_fails_says_how_far_it_came(notebook: Shown, clock: Callable[[float], None]) -> None:
    def items() -> Any:
        for n in range(9):
            clock(1)
            if n == 3:
                raise OSError
            yield n

    with pytest.raises(OSError):
        list(tracked(items(), 9, None, "Looking"))
    assert notebook[-1]["text/plain"].startswith("Looking: 3 of 9 photos in")


def test_a_callback_takes_the_place_of_the_bar(notebook: Shown, clock: Callable[[float], None]) -> None:
    calls: list[tuple[int, int]] = []
    for _ in tracked("abc", 5, lambda done, total: calls.append((done, total)), "Looking", done=2):
        clock(1)
    assert calls == [(3, 5), (4, 5), (5, 5)]
    assert notebook == []


@given(st.lists(st.integers()), st.integers(-9, 9), st.integers(-9, 9), st.sampled_from([1, 2, -1]))
def test_slices_of_answers_are_answers(items: list[int], start: int, stop: int, step: int) -> None:
    answers: AnswerList[int] = AnswerList(items)
    part = answers[start:stop:step]
    assert part == items[start:stop:step]
    assert type(part) is AnswerList
    assert isinstance(answers, list) and answers == items
