"""Modules joined to one script."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import rehead
from rehead.pages import source

MODULES = sorted(path.name for path in Path(rehead.__file__).parent.joinpath("pages").glob("*.js"))


def test_imports_and_exports_are_gone() -> None:
    one = "export class A {}\nexport const b = 1;\nexport async function c() {}\n"
    two = (
        'import { A, b } from "./one.js";\nimport {\n  c,\n} from "./one.js";\nconst text = "export const";\n'
    )
    joined = source.joined_modules(one, two)
    assert not re.search(r"^(import|export)\b", joined, re.MULTILINE)
    assert "class A {}\nconst b = 1;\nasync function c() {}" in joined
    assert 'const text = "export const";' in joined


@pytest.mark.parametrize("name", MODULES)
def test_modules_can_be_joined(name: str) -> None:
    assert not re.search(r"^(import|export)\b", source.joined_modules(source.read(name)), re.MULTILINE)


def test_modules_share_a_scope() -> None:
    declared = [
        word
        for name in MODULES
        for word in re.findall(
            r"^(?:export )?(?:async )?(?:const|let|function|class) (\w+)", source.read(name), re.M
        )
    ]
    assert len(declared) == len(set(declared))


def test_colours_go_from_dark_to_light() -> None:
    colours = source.map_colours()
    assert (colours[0], colours[-1]) == ("440154", "fde725")
