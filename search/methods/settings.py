"""Settings that several methods share.

The defaults are those of the DARTS search on Penn Treebank (rnn/train_search.py of quark0/darts).
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import field_validator, model_validator

from cellzoo.errors import unknown
from cellzoo.runtime import RUNTIMES, load_engine
from search.supernets.layout import Layout, Normalisation, Sharing
from tasks.settings import NotNegative, Positive, Probability, Settings, Size
from tasks.training.settings import OptimizerSettings


class SharedSettings(OptimizerSettings):
    """Settings of the training of a supernet's shared weights; see `OptimizerSettings` for the others.

    Attributes:
        engine: As in `Supernet`.
        precision: As in `CellRNN`: `bf16` computes the supernet's products in bfloat16 if the processor
            supports it. That is a third faster at 300 units, but not at 100. Records state it unless it is
            `full`.
    """

    learning_rate: Positive = 20.0
    weight_decay: NotNegative = 5e-7
    clip: Positive = 0.25
    engine: str = "auto"
    precision: Literal["full", "bf16"] = "full"

    @field_validator("engine")
    @classmethod
    def _check_engine(cls, engine: str) -> str:
        if engine not in RUNTIMES:
            raise unknown("engine", engine, RUNTIMES)
        return engine

    @model_validator(mode="after")
    def _check_precision(self) -> Self:
        if self.precision == "bf16" and load_engine(self.engine).prepare_rounding_plans is None:
            raise ValueError(
                f"precision 'bf16' needs the engine 'auto' or 'native'; the engine is {self.engine!r}"
            )
        return self


class SupernetSettings(SharedSettings):
    """Settings of a supernet over cells made of nodes, as in DARTS; see `SharedSettings` for the others.

    Attributes:
        nodes: As in `Layout`.
        operations: As in `Layout`.
        highway: As in `Layout`.
        sharing: As in `Layout`.
        normalisation: As in `Layout`.
    """

    nodes: Size = 8
    operations: tuple[str, ...] = ("none", "tanh", "relu", "sigmoid", "identity")
    highway: bool = True
    sharing: Sharing = "target"
    normalisation: Normalisation = "batch"

    @model_validator(mode="after")
    def _check_layout(self) -> Self:
        self.layout()
        return self

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


class ArchitectureSettings(Settings):
    """Settings of the training of architecture parameters: by Adam, without clipping.

    Attributes:
        architecture_learning_rate: Of Adam.
        architecture_weight_decay: L2 penalty of Adam.
        architecture_momentum: First beta of Adam.
    """

    architecture_learning_rate: Positive = 3e-3
    architecture_weight_decay: NotNegative = 1e-3
    architecture_momentum: Probability = 0.9


class BilevelSettings(ArchitectureSettings, SupernetSettings):
    """Settings of bilevel optimisation: the architecture is trained on held-out data, as in DARTS.

    Attributes:
        order: 1: the gradient of the architecture at the current weights. 2: at the weights after one more
            training step (unrolled), with the finite difference of the DARTS paper, equation 8.
        cap_coefficient: Second order: whether the clipping coefficient in the correction term is at most 1, as
            in the clipping of the gradient itself. The DARTS code does not cap it there.
        same_masks: Second order: whether the three passes over the training batch use the same dropout masks.
            The DARTS code draws new ones, which adds noise to the finite difference.
        move_tied: Second order: whether a matrix that is both embedding and decoder is updated in the unrolled
            step. In the DARTS code it is not: the unrolled copy of the model first gets the new embedding and
            then the old decoder, which is the same tensor.
    """

    order: Literal[1, 2] = 1
    cap_coefficient: bool = True
    same_masks: bool = True
    move_tied: bool = True

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.order == 2 and self.optimizer != "sgd":
            raise ValueError("order 2 unrolls a step of sgd, so optimizer must be 'sgd'")
        return self
