"""`rehead show`."""

from __future__ import annotations

from typing import Annotated

from ..core.options import Opt
from . import options
from .command import command
from .console import plain_table, print_json, print_table

__all__ = ["show"]


@command
def show(
    model: options.ModelFile,
    as_json: options.Json,
    bom: Annotated[
        bool, Opt(help="Print a bill of materials, CycloneDX 1.6 as JSON.", flag="--bom", default=False)
    ],
) -> None:
    """Show what a model file says of itself: classes, test results, network, licences, digests, signature."""
    from ..core.model_file import read_model_file
    from ..workflows.provenance import bill_of_materials, summary

    file = read_model_file(model)
    if bom:
        print_json(bill_of_materials(file))
    elif as_json:
        print_json({**file.manifest, "sha256": file.digest})
    else:
        table = plain_table("", str(model))
        table.columns[0].no_wrap = True
        for name, line in summary(file).items():
            table.add_row(name, line)
        print_table(table)
