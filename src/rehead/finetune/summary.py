"""The summary of a training: as JSON, and in a few sentences."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..evaluation.intervals import Interval, better_by_one_se, mean_difference
from .config import TrainingConfig
from .cross_fit import PairedComparison, ValidationScore
from .fit import TrainingResult
from .model import Network
from .trainable import count_parameters

__all__ = ["summarize", "summarize_keypoints"]

_MIN_PEOPLE = 5  # below, the interval of a difference is not reported: it says next to nothing


def summarize(
    network: Network,
    options: TrainingConfig,
    result: TrainingResult,
    score: ValidationScore,
    probe: ValidationScore | None,
    comparison: PairedComparison | None,
    kept: bool,
    refit_photos: int | None,
    seconds: float,
) -> dict[str, Any]:
    """Summarize the training of a classifier.

    Parameters
    ----------
    network : Network
    options : TrainingConfig
    result : TrainingResult
    score, probe : ValidationScore
        Of the trained network, and of the linear probe where there is one.
    comparison : PairedComparison or None
        Of the two.
    kept : bool
        Whether the model is the trained network.
    refit_photos : int or None
        Number of photos it was refitted on, if it was.
    seconds : float
        Wall time.
    """
    sentences = _sentences(score, probe, comparison, kept, result)
    if refit_photos:
        epochs = "1 epoch" if result.best_epoch == 1 else f"{result.best_epoch} epochs"
        sentences.append(f"Then it was trained once more for {epochs}, on all {refit_photos} photos.")
    return {
        **_training(network, options, result),
        "validation": {
            "photos": len(score.correct),
            "network": score.to_dict(),
            **({"probe": probe.to_dict()} if probe else {}),
            **({"difference": comparison.to_dict()} if comparison else {}),
        },
        "kept": "network" if kept else "probe",
        "refit": refit_photos,
        "sentence": " ".join(sentences),
        "seconds": round(seconds, 3),
    }


def _training(network: Network, options: TrainingConfig, result: TrainingResult) -> dict[str, Any]:
    """What was trained and its curves, whatever the task."""
    total, trained = count_parameters(network)
    fitted = sum(p.numel() for p in network.linear.parameters() if not p.requires_grad)  # in closed form
    return {
        "network": network.name,
        "options": options.to_dict(),
        "size": network.preprocess.size,
        "parameters": {"total": total, "trained": trained + fitted},
        "curves": [asdict(epoch) for epoch in result.curves],
        "head_curves": [asdict(epoch) for epoch in result.head.curves] if result.head else [],
        "best_epoch": result.best_epoch,
        "share": result.alpha,
        "epochs_resumed": result.epochs_resumed,
    }


def _weights_sentences(result: TrainingResult) -> list[str]:
    sentences = []
    if len(result.curves) > 1:
        sentences.append("Each half of these photos was judged by the weights that the other half chose.")
    epoch = f"epoch {result.best_epoch} of {len(result.curves)}"
    if result.alpha < 1:
        percent = f"{100 * result.alpha:.0f} %"
        return [*sentences, f"Its weights lie {percent} of the way from the start to {epoch}."]
    return [*sentences, f"Its weights are those of {epoch}."]


def _sentences(
    score: ValidationScore,
    probe: ValidationScore | None,
    comparison: PairedComparison | None,
    kept: bool,
    result: TrainingResult,
) -> list[str]:
    photos, accuracy = len(score.correct), f"{100 * score.accuracy:.1f} %"
    if probe is None or comparison is None:
        sentence = f"{accuracy} of {photos} validation photos right, log loss {score.log_loss:.3f}."
    else:
        choice = "is kept" if kept else "is not kept: the frozen network with a linear head is"
        sentence = (
            f"On {photos} validation photos the trained network "
            f"{_verb(comparison.log_loss, comparison.significant)} the frozen one with a linear head: "
            f"log loss {score.log_loss:.3f} against {probe.log_loss:.3f} "
            f"({_difference(comparison)}), {accuracy} right against {100 * probe.accuracy:.1f} %; "
            f"it {choice}."
        )
    return [sentence, *_weights_sentences(result)]


def _verb(difference: Interval, significant: bool) -> str:
    if not better_by_one_se(difference):
        return "was not clearly better than" if difference.value < 0 else "did not beat"
    return "beat" if significant else "did better than"


def _difference(comparison: PairedComparison) -> str:
    loss = comparison.log_loss
    text = f"a difference of {loss.value:+.3f}, 95 % interval {loss.low:+.3f} to {loss.high:+.3f}"
    chance = "" if comparison.significant else ": it may be chance"
    return (text + chance).replace("-", "\N{MINUS SIGN}")


def summarize_keypoints(
    network: Network,
    options: TrainingConfig,
    result: TrainingResult,
    errors: NDArray[np.float64],
    closed: NDArray[np.float64],
    groups: NDArray[np.str_],
) -> dict[str, Any]:
    """Summarize the training of a keypoint network, compared with the closed form.

    Parameters
    ----------
    errors, closed : float64 ndarray (n,)
        Mean absolute errors of the validation photos, relative to the photo's sides, of the trained network
        and of the closed form.
    groups : ndarray (n,)
        The person in each photo.
    """
    difference = mean_difference(errors, closed, groups)
    kept = options.keep == "always" or better_by_one_se(difference)
    return {
        **_training(network, options, result),
        "validation": {
            "photos": len(errors),
            "network": round(float(errors.mean()), 6),
            "closed form": round(float(closed.mean()), 6),
            "difference": difference.to_dict(),
        },
        "kept": "network" if kept else "closed form",
        "sentence": _keypoint_sentence(errors, closed, difference, len(set(groups.tolist())), kept, result),
    }


def _keypoint_sentence(
    errors: NDArray[np.float64],
    closed: NDArray[np.float64],
    difference: Interval,
    people: int,
    kept: bool,
    result: TrainingResult,
) -> str:
    significant = people >= _MIN_PEOPLE and (difference.low > 0 or difference.high < 0)
    interval = (
        f"95 % interval {100 * difference.low:+.2f} to {100 * difference.high:+.2f}"
        if people >= _MIN_PEOPLE
        else f"{people} people only"
    )
    chance = "" if significant else ": it may be chance"
    text = f"a difference of {100 * difference.value:+.2f}, {interval}{chance}".replace("-", "\N{MINUS SIGN}")
    sentence = (
        f"On {len(errors)} validation photos the trained network {_verb(difference, significant)} the closed "
        f"form: coordinates off by {100 * errors.mean():.2f} % of the side against "
        f"{100 * closed.mean():.2f} % ({text}); {'the network' if kept else 'the closed form'} is kept."
    )
    return " ".join([sentence, *_weights_sentences(result)])
