"""The description of a sampler; each file in this folder has one as the object `SAMPLER`.

`search.registry` finds the files, so a new sampler is one new file. Other packages register theirs in the
entry-point group `cellzoo.methods`.
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
        name: The argument of `cellzoo search`, and the name of its tables in presets.
        summary: A description in one line, with its source.
        settings: The class of its settings.
        build: Makes the sampler.
    """

    name: str
    summary: str
    settings: type[SamplerSettings]
    build: BuildSampler
