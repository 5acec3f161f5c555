"""Small sentences, features and taggers for the tests of `tasks.tagging`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flair
import torch
from flair.embeddings import StackedEmbeddings

import cellzoo
from tasks.data.conll import TaggedSentence
from tasks.data.locate import find
from tasks.data.read import TaggedData
from tasks.data.tags import write_iob2
from tasks.tagging.corpus import flair_sentences, type_dictionary
from tasks.tagging.embeddings import characters, trained_words
from tasks.tagging.settings import TaggingSettings
from tasks.tagging.tagger import CellTagger
from tasks.tagging.tagging import Tagging
from tasks.training.fit import fit, recurrent_layer
from tasks.training.loop import Place
from tasks.training.settings import TrainingSettings

if TYPE_CHECKING:
    from tasks.data.found import FoundData

ROOT = Path(__file__).parents[2]
PEOPLE = ("Ada", "Grace Hopper", "Alan", "Emmy Noether", "Kurt")
PLACES = ("Paris", "New York", "Oslo", "Sao Paulo")
OTHERS = ("yesterday", "the train", "a boat", "maybe", "42 boxes")


def sample_sentences(count: int, offset: int = 0) -> list[TaggedSentence]:
    """Sentences of 5 to 12 tokens with people and places; the same for the same numbers."""
    made = []
    for number in range(offset, offset + count):
        person, place = PEOPLE[number % 5], PLACES[(number // 2) % 4]
        parts = [
            (person, "person"),
            ("saw", ""),
            (OTHERS[(number // 3) % 5], ""),
            ("near", ""),
            (place, "place"),
        ]
        if number % 3 == 0:
            parts += [("and", ""), (PEOPLE[(number + 2) % 5], "person"), ("left", "")]
        tokens: list[str] = []
        entities = []
        for text, kind in parts:
            words = text.split()
            if kind:
                entities.append((len(tokens), len(tokens) + len(words), kind))
            tokens += words
        made.append(TaggedSentence(tuple(tokens), write_iob2(len(tokens), entities)))
    return made


TRAIN = sample_sentences(20)
DEV = sample_sentences(8, 20)
TEST = sample_sentences(9, 28)

DATA = TaggedData({"train": TRAIN, "dev": DEV, "test": TEST}, "IOB2", ())
CPU = torch.device("cpu")
TINY: dict[str, Any] = {
    "hidden_size": 6,
    "word_size": 5,
    "character_size": 3,
    "character_hidden": 2,
    "batch_size": 4,
    "validation_batch_size": 4,
    "locked_dropout": 0.2,
    "dropout_x": 0.1,
    "dropout_h": 0.1,
}
TRAINING: dict[str, Any] = {"epochs": 5, "learning_rate": 0.5, "anneal_factor": 0.5, "anneal_patience": 0}
STRONG = {"word_dropout": 0.0, "locked_dropout": 0.0, "dropout_x": 0.0, "dropout_h": 0.0}


def problem(data: TaggedData = DATA, **settings: Any) -> Tagging:
    """Tagging the sample sentences."""
    return Tagging("samples", data, TaggingSettings(**{**TINY, **settings}), CPU)


def train(
    folder: Path,
    tagging: Tagging | None = None,
    *,
    cell: str = "gru",
    seed: int = 3,
    report: Any = lambda fraction, words: None,
    **training: Any,
) -> Any:
    """A whole training on the sample sentences, or what is left of it."""
    folder.mkdir(parents=True, exist_ok=True)
    place = Place(folder, f"{cell} {seed}".encode().hex().ljust(64, "0"), "samples", report)
    settings = TrainingSettings(**{**TRAINING, **training})
    return fit(tagging or problem(), cellzoo.load(cell), settings, seed, place)


def features() -> StackedEmbeddings:
    return StackedEmbeddings([trained_words(TRAIN, 5, 2), characters(TRAIN, 3, 2)])


def tagger(rnn_type: Any = "cell:lstm", *, seed: int = 0, **settings: Any) -> CellTagger:
    """A tagger with random weights that are large enough to predict something."""
    flair.set_seed(seed)
    made = CellTagger(
        features(), type_dictionary(TRAIN), "ner", rnn_type=rnn_type, **{"hidden_size": 4, **settings}
    )
    with torch.no_grad():
        made.linear.weight.mul_(8)
    return made


def predictions(model: Any) -> list[tuple[list[Any], list[list[float]]]]:
    """Predicted spans with their scores, and the scores of all tags of all tokens, sentence by sentence."""
    read = flair_sentences(TEST)
    model.predict(read, label_name="found", return_probabilities_for_all_classes=True)
    return [
        (
            [(label.data_point.text, label.value, label.score) for label in sentence.get_labels("found")],
            [[float(tag.score) for tag in token.get_tags_proba_dist("found")] for token in sentence.tokens],
        )
        for sentence in read
    ]


def spans_of(sentence: Any, label: str) -> list[tuple[int, int, str]]:
    """Read the spans that a Flair sentence holds under `label`."""
    return [
        (found.data_point.tokens[0].idx - 1, found.data_point.tokens[-1].idx, found.value)
        for found in sentence.get_labels(label)
    ]


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start another Python that sees the tests' own modules; its output can be read line by line."""
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(ROOT / 'tests' / 'helpers')!r})\n{code}",
            *arguments,
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def predicted_tags(model: CellTagger, sentences: list[Any]) -> list[list[str]]:
    """The tags that Flair's own prediction finds, sentence by sentence."""
    tags = []
    for sentence in sentences:
        model.predict(sentence, force_token_predictions=True, label_name="found")
        tags.append([token.get_label("found").value for token in sentence])
    return tags


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model_of(tagging: Tagging, cell: str = "gru", seed: int = 0) -> Any:
    """A tagger's network around a cell, with weights drawn from the seed."""
    drawn = generator(seed)
    return tagging.model(recurrent_layer(cellzoo.load(cell), tagging.layer, drawn), drawn)


NONE = [[("a", "O"), ("b", "O")]]
SOME = [[("Ada", "B-person"), ("left", "O")]]


def corpus_file(
    folder: Path, train: list[Any], dev: list[Any], test: list[Any]
) -> tuple[str, dict[str, FoundData]]:
    """A corpus in column files below a folder, found as users' own data are."""
    for name, sentences in (("train", train), ("dev", dev), ("test", test)):
        lines = ("\n".join(f"{token}\t{tag}" for token, tag in sentence) for sentence in sentences)
        (folder / f"{name}.conll").write_text("\n\n".join(lines) + "\n")
    name = "conll:train.conll,dev.conll,test.conll"
    return name, {name: find(name, folder)}
