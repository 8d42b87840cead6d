"""`rehead faces gallery`: who is in a gallery, and keeping it right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from ...core.options import EstimatorOptions, Opt
from ...core.text import count
from ...faces.gallery.place import gallery_place
from ...faces.options import CalibrationFile, FaceOptions
from .. import options
from ..command import Only, Without, command
from ..console import photo_progress, print_json, print_table, say, styled
from ..lazy_group import plain_app
from .options import READABLE, KeyFile, gallery_key, load_pipeline, read_calibration_file

if TYPE_CHECKING:
    from ...faces.gallery.records import Removal

__all__ = ["app"]


class _Group(TyperGroup):
    """Verbs of which none is suggested for a wrong one: `remove` would destroy what it is given."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As the base class, with all verbs instead of the nearest in the error."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            ctx.fail(f"no such command {args[0]!r}; expected one of {', '.join(self.commands)}")
        return super().resolve_command(ctx, args)


app = plain_app(cls=_Group, no_args_is_help=True)


def _gallery(said: str, metavar: str = "GALLERY") -> Any:
    return typer.Argument(help=said, parser=gallery_place, metavar=metavar, show_default=False)


File = Annotated[Any, _gallery("File of the gallery, or postgresql://...")]
Name = Annotated[str, typer.Argument(help="Of a person.", show_default=False)]
KeepKey = Annotated[
    bool,
    Opt(
        help="Leave the gallery's key as it is; older copies of the gallery can then still be read with it.",
        flag="--keep-key",
        default=False,
    ),
]


@app.command("list")
@command
def list_(gallery: File, key_file: KeyFile, as_json: options.Json) -> None:
    """List the people, with their photos, consent and last day."""
    from ...faces.gallery.store import GalleryStore

    with GalleryStore(gallery, key=gallery_key(gallery, key_file)) as store:
        people, spec, encrypted = store.people(), store.embedding_spec, store.encrypted
        search = store.search
    if as_json:
        record = {
            "embedder": spec,
            "encrypted": encrypted,
            "search": search,
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
    kept, embedder = "encrypted" if encrypted else "not encrypted", spec.get("name", "an unknown embedder")
    say(f"{count(len(people), 'person', 'people')}, faces of {embedder}, {kept}")
    if search == "pgvector":
        say(READABLE)


@app.command()
@command
def show(
    gallery: File,
    name: Name,
    key_file: KeyFile,
    as_json: options.Json,
) -> None:
    """Show what is kept of a person: photos, faces, quality, dates."""
    from ...faces.gallery.store import GalleryStore

    with GalleryStore(gallery, key=gallery_key(gallery, key_file)) as store:
        person, photos, search = store.person(name), store.photos(name), store.search
    if as_json:
        record = {**vars(person), "search": search, "photos": [_photo(vars(photo)) for photo in photos]}
        print_json(record)
        return
    say(f"{person.name}: {count(person.photos, 'photo')}, added {person.added}")
    if search == "pgvector":
        say(f"  {READABLE}")
    say(f"  consent: {person.consent or 'not noted'}")
    say(f"  last day: {person.expires or 'none'}{' (expired)' if person.expired else ''}")
    for photo in photos:
        said = ", ".join(f"{key} {value:.0f}" for key, value in photo.quality.items())
        say(f"  {photo.path}  {said}")


def _photo(record: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in record.items() if key not in ("row", "person")}


@app.command()
@command
def rename(
    gallery: File,
    name: Name,
    new: Annotated[str, typer.Argument(help="The name from now on.", show_default=False)],
    key_file: KeyFile,
) -> None:
    """Give a person another name."""
    from ...faces.gallery.store import GalleryStore

    with GalleryStore(gallery, key=gallery_key(gallery, key_file)) as store:
        before, after = store.person(name), store.rename(name, new)
    say(f"{before.name} is {after.name} now")


@app.command()
@command
def merge(
    gallery: File,
    name: Annotated[str, typer.Argument(help="Of the person who stays.", show_default=False)],
    other: Annotated[
        str, typer.Argument(help="The other name of the same person, which goes.", show_default=False)
    ],
    key_file: KeyFile,
) -> None:
    """Make one person of two; the earlier of two last days holds."""
    from ...faces.gallery.store import GalleryStore

    with GalleryStore(gallery, key=gallery_key(gallery, key_file)) as store:
        gone, stays = store.person(other), store.merge(name, other)
    say(
        f"{gone.name} is {stays.name} now: {count(stays.photos, 'photo')}, consent: "
        f"{stays.consent or 'not noted'}, last day: {stays.expires or 'none'}"
    )


@app.command()
@command
def remove(
    gallery: File,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="People.", show_default=False)
    ] = None,
    *,
    photo: Annotated[
        list[str] | None,
        Opt(help="Only this photo of the one person: path, name, or beginning of its sha256.", default=None),
    ],
    expired: Annotated[
        bool, Opt(help="Everybody whose last day has passed.", flag="--expired", default=False)
    ],
    keep_key: KeepKey,
    key_file: KeyFile,
    as_json: options.Json,
) -> None:
    """Remove people, or photos of one. All that is kept of them goes, and the gallery gets a new key."""
    from ...faces.gallery.maintenance import find_photos
    from ...faces.gallery.store import GalleryStore

    if not names and not expired:
        raise typer.BadParameter("give names, or --expired", param_hint="NAME")
    if photo and (expired or len(names or []) != 1):
        raise typer.BadParameter("give the name of one person with it", param_hint="--photo")
    with GalleryStore(gallery, key=gallery_key(gallery, key_file)) as store:
        if photo and names:
            rows = [record.row for record in find_photos(store, names[0], photo)]
            removals = [store.remove_photos(names[0], rows, keep_key=keep_key)]
        else:
            gone = [person.name for person in store.people() if expired and person.expired]
            removals = store.remove([*(names or []), *gone], keep_key=keep_key)
        encrypted, database = store.encrypted, not isinstance(store.place, Path)
    if as_json:
        print_json([vars(removal) for removal in removals])
        return
    for removal in removals:
        what = f"{count(removal.photos, 'photo')} of {removal.name}" if photo else removal.name
        say(
            f"removed {what}: {count(removal.templates, 'face')} deleted; the photos themselves are not in "
            "the gallery and were left alone"
        )
    say(_what_is_left(removals[0], encrypted, key_file, database) if removals else "nobody to remove")


def _what_is_left(removal: Removal, encrypted: bool, key_file: Path | None, database: bool) -> str:
    """What holds after a removal, in sentences."""
    written = "What was deleted is overwritten in the gallery and its journal."
    if not removal.journal_cleared:
        written = (
            "PostgreSQL keeps what was deleted in its tables until VACUUM (FULL, ANALYZE), and in its log, "
            "replicas and backups until these are gone."
            if database
            else "Another process is reading the gallery, and before that ends nothing is overwritten."
        )
    if removal.key_replaced:
        return f"{written} {key_file} holds a new key, with which older copies of the gallery cannot be read."
    if not encrypted:
        return f"{written} Nothing is encrypted, so older copies of the gallery still show it."
    return (
        f"{written} The key is the same, so older copies of the gallery can be read with it; `rehead faces "
        "gallery rekey` makes a new one."
    )


@app.command()
@command
def rekey(
    gallery: File,
    key_file: KeyFile,
    to: Annotated[
        Path | None,
        Opt(
            help="New file for the new key; else the key file is replaced, and no other gallery may need it.",
            default=None,
        ),
    ],
) -> None:
    """Put the gallery under a new key. Older copies cannot be read with that one."""
    from ...faces.gallery.store import GalleryStore

    with GalleryStore(gallery, key=gallery_key(gallery, key_file)) as store:
        place = store.rekey(to)
    say(f"{place} holds the new key of {gallery}; the old one is of use for older copies only")


@app.command()
@command
def check(
    gallery: File,
    key_file: KeyFile,
    calibration: CalibrationFile,
    faces: Annotated[FaceOptions, Only("embedder")],
    as_json: options.Json,
) -> None:
    """Look for wrong photos, people with two names, and look-alikes."""
    from ...faces.gallery.gallery import FaceGallery

    with FaceGallery(
        gallery,
        load_pipeline(faces, None),
        key=gallery_key(gallery, key_file),
        calibration=read_calibration_file(calibration),
    ) as opened:
        issues, templates = opened.audit(), opened.store.templates()
    if as_json:
        print_json([issue.to_dict(path) for issue, path in issues])
        return
    for issue, path in issues:
        say(f"look at: {path + ': ' if path else ''}{issue.sentence}")
    searched = f"{count(len(templates), 'face')} of {count(len(templates.names), 'person', 'people')}"
    expired = f", {templates.expired} more expired" if templates.expired else ""
    say(f"{gallery}: {searched}{expired}, {count(len(issues), 'thing')} to look at")


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
    """Write all that is kept as JSON, of one person or everybody. Only you may read the file."""
    from ...faces.gallery.maintenance import export_gallery, write_private

    record = export_gallery(gallery, key=gallery_key(gallery, key_file), person=person, templates=templates)
    write_private(out, record)
    say(f"wrote {out}: {count(len(record['people']), 'person', 'people')}")
    if templates:
        say("it holds faces' embeddings in the clear: keep it as safe as the key")


@app.command()
@command
def copy(
    source: Annotated[Any, _gallery("File of a gallery, or postgresql://...", "FROM")],
    to: Annotated[Any, _gallery("The same, of one that is not there yet.", "TO")],
    search: Annotated[
        Literal["memory", "pgvector"] | None,
        Opt(help="How to search the copy, as `enroll` has it.", default=None, shown="memory"),
    ],
    key_file: KeyFile,
) -> None:
    """Copy a gallery to a file or a database. The copy opens with the same key."""
    from ...faces.gallery.copying import copy_gallery

    done = copy_gallery(source, to, key=gallery_key(source, key_file), search=search)
    say(f"{to}: {count(done.people, 'person', 'people')}, {count(done.photos, 'photo')}, as in {source}")
    say(
        f"both have one key, and a removal may replace it for {source} alone: remove that one, or give the "
        "copy a key of its own with `rehead faces gallery rekey --to`"
    )
    if done.search == "pgvector":
        say(READABLE)


@app.command()
@command
def misses(
    gallery: File,
    key_file: KeyFile,
    probes: Annotated[int, Opt(help="Searches to compare.", ge=1, default=1000)],
    cosine: Annotated[
        float | None,
        Opt(
            help="Of each face that is looked for with the one in the gallery.",
            ge=0,
            le=1,
            shown="of the median face with the nearest other one of its person",
            default=None,
        ),
    ],
    as_json: options.Json,
) -> None:
    """Measure how often the index in PostgreSQL misses a nearest face."""
    from ...faces.gallery.misses import measure_misses
    from ...faces.gallery.store import GalleryStore

    with GalleryStore(gallery, key=gallery_key(gallery, key_file)) as store:
        done, exact = measure_misses(store, probes=probes, cosine=cosine), store.search == "memory"
    if as_json:
        print_json({**vars(done), "share": done.share.to_dict()})
        return
    share, low, high = (100 * value for value in (done.share.value, done.share.low, done.share.high))
    say(
        f"{gallery}: {done.missed} of {count(done.probes, 'search', 'searches')} missed the nearest of "
        f"{count(done.templates, 'face')} ({share:.2f} %, 95 % interval {low:.2f} to {high:.2f} %), looking "
        f"for faces of the gallery turned to a cosine of {done.cosine:.3f}"
    )
    if exact:
        say("the gallery is searched in memory, which is exact")


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
    """Embed all photos anew, for another embedder. Names, consent and days are kept."""
    from ...faces.gallery.maintenance import rebuild as run

    pipeline = load_pipeline(faces, machine.threads)
    with photo_progress("Looking at photos") as progress:
        done = run(
            gallery,
            pipeline,
            key=gallery_key(gallery, key_file),
            photos=photos or [],
            drop_missing=drop_missing,
            progress=progress,
        )
    say(f"{gallery}: {done.photos} photos embedded anew by {pipeline.embedder.embedding_spec['name']}")
    for path, reason in done.lost:
        say(f"  forgotten: {path}: {reason}")
