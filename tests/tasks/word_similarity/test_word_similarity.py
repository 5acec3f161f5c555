from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from language_models import TINY_NEWS, context_in, python, subject
from tasks.language_modeling.news import NewsSettings
from tasks.language_modeling.news_training import training_key
from tasks.language_modeling.word_vectors import vectors_path
from tasks.word_similarity.task import WordSimilarity, WordSimilaritySettings

from cellzoo.errors import CellzooError, RunError
from tasks.data.locate import find
from tasks.data.word_pairs import WordPair
from tasks.task import Subject
from tasks.word_similarity.correlation import pearson, spearman
from tasks.word_similarity.pairs import cosines, coverage
from tasks.word_similarity.skip_gram import skip_gram

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasks.task import Outcome

SETTINGS = {**TINY_NEWS, "min_count": 8, "epochs": 1, "skip_gram_epochs": 1}
BASELINE = Subject("skip-gram", None, "baseline")


def mean_ranks(values: Sequence[float]) -> list[float]:
    return [
        1 + sum(other < value for other in values) + (sum(other == value for other in values) - 1) / 2
        for value in values
    ]


def product_moment(one: Sequence[float], other: Sequence[float]) -> float:
    count = len(one)
    mean_one, mean_other = math.fsum(one) / count, math.fsum(other) / count
    together = math.fsum((a - mean_one) * (b - mean_other) for a, b in zip(one, other, strict=True))
    squares = [
        math.fsum((value - mean) ** 2 for value in values)
        for values, mean in ((one, mean_one), (other, mean_other))
    ]
    return together / math.sqrt(squares[0] * squares[1])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(-5, 5)), min_size=3, max_size=40))
def test_correlations_follow_their_definitions(pairs: list[tuple[int, int]]) -> None:
    gold, scores = ([float(pair[side]) for pair in pairs] for side in (0, 1))
    if min(gold) == max(gold) or min(scores) == max(scores):
        with pytest.raises(RunError, match="no correlation with a constant"):
            spearman(gold, scores, "a set")
        return
    assert pearson(gold, scores, "a set") == pytest.approx(product_moment(gold, scores), abs=1e-12)
    ranked = product_moment(mean_ranks(gold), mean_ranks(scores))
    assert spearman(gold, scores, "a set") == pytest.approx(ranked, abs=1e-12)


def test_spearman_without_ties_by_the_rank_formula() -> None:
    gold, scores = [1.0, 2.5, 3.0, 4.5, 9.0], [0.3, 0.1, 0.2, 0.9, 0.4]
    differences = (1 - 3, 2 - 1, 3 - 2, 4 - 5, 5 - 4)
    expected = 1 - 6 * sum(d * d for d in differences) / (5 * (25 - 1))
    assert spearman(gold, scores, "a set") == pytest.approx(expected, abs=1e-14)


def test_pairs_without_a_score_are_left_out() -> None:
    gold = [1.0, 2.0, 3.0, 4.0, 100.0]
    scores = [0.1, 0.3, 0.2, 0.9, None]
    assert spearman(gold, scores, "a set") == spearman(gold[:4], scores[:4], "a set")
    assert pearson(gold, scores, "a set") == pearson(gold[:4], scores[:4], "a set")
    assert coverage(scores) == 0.8
    with pytest.raises(RunError, match=r"a set: the vocabulary covers 2 of 5 pairs; .* at least 3"):
        spearman(gold, [0.1, 0.2, None, None, None], "a set")


def test_cosines_by_hand() -> None:
    words = ("<unk>", "<eos>", "love", "sex", "fbi", "nothing")
    vectors = np.array([[9, 9], [9, 9], [3, 4], [4, 3], [-6, -8], [0, 0]], dtype=np.float32)
    pairs = [
        ("love", "sex"),
        ("Love", "FBI"),
        ("love", "love"),
        ("love", "absent"),
        ("<unk>", "love"),
        ("absent", "nothing"),
    ]
    scores = cosines([WordPair(*pair, 1.0) for pair in pairs], words, vectors)
    assert scores[:3] == pytest.approx([24 / 25, -1.0, 1.0], abs=1e-15)
    assert scores[3:] == [None, None, None]
    with pytest.raises(RunError, match=r"vector of 'nothing' has length 0"):
        cosines([WordPair("love", "nothing", 1.0)], words, vectors)
    vectors[2] = np.nan
    with pytest.raises(RunError, match=r"vector of 'love' has length nan"):
        cosines([WordPair("love", "sex", 1.0)], words, vectors)


def test_skip_gram_puts_words_of_one_topic_together() -> None:
    generator = np.random.default_rng(0)
    topics = [[f"{topic}{number}" for number in range(6)] for topic in "ab"]
    documents = [list(generator.choice(topics[index % 2], 30)) for index in range(200)]
    words = [word for topic in topics for word in topic]
    vectors = skip_gram(documents, words, size=8, window=5, negative=5, epochs=10, seed=1)
    assert vectors.shape == (12, 8)
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = directions @ directions.T
    assert cosine[:6, :6].mean() > cosine[:6, 6:].mean() + 0.3
    assert cosine[6:, 6:].mean() > cosine[:6, 6:].mean() + 0.3


def test_skip_gram_leaves_rare_words_out_before_it_forms_contexts() -> None:
    generator = np.random.default_rng(0)
    known = [list(generator.choice(list("abcd"), 30)) for _ in range(20)]
    mixed = [[entry for word in document for entry in (word, "rare")] for document in known]
    options = {"size": 4, "window": 2, "negative": 2, "epochs": 2, "seed": 0}
    assert np.array_equal(skip_gram(known, "abcd", **options), skip_gram(mixed, "abcd", **options))


RUN = """
import json, sys
from pathlib import Path
from language_models import context_in
from tasks.task import Subject
from tasks.word_similarity.task import WordSimilarity, WordSimilaritySettings
task = WordSimilarity(WordSimilaritySettings(**json.loads(sys.argv[2])))
judged = Subject("skip-gram", None, "baseline")
outcome = task.run(judged, int(sys.argv[3]), context_in(Path(sys.argv[1]), *task.data))
print(json.dumps([outcome.metrics, outcome.items]))
"""


def test_skip_gram_depends_on_the_seed_and_not_on_the_hash_seed(tmp_path: Path) -> None:
    results = []
    for seed, hash_seed in ((0, "1"), (0, "2"), (1, "1")):
        done = python(RUN, str(tmp_path), json.dumps(SETTINGS), str(seed), hash_seed=hash_seed)
        assert (done.returncode, done.stderr) == (0, "")
        results.append(json.loads(done.stdout))
    assert results[0] == results[1]
    assert results[0][0]["wordsim353_spearman"] != results[2][0]["wordsim353_spearman"]
    assert results[0][0]["wordsim353_coverage"] == results[2][0]["wordsim353_coverage"]


def run(folder: Path, judged: Subject, log: list[str] | None = None, seed: int = 0) -> Outcome:
    lines = [] if log is None else log
    task = WordSimilarity(WordSimilaritySettings(**SETTINGS))
    return task.run(
        judged, seed, context_in(folder, *task.data, report=lambda share, words: lines.append(words))
    )


def test_the_metrics_follow_from_the_items(tmp_path: Path) -> None:
    outcome = run(tmp_path, BASELINE)
    assert next(iter(outcome.metrics)) == WordSimilarity.metrics[0].name == "wordsim353_spearman"
    assert set(outcome.metrics) == {metric.name for metric in WordSimilarity.metrics}
    for name, count in (("wordsim353", 353), ("simlex999", 999)):
        items = [item for item in outcome.items if item["set"] == name]
        assert [item["index"] for item in items] == list(range(count))
        scored = [item for item in items if item["score"] is not None]
        gold, scores = ([item[key] for item in scored] for key in ("gold", "score"))
        assert 0.02 < outcome.metrics[f"{name}_coverage"] == len(scored) / count < 0.5
        assert outcome.metrics[f"{name}_pearson"] == pytest.approx(product_moment(gold, scores), abs=1e-12)
        ranked = product_moment(mean_ranks(gold), mean_ranks(scores))
        assert outcome.metrics[f"{name}_spearman"] == pytest.approx(ranked, abs=1e-12)
    first = outcome.items[0]
    assert (first["word1"], first["word2"], first["gold"]) == ("love", "sex", 6.77)
    assert outcome.parameters.cell == outcome.flops_per_token == 0
    assert outcome.parameters.total == 2 * outcome.parameters.total_without_embeddings


def test_the_model_of_news_lm_is_taken_where_it_is(tmp_path: Path) -> None:
    log: list[str] = []
    trained = run(tmp_path, subject("gru"), log)
    assert any("epoch 1/1" in line for line in log)
    log.clear()
    taken = run(tmp_path, subject("gru"), log)
    assert log == ["reading the embeddings of news-lm"]
    assert (taken.metrics, taken.items) == (trained.metrics, trained.items)
    assert (taken.tokens, taken.history, taken.parameters) == (
        trained.tokens,
        trained.history,
        trained.parameters,
    )

    graph = subject("gru").cell
    assert graph is not None
    news = NewsSettings(**{name: value for name, value in SETTINGS.items() if name != "skip_gram_epochs"})
    path = vectors_path(tmp_path / "artifacts", training_key(graph, 0, news, find("news")))
    damaged = bytearray(path.read_bytes())
    damaged[-5] ^= 0xFF
    path.write_bytes(damaged)
    log.clear()
    again = run(tmp_path, subject("gru"), log)
    assert "training anew" in log[1]
    assert str(path) in log[1]
    assert (again.metrics, again.items) == (trained.metrics, trained.items)
    log.clear()
    run(tmp_path, subject("gru"), log)
    assert log == ["reading the embeddings of news-lm"]


def test_a_vocabulary_that_covers_nothing_is_an_error(tmp_path: Path) -> None:
    settings = WordSimilaritySettings(**{**SETTINGS, "min_count": 500})
    task = WordSimilarity(settings)
    with pytest.raises(RunError, match="WordSim-353: the vocabulary covers 0 of 353 pairs"):
        task.run(BASELINE, 0, context_in(tmp_path, *task.data))


def test_an_unknown_baseline_and_bad_settings_are_refused(tmp_path: Path) -> None:
    task = WordSimilarity()
    with pytest.raises(CellzooError, match="no baseline 'glove', only 'skip-gram'"):
        task.run(Subject("glove", None, "baseline"), 0, context_in(tmp_path, *task.data))
    with pytest.raises(ValueError, match="skip_gram_window is 0"):
        WordSimilaritySettings(skip_gram_window=0)


def test_the_settings_of_both_tasks_agree() -> None:
    assert WordSimilaritySettings(epochs=2).news_settings() == NewsSettings(epochs=2)
    assert torch.get_default_dtype() == torch.float32
