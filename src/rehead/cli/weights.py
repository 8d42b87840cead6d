"""`rehead weights`: which pretrained weights there are, which are here, and whether they are intact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.options import Opt
from . import options
from .command import command
from .console import print_json, print_table, say
from .lazy_group import plain_app

if TYPE_CHECKING:
    from ..backbones.weights.spec import WeightFile, WeightSpec

__all__ = ["app"]

# The commands import what they need themselves: `--help` loads neither numpy nor rich's tables.

app = plain_app(no_args_is_help=True)

_COLUMNS = ("name", "size", "MB", "licence", "speed", "top-1", "with", "here")
_NUMBERS = ("size", "MB", "top-1")


@app.command("list")
@command
def list_(
    faces: Annotated[
        bool,
        Opt(
            help="Those of face detectors and embedders instead of backbones.", flag="--faces", default=False
        ),
    ],
    as_json: options.Json,
) -> None:
    """List the pretrained weights and where they are."""
    from ..backbones.weights import faces as face_files
    from ..backbones.weights import registry

    if faces:
        records = [_file_record(face_files.get(name)) for name in face_files.names()]
    else:
        records = [_record(registry.get(name)) for name in registry.every_name()]
    if as_json:
        print_json(records)
    elif faces:
        _print_faces(records)
    else:
        _print_table(records)


@app.command()
def pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Weights, as `list` names them.")],
) -> None:
    """Fetch weights, so that they are here when there is no network."""
    from ..backbones.weights import locate

    for spec in [_named(name) for name in names]:
        if locate.is_here(spec) is None:
            say(f"fetching {spec.name}" + (f", {spec.size / 1e6:.1f} MB" if spec.size else ""), err=True)
        path = locate.locate(spec)
        say(f"{spec.name}  {locate.is_here(spec)}  {path}")


@app.command(short_help="Compare the sha256 of weights with the published one.")
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="Weights; all by default.", show_default=False),
    ] = None,
) -> None:
    """Compare the sha256 of all weights that are here with the published one."""
    from ..backbones.weights import faces as face_files
    from ..backbones.weights import locate, registry
    from ..errors import HashMismatchError

    mismatches = []
    for spec in [_named(name) for name in names or (*registry.every_name(), *face_files.names())]:
        copies = list(locate.copies(spec))
        for copy in copies:
            try:
                locate.check(spec, copy)
                result = "ok" if spec.sha256 else "no digest to compare with"
            except HashMismatchError as error:
                mismatches.append(str(error))
                result = "mismatch"
            say(f"{spec.name}  {result}  {copy.where}  {copy.path}")
        if not copies:
            say(f"{spec.name}  not here")
    if mismatches:
        raise HashMismatchError(". ".join(mismatches))


def _named(name: str) -> WeightFile:
    """Weights of a backbone or of the faces' room."""
    from ..backbones.weights import faces as face_files
    from ..backbones.weights import registry

    return face_files.get(name) if name in face_files.names() else registry.get(name)


def _record(spec: WeightSpec) -> dict[str, Any]:
    return {**_file_record(spec), "speed": spec.speed}


def _file_record(spec: WeightFile) -> dict[str, Any]:
    from dataclasses import asdict

    from ..backbones.weights import locate

    sources = [{"kind": type(source).__name__.lower(), **asdict(source)} for source in spec.sources]
    return {**asdict(spec), "sources": sources, "here": locate.is_here(spec)}


def _print_faces(records: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "MB", "code", "weights", "here"):
        table.add_column(heading, justify="right" if heading == "MB" else "left", no_wrap=True)
    for record in records:
        here = (record["here"] or "-").removesuffix(" package")
        licences = record["code_licence"], record["weights_licence"]
        table.add_row(record["name"], f"{record['size'] / 1e6:.1f}", *licences, here)
    print_table(table)
    say("code, weights: their licences. What the weights were learned from has terms of its own:", fold=True)
    for terms in dict.fromkeys(record["data_licence"] for record in records):
        names = ", ".join(record["name"] for record in records if record["data_licence"] == terms)
        say(f"{names}: {terms}", fold=True)


def _print_table(records: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in _COLUMNS:
        table.add_column(heading, justify="right" if heading in _NUMBERS else "left", no_wrap=True)
    for record in records:
        table.add_row(
            record["name"],
            str(record["preprocess"]["size"]),
            f"{record['size'] / 1e6:.1f}" if record["size"] else "-",
            record["weights_licence"],
            record["speed"],
            f"{record['evidence']['imagenet_top1']:.1f}",
            "torch" if record["needs_torch"] else "core",
            (record["here"] or "-").removesuffix(" package"),
        )
    print_table(table)
    say("size: input side in pixels. licence: of the weights. top-1: ImageNet-1k, %.", fold=True)
    say("with torch: needs pip install 'rehead[torch]', as every network of timm.", fold=True)
