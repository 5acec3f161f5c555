from __future__ import annotations

import json
import math
import signal
from typing import TYPE_CHECKING, Any

import pytest
import torch
from language_models import TINY_NEWS, context_in, python, subject
from tasks.language_modeling.news import NewsLanguageModel, NewsSettings
from tasks.language_modeling.news_training import training_key
from tasks.language_modeling.word_vectors import read_vectors, vectors_path

from cellzoo.errors import CellzooError
from tasks.data.locate import find
from tasks.data.news import read_news, split_news
from tasks.task import Subject

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.task import Outcome

SETTINGS = NewsSettings(**TINY_NEWS)

RUN = """
import json, os, signal, sys
from pathlib import Path
from language_models import TINY_NEWS, context_in, subject
from tasks.language_modeling.news import NewsLanguageModel, NewsSettings
folder, seed, kill_at = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
def report(fraction, words):
    if fraction > kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    print(f"{fraction:.3f} {words}", file=sys.stderr)
task = NewsLanguageModel(NewsSettings(**TINY_NEWS))
outcome = task.run(subject("lstm"), seed, context_in(folder, *task.data, report=report))
history = [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in outcome.history]
facts = {"metrics": outcome.metrics, "items": outcome.items, "tokens": outcome.tokens, "history": history}
print(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("news")


@pytest.fixture(scope="module")
def outcome(folder: Path) -> Outcome:
    return NewsLanguageModel(SETTINGS).run(subject("darts-v2"), 3, context_in(folder, "news"))


def test_the_perplexities_follow_from_the_items(outcome: Outcome) -> None:
    for split, metric in (("test", "perplexity"), ("dev", "dev_perplexity")):
        items = [item for item in outcome.items if item["split"] == split]
        mean = math.fsum(item["nll"] for item in items) / sum(item["tokens"] for item in items)
        assert outcome.metrics[metric] == pytest.approx(math.exp(mean), rel=1e-12)
    assert outcome.metrics["dev_perplexity"] == min(epoch["dev_perplexity"] for epoch in outcome.history)


def test_an_item_is_a_document_with_its_end(outcome: Outcome) -> None:
    documents = split_news(read_news(find("news")))
    for split in ("dev", "test"):
        items = [item for item in outcome.items if item["split"] == split]
        assert [item["index"] for item in items] == list(range(len(documents[split])))
        assert [item["tokens"] for item in items] == [len(document) + 1 for document in documents[split]]
        assert all(item["nll"] > 0 for item in items)


def test_the_outcome_counts_what_was_trained(outcome: Outcome, folder: Path) -> None:
    documents = split_news(read_news(find("news")))
    words = sum(len(document) + 1 for document in documents["train"])
    assert outcome.tokens == SETTINGS.epochs * (words - words % SETTINGS.batch_size)
    vectors = read_vectors(*artifact(folder, "darts-v2", 3))
    size, vocabulary = SETTINGS.hidden_size, len(vectors.words)
    assert outcome.parameters.cell == (2 * size) ** 2 + 8 * size * 2 * size
    assert outcome.parameters.total_without_embeddings == outcome.parameters.cell + vocabulary
    assert outcome.parameters.total == outcome.parameters.cell + vocabulary + vocabulary * size
    assert outcome.flops_per_token > 2 * outcome.parameters.cell


def test_training_beats_the_word_frequencies(tmp_path: Path) -> None:
    changes = {"hidden_size": 32, "epochs": 2, "batch_size": 64, "optimizer": "adam", "learning_rate": 0.02}
    settings = NewsSettings(**{**TINY_NEWS, **changes, "clip": 1.0})
    outcome = NewsLanguageModel(settings).run(subject("gru"), 0, context_in(tmp_path, "news"))
    documents = split_news(read_news(find("news")))
    counts: dict[str, int] = {}
    for word in (word for document in documents["train"] for word in [*document, "<eos>"]):
        counts[word] = counts.get(word, 0) + 1
    kept = {word: count for word, count in counts.items() if count >= SETTINGS.min_count}
    total = sum(counts.values())
    kept["<unk>"] = total - sum(kept.values())
    test = [word for document in documents["test"] for word in [*document, "<eos>"]]
    losses = [-math.log(kept.get(word, kept["<unk>"]) / total) for word in test]
    assert outcome.metrics["perplexity"] < math.exp(math.fsum(losses) / len(losses))


def artifact(folder: Path, cell: str, seed: int) -> tuple[Path, str]:
    graph = subject(cell).cell
    assert graph is not None
    key = training_key(graph, seed, SETTINGS, find("news"))
    return vectors_path(folder / "artifacts", key), key


@pytest.mark.usefixtures("outcome")
def test_the_embeddings_are_left_as_an_artifact(folder: Path) -> None:
    path, key = artifact(folder, "darts-v2", 3)
    assert sorted(entry.name for entry in (folder / "artifacts").iterdir()) == [path.name]
    vectors = read_vectors(path, key)
    assert vectors.words[:3] == ("<unk>", "<eos>", "the")
    assert vectors.vectors.shape == (len(vectors.words), SETTINGS.hidden_size)
    assert torch.isfinite(vectors.vectors).all()


def test_the_artifact_is_named_by_all_that_decides_it() -> None:
    news = find("news")
    lstm, gru = subject("lstm").cell, subject("gru").cell
    assert lstm is not None
    assert gru is not None
    other = NewsSettings(**{**TINY_NEWS, "epochs": 4})
    keys = [
        training_key(lstm, 0, SETTINGS, news),
        training_key(gru, 0, SETTINGS, news),
        training_key(lstm, 1, SETTINGS, news),
        training_key(lstm, 0, other, news),
    ]
    assert len(set(keys)) == 4
    assert keys[0] == training_key(lstm, 0, NewsSettings(**TINY_NEWS), news)


def printed(folder: Path, seed: int, kill_at: float = 9.0, hash_seed: str = "0") -> tuple[dict[str, Any], str]:
    done = python(RUN, str(folder), str(seed), str(kill_at), hash_seed=hash_seed)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_processes_agree_and_a_kill_changes_nothing(tmp_path: Path) -> None:
    killed = python(RUN, str(tmp_path / "killed"), "0", "0.5")  # in the middle of the second of three epochs
    assert killed.returncode == -signal.SIGKILL
    assert killed.stdout == ""
    resumed, log = printed(tmp_path / "killed", 0)
    assert log.startswith("0.3"), "it went on after the first epoch"
    whole, _ = printed(tmp_path / "whole", 0, hash_seed="1")
    assert resumed == whole
    left = [next((tmp_path / name / "artifacts").iterdir()) for name in ("killed", "whole")]
    key = left[0].stem.removeprefix("news-lm-")
    resumed_vectors, whole_vectors = (read_vectors(path, key) for path in left)
    assert torch.equal(resumed_vectors.vectors, whole_vectors.vectors)


def test_a_baseline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CellzooError, match="news-lm: has no baseline 'skip-gram'"):
        NewsLanguageModel().run(Subject("skip-gram", None, "baseline"), 0, context_in(tmp_path, "news"))


def test_settings_are_checked() -> None:
    with pytest.raises(CellzooError, match="min_count is 0"):
        NewsSettings(min_count=0)
    with pytest.raises(CellzooError, match="epochs is 0"):
        NewsSettings(epochs=0)


def test_listing_the_tasks_imports_nothing_heavy() -> None:
    script = (
        "import sys, tasks.language_modeling.news, tasks.word_similarity.task\n"
        "print(sorted({'torch', 'numpy', 'scipy', 'gensim', 'pydantic', 'safetensors'} & set(sys.modules)))"
    )
    done = python(script)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
