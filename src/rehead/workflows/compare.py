"""Several networks on the same photos and the same split: which is better, and can that be told at all.

    NETWORK-TRAINED/   a run directory for each model, as `rehead train` writes it
    compare.md         one table
    compare.html       the same for people, with the plots, one file
    compare.json       all numbers

What is finished there is not done again, so that a comparison that was killed continues.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..backbones.encoder import for_photos
from ..backbones.features import photo_groups
from ..classification.estimator import ImageClassifier
from ..classification.options import ClassifierOptions
from ..core import atomic, records
from ..core.locking import locked
from ..core.options import options_of
from ..core.progress import Progress
from ..core.run_dir import holds_training, run_record, work_folder, write_json
from ..core.runtime import cpu_count
from ..data import Dataset, read_dataset
from ..data.options import SplitOptions, TableOptions
from ..data.split import Split, check_classes, make_split
from ..errors import DataError, DatasetError, OutputError, TrainingError
from ..evaluation import Comparison, write_comparison
from .config import TrainConfig, from_scratch_only, is_of_faces, run_training
from .measure import measure_models
from .train_record import classifier_record

__all__ = ["Candidate", "candidates", "compare_models"]

SCRATCH = "scratch"
"""What is trained, of a network that starts from random numbers: all of it."""

_RECORD = "compare.json"
_NOT_OF_THE_MODEL = {
    "cache",
    "threads",
    *options_of(SplitOptions),
    *options_of(TableOptions),
}  # options that do not change what is fitted

_ENTRIES: records.Entries = {
    "split": (records.text, "a digest"),
    "options": (records.record(), "options"),
    "seconds": (records.record(features=records.number, head=records.number), "times of steps"),
    "parameters": (records.record(total=records.count, trained=records.count), "counts"),
    "training": (
        records.either(None, records.record(epochs_resumed=records.either(None, records.count))),
        "how the network was trained",
    ),
}  # of run.json, as far as it is compared

Watch = Callable[[str], AbstractContextManager[Progress | None]]


@dataclass(frozen=True)
class Candidate:
    """A network and what is trained of it.

    Parameters
    ----------
    name : str
        For people: "mobilenet_v2, top:4".
    folder : str
        Of its run directory.
    config : TrainConfig
    """

    name: str
    folder: str
    config: TrainConfig


def candidates(
    networks: Sequence[str], train: Sequence[str], config: TrainConfig
) -> tuple[list[Candidate], list[str]]:
    """Every network with every way to train it, as far as that makes sense.

    Parameters
    ----------
    networks : sequence of str
        Names of `rehead weights list`, of timm or of the small networks, ONNX files, and "faces" or
        "faces:FILE.onnx": their embeddings.
    train : sequence of str
        "frozen", "top:N", "from:LAYER", "all"; "scratch": all, from random numbers.
    config : TrainConfig
        All other options.

    Returns
    -------
    chosen : list of Candidate
        In the order of `networks`, then of `train`.
    notes : list of str
        A sentence for each that makes none.

    Raises
    ------
    DataError
        Nothing is left to compare.
    """
    chosen: dict[tuple[str, str], Candidate] = {}
    notes: list[str] = []
    for network in dict.fromkeys(networks):
        ways, note = _ways(network, list(dict.fromkeys(train)))
        notes += [note] if note else []
        for what in ways:
            folder = _folder(network, what, {candidate.folder for candidate in chosen.values()})
            name = f"{Path(network).name}, {'from scratch' if what == SCRATCH else what}"
            chosen[network, what] = Candidate(name, folder, _configured(config, network, what))
    if not chosen:
        raise DataError(" ".join(notes) or "nothing to compare; name networks, and what is trained of them")
    return list(chosen.values()), notes


def _ways(network: str, train: list[str]) -> tuple[list[str], str]:
    """Those ways to train a network that make sense, and a sentence about the others."""
    if is_of_faces(network) or network.lower().endswith(".onnx"):
        others = [what for what in train if what != "frozen"]
        what = "a face embedder" if is_of_faces(network) else "an ONNX file"
        note = f"'{network}' with {' and '.join(others)} is left out: {what} can only be used frozen."
        return [what for what in train if what == "frozen"], note if others else ""
    others = [what for what in train if what != SCRATCH]
    if others and from_scratch_only(network):
        asked = " and ".join(others)
        return [
            SCRATCH
        ], f"'{network}' has no pretrained weights: it is trained from scratch, not as {asked}."
    return train, ""


def _configured(config: TrainConfig, network: str, mode: str) -> TrainConfig:
    chosen = config.with_backbone(network)
    return replace(
        chosen,
        classifier=replace(chosen.classifier, cache=False),  # each pays for its own features
        finetune=replace(chosen.finetune, train=mode),
    )


def _folder(network: str, mode: str, taken: Collection[str]) -> str:
    """Name of the run directory, unlike those that are taken."""
    plain = name = re.sub(r"[^\w.-]+", "-", f"{Path(network).stem}-{mode}")
    number = 2
    while name in taken:
        name, number = f"{plain}-{number}", number + 1
    return name


def compare_models(
    photos: str | os.PathLike[str] | Dataset,
    out: str | os.PathLike[str],
    networks: Sequence[str],
    *,
    train: Sequence[str] = ("frozen",),
    config: TrainConfig | None = None,
    overwrite: bool = False,
    command: Sequence[str] = (),
    watch: Watch | None = None,
) -> Comparison:
    """Train every network in every way on the same photos, test all on the same others, and compare.

    Parameters
    ----------
    photos : path or Dataset
        In any form that `train` takes.
    out : path
        Folder to write; models that are finished there are not trained again, an unfinished training is
        continued.
    networks, train : sequence of str
        As in `candidates`.
    config : TrainConfig, optional
        All other options.
    overwrite : bool
        Train all anew.
    command : sequence of str
        How the comparison was started, for the records.
    watch : callable, optional
        Called with what is done next, a phrase; gives a context manager that yields a `Progress` or None.

    Returns
    -------
    Comparison
        The first candidate is the one that the others are compared with.

    Raises
    ------
    ReheadError
        Options, weights or photos that do not fit are refused before anything is trained. A training
        that fails is noted, and the others go on.
    """
    with locked(out):
        return _compare(
            photos,
            Path(out),
            candidates(networks, train, config or TrainConfig()),
            config or TrainConfig(),
            overwrite=overwrite,
            command=command,
            watch=watch or (lambda _: nullcontext()),
        )


def _compare(
    photos: str | os.PathLike[str] | Dataset,
    folder: Path,
    what: tuple[list[Candidate], list[str]],
    config: TrainConfig,
    *,
    overwrite: bool,
    command: Sequence[str],
    watch: Watch,
) -> Comparison:
    options = config.classifier
    chosen, notes = what
    for candidate in chosen:
        candidate.config.estimator().make_encoder()
    with watch("Looking at photos") as progress:
        split = _split(photos, config, progress)
    _check_place(folder, split, chosen, overwrite=overwrite, command=command)
    done: list[Candidate] = []
    for place, candidate in enumerate(chosen, 1):
        at = folder / candidate.folder
        if not _finished(at, candidate, split):
            with watch(f"{place} of {len(chosen)}: {candidate.name}") as progress:
                try:
                    _train(at, candidate, split, command, progress)
                except (TrainingError, DatasetError) as error:
                    if len(chosen) == 1:
                        raise
                    notes.append(f"'{candidate.name}' is left out, its training failed: {error}.")
                    continue
        done.append(candidate)
    if not done:
        raise TrainingError(f"{folder}: nothing to compare. {' '.join(notes)}")
    with watch("Measuring") as progress:
        runs = [(c.name, folder / c.folder) for c in done]
        comparison = measure_models(
            runs,
            split,
            notes=[*notes, *split.notes, *split.untested],
            seed=options.random_state,
            threads=options.threads,
            progress=progress,
        )
    _write(folder, comparison, split, command)
    return comparison


def _split(photos: str | os.PathLike[str] | Dataset, config: TrainConfig, progress: Progress | None) -> Split:
    """The split, made once, with near-duplicates as the default network sees them."""
    dataset = read_dataset(photos, config.table)
    check_classes(dataset)
    options = config.classifier
    encoder = ImageClassifier(
        engine=options.engine, cache=options.cache, threads=options.threads
    ).make_encoder()
    encoder = for_photos(encoder, dataset.paths, threads=options.threads)
    features = encoder.extract(dataset.paths, threads=options.threads, progress=progress)
    if options.strict and features.errors:
        raise features.errors[0][1]
    split = make_split(
        dataset,
        *photo_groups(dataset, features, encoder.backbone, threads=options.threads),
        features.readable,
        config.split,
        seed=options.random_state,
    )
    if not len(split.tested):
        raise DatasetError(
            f"{dataset.root}: too few different photos to hold any out for testing; add photos"
        )
    return split


# the folder


def _check_place(
    folder: Path, split: Split, chosen: Sequence[Candidate], *, overwrite: bool, command: Sequence[str]
) -> None:
    """Refuse a folder of something else; make it ready, and say in it what is compared."""
    record = folder / _RECORD
    with atomic.output_errors(folder):
        in_use = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    known = _read(record) if record.is_file() else {}
    if in_use and "split" not in known:
        raise OutputError(f"{folder}: holds other files; choose an empty or a new folder for --out")
    if overwrite:
        for candidate in chosen:
            for old in (folder / candidate.folder, work_folder(folder / candidate.folder)):
                if old.exists():
                    with atomic.output_errors(old):
                        shutil.rmtree(old)
    elif in_use and known["split"] != split.fingerprint:
        raise OutputError(
            f"{folder}: holds a comparison on other photos or another split of them; choose another --out, "
            "or give --overwrite to replace it"
        )
    if not in_use or known["split"] != split.fingerprint:
        write_json(record, {"split": split.fingerprint, "command": list(command), "models": []})


def _finished(at: Path, candidate: Candidate, split: Split) -> bool:
    """Whether the run is there already; OutputError where it is of another model or another split."""
    record = at / "run.json"
    if not record.is_file():
        return False
    found = _read(record)
    before, config = found.get("options", {}), candidate.config
    now = json.loads(json.dumps(classifier_record(config.estimator())))
    names = sorted({*before, *now} - _NOT_OF_THE_MODEL)
    declared = options_of(ClassifierOptions)
    older = {name: option.default for name, option in declared.items() if name in now}  # than some options
    different = [name for name in names if before.get(name, older.get(name)) != now.get(name)]
    if found.get("split") != split.fingerprint:
        different.append("split")
    if different:
        raise OutputError(
            f"{at}: holds a run with other options ({', '.join(different)}); choose another --out, or give "
            "--overwrite to train all anew"
        )
    return True


def _read(record: Path) -> dict[str, Any]:
    try:
        found = records.read_record(record)
        records.check_entries(found, _ENTRIES, needed=record.name != _RECORD)
    except DataError as error:
        raise OutputError(
            f"{record}: not a record of rehead: {error}; remove {record.parent}, or choose another --out"
        ) from error
    return found


def _train(
    at: Path, candidate: Candidate, split: Split, command: Sequence[str], progress: Progress | None
) -> None:
    config = candidate.config
    resume = config.trains_network and holds_training(work_folder(at))
    run_training(config, split, at, resume=resume, command=command, progress=progress)


# what is written


def _write(folder: Path, comparison: Comparison, split: Split, command: Sequence[str]) -> None:
    about = {
        "source": str(split.dataset.root),
        "split": split.fingerprint,
        "cpu_count": cpu_count(),
        "machine": platform.machine(),
    }
    record = run_record(command, about)
    title = split.dataset.root.resolve().name or "photos"
    atomic.write_text(folder / "compare.md", comparison.to_markdown(title))
    write_comparison(folder / "compare.html", title=title, comparison=comparison, run=record)
    write_json(folder / _RECORD, {**record, **comparison.to_dict()})
