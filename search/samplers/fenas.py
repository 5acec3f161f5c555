"""The search of FENAS: regularised evolution over node lists, with an LSTM in the first population.

Pasunuru & Bansal 2020, "FENAS: Flexible and Expressive Neural Architecture Search": a population of 100, of
which 25 are drawn with replacement and the oldest is removed, 5,000 models in total. They report
that it is 24 % slower without the LSTM.
"""

from __future__ import annotations

from typing import Literal

from search.samplers.evolution import Evolution, EvolutionSettings
from search.samplers.kind import SamplerKind


class FenasSettings(EvolutionSettings):
    """Settings of `fenas`; see `EvolutionSettings` for the others.

    Attributes:
        space: Always the space of FENAS.
        start: Known cells that the first population begins with: `lstm`, `gru`, both or none.
    """

    space: Literal["fenas"] = "fenas"
    start: tuple[Literal["lstm", "gru"], ...] = ("lstm",)


SAMPLER = SamplerKind(
    "fenas",
    "regularised evolution of FENAS node lists, with an LSTM to start from (Pasunuru & Bansal 2020)",
    settings=FenasSettings,
    build=Evolution,
)
