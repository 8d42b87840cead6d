"""Commands are imported when they are run; the help of their group says what they do without it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from rehead.cli import app

SHOWN = """
import sys
from rehead.cli import main
try:
    main()
finally:
    print(*sorted(name for name in sys.modules if name.startswith("rehead.cli.")))
"""


def commands(group: Any, *prefix: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        yield (*prefix, name), command
        if isinstance(command, TyperGroup):
            yield from commands(command, *prefix, name)


EVERY = dict(commands(get_command(app)))


@pytest.mark.parametrize(
    ("arguments", "not_needed"),
    [
        ("--help", "train predict faces keypoints weights"),
        ("faces --help", "train faces.train faces.gallery keypoints"),
        ("weights list --help", "train faces"),
    ],
)
def test_only_what_is_run_is_imported(arguments: str, not_needed: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", SHOWN, *arguments.split()], capture_output=True, text=True, check=True
    )
    loaded = {name.removeprefix("rehead.cli.") for name in run.stdout.splitlines()[-1].split()}
    assert "lazy_group" in loaded
    assert not loaded & set(not_needed.split())


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_command_has_help_in_plain_text(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*words, "--help"], terminal_width=80)
    assert shown.exit_code == 0
    assert " ".join(words) in shown.output.splitlines()[0]
    assert EVERY[words].help
    assert "╭" not in shown.output
    assert "--install-completion" not in shown.output


def test_a_group_lists_its_commands_with_a_whole_sentence_each() -> None:
    shown = CliRunner().invoke(app, ["--help"], terminal_width=80).output
    for name in get_command(app).commands:  # type: ignore[attr-defined]
        line = next(line for line in shown.splitlines() if line.split()[:1] == [name])
        assert line.endswith(".")
        assert not line.endswith("...")
