"""Features and sums on a cluster, by Ray. Only this module knows Ray.

A worker is an actor with one processor, which holds the network's session and takes the parts of a source one
after the other. It writes their blocks into the folder of features, which every machine must reach, and
returns their names. A worker that dies is started again with the part that it had, and finds the blocks that
it wrote; blocks are named by content and listed by part, so that none is lost and none counted twice.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..backbones.extraction import Extractor, backbone_of
from ..backbones.feature_folder import BlockEntry, FeatureFolder, FeaturesRecord
from ..classification.feature_rows import Division, FeatureRows
from ..classification.feature_training import sums_of_fold
from ..core.runtime import cpu_count
from ..core.text import first_line
from ..data.sources import Part
from ..errors import ClusterError, DataError, MissingExtraError, ReheadError
from ..heads.statistics import Statistics

__all__ = ["Cluster", "Worker", "blocks_in_order", "parse_place"]

_WAIT = 5.0  # seconds that a machine of an address has to answer


def parse_place(place: str) -> str:
    """The address in "ray:ADDRESS", "" for "ray", which is a cluster of this machine; DataError."""
    kind, _, address = place.partition(":")
    if kind != "ray" or (":" in place and not address):
        raise DataError(f"--on {place}: expected ray, or ray:ADDRESS such as ray:10.0.0.1:6379 or ray:auto")
    return address


class Cluster:
    """The cluster of "ray[:ADDRESS]"; "ray" is one of this machine, for the length of each call.

    Ray runs in a process of its own: it ends the process that it runs in where a cluster goes away.

    Parameters
    ----------
    place : str
    workers : int, optional
        Processors of a cluster of this machine, all by default.

    Raises
    ------
    MissingExtraError, ClusterError, DataError
        Here and in every call: Ray is not installed; the cluster cannot be reached, or goes away.
    """

    def __init__(self, place: str, workers: int | None = None) -> None:
        self.place, self.address, self.workers = place, parse_place(place), workers or cpu_count()
        if find_spec("ray") is None:
            raise MissingExtraError("--on ray: needs Ray: pip install 'rehead[ray]'")
        _check_reachable(self.address)

    def extract(
        self, parts: Iterable[Part], folder: FeatureFolder, done: Callable[[int], None]
    ) -> list[BlockEntry]:
        """The blocks of a source's parts, in order, made by one worker a processor."""
        listed = list(parts)
        found = self._call(_extract, listed, str(folder.path.resolve()), folder.record, done=done)
        return blocks_in_order(found, len(listed), folder)

    def fold_sums(self, photos: FeatureRows, division: Division, folds: int) -> list[Statistics]:
        """`feature_training.fold_sums`, a task a fold."""
        found: list[Statistics] = self._call(_fold_sums, photos, division, folds)
        return found

    def _call(self, work: Callable[..., Any], *given: Any, done: Callable[[int], None] | None = None) -> Any:
        """What `work` returns in a process that is connected to the cluster."""
        context = multiprocessing.get_context("spawn")
        mine, its = context.Pipe()
        process = context.Process(
            target=_connected, args=(its, self.address, self.workers, work, given), daemon=True
        )
        process.start()
        its.close()
        try:
            while True:
                try:
                    kind, value = mine.recv()
                except (EOFError, OSError):
                    process.join(_WAIT)
                    kind, value = "gone", f"its process ended with code {process.exitcode}"
                if kind == "done" and done:
                    done(value)
                elif kind == "result":
                    return value
                elif kind == "error":
                    raise DataError(value)
                elif kind == "gone":
                    raise ClusterError(
                        f"--on {self.place}: the cluster cannot be reached, or went away ({value}); give "
                        "the same command again, what was computed is kept"
                    )
        finally:
            mine.close()
            process.join(_WAIT)
            process.kill()


def _connected(pipe: Any, address: str, workers: int, work: Callable[..., Any], given: Sequence[Any]) -> None:
    """Run `work` in this process, connected to the cluster, and send what it returns."""
    with Path(os.devnull).open("wb") as nowhere:  # its logs; errors go through the pipe
        os.dup2(nowhere.fileno(), 2)
        os.dup2(nowhere.fileno(), 1)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray

        where: dict[str, Any] = {"address": address} if address else {"num_cpus": workers}
        more = {} if address else {"include_dashboard": False}
        ray.init(**where, **more, logging_level="error", log_to_driver=False)
        try:
            result = work(max(1, int(ray.cluster_resources().get("CPU", 1))), pipe, *given)
        finally:
            ray.shutdown()
        pipe.send(("result", result))
    except ReheadError as error:
        pipe.send(("error", str(error)))
    except Exception as error:  # whatever a cluster does: Ray's errors are of many kinds
        pipe.send(("gone", f"{type(error).__name__}: {first_line(error):.200}"))


def _check_reachable(address: str) -> None:
    """ClusterError where nobody answers at HOST:PORT: Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_WAIT).close()
    except OSError as error:
        raise ClusterError(
            f"--on ray:{address}: nobody answers there ({error}); check the address"
        ) from error


def _extract(
    workers: int, pipe: Any, parts: Sequence[Part], folder: str, record: FeaturesRecord
) -> list[tuple[int, list[BlockEntry]]]:
    """Number and blocks of each part, as they come."""
    import ray.data
    from ray import cloudpickle

    if not parts:
        return []
    items = [{"number": number, "part": cloudpickle.dumps(part)} for number, part in enumerate(parts)]
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    data = ray.data.from_items(items, override_num_blocks=min(len(items), 100 * workers))
    answers = data.map_batches(
        Worker,
        fn_constructor_args=(folder, record),
        batch_size=1,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(items))),
    )
    found: list[tuple[int, list[BlockEntry]]] = []
    for row in answers.iter_rows():
        found.append(_answer(row))
        pipe.send(("done", sum(entry.rows for entry in found[-1][1])))
    return found


def _fold_sums(
    workers: int,  # noqa: ARG001 - a task a fold, wherever there is room
    pipe: Any,  # noqa: ARG001
    photos: FeatureRows,
    division: Division,
    folds: int,
) -> list[Statistics]:
    import ray

    task = ray.remote(num_cpus=1)(sums_of_fold)
    given = ray.put(photos), ray.put(division)
    return list(ray.get([task.remote(*given, number) for number in range(folds)]))


def _answer(row: dict[str, Any]) -> tuple[int, list[BlockEntry]]:
    """Number of a part, and its blocks; what the worker said where it failed."""
    if row["error"]:
        raise DataError(row["error"])
    return int(row["number"]), [BlockEntry(*entry) for entry in json.loads(row["blocks"])]


def blocks_in_order(
    found: Iterable[tuple[int, list[BlockEntry]]], parts: int, folder: FeatureFolder
) -> list[BlockEntry]:
    """The blocks of all parts in the source's order, those of each part once.

    Parameters
    ----------
    found : iterable of (int, list of BlockEntry)
        Number of each part, and its blocks; a part that two workers did is there twice, with the same.
    parts : int
        How many there are.
    folder : FeatureFolder

    Raises
    ------
    ClusterError
        A part is missing, was another each time, or its blocks are not in the folder.
    """
    known: dict[int, list[BlockEntry]] = {}
    for number, blocks in found:
        if known.setdefault(number, blocks) != blocks:
            raise ClusterError(
                f"{folder.path}: part {number} of the source had other photos the second time; leave the "
                "source as it is while features are taken"
            )
    if len(known) < parts:
        raise ClusterError(f"{folder.path}: {parts - len(known)} parts are missing; give the command again")
    blocks = [entry for number in sorted(known) for entry in known[number]]
    lacking = [entry for entry in blocks if entry.name not in folder]
    if lacking:
        raise ClusterError(
            f"{folder.path}: {len(lacking)} blocks that workers wrote are not there; give a folder that all "
            "machines of the cluster share"
        )
    return blocks


class Worker:
    """Takes features of parts, in a process of its own."""

    def __init__(self, path: str, record: FeaturesRecord) -> None:
        folder = FeatureFolder(Path(path), record)
        self._extractor = Extractor(backbone_of(folder), folder, threads=1)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """The blocks of each part as JSON, or the error."""
        from ray import cloudpickle

        numbers, blocks, errors = [], [], []
        for number, part in zip(batch["number"], batch["part"], strict=True):
            found, error = "[]", ""
            try:
                found = json.dumps(self._extractor.part(cloudpickle.loads(part)))
            except ReheadError as problem:
                error = str(problem)
            numbers.append(int(number))
            blocks.append(found)
            errors.append(error)
        return {"number": numbers, "blocks": blocks, "error": errors}
