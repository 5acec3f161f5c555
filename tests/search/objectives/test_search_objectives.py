"""What searches are scored on: language modelling and tagging."""

from __future__ import annotations

import itertools
import math
import random
import sys
import textwrap

import pytest
import torch
from fake_search import TAGS, TEXT, write_text
from real_data import data_folder
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2
from torch.nn import functional as F

import cellzoo
import search.objectives
from cellzoo.errors import DataError, DataNotFoundError, UnknownNameError
from search.objectives import language_modeling, registry, tagging
from search.objectives.tagging_scores import f1_of_tags, legal
from tasks.data.conll import TaggedSentence
from tasks.data.locate import find
from tasks.data.tagged_text import read_tagged

CPU = torch.device("cpu")


def text_objective(path, **changes):
    settings = language_modeling.LanguageModelingSettings(**{**TEXT, **changes})
    return language_modeling.build(find(f"text:{path.name}", path.parent), settings, CPU)


def tag_objective(**changes):
    return tagging.build(find("small-ner"), tagging.TaggingSettings(**{**TAGS, **changes}), CPU)


def model_of(objective, seed=0, cell="gru"):
    layer = objective.layer
    generator = torch.Generator().manual_seed(seed)
    rnn = cellzoo.CellRNN(
        cellzoo.load(cell),
        layer.input_size,
        layer.hidden_size,
        bidirectional=layer.bidirectional,
        dropout_x=layer.dropout_x,
        dropout_h=layer.dropout_h,
        runtime="reference",
    )
    rnn.reset_parameters(generator)
    return objective.model(rnn, generator)


@pytest.fixture
def words(tmp_path):
    return write_text(tmp_path / "words.txt")


def numbers_of(path, cut):
    """The words of a part of the file, numbered by hand: <unk> 0, <eos> 1, then by frequency and alphabet."""
    lines = path.read_text().splitlines()
    train = lines[: len(lines) - 2 * (len(lines) // 10)]
    counted = [word for line in train for word in line.split()]
    ranked = sorted(set(counted), key=lambda word: (-counted.count(word), word))
    number = {word: place for place, word in enumerate(ranked, start=2)}
    return [n for line in lines[cut] for n in [*(number[word] for word in line.split()), 1]]


def test_training_segments_cover_the_text_once_and_in_order(words):
    objective = text_objective(words).objective
    batches = list(objective.train_batches(torch.Generator().manual_seed(1)))
    assert [batch.starts for batch in batches] == [True] + [False] * (len(batches) - 1)
    assert {batch.scale for batch in batches} == {1.0, 0.5}
    targets = torch.cat([batch.content[1] for batch in batches])  # (T, B)
    expected = numbers_of(words, slice(0, 96))
    length = len(expected) // TEXT["batch_size"]
    assert targets.t().reshape(-1).tolist() == expected[: length * TEXT["batch_size"]]
    inputs = torch.cat([batch.content[0] for batch in batches])
    assert torch.equal(inputs[1:], targets[:-1])
    again = list(objective.train_batches(torch.Generator().manual_seed(1)))
    assert [batch.scale for batch in again] == [batch.scale for batch in batches]
    full = [batch for batch in batches[:-1] if batch.scale == 1.0]
    assert all(batch.content[0].shape == (TEXT["bptt"], TEXT["batch_size"]) for batch in full)


def test_one_training_segment_in_twenty_is_short(words):
    objective = text_objective(words).objective
    generator = torch.Generator().manual_seed(0)
    scales = [batch.scale for _ in range(120) for batch in objective.train_batches(generator)]
    share = sum(scale < 1 for scale in scales) / len(scales)
    assert abs(share - 0.05) < 3 * math.sqrt(0.05 * 0.95 / len(scales))


def test_held_out_segments_come_again_and_again(words):
    objective = text_objective(words).objective
    batches = list(itertools.islice(objective.validation_batches(torch.Generator()), 60))
    starts = [place for place, batch in enumerate(batches) if batch.starts]
    expected = numbers_of(words, slice(96, 108))
    length = len(expected) // TEXT["validation_batch_size"]
    period = math.ceil(length / TEXT["bptt"])
    assert starts == list(range(0, 60, period))
    first = torch.cat([batch.content[1] for batch in batches[:period]])
    assert first.t().reshape(-1).tolist() == expected[: 2 * length]
    assert torch.equal(batches[0].content[0], batches[period].content[0])


def test_the_loss_is_that_of_the_words_and_the_state_is_carried(words):
    objective = text_objective(words, beta=0.7, alpha=0.3).objective
    model = model_of(objective).eval()
    batches = [b for b in objective.train_batches(torch.Generator().manual_seed(1)) if b.scale == 1.0][:2]
    first = objective.loss(model, batches[0], None)
    second = objective.loss(model, batches[1], first.carry)
    inputs, targets = (torch.cat([b.content[part] for b in batches]) for part in (0, 1))  # (T, B)
    raw, _ = model.rnn(F.embedding(inputs, model.embedding))
    logits = raw @ model.embedding.t() + model.decoder_bias
    losses = -logits.log_softmax(2).gather(2, targets.unsqueeze(2)).squeeze(2)  # (T, B)
    steps = TEXT["bptt"]
    assert first.loss.item() == pytest.approx(losses[:steps].mean().item(), rel=1e-6)
    assert second.loss.item() == pytest.approx(losses[steps:].mean().item(), rel=1e-6)
    penalty = 0.3 * raw[:steps].square().mean() + 0.7 * (raw[1:steps] - raw[: steps - 1]).square().mean()
    assert first.penalised.item() == pytest.approx((first.loss + penalty).item(), rel=1e-6)
    assert not first.carry.requires_grad


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_perplexity_counts_every_held_out_word_once(words, cell):
    objective = text_objective(words, evaluation_streams=1).objective
    model = model_of(objective, cell=cell)
    measured = objective.evaluate(model)
    assert model.training
    model.eval()
    targets = numbers_of(words, slice(96, 108))
    state, losses, before = None, [], 1
    for target in targets:
        output, state = model.rnn(model.embedding[before].view(1, 1, -1), state)
        logits = output[0, 0] @ model.embedding.t() + model.decoder_bias
        losses.append(-logits.log_softmax(0)[target].item())
        before = target
    assert measured["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-6)
    assert measured["perplexity"] == pytest.approx(math.exp(measured["loss"]))


def test_perplexity_of_a_model_beyond_measure_is_infinite(words):
    objective = text_objective(words).objective
    model = model_of(objective)
    with torch.no_grad():
        model.decoder_bias[0] = 1e4
    assert objective.evaluate(model)["perplexity"] == math.inf


def test_limits_on_words_take_the_start_of_the_text(words):
    prepared = text_objective(words, train_words=300, validation_words=50)
    assert prepared.facts["train words"] == 300
    assert prepared.facts["dev words"] == 50


@pytest.mark.parametrize(("name", "size"), [("ptb", 10_000), ("wikitext-2", 33_278)])
def test_vocabulary_of_the_real_corpora(name, size):
    folder = data_folder(name)
    settings = language_modeling.LanguageModelingSettings(hidden_size=4, validation_words=20_000)
    prepared = language_modeling.build(find(name, folder), settings, CPU)
    assert prepared.facts["vocabulary"] == size
    assert prepared.facts["train words"] == {"ptb": 929_589, "wikitext-2": 2_088_628}[name]


def test_a_text_smaller_than_a_batch(words):
    with pytest.raises(
        DataError, match=r"training text has 768 words, fewer than one batch of 256 streams x 35"
    ):
        text_objective(words, batch_size=256, bptt=35)
    with pytest.raises(DataError, match=r"held-out text has 96 words.*smaller validation_batch_size"):
        text_objective(words, validation_batch_size=64)
    with pytest.raises(DataError, match=r"held-out text has 96 words, too few for evaluation_streams 97"):
        text_objective(words, evaluation_streams=97)


def test_a_text_without_held_out_lines(tmp_path):
    path = tmp_path / "short.txt"
    path.write_text("one two three\n" * 9)
    with pytest.raises(DataError, match=r"short\.txt: the dev split is empty: 9 lines give it 0"):
        text_objective(path)
    path.write_text("one two\n" * 16 + "\n" * 4)
    with pytest.raises(DataError, match="the dev split is empty"):
        text_objective(path)


def test_a_vocabulary_of_one_word(tmp_path):
    path = tmp_path / "one.txt"
    path.write_text("echo echo echo\n" * 200)
    with pytest.raises(DataError, match=r"one\.txt: the training text has a vocabulary of 1 word"):
        text_objective(path)


def test_sentences_come_once_an_epoch_in_a_drawn_order():
    objective = tag_objective().objective
    wanted = sorted(objective.vocabulary.encode(s.tokens) for s in read_tagged(find("small-ner"))["train"])

    def sentences(seed):
        found = []
        for batch in objective.train_batches(torch.Generator().manual_seed(seed)):
            words, lengths = batch.content.words, batch.content.lengths.tolist()
            assert lengths == sorted(lengths, reverse=True)
            found += [words[:length, place].tolist() for place, length in enumerate(lengths)]
        return found

    first = sentences(1)
    assert sorted(first) == wanted
    assert sentences(1) == first
    assert sentences(2) != first


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_sentence_is_tagged_alike_alone_and_beside_longer_ones(bidirectional):
    objective = tag_objective(bidirectional=bidirectional, character_size=3).objective
    model = model_of(objective).eval()
    batch = next(objective.train_batches(torch.Generator().manual_seed(1))).content
    together = model(batch)
    for place, length in enumerate(batch.lengths.tolist()):
        characters = batch.characters[:length, place : place + 1]
        width = int((characters > 0).sum(2).max())
        alone = tagging.Sentences(
            batch.words[:length, place : place + 1],
            characters[:, :, :width],
            batch.lengths[place : place + 1],
            batch.tags[:length, place : place + 1],
        )
        torch.testing.assert_close(model(alone)[:, 0], together[:length, place])


def test_a_character_that_was_never_seen_has_a_vector_of_its_own():
    objective = tag_objective(character_size=3).objective
    seen = min(character for sentence in objective._train for token in sentence.tokens for character in token)
    words = [TaggedSentence((token,), ("O",)) for token in (seen, "\u2603")]
    numbers = objective._encode(words).characters.flatten().tolist()
    assert numbers == [tagging.UNKNOWN_CHARACTER + 1, tagging.UNKNOWN_CHARACTER]
    rows = model_of(objective).characters.size(0)
    assert set(objective.characters.values()) == set(range(tagging.UNKNOWN_CHARACTER + 1, rows))


def test_the_loss_of_tags_leaves_padding_out():
    objective = tag_objective().objective
    model = model_of(objective).eval()
    batch = next(objective.train_batches(torch.Generator().manual_seed(1)))
    logits = model(batch.content)
    losses = [
        F.cross_entropy(logits[step, place], batch.content.tags[step, place]).item()
        for place, length in enumerate(batch.content.lengths.tolist())
        for step in range(length)
    ]
    assert objective.loss(model, batch, None).loss.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_measures_of_a_tagger_that_says_one_tag(monkeypatch):
    objective = tag_objective().objective
    model = model_of(objective)
    outside = objective.tags.index("O")
    dev = read_tagged(find("small-ner"))["dev"]
    share = sum(tag == "O" for s in dev for tag in s.tags) / sum(len(s.tags) for s in dev)
    with torch.no_grad():
        model.output.zero_()
        model.output_bias[outside] = math.log(4.0)
    measured = objective.evaluate(model)
    tags = len(objective.tags)
    total = 4.0 + tags - 1
    expected = -share * math.log(4.0 / total) - (1 - share) * math.log(1.0 / total)
    assert measured == {
        "loss": pytest.approx(expected, rel=1e-5),
        "accuracy": pytest.approx(100 * share),
        "f1": 0.0,
    }


def test_f1_is_that_of_seqeval_on_legal_tags():
    source = random.Random(1)
    for _ in range(30):
        gold = [legal([source.choice(["O", "B-x", "I-x", "I-y"]) for _ in range(9)]) for _ in range(4)]
        guess = [legal([source.choice(["O", "B-x", "I-x", "I-y"]) for _ in range(9)]) for _ in range(4)]
        assert f1_of_tags(gold, guess) == pytest.approx(
            100 * f1_score(gold, guess, mode="strict", scheme=IOB2, zero_division=0)
        )


def test_tags_that_are_not_legal_begin_entities():
    assert legal(["I-x", "I-x", "I-y", "O", "B-x", "I-y"]) == ["B-x", "I-x", "B-y", "O", "B-x", "B-y"]


def test_a_corpus_smaller_than_a_batch_or_without_held_out_sentences(tmp_path):
    with pytest.raises(DataError, match="5 training sentences, fewer than one batch of 8"):
        tag_objective(train_sentences=5)
    path = tmp_path / "few.conll"
    path.write_text("Ada B-x\nis O\n\n" * 9)
    with pytest.raises(DataError, match="the dev split is empty"):
        tagging.build(find("conll:few.conll", tmp_path), tagging.TaggingSettings(**TAGS), CPU)
    path.write_text("Ada O\nis O\n\n" * 100)
    with pytest.raises(DataError, match="1 different tags"):
        tagging.build(find("conll:few.conll", tmp_path), tagging.TaggingSettings(**TAGS), CPU)


def test_chunks_of_conll_2000():
    prepared = tagging.build(
        find("conll2000", data_folder("conll2000")),
        tagging.TaggingSettings(**TAGS, train_sentences=500, validation_sentences=50),
        CPU,
    )
    assert prepared.facts["train sentences"] == 500
    model = model_of(prepared.objective)
    before = prepared.objective.evaluate(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for batch in prepared.objective.train_batches(torch.Generator().manual_seed(0)):
        optimizer.zero_grad()
        prepared.objective.loss(model, batch, None).penalised.backward()
        optimizer.step()
    after = prepared.objective.evaluate(model)
    assert after["loss"] < before["loss"] - 0.5
    assert after["accuracy"] > before["accuracy"] + 20


def test_what_is_searched_on(tmp_path, monkeypatch):
    text = write_text(tmp_path / "book.txt")
    target = registry.find_target(str(text))
    assert (target.kind.name, target.data, target.folder) == ("language-modeling", "text:book.txt", tmp_path)
    (tmp_path / "deep").mkdir()
    for name in ("a", "deep/b", "c"):
        (tmp_path / name).write_text("x O\n")
    target = registry.find_target(f"conll:{tmp_path}/a,{tmp_path}/deep/b,{tmp_path}/c")
    assert (target.kind.name, target.data, target.folder) == ("tagging", "conll:a,deep/b,c", tmp_path)
    assert registry.find_target("conll:a,c", tmp_path).data == "conll:a,c"
    named_whole = registry.find_target(str(tmp_path / "deep" / ".." / "book.txt"), tmp_path)
    assert (named_whole.data, named_whole.folder) == ("text:book.txt", tmp_path)
    assert registry.find_target("ptb").kind.name == "language-modeling"
    assert registry.find_target("wnut17").kind.name == "tagging"
    with pytest.raises(UnknownNameError, match="Did you mean 'ptb'"):
        registry.find_target("ptbb")
    with pytest.raises(DataNotFoundError, match=r"absent\.txt: no such file"):
        registry.find_target(str(tmp_path / "absent.txt"))
    with pytest.raises(DataNotFoundError, match="is no file"):
        registry.find_target(f"conll:{tmp_path}")
    with pytest.raises(DataNotFoundError, match="is no file"):
        registry.find_target(".", tmp_path)


def test_a_third_objective_is_one_new_file(tmp_path, monkeypatch):
    (tmp_path / "echo.py").write_text(
        textwrap.dedent(
            """
            from dataclasses import dataclass
            from search.objectives.kind import ObjectiveKind, Retraining

            @dataclass(frozen=True)
            class Settings:
                size: int = 3

            KIND = ObjectiveKind("echo", ("echoes",), "echo", Settings, lambda found, settings, device: None,
                                 Retraining("news-lm", "dev_perplexity", "perplexity", True, lambda data: {}))
            """
        )
    )
    monkeypatch.setattr(search.objectives, "__path__", [*search.objectives.__path__, str(tmp_path)])
    registry.kinds.cache_clear()
    try:
        assert registry.find_target("echoes").kind.name == "echo"
        assert sorted(registry.kinds()) == ["echo", "language-modeling", "tagging"]
    finally:
        registry.kinds.cache_clear()
        sys.modules.pop("search.objectives.echo", None)
