"""Commands whose parameters are taken from the declarations of options.

    @command
    def train(photos: Photos, out: Out, split: SplitOptions) -> None: ...

A parameter whose type is a class of options stands for all of them: the command line gets a flag for each,
and the function an instance. `Annotated[Owner, Only("threads")]` and `Annotated[Owner, Without("backbone")]`
take a part; what is left out keeps its default. A parameter that is annotated with an `Opt` itself is one
flag.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, is_dataclass
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from ..core.options import Option, command_line_type, declared, from_command_line, options_of

__all__ = ["MAX_PIXELS", "Only", "Without", "allow_pixels", "command", "given_in"]


def _max_pixels(*, hidden: bool) -> Any:
    return typer.Option(
        "--max-pixels",
        min=1,
        help="Limit on the pixels of a photo; 89 million by default.",
        show_default=False,
        hidden=hidden,
    )


MAX_PIXELS = _max_pixels(hidden=False)
"""An option of rehead itself, taken behind the name of a command too."""

_MAX_PIXELS = inspect.Parameter(
    "max_pixels",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[int | None, _max_pixels(hidden=True)],
)


def allow_pixels(pixels: int | None) -> None:
    """Set the limit on the pixels of a photo, where one is given."""
    if pixels is not None:
        from ..images import set_max_pixels

        set_max_pixels(pixels)


@dataclass(frozen=True, init=False)
class Only:
    """Takes these options of a class, and no others."""

    names: frozenset[str]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", frozenset(names))

    def takes(self, name: str) -> bool:
        """Whether the command takes the option of that name."""
        return name in self.names


@dataclass(frozen=True, init=False)
class Without(Only):
    """Takes all options of a class but these."""

    def takes(self, name: str) -> bool:
        """Whether the command takes the option of that name."""
        return name not in self.names


@dataclass(frozen=True)
class _Owned:
    """A parameter of the function that is an instance of a class of options."""

    owner: Any
    options: tuple[Option, ...]

    def made(self, values: dict[str, Any]) -> Any:
        """The instance; takes its values out of those of the command line."""
        return self.owner(**{option.name: _value(option, values.pop(option.name)) for option in self.options})


def command(function: Callable[..., None]) -> Callable[..., None]:
    """The function as typer takes it, with a parameter for each option; see above."""
    hints = get_type_hints(function, include_extras=True)
    parameters: list[inspect.Parameter] = []
    owned: dict[str, _Owned] = {}
    single: list[Option] = []
    for parameter in inspect.signature(function).parameters.values():
        annotation = hints[parameter.name]
        if owner := _owner(annotation):
            owned[parameter.name] = _Owned(owner, tuple(_taken(owner, annotation)))
            parameters += map(_parameter, owned[parameter.name].options)
        elif opt := declared(annotation):
            single.append(Option(parameter.name, get_args(annotation)[0], opt.default, opt))
            parameters.append(_parameter(single[-1]))
        else:
            parameters.append(parameter.replace(annotation=annotation))

    def run(*, max_pixels: int | None = None, **values: Any) -> None:
        allow_pixels(max_pixels)
        for option in single:
            values[option.name] = _value(option, values[option.name])
        function(**{name: each.made(values) for name, each in owned.items()}, **values)

    run.__name__, run.__doc__, run.__module__ = function.__name__, function.__doc__, function.__module__
    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    keywords.append(_MAX_PIXELS)
    run.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in keywords}
    return run


def given_in(context: typer.Context) -> set[str]:
    """Names of the options that stand on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name != "DEFAULT"}


def _owner(annotation: Any) -> Any:
    """The class of options that a parameter is an instance of; None where it is something else."""
    kind = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return kind if isinstance(kind, type) and is_dataclass(kind) else None


def _taken(owner: Any, annotation: Any) -> Iterator[Option]:
    part = next(
        (extra for extra in getattr(annotation, "__metadata__", ()) if isinstance(extra, Only)), Without()
    )
    known = options_of(owner)
    if unknown := part.names - set(known):
        raise TypeError(f"{owner.__name__} has no options {sorted(unknown)}")
    return (option for name, option in known.items() if part.takes(name))


@cache
def _parameter(option: Option) -> inspect.Parameter:
    """The option as a parameter that typer reads."""
    opt, kind = option.opt, command_line_type(option)
    numeric = kind in (int, float, int | None, float | None)
    said = typer.Option(
        *(opt.flag.split() or ([option.flag] if kind is not bool else [])),
        help=opt.help,
        min=opt.ge if numeric else None,
        max=opt.le if numeric else None,
        show_default=option.default not in (None, ...) if opt.shown is None else opt.shown or False,
        rich_help_panel=opt.panel,
    )
    default = inspect.Parameter.empty if option.default is ... else _word(option)
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, said]
    )


def _word(option: Option) -> Any:
    """The default as the command line has it."""
    if option.opt.sets is not None:
        return False
    if option.opt.choices is not None:
        words = {value: word for word, value in option.opt.choices.items()}
        return words.get(option.default, option.default)
    return option.default


def _value(option: Option, given: Any) -> Any:
    try:
        return from_command_line(option, given)
    except ValueError as error:
        raise typer.BadParameter(f"{given!r}; {error}", param_hint=option.flag) from error
