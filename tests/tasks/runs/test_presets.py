"""Presets of runs, and suites that leave tasks out whose data is not there."""

from __future__ import annotations

import pytest
from language_models import write_text
from small_examples import write_pairs

import cellzoo
from cellzoo.errors import CellzooError, DataNotFoundError, UnknownNameError
from tasks.presets import preset_names
from tasks.presets.preset import read_preset
from tasks.problem import LayerSpec
from tasks.registry import find_source, find_task
from tasks.runs.plan import make_plan, plan_tasks
from tasks.runs.run import run_suite
from tasks.settings import configure
from tasks.suites.average import describe_average
from tasks.suites.suite import find_suite, parse_suite

GLUE = {"cola", "sst-2", "mrpc", "sts-b", "rte", "wnli", "qqp", "mnli", "qnli"}
SMALL = "hidden_size = 4\nword_size = 4\nmlp_size = 4\n[training]\nepochs = 1\noptimizer = 'adam'\n"


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_that_comes_along_fits_its_tasks(name):
    preset, source = read_preset(name)
    suites = {"tagging": "tagging", "classification": "glue", "language-modeling": "lm"}
    assert preset.problems
    for kind in preset.problems:
        suite = find_suite(suites[kind])
        assert len(plan_tasks(suite, {}, name)) == len(suite.tasks)
    for task in preset.tasks:
        kind = find_source(task).file.problem
        configure(find_task(task).settings, preset.of_task(task, kind, source), task)


def test_fenas_paper_is_what_the_paper_says():
    """Its GLUE experiments: vocabulary sizes and sizes of models (facts of the paper, section on GLUE)."""
    planned = {one.name: one for one in plan_tasks(find_suite("glue"), {}, "fenas-paper")}
    assert planned.keys() == GLUE
    sizes = {
        "rte": 5,
        "sts-b": 5,
        "cola": 5,
        "qqp": 40,
        "mnli": 40,
        "qnli": 30,
        "mrpc": 10,
        "sst-2": 14.3,
        "wnli": 1.3,
    }
    for name, thousands in sizes.items():
        config = planned[name].config
        assert config.vocabulary_size == 1000 * thousands
        assert (config.max_length, config.batch_size, config.learning_rate, config.optimizer) == (
            50,
            64,
            1e-4,
            "adam",
        )
        assert (config.dropout, config.mlp_size, config.choose_on) == (0.2, 256, "dev")
        of_lstm = planned[name].of_cells["lstm"]
        assert (of_lstm.layers, of_lstm.hidden_size, config.layers) == (2, 1500, 1)
        assert "dev (selected)" in planned[name].task.metrics(config)[0].title
    lstm, cell = cellzoo.load("lstm"), cellzoo.load("darts-v2")
    large = LayerSpec(300, 1500, num_layers=2, bidirectional=True).num_parameters(lstm)
    assert LayerSpec(300, 1000, bidirectional=True).num_parameters(cell) < large


def test_equal_gives_every_cell_the_parameters_of_an_lstm_of_256():
    preset, _ = read_preset("equal")
    wanted = LayerSpec(300, 256, bidirectional=True).num_parameters(cellzoo.load("lstm"))
    assert preset.problems["classification"]["cell_parameters"] == wanted


def test_taggers_of_papers():
    idarts, ess = (
        plan_tasks(find_suite("conll2003"), {}, f"{name}-paper")[0].config for name in ("idarts", "ess")
    )
    for config in (idarts, ess):
        assert (config.hidden_size, config.layers, config.crf, config.locked_dropout) == (512, 1, True, 0.5)
        assert (config.optimizer, config.learning_rate, config.clip) == ("sgd", 0.1, 5.0)
    # The learning rate falls after the second epoch in a row without improvement: patience 1 as ours counts.
    assert (idarts.anneal_factor, idarts.anneal_patience, idarts.train_with_dev) == (0.25, 1, False)
    assert (ess.batch_size, ess.train_with_dev, ess.restore_best) == (24, True, False)


@pytest.mark.parametrize(
    ("name", "size", "epochs"),
    [("darts", 850, 1600), ("egs", 850, 1600), ("idarts", 850, 3000), ("ess", 850, 3000)],
)
def test_language_models_of_papers(name, size, epochs):
    """The evaluation of DARTS (section 3.2, and its authors' code), which the others take over."""
    config = plan_tasks(find_suite("ptb"), {}, f"{name}-paper")[0].config
    assert (config.hidden_size, config.embedding_size, config.epochs, config.tied) == (size, 0, epochs, True)
    dropouts = (config.dropout, config.dropout_h, config.dropout_x, config.dropout_i, config.dropout_e)
    assert dropouts == (0.75, 0.25, 0.75, 0.2, 0.1)
    assert (config.batch_size, config.bptt, config.jitter) == (64, 35, "gaussian")
    assert (config.alpha, config.beta, config.weight_range) == (0.0, 1e-3, 0.04)
    assert (config.optimizer, config.learning_rate, config.weight_decay, config.clip) == (
        "sgd",
        20.0,
        8e-7,
        0.25,
    )
    assert (config.averaging, config.averaging_window) == ("plateau", 5)
    if name in {"darts", "egs"}:
        config = plan_tasks(find_suite("wikitext-2"), {}, f"{name}-paper")[0].config
        assert (config.hidden_size, config.dropout_h, config.weight_decay) == (700, 0.15, 5e-7)


def test_language_models_of_fenas():
    search, found = (
        plan_tasks(find_suite("ptb"), {}, f"fenas-lm-{stage}")[0].config for stage in ("search", "paper")
    )
    assert (search.hidden_size, search.epochs, search.optimizer, search.learning_rate) == (
        300,
        20,
        "adam",
        1e-3,
    )
    assert (search.clip, search.weight_decay, search.averaging) == (0.25, 8e-6, "never")
    assert (found.hidden_size, found.optimizer, found.averaging, found.alpha) == (900, "sgd", "plateau", 0.7)


SHRUNKEN = {"corpus": "text:words.txt", "hidden_size": 6, "batch_size": 4, "bptt": 10}


@pytest.mark.parametrize(("epochs", "began"), [(2, False), (6, True)])
def test_the_recipe_of_darts_is_run_small_and_says_whether_it_averaged(epochs, began, tmp_path):
    write_text(tmp_path / "words.txt")
    settings = {**SHRUNKEN, "epochs": epochs, "averaging_window": 1, "learning_rate": 200.0}
    report = run_suite(
        "text-lm",
        ["darts-v2"],
        out=tmp_path / "out",
        data=tmp_path,
        settings=settings,
        preset="darts-paper",
        executor="serial",
        device="cpu",
    )
    report.raise_for_failures()
    (record,) = report.records
    notes = [note for note in record.notes if "averaging" in note]
    assert record.history[-1]["averaged"] is began
    assert bool(notes) is not began
    assert all(note.startswith("averaging = 'plateau' never began within 2 epoch(s)") for note in notes)


def test_settings_go_over_a_preset_and_a_preset_over_a_suite():
    suite = parse_suite(
        '[[task]]\nname = "rte"\n[task.settings]\nbatch_size = 5\nmlp_size = 9\n', name="s", source="s.toml"
    )
    (planned,) = plan_tasks(suite, {"layers": 3}, "fenas-paper")
    assert (planned.config.batch_size, planned.config.mlp_size, planned.config.layers) == (64, 256, 3)
    assert planned.of_cells["lstm"].layers == 3
    assert planned.differences == {"lstm": {"hidden_size": 1500}}


def test_what_is_wrong_with_a_preset_is_said(tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'equal'"):
        plan_tasks(find_suite("rte"), {}, "equals")
    with pytest.raises(CellzooError, match=r"preset 'equal' has nothing for the task 'wnut17' \(tagging\)"):
        plan_tasks(find_suite("wnut17"), {}, "equal")
    path = tmp_path / "mine.toml"
    path.write_text("[problems.classification]\nhiden_size = 3\n")
    with pytest.raises(UnknownNameError, match=r"mine.toml: task 'rte': .*hidden_size"):
        plan_tasks(find_suite("rte"), {}, str(path))
    path.write_text("[tasks.rtee]\nhidden_size = 3\n")
    with pytest.raises(UnknownNameError, match=r"mine.toml: key 'tasks': .*'rte'"):
        plan_tasks(find_suite("rte"), {}, str(path))


def suite_of_two(folder, *, skips):
    """A suite of a task with data and of one without."""
    corpus = write_pairs(folder, train=40, dev=10)
    lost = folder / "lost.toml"
    lost.write_text(
        (folder / "toy-pairs.toml")
        .read_text()
        .replace('"toy-pairs"', '"lost"')
        .replace("train.tsv", "gone.tsv")
    )
    for name, data in (("toy", corpus), ("gone", lost)):
        (folder / f"{name}-task.toml").write_text(
            f'name = "{name}"\ntitle = "Toy"\nrevision = 1\nproblem = "classification"\n'
            f'[settings]\ncorpus = "{data}"\n{SMALL}'
        )
    path = folder / "both.toml"
    path.write_text(
        f'skips = {str(skips).lower()}\naverage = "toy average"\n'
        '[[task]]\nname = "toy-task.toml"\n[[task]]\nname = "gone-task.toml"\n'
    )
    return path


def test_a_suite_goes_on_without_a_task_whose_data_is_missing_and_gives_no_average(tmp_path):
    path = suite_of_two(tmp_path, skips=True)
    report = run_suite(path, ["gru"], out=tmp_path / "out", executor="serial", device="cpu")
    report.raise_for_failures()
    assert {record.task.name for record in report.records} == {"toy"}
    assert any(note.startswith("gone is skipped: its data set") for note in report.notes)
    assert report.averages == ("no toy average: 1 of 2 tasks are missing (gone)",)


def test_a_suite_that_does_not_skip_and_one_without_any_data_stop(tmp_path):
    path = suite_of_two(tmp_path, skips=False)
    with pytest.raises(DataNotFoundError, match="'lost'"):
        make_plan(find_suite(str(path)), ["gru"], [0])
    for split in ("train", "dev"):
        (tmp_path / f"{split}.tsv").unlink()
    with pytest.raises(DataNotFoundError, match="'toy-pairs'"):
        make_plan(find_suite(str(suite_without_files(tmp_path))), ["gru"], [0])


def suite_without_files(folder):
    path = folder / "both.toml"
    path.write_text(path.read_text().replace("skips = false", "skips = true"))
    return path


def test_an_average_is_the_mean_over_the_tasks_of_each_seed(tmp_path):
    path = suite_of_two(tmp_path, skips=True)
    text = path.read_text()
    path.write_text(text[: text.rindex("[[task]]")])
    report = run_suite(path, ["gru"], 3, out=tmp_path / "out", executor="serial", device="cpu")
    scores = [record.score for record in report.records if record.cell.name == "gru"]
    (line,) = [line for line in report.averages if ", gru:" in line]
    middle = sorted(scores)[1]
    assert line == (
        f"toy average, gru: {sum(scores) / 3:.1f} (1 tasks, 3 seed(s), median {middle:.1f}, "
        f"{min(scores):.1f} to {max(scores):.1f})"
    )
    assert not list(describe_average(find_suite("demo"), report.records))
    failed = list(describe_average(find_suite(str(path)), report.records[1:]))
    assert any("none, runs of" in line for line in failed) or len(failed) == len(report.averages)
