"""Names are shown and never obeyed: verbs print by `cli.console`, CSV is written by `core.csv_cells`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import rehead

PACKAGE = Path(rehead.__file__).parent
VERBS = [
    path for path in sorted((PACKAGE / "cli").rglob("*.py")) if path.name not in ("console.py", "terminal.py")
]


def used(path: Path) -> set[str]:
    """Names that a module calls or imports, dotted."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            found.add(ast.unparse(node.func))
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return found


@pytest.mark.parametrize("path", VERBS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_verbs_print_by_the_console_only(path: Path) -> None:
    """Instead: `say`, `warn`, `print_table`, `styled`, `print_json`, `print_jsonl`, `csv_output`."""
    others = {"print", "typer.echo", "typer.secho", "sys.stdout.write", "sys.stderr.write", "csv", "json"}
    others |= {"Console", "Text", "rich.print"}
    assert not used(path) & others


def test_csv_is_written_and_read_with_safe_cells() -> None:
    for path in PACKAGE.rglob("*.py"):
        names = used(path)
        if path.name != "csv_cells.py":
            assert not names & {"csv.writer", "csv.DictWriter"}, path
        if names & {"csv.reader", "csv.DictReader"}:
            assert any(name.endswith("csv_cells.cell_text") for name in names), path
