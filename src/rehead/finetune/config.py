"""How a network is trained: one value, checked when it is made."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from ..errors import DataError, UnknownNameError

__all__ = ["FineTuneConfig"]

_CHOICES = {
    "optimizer": ("adamw", "adam", "rmsprop", "sgd"),
    "schedule": ("cosine", "constant"),
    "bn_stats": ("auto", "frozen", "batch"),
    "precision": ("auto", "32", "bf16-mixed", "16-mixed"),
    "accelerator": ("auto", "cpu", "cuda", "mps"),
}
# Rates of the first steps after warm-up. Kumar et al. 2022 tune fine-tuning over 1e-5 to 1e-3 with AdamW and
# 1e-4 to 1e-2 with SGD; 3e-4 was as good as 1e-3 on faces and better on alpacas (benchmarks/RESULTS.md). What
# starts from random numbers takes the optimizers' usual 1e-3 and 1e-2.
_PRETRAINED, _RANDOM = 3e-4, 1e-3
_SGD = 10  # times as much


@dataclass(frozen=True)
class FineTuneConfig:
    """What is trained, and how.

    Parameters
    ----------
    train : str
        "frozen" trains the head only, "top:N" the last N blocks too, "from:LAYER" all from that block on,
        "all" everything.
    head : str
        "linear", "mlp:WIDTH" or "conv", see `networks.build`. Where blocks of a pretrained network are
        trained too, the head comes first: a linear one is fitted on the frozen network's features, of as many
        of the trained depths as cross-validation chooses, and stays as it is; another one is trained on the
        frozen network's maps for up to as many epochs (LP-FT, Kumar et al. 2022).
    dropout : float
        Before the last layer of a linear head, in [0, 1).
    epochs : int
        At most so many, 1 or more.
    patience : int
        Stop when the validation loss has not fallen for so many epochs; 0 never stops early.
    lr : float or None
        Learning rate after warm-up, of the head or, where that stays as it was fitted, of the last block.
        None: 3e-4 for pretrained networks and 1e-3 for what starts from random numbers, with "sgd" ten times
        as much.
    optimizer : {"adamw", "adam", "rmsprop", "sgd"}
        "sgd" has Nesterov's momentum, 0.9.
    schedule : {"cosine", "constant"}
        What the rate does after warm-up.
    warmup : float
        Share of all steps in which the rate grows from 0, in [0, 1).
    weight_decay : float
    layer_decay : float
        Each block learns at so many times the rate of the block after it, in (0, 1].
    batch_size : int
        2 or more, for each device.
    augment : str
        Preset of `augment.augmentation`: "none", "light", "default" or "strong". "auto": strong where blocks
        of a pretrained network are trained (benchmarks/RESULTS.md), default elsewhere.
    cached_views : int
        Augmented views of each photo whose maps are kept where the trunk or its beginning is frozen; an
        epoch sees a random one of them, or the photo itself. 0: with a frozen trunk the photos as they are,
        otherwise fresh views in every epoch, for which the beginning is run again.
    label_smoothing : float
        In [0, 1).
    mixup : float
        Both parameters of the beta distribution of Zhang et al. 2018; 0: no mixup.
    grad_clip : float
        Largest norm of the gradient; 0: no limit.
    ema : float
        In [0, 1). The weights that are validated and kept are a running average, to which each step
        contributes 1 - ema of what is new (Polyak and Juditsky 1992); 0: those of the last step.
    interpolate : bool
        Try weights on the way from a fitted start to the best epoch too (WiSE-FT, Wortsman et al. 2022), and
        take the best ones by the validation photos. Not for keypoints.
    bn_stats : {"auto", "frozen", "batch"}
        Statistics of batch norm in trained blocks: "frozen", as they were, or those of each "batch".
        "auto": frozen where the network is pretrained, so that training begins with the very features that
        the head was fitted on; see benchmarks/batch_norm.py.
    precision : {"auto", "32", "bf16-mixed", "16-mixed"}
        "auto": bfloat16 on CUDA devices that have it, otherwise 32 bits.
    accelerator : {"auto", "cpu", "cuda", "mps"}
    devices : int
        Several train in processes of their own on this machine.

    Raises
    ------
    DataError, UnknownNameError
        A value out of range; a choice that does not exist.
    """

    train: str = "all"
    head: str = "linear"
    dropout: float = 0.0
    epochs: int = 20
    patience: int = 5
    lr: float | None = None
    optimizer: Literal["adamw", "adam", "rmsprop", "sgd"] = "adamw"
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: float = 0.1
    weight_decay: float = 0.01
    layer_decay: float = 0.8
    batch_size: int = 32
    augment: str = "auto"
    cached_views: int = 4
    label_smoothing: float = 0.0
    mixup: float = 0.0
    grad_clip: float = 1.0
    ema: float = 0.98
    interpolate: bool = True
    bn_stats: Literal["auto", "frozen", "batch"] = "auto"
    precision: Literal["auto", "32", "bf16-mixed", "16-mixed"] = "auto"
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: int = 1

    def __post_init__(self) -> None:
        for name, least in (
            ("epochs", 1),
            ("patience", 0),
            ("batch_size", 2),
            ("cached_views", 0),
            ("devices", 1),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise DataError(f"{name} is {value!r}; expected a whole number, {least} or more")
        for name in ("dropout", "warmup", "label_smoothing", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise DataError(f"{name} is {getattr(self, name)}; expected at least 0 and less than 1")
        for name in ("weight_decay", "mixup", "grad_clip"):
            if not getattr(self, name) >= 0:
                raise DataError(f"{name} is {getattr(self, name)}; expected 0 or more")
        if not 0 < self.layer_decay <= 1:
            raise DataError(f"layer_decay is {self.layer_decay}; expected more than 0 and at most 1")
        if self.lr is not None and not self.lr > 0:
            raise DataError(f"lr is {self.lr}; expected more than 0")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise UnknownNameError(name, str(getattr(self, name)), choices)

    def rate(self, *, pretrained: bool) -> float:
        """Learning rate after warm-up, of what is trained last."""
        if self.lr is not None:
            return self.lr
        return (_PRETRAINED if pretrained else _RANDOM) * (_SGD if self.optimizer == "sgd" else 1)

    def resolve_auto(self, *, pretrained: bool) -> FineTuneConfig:
        """The same with the augmentation that "auto" comes to."""
        if self.augment != "auto":
            return self
        return replace(self, augment="strong" if pretrained and self.train != "frozen" else "default")

    def freeze_bn_stats(self, *, pretrained: bool) -> bool:
        """Whether batch norm in trained blocks keeps its statistics."""
        return self.bn_stats == "frozen" or (self.bn_stats == "auto" and pretrained)

    def to_dict(self) -> dict[str, Any]:
        """Every field as JSON has it."""
        return asdict(self)
