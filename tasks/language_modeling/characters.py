"""The problem kind `character-modeling`: character language models for Flair (Akbik et al. 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cellzoo.errors import CellzooError, DataError
from tasks.data.own import split_items
from tasks.data.vocabulary import Vocabulary
from tasks.language_modeling.model_file import LANGUAGE_MODEL_FILE
from tasks.language_modeling.settings import (
    BITS,
    MEASURES,
    PERPLEXITY,
    LanguageModelingSettings,
    final_metrics,
)
from tasks.model_file import ModelFile
from tasks.problem import Outline, ProblemKind
from tasks.settings import Count, NotNegative, Probability, Size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import torch
    from torch import nn

    from tasks.data.found import FoundData
    from tasks.data.splits import Split
    from tasks.language_modeling.modeling import LanguageModeling
    from tasks.language_modeling.text import Text
    from tasks.problem import Problem


class CharacterSettings(LanguageModelingSettings):
    """The settings of word language models, with the defaults of Flair's; a token is a character.

    Attributes:
        direction: `backward` reads the text from its end, as the second model of a pair does.
    """

    direction: Literal["forward", "backward"] = "forward"
    corpus: str = "wikitext-2"
    min_count: Size = 2
    hidden_size: Size = 1024
    embedding_size: Count = 100
    tied: bool = False
    dropout: Probability = 0.1
    dropout_e: Probability = 0.0
    dropout_i: Probability = 0.1
    dropout_x: Probability = 0.0
    dropout_h: Probability = 0.0
    batch_size: Size = 100
    bptt: Size = 250
    jitter: Literal["none", "gaussian", "halved"] = "none"
    beta: NotNegative = 0.0
    evaluation_context: Count = 250


def read_characters(found: FoundData, settings: CharacterSettings) -> Text:
    """Read a text as characters; the end of each line is the character `<eos>`.

    Raises:
        DataError: A file cannot be read, a split is empty, or the text has fewer than two characters.
    """
    import torch

    from tasks.language_modeling.text import Text

    if found.data_set.format != "lines":
        raise DataError(f"{found.places}: is not a text of lines; a character model reads text:FILE or such")
    encoding = found.data_set.encoding
    parts = {role: [line.strip() for line in part.lines(encoding)] for role, part in found.parts.items()}
    splits: dict[Split, Sequence[str]] = split_items(parts)
    if settings.direction == "backward":
        splits = {split: [line[::-1] for line in reversed(lines)] for split, lines in splits.items()}
    empty = [split for split, lines in splits.items() if not any(lines)]
    if empty:
        raise DataError(f"{found.places}: the {empty[0]} split has no character")
    vocabulary = Vocabulary.build(splits["train"], settings.min_count)
    if len(vocabulary) < 4:
        raise DataError(f"{found.places}: has fewer than two characters; there is nothing to predict")
    limits: dict[str, int] = {"train": settings.train_words, "dev": settings.dev_words}
    characters, lengths = {}, {}
    for split, lines in splits.items():
        limit = limits.get(split, 0)
        kept = _first(lines, limit) if limit else lines
        characters[split] = torch.tensor(vocabulary.stream(kept))  # (N,)
        lengths[split] = torch.tensor([len(line) + 1 for line in kept])
    return Text(
        found.name, found.places, vocabulary, characters, lengths, lengths, found.notes, unit="characters"
    )


def _first(lines: Sequence[str], limit: int) -> list[str]:
    """Return whole lines from the start until they have `limit` characters."""
    kept: list[str] = []
    for line in lines:
        if limit <= 0:
            break
        kept.append(line)
        limit -= len(line) + 1
    return kept


def outline(settings: CharacterSettings) -> Outline:
    """See `tasks.problem.Outline`."""
    return Outline((settings.corpus,), (PERPLEXITY, BITS), PERPLEXITY.name, final=final_metrics(settings))


def build(
    data: Mapping[str, FoundData], settings: CharacterSettings, device: torch.device, cache: Path | None = None
) -> LanguageModeling:
    """Read a text and make the problem; see `tasks.problem.BuildProblem`."""
    from tasks.language_modeling.modeling import LanguageModeling

    if settings.model != "single" or settings.tied or settings.softmax != "full":
        raise CellzooError(
            "character models have model = 'single', tied = false and softmax = 'full', as Flair's have"
        )
    return LanguageModeling(read_characters(data[settings.corpus], settings), settings, device)


def write_for_flair(problem: Problem, model: nn.Module, path: Path) -> None:
    """Write the model in Flair's format; see `tasks.problem.ProblemKind`."""
    from tasks.language_modeling.flair_file import write_flair_file

    write_flair_file(problem, model, path)


KIND = ProblemKind(
    name="character-modeling",
    summary="predict each character of a text; writes a language model for Flair",
    settings=CharacterSettings,
    outline=outline,
    build=build,
    keeps=LANGUAGE_MODEL_FILE,
    leaves=ModelFile("flair.pt", write_for_flair),
    measures=MEASURES,
)
