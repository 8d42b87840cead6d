"""Tables of words, and the words that pages ask them for."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import rehead
from rehead.pages import source
from rehead.pages import words as module
from rehead.pages.words import words

SOURCE = Path(rehead.__file__).parent
SHARED = json.loads((SOURCE / "pages" / "words" / "en.json").read_text("utf-8"))


def used(folder: Path) -> tuple[set[str], set[str]]:
    """The keys that files of a page ask for, and how keys begin that they put together."""
    text = "\n".join(path.read_text("utf-8") for path in folder.rglob("*") if path.suffix in (".js", ".j2"))
    asked = re.findall(r"""\bword\(\s*"([^"]+)\"""", text) + re.findall(r"""words\["([^"]+)"\]""", text)
    asked += [
        key for pair in re.findall(r"""word\([^()"]*\? "([^"]+)" : "([^"]+)"\)""", text) for key in pair
    ]
    counts = re.findall(r"""\bcounted\("([^"]+)\"""", text)
    return {*asked, *(f"{key}.other" for key in counts)}, {*re.findall(r"""\bword\(`([\w.]+)\$\{""", text)}


def test_the_page_of_a_service_has_all_its_words_and_no_others() -> None:
    own = json.loads((SOURCE / "serving" / "words" / "en.json").read_text("utf-8"))
    asked, begun = used(SOURCE / "serving" / "page")
    assert {key for key in asked if key not in own and key not in SHARED} == set()
    rest = {key for key in own if key not in asked and not key.startswith(tuple(begun))}
    assert {key for key in rest if f"{key.rpartition('.')[0]}.other" not in asked} == set()
    assert not own.keys() & SHARED.keys()


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {"en": {"yes": "yes", "no": "no"}, "de": {"yes": "ja"}, "pt-br": {"yes": "sim"}}
    monkeypatch.setattr(module, "_tables", lambda _: made)


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9", "de"),
        ("fr, de;q=0.5, en;q=0.7", "en"),
        ("fr;q=0.9, pt-BR;q=0.8", "pt-br"),
        ("de;q=0", "en"),
        ("de;q=x, *;q=0.1", "en"),
        ("," * 5000, "en"),
    ],
)
@pytest.mark.usefixtures("tables")
def test_the_language_is_the_first_that_is_there(accepted: str, language: str) -> None:
    assert words("rehead.serving", accepted).language == language


@pytest.mark.usefixtures("tables")
def test_a_word_that_is_not_translated_is_english() -> None:
    found = words("rehead.serving", "de")
    assert (found["yes"], found["no"]) == ("ja", "no")


def test_no_word_ends_the_block_that_it_stands_in() -> None:
    found = module.Words("en", {"a": "</script><b>"})
    block = source.render(lambda _: "{{ words.table | tojson }}", "page.html", words=found)
    assert "<" not in block
    assert json.loads(block) == found.table
