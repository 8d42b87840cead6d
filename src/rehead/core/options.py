"""Options, each declared once, on the class that owns it, with its help, range and choices.

    @dataclass(kw_only=True)
    class Options:
        epochs: Annotated[int, Opt("At most.", ge=1)] = 20

All else is derived from that: the flags of the command line, their help and docs/cli.md, the checks of
values that come from Python, the words that say a configuration to the command line, and the options that
run.json records. What a class is to be given that is no option, such as a callback, has no `Opt`.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from ..errors import DataError, UnknownNameError
from .preprocess import GreyRange, grey_range

__all__ = [
    "NETWORK",
    "BackboneOptions",
    "EstimatorOptions",
    "Opt",
    "Option",
    "arguments_of",
    "check_options",
    "command_line_type",
    "declared",
    "from_command_line",
    "option_values",
    "options_of",
    "options_record",
]

NETWORK = "The network itself (pip install 'rehead[torch]')"
"""Heading in the help above what fine-tuning takes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Opt:
    """How an option is said, and which values it takes.

    Parameters
    ----------
    help : str
        One sentence for the command line.
    ge, gt, le, lt : float, optional
        Least and largest values, and bounds that are not reached.
    choices : mapping of str to object, optional
        Words of the command line and what they stand for, where those are no strings.
    parse : callable, optional
        A word of the command line to a value; ValueError says what was expected.
    flag : str
        On the command line, where it is not the name: "--folds", "--out -o".
    sets : object, optional
        The flag takes no value: giving it sets this one.
    cli : type, optional
        What the command line makes of a word, where Python callers may give more.
    shown : str, optional
        The default as the help says it; "" for none.
    panel : str, optional
        Heading in the help that it stands under.
    default : object, optional
        Of an argument of a command, which no class owns; `...` where it has to be given.
    """

    help: str
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    choices: Mapping[str, Any] | None = None
    parse: Callable[[str], Any] | None = None
    flag: str = ""
    sets: Any = None
    cli: Any = None
    shown: str | None = None
    panel: str | None = None
    default: Any = ...


@dataclass(frozen=True, eq=False)
class Option:
    """A declared option, resolved.

    Parameters
    ----------
    name : str
        In Python.
    kind : type
        Its annotation, without the `Opt`.
    default : object
        `...` where it has to be given.
    opt : Opt
    """

    name: str
    kind: Any
    default: Any
    opt: Opt

    @property
    def flag(self) -> str:
        """As it is typed: "--test-share"."""
        return (
            self.opt.flag.replace("/", " ").split()[0]
            if self.opt.flag
            else "--" + self.name.replace("_", "-")
        )

    @property
    def literals(self) -> tuple[Any, ...]:
        """Every value that it takes, where these are listed; empty otherwise."""
        if self.opt.choices is not None:
            return tuple(self.opt.choices.values())
        kinds = [kind for kind in _alternatives(self.kind) if kind is not NoneType]
        return get_args(kinds[0]) if len(kinds) == 1 and get_origin(kinds[0]) is Literal else ()

    @property
    def is_flag(self) -> bool:
        """Whether it takes no value on the command line."""
        return self.opt.sets is not None or (self.opt.cli or self.kind) is bool

    def words(self, value: Any) -> list[str]:
        """What says this value on the command line."""
        if self.is_flag:
            if self.opt.sets is not None:
                return [self.flag] if value == self.opt.sets else []
            return [self.flag if value else self.flag.replace("--", "--no-", 1)]
        if self.opt.choices is not None and not isinstance(value, tuple):
            return [
                self.flag,
                next(word for word, stands_for in self.opt.choices.items() if stands_for == value),
            ]
        if isinstance(value, bool):
            return [self.flag, "yes" if value else "no"]
        return [self.flag, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]

    def check(self, value: Any) -> None:
        """Refuse a value that is out of range or none of the choices; DataError, UnknownNameError."""
        if value is None and NoneType in _alternatives(self.kind):
            return
        if self.opt.parse is None:
            self._check_choice(value)
        self._check_range(value)

    def _check_choice(self, value: Any) -> None:
        known = self.literals
        words = all(isinstance(one, str) for one in known)
        if not known or any(type(value) is type(one) and value == one for one in known):
            return
        if words and not isinstance(value, str) and self.opt.choices is not None:
            return  # Python callers may give the thing itself instead of its name
        if words and len(known) > 1 and isinstance(value, str):
            raise UnknownNameError(self.name, value, known)
        listed = [*["None"][: NoneType in _alternatives(self.kind)], *map(repr, known)]
        raise DataError(f"{self.name} is {value!r}; expected {' or '.join(listed)}")

    def _check_range(self, value: Any) -> None:
        limits, words = self._limits(), _words_of(self.kind)
        if not limits or (isinstance(value, str) and value in words):
            return
        kinds = _alternatives(self.kind)
        whole = int in kinds and float not in kinds
        number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not number or not all(holds(value) for holds, _ in limits):
            said = " and ".join(words for _, words in limits)
            said = f"a whole number, {said}" if whole else said
            expected = " or ".join([*map(repr, words), said])
            raise DataError(f"{self.name} is {value!r}; expected {expected}")

    def _limits(self) -> list[tuple[Callable[[float], bool], str]]:
        opt, found = self.opt, list[tuple[Callable[[float], bool], str]]()
        if (least := opt.ge) is not None:
            found.append((lambda value: value >= least, f"{least} or more"))
        if (below := opt.gt) is not None:
            found.append((lambda value: value > below, f"more than {below}"))
        if (most := opt.le) is not None:
            found.append((lambda value: value <= most, f"at most {most}"))
        if (above := opt.lt) is not None:
            found.append((lambda value: value < above, f"less than {above}"))
        return found


def _grey_range(word: str) -> str | GreyRange:
    if word == "auto":
        return word
    with contextlib.suppress(ValueError, DataError):
        return grey_range([float(part) for part in word.split(",")])
    raise ValueError("expected auto, or two numbers such as 0,4095")


@dataclass(kw_only=True, repr=False, eq=False)
class BackboneOptions:
    """Which pretrained network an estimator stands on."""

    backbone: Annotated[
        str | os.PathLike[str],
        Opt(
            help="A name of `rehead weights list` or of timm (needs rehead[torch]), or an ONNX file.",
            cli=str,
        ),
    ] = field(default="efficientnet_lite0", kw_only=False)
    weights: Annotated[
        str | os.PathLike[str] | None,
        Opt(help="Weight file of the named backbone, instead of looking for it.", cli=Path | None),
    ] = None
    size: Annotated[int | None, Opt(help="Side of the square that photos are brought to, pixels.", ge=1)] = (
        None
    )
    grey_range: Annotated[
        Literal["auto"] | GreyRange,
        Opt(
            help="Black and white of grey photos of more than 8 bits, such as 0,4095; auto: by the largest.",
            parse=_grey_range,
        ),
    ] = "auto"


@dataclass(kw_only=True, repr=False, eq=False)
class EstimatorOptions:
    """What every estimator takes."""

    cv: Annotated[
        int, Opt(help="Folds of the cross-validation that chooses the head.", ge=2, flag="--folds")
    ] = 5
    coverage: Annotated[
        float, Opt(help='Share of known photos to answer rather than call "unknown".', gt=0, le=1)
    ] = 0.95
    random_state: Annotated[
        int, Opt(help="Of the split, the folds and the training.", ge=0, flag="--seed")
    ] = 0
    threads: Annotated[int | None, Opt(help="Processors to use; all by default.", ge=1)] = None


_RESOLVED: dict[type[Any], dict[str, Option]] = {}
_HINTS: dict[type[Any], dict[str, Any]] = {}


def options_of(owner: type[Any]) -> Mapping[str, Option]:
    """The options that a dataclass declares or inherits, by their names, in order.

    A class that gives an inherited option another default annotates it with its plain type.
    """
    if owner in _RESOLVED:
        return _RESOLVED[owner]
    found = _RESOLVED[owner] = dict[str, Option]()
    hints = [_own_hints(base) for base in owner.__mro__]
    for each in fields(owner):
        hint = next((own[each.name] for own in hints if declared(own.get(each.name))), None)
        if opt := declared(hint):
            found[each.name] = Option(each.name, get_args(hint)[0], each.default, opt)
    return found


def _own_hints(base: type[Any]) -> dict[str, Any]:
    """The annotations of a class, without those that it inherits."""
    if base not in _HINTS:
        _HINTS[base] = inspect.get_annotations(base, eval_str=True) if is_dataclass(base) else {}
    return _HINTS[base]


def declared(annotation: Any) -> Opt | None:
    """The `Opt` of an annotation; None where it has none."""
    if get_origin(annotation) is not Annotated:
        return None
    return next((extra for extra in annotation.__metadata__ if isinstance(extra, Opt)), None)


def option_values(owner: Any) -> dict[str, Any]:
    """The values of an instance's options, by their names."""
    return {name: getattr(owner, name) for name in options_of(type(owner))}


def check_options(owner: Any) -> None:
    """Refuse values of an instance that are out of range or unknown; DataError, UnknownNameError."""
    for name, option in options_of(type(owner)).items():
        option.check(getattr(owner, name))


def arguments_of(owner: Any, without: Iterable[str] = ()) -> list[str]:
    """The words of a command line that say an instance's options, as far as they differ from the defaults."""
    words = []
    for name, option in options_of(type(owner)).items():
        if (value := getattr(owner, name)) != option.default and name not in without:
            words += option.words(value)
    return words


def options_record(owner: Any) -> dict[str, Any]:
    """An instance's options as run.json has them."""
    return {name: _plain(value) for name, value in option_values(owner).items()}


def _plain(value: Any) -> Any:
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    known = value is None or isinstance(value, str | int | float | list | tuple | dict)
    return value if known else type(value).__name__


def _alternatives(kind: Any) -> tuple[Any, ...]:
    """The members of a union, or the one type."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _words_of(kind: Any) -> tuple[str, ...]:
    """Words that stand for values beside numbers: "auto"."""
    return tuple(
        word for part in _alternatives(kind) if get_origin(part) is Literal for word in get_args(part)
    )


def command_line_type(option: Option) -> Any:
    """What the command line makes of a word for this option."""
    if option.opt.sets is not None:
        return bool
    if option.opt.choices is not None:
        words: Any = Literal[tuple(option.opt.choices)]
        return words if option.default is not None else words | None
    return option.opt.cli or (str if option.opt.parse else option.kind)


def from_command_line(option: Option, value: Any) -> Any:
    """The value that the command line's word stands for; ValueError where it stands for none."""
    opt = option.opt
    if opt.sets is not None:
        return opt.sets if value else option.default
    if isinstance(value, str) and opt.parse is not None:
        return opt.parse(value)
    if isinstance(value, str) and opt.choices is not None:
        return opt.choices[value]
    if value != value:  # typer's ranges let NaN pass
        raise ValueError("expected a number")
    return value
