"""Settings that several methods share: plain values, all of them part of what a search is.

The defaults are those of the DARTS search on Penn Treebank (rnn/train_search.py of quark0/darts).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from cellzoo.errors import CellzooError, unknown
from cellzoo.runtime import RUNTIMES
from search.supernets.layout import Layout, Normalisation, Sharing

Optimizer: TypeAlias = Literal["sgd", "adam"]


@dataclass(frozen=True, kw_only=True)
class SupernetSettings:
    """A supernet over cells made of steps.

    Attributes:
        nodes: As in `Layout`.
        operations: As in `Layout`.
        highway: As in `Layout`.
        sharing: As in `Layout`.
        normalisation: As in `Layout`.
        weight_range: As in `Supernet`; the DARTS code has 0.04.
        engine: As in `Supernet`.
    """

    nodes: int = 8
    operations: tuple[str, ...] = ("none", "tanh", "relu", "sigmoid", "identity")
    highway: bool = True
    sharing: Sharing = "target"
    normalisation: Normalisation = "batch"
    weight_range: float | None = None
    engine: str = "auto"

    def __post_init__(self) -> None:
        self.layout()
        check_supernet(self.weight_range, self.engine)

    def layout(self) -> Layout:
        """The layout of the supernet.

        Raises:
            CellzooError: As in `Layout`.
        """
        return Layout(
            nodes=self.nodes,
            operations=self.operations,
            highway=self.highway,
            sharing=self.sharing,
            normalisation=self.normalisation,
        )


@dataclass(frozen=True, kw_only=True)
class WeightSettings:
    """How weights are trained.

    Attributes:
        optimizer: `sgd` or `adam`.
        learning_rate: For a batch of scale 1.
        weight_decay: L2 penalty that the optimiser applies.
        clip: Largest norm of the gradient of all weights together.
    """

    optimizer: Optimizer = "sgd"
    learning_rate: float = 20.0
    weight_decay: float = 5e-7
    clip: float = 0.25

    def __post_init__(self) -> None:
        if self.optimizer not in ("sgd", "adam"):
            raise unknown("optimizer", self.optimizer, ("sgd", "adam"))
        check_positive(learning_rate=self.learning_rate, clip=self.clip)
        check_not_negative(weight_decay=self.weight_decay)


@dataclass(frozen=True, kw_only=True)
class ArchitectureSettings:
    """How architecture parameters are trained: by Adam, without clipping.

    Attributes:
        architecture_learning_rate: Of Adam.
        architecture_weight_decay: L2 penalty that it applies.
        architecture_momentum: Its first beta, how much of the gradients before is in a step.
    """

    architecture_learning_rate: float = 3e-3
    architecture_weight_decay: float = 1e-3
    architecture_momentum: float = 0.9

    def __post_init__(self) -> None:
        check_positive(architecture_learning_rate=self.architecture_learning_rate)
        check_not_negative(architecture_weight_decay=self.architecture_weight_decay)
        if not 0.0 <= self.architecture_momentum < 1.0:
            raise CellzooError(
                f"architecture_momentum is {self.architecture_momentum}; it must be at least 0 and below 1"
            )


@dataclass(frozen=True, kw_only=True)
class BilevelSettings(SupernetSettings, WeightSettings, ArchitectureSettings):
    """What a search by gradients on held-out data is made of.

    Attributes:
        order: 1: the architecture's gradient where the weights are. 2: where they would be after one more step,
            with the finite difference of the DARTS paper, equation 8.
        cap_coefficient: Second order: whether the factor that clipping puts on the gradient is at most 1, as it
            is where the gradient itself is clipped. The DARTS code does not cap it in the correction term.
        same_masks: Second order: whether the three passes over the training batch have the same dropout masks.
            The DARTS code draws them anew, which makes the difference of two of them noisy.
        move_tied: Second order: whether a matrix that is both embedding and decoder takes part in the step
            ahead. In the DARTS code it does not: there the copy of the model that takes the step gets the old
            decoder after the new embedding, and both are one tensor.
    """

    order: Literal[1, 2] = 1
    cap_coefficient: bool = True
    same_masks: bool = True
    move_tied: bool = True

    def __post_init__(self) -> None:
        SupernetSettings.__post_init__(self)
        WeightSettings.__post_init__(self)
        ArchitectureSettings.__post_init__(self)
        if self.order not in (1, 2):
            raise CellzooError(f"order is {self.order}; expected 1 or 2")
        if self.order == 2 and self.optimizer != "sgd":
            raise CellzooError("order 2 looks ahead by a step of sgd, so optimizer must be 'sgd'")


def check_supernet(weight_range: float | None, engine: str) -> None:
    """Check what `Supernet` takes besides its layout.

    Raises:
        CellzooError: One is out of range.
    """
    if weight_range is not None:
        check_positive(weight_range=weight_range)
    if engine not in RUNTIMES:
        raise unknown("engine", engine, RUNTIMES)


def check_positive(**values: float) -> None:
    """Check that settings are above 0.

    Raises:
        CellzooError: One is not.
    """
    for name, value in values.items():
        if not value > 0.0:
            raise CellzooError(f"{name} is {value}; it must be above 0")


def check_not_negative(**values: float) -> None:
    """Check that settings are not below 0.

    Raises:
        CellzooError: One is.
    """
    for name, value in values.items():
        if not value >= 0.0:
            raise CellzooError(f"{name} is {value}; it must not be below 0")


def check_counts(**values: int) -> None:
    """Check that settings are at least 1.

    Raises:
        CellzooError: One is not.
    """
    for name, value in values.items():
        if value < 1:
            raise CellzooError(f"{name} is {value}; it must be at least 1")
