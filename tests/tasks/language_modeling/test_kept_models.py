"""Language models that were kept, evaluated again: statically, dynamically, and with their own words alone."""

from __future__ import annotations

import pytest
from language_models import AWD, SMALL, model_of, problem_on, write_text

from cellzoo.cli.main import main
from cellzoo.errors import CellzooError, DataError
from cellzoo.system.tensor_file import read_tensors, write_tensors
from tasks.data.vocabulary import Vocabulary
from tasks.language_modeling.model_file import LANGUAGE_MODEL_FILE
from tasks.runs import run_suite
from tasks.runs.evaluate import evaluate_again
from tasks.runs.run import request_plan

STATIC = {**SMALL, "corpus": "text:words.txt", "epochs": 1}
PLACE = {"executor": "serial", "device": "cpu"}


def run(folder, settings, task="text-lm", **changes):
    place = {**PLACE, "out": folder / "out", "data": folder, "keep_models": True, **changes}
    report = run_suite(task, ["lstm"], settings=settings, **place)
    report.raise_for_failures()
    return report.records[0]


def evaluated(folder, settings, task="text-lm"):
    plan = request_plan(task, ["lstm"], 1, data=folder, settings=settings, keep_models=True)
    (found,) = evaluate_again(plan, folder / "out", "cpu")
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A text, and a model that was trained on it and kept."""
    folder = tmp_path_factory.mktemp("kept")
    write_text(folder / "words.txt")
    run(folder, STATIC)
    return folder


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("text-lm", STATIC),
        ("text-lm", {**STATIC, **AWD, "softmax": "adaptive", "cutoffs": [4], "tied": False}),
        ("char-lm", {"corpus": "text:words.txt", "hidden_size": 6, "batch_size": 4, "bptt": 10, "epochs": 1}),
    ],
)
def test_all_metrics_are_those_of_the_record(task, settings, folder):
    record = run(folder, settings, task)
    found = evaluated(folder, settings, task)
    assert found.metrics == {name: one.value for name, one in record.metrics.items()}
    assert str(found).endswith("all 3 metrics as in its record")
    assert (folder / "out" / "artifacts" / found.job.leaves).is_file()


def test_a_model_is_evaluated_dynamically_without_another_training(folder, tmp_path, capsys):
    """As if the run had measured that in the first place."""
    write_text(tmp_path / "words.txt")
    settings = {**STATIC, "dynamic": True, "dynamic_rate": 0.01}
    wanted = run(tmp_path, settings, keep_models=False).value("dynamic_perplexity")
    found = evaluated(folder, settings)
    assert found.metrics["dynamic_perplexity"] == pytest.approx(wanted, rel=1e-9)
    assert (found.new, found.differing) == ({"dynamic_perplexity"}, ())
    arguments = [f"--set={name}={value}".lower() for name, value in settings.items()]
    place = ["--out", str(folder / "out"), "--data", str(folder), "--eval-only"]
    assert main(["run", "text-lm", "--cells", "lstm", *place, *arguments]) == 0
    words = (
        f"dynamic_perplexity {wanted:.2f} (not by the settings of its record), all 3 other metrics as in its"
    )
    assert words in capsys.readouterr().out
    assert len(list((folder / "out" / "records").glob("text-lm--lstm--*.json"))) == 2  # with the one of awd
    with pytest.raises(CellzooError, match="has no record of text-lm lstm seed 0 with these settings"):
        evaluated(folder, {**settings, "dropout": 0.3})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda words: [*words, "more"],
            r"has 15 words and differs from that of .*words\.txt, which has 14\. A model",
        ),
        (lambda words: words[:-1], "has 13 words and differs .* which has 14"),
        (lambda words: [*words[:4], "odd", *words[5:]], "first that differs is number 4, 'odd' instead of 'w"),
        (
            lambda words: [*words[:5], words[3], *words[6:]],
            "stands twice in its vocabulary, as word 3 and word 5",
        ),
        (
            lambda words: words[:1] + words[2:],
            "word 1 of its vocabulary is 'w.*'; the first two are <unk> and <eos>",
        ),
        (lambda words: words[1:], "word 0 of its vocabulary is '<eos>'; the first two"),
        (lambda words: [], "word 0 of its vocabulary is missing"),
        (lambda words: [*words[:-1], 7], "holds no vocabulary"),
        (lambda words: None, "holds no vocabulary"),
    ],
)
def test_another_vocabulary_is_refused(change, message, folder, tmp_path):
    problem = problem_on(folder / "words.txt")
    path = tmp_path / "mine.language-model.safetensors"
    model = model_of(problem)
    LANGUAGE_MODEL_FILE.write(problem, model, path)
    LANGUAGE_MODEL_FILE.load(problem, model, path)
    tensors, content = read_tensors(path)
    write_tensors(path, tensors, {**content, "vocabulary": change(content["vocabulary"])})
    with pytest.raises(DataError, match=rf"mine\.language-model\.safetensors: .*{message}"):
        LANGUAGE_MODEL_FILE.load(problem, model, path)


def test_the_model_of_another_run_is_refused(folder, tmp_path):
    """Of another text with as many words, of another cell, and what is not a language model."""
    words = (folder / "words.txt").read_text()
    (tmp_path / "words.txt").write_text(words.replace("w3", "v3"))
    other = problem_on(tmp_path / "words.txt")
    path = tmp_path / "other.safetensors"
    LANGUAGE_MODEL_FILE.write(other, model_of(other), path)
    problem = problem_on(folder / "words.txt")
    with pytest.raises(
        DataError, match=r"has 14 words and differs from that of .* which has 14; .* 'v3' instead of 'w3'"
    ):
        LANGUAGE_MODEL_FILE.load(problem, model_of(problem), path)
    LANGUAGE_MODEL_FILE.write(problem, model_of(problem, "lstm"), path)
    with pytest.raises(DataError, match="does not fit the cell and the settings"):
        LANGUAGE_MODEL_FILE.load(problem, model_of(problem, "gru"), path)
    write_tensors(path, {}, {"format": "something"})
    with pytest.raises(DataError, match="is not a language model of a run"):
        LANGUAGE_MODEL_FILE.load(problem, model_of(problem), path)


def test_a_vocabulary_takes_the_words_of_a_file_in_its_order():
    assert Vocabulary.of(["<unk>", "<eos>", "b", "a"], "here").words == ("<unk>", "<eos>", "b", "a")
