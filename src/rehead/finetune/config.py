"""How a network is trained: one value, checked when it is made. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal, Self

from ..core.options import NETWORK, Opt, check_options, options_record

__all__ = ["FineTuneConfig", "KeypointFineTuneConfig", "TrainingConfig"]

# Rates of the first steps after warm-up. Kumar et al. 2022 tune fine-tuning over 1e-5 to 1e-3 with AdamW and
# 1e-4 to 1e-2 with SGD; 3e-4 was as good as 1e-3 on faces and better on alpacas (benchmarks/RESULTS.md). What
# starts from random weights takes the optimizers' usual 1e-3 and 1e-2.
_PRETRAINED, _RANDOM = 3e-4, 1e-3
_SGD = 10  # times as much

_option = partial(Opt, panel=NETWORK)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a network is trained, whatever it learns.

    Parameters
    ----------
    train : str
        As its help says; "auto": frozen, or scratch where there are no pretrained weights.
    keep : {"better", "always"}
        "always" keeps the trained network even where what it is compared with is as good.
    head : str
        See `model.build`. Where blocks of a pretrained network are trained too, the head comes first: a
        linear one is fitted on the frozen network's features, of as many of the trained levels as
        cross-validation chooses, and stays as it is; another one is trained on the frozen network's maps for
        up to as many epochs (LP-FT, Kumar et al. 2022).
    lr : float or None
        After warm-up, of the head or, where that stays as it was fitted, of the last block. None: 3e-4 for
        pretrained networks and 1e-3 for what starts from random weights, with "sgd" ten times as much.
    optimizer : {"adamw", "adam", "rmsprop", "sgd"}
        "sgd" has Nesterov's momentum, 0.9.
    augment : str
        Preset of `augment.augmentation`. "auto": strong where blocks of a pretrained network are trained
        (benchmarks/RESULTS.md), default elsewhere.
    cached_views : int
        Where the trunk or its first blocks are frozen, an epoch sees a random one of these views of each
        photo, or the photo itself. 0: with a frozen trunk the photos as they are, otherwise fresh views in
        every epoch, for which the frozen blocks are run again.
    ema : float
        The weights that are validated and kept are an exponential moving average, to which each step
        contributes 1 - ema of what is new (Polyak and Juditsky 1992); 0: those of the last step.
    bn_stats : {"auto", "frozen", "batch"}
        "frozen": as they were; "batch": those of each batch. "auto": frozen where the network is pretrained,
        so that training begins with the very features that the head was fitted on; see
        benchmarks/batch_norm.py.
    precision : {"auto", "32", "bf16-mixed", "16-mixed"}
        "auto": bfloat16 on CUDA devices that have it, otherwise 32 bits.
    devices : int
        Several train in processes of their own on this machine.
    dropout, epochs, patience, schedule, warmup, weight_decay, layer_decay, batch_size, grad_clip, accelerator
        As their help says below, with their ranges.

    Raises
    ------
    DataError, UnknownNameError
        A value out of range; a choice that does not exist.
    """

    train: Annotated[
        str,
        _option(
            help="What is trained besides the head: frozen (nothing), top:N (last blocks), from:LAYER, all, "
            "or scratch (all, from random weights).",
            shown="frozen; scratch without pretrained weights",
        ),
    ] = "auto"
    keep: Annotated[
        Literal["better", "always"],
        _option(help="Keep the trained network where validation photos show it to be better, or always."),
    ] = "better"
    head: Annotated[str, _option(help="linear, mlp:WIDTH or conv.")] = "linear"
    dropout: Annotated[float, _option(help="Before the last layer.", ge=0, lt=1)] = 0.0
    epochs: Annotated[int, _option(help="At most.", ge=1)] = 20
    patience: Annotated[
        int, _option(help="Stop after so many epochs without a lower validation loss; 0: never.", ge=0)
    ] = 5
    lr: Annotated[
        float | None,
        _option(
            help="Learning rate of what is trained last; deeper blocks learn more slowly.",
            gt=0,
            shown="3e-4, 1e-3 from random weights; tenfold with sgd",
        ),
    ] = None
    optimizer: Annotated[
        Literal["adamw", "adam", "rmsprop", "sgd"], _option(help="Of the training steps.")
    ] = "adamw"
    schedule: Annotated[Literal["cosine", "constant"], _option(help="What the rate does after warm-up.")] = (
        "cosine"
    )
    warmup: Annotated[float, _option(help="Share of all steps in which the rate grows.", ge=0, lt=1)] = 0.1
    weight_decay: Annotated[float, _option(help="How strongly weights are drawn to 0.", ge=0)] = 0.01
    layer_decay: Annotated[
        float,
        _option(help="Each block learns at so many times the rate of the one after it.", gt=0, le=1),
    ] = 0.8
    batch_size: Annotated[int, _option(help="Photos of one step, on each device.", ge=2)] = 32
    augment: Annotated[
        Literal["auto", "none", "flip-rotate", "light", "default", "strong"],
        _option(
            help="Random changes of the photos; auto is strong where blocks of a pretrained network are "
            "trained."
        ),
    ] = "auto"
    cached_views: Annotated[
        int,
        _option(
            help="Augmented views of each photo whose features are cached where the network is frozen.", ge=0
        ),
    ] = 4
    grad_clip: Annotated[float, _option(help="Largest norm of the gradient; 0: no limit.", ge=0)] = 1.0
    ema: Annotated[
        float,
        _option(
            help="Decay of the moving average of the weights, which is what is kept; 0: the last ones.",
            ge=0,
            lt=1,
        ),
    ] = 0.98
    bn_stats: Annotated[
        Literal["auto", "frozen", "batch"],
        _option(
            help="Statistics of batch norm in trained blocks; auto freezes those of a pretrained network."
        ),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "32", "bf16-mixed", "16-mixed"], _option(help="Of the arithmetic.")
    ] = "auto"
    accelerator: Annotated[
        Literal["auto", "cpu", "cuda", "mps"], _option(help="Where the network is trained.")
    ] = "auto"
    devices: Annotated[int, _option(help="Accelerators to train on.", ge=1)] = 1

    def __post_init__(self) -> None:
        check_options(self)

    def rate(self, *, pretrained: bool) -> float:
        """Learning rate after warm-up, of what is trained last."""
        if self.lr is not None:
            return self.lr
        return (_PRETRAINED if pretrained else _RANDOM) * (_SGD if self.optimizer == "sgd" else 1)

    def resolve_auto(self, *, pretrained: bool) -> Self:
        """The same with what is trained, and the augmentation, that "auto" and "scratch" come to."""
        train = "frozen" if self.train == "auto" and pretrained else self.train
        train = "all" if train in ("auto", "scratch") else train
        if self.augment != "auto":
            return replace(self, train=train)
        return replace(self, train=train, augment="strong" if pretrained and train != "frozen" else "default")

    def freeze_bn_stats(self, *, pretrained: bool) -> bool:
        """Whether batch norm in trained blocks keeps its statistics."""
        return self.bn_stats == "frozen" or (self.bn_stats == "auto" and pretrained)

    def to_dict(self) -> dict[str, Any]:
        """Every option as JSON has it."""
        return options_record(self)


@dataclass(frozen=True, kw_only=True)
class FineTuneConfig(TrainingConfig):
    """How a classifier's network is trained.

    Parameters
    ----------
    mixup : float
        Both parameters of the beta distribution of Zhang et al. 2018.
    interpolate : bool
        The best weights by the validation photos are taken (WiSE-FT, Wortsman et al. 2022).
    refit : bool
        For as many epochs as were best before. Temperature and limits are those that were set before.
    validation_share : float
        Held out to choose the epoch, the temperature and the limits for "unknown", where no validation photos
        are given.
    label_smoothing
        As its help says; all others as in `TrainingConfig`.
    """

    label_smoothing: Annotated[
        float, _option(help="Share of the label that is spread over all classes.", ge=0, lt=1)
    ] = 0.0
    mixup: Annotated[
        float, _option(help="Blend photos: parameter of the beta distribution; 0: not.", ge=0)
    ] = 0.0
    interpolate: Annotated[
        bool, _option(help="Try weights between the fitted start and the best epoch too (WiSE-FT).")
    ] = True
    refit: Annotated[
        bool, _option(help="Train a network that is kept once more, on the validation photos too.")
    ] = True
    validation_share: Annotated[
        float, _option(help="Share of training photos held out for validation.", gt=0, lt=1)
    ] = 0.2


@dataclass(frozen=True, kw_only=True)
class KeypointFineTuneConfig(TrainingConfig):
    """How a network is trained to place points; what is not said here is as in `TrainingConfig`.

    The heads are those of `keypoint_model`.
    """

    head: Annotated[
        Literal["conv", "heatmap"],
        _option(help="conv: convolution and two dense layers; heatmap: a map for each point."),
    ] = "heatmap"
    loss: Annotated[Literal["l1", "l2"], _option(help="Absolute or squared error of coordinates.")] = "l1"
    side: Annotated[int, _option(help="Of the squares that the network sees, pixels.", ge=32)] = 128
    train: str = "all"
    lr: float | None = 1e-3
    layer_decay: float = 1.0
    batch_size: int = 16
    augment: Annotated[
        Literal["auto", "none", "light", "default", "strong"],
        _option(
            help="Random crops: light jitters and mirrors, default also changes the brightness, strong "
            "jitters by half as much again and changes brightness and contrast."
        ),
    ] = "default"

    def resolve_auto(self, *, pretrained: bool) -> Self:
        """See `TrainingConfig`; augmentation is "default", a `conv` head has the statistics of batches."""
        config = replace(
            super().resolve_auto(pretrained=pretrained),
            augment="default" if self.augment == "auto" else self.augment,
        )
        if config.head == "conv" and config.bn_stats == "auto":
            # by frozen statistics a conv head does not get off the mean shape (benchmarks/RESULTS.md)
            return replace(config, bn_stats="batch")
        return config
