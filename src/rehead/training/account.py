"""What is told of a training: as JSON, and in one sentence."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .fit import Trained
from .networks import Network, count_parameters
from .options import TrainingOptions

__all__ = ["Score", "account"]


@dataclass(frozen=True)
class Score:
    """How good logits are on the validation photos, after one temperature.

    Parameters
    ----------
    accuracy : float
        Share that is right.
    log_loss : float
        Nats.
    """

    accuracy: float
    log_loss: float


def account(
    network: Network,
    options: TrainingOptions,
    trained: Trained,
    probe: Score | None,
    score: Score,
    photos: int,
    kept: bool,
    seconds: float,
) -> dict[str, Any]:
    """The training of `network`, whose `score` stands against that of the `probe` on so many photos."""
    total, trainable = count_parameters(network)
    return {
        "network": network.name,
        "options": options.to_dict(),
        "size": network.preprocess.size,
        "parameters": {"total": total, "trained": trainable},
        "curves": [asdict(epoch) for epoch in trained.curves],
        "best_epoch": trained.best,
        "epochs_resumed": trained.resumed,
        "validation": {
            "photos": photos,
            "network": asdict(score),
            **({"probe": asdict(probe)} if probe else {}),
        },
        "kept": "network" if kept else "probe",
        "sentence": _sentence(probe, score, photos, kept, trained),
        "seconds": round(seconds, 3),
    }


def _sentence(probe: Score | None, score: Score, photos: int, kept: bool, trained: Trained) -> str:
    epochs = f"The weights are those of epoch {trained.best} of {len(trained.curves)}."
    right = f"{100 * score.accuracy:.1f} %"
    if probe is None:
        return f"{right} of {photos} validation photos right, log loss {score.log_loss:.3f}. {epochs}"
    better = score.log_loss < probe.log_loss
    verdict = "beat" if better else "did not beat"
    what = "is kept" if kept else "is not kept: the frozen network with a linear head is"
    return (
        f"On {photos} validation photos the trained network {verdict} the frozen one with a linear head: "
        f"log loss {score.log_loss:.3f} against {probe.log_loss:.3f}, {right} right against "
        f"{100 * probe.accuracy:.1f} %; it {what}. {epochs}"
    )
