"""The search of FENAS: regularised evolution over node lists, with an LSTM in the first population.

Pasunuru & Bansal 2020, FENAS: Flexible and Expressive Neural Architecture Search: a population of 100, 25 drawn
with replacement, the oldest dies, 5,000 models in all; they found it 24 % slower without the LSTM.
"""

from __future__ import annotations

from typing import Literal

from search.samplers.evolution import Evolution, EvolutionSettings
from search.samplers.kind import SamplerKind


class FenasSettings(EvolutionSettings):
    """Settings of `fenas`: those of `evolution` with the paper's values; see there.

    Attributes:
        space: The space of FENAS alone.
        start: `lstm`, `gru`, both or none.
    """

    space: Literal["fenas"] = "fenas"
    start: tuple[Literal["lstm", "gru"], ...] = ("lstm",)


SAMPLER = SamplerKind(
    "fenas",
    "regularised evolution of FENAS node lists, with an LSTM to start from (Pasunuru & Bansal 2020)",
    settings=FenasSettings,
    build=Evolution,
)
