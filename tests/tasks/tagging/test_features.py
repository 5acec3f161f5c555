"""Features of tokens (characters, pretrained and trained word vectors), and conversion to Flair sentences."""

from __future__ import annotations

import gzip

import pytest
import torch
from flair.data import Dictionary, Sentence
from flair.embeddings import CharacterEmbeddings
from real_data import data_folder
from tagging_samples import TRAIN, spans_of
from torch_weights import copy_weights

from cellzoo.errors import DataError
from tasks.data.conll import TaggedSentence, read_conll
from tasks.data.parts import Part
from tasks.tagging.corpus import LABEL, flair_sentences, type_dictionary
from tasks.tagging.embeddings import CharacterFeatures, characters, pretrained_words, trained_words

WORDS = ["on", "the", "cat", "sat", "on", "mattress", "the", "a"]


def letters() -> Dictionary:
    dictionary = Dictionary(add_unk=True)
    for letter in "abcdefghijklmnopqrstuvwxyz":
        dictionary.add_item(letter)
    return dictionary


def embedded(features, words):
    sentence = Sentence(list(words))
    features.embed(sentence)
    return torch.stack([token.get_embedding([features.name]) for token in sentence])


def test_characters_are_read_forwards_and_backwards_to_the_end():
    torch.manual_seed(0)
    features = CharacterFeatures(letters(), size=5, hidden_size=4)
    expected = []
    for word in WORDS:
        codes = torch.tensor([features.dictionary.get_idx_for_item(letter) for letter in word])
        outputs, _ = features.rnn(features.vectors(codes))
        expected.append(torch.cat([outputs[-1, :4], outputs[0, 4:]]))
    torch.testing.assert_close(embedded(features, WORDS), torch.stack(expected), rtol=0, atol=1e-6)


def test_a_word_has_the_same_features_wherever_it_stands():
    features = characters(TRAIN, 5, 4)
    together = embedded(features, WORDS)
    for word, vector in zip(WORDS, together, strict=True):
        torch.testing.assert_close(embedded(features, [word])[0], vector, rtol=0, atol=1e-6)


def test_characters_agree_with_flairs_where_flairs_are_right():
    """Flair's class: right for distinct words and the forward half, wrong for a repeated word."""
    torch.manual_seed(0)
    flairs = CharacterEmbeddings(letters(), char_embedding_dim=5, hidden_size_char=4)
    features = CharacterFeatures(letters(), size=5, hidden_size=4)
    features.vectors.load_state_dict(flairs.char_embedding.state_dict())
    copy_weights(flairs.char_rnn, features.rnn)
    distinct = list(dict.fromkeys(WORDS))
    ours, theirs = embedded(features, distinct)[:, :4], embedded(flairs, distinct)[:, :4]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    repeated = embedded(flairs, WORDS)
    assert not torch.allclose(repeated[WORDS.index("on")], repeated[4])


def test_characters_are_read_as_by_torchs_lstm():
    torch.manual_seed(0)
    torchs = torch.nn.LSTM(5, 4, bidirectional=True)
    features = CharacterFeatures(letters(), size=5, hidden_size=4)
    copy_weights(torchs, features.rnn)
    expected = []
    for word in WORDS:
        codes = torch.tensor([features.dictionary.get_idx_for_item(letter) for letter in word])
        outputs, _ = torchs(features.vectors(codes))
        expected.append(torch.cat([outputs[-1, :4], outputs[0, 4:]]))
    torch.testing.assert_close(embedded(features, WORDS), torch.stack(expected), rtol=0, atol=1e-6)


def test_rare_and_unseen_characters_share_one_vector():
    sentences = [TaggedSentence(("aab", "ab", "c"), ("O", "O", "O"))]
    features = characters(sentences, 3, 2, min_count=2)
    assert features.dictionary.get_items() == ["<unk>", "a", "b"]
    vectors = embedded(features, ["c", "ß", "a"])
    assert torch.equal(vectors[0], vectors[1])
    assert not torch.allclose(vectors[0], vectors[2])


def test_characters_learn():
    features = characters(TRAIN, 5, 4)
    embedded(features, WORDS).sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in features.parameters())


def test_trained_words_cover_what_occurs_often_enough():
    sentences = [TaggedSentence(("a", "b", "a", "B", "c", "c"), ("O",) * 6)]
    features = trained_words(sentences, 4, 2)
    assert features.vocab_dictionary.get_items() == ["<unk>", "a", "c"]
    vectors = embedded(features, ["a", "b", "B", "new"])
    assert torch.equal(vectors[1], vectors[2])
    assert torch.equal(vectors[1], vectors[3])
    assert not torch.equal(vectors[0], vectors[1])


@pytest.mark.parametrize("name", ["v.txt", "v.txt.gz"])
def test_pretrained_words_are_found_in_lower_case_and_without_digits(tmp_path, name):
    lines = b"4 2\nparis 1 2\nParis 3 4\n## 5 6\nob 7 8\n"
    (tmp_path / name).write_bytes(gzip.compress(lines) if name.endswith(".gz") else lines)
    features = pretrained_words(tmp_path / name)
    vectors = embedded(features, ["paris", "Paris", "PARIS", "42", "missing"])
    assert vectors.tolist() == [[1, 2], [3, 4], [1, 2], [5, 6], [0, 0]]
    assert not any(weight.requires_grad for weight in features.parameters())
    features.train()
    assert not features.training


def test_only_the_words_of_the_run_are_kept(tmp_path):
    lines = "paris 1 2\nParis 3 4\n## 5 6\nob 7 8\n"
    (tmp_path / "v.txt").write_text(lines)
    features = pretrained_words(tmp_path / "v.txt", ["PARIS", "42", "missing"])
    assert sorted(features.vocab) == ["##", "paris"]
    assert embedded(features, ["PARIS", "42", "missing"]).tolist() == [[1, 2], [5, 6], [0, 0]]


def test_sentences_keep_every_token_and_span():
    odd = TaggedSentence(
        ("\u200b", "New", "York", "\ufeff", "\u200b", "a\u00a0b", "..."),
        ("O", "B-location", "I-location", "O", "B-group", "O", "O"),
    )
    (sentence,) = flair_sentences([odd])
    assert [token.text for token in sentence] == list(odd.tokens)
    assert spans_of(sentence, LABEL) == [(1, 3, "location"), (4, 5, "group")]


def test_a_token_that_flair_would_drop_is_refused():
    with pytest.raises(DataError, match="sentence 2: Flair changes its tokens"):
        flair_sentences([TaggedSentence(("a",), ("O",)), TaggedSentence(("a", "", "b"), ("O", "O", "O"))])


def test_types_are_listed_in_order():
    dictionary = type_dictionary(TRAIN)
    assert dictionary.get_items() == ["person", "place"]
    assert dictionary.span_labels


@pytest.mark.parametrize(
    ("file", "sentences", "tokens", "entities", "invisible"),
    [
        ("emerging.dev.conll", 1009, 15733, 836, 2),
        ("wnut17train.conll", 3394, 62730, 1975, 0),
        ("emerging.test.annotated", 1287, 23394, 1079, 0),
    ],
)
def test_wnut_counts_survive_flair(file, sentences, tokens, entities, invisible):
    read = flair_sentences(read_conll(Part(data_folder("wnut17") / "wnut17" / file)).sentences)
    assert len(read) == sentences
    assert sum(len(sentence) for sentence in read) == tokens
    assert sum(len(sentence.get_labels(LABEL)) for sentence in read) == entities
    texts = {token.text for sentence in read for token in sentence}
    assert len({"\u200b", "\ufeff"} & {char for text in texts for char in text}) == invisible
