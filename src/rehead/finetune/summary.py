"""What is told of a training: as JSON, and in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..evaluation.intervals import Interval, mean_difference
from .config import TrainingConfig
from .cross_fit import PairedComparison, ValidationScore, better_by_one_se
from .fit import Trained
from .model import Network, count_parameters

__all__ = ["account", "account_of_points"]

_FEW = 5  # people below which the interval of a difference is not told: it says next to nothing


def account(
    network: Network,
    options: TrainingConfig,
    trained: Trained,
    judged: ValidationScore,
    probe: ValidationScore | None,
    verdict: PairedComparison | None,
    kept: bool,
    everyone: int | None,
    seconds: float,
) -> dict[str, Any]:
    """The training of `network`, as it was `judged`; `verdict` is its difference from the `probe`.

    `everyone` is the number of all photos, where it was trained once more on them.
    """
    told = _sentences(judged, probe, verdict, kept, trained) + _refitted(everyone, trained)
    return {
        **_course(network, options.to_dict(), trained),
        "validation": {
            "photos": len(judged.right),
            "network": judged.to_dict(),
            **({"probe": probe.to_dict()} if probe else {}),
            **({"difference": verdict.to_dict()} if verdict else {}),
        },
        "kept": "network" if kept else "probe",
        "refit": everyone,
        "sentence": " ".join(told),
        "seconds": round(seconds, 3),
    }


def _course(network: Network, options: Mapping[str, Any], trained: Trained) -> dict[str, Any]:
    """What was trained and how it went, whatever was learnt."""
    total, trainable = count_parameters(network)
    fitted = sum(p.numel() for p in network.linear.parameters() if not p.requires_grad)  # not by steps
    return {
        "network": network.name,
        "options": dict(options),
        "size": network.preprocess.size,
        "parameters": {"total": total, "trained": trainable + fitted},
        "curves": [asdict(epoch) for epoch in trained.curves],
        "head_curves": [asdict(epoch) for epoch in trained.head.curves] if trained.head else [],
        "best_epoch": trained.best,
        "share": trained.share,
        "epochs_resumed": trained.resumed,
    }


def _refitted(everyone: int | None, trained: Trained) -> list[str]:
    epochs = "1 epoch" if trained.best == 1 else f"{trained.best} epochs"
    return [f"Then it was trained once more for {epochs}, on all {everyone} photos."] if everyone else []


def _ending(trained: Trained) -> list[str]:
    told = []
    if len(trained.curves) > 1:
        told.append("Each half of these photos was judged by the weights that the other half chose.")
    place = f"epoch {trained.best} of {len(trained.curves)}"
    if trained.share < 1:
        return [*told, f"Its weights lie {100 * trained.share:.0f} % of the way from the start to {place}."]
    return [*told, f"Its weights are those of {place}."]


def _sentences(
    judged: ValidationScore,
    probe: ValidationScore | None,
    verdict: PairedComparison | None,
    kept: bool,
    trained: Trained,
) -> list[str]:
    photos, right = len(judged.right), f"{100 * judged.accuracy:.1f} %"
    if probe is None or verdict is None:
        told = [f"{right} of {photos} validation photos right, log loss {judged.log_loss:.3f}."]
    else:
        what = "is kept" if kept else "is not kept: the frozen network with a linear head is"
        told = [
            f"On {photos} validation photos the trained network {_verb(verdict)} the frozen one with a "
            f"linear head: log loss {judged.log_loss:.3f} against {probe.log_loss:.3f} "
            f"({_difference(verdict)}), {right} right against {100 * probe.accuracy:.1f} %; it {what}."
        ]
    return [*told, *_ending(trained)]


def _verb(verdict: PairedComparison) -> str:
    if not verdict.better:
        return "was not clearly better than" if verdict.log_loss.value < 0 else "did not beat"
    return "beat" if verdict.sure else "did better than"


def _difference(verdict: PairedComparison) -> str:
    loss = verdict.log_loss
    ends = f"a difference of {loss.value:+.3f}, 95 % interval {loss.low:+.3f} to {loss.high:+.3f}"
    return (ends if verdict.sure else f"{ends}: it may be chance").replace("-", "\N{MINUS SIGN}")


def account_of_points(
    network: Network,
    options: Mapping[str, Any],
    trained: Trained,
    errors: NDArray[np.float64],
    closed: NDArray[np.float64],
    groups: NDArray[np.str_],
    *,
    always: bool,
) -> dict[str, Any]:
    """The training of a network that places points, beside the closed form.

    Parameters
    ----------
    errors, closed : float64 ndarray (n,)
        Mean absolute errors of the validation photos, in units of the photo's sides, by the trained
        network and by the closed form.
    groups : ndarray (n,)
        Whom they show.
    always : bool
        Whether the network is kept even where it is worse.
    """
    difference = mean_difference(errors, closed, groups)
    kept = always or better_by_one_se(difference)
    return {
        **_course(network, dict(options), trained),
        "validation": {
            "photos": len(errors),
            "network": round(float(errors.mean()), 6),
            "closed form": round(float(closed.mean()), 6),
            "difference": difference.to_dict(),
        },
        "kept": "network" if kept else "closed form",
        "sentence": _sentence_of_points(errors, closed, difference, len(set(groups.tolist())), kept, trained),
    }


def _sentence_of_points(
    errors: NDArray[np.float64],
    closed: NDArray[np.float64],
    difference: Interval,
    people: int,
    kept: bool,
    trained: Trained,
) -> str:
    sure = people >= _FEW and (difference.low > 0 or difference.high < 0)
    if better_by_one_se(difference):
        verb = "beat" if sure else "did better than"
    else:
        verb = "was not clearly better than" if difference.value < 0 else "did not beat"
    ends = (
        f"95 % interval {100 * difference.low:+.2f} to {100 * difference.high:+.2f}"
        if people >= _FEW
        else f"{people} people only"
    )
    away = f"a difference of {100 * difference.value:+.2f}, {ends}{'' if sure else ': it may be chance'}"
    away = away.replace("-", "\N{MINUS SIGN}")
    told = (
        f"On {len(errors)} validation photos the trained network {verb} the closed form: coordinates off by "
        f"{100 * errors.mean():.2f} % of the side against {100 * closed.mean():.2f} % "
        f"({away}); {'the network' if kept else 'the closed form'} is kept."
    )
    return " ".join([told, *_ending(trained)])
