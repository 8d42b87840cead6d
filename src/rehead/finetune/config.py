"""How a network is trained: one value, checked when it is made. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

from ..core.options import NETWORK, Opt, check_options, options_record

__all__ = ["FineTuneConfig", "KeypointFineTuneConfig", "TrainingConfig"]

# Rates of the first steps after warm-up. Kumar et al. 2022 tune fine-tuning over 1e-5 to 1e-3 with AdamW and
# 1e-4 to 1e-2 with SGD; 3e-4 was as good as 1e-3 on faces and better on alpacas (benchmarks/RESULTS.md). What
# starts from random weights takes the optimizers' usual 1e-3 and 1e-2.
_PRETRAINED, _RANDOM = 3e-4, 1e-3
_SGD = 10  # times as much


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a network is trained, whatever it learns.

    Parameters
    ----------
    train : str
        "frozen" trains the head only, "top:N" the last N blocks too, "from:LAYER" all from that block on,
        "all" everything, "scratch" everything from random weights. "auto": frozen, or scratch where there
        are no pretrained weights.
    keep : {"better", "always"}
        "always" keeps the trained network even where what it is compared with is as good.
    head : str
        "linear", "mlp:WIDTH" or "conv", see `model.build`. Where blocks of a pretrained network are trained
        too, the head comes first: a linear one is fitted on the frozen network's features, of as many of the
        trained levels as cross-validation chooses, and stays as it is; another one is trained on the frozen
        network's maps for up to as many epochs (LP-FT, Kumar et al. 2022).
    dropout : float
        Before the last layer of a linear head, in [0, 1).
    epochs : int
        At most so many, 1 or more.
    patience : int
        Stop when the validation loss has not fallen for so many epochs; 0 never stops early.
    lr : float or None
        Learning rate after warm-up, of the head or, where that stays as it was fitted, of the last block.
        None: 3e-4 for pretrained networks and 1e-3 for what starts from random weights, with "sgd" ten times
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
        Preset of `augment.augmentation`: "none", "flip-rotate", "light", "default" or "strong". "auto":
        strong where blocks of a pretrained network are trained (benchmarks/RESULTS.md), default elsewhere.
    cached_views : int
        Augmented views of each photo whose features are cached where the trunk or its first blocks are
        frozen; an epoch sees a random one of them, or the photo itself. 0: with a frozen trunk the photos as
        they are, otherwise fresh views in every epoch, for which the frozen blocks are run again.
    grad_clip : float
        Largest norm of the gradient; 0: no limit.
    ema : float
        In [0, 1). The weights that are validated and kept are an exponential moving average, to which each
        step contributes 1 - ema of what is new (Polyak and Juditsky 1992); 0: those of the last step.
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

    train: Annotated[
        str,
        Opt(
            help="What is trained besides the head: frozen (nothing), top:N (last blocks), from:LAYER, all, "
            "or scratch (all, from random weights).",
            panel=NETWORK,
            shown="frozen; scratch without pretrained weights",
        ),
    ] = "auto"
    keep: Annotated[
        Literal["better", "always"],
        Opt(
            help="Keep the trained network where validation photos show it to be better, or always.",
            panel=NETWORK,
        ),
    ] = "better"
    head: Annotated[
        str,
        Opt(help="linear, mlp:WIDTH or conv.", panel=NETWORK),
    ] = "linear"
    dropout: Annotated[float, Opt(help="Before the last layer.", ge=0, lt=1, panel=NETWORK)] = 0.0
    epochs: Annotated[int, Opt(help="At most.", ge=1, panel=NETWORK)] = 20
    patience: Annotated[
        int,
        Opt(help="Stop after so many epochs without a lower validation loss; 0: never.", ge=0, panel=NETWORK),
    ] = 5
    lr: Annotated[
        float | None,
        Opt(
            help="Learning rate of what is trained last; deeper blocks learn more slowly.",
            gt=0,
            panel=NETWORK,
            shown="3e-4, 1e-3 from random weights; tenfold with sgd",
        ),
    ] = None
    optimizer: Annotated[
        Literal["adamw", "adam", "rmsprop", "sgd"], Opt(help="Of the training steps.", panel=NETWORK)
    ] = "adamw"
    schedule: Annotated[
        Literal["cosine", "constant"], Opt(help="What the rate does after warm-up.", panel=NETWORK)
    ] = "cosine"
    warmup: Annotated[
        float, Opt(help="Share of all steps in which the rate grows.", ge=0, lt=1, panel=NETWORK)
    ] = 0.1
    weight_decay: Annotated[float, Opt(help="How strongly weights are drawn to 0.", ge=0, panel=NETWORK)] = (
        0.01
    )
    layer_decay: Annotated[
        float,
        Opt(
            help="Each block learns at so many times the rate of the one after it.", gt=0, le=1, panel=NETWORK
        ),
    ] = 0.8
    batch_size: Annotated[int, Opt(help="Photos of one step, on each device.", ge=2, panel=NETWORK)] = 32
    augment: Annotated[
        Literal["auto", "none", "flip-rotate", "light", "default", "strong"],
        Opt(
            help="Random changes of the photos; auto is strong where blocks of a pretrained network are "
            "trained.",
            panel=NETWORK,
        ),
    ] = "auto"
    cached_views: Annotated[
        int,
        Opt(
            help="Augmented views of each photo whose features are cached where the network is frozen.",
            ge=0,
            panel=NETWORK,
        ),
    ] = 4
    grad_clip: Annotated[
        float, Opt(help="Largest norm of the gradient; 0: no limit.", ge=0, panel=NETWORK)
    ] = 1.0
    ema: Annotated[
        float,
        Opt(
            help="Decay of the moving average of the weights, which is what is kept; 0: the last ones.",
            ge=0,
            lt=1,
            panel=NETWORK,
        ),
    ] = 0.98
    bn_stats: Annotated[
        Literal["auto", "frozen", "batch"],
        Opt(
            help="Statistics of batch norm in trained blocks; auto freezes those of a pretrained network.",
            panel=NETWORK,
        ),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "32", "bf16-mixed", "16-mixed"], Opt(help="Of the arithmetic.", panel=NETWORK)
    ] = "auto"
    accelerator: Annotated[
        Literal["auto", "cpu", "cuda", "mps"], Opt(help="Where the network is trained.", panel=NETWORK)
    ] = "auto"
    devices: Annotated[int, Opt(help="Accelerators to train on.", ge=1, panel=NETWORK)] = 1

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
    label_smoothing : float
        In [0, 1).
    mixup : float
        Both parameters of the beta distribution of Zhang et al. 2018; 0: no mixup.
    interpolate : bool
        Try weights on the way from a fitted start to the best epoch too (WiSE-FT, Wortsman et al. 2022), and
        take the best ones by the validation photos.
    refit : bool
        Train a network that is kept once more on all photos, those for validation too, for as many epochs as
        were best without them. Temperature and limits are those that were set before.
    validation_share : float
        Share of the training photos that is held out to choose the epoch, the temperature and the limits for
        "unknown", where no validation photos are given.

    All others as in `TrainingConfig`.
    """

    label_smoothing: Annotated[
        float, Opt(help="Share of the label that is spread over all classes.", ge=0, lt=1, panel=NETWORK)
    ] = 0.0
    mixup: Annotated[
        float,
        Opt(help="Blend photos: parameter of the beta distribution; 0: not.", ge=0, panel=NETWORK),
    ] = 0.0
    interpolate: Annotated[
        bool,
        Opt(help="Try weights between the fitted start and the best epoch too (WiSE-FT).", panel=NETWORK),
    ] = True
    refit: Annotated[
        bool,
        Opt(help="Train a network that is kept once more, on the validation photos too.", panel=NETWORK),
    ] = True
    validation_share: Annotated[
        float,
        Opt(help="Share of training photos held out for validation.", gt=0, lt=1, panel=NETWORK),
    ] = 0.2


@dataclass(frozen=True, kw_only=True)
class KeypointFineTuneConfig(TrainingConfig):
    """How a network is trained to place points; what is not said here is as in `TrainingConfig`.

    Parameters
    ----------
    head : {"heatmap", "conv"}
        See `keypoint_model`.
    loss : {"l1", "l2"}
        Absolute or squared error of coordinates.
    side : int
        Of the squares that the network sees, pixels.
    """

    head: Annotated[
        Literal["conv", "heatmap"],
        Opt(help="conv: convolution and two dense layers; heatmap: a map for each point.", panel=NETWORK),
    ] = "heatmap"
    loss: Annotated[
        Literal["l1", "l2"], Opt(help="Absolute or squared error of coordinates.", panel=NETWORK)
    ] = "l1"
    side: Annotated[int, Opt(help="Of the squares that the network sees, pixels.", ge=32, panel=NETWORK)] = (
        128
    )
    train: str = "all"
    lr: float | None = 1e-3
    layer_decay: float = 1.0
    batch_size: int = 16
    augment: Annotated[
        Literal["auto", "none", "light", "default", "strong"],
        Opt(
            help="Random crops: light jitters and mirrors, default also changes the brightness, strong "
            "jitters by half as much again and changes brightness and contrast.",
            panel=NETWORK,
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
