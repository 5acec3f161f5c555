from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from gensim.models import KeyedVectors
from hypothesis import given, settings
from hypothesis import strategies as st
from language_models import model_of, problem_on, python
from real_data import data_folder

from cellzoo.cli.main import main
from cellzoo.errors import CellzooError, RunError
from tasks.data.locate import find
from tasks.data.read import read_pairs, read_word_vectors
from tasks.data.word_pairs import WordPair
from tasks.settings import configure
from tasks.task import ParameterCounts, Subject
from tasks.vectors import LearnedVectors, write_vectors
from tasks.word_similarity.compare import compare
from tasks.word_similarity.correlation import pearson, spearman
from tasks.word_similarity.pairs import cosines, coverage
from tasks.word_similarity.probe import KIND, SETS
from tasks.word_similarity.skip_gram import skip_gram

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasks.probe import Probed

GLOVE = "glove:glove/glove.6B.50d.subset.w2v.txt.gz"
SMALL = {"min_count": 8, "hidden_size": 6, "skip_gram_epochs": 1, "pairs": "wordsim-353,simlex-999"}
SETTINGS = configure(KIND.settings, SMALL, "the test")


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


def test_words_are_found_in_another_spelling() -> None:
    vectors = np.array([[1, 0], [0, 1], [1, 1], [2, 1]], dtype=np.float32)
    words = ("Russia", "NATO", "cup", "Cup")
    pairs = [WordPair("russia", "nato", 1.0), WordPair("CUP", "Cup", 1.0), WordPair("rUSSIA", "cups", 1.0)]
    assert cosines(pairs, words, vectors) == [pytest.approx(0.0), pytest.approx(3 / 10**0.5), None]


def test_a_set_that_is_not_covered_has_no_correlation_and_the_others_have() -> None:
    vectors = np.array([[1, 0], [1, 1], [0, 1], [3, 1]], dtype=np.float32)
    pairs = [WordPair(a, b, score) for a, b, score in (("a", "b", 3.0), ("b", "c", 1.0), ("a", "d", 9.0))]
    other = [WordPair("x", "y", 1.0)]
    titles = {"known": "Known", "other": "Other"}
    found = compare(("a", "b", "c", "d"), vectors, {"known": pairs, "other": other}, titles)
    assert found.metrics["known_coverage"] == 1.0
    assert found.metrics["other_coverage"] == 0.0
    assert found.metrics["known_spearman"] == pytest.approx(3**0.5 / 2)  # ranks 2 1 3 and 1.5 1.5 3
    assert math.isnan(found.metrics["other_spearman"])
    assert len(found.notes) == 1
    assert found.notes[0].startswith("Other: the vocabulary covers 0 of 1 pairs")


def test_real_sets_on_real_vectors_are_as_gensim_evaluates_them() -> None:
    folder = data_folder("glove")
    read = read_word_vectors(find(GLOVE, folder))
    theirs = KeyedVectors(read.size)
    theirs.add_vectors(list(read.words), read.vectors.numpy())
    sets = {name: find(name, folder) for name in SETS}
    pairs = {name: read_pairs(found) for name, found in sets.items()}
    found = compare(read.words, read.vectors.numpy(), pairs, SETS).metrics
    for name, data in sets.items():
        linear, ranks, missing = theirs.evaluate_word_pairs(data.files["pairs"])
        assert found[f"{name}_spearman"] == pytest.approx(ranks.statistic, abs=1e-6)
        assert found[f"{name}_pearson"] == pytest.approx(linear.statistic, abs=1e-6)
        assert found[f"{name}_coverage"] == pytest.approx(1 - missing / 100)


# Cosines by hand are .7071, .7071 and .9487, which lie as -1, -1, 2 around their mean.
WANTED = ["pairs:mine.txt", "4", "75.0%", f"{3**0.5 / 2:.3f}", f"{14 / 208**0.5:.3f}"]


def test_the_command_measures_files_and_what_runs_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("a b 3\nb c 1\nA d 9\nd e 2\n")
    (tmp_path / "four.txt").write_text("a 1 0\nb 1 1\nc 0 1\nd 3 1\n")
    counts = ParameterCounts(cell=1, total_without_embeddings=2, total=3)
    vectors = torch.tensor([[1.0, 0], [1, 1], [0, 1], [3, 1]])
    left = LearnedVectors(tuple("abcd"), vectors, counts, 4, 5, 6.0, ({"epoch": 1},))
    write_vectors(tmp_path / "run.vectors.safetensors", "a" * 64, left)
    names = ["vectors:four.txt", str(tmp_path / "run.vectors.safetensors")]
    assert main(["similarity", *names, "--pairs", "pairs:mine.txt", "--data", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[2].split() == lines[5].split() == WANTED
    assert main(["similarity", names[0], "--pairs", "pairs:no.txt", "--data", str(tmp_path)]) == 3
    assert "no.txt: no such file" in capsys.readouterr().err
    assert main(["similarity", "glovee", "--data", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("cellzoo: error: unknown data set 'glovee'"), (
        "sets that are not there are no news here"
    )


def test_vectors_of_a_file_stand_beside_as_a_baseline(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("a b 3\nb c 1\nA d 9\nd e 2\n")
    (tmp_path / "Four vectors.txt").write_text("a 1 0\nb 1 1\nc 0 1\nd 3 1\nz 1 1\n")
    changes = {"pairs": "pairs:mine.txt", "vectors": "vectors:Four vectors.txt"}
    values = configure(KIND.settings, {**SMALL, **changes}, "the test")
    assert KIND.baselines(values) == ("skip-gram", "four-vectors-txt")
    data = {name: find(name, tmp_path) for name in KIND.data(values)}
    subject = Subject("four-vectors-txt", None, "baseline")
    found = KIND.measure(None, subject, 0, values, data, lambda fraction, words: None)
    assert found.metrics["mine_spearman"] == pytest.approx(3**0.5 / 2)
    assert found.metrics["mine_coverage"] == 0.75
    assert found.vectors.parameters.total == 10


@pytest.mark.parametrize("pairs", ["", "men,,rg-65", "men,men", "pairs:a/men.txt,men"])
def test_sets_that_cannot_be_told_apart_are_refused(pairs: str) -> None:
    with pytest.raises(CellzooError, match="no letter or digit, or is given twice"):
        KIND.metrics(configure(KIND.settings, {"pairs": pairs}, "the test"))


def test_spaces_around_names_do_not_matter() -> None:
    close, spaced = (
        configure(KIND.settings, {"pairs": pairs, "vectors": vectors}, "the test")
        for pairs, vectors in (
            ("men,rg-65", "glove-6b-50d,vectors:a b.txt"),
            (" men, rg-65 ", "glove-6b-50d, vectors:a b.txt"),
        )
    )
    assert KIND.data(spaced) == KIND.data(close)
    assert KIND.metrics(spaced) == KIND.metrics(close)
    assert KIND.baselines(spaced) == KIND.baselines(close)


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


def measured(left: LearnedVectors | None = None, seed: int = 0, **changes: Any) -> Probed:
    values = configure(KIND.settings, {**SMALL, **changes}, "the test")
    data = {name: find(name) for name in KIND.data(values)}
    subject = Subject("skip-gram", None, "baseline")
    return KIND.measure(left, subject, seed, values, data, lambda fraction, words: None)


RUN = """
import json, sys
from tasks.data.locate import find
from tasks.settings import configure
from tasks.task import Subject
from tasks.word_similarity.probe import KIND, SETS
settings = configure(KIND.settings, json.loads(sys.argv[1]), "the test")
data = {name: find(name) for name in KIND.data(settings)}
found = KIND.measure(None, Subject("skip-gram", None, "baseline"), int(sys.argv[2]), settings, data, print)
print(json.dumps([dict(found.metrics), list(found.items)]))
"""


@pytest.mark.slow
def test_skip_gram_depends_on_the_seed_and_not_on_the_hash_seed() -> None:
    results = []
    for seed, hash_seed in ((0, "1"), (0, "2"), (1, "1")):
        done = python(RUN, json.dumps(SMALL), str(seed), hash_seed=hash_seed)
        assert (done.returncode, done.stderr) == (0, "")
        results.append(json.loads(done.stdout.splitlines()[-1]))
    assert results[0] == results[1]
    assert results[0][0]["wordsim353_spearman"] != results[2][0]["wordsim353_spearman"]
    assert results[0][0]["wordsim353_coverage"] == results[2][0]["wordsim353_coverage"]


def test_the_metrics_follow_from_the_items() -> None:
    found = measured()
    assert next(iter(found.metrics)) == KIND.metrics(SETTINGS)[0].name == "wordsim353_spearman"
    assert set(found.metrics) == {metric.name for metric in KIND.metrics(SETTINGS)}
    for name, count in (("wordsim353", 353), ("simlex999", 999)):
        items = [item for item in found.items if item["set"] == name]
        assert [item["index"] for item in items] == list(range(count))
        scored: list[Any] = [item for item in items if item["score"] is not None]
        gold, scores = ([item[key] for item in scored] for key in ("gold", "score"))
        assert 0.02 < found.metrics[f"{name}_coverage"] == len(scored) / count < 0.5
        assert found.metrics[f"{name}_pearson"] == pytest.approx(product_moment(gold, scores), abs=1e-12)
        ranked = product_moment(mean_ranks(gold), mean_ranks(scores))
        assert found.metrics[f"{name}_spearman"] == pytest.approx(ranked, abs=1e-12)
    first = found.items[0]
    assert (first["word1"], first["word2"], first["gold"]) == ("love", "sex", 6.77)
    learned = found.vectors
    assert learned.parameters.cell == learned.flops_per_token == 0
    assert learned.parameters.total == 2 * learned.parameters.total_without_embeddings
    assert learned.vectors.shape == (len(learned.words), 6)


def test_vectors_that_a_language_model_has_left_are_measured_as_they_are() -> None:
    problem = problem_on("news", min_count=8)
    words, vectors = problem.vectors(model_of(problem))
    counts = ParameterCounts(cell=1, total_without_embeddings=2, total=3)
    left = LearnedVectors(tuple(words), vectors, counts, 4, 5, 6.0, ({"epoch": 1},))
    found = measured(left)
    assert found.vectors is left
    rows = {word: row for row, word in enumerate(words)}
    scored: list[Any] = [item for item in found.items if item["score"] is not None]
    assert len(scored) > 20
    for item in scored:
        one, other = (vectors[rows[item[key].lower()]].double() for key in ("word1", "word2"))
        assert item["score"] == pytest.approx(torch.cosine_similarity(one, other, dim=0).item(), abs=1e-9)
    # The baseline has the same words, so that both are measured on the same pairs.
    assert measured().metrics["simlex999_coverage"] == found.metrics["simlex999_coverage"]


def test_a_vocabulary_that_covers_nothing_is_an_error() -> None:
    with pytest.raises(RunError, match="WordSim-353: the vocabulary covers 0 of 353 pairs"):
        measured(min_count=500)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(CellzooError, match=r"'skip_gram_window'.* is 0; it must be at least 1"):
        measured(skip_gram_window=0)


def test_the_kind_imports_nothing_heavy() -> None:
    script = (
        "import sys, tasks.word_similarity.probe\n"
        "print(sorted({'torch', 'numpy', 'scipy', 'gensim', 'safetensors'} & set(sys.modules)))"
    )
    done = python(script)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
