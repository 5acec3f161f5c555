"""The probe kind `word-similarity`: cosines of learned word vectors against human ratings."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cellzoo.errors import CellzooError
from tasks.metric import Metric
from tasks.probe import Probed, ProbeKind
from tasks.settings import Settings, Size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tasks.data.found import FoundData
    from tasks.data.vocabulary import Vocabulary
    from tasks.data.word_pairs import WordPair
    from tasks.task import Subject
    from tasks.vectors import LearnedVectors

SETS = {
    "wordsim-353": "WordSim-353",
    "simlex-999": "SimLex-999",
    "men": "MEN",
    "mturk-287": "MTurk-287",
    "mturk-771": "MTurk-771",
    "rg-65": "RG-65",
    "mc-30": "MC-30",
    "wordsim-353-sim": "WordSim-353 similarity",
    "wordsim-353-rel": "WordSim-353 relatedness",
}
"""The published sets: name of the data set -> title."""
SKIP_GRAM = "skip-gram"


class WordSimilaritySettings(Settings):
    """Settings of the word pairs and of the baselines; the vectors of cells come from an earlier run.

    Attributes:
        pairs: Sets of word pairs, separated by commas: data sets by name, or `pairs:FILE`, a file with lines
            `word word score`. Leaderboards rank by Spearman's correlation on the first set.
        vectors: Further word vectors to measure, separated by commas: data sets by name, or `vectors:FILE`.
        corpus: The training text of the baseline skip-gram (gensim's).
        min_count: Words with fewer occurrences in the training text have no vector.
        hidden_size: Size of a vector.
        skip_gram_epochs: Passes over the training text.
        skip_gram_window: Largest distance of a context word.
        skip_gram_negative: Noise words for each context word.
    """

    pairs: str = ",".join(SETS)
    vectors: str = ""
    corpus: str = "news"
    min_count: Size = 2
    hidden_size: Size = 64
    skip_gram_epochs: Size = 20
    skip_gram_window: Size = 5
    skip_gram_negative: Size = 5


def short_names(pairs: str) -> dict[str, str]:
    """Make short names for the metrics of each set, from the letters and digits of its name.

    Args:
        pairs: The setting `pairs`.

    Returns:
        Short name -> name of the data set, in order.

    Raises:
        CellzooError: A short name is empty, or two are equal.
    """
    found: dict[str, str] = {}
    for name in map(str.strip, pairs.split(",")):
        short = re.sub(r"[^a-z0-9]", "", Path(name.partition(":")[2] or name).stem.lower())
        if not short or short in found:
            raise CellzooError(
                f"pairs = {pairs!r:.200}: {name!r} has no letter or digit, or is given twice; expected "
                "names of sets, separated by commas"
            )
        found[short] = name
    return found


def title_of(name: str) -> str:
    """Return the title of a set."""
    return SETS.get(name, name)


def metrics(settings: WordSimilaritySettings) -> tuple[Metric, ...]:
    """List both correlations of each set, then the coverage of each set."""
    sets = short_names(settings.pairs)
    return (
        *(
            Metric(f"{short}_{what}", f"{title_of(name)}, {what.capitalize()}", higher_is_better=True, digits=3)
            for short, name in sets.items()
            for what in ("spearman", "pearson")
        ),
        *(
            Metric(
                f"{short}_coverage",
                f"{title_of(name)}, share of pairs covered",
                higher_is_better=True,
                digits=3,
            )
            for short, name in sets.items()
        ),
    )


def baselines(settings: WordSimilaritySettings) -> tuple[str, ...]:
    """List the baselines: skip-gram, and the vectors that the settings name."""
    return (SKIP_GRAM, *_given(settings))


def measure(
    left: LearnedVectors | None,
    subject: Subject,
    seed: int,
    settings: WordSimilaritySettings,
    data: Mapping[str, FoundData],
    report: Callable[[float, str], None],
) -> Probed:
    """Compare word vectors with human ratings; see `ProbeKind` and `tasks.word_similarity.compare`.

    Raises:
        RunError: In every set too few pairs are covered, or all covered pairs have the same score.
    """
    from tasks.data.read import read_pairs
    from tasks.word_similarity.compare import compare

    sets = {short: read_pairs(data[name]) for short, name in short_names(settings.pairs).items()}
    titles = {short: title_of(name) for short, name in short_names(settings.pairs).items()}
    given = _given(settings)
    if left is not None:
        vectors = left
    elif subject.name in given:
        vectors = _read_given(data[given[subject.name]], sets)
    else:
        vectors = _skip_gram(seed, settings, data, report)
    found = compare(vectors.words, vectors.vectors.numpy(), sets, titles)
    return Probed(found.metrics, found.items, vectors, found.notes)


def check(data: Mapping[str, FoundData], settings: WordSimilaritySettings) -> None:
    """Read the pairs and the text; see `ProbeKind.check`."""
    from tasks.data.read import read_pairs

    _vocabulary(settings, data)
    for name in short_names(settings.pairs).values():
        read_pairs(data[name])


def _given(settings: WordSimilaritySettings) -> dict[str, str]:
    """Return baseline -> name of its vectors; file names are turned into names that are valid in records."""
    found: dict[str, str] = {}
    for name in filter(None, map(str.strip, settings.vectors.split(","))):
        plain = re.sub(r"[^a-z0-9]+", "-", Path(name.partition(":")[2] or name).name.lower()).strip("-")[:60]
        if plain in ("", SKIP_GRAM, *found):
            raise CellzooError(f"vectors = {settings.vectors!r:.200}: {name!r} is empty, or is given twice")
        found[plain] = name
    return found


def _read_given(found: FoundData, sets: Mapping[str, Sequence[WordPair]]) -> LearnedVectors:
    from tasks.data.read import read_word_vectors
    from tasks.task import ParameterCounts
    from tasks.vectors import LearnedVectors
    from tasks.word_similarity.pairs import wanted_words

    read = read_word_vectors(found, wanted_words(pair for pairs in sets.values() for pair in pairs))
    size = read.rows * read.size
    counts = ParameterCounts(cell=0, total_without_embeddings=0, total=size)
    return LearnedVectors(
        read.words, read.vectors, counts, flops_per_token=0, tokens=0, seconds=0.0, history=()
    )


def _vocabulary(settings: WordSimilaritySettings, data: Mapping[str, FoundData]) -> Vocabulary:
    from tasks.data.read import read_texts
    from tasks.data.vocabulary import Vocabulary

    return Vocabulary.build(read_texts(data[settings.corpus])["train"], settings.min_count)


def _skip_gram(
    seed: int,
    settings: WordSimilaritySettings,
    data: Mapping[str, FoundData],
    report: Callable[[float, str], None],
) -> LearnedVectors:
    import torch

    from tasks.data.read import read_texts
    from tasks.data.vocabulary import END, UNKNOWN
    from tasks.task import ParameterCounts
    from tasks.vectors import LearnedVectors
    from tasks.word_similarity.skip_gram import skip_gram

    words = tuple(word for word in _vocabulary(settings, data).words if word not in (UNKNOWN, END))
    documents = read_texts(data[settings.corpus])["train"]
    report(0.0, f"skip-gram, {settings.skip_gram_epochs} epochs")
    started = time.perf_counter()
    vectors = skip_gram(
        documents,
        words,
        size=settings.hidden_size,
        window=settings.skip_gram_window,
        negative=settings.skip_gram_negative,
        epochs=settings.skip_gram_epochs,
        seed=seed,
    )
    seconds = time.perf_counter() - started
    known = set(words)
    occurrences = sum(word in known for document in documents for word in document)
    return LearnedVectors(
        words=words,
        vectors=torch.from_numpy(vectors),
        parameters=ParameterCounts(cell=0, total_without_embeddings=vectors.size, total=2 * vectors.size),
        flops_per_token=0,
        tokens=occurrences * settings.skip_gram_epochs,
        seconds=seconds,
        history=(),
    )


KIND = ProbeKind(
    name="word-similarity",
    summary="cosines of word vectors against human ratings",
    settings=WordSimilaritySettings,
    data=lambda settings: (
        settings.corpus,
        *short_names(settings.pairs).values(),
        *_given(settings).values(),
    ),
    metrics=metrics,
    baselines=baselines,
    measure=measure,
    check=check,
)
