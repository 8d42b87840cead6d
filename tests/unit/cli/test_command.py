"""Commands take their flags from classes of options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from rehead.cli.command import Only, Without, command, given_in
from rehead.core.options import Opt


@dataclass(kw_only=True)
class Training:
    momentum: Annotated[float, Opt(help="Of SGD.", ge=0, le=1)] = 0.9
    epochs: Annotated[int, Opt(help="At most.", ge=1, flag="--epochs -e")] = 20


seen: list[tuple[Training, int, set[str]]] = []


@command
def train(
    context: typer.Context, use: Training, count: Annotated[int, Opt(help="How many.", default=3)]
) -> None:
    """Train."""
    seen.append((use, count, given_in(context)))


@command
def evaluate(use: Annotated[Training, Without("epochs")]) -> None:
    """Evaluate."""
    seen.append((use, 0, set()))


app = typer.Typer()
app.command()(train)
app.command()(evaluate)


def run(*words: str) -> tuple[int, str]:
    seen.clear()
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, result.output


def test_the_function_gets_an_instance() -> None:
    assert run("train") == (0, "") and seen == [(Training(), 3, set())]
    assert run("train", "-e", "5", "--count", "7")[0] == 0
    assert seen == [(Training(epochs=5), 7, {"epochs", "count"})]


def test_a_command_may_take_a_part() -> None:
    assert run("evaluate", "--momentum", "0.5")[0] == 0 and seen[0][0] == Training(momentum=0.5)
    code, said = run("evaluate", "--epochs", "5")
    assert code == 2 and "No such option" in said


def test_a_value_out_of_range_is_refused() -> None:
    code, said = run("train", "--momentum", "2")
    assert code == 2 and "--momentum" in said and not seen


def test_a_part_that_is_not_there_is_a_mistake_of_the_programmer() -> None:
    def wrong(use: Annotated[Training, Only("epoch")]) -> None: ...

    with pytest.raises(TypeError, match=r"Training has no options \['epoch'\]"):
        command(wrong)
