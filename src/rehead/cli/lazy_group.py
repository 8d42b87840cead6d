"""Groups whose commands are imported when they are run, or when their own help is shown.

Importing every command and building its options took a third of `rehead --help` and of `rehead predict`
(benchmarks/startup.py).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from .help import GroupedCommand

__all__ = ["lazy_group", "plain_app"]


def lazy_group(package: str, summaries: Mapping[str, str], **options: Any) -> typer.Typer:
    """A group of commands.

    Parameters
    ----------
    package : str
        Holds a module of each command's name. A module with an `app` is a group itself; of another, the
        function of the command's name is run.
    summaries : mapping of str to str
        The commands, in the order of the help, and a line on each, which is all of the help of a group.
    options
        Of `plain_app`.
    """

    class Group(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            self.commands = _Commands(package, summaries)

        def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the base class's
            return list(summaries)

        def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
            with formatter.section("Commands"):
                formatter.write_dl(list(summaries.items()))

    return plain_app(cls=Group, no_args_is_help=True, **options)


def plain_app(**options: Any) -> typer.Typer:
    """A `typer.Typer` with these options, whose help is plain text."""
    return typer.Typer(**{"rich_markup_mode": None, "add_completion": False, **options})


class _Commands(MutableMapping[str, Any]):
    """Commands by name, each imported when it is asked for."""

    def __init__(self, package: str, summaries: Mapping[str, str]) -> None:
        self._package, self._summaries = package, summaries
        self._loaded: dict[str, Any] = dict.fromkeys(summaries)

    def __getitem__(self, name: str) -> Any:
        if self._loaded[name] is None:
            module = importlib.import_module(f"{self._package}.{name}")
            if app := getattr(module, "app", None):
                command: Any = get_group(app)
                command.help = self._summaries[name]
            else:
                app = plain_app()
                app.command(name, cls=GroupedCommand)(getattr(module, name))
                command = get_command(app)
            self._loaded[name] = command
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded)

    def __len__(self) -> int:
        return len(self._loaded)
