"""What runs of GLUE's tasks say, and submissions for its server."""

from __future__ import annotations

import io
import math
import random
import zipfile

import pytest
from board_records import record, write_with_items

from cellzoo.errors import CellzooError, DataError, RecordError
from leaderboards.collect import collect
from leaderboards.glue.command import COMMAND
from leaderboards.glue.submission import FILES, check_submission, write_submission
from leaderboards.glue.table import describe, smallest_difference
from tasks.data.catalog import find_set


def accuracy_items(right, count, prediction=None):
    gold = [index % 2 for index in range(count)]
    guesses = [g if index < right else 1 - g for index, g in enumerate(gold)]
    if prediction is not None:
        guesses = [prediction] * count
    return [
        {"split": "test", "index": i, "gold": g, "prediction": p}
        for i, (g, p) in enumerate(zip(gold, guesses, strict=True))
    ]


@pytest.mark.parametrize(("right", "count", "points"), [(150, 277, 8.3), (40, 71, 16.3), (4000, 5463, 1.7)])
def test_the_smallest_difference_is_that_of_two_accuracies(right, count, points):
    items = accuracy_items(right, count)
    columns = {name: [item[name] for item in items] for name in ("gold", "prediction")}
    share = right / count
    found = smallest_difference(["accuracy"], columns)
    assert found == pytest.approx(100 * 1.959964 * math.sqrt(2 * share * (1 - share) / count), rel=1e-6)
    assert round(found, 1) == points
    assert smallest_difference(["accuracy", "pearson"], {"gold": [1, 0], "prediction": [1, 0]}) is None


def test_mean_median_and_degenerate_runs_are_shown_and_what_is_missing(tmp_path):
    for seed, right in enumerate((30, 40, 35)):
        content = record("gru", seed, task="rte", metrics={"accuracy": 100 * right / 60}, corpus="rte")
        write_with_items(tmp_path, content, accuracy_items(right, 60))
    content = record("constant", 0, task="rte", metrics={"accuracy": 50.0}, corpus="rte", baseline=True)
    write_with_items(tmp_path, content, accuracy_items(0, 60, prediction=1))
    content = record("gru", 0, task="qnli-sample", metrics={"accuracy": 50.0}, corpus="qnli-sample")
    write_with_items(tmp_path, content, accuracy_items(30, 60))
    lines = list(describe(collect([tmp_path])))
    assert "qnli-sample: title of accuracy, 60 examples, partial data: not a GLUE score" in lines
    assert "rte: title of accuracy, 60 examples" in lines
    (gru,) = [line for line in lines if line.startswith("  gru") and "3  " in line]
    assert gru.split() == ["gru", "58.3", "58.3", "50.0", "66.7", "3", "0", "of", "3"]
    (constant,) = [line for line in lines if line.startswith("  constant")]
    assert constant.split()[-3:] == ["1", "of", "1"]
    assert lines[-1].startswith("no GLUE average on dev: 8 of 9 tasks are missing (cola, sst-2, mrpc")


def predicted(file, draw):
    labels = find_set(file.task).table.labels
    return [draw.randrange(len(labels)) if labels else draw.uniform(-1, 6) for _ in range(file.rows)]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A run of each task with the predictions of its test files."""
    folder, draw = tmp_path_factory.mktemp("glue"), random.Random(1)
    for task in dict.fromkeys(file.task for file in FILES):
        items = accuracy_items(1, 2)
        for file in FILES:
            if file.task == task:
                items.append({"split": "unlabelled", "file": file.role, "predictions": predicted(file, draw)})
        write_with_items(folder, record("gru", 2, task=task, metrics={"accuracy": 50.0}, corpus=task), items)
    return folder


def test_a_submission_has_the_official_files_sizes_and_labels(results, tmp_path):
    path = tmp_path / "gru.zip"
    lines = write_submission(collect([results]), "gru", 2, path)
    assert len(lines) == 11
    assert check_submission(path) == []
    with zipfile.ZipFile(path) as archive:
        # As the server's sample submission names them.
        assert set(archive.namelist()) == {
            *("CoLA.tsv", "SST-2.tsv", "MRPC.tsv", "STS-B.tsv", "QQP.tsv", "MNLI-m.tsv", "MNLI-mm.tsv"),
            *("QNLI.tsv", "RTE.tsv", "WNLI.tsv", "AX.tsv"),
        }
        rows = {name: archive.read(name).decode().splitlines() for name in archive.namelist()}
    assert all(lines[0] == "index\tprediction" for lines in rows.values())
    assert {row.split("\t")[1] for row in rows["RTE.tsv"][1:]} == {"entailment", "not_entailment"}
    assert {row.split("\t")[1] for row in rows["AX.tsv"][1:]} == {"entailment", "neutral", "contradiction"}
    assert {row.split("\t")[1] for row in rows["CoLA.tsv"][1:]} == {"0", "1"}
    scores = [float(row.split("\t")[1]) for row in rows["STS-B.tsv"][1:]]
    assert (min(scores), max(scores)) == (0.0, 5.0)
    before = path.read_bytes()
    write_submission(collect([results]), "gru", 2, path)
    assert path.read_bytes() == before


def test_what_is_missing_for_a_submission_is_named_and_nothing_is_written(results, tmp_path):
    path = tmp_path / "gru.zip"
    with pytest.raises(
        RecordError, match=r"11 of 11 files cannot be made.*\n.*CoLA.tsv: no run of cola by lstm"
    ):
        write_submission(collect([results]), "lstm", 2, path)
    other = tmp_path / "other"
    write_with_items(
        other, record("gru", 2, task="mnli", metrics={"accuracy": 50.0}, corpus="mnli"), accuracy_items(1, 2)
    )
    with pytest.raises(
        RecordError, match=r"AX.tsv: no predictions of the diagnostic file of mnli by gru with seed 2"
    ):
        write_submission(collect([other]), "gru", 2, path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        (
            "RTE.tsv",
            lambda text: text.replace("index", "id"),
            "RTE.tsv:1: is 'id\\tprediction'; expected the header",
        ),
        (
            "RTE.tsv",
            lambda text: text + "3000\tentailment\n",
            "has 3,001 predictions; the official test set has 3,000",
        ),
        ("WNLI.tsv", lambda text: text.replace("0\t", "9\t", 1), "WNLI.tsv:2: is '9\\t"),
        (
            "QNLI.tsv",
            lambda text: text.replace("not_entailment", "no", 1),
            "the prediction is 'no'; expected entailment",
        ),
        (
            "STS-B.tsv",
            lambda text: text.replace("0.000", "nan"),
            "the prediction is 'nan'; expected a number from 0 to 5",
        ),
        ("MRPC.tsv", lambda text: None, "MRPC.tsv: is missing"),
        ("extra.txt", lambda text: "", "extra.txt: is not a file of a submission"),
    ],
)
def test_faults_of_a_submission_are_named(results, tmp_path, name, change, fault):
    path = tmp_path / "gru.zip"
    write_submission(collect([results]), "gru", 2, path)
    with zipfile.ZipFile(path) as archive:
        contents = {entry: archive.read(entry).decode() for entry in archive.namelist()}
    changed = change(contents.pop(name, ""))
    if changed is not None:
        contents[name] = changed
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for entry, text in contents.items():
            archive.writestr(entry, text)
    path.write_bytes(buffer.getvalue())
    faults = check_submission(path)
    assert any(fault in found for found in faults), faults


def test_a_damaged_member_of_a_submission_is_refused(tmp_path):
    path = tmp_path / "damaged.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("CoLA.tsv", "index\tprediction\n" + "0\t1\n" * 100)
    content = bytearray(path.read_bytes())
    start = 30 + len("CoLA.tsv")  # behind the member's local header
    content[start] = 0xFF  # a block of the reserved type, which no decoder takes
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="is not a zip archive of text files"):
        check_submission(path)


def test_the_command(results, tmp_path, capsys):
    import argparse

    parser = argparse.ArgumentParser()
    COMMAND.configure(parser)

    def call(*arguments):
        code = COMMAND.execute(parser.parse_args([str(argument) for argument in arguments]))
        return code, capsys.readouterr().out

    path = tmp_path / "gru.zip"
    assert call(results, "--submission", path, "--cell", "gru", "--seed", "2")[1].endswith(f"written: {path}\n")
    assert call("--check", path) == (0, f"{path}: is a valid submission with all files of GLUE\n")
    code, shown = call(results)
    assert (code, "rte: title of accuracy" in shown) == (0, True)
    path.write_bytes(b"no zip")
    with pytest.raises(DataError, match="is not a zip archive"):
        call("--check", path)
    with pytest.raises(CellzooError, match="name the folder"):
        call()


def test_the_smallest_difference_of_correlations_does_not_need_the_constant_baseline(tmp_path):
    draw = random.Random(3)
    gold = [draw.uniform(0, 5) for _ in range(50)]
    items = [
        {"split": "test", "index": i, "gold": g, "prediction": g + draw.gauss(0, 2)} for i, g in enumerate(gold)
    ]
    values = {"score": 50.0, "pearson": 50.0, "spearman": 50.0}
    write_with_items(tmp_path, record("gru", task="sts-b", metrics=values, corpus="sts-b"), items)
    constant = record("constant", task="sts-b", metrics={"score": 0.0}, corpus="sts-b", baseline=True)
    write_with_items(tmp_path, constant, [{**item, "prediction": 1.0} for item in items])
    lines = list(describe(collect([tmp_path])))
    assert any(
        line.startswith("  smallest difference that a test set of this size can show:") for line in lines
    )


def test_cells_of_one_name_have_rows_of_their_own_and_only_results_count(tmp_path):
    for of, right in (("a", 30), ("b", 40)):
        for seed, purpose in enumerate(("evaluation", "confirmation", "tuning")):
            content = record("found", seed, task="rte", metrics={"accuracy": 100 * right / 60}, hash_of=of)
            write_with_items(tmp_path, {**content, "purpose": purpose}, accuracy_items(right, 60))
    rows = [line.split() for line in describe(collect([tmp_path])) if line.startswith("  found")]
    assert {(*row[1:4], row[6]) for row in rows} == {
        (record("found", hash_of="a")["cell"]["hash"][:8], "50.0", "50.0", "1"),
        (record("found", hash_of="b")["cell"]["hash"][:8], "66.7", "66.7", "1"),
    }


def test_trials_of_tuning_do_not_stand_in_the_way_of_a_submission(results, tmp_path):
    trial = record("gru", 2, task="rte", metrics={"accuracy": 50.0}, corpus="rte", configuration={"rate": 1})
    write_with_items(tmp_path, {**trial, "purpose": "tuning"}, accuracy_items(1, 2))
    assert len(write_submission(collect([results, tmp_path]), "gru", 2, tmp_path / "gru.zip")) == 11
