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
    """How the shared weights of a supernet are trained; see `OptimizerSettings` for the others.

    Attributes:
        engine: As in `Supernet`.
        precision: As in `CellRNN`, for the supernet: `bf16` computes its products from bfloat16 where the
            processor can. At 300 units that is a third faster, at 100 it is not. A record names it unless it is
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
                f"precision 'bf16' is of the engines 'auto' and 'native'; the engine {self.engine!r} has none"
            )
        return self


class SupernetSettings(SharedSettings):
    """A supernet over cells made of steps; see `SharedSettings` for the others.

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
    """How architecture parameters are trained: by Adam, without clipping.

    Attributes:
        architecture_learning_rate: Of Adam.
        architecture_weight_decay: L2 penalty that it applies.
        architecture_momentum: Its first beta, how much of the gradients before is in a step.
    """

    architecture_learning_rate: Positive = 3e-3
    architecture_weight_decay: NotNegative = 1e-3
    architecture_momentum: Probability = 0.9


class BilevelSettings(ArchitectureSettings, SupernetSettings):
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

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.order == 2 and self.optimizer != "sgd":
            raise ValueError("order 2 looks ahead by a step of sgd, so optimizer must be 'sgd'")
        return self
