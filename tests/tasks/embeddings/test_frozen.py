"""Frozen embeddings: evaluation mode, the cache on disk, and damaged, shared and full cache folders."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from itertools import combinations
from pathlib import Path

import flair
import pytest
import torch
from flair.data import Sentence
from flair.embeddings import (
    FlairEmbeddings,
    OneHotEmbeddings,
    StackedEmbeddings,
    TokenEmbeddings,
    WordEmbeddings,
)
from flair.models import LanguageModel
from tagging_samples import DEV, TRAIN, python
from tiny_bert import bert, write_bert

from cellzoo.errors import CellzooError, OutputError
from cellzoo.system import tensor_file
from tasks.data.conll import TaggedSentence
from tasks.embeddings import FrozenEmbeddings, frozen
from tasks.embeddings.batch import token_features
from tasks.embeddings.identity import identity
from tasks.tagging.corpus import flair_sentences, type_dictionary
from tasks.tagging.embeddings import characters, trained_words
from tasks.tagging.tagger import CellTagger
from tasks.training.state import frozen_keys

TOKENS = sum(len(sentence.tokens) for sentence in TRAIN)
DISTINCT = len({sentence.tokens for sentence in TRAIN})


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_bert(tmp_path_factory.mktemp("model") / "bert")


def words(seed=0, *, known=("saw", "near", "Paris"), **settings):
    torch.manual_seed(seed)
    vocabulary = {word: row for row, word in enumerate(known)}
    made = WordEmbeddings(None, vocab=vocabulary, embedding_length=4, name="words", **settings)
    with torch.no_grad():
        made.embedding.weight.copy_(torch.randn(len(known) + 1, 4))
    return made


class Counting(TokenEmbeddings):
    """Vectors that tell the sentence's length and the token's; counts the sentences it is asked for."""

    embeddings_name = "test-counting"

    def __init__(self):
        super().__init__()
        self.name = "counting"
        self.asked = 0

    @property
    def embedding_length(self):
        return 2

    def _add_embeddings_internal(self, sentences):
        self.asked += len(sentences)
        for sentence in sentences:
            for token in sentence.tokens:
                token.set_embedding(self.name, torch.tensor([len(sentence), len(token.text)]).float())


def counting(folder, **settings):
    return FrozenEmbeddings(Counting(), folder, identity="counting", **settings)


def right(sentences):
    return [[float(len(s)), float(len(token.text))] for s in sentences for token in s.tokens]


def files(folder):
    return sorted(folder.glob("*/vectors-*.safetensors"))


def test_a_frozen_transformer_has_no_dropout_and_no_gradient(model):
    sentences = flair_sentences(TRAIN[:3])
    inner = bert(model)
    inner.eval()
    expected = token_features(inner, sentences).detach().clone()
    inner.train()
    for sentence in sentences:
        sentence.clear_embeddings()
    assert not torch.allclose(token_features(inner, sentences), expected), "Flair's own has no dropout: no test"
    for sentence in sentences:
        sentence.clear_embeddings()
    features = FrozenEmbeddings(inner)
    features.train()
    found = features.token_features(sentences)
    assert torch.equal(found, expected)
    assert not found.requires_grad
    assert not any(module.training for module in features.modules())
    assert not any(token._embeddings for sentence in sentences for token in sentence.tokens)


@pytest.mark.parametrize("kind", ["words", "transformer", "stack"])
def test_what_is_kept_is_what_is_computed(tmp_path, model, kind):
    def build():
        inner = {"words": words, "transformer": lambda: bert(model)}
        return inner[kind]() if kind in inner else StackedEmbeddings([words(), bert(model)])

    sentences = flair_sentences(TRAIN)
    live = FrozenEmbeddings(build()).token_features(sentences)
    FrozenEmbeddings(build(), tmp_path).fill(sentences, batch_size=6)
    kept = FrozenEmbeddings(build(), tmp_path)
    kept.inner.forward = kept.inner._add_embeddings_internal = None
    kept._compute = None
    for one, other in zip(kept.token_features(sentences), live, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    if kind == "words":
        assert torch.equal(kept.token_features(sentences), live)


def test_words_are_looked_up_once_and_read_as_flair_reads_them(monkeypatch):
    sentences = flair_sentences([*TRAIN, TaggedSentence(("paris", "nowhere"), ("O", "O")), *TRAIN[:2]])
    empty = Sentence([])
    features, inner = FrozenEmbeddings(words()), words()
    inner.embed(sentences)
    expected = [torch.stack([token.get_embedding() for token in one.tokens]) for one in sentences]
    assert torch.equal(features.token_features([*sentences, empty]), torch.cat(expected))
    monkeypatch.setattr(frozen, "word_rows", None)
    assert torch.equal(features.token_features([empty, *sentences[::-1]]), torch.cat(expected[::-1]))


def test_a_file_is_digested_once_in_a_process(tmp_path, monkeypatch):
    digested = []
    real = tensor_file._digest
    monkeypatch.setattr(tensor_file, "_digest", lambda *content: digested.append(1) or real(*content))
    sentences = flair_sentences(TRAIN)
    counting(tmp_path).fill(sentences)
    digested.clear()
    again = counting(tmp_path)
    assert again.token_features(sentences).tolist() == right(sentences)
    assert again.inner.asked == len(digested) == 0
    os.utime(files(tmp_path)[0], (1e9, 1e9))
    counting(tmp_path)
    assert len(digested) == 1


def test_each_sentence_is_computed_once_for_all_runs(tmp_path):
    first, second = counting(tmp_path), counting(tmp_path)
    sentences = flair_sentences([*TRAIN, *TRAIN])
    reported = []
    first.fill(sentences, batch_size=4, report=reported.append)
    assert first.inner.asked == DISTINCT < len(TRAIN)
    assert reported == sorted(reported)
    assert reported[-1] == 1.0
    second.fill(sentences)
    assert second.inner.asked == 0
    assert second.token_features(sentences).tolist() == right(sentences)
    assert second.inner.asked == 0
    unseen = [TaggedSentence((word, "!"), ("O", "O")) for word in "ab"]
    both = flair_sentences([unseen[0], TRAIN[0], unseen[1]])
    assert counting(tmp_path).token_features(both).tolist() == right(both)
    second.token_features(both)
    assert second.inner.asked == 2


def test_long_work_is_kept_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(frozen, "_BLOCK", 100)
    sentences = flair_sentences(TRAIN)
    features = counting(tmp_path)

    def stop(fraction):
        if fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        features.fill(sentences, batch_size=2, report=stop)
    again = counting(tmp_path)
    again.fill(sentences, batch_size=2)
    assert 0 < again.inner.asked <= DISTINCT / 2
    assert len(files(tmp_path)) > 3
    assert counting(tmp_path).token_features(sentences).tolist() == right(sentences)


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "foreign", "gone"])
def test_a_damaged_file_is_reported_and_made_anew(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(frozen, "_BLOCK", 200)
    sentences = flair_sentences(TRAIN)
    counting(tmp_path).fill(sentences, batch_size=4)
    path = files(tmp_path)[0]
    content = path.read_bytes()
    other = tmp_path / "other"
    FrozenEmbeddings(Counting(), other, identity="another").fill(sentences)
    if damage == "gone":
        path.unlink()
        features = counting(tmp_path)
    else:
        path.write_bytes(
            {
                "cut": content[: len(content) // 2],
                "changed": content[:-8] + bytes(byte ^ 1 for byte in content[-8:]),
                "empty": b"",
                "foreign": files(other)[0].read_bytes(),
            }[damage]
        )
        with pytest.warns(UserWarning, match=f"{path.name}: .*the sentences in it will be embedded again"):
            features = counting(tmp_path)
        assert not path.exists()
    assert features.token_features(sentences).tolist() == right(sentences)
    features.inner.asked = 0
    features.fill(sentences)
    assert 0 < features.inner.asked < DISTINCT
    whole = counting(tmp_path)
    assert whole.token_features(sentences).tolist() == right(sentences)
    assert whole.inner.asked == 0


def fill(folder, asked, pause=lambda fraction: time.sleep(0.01)):
    """The work of a forked process."""
    frozen._BLOCK = 200
    features = counting(folder)
    sentences = flair_sentences(TRAIN)
    features.fill(sentences, batch_size=2, report=pause)
    if features.token_features(sentences).tolist() == right(sentences):
        asked.put(features.inner.asked)


def test_processes_that_fill_the_same_folder_share_the_work(tmp_path):
    fork = multiprocessing.get_context("fork")
    asked = fork.Queue()
    processes = [fork.Process(target=fill, args=(tmp_path, asked)) for _ in range(4)]
    for process in processes:
        process.start()
    found = sorted(asked.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(timeout=60)
    assert found == [0, 0, 0, DISTINCT]


def test_a_process_that_is_killed_leaves_what_it_wrote_and_no_lock(tmp_path):
    fork = multiprocessing.get_context("fork")
    stopped = fork.Event()

    def pause(fraction):
        if fraction > 0.7:
            stopped.set()
            time.sleep(600)

    killed = fork.Process(target=fill, args=(tmp_path, fork.Queue(), pause))
    killed.start()
    assert stopped.wait(timeout=60)
    killed.kill()
    killed.join(timeout=60)
    features = counting(tmp_path)
    half_written = features._store.folder / f".cellzoo-{32 * '0'}.tmp"
    half_written.write_bytes(b"x")
    sentences = flair_sentences(TRAIN)
    features.fill(sentences)
    assert 0 < features.inner.asked <= DISTINCT / 2
    assert features.token_features(sentences).tolist() == right(sentences)
    assert not half_written.exists()


def test_the_least_recently_used_make_room(tmp_path):
    sentences = flair_sentences(TRAIN)
    made = {}
    for name in ("old", "used", "new"):
        made[name] = FrozenEmbeddings(Counting(), tmp_path, identity=name)
        made[name].fill(sentences)
    size = files(tmp_path)[0].stat().st_size
    for age, name in enumerate(("new", "used", "old")):
        (path,) = files_of(made[name])
        os.utime(path, (1e9 - age, 1e9 - age))
    FrozenEmbeddings(Counting(), tmp_path, identity="used")
    keep = tmp_path / "mine" / "vectors-of-mine.safetensors"
    keep.parent.mkdir()
    keep.write_bytes(b"x" * size)
    last = FrozenEmbeddings(Counting(), tmp_path, identity="last", limit=3 * size + size // 2)
    last.fill(sentences)
    assert [bool(files_of(made[name])) for name in ("old", "used", "new")] == [False, True, True]
    assert files_of(last)
    assert keep.exists()


def files_of(features):
    return list(features._store.folder.glob("vectors-*"))


def test_what_does_not_fit_is_said_and_computed_each_time(tmp_path, monkeypatch):
    monkeypatch.setattr(frozen, "_BLOCK", 100)
    sentences = flair_sentences(TRAIN)
    features = counting(tmp_path, limit=4000)
    with pytest.warns(UserWarning, match=r"(\d+) sentences do not fit below its limit of 4000 bytes"):
        features.fill(sentences, batch_size=2)
    again = counting(tmp_path, limit=4000)
    assert again.token_features(sentences).tolist() == right(sentences)
    assert 0 < again.inner.asked < len(sentences)
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 4000


def test_a_folder_that_cannot_be_written_is_one_clear_message(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        counting(tmp_path / "file").fill(flair_sentences(TRAIN))
    with pytest.raises(CellzooError, match=r"name the folder to fill by keep_in\(folder\)"):
        FrozenEmbeddings(words()).fill(flair_sentences(TRAIN))


def character_model(*, forward=True):
    torch.manual_seed(3)
    dictionary = characters(TRAIN, 2, 2, min_count=1).dictionary
    return LanguageModel(dictionary, forward, hidden_size=5, nlayers=1, embedding_size=3)


VARIANTS = {
    "words": words,
    "other weights": lambda: words(1),
    "other words": lambda: words(known=("saw", "near", "Oslo")),
    "other order": lambda: words(known=("near", "saw", "Paris")),
    "normalised": lambda: words(stable=True),
    "two": lambda: StackedEmbeddings([words(), words()]),
    "one-hot": lambda: OneHotEmbeddings(trained_words(TRAIN, 4, 2).vocab_dictionary, embedding_length=4),
    "flair": lambda: FlairEmbeddings(character_model()),
    "flair backwards": lambda: FlairEmbeddings(character_model(forward=False)),
    "flair without spaces": lambda: FlairEmbeddings(character_model(), with_whitespace=False),
}


def test_whatever_changes_the_vectors_changes_the_identity(tmp_path, model):
    found = {name: identity(build()) for name, build in VARIANTS.items()}
    found["transformer"] = identity(bert(model))
    found["layers"] = identity(bert(model, layers="-2"))
    found["pooling"] = identity(bert(model, subtoken_pooling="last"))
    found["weights"] = identity(bert(write_bert(tmp_path / "weights", seed=1)))
    found["tokenizer"] = identity(bert(write_bert(tmp_path / "tokenizer", extra=("saw",))))
    slow = {"use_fast": False}
    found["slow"] = identity(bert(model, transformers_tokenizer_kwargs=slow))
    found["slow tokenizer"] = identity(bert(tmp_path / "tokenizer", transformers_tokenizer_kwargs=slow))
    found["named"] = identity(words(), "mine")
    for (one, first), (other, second) in combinations(found.items(), 2):
        assert first != second, f"{one} and {other}"


def test_names_and_places_do_not_change_the_identity(tmp_path, model):
    shutil.copytree(model, tmp_path / "elsewhere")
    assert identity(bert(model)) == identity(bert(tmp_path / "elsewhere", name="mine"))
    named = words()
    named.name = "17-words"
    assert identity(named) == identity(words())


@pytest.mark.slow
def test_another_process_finds_the_same_identity(model):
    process = python(
        """
import flair
flair.logger.setLevel("ERROR")
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_frozen import VARIANTS, bert, identity
print("FOUND", identity(VARIANTS["words"]()), identity(VARIANTS["flair"]()), identity(bert(Path(sys.argv[1]))))
""",
        str(model),
        str(Path(__file__).parent),
    )
    output = process.communicate(timeout=200)[0]
    expected = f"FOUND {identity(words())} {identity(VARIANTS['flair']())} {identity(bert(model))}"
    assert expected in output.splitlines(), output


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda model: bert(model, use_context=True), "with use_context the vectors depend on more"),
        (lambda model: words(field="ner"), "with field='ner' the vectors depend on more"),
        (lambda model: FlairEmbeddings(character_model(), tokenized_lm=False), "with tokenized_lm=False"),
        (lambda model: Counting(), "it is unknown what the vectors of Counting depend on"),
    ],
    ids=["context", "labels", "spaces", "unknown"],
)
def test_what_depends_on_more_than_the_tokens_is_not_kept(tmp_path, model, build, words):
    features = FrozenEmbeddings(build(model))
    with pytest.raises(CellzooError, match=words):
        features.keep_in(tmp_path)
    assert not list(tmp_path.iterdir())


def frozen_tagger(model, folder=None):
    flair.set_seed(0)
    one_hot = OneHotEmbeddings(trained_words(TRAIN, 4, 2).vocab_dictionary, embedding_length=4)
    inside = StackedEmbeddings([one_hot, bert(model)])
    stack = StackedEmbeddings([FrozenEmbeddings(inside, folder), characters(TRAIN, 3, 2)])
    return CellTagger(stack, type_dictionary(TRAIN), "ner", rnn_type="cell:gru", hidden_size=4)


def predicted(found):
    sentences = flair_sentences(DEV)
    found.predict(sentences, label_name="found", return_probabilities_for_all_classes=True)
    return [
        [float(tag.score) for tag in token.get_tags_proba_dist("found")]
        for s in sentences
        for token in s.tokens
    ]


def test_a_saved_tagger_needs_no_folder(tmp_path, model):
    saved = frozen_tagger(model, tmp_path / "kept")
    saved.embeddings.embeddings[0].fill(flair_sentences(DEV))
    expected = predicted(saved)
    saved.save(tmp_path / "tagger.pt")
    shutil.rmtree(tmp_path / "kept")
    loaded = flair.nn.Classifier.load(tmp_path / "tagger.pt")
    for one, other in zip(predicted(loaded), expected, strict=True):
        assert one == pytest.approx(other, abs=1e-6)
    features = loaded.embeddings.embeddings[0]
    assert identity(features.inner) == identity(saved.embeddings.embeddings[0].inner)
    features.keep_in(tmp_path / "new")
    features.fill(flair_sentences(DEV))
    for one, other in zip(predicted(loaded), expected, strict=True):
        assert one == pytest.approx(other, abs=1e-6)


def test_a_tagger_trains_around_frozen_embeddings(tmp_path, model):
    found = frozen_tagger(model, tmp_path)
    features = found.embeddings.embeddings[0]
    features.fill(flair_sentences(TRAIN))
    before = {name: tensor.clone() for name, tensor in features.state_dict().items()}
    optimizer = torch.optim.Adam(found.parameters(), 0.05)
    found.train()
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss, count = found.forward_loss(flair_sentences(TRAIN))
        loss.backward()
        optimizer.step()
        losses.append(loss.item() / count)
    assert losses[-1] < 0.7 * losses[0]
    assert all(torch.equal(tensor, before[name]) for name, tensor in features.state_dict().items())
    inner = {f"model.{name}" for name, _ in found.named_parameters() if ".inner." in name}
    assert inner
    assert inner <= frozen_keys("model", found)


def test_flairs_own_stack_takes_them_too():
    sentences = flair_sentences(TRAIN[:3])
    features = FrozenEmbeddings(words())
    stack = StackedEmbeddings([features])
    stack.embed(sentences)
    found = torch.stack([token.get_embedding(stack.get_names()) for s in sentences for token in s.tokens])
    assert torch.equal(found, token_features(words(), sentences))


def test_the_package_names_what_it_has_and_imports_it_late():
    import tasks.embeddings

    assert tasks.embeddings.FrozenEmbeddings is FrozenEmbeddings
    with pytest.raises(AttributeError, match="Frozen_Embeddings"):
        _ = tasks.embeddings.Frozen_Embeddings
    process = python("import tasks.embeddings; print([n for n in ('torch', 'flair') if n in sys.modules])")
    assert process.communicate(timeout=100)[0].strip() == "[]"
