"""The page of a folder of people, drawn from the values that its writer hands over."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehead.faces.evaluation.report import write_people_report


def page(path: Path, issues: list[tuple[str, str]] | None, by_chance: float = 0.0) -> str:
    write_people_report(
        path,
        title="people",
        sentence="Too few photos.",
        people=2,
        photos=4,
        openset=None,
        issues=issues,
        by_chance=by_chance,
        failed=[],
        run={"date": "2026-01-01", "versions": {"rehead": "1"}},
    )
    return path.read_text("utf-8")


def test_every_issue_is_listed_with_its_photo(tmp_path: Path) -> None:
    found = [("'ann' may be 'bob'", ""), ("this photo of 'ann' looks like 'bob'", "ann/3.jpg")]
    html = page(tmp_path / "report.html", found, by_chance=3.0)
    assert "Photos and labels to check" in html
    assert "‘ann’ may be ‘bob’" in html
    assert "<bdi>ann/3.jpg</bdi>" in html
    assert "up to 3 pairs of different people" in html


@pytest.mark.parametrize(("issues", "shown"), [([], True), (None, False)])
def test_none_found_is_said_and_not_looked_for_is_not(
    tmp_path: Path, issues: list[tuple[str, str]] | None, shown: bool
) -> None:
    html = page(tmp_path / "report.html", issues)
    assert ("Photos and labels to check" in html) is shown
    assert ("None: every photo" in html) is shown
