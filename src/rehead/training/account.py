"""What is told of a training: as JSON, and in one sentence."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .fit import Trained
from .judge import Judged, Verdict
from .networks import Network, count_parameters
from .options import TrainingOptions

__all__ = ["account"]


def account(
    network: Network,
    options: TrainingOptions,
    trained: Trained,
    judged: Judged,
    probe: Judged | None,
    verdict: Verdict | None,
    kept: bool,
    seconds: float,
) -> dict[str, Any]:
    """The training of `network`, as it was `judged`; `verdict` is its difference from the `probe`."""
    total, trainable = count_parameters(network)
    return {
        "network": network.name,
        "options": options.to_dict(),
        "size": network.preprocess.size,
        "parameters": {"total": total, "trained": trainable},
        "curves": [asdict(epoch) for epoch in trained.curves],
        "head_curves": [asdict(epoch) for epoch in trained.head_curves],
        "best_epoch": trained.best,
        "epochs_resumed": trained.resumed,
        "validation": {
            "photos": len(judged.right),
            "network": judged.to_dict(),
            **({"probe": probe.to_dict()} if probe else {}),
            **({"difference": verdict.to_dict()} if verdict else {}),
        },
        "kept": "network" if kept else "probe",
        "sentence": " ".join(_sentences(judged, probe, verdict, kept, trained)),
        "seconds": round(seconds, 3),
    }


def _sentences(
    judged: Judged, probe: Judged | None, verdict: Verdict | None, kept: bool, trained: Trained
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
    if len(trained.curves) > 1:
        told.append("Each half of these photos was judged at the epoch that the other half chose.")
    told.append(f"The weights are those of epoch {trained.best} of {len(trained.curves)}.")
    return told


def _verb(verdict: Verdict) -> str:
    if not verdict.better:
        return "did not beat"
    return "beat" if verdict.sure else "did better than"


def _difference(verdict: Verdict) -> str:
    loss = verdict.log_loss
    ends = f"a difference of {loss.value:+.3f}, 95 % interval {loss.low:+.3f} to {loss.high:+.3f}"
    return (ends if verdict.sure else f"{ends}: it may be chance").replace("-", "\N{MINUS SIGN}")
