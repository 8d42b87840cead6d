"""Learning more photos, forgetting some, and merging what two places learnt, by sums over their features."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backbones.features import cached_features
from ..core.photos import File
from ..core.progress import Progress
from ..core.text import count, first_of
from ..data.class_names import similar_names
from ..data.inputs import LabelledPhotos, check_names, photo_names
from ..errors import DataError, DatasetError, UnknownNameError
from .fitted import FittedClassifier
from .options import ClassifierOptions
from .statistics import Learnt, PhotoStatistics, first_of_each, rows_of
from .training_data import TrainingFeatures

__all__ = [
    "Change",
    "add_photos",
    "check_keeps",
    "forget_photos",
    "merge_fitted",
    "with_statistics",
]


@dataclass(frozen=True)
class Change:
    """What a change did.

    Parameters
    ----------
    photos : int
        Added, forgotten, or merged.
    classes : tuple of str
        That are new, or gone.
    known : int
        Photos that were learnt before, and count once.
    unreadable : tuple of (str, str)
        Name and reason of photos that were left out.
    notes : tuple of str
        What else should be known, in plain sentences.
    """

    photos: int
    classes: tuple[str, ...] = ()
    known: int = 0
    unreadable: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def check_keeps(options: ClassifierOptions, *, weighted: bool, encoder: Any) -> None:
    """Refuse what sums cannot keep; DataError."""
    if not options.keeps_statistics:
        raise DataError("learning more photos needs statistics: fit with keep_statistics=True")
    if weighted:
        raise DataError("statistics count every photo once: give no sample_weight, or keep none")
    if encoder is not None:
        raise DataError("statistics are kept of whole photos: leave out encoder (or faces), or keep none")
    if options.engine != "onnxruntime":
        raise DataError(
            f"statistics are summed over ONNX Runtime's features, and not {options.engine}'s, which differ "
            "from run to run; leave out --engine, or keep none"
        )


def with_statistics(
    fitted: FittedClassifier, data: TrainingFeatures, options: ClassifierOptions
) -> FittedClassifier:
    """What was fitted to training features, by their sums, which it keeps."""
    head = fitted.head
    statistics = PhotoStatistics.of(
        data,
        head.chosen,
        options.level_counts(len(data.backbone.levels)),
        balanced=options.class_weight == "balanced",
        by_class=options.statistics_by_class,
    )
    by_sums = statistics.head()
    learnt = replace(
        fitted.trained_on, digests=statistics.learnt.digests, class_counts=statistics.class_counts
    )
    notes = []
    if twice := len(data.digests) - len(statistics.learnt):
        notes.append(
            f"{count(twice, 'copy', 'copies')} of photos that are there already count once in the head."
        )
    if head.forgone:
        notes.append(
            f"Statistics need a ridge head, whose held-out log loss is {head.chosen.log_loss:.3f}; that of "
            f"the best logistic head is lower by {head.forgone:.3f}."
        )
    return replace(
        fitted,
        head=replace(head, weight=by_sums.weight, bias=by_sums.bias),
        outlier_model=statistics.outlier_model().calibrated_as(fitted.outlier_model),
        trained_on=learnt,
        warnings=(*fitted.warnings, *notes),
        statistics=statistics,
    )


def add_photos(
    fitted: FittedClassifier,
    rows: LabelledPhotos,
    options: ClassifierOptions,
    progress: Progress | None = None,
) -> tuple[FittedClassifier, Change]:
    """Learn more photos; DataError where none is readable, or a class or photo clashes with others."""
    statistics = _kept(fitted)
    found = fitted.encoder.extract(
        rows.paths, mirror=statistics.point.mirrored, threads=options.threads, progress=progress
    )
    if options.strict and found.errors:
        raise found.errors[0][1]
    readable = np.flatnonzero(found.readable)
    if not len(readable):
        raise DatasetError(f"none of the {count(len(rows.paths), 'photo')} can be read; nothing was learnt")
    labels = _like(rows.labels, statistics.classes)[readable]
    classes = np.unique(np.concatenate([statistics.classes, labels]))
    new = sorted(set(classes.tolist()) - set(statistics.classes.tolist()))
    _check_classes(new, classes.tolist())
    digests = [found.digests[n] for n in readable.tolist()]
    target = np.searchsorted(classes, labels)
    statistics = statistics.with_classes(classes)
    known = np.array([digest in statistics.learnt.row for digest in digests], bool)
    _check_same_class(statistics, digests, target, known, [rows.names[n] for n in readable.tolist()])
    once = first_of_each(digests, target, classes)
    once = once[~known[once]]
    plain, mirrored = rows_of(found, readable[once])
    if len(once):
        statistics = statistics.with_photos(
            [digests[n] for n in once.tolist()], target[once], plain, mirrored
        )
    unreadable = tuple((rows.names[n], error.reason) for n, error in found.errors)
    change = Change(
        len(once), tuple(map(str, new)), len(digests) - len(once), unreadable, _rounding(statistics)
    )
    return _refitted(fitted, statistics, {"added": len(once)}, unreadable), change


def forget_photos(
    fitted: FittedClassifier,
    files: Sequence[File],
    class_name: Any,
    options: ClassifierOptions,
    progress: Progress | None = None,
) -> tuple[FittedClassifier, Change]:
    """Forget photos, or a whole class, as if they had never been learnt.

    DataError where a photo was never learnt or has other features here, or too few photos would be left.
    """
    statistics = _kept(fitted)
    if class_name is None and not files:
        raise DataError("nothing to forget: give photos, or a class")
    number = None if class_name is None else _number(statistics, class_name)
    notes: tuple[str, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()
    if number is not None and not files and statistics.by_class:
        gone = int((statistics.learnt.target == number).sum())
        statistics = statistics.without_class(number)
    elif number is not None and not files:
        statistics, gone = _without_cached_class(fitted, statistics, number)
    else:
        statistics, gone, notes, unreadable = _without(fitted, statistics, files, number, options, progress)
    left = np.bincount(statistics.learnt.target, minlength=len(statistics.classes))
    emptied = [str(name) for name, n in zip(statistics.classes, left.tolist(), strict=True) if not n]
    if number is None and emptied:
        raise DataError(
            f"these are the last photos of {first_of(emptied)}; to forget the class too, give it as --class "
            f"(class_name in Python); nothing was forgotten"
        )
    if (left > 0).sum() < 2:
        raise DataError("only one class would be left, and a classifier needs two; nothing was forgotten")
    statistics = statistics.with_classes(statistics.classes[left > 0])
    change = Change(gone, tuple(emptied), 0, unreadable, (*notes, *_rounding(statistics)))
    return _refitted(fitted, statistics, {"forgotten": gone}), change


def _without(
    fitted: FittedClassifier,
    statistics: PhotoStatistics,
    files: Sequence[File],
    number: int | None,
    options: ClassifierOptions,
    progress: Progress | None,
) -> tuple[PhotoStatistics, int, tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Without photos that are at hand; with a class, without all of it, which they must be.

    Also how many went, notes, and files that cannot be read, which were therefore never learnt.
    """
    found = fitted.encoder.extract(
        files, mirror=statistics.point.mirrored, threads=options.threads, progress=progress
    )
    readable = np.flatnonzero(found.readable)
    if found.errors and (options.strict or not len(readable)):
        raise found.errors[0][1]
    names = photo_names(files)
    unreadable = tuple((names[n], error.reason) for n, error in found.errors)
    learnt = statistics.learnt
    known = np.array([digest in learnt.row for digest in found.digests], bool)
    strange = [names[n] for n in readable.tolist() if not known[n]]
    if strange and number is None:
        raise DataError(
            f"{strange[0]}: this file was never learnt, one of {len(strange)} (a photo is known by its "
            "bytes); nothing was forgotten"
        )
    readable = readable[known[readable]]
    _, first = np.unique(np.array(found.digests)[readable], return_index=True)
    first = readable[first]
    digests = [found.digests[n] for n in first.tolist()]
    notes = []
    if number is not None:
        _check_whole_class(learnt, number, digests)
        if strange:
            notes.append(f"{count(len(strange), 'photo')} of those given were never learnt.")
    plain, mirrored = rows_of(found, first)
    if differing := statistics.differing(digests, plain):
        notes.append(
            f"The features of {count(differing, 'photo')} differ here in their last digits from those that "
            "were summed, on another processor or by another ONNX Runtime: what is left of them in the sums "
            "is as small as that."
        )
    return statistics.without_photos(digests, plain, mirrored), len(digests), tuple(notes), unreadable


def _check_whole_class(learnt: Learnt, number: int, digests: Sequence[str]) -> None:
    """Refuse photos that are not all that were learnt of a class, or that are of others."""
    of_class = set(learnt.take(learnt.target == number).digests)
    if set(digests) != of_class:
        others = count(len(set(digests) - of_class), "photo")
        raise DataError(
            f"the class has {count(len(of_class), 'photo')}, of which {len(of_class & set(digests))} were "
            f"given, and {others} of other classes; give all of the class and none of others; nothing was "
            "forgotten"
        )


def _without_cached_class(
    fitted: FittedClassifier, statistics: PhotoStatistics, number: int
) -> tuple[PhotoStatistics, int]:
    """Without a class whose photos' features the cache has; DataError where it has not."""
    learnt, encoder = statistics.learnt, fitted.encoder
    digests = learnt.take(learnt.target == number).digests
    found = cached_features(
        digests,
        fitted.backbone,
        mirror=statistics.point.mirrored,
        cache=getattr(encoder, "cache", False),
    )
    if found is None:
        raise DataError(
            f"the statistics have one sum for all classes, and the cache not all features of the "
            f"{count(len(digests), 'photo')} of {str(statistics.classes[number])!r}; give the photos too, or "
            "train with --statistics-by-class; nothing was forgotten"
        )
    return statistics.without_photos(digests, *found), len(digests)


def merge_fitted(one: FittedClassifier, other: FittedClassifier) -> tuple[FittedClassifier, Change]:
    """What both learnt, with temperature and limits of whoever learnt more photos; DataError as `merged`."""
    first, second = _kept(one), _kept(other)
    kinds = [classes.dtype.kind for classes in (first.classes, second.classes)]
    if kinds[0] != kinds[1]:
        raise DataError("the classes of one are numbers, those of the other text; merge those of one kind")
    statistics = first.merged(second)
    new = sorted(set(second.classes.tolist()) - set(first.classes.tolist()))
    _check_classes(new, statistics.classes.tolist())
    larger = one if statistics.point is first.point else other
    photos = len(second.learnt)
    both = replace(larger, changes=_added_up(one.changes, other.changes))
    fitted = _refitted(both, statistics, {"merged": len(statistics.learnt)})
    return fitted, Change(photos, tuple(map(str, new)), notes=_rounding(statistics))


def _refitted(
    fitted: FittedClassifier,
    statistics: PhotoStatistics,
    done: Mapping[str, int],
    unreadable: tuple[tuple[str, str], ...] = (),
) -> FittedClassifier:
    """The same by other sums; temperature and limits stay as they were measured."""
    if not any(done.values()):
        return fitted
    head = statistics.head()
    head = replace(head, chosen=replace(head.chosen, log_loss=float("nan")))
    trained_on = replace(
        fitted.trained_on,
        paths=(),
        digests=statistics.learnt.digests,
        class_counts=statistics.class_counts,
        unreadable=unreadable,
        golden=False,  # a copy of a photo that was forgotten must not stay
    )
    return replace(
        fitted,
        classes=statistics.classes,
        head=head,
        outlier_model=statistics.outlier_model().calibrated_as(fitted.outlier_model),
        trained_on=trained_on,
        warnings=(),
        trained_parameters=head.parameters,
        statistics=statistics,
        changes=_added_up(fitted.changes, done),
    )


def _added_up(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {what: one.get(what, 0) + other.get(what, 0) for what in {**one, **other}}


def _kept(fitted: FittedClassifier) -> PhotoStatistics:
    if fitted.statistics is None:
        raise DataError("the classifier keeps no statistics; fit it with keep_statistics=True")
    return fitted.statistics


def _like(labels: NDArray[Any], classes: NDArray[Any]) -> NDArray[Any]:
    if labels.dtype.kind == classes.dtype.kind:
        return labels
    if classes.dtype.kind == "U":  # of a model file, which has text
        return labels.astype(np.str_)
    raise DatasetError(f"labels are of {labels.dtype}, and the classes that were learnt of {classes.dtype}")


def _check_classes(new: Sequence[Any], classes: Iterable[Any]) -> None:
    """Refuse new classes whose names differ from others in case, spaces or Unicode form only."""
    check_names(np.array(list(new)))
    names = [str(name) for name in classes]
    known = {unicodedata.normalize("NFKC", name): name for name in map(str, new)}
    for alike in similar_names(unicodedata.normalize("NFKC", name) for name in names):
        if fresh := [known[name] for name in alike if name in known]:
            others = [name for name in names if unicodedata.normalize("NFKC", name) in alike]
            raise DatasetError(
                f"the class {fresh[0]!r} differs from {first_of([n for n in others if n != fresh[0]])} in "
                "case, spaces or Unicode form only; give them one name, or two that differ"
            )


def _check_same_class(
    statistics: PhotoStatistics,
    digests: Sequence[str],
    target: NDArray[np.intp],
    known: NDArray[np.bool_],
    names: Sequence[str],
) -> None:
    """Refuse photos that were learnt as another class."""
    learnt = statistics.learnt
    for n in np.flatnonzero(known).tolist():
        before = int(learnt.target[learnt.row[digests[n]]])
        if before != target[n]:
            was, now = str(statistics.classes[before]), str(statistics.classes[target[n]])
            raise DatasetError(f"{names[n]}: was learnt as {was!r}, and is {now!r} now; forget it first")


def _number(statistics: PhotoStatistics, name: Any) -> int:
    names = [str(known) for known in statistics.classes]
    if str(name) not in names:
        raise UnknownNameError("class", str(name), names)
    return names.index(str(name))


def _rounding(statistics: PhotoStatistics) -> tuple[str, ...]:
    sums = [each for each in (statistics.plain, statistics.own) if each is not None]
    if all(each.exact for each in sums):
        return ()
    return ("The sums are so large that they are rounded: to 1e-16 of them, no longer to the bit.",)
