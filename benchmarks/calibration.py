"""The calibration that comes with rehead, and whether a gallery keeps its promise to strangers.

    python benchmarks/calibration.py PEOPLE [EMBEDDER ...] [--strangers FOLDER ...] [--vectors vectors.npz]
        [--ship src/rehead/faces/verification/calibrations.json]

PEOPLE has one folder a person, such as LFW's; EMBEDDER is "dlib" or an ONNX file with its record; photos of
--strangers show nobody of PEOPLE (folders with the name of one are left out). Thresholds are set on half of
PEOPLE. Of the other half some are enrolled with one photo each, and the rest are strangers, so that nobody
had a part in the threshold; photos of --strangers are searched for in the same galleries. Aim: no more than
1 % of strangers are named. --vectors keeps embeddings between runs; --ship writes the calibration
of the first embedder into rehead.

Some photos of LFW bear a wrong name, or one person has two; they are not pairs of different people, and the
strictest thresholds rest on a handful of pairs. Those below were found among the forty highest scores of two
embedders and seen to be one person. Twins, sisters and everybody else who merely look alike stay.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rehead.core.text import percent, percent_range
from rehead.data import list_photos
from rehead.errors import ReheadError
from rehead.evaluation.intervals import proportion
from rehead.faces import FaceDetector, FaceEmbedder
from rehead.faces.clustering import cluster_faces
from rehead.faces.embedding.spec import spec_fingerprint
from rehead.faces.gallery.threshold import GalleryThreshold
from rehead.faces.pipeline import FacePipeline
from rehead.faces.verification.calibration import Calibration, calibrate

ERRATA = (
    "Bart_Hendricks",  # the photo of Ricky_Ray
    "Martha_Bowen",  # that of Gabrielle_Rose
    "Noer_Muis",  # Noer_Moeis
    "Yingfan_Wang",  # Wang_Yingfan
    "Nora_Bendijo",  # mixed up with Flor_Montulo
    "Recep_Tayyip_Erdogan_0004.jpg",  # Abdullah_Gul
)
FPIR = 0.01
SIZES = (100, 300, 1000, 10_000)

Vectors = NDArray[np.float32]


def embedded(folder: Path, pipeline: FacePipeline, kept: Path | None) -> tuple[Vectors, NDArray[np.str_]]:
    """Embeddings of the photos of a folder that show a face, and the person on each."""
    photos = [
        photo for photo in list_photos(folder) if photo.name not in ERRATA and photo.parent.name not in ERRATA
    ]
    key = f"{spec_fingerprint(pipeline.embedder.embedding_spec)} {folder.resolve().name}"
    stored = dict(np.load(kept)) if kept is not None and kept.is_file() else {}
    if key not in stored or len(stored[key]) != len(photos):
        stored[key] = pipeline.embed_one(photos, "centre")[0]
        if kept is not None:
            np.savez(kept, **stored)
    vectors, people = stored[key], np.array([photo.parent.name for photo in photos])
    found = np.isfinite(vectors).all(axis=1)
    print(f"  {folder.name}: {len(photos)} photos, {(~found).sum()} without a face")
    return vectors[found], people[found]


def first_of_each(people: NDArray[np.str_], names: NDArray[np.str_]) -> NDArray[np.intp]:
    """Row of the first photo of each of `names`."""
    return np.array([np.flatnonzero(people == name)[0] for name in names])


def probabilities(limit: GalleryThreshold, scores: Vectors) -> NDArray[np.float64]:
    return np.array([limit.probability(row) for row in scores])


def report(
    title: str, limit: GalleryThreshold, scores: Vectors, people: NDArray[np.str_] | None = None
) -> NDArray[np.float64]:
    """Print which share of strangers are named; returns the probabilities of the nearest people."""
    named = scores.max(axis=1) >= limit.comparison.value
    share, chance = proportion(named, people), probabilities(limit, scores)
    verdict = "ok" if share.value <= FPIR else "MISSED"
    print(
        f"    {title}: {named.sum()} of {len(named)} strangers' photos named, {percent(share.value, 2)} "
        f"({percent_range(share, 2)})  {verdict}; probability {np.median(chance):.4f} (median), "
        f"{np.quantile(chance, 0.99):.3f} (99 of 100)"
    )
    return chance


def promise(
    calibration: Calibration,
    vectors: Vectors,
    people: NDArray[np.str_],
    others: dict[str, Vectors],
) -> None:
    """Galleries of people who set no threshold, and strangers."""
    rng = np.random.default_rng(1)
    names = np.unique(people)
    # those with several photos first, so that there are some to find again
    several = {name for name, n in zip(*np.unique(people, return_counts=True), strict=True) if n > 1}
    order = sorted(rng.permutation(names).tolist(), key=lambda name: name not in several)
    for size in SIZES:
        enrolled = np.array((order[::2] + order[1::2])[:size])
        rows = first_of_each(people, enrolled)
        gallery = vectors[rows]
        limit = GalleryThreshold.of(calibration, FPIR, len(gallery))
        print(
            f"  {len(gallery)} people of one photo: threshold {limit.comparison.value:.4f}, "
            f"{percent(limit.supported_fpir, 2)} of strangers supported"
        )
        outside = ~np.isin(people, enrolled)
        if outside.any():
            strangers = report("the rest", limit, vectors[outside] @ gallery.T, people[outside])
        for name, them in others.items():
            report(name, limit, them @ gallery.T)
        probes = np.isin(people, enrolled) & ~np.isin(np.arange(len(people)), rows)
        scores = vectors[probes] @ gallery.T
        own = enrolled[scores.argmax(axis=1)] == people[probes]
        found = own & (scores.max(axis=1) >= limit.comparison.value)
        chance = probabilities(limit, scores)
        print(
            f"    enrolled: {percent(found.mean())} of {len(found)} photos named, {percent(own.mean())} "
            f"nearest to their own; probability {np.median(chance):.3f} (median)"
        )
        if outside.any():
            agreement(chance, own, strangers)


def clustering(calibration: Calibration, vectors: Vectors, people: NDArray[np.str_]) -> None:
    """Groups of everybody who has four photos, and of 75 of them, at thresholds for some shares of faces."""
    names, count = np.unique(people, return_counts=True)
    several = np.random.default_rng(0).permutation(names[count == 4])
    for some in (several[:75], several):
        rows = np.isin(people, some)
        faces, who = vectors[rows], people[rows]
        upper = np.triu_indices(len(faces), 1)
        same = (who[:, None] == who)[upper]
        for rate in (0.1, 0.03, 0.01):
            group = cluster_faces(faces, calibration.for_gallery(rate, len(faces))[0].value)
            together = (group[:, None] == group)[upper]
            largest = [max(np.unique(who[group == g], return_counts=True)[1]) for g in range(group.max() + 1)]
            print(
                f"  {len(some)} people, {len(faces)} faces, {rate:g}: {len(largest)} groups, "
                f"{len(faces) - sum(largest)} faces in one of somebody else's, "
                f"{percent((same & together).sum() / same.sum())} of pairs together"
            )


def agreement(chance: NDArray[np.float64], own: NDArray[np.bool_], strangers: NDArray[np.float64]) -> None:
    """What the probabilities promise and what is so, where half of all faces are strangers'."""
    both = np.concatenate([chance, strangers])
    right = np.concatenate([own, np.zeros(len(strangers), bool)])
    weight = np.concatenate(
        [np.full(len(chance), 0.5 / len(chance)), np.full(len(strangers), 0.5 / len(strangers))]
    )
    for low, high in ((0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1.0001)):
        inside = (both >= low) & (both < high)
        if inside.sum() >= 10:
            said, so = (np.average(x[inside], weights=weight[inside]) for x in (both, right))
            print(
                f"      probability {low:g} to {min(high, 1):g}: {said:.3f} said, {so:.3f} right "
                f"({inside.sum()} photos)"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("people", type=Path)
    parser.add_argument("embedders", nargs="*", default=["dlib"])
    parser.add_argument("--strangers", type=Path, nargs="*", default=[])
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--ship", type=Path)
    arguments = parser.parse_args()
    made = []
    try:
        for name in arguments.embedders:
            print(name)
            pipeline = FacePipeline(FaceDetector(threads=1), FaceEmbedder(name, threads=1))
            vectors, people = embedded(arguments.people, pipeline, arguments.vectors)
            others = {}
            for folder in arguments.strangers:
                them, who = embedded(folder, pipeline, arguments.vectors)
                others[folder.name] = them[~np.isin(who, people)]
            codes = np.unique(people, return_inverse=True)[1]
            fingerprint = spec_fingerprint(pipeline.embedder.embedding_spec)
            made.append(calibrate(vectors, codes, fingerprint=fingerprint, source="LFW"))
            known = made[-1]
            print(
                f"  calibration: {known.people} people, {known.genuine:,} and {known.impostors:,} pairs; FMR "
                f"down to {known.min_fmr:.2g}"
            )
            for target_fmr in (0.01, 0.001, 1e-4, 1e-5, known.min_fmr):
                at = known.at(target_fmr)
                print(
                    f"    {target_fmr:.2g}: threshold {at.value:.4f}, {percent(at.fmr.value, 4)} "
                    f"({percent_range(at.fmr, 4)}) match falsely, {percent(at.fnmr.value)} missed"
                )
            setting = np.random.default_rng(0).permutation(np.unique(codes))[: (known.people + 1) // 2]
            testing = ~np.isin(codes, setting)  # as `calibrate` splits them
            clustering(known, vectors, people)
            promise(known, vectors[testing], people[testing], others)
    except ReheadError as error:
        raise SystemExit(f"calibration: {error}") from None
    if arguments.ship:
        text = json.dumps([made[0].to_dict()], indent=1, ensure_ascii=False)
        arguments.ship.write_text(text + "\n", encoding="utf-8")
        print(f"wrote {arguments.ship}")


if __name__ == "__main__":
    main()
