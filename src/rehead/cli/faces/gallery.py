"""`rehead faces gallery`: who is in a gallery, and keeping it right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...core.options import EstimatorOptions, Opt
from ...faces.options import FaceOptions
from .. import options
from ..command import Only, Without, command
from ..console import photo_progress, print_json, print_table, say, styled
from .options import KeyFile, load_pipeline

__all__ = ["app"]

app = typer.Typer(help="See who is in a gallery, remove people, export it, rebuild it.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="File of the gallery.", show_default=False)]


@app.command("list")
@command
def list_(gallery: File, key_file: KeyFile, as_json: options.Json) -> None:
    """List the people, with their photos, consent and last day."""
    from ...faces.gallery.encryption import find_key
    from ...faces.gallery.store import GalleryStore

    with GalleryStore(gallery, key=find_key(key_file)) as store:
        people, spec, encrypted = store.people(), store.embedding_spec, store.encrypted
    if as_json:
        record = {
            "embedder": spec,
            "encrypted": encrypted,
            "people": [{**vars(person), "expired": person.expired} for person in people],
        }
        print_json(record)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "photos", "added", "last day", "consent"):
        table.add_column(heading, justify="right" if heading == "photos" else "left", overflow="fold")
    for person in people:
        day = styled(person.expires or "-", "red" if person.expired else "")
        if person.expired:
            day.append(" (expired)")
        table.add_row(person.name, str(person.photos), person.added[:10], day, person.consent or "-")
    print_table(table)
    kept = "encrypted" if encrypted else "not encrypted"
    say(f"{len(people)} people, faces of {spec.get('name', 'an unknown embedder')}, {kept}")


@app.command()
@command
def show(
    gallery: File,
    name: Annotated[str, typer.Argument(help="Of a person.", show_default=False)],
    key_file: KeyFile,
    as_json: options.Json,
) -> None:
    """Show what is kept of a person: photos, faces, quality, dates."""
    from ...faces.gallery.encryption import find_key
    from ...faces.gallery.store import GalleryStore

    with GalleryStore(gallery, key=find_key(key_file)) as store:
        person, photos = store.person(name), store.photos(name)
    if as_json:
        record = {**vars(person), "photos": [_photo(vars(photo)) for photo in photos]}
        print_json(record)
        return
    say(f"{person.name}: {person.photos} photos, added {person.added}")
    say(f"  consent: {person.consent or 'not noted'}")
    say(f"  last day: {person.expires or 'none'}{' (expired)' if person.expired else ''}")
    for photo in photos:
        quality = photo.face.get("quality", {})
        said = ", ".join(f"{key} {value:.0f}" for key, value in quality.items())
        say(f"  {photo.path}  {said}")


def _photo(record: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in record.items() if key not in ("row", "person")}


@app.command()
@command
def remove(
    gallery: File,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="People.", show_default=False)
    ] = None,
    *,
    expired: Annotated[
        bool, Opt(help="Everybody whose last day has passed.", flag="--expired", default=False)
    ],
    key_file: KeyFile,
    as_json: options.Json,
) -> None:
    """Remove people, with all that is kept of them, and destroy their keys."""
    from ...faces.gallery.encryption import find_key
    from ...faces.gallery.store import GalleryStore

    if not names and not expired:
        raise typer.BadParameter("give names, or --expired", param_hint="NAME")
    with GalleryStore(gallery, key=find_key(key_file)) as store:
        wanted = [store.person(name).name for name in names or []]  # all are there before any is removed
        wanted += [person.name for person in store.people() if expired and person.expired]
        removals = [store.remove(name) for name in dict.fromkeys(wanted)]
    if as_json:
        print_json([vars(removal) for removal in removals])
        return
    for removal in removals:
        key = "their key destroyed" if removal.key_destroyed else "they were not encrypted"
        say(
            f"removed {removal.name}: {removal.templates} faces overwritten, {key}; the "
            f"{removal.photos} photos they came from are not in the gallery and were left alone"
        )
        if not removal.journal_cleared:
            say("  another process has the gallery open; old pages leave its journal when it closes it")
    if not removals:
        say("nobody to remove")


@app.command()
@command
def export(
    gallery: File,
    out: Annotated[Path, Opt(help="JSON file to write.", flag="--out -o")],
    person: Annotated[str | None, Opt(help="Only this one; else everybody.", default=None)],
    templates: Annotated[
        bool, Opt(help="Write the faces' embeddings too, unencrypted.", flag="--templates", default=False)
    ],
    key_file: KeyFile,
) -> None:
    """Write all that is kept, of one person or of everybody, as JSON."""
    from ...core.run_dir import write_json
    from ...faces.gallery.encryption import find_key
    from ...faces.gallery.maintenance import export_gallery

    record = export_gallery(gallery, key=find_key(key_file), person=person, templates=templates)
    write_json(out, record)
    say(f"wrote {out}: {len(record['people'])} people")
    if templates:
        say("it holds faces' embeddings in the clear: keep it as safe as the key")


@app.command()
@command
def rebuild(
    gallery: File,
    photos: Annotated[
        list[Path] | None, Opt(help="Folder to look in for photos that were moved.", default=None)
    ],
    drop_missing: Annotated[
        bool, Opt(help="Forget photos that cannot be embedded anew.", flag="--drop-missing", default=False)
    ],
    key_file: KeyFile,
    faces: Annotated[FaceOptions, Without("selection")],
    machine: Annotated[EstimatorOptions, Only("threads")],
) -> None:
    """Embed all photos anew, for another embedder; names, consent and days are kept."""
    from ...faces.gallery.encryption import find_key
    from ...faces.gallery.maintenance import rebuild as run

    pipeline = load_pipeline(faces, machine.threads)
    with photo_progress("Looking at photos") as progress:
        done = run(
            gallery,
            pipeline,
            key=find_key(key_file),
            photos=photos or [],
            drop_missing=drop_missing,
            progress=progress,
        )
    say(f"{gallery}: {done.photos} photos embedded anew by {pipeline.embedder.embedding_spec['name']}")
    for path, reason in done.lost:
        say(f"  forgotten: {path}: {reason}")
