"""What training says: few warnings, and where the others stand."""

from __future__ import annotations

import pytest

from rehead.cli.train import show_warnings


def test_three_warnings_at_most_and_where_the_others_are(capsys: pytest.CaptureFixture[str]) -> None:
    show_warnings([f"[b]warning {n}" for n in range(5)], "in run/report.html")
    said = capsys.readouterr().out.splitlines()
    assert said == [*(f"! [b]warning {n}" for n in range(3)), "  and 2 more in run/report.html"]
    show_warnings(["one"], "in run/report.html")
    assert capsys.readouterr().out == "! one\n"
