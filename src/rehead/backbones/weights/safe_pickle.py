"""Pickles read without running them.

A pickle is a program. This machine carries out the few instructions that files of arrays consist of,
and has nothing to call: a class in the pickle is only ever a word, and every word that is not admitted is
refused by name.
"""

from __future__ import annotations

import os
import pickletools
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from ...errors import WeightsError

__all__ = ["Global", "PickleMachine", "checked", "kind_of", "pairs", "read_file"]

_T = TypeVar("_T")

# The instructions of pickle that push their argument, or a value of their own.
_PUSH_ARGUMENT = frozenset({
    "BINFLOAT", "BININT", "BININT1", "BININT2", "LONG1",
    "BINSTRING", "BINUNICODE", "SHORT_BINSTRING", "SHORT_BINUNICODE",
})  # fmt: skip
_PUSH_CONSTANT: Mapping[str, bool | None] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_PUSH_EMPTY: Mapping[str, type[Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}

# What a damaged or hostile file can make a machine and the parsers around it raise.
_BROKEN = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError,
    RuntimeError, TypeError, ValueError, zipfile.BadZipFile,
)  # fmt: skip


def read_file(path: str | os.PathLike[str], parse: Callable[[bytes], _T], what: str) -> _T:
    """What `parse` makes of the bytes of a file.

    WeightsError, which names the file, where it cannot be read, is refused, or is damaged or no `what`.
    """
    name = os.fspath(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise WeightsError(f"{name}: cannot be read ({error.strerror or error})") from error
    try:
        return parse(data)
    except WeightsError as error:
        raise WeightsError(f"{name}: {error}") from error
    except _BROKEN as error:
        reason = str(error) or type(error).__name__
        raise WeightsError(f"{name}: is damaged or no {what} ({reason}); fetch it again") from error


class Global(str):
    """An admitted name; distinct from the strings of the pickle."""

    __slots__ = ()


class PickleMachine:
    """Pickle's stack machine without its power: it makes plain values and calls nothing.

    A kind of file derives its own machine, which says what its admitted words stand for; an instruction
    whose method it leaves out is refused.

    Parameters
    ----------
    file : binary file
        What is read, from where it stands.
    admitted : collection of str
        Names "module.attribute" that may occur.
    """

    def __init__(self, file: BinaryIO, admitted: frozenset[str]) -> None:
        self._file = file
        self._admitted = admitted

    def reduced(self, name: Global, *arguments: Any) -> object:
        """What calling the named global would give, made without a call."""
        raise NotImplementedError

    def new(self, name: Global, *arguments: Any) -> object:
        """What the named class would give, made without it."""
        raise NotImplementedError

    def built(self, target: object, state: object) -> object:
        """The value on the stack once its state is set."""
        raise NotImplementedError

    def persistent(self, *identity: Any) -> object:
        """The value that the file keeps elsewhere."""
        raise NotImplementedError

    def load(self) -> object:
        """Read one pickle and leave the file behind its end."""
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks under the open marks
        self._memo: dict[int, Any] = {}
        with warnings.catch_warnings():
            # pickletools warns of odd escapes in text; what is not a weight file is refused below anyway
            warnings.simplefilter("ignore", DeprecationWarning)
            for opcode, argument, _ in pickletools.genops(self._file):
                if opcode.name == "STOP":
                    return self._stack[-1]
                self._step(opcode.name, argument)
        raise EOFError("a pickle without an end")

    def _step(self, name: str, argument: Any) -> None:
        stack = self._stack
        match name:
            case "PROTO" | "FRAME":
                pass
            case _ if name in _PUSH_ARGUMENT:
                stack.append(argument)
            case _ if name in _PUSH_CONSTANT:
                stack.append(_PUSH_CONSTANT[name])
            case _ if name in _PUSH_EMPTY:
                stack.append(_PUSH_EMPTY[name]())
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "MARK":
                self._below.append(stack)
                self._stack = []
            case "TUPLE" | "APPENDS" | "SETITEMS":
                self._stack = self._below.pop()
                _gather(name, self._stack, stack)
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                _gather("TUPLE", stack, [stack.pop() for _ in range(int(name[-1]))][::-1])
            case "APPEND":
                _gather("APPENDS", stack, [stack.pop()])
            case "SETITEM":
                _gather("SETITEMS", stack, [stack.pop(), stack.pop()][::-1])
            case _:
                self._word(name, argument)

    def _word(self, name: str, argument: Any) -> None:
        """The instructions that would look up or call something."""
        try:
            self._stack.append(self._value(name, argument))
        except NotImplementedError as error:
            raise WeightsError(
                f"refuses the pickle instruction {name}: a weight file holds tensors only"
            ) from error

    def _value(self, name: str, argument: Any) -> object:
        pop = self._stack.pop
        match name:
            case "GLOBAL":
                return self._global(argument.replace(" ", ".", 1))
            case "STACK_GLOBAL":
                attribute, module = checked(pop(), str), checked(pop(), str)
                return self._global(f"{module}.{attribute}")
            case "BINPERSID":
                return self.persistent(*pop())
            case "REDUCE":
                arguments = pop()
                return self.reduced(checked(pop(), Global), *arguments)
            case "NEWOBJ":
                arguments = pop()
                return self.new(checked(pop(), Global), *arguments)
            case "BUILD":
                state = pop()
                return self.built(pop(), state)
        raise NotImplementedError

    def _global(self, name: str) -> Global:
        if name not in self._admitted:
            raise WeightsError(f"refuses {name}: a weight file holds tensors only")
        return Global(name)


def _gather(name: str, stack: list[Any], items: list[Any]) -> None:
    """Put items into the collection on top of the stack, or on it as a tuple."""
    if name == "TUPLE":
        stack.append(tuple(items))
    elif name == "APPENDS":
        checked(stack[-1], list).extend(items)
    else:
        checked(stack[-1], dict).update(pairs(zip(items[::2], items[1::2], strict=True)))


def pairs(items: Iterable[Any]) -> dict[Any, Any]:
    """A dict whose keys are str and int only: hashing deeply nested tuples would overflow C's stack."""
    return {checked(key, str, int): value for key, value in items}


def checked(value: object, *types: type[_T]) -> _T:
    """The value, if its type is exactly one of `types`; TypeError otherwise."""
    if type(value) not in types:
        raise TypeError(f"a {kind_of(value)} stands where it cannot")
    return cast(_T, value)


def kind_of(value: object) -> str:
    """What a message calls a value."""
    return type(value).__name__.lstrip("_").lower()
