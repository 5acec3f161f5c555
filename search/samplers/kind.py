"""What a file in this folder offers: a sampler, as the object `SAMPLER`.

`search.registry` finds the files by themselves, so a new sampler is one new file; one of another package is
registered in the entry-point group `cellzoo.methods`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.samplers.sampler import BuildSampler
    from search.samplers.settings import SamplerSettings


@dataclass(frozen=True)
class SamplerKind:
    """A sampler.

    Attributes:
        name: What is typed after `cellzoo search`, and the name of its tables in presets.
        summary: One line on what it does, with its source.
        settings: All its settings, with defaults.
        build: Makes the sampler.
    """

    name: str
    summary: str
    settings: type[SamplerSettings]
    build: BuildSampler
