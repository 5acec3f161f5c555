"""Frozen features, and the parameter counts of trained ones."""

import torch
from flair.embeddings import TokenEmbeddings, WordEmbeddings
from tagging_samples import (
    CPU,
    DATA,
    DEV,
    SOME,
    STRONG,
    TINY,
    TRAIN,
    corpus_file,
    model_of,
    problem,
    train,
)

from tasks.data.locate import find
from tasks.embeddings.features import Feature
from tasks.tagging.problem import KIND
from tasks.tagging.settings import TaggingSettings
from tasks.tagging.tagging import Tagging


def test_word_vectors_stay_and_what_was_used_is_said(tmp_path):
    name, data = corpus_file(tmp_path, SOME * 5, SOME, [[("PARIS", "B-person"), ("42", "O")]])
    (tmp_path / "glove").mkdir()
    (tmp_path / "glove" / "glove.6B.50d.txt").write_text(
        "".join(f"{word} {' '.join(['0.5'] * 50)}\n" for word in ("left", "paris", "unused", "##"))
    )
    data["glove-6b-50d"] = find("glove-6b-50d", tmp_path)
    settings = TaggingSettings(corpus=name, vectors="glove-6b-50d", **{**TINY, **STRONG})
    assert KIND.outline(settings).data == (name, "glove-6b-50d")
    tagging = KIND.build(data, settings, CPU, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()  # look-ups are not worth a file
    assert tagging.layer.input_size == 50 + 2 * TINY["character_hidden"]
    fitted = train(tmp_path / "run", tagging, epochs=2)
    frozen = [weight for weight in fitted.model.parameters() if not weight.requires_grad]
    assert [tuple(weight.shape) for weight in frozen] == [(4, 50)]
    assert set(frozen[0].flatten().tolist()) == {0.0, 0.5}
    assert tagging.vectors(fitted.model) is None
    (note,) = tagging.evaluate(fitted.model, "test").notes[:1]
    assert note.startswith("glove-6b-50d: 3 of 4 vectors are used (sha256 of these ")
    assert note.endswith("tokens without one: train 50.0 %, dev 50.0 %, test 0.0 %")


class Slow(TokenEmbeddings):
    """Frozen features that are not look-ups; counts the sentences that it computes."""

    computed = 0

    def __init__(self) -> None:
        super().__init__()
        self.name = "slow"
        self.static_embeddings = True

    @property
    def embedding_length(self) -> int:
        return 2

    def _add_embeddings_internal(self, sentences):
        for sentence in sentences:
            Slow.computed += 1
            for token in sentence.tokens:
                token.set_embedding(self.name, torch.tensor([float(len(token.text)), 1.0]))


def test_frozen_features_are_computed_once_for_all_runs_of_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.embeddings.frozen.identity_of", lambda embeddings, name: "5" * 64)
    monkeypatch.setattr(Slow, "computed", 0)

    def run(folder, cache):
        settings = TaggingSettings(**{**TINY, **STRONG, "hidden_size": 3})
        tagging = Tagging(
            "samples", DATA, settings, CPU, frozen=[(Feature("flair", "slow"), Slow())], cache=cache
        )
        return train(folder, tagging, epochs=2).standing.history

    different = {sentence.tokens for split in DATA.splits.values() for sentence in split}
    first = run(tmp_path / "a", tmp_path / "cache")
    assert Slow.computed == len(different)
    second = run(tmp_path / "b", tmp_path / "cache")
    assert Slow.computed == len(different)
    live = run(tmp_path / "c", None)
    assert Slow.computed == len(different) + 2 * (len(TRAIN) + len(DEV))

    def numbers(history):
        return [(epoch["train_loss"], epoch["dev"]) for epoch in history]

    assert numbers(first) == numbers(second) == numbers(live)


def test_trained_word_vectors_and_tables_are_counted():
    tagging = problem()
    model = model_of(tagging)
    words, vectors = tagging.vectors(model)
    assert vectors.shape == (len(words), TINY["word_size"])
    assert {"saw", "near"} < set(words)
    letters = model.embeddings.embeddings[1].vectors.weight
    assert tagging.embedding_parameters(model) == vectors.numel() + letters.numel()
    frozen = Tagging(
        "samples",
        DATA,
        TaggingSettings(**{**TINY, "vectors": "v"}),
        CPU,
        frozen=[
            (
                Feature("vectors", "v"),
                WordEmbeddings(None, vocab={"saw": 0}, embedding_length=3, name="words"),
            )
        ],
    )
    assert frozen.embedding_parameters(model_of(frozen)) == 2 * 3 + letters.numel()
