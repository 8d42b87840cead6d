"""Write the pages that come from the code: docs/cli.md, from the help texts of the command line.

python docs/generate.py
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer
from typer.models import ArgumentInfo, OptionInfo

from rehead.cli import app

__all__ = ["cli_page"]

_PAGE = Path(__file__).with_name("cli.md")


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
    for name, function in _commands(app, "rehead"):
        parts += _section(name, function)
    return "\n\n".join(parts) + "\n"


def _commands(of: typer.Typer, prefix: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    for command in of.registered_commands:
        if command.callback is not None:
            yield f"{prefix} {command.name or command.callback.__name__}", command.callback
    for group in of.registered_groups:
        if group.typer_instance is not None:
            yield from _commands(group.typer_instance, f"{prefix} {group.name}")


def _section(name: str, function: Callable[..., Any]) -> Iterator[str]:
    arguments, options = [], []
    words = []
    hints = typing.get_type_hints(function, include_extras=True)
    for parameter in inspect.signature(function).parameters.values():
        kind, info = typing.get_args(hints[parameter.name])
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
            default = "required" if required else _default(parameter.default)
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
    return ""


def _default(value: Any) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    return f"`{value.value if isinstance(value, Enum) else value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


if __name__ == "__main__":
    _PAGE.write_text(cli_page(), encoding="utf-8")
