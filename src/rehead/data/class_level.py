"""Whether the folders that are taken for classes are the classes, by their names and by what is in them.

Photos are often one level further down: seg_train/seg_train/CLASS, monday/CLASS beside tuesday/CLASS. A model
of the outer folders would learn days or splits, and look as if it worked.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..core.text import first_of
from ..errors import DatasetError
from .csv_table import SPLIT_NAMES

__all__ = ["check_class_level", "class_level"]

_SPLITS = "|".join(SPLIT_NAMES)
_SPLIT = re.compile(
    rf"({_SPLITS})[ _.-]?(set|data|images?|imgs?|photos?|pics|pictures|split)?[ _.-]?\d*", re.IGNORECASE
)
_ENDS_IN_SPLIT = re.compile(rf"(.+)[ _.-]({_SPLITS}|pred|dev|eval)[ _.-]?\d*", re.IGNORECASE)


@dataclass
class _Folder:
    """Photos of a folder, and its sub-folders that hold any."""

    photos: int = 0
    direct: int = 0
    inside: dict[str, _Folder] = field(default_factory=dict)


def check_class_level(root: Path, ids: Iterable[str]) -> None:
    """Refuse class folders that are rather days, splits or a folder within itself.

    Parameters
    ----------
    root : Path
        The folder whose sub-folders are taken for classes.
    ids : iterable of str
        Its photos, relative to it: CLASS/**/photo.jpg.

    Raises
    ------
    DatasetError
        Names the path that was probably meant, or what to rename.
    """
    top = _tree(ids)
    if len(top.inside) == 1 and class_level(ids) is None:
        return  # one class, of which the check of the classes says more
    if splits := _named_like_splits(top.inside):
        raise _like_splits(root, top, splits)
    if again := [name for name in top.inside if _repeats(root, top, name)]:
        meant = _levels_in(top, again) or [(again[0],)]
        raise DatasetError(
            f"{root}: the class {again[0]!r} is a folder within a folder of the same name; did you mean "
            f"{root.joinpath(*meant[0])}? Otherwise move it away or rename it"
        )
    if common := _common_folders(top.inside):
        raise _days(root, top, common)


def class_level(ids: Iterable[str]) -> tuple[str, ...] | None:
    """The parts of the first folder downwards that has several folders of photos; None where none has.

    `ids` are of photos, relative to where to begin.
    """
    here, parts = _several(_tree(ids))
    return parts if len(here.inside) > 1 else None


def _tree(ids: Iterable[str]) -> _Folder:
    top = _Folder()
    for folder, count in Counter(name.rpartition("/")[0] for name in ids).items():
        here = top
        here.photos += count
        for part in folder.split("/") if folder else ():
            here = here.inside.setdefault(part, _Folder())
            here.photos += count
        here.direct += count
    return top


def _several(folder: _Folder) -> tuple[_Folder, tuple[str, ...]]:
    """The first folder downwards that holds more than one folder, and the parts on the way."""
    parts: tuple[str, ...] = ()
    while len(folder.inside) == 1 and not folder.direct:
        ((name, folder),) = folder.inside.items()
        parts = (*parts, name)
    return folder, parts


def _named_like_splits(folders: Mapping[str, _Folder]) -> list[str]:
    """Folders called train, test1, val2017, train_images; cats_train too, where it is not alone with that."""
    plain = [name for name in folders if _SPLIT.fullmatch(name)]
    found = {name: match[1].lower() for name in folders if (match := _ENDS_IN_SPLIT.fullmatch(name))}
    stems = Counter(found.values())
    of_all = len(plain) + len(found) == len(folders)
    beside = [
        name
        for name, stem in found.items()  # "bullet_train" with photos in it, among classes, is a class
        if of_all or stems[stem] > 1 or (folders[name].inside and not folders[name].direct)
    ]
    return [*plain, *(name for name in beside if name not in plain)]


def _like_splits(root: Path, top: _Folder, splits: Sequence[str]) -> DatasetError:
    are = "is named like a split" if len(splits) == 1 else "are named like splits"
    others = [name for name in top.inside if name not in splits]
    beside = f", beside {first_of(others, 3)}" if others else ""
    meant = _levels_in(top, splits)
    layouts = f"{root.name}/{{train,val,test}}/CLASS/*.jpg"
    hint = f"did you mean {root.joinpath(*meant[0])}?" if meant else f"expected {root.name}/CLASS/*.jpg"
    return DatasetError(
        f"{root}: {first_of(splits)} {are} and not like a class{beside}; {hint}{' Or' if meant else ' or'} "
        f"{layouts}; if {splits[0]!r} is a class, rename its folder, for example to '{splits[0]} class'"
    )


def _days(root: Path, top: _Folder, common: Sequence[str]) -> DatasetError:
    outer = sorted(top.inside)
    what = f"{root}: {first_of(outer, 3)} all hold folders of the same names ({first_of(common, 3)})"
    if all(_SPLIT.fullmatch(name) for name in common):
        return DatasetError(
            f"{what}: put the split above the class, {root.name}/{common[0]}/{outer[0]}/*.jpg, or give a "
            "CSV with path,label,split"
        )
    largest = max(outer, key=lambda name: top.inside[name].photos)
    return DatasetError(
        f"{what}, which are more likely the classes; did you mean {root / largest}? To train on all of them, "
        f"put the class first, {root.name}/{common[0]}/{outer[0]}/*.jpg; if {outer[0]!r} is a class, give a "
        "CSV with path,label"
    )


def _levels_in(top: _Folder, names: Iterable[str]) -> list[tuple[str, ...]]:
    """Folders with several folders of photos, downwards of those names: of training first, then by photos."""
    found = []
    for name in names:
        here, below = _several(top.inside[name])
        if len(here.inside) > 1:
            parts = (name, *below)
            found.append((not any("train" in part.lower() for part in parts), -here.photos, parts))
    return [parts for _, _, parts in sorted(found)]


def _repeats(root: Path, top: _Folder, name: str) -> bool:
    """Whether a class is a folder within a folder of the same name, with several folders in it."""
    folder = top.inside[name]
    of_own_name = [inner for inner in folder.inside if inner.casefold() == name.casefold()]
    if of_own_name:
        return len(folder.inside[of_own_name[0]].inside) > 1
    return name.casefold() == root.resolve().name.casefold() and len(folder.inside) > 1


def _common_folders(classes: Mapping[str, _Folder]) -> list[str]:
    """Names of folders that most classes have, sorted; empty where the classes are the classes.

    Two names at least: in CLASS/images/*.jpg the folder is the same everywhere, and no class. They are at
    least half of the folders of every class, whose photos are in folders rather than beside them.
    """
    inside = [set(folder.inside) for folder in classes.values()]
    holders = Counter(name for names in inside for name in names)
    shared = {name for name, count in holders.items() if count > 1}
    if len(classes) < 2 or len(shared) < 2:
        return []
    of_days = all(names and 2 * len(names & shared) >= len(names) for names in inside)
    beside = any(2 * folder.direct > folder.photos for folder in classes.values())
    return sorted(shared) if of_days and not beside else []
