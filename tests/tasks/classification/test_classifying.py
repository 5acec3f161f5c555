"""The classification problem: words, splits, measures, and the model by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics
from small_examples import write_pairs

import cellzoo
from cellzoo.errors import CellzooError, DataError
from tasks.classification.measures import measure
from tasks.classification.model import TextClassifier, Texts
from tasks.classification.problem import KIND
from tasks.classification.settings import ClassificationSettings, metrics_of
from tasks.classification.texts import Corpus, words_of
from tasks.data.locate import find
from tasks.training.fit import fit, recurrent_layer
from tasks.training.loop import Place
from tasks.training.settings import TrainingSettings

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("He doesn't, she's", ["he", "does", "n't", ",", "she", "'s"]),
        ("He doesn\u2019t", ["he", "does", "n't"]),
        ("it 's a charming journey . ", ["it", "'s", "a", "charming", "journey", "."]),
        ('"U.S." 3.5%', ['"', "u", ".", "s", ".", '"', "3", ".", "5", "%"]),
        ("", [" "]),
    ],
)
def test_words(text, words):
    assert words_of(text) == words


def test_measures_are_those_of_the_libraries():
    draw = np.random.default_rng(0)
    gold, predicted = draw.integers(0, 2, 50).tolist(), draw.integers(0, 2, 50).tolist()
    assert measure("accuracy", gold, predicted) == 100 * np.mean(np.equal(gold, predicted))
    tp = sum(a and b for a, b in zip(gold, predicted, strict=True))
    assert measure("f1", gold, predicted) == pytest.approx(100 * 2 * tp / (sum(gold) + sum(predicted)))
    assert measure("mcc", gold, predicted) == pytest.approx(100 * np.corrcoef(gold, predicted)[0, 1])
    scores, others = draw.random(30), draw.random(30)
    assert measure("pearson", scores, others) == pytest.approx(100 * stats.pearsonr(scores, others).statistic)
    assert measure("spearman", scores, others) == pytest.approx(100 * stats.spearmanr(scores, others).statistic)
    assert measure("mcc", gold, [1] * 50) == metrics.matthews_corrcoef(gold, [1] * 50) == 0.0
    assert math.isnan(measure("pearson", scores, [2.0] * 30))
    assert math.isnan(measure("f1", [0, 0], [0, 0]))
    assert math.isnan(measure("mcc", [1, 1, 1], [0, 1, 1]))


def test_metrics_follow_from_the_data_set():
    assert [metric.name for metric in metrics_of("mrpc")] == ["score", "accuracy", "f1"]
    assert [metric.name for metric in metrics_of("mnli")] == ["accuracy", "mismatched_accuracy"]
    assert [metric.name for metric in metrics_of("cola")] == ["mcc"]
    with pytest.raises(CellzooError, match="has the format 'tags'; expected a data set of examples"):
        metrics_of("wnut17")


def settings(corpus, **changes):
    small = {"hidden_size": 6, "word_size": 5, "mlp_size": 7, "batch_size": 16}
    return ClassificationSettings(corpus=corpus, **{**small, **changes})


def problem(corpus, **changes):
    chosen = settings(corpus, **changes)
    return KIND.build({corpus: find(corpus)}, chosen, CPU)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("pairs"))


def test_inner_dev_is_cut_from_train_and_dev_is_only_reported(corpus):
    whole = Corpus.read(find(corpus), settings(corpus, choose_on="dev"))
    cut = Corpus.read(find(corpus), settings(corpus, inner_dev=0.2))
    again = Corpus.read(find(corpus), settings(corpus, inner_dev=0.2))
    other = Corpus.read(find(corpus), settings(corpus, inner_dev=0.2, inner_dev_seed=1))
    assert cut.splits == again.splits
    assert cut.splits["dev"] != other.splits["dev"]
    assert [len(cut.splits[split]) for split in ("train", "dev", "test")] == [240, 60, 60]
    assert sorted(map(repr, [*cut.splits["train"], *cut.splits["dev"]])) == sorted(
        map(repr, whole.splits["train"])
    )
    assert cut.splits["test"] == whole.splits["test"] == whole.splits["dev"]
    assert any("dev selected" in note for note in whole.notes)
    assert not cut.notes


@pytest.mark.parametrize("pooling", ["max", "mean", "last"])
@pytest.mark.parametrize("cross_attention", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_an_example_is_scored_alike_alone_and_beside_longer_ones(
    corpus, pooling, cross_attention, bidirectional
):
    ours = problem(
        corpus, pooling=pooling, cross_attention=cross_attention, bidirectional=bidirectional, layers=2
    )
    generator = torch.Generator().manual_seed(0)
    model = ours.model(recurrent_layer(cellzoo.load("gru"), ours.layer, generator), generator).double().eval()
    items = ours.corpus.splits["test"][:20]
    together = model(ours._encode(items).texts)
    alone = torch.cat([model(ours._encode([item]).texts) for item in items])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-12)


def test_pairs_are_compared_as_the_papers_say():
    """Attention and comparison, word by word in plain loops, on two states per word that the layer just hands
    on."""

    class Handed(torch.nn.Module):
        def forward(self, packed):
            return packed, None

    chosen = settings("", hidden_size=3, bidirectional=False, pooling="max", word_size=3)
    torch.manual_seed(1)
    vectors = torch.randn(6, 3, dtype=torch.float64)
    model = TextClassifier(Handed(), vectors, chosen, 2, pairs=True, trainable=True).double().eval()
    first, second = [2, 3, 4], [5, 2]
    words = torch.zeros(3, 2, dtype=torch.long)
    words[:3, 0], words[:2, 1] = torch.tensor(first), torch.tensor(second)

    def compared(ours, theirs):
        made = []
        for u in ours:
            scores = torch.stack([u @ v / 3**0.5 for v in theirs])
            a = sum(share * v for share, v in zip(scores.softmax(0), theirs, strict=True))
            made.append(torch.relu(model.head.compare(torch.cat([u, a, (u - a).abs(), u * a]))))
        return torch.stack(made).amax(0)

    one, other = ([vectors[word] for word in text] for text in (first, second))
    u, v = compared(one, other), compared(other, one)
    hidden = torch.relu(model.head.hidden(torch.cat([u, v, (u - v).abs(), u * v])))
    torch.testing.assert_close(model(Texts(words, torch.tensor([3, 2])))[0], model.head.output(hidden))


def test_it_learns_what_a_pair_has_in_common(corpus, tmp_path):
    ours = problem(corpus, hidden_size=24, word_size=24, mlp_size=32, dropout=0.0, word_min_count=1)
    training = TrainingSettings(optimizer="adam", learning_rate=5e-3, epochs=12)
    fitted = fit(ours, cellzoo.load("gru"), training, 0, Place(tmp_path, "a" * 64, "toy", lambda *_: None))
    result = ours.evaluate(fitted.model, "test")
    assert result.metrics["accuracy"] > 80
    assert result.metrics["score"] == pytest.approx((result.metrics["accuracy"] + result.metrics["f1"]) / 2)
    assert len(result.items) == 60


def test_a_degenerate_model_is_named(corpus):
    ours = problem(corpus)
    generator = torch.Generator().manual_seed(0)
    model = ours.model(recurrent_layer(cellzoo.load("gru"), ours.layer, generator), generator)
    with torch.no_grad():
        model.head.output.bias.copy_(torch.tensor([9.0, 0.0]))
    assert "degenerate on test: every prediction is 'yes'" in ours.evaluate(model, "test").notes


def test_data_with_nothing_to_learn_is_refused(tmp_path):
    name = write_pairs(tmp_path)
    lines = (tmp_path / "train.tsv").read_text().splitlines()
    (tmp_path / "train.tsv").write_text("\n".join([lines[0], *(line for line in lines if line.endswith("no"))]))
    with pytest.raises(DataError, match="at least two labels"):
        problem(name)


def test_files_without_labels_are_predicted_as_a_whole_and_in_order(tmp_path):
    corpus = write_pairs(tmp_path, train=60, dev=20)
    rows = [line.split("\t")[:3] for line in (tmp_path / "dev.tsv").read_text().splitlines()]
    (tmp_path / "test.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    description = (
        (tmp_path / "toy-pairs.toml")
        .read_text()
        .replace('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "test.tsv"')
    )
    (tmp_path / "toy-pairs.toml").write_text(description)
    ours, plain = problem(corpus), problem(corpus, predict_test=False)
    drawn = torch.Generator().manual_seed(0)
    model = ours.model(recurrent_layer(cellzoo.load("gru"), ours.layer, drawn), drawn)
    evaluation = ours.evaluate(model, "test")
    *items, blind = evaluation.items
    # The file holds the texts of dev, so that what is predicted of it is what is predicted of dev.
    assert blind == {
        "split": "unlabelled",
        "file": "test",
        "predictions": [item["prediction"] for item in items],
    }
    assert all(item["split"] == "test" for item in items)
    assert [item["split"] for item in ours.evaluate(model, "dev").items] == ["dev"] * len(
        ours.corpus.splits["dev"]
    )
    assert plain.evaluate(model, "test").items == items
    assert plain.evaluate(model, "test").metrics == evaluation.metrics


def test_vectors_are_checked_before_anything_is_trained(tmp_path):
    rows = "".join(f"a {word} film\t{number % 2}\n" for number, word in enumerate(["fine", "poor"] * 10))
    (tmp_path / "train.tsv").write_text("sentence\tlabel\n" + rows)
    (tmp_path / "films.toml").write_text(
        'name = "films"\ntitle = "Films"\nformat = "examples"\n'
        '[files]\ntrain = "train.tsv"\ndev = "train.tsv"\n'
        '[table]\nfirst = "sentence"\nlabel = "label"\nlabels = ["0", "1"]\nmetrics = "accuracy"\n'
    )
    (tmp_path / "words.toml").write_text(
        'name = "words"\ntitle = "Words"\nformat = "vectors"\n[files]\nvectors = "words.txt"\n'
    )
    corpus, words = str(tmp_path / "films.toml"), str(tmp_path / "words.toml")
    (tmp_path / "words.txt").write_text("film 1 2\nfine 3 nan\nrare nan 1\n")
    with pytest.raises(DataError, match=r"words\.txt:2: the word 'fine' has the value nan"):
        KIND.check({corpus: find(corpus), words: find(words)}, settings(corpus, vectors=words))
    (tmp_path / "words.txt").write_text("film 1 2\nfine 3 4\nrare nan 1\n")
    KIND.check({corpus: find(corpus), words: find(words)}, settings(corpus, vectors=words))
