"""Write the pages that come from the code.

docs/cli.md comes from the help texts of the command line; docs/recipes.md from the recipes, and from what
benchmarks/recipes.py measured, docs/recipes.json.

python docs/generate.py
"""

from __future__ import annotations

import inspect
import json
import shlex
import typing
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import typer
from typer.core import TyperGroup
from typer.main import get_command
from typer.models import ArgumentInfo, OptionInfo

from rehead.cli import app
from rehead.workflows.recipes import EVERY, Recipe

__all__ = ["cli_page", "recipes_page"]

_FOLDER = Path(__file__).parent


def cli_page() -> str:
    """The page of the command line, Markdown."""
    parts = [
        "# The command line",
        "<!-- Written by docs/generate.py; change the help texts in src/rehead/cli. -->",
    ]
    parts.append(
        "A mistake of the user is one line on the error output and exit code 2; anything else that fails is "
        "a defect of rehead, and shows its traceback."
    )
    parts.append(
        "Every command takes `--max-pixels`, the limit on the pixels of a photo, 89 million by default. A "
        "JPEG counts at the scale at which it is decoded: one of 200 million pixels is read without it."
    )
    for name, function in _commands(get_command(app), "rehead"):
        parts += _section(name, function)
    return "\n\n".join(parts) + "\n"


def _commands(of: Any, prefix: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The commands of a group by their whole names, those of groups in it last."""
    groups = {name: command for name, command in of.commands.items() if isinstance(command, TyperGroup)}
    for name, command in of.commands.items():
        if name not in groups:
            yield f"{prefix} {name}", inspect.unwrap(command.callback)
    for name, group in groups.items():
        yield from _commands(group, f"{prefix} {name}")


def _section(name: str, function: Callable[..., Any]) -> Iterator[str]:
    arguments, options = [], []
    words = []
    hints = typing.get_type_hints(function, include_extras=True)
    for parameter in inspect.signature(function).parameters.values():
        if hints[parameter.name] is typer.Context:
            continue
        kind, info = typing.get_args(hints[parameter.name])
        if info.hidden:
            continue
        required = parameter.default is parameter.empty
        about = _cell(info.help or "")
        if isinstance(info, ArgumentInfo):
            many = "..." if "list" in str(kind) else ""
            word = info.metavar or (parameter.name.upper() + many)
            words.append(word if required or word.startswith("[") else f"[{word}]")
            arguments.append(f"| `{_cell(word.strip('[]'))}` | {about} |")
        else:
            flag = _flags(parameter.name, kind, info)
            if required:
                words.append(f"{flag.split(',')[0]} {parameter.name.upper()}")
            default = "required" if required else _default(parameter.default, info)
            options.append(f"| `{flag}` | {about}{_choices(kind)} | {default} |")
    yield f"## {name}"
    yield inspect.cleandoc(function.__doc__ or "")
    yield f"```text\n{' '.join([name, *words, *(['[OPTIONS]'] if options else [])])}\n```"
    if arguments:
        yield "\n".join(["| argument | |", "| --- | --- |", *arguments])
    if options:
        yield "\n".join(["| option | | default |", "| --- | --- | --- |", *options])


def _flags(name: str, kind: Any, info: OptionInfo) -> str:
    # in Annotated, typer takes the first declaration for its parameter `default`
    if isinstance(info.default, str):
        return ", ".join([info.default, *(info.param_decls or [])])
    flag = name.replace("_", "-")
    return f"--{flag} / --no-{flag}" if kind is bool else f"--{flag}"


def _choices(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " One of " + ", ".join(f"`{choice.value}`" for choice in kind) + "."
    literal = next(
        (part for part in (kind, *typing.get_args(kind)) if typing.get_origin(part) is Literal), None
    )
    return " One of " + ", ".join(f"`{word}`" for word in typing.get_args(literal)) + "." if literal else ""


def _default(value: Any, info: OptionInfo) -> str:
    if isinstance(info.show_default, str):
        return _cell(info.show_default)
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    return f"`{value.value if isinstance(value, Enum) else value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


def recipes_page() -> str:
    """The page of the recipes, Markdown."""
    record = json.loads((_FOLDER / "recipes.json").read_text("utf-8"))
    rows = [
        "| recipe | the tutorial reports | rehead got (95 % interval) | on |",
        "| --- | --- | --- | --- |",
    ]
    for recipe in EVERY:
        found = _measured(recipe, record)
        for place, (got, where) in enumerate(
            found or [("not measured", record["not_measured"][recipe.name])]
        ):
            first = (
                (f"[{recipe.name}](#{recipe.name})", recipe.reported or "not known here")
                if not place
                else ("", "")
            )
            rows.append(f"| {' | '.join([*first, got, where])} |")
    parts = [
        "# Recipes",
        "<!-- Written by docs/generate.py from src/rehead/recipes.py and docs/recipes.json. -->",
        "The settings of well-known tutorials, to try them and to compare with. `rehead recipes` lists "
        "them, `rehead train photos/ --recipe NAME --out RUN` runs one, with `pip install 'rehead[torch]'`, "
        "and `rehead keypoints train points.csv --recipe NAME --out RUN` one of keypoints; options given "
        "besides override it.",
        "**The two columns are not the same measurement.** A tutorial reports the accuracy on its validation "
        "photos, mostly those by which it stopped. What rehead got is the accuracy on test photos that chose "
        "nothing: the epoch is chosen on a fifth of the others, so the network learned from fewer photos. "
        "Where the photos are not the tutorial's, or the weights others, it says so. For keypoints it is the "
        "mean absolute error of the coordinates, as a share of the photo's side: less is better.",
        "\n".join(rows),
        "`rehead train` by itself, a linear head on frozen EfficientNet-Lite0, gets on the same test photos: "
        + "; ".join(f"{row['folder']} {_accuracy(row)}" for row in record["by_itself"])
        + ".",
        *(part for recipe in EVERY for part in _recipe_section(recipe, record)),
    ]
    return "\n\n".join(parts) + "\n"


def _measured(recipe: Recipe[Any], record: dict[str, Any]) -> list[tuple[str, str]]:
    """What was got, and on what, each time the recipe was measured."""
    found = []
    for row in record["measured"]:
        if row["recipe"] != recipe.name:
            continue
        more = f", with `{shlex.join(row['options'])}`" if row["options"] else ""
        note = f"; {row['note']}" if row["note"] else ""
        where = f"{row['folder']}: {row['trained_on']} photos to train on, {row['tested_on']} to test{note}"
        found.append((_accuracy(row) + more, where))
    return found


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def _accuracy(row: dict[str, Any]) -> str:
    """Accuracy of a classifier, error of keypoints, which needs another digit."""
    result, digits = (row["error"], 2) if "error" in row else (row["accuracy"], 1)
    value, low, high = (f"{100 * result[name]:.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} % ({low} to {high} %)" + (" off" if "error" in row else "")


def _recipe_section(recipe: Recipe[Any], record: dict[str, Any]) -> Iterator[str]:
    yield f"## {recipe.name}"
    yield f"{recipe.summary[0].upper()}{recipe.summary[1:]}. The tutorial's photos: {recipe.data}."
    if recipe.differs:
        yield f"Differs from the tutorial: {recipe.differs}."
    yield f"```text\n{recipe.command} {shlex.join(recipe.config.arguments())}\n```"
    for row in record["measured"]:
        if row["recipe"] == recipe.name:
            words = ["python", "benchmarks/recipes.py", row["folder"] + "/", recipe.name]
            words += ["--", *row["options"]] if row["options"] else []
            start = row["weights"] if row["weights"] == "random weights" else f"weights of {row['weights']}"
            maps = " on maps of the frozen network, which were taken before" * (
                recipe.config.finetune.train == "frozen"
            )
            spent = f"{row['epochs']} epochs in {_seconds(row['seconds'])} s{maps}, from {start}"
            yield f"Measured by `{shlex.join(words)}`: {spent}."


if __name__ == "__main__":
    for name, text in (("cli.md", cli_page()), ("recipes.md", recipes_page())):
        (_FOLDER / name).write_text(text, encoding="utf-8")
