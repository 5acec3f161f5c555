"""The plan: which runs, in which order, under which keys."""

from __future__ import annotations

import pytest
from fake_task import Fake

from cellzoo.errors import CellzooError, DataNotFoundError, UnknownNameError
from tasks.data.catalog import DataSet
from tasks.data.found import FoundData
from tasks.runs.plan import make_plan
from tasks.settings import Typed
from tasks.suites.suite import find_suite, parse_suite

BOTH = parse_suite(
    '[[task]]\nname = "fake_task:FakeAfter"\n[[task]]\nname = "fake_task:Fake"\n[task.settings]\nepochs = 3\n',
    name="both",
    source="both.toml",
)
ONE = find_suite("fake_task:Fake")


def keys(plan):
    return {(job.task, job.subject.name, job.seed): job.key for job in plan.jobs}


def data_set(name, digest):
    kind = DataSet.model_construct(name=name, format="conll")
    return FoundData(name, "here", {}, {"train": digest}, kind)


def test_every_task_meets_every_cell_and_seed_and_its_baselines():
    plan = make_plan(BOTH, ["lstm", "gru"], [0, 7])
    assert [job.label for job in plan.jobs] == [
        f"{task} {subject} seed {seed}"
        for seed in (0, 7)
        for task, subjects in (("fake", ("lstm", "gru")), ("fake-after", ("lstm", "gru", "nothing")))
        for subject in subjects
    ]
    assert len({job.key for job in plan.jobs}) == len(plan.jobs)


def test_a_task_waits_for_the_one_it_comes_after_of_the_same_subject_and_seed():
    plan = make_plan(BOTH, ["lstm", "gru"], [0, 1])
    known = keys(plan)
    for job in plan.jobs:
        wanted = (
            known["fake", job.subject.name, job.seed] if job.task == "fake-after" and job.subject.cell else None
        )
        assert job.after == wanted


def test_the_run_that_a_probe_reads_is_planned_with_it_and_its_key_is_in_the_probes_key():
    alone = find_suite("fake_task:FakeAfter")
    plan = make_plan(alone, ["lstm"], [0])
    assert [job.label for job in plan.jobs] == [
        "fake lstm seed 0",
        "fake-after lstm seed 0",
        "fake-after nothing seed 0",
    ]
    before, probe, baseline = plan.jobs
    assert (probe.after, probe.left) == (before.key, before.leaves)
    assert (baseline.after, baseline.left) == (None, "")
    assert [task.is_implied for task in plan.tasks] == [True, False]
    other = make_plan(alone, ["lstm"], [0], settings={"fake.rate": 0.25})
    assert other.jobs[1].settings == probe.settings
    assert other.jobs[1].key != probe.key
    assert other.jobs[2].key == baseline.key


def test_runs_that_differ_by_their_budget_alone_share_a_work_folder():
    jobs = [
        make_plan(ONE, ["lstm"], [0], settings=settings).jobs[0]
        for settings in ({}, {"epochs": 9}, {"rate": 0.25})
    ]
    assert len({job.key for job in jobs}) == 3
    assert jobs[0].work == jobs[1].work != jobs[2].work


def test_a_probe_of_what_no_run_leaves_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Fake, "leaves", "")
    with pytest.raises(CellzooError, match="'fake_task:Fake', whose runs leave nothing behind"):
        make_plan(find_suite("fake_task:FakeAfter"), ["lstm"], [0])


@pytest.mark.parametrize("name", ["caf\udce9.toml", "\udcff.toml"])
def test_what_a_record_could_not_hold_is_refused_before_anything_is_run(tmp_path, name):
    path = tmp_path / name
    path.write_text("name = 'mine'\nnotation = 'equations'\ngenotype = \"h' = tanh(linear(x, h)) + h\"\n")
    with pytest.raises(CellzooError, match=r"the name of the cell's file, .* is not UTF-8"):
        make_plan(ONE, [path], [0])


def test_settings_come_from_the_suite_and_then_from_the_command():
    plan = make_plan(BOTH, ["lstm"], [0], settings={"epochs": Typed("9"), "fake-after.rate": Typed("2")})
    assert {task.name: (task.settings["epochs"], task.settings["rate"]) for task in plan.tasks} == {
        "fake": (9, 0.5),
        "fake-after": (9, 2.0),
    }
    one = make_plan(BOTH, ["lstm"], [0], settings={"fake.epochs": 1, "epochs": 9})
    assert {task.name: task.settings["epochs"] for task in one.tasks} == {"fake": 1, "fake-after": 9}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epoch": 1}, "unknown setting 'epoch'. Did you mean 'epochs'?"),
        ({"fake.epoch": 1}, "unknown setting 'epoch'. Did you mean 'epochs'?"),
        ({"fakes.epochs": 1}, "unknown task in --set 'fakes'. Did you mean 'fake'"),
        (
            {"epochs": Typed("x")},
            "--set: setting 'epochs' of task 'fake-after' is 'x'; it must be a whole number",
        ),
    ],
)
def test_a_wrong_setting_is_one_message(settings, words):
    with pytest.raises(CellzooError) as caught:
        make_plan(BOTH, ["lstm"], [0], settings=settings)
    assert words in str(caught.value)


def test_a_wrong_setting_in_a_suite_file_names_the_file():
    suite = parse_suite('[[task]]\nname="fake_task:Fake"\nsettings={epochs="2"}', name="s", source="s.toml")
    with pytest.raises(
        CellzooError, match=r"s\.toml: setting 'epochs' of task 'fake' is '2'; it must be a whole number"
    ):
        make_plan(suite, ["lstm"], [0], settings={"rate": 1})


def test_cells_come_by_name_pattern_and_path(tmp_path):
    path = tmp_path / "found.toml"
    path.write_text("name = 'found'\nnotation = 'equations'\ngenotype = \"h' = tanh(linear(x, h)) + h\"\n")
    plan = make_plan(ONE, ["lstm", "darts-*", str(path), "random-darts-3"], [0])
    names = [job.subject.name for job in plan.jobs]
    assert names[0] == "lstm"
    assert {"darts-v1", "darts-v2"} <= set(names)
    assert names[-2:] == ["found", "random-darts-3"]
    found = plan.jobs[-2].subject
    assert (found.origin, found.notation) == ("found.toml", "equations")


def test_a_cell_named_twice_runs_once(tmp_path):
    assert len(make_plan(ONE, ["lstm", "lst[m]", "lstm"], [0, 0]).jobs) == 1


def test_one_graph_under_two_names_runs_once_and_says_so(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("name = 'mine'\nnotation = 'equations'\ngenotype = \"h' = tanh(linear(x, h))\"\n")
    plan = make_plan(ONE, ["rnn", str(path)], [0])
    assert [job.subject.name for job in plan.jobs] == ["rnn"]
    assert plan.notes == ("mine is the same graph as rnn: run once, as rnn",)


def test_two_cells_of_one_name_are_an_error(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text("name = 'lstm'\nnotation = 'equations'\ngenotype = \"h' = tanh(linear(x, h))\"\n")
    with pytest.raises(CellzooError, match=r"two different cells are called 'lstm' \(zoo and x\.toml\)"):
        make_plan(ONE, ["lstm", str(path)], [0])


def test_a_cell_with_the_name_of_a_baseline_is_an_error(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text("name = 'nothing'\nnotation = 'equations'\ngenotype = \"h' = tanh(linear(x, h))\"\n")
    with pytest.raises(CellzooError, match="named as a baseline of 'fake-after'"):
        make_plan(BOTH, [str(path)], [0])


@pytest.mark.parametrize(
    ("cells", "seeds", "words"),
    [
        (["lstn"], [0], "unknown cell 'lstn'. Did you mean 'lstm'"),
        (["lstn*"], [0], "unknown cell pattern 'lstn*'"),
        (
            ["random-darts-*"],
            [0],
            "A pattern does not match random cells (random-darts-<seed>); give each by its name.",
        ),
        (["no/such.toml"], [0], "no/such.toml"),
        ([], [0], "no cell was given"),
        (["lstm"], [], "no seed was given"),
        (["lstm"], [2**32], "seed 4294967296: a seed is a whole number from 0 to 4294967295"),
        (["lstm"], [-1], "seed -1"),
    ],
)
def test_a_wrong_request_is_one_message(cells, seeds, words):
    with pytest.raises(CellzooError) as caught:
        make_plan(ONE, cells, seeds)
    assert words in str(caught.value)


class NeedsData(Fake):
    name = "needs-data"

    def data(self, config):
        return ("one", "two")


class NeedsOne(Fake):
    name = "needs-one"

    def data(self, config):
        return ("one",)


@pytest.fixture
def data(monkeypatch):
    """Data sets that are always found; counts how often each is looked for."""
    asked = []
    digests = {"one": "11", "two": "22"}

    def find(name, data_dir):
        asked.append((name, data_dir))
        return data_set(name, digests[name])

    monkeypatch.setattr("tasks.data.locate.find", find)
    return asked, digests


def test_each_data_set_is_found_once(data, tmp_path):
    suite = parse_suite(
        f'[[task]]\nname = "{__name__}:NeedsData"\n[[task]]\nname = "{__name__}:NeedsOne"\n',
        name="s",
        source="s",
    )
    plan = make_plan(suite, ["lstm", "gru"], [0, 1], data_dir=tmp_path)
    assert data[0] == [("one", tmp_path), ("two", tmp_path)]
    assert [set(job.data) for job in plan.jobs[:3:2]] == [{"one", "two"}, {"one"}]


def test_data_that_is_not_there_stops_before_any_run(monkeypatch):
    monkeypatch.delenv("CELLZOO_DATA", raising=False)
    with pytest.raises(DataNotFoundError, match="wnut17"):
        make_plan(find_suite("wnut17"), ["lstm"], [0])


def test_whatever_decides_the_number_decides_the_key(data, monkeypatch):
    suite = find_suite(f"{__name__}:NeedsData")

    def key(cell="lstm", seed=0, **settings):
        return make_plan(suite, [cell], [seed], settings=settings).jobs[0].key

    first = key()
    assert key() == first
    assert key(epochs=2, rate=0.5) == first
    others = {
        key(cell="gru"),
        key(seed=1),
        key(epochs=3),
        key(sizes=[2, 1]),
        key(shuffle=False),
        key(label="y"),
    }
    data[1]["two"] = "23"
    others.add(key())
    data[1]["two"] = "22"
    monkeypatch.setattr(NeedsData, "revision", 2)
    others.add(key())
    monkeypatch.setattr(NeedsData, "revision", 1)
    monkeypatch.setattr(NeedsData, "name", "renamed")
    others.add(key())
    assert len(others - {first}) == 9


def test_an_unknown_task_in_a_suite_is_told_before_anything_else():
    with pytest.raises(UnknownNameError, match="unknown suite or task 'fake'"):
        find_suite("fake")


def test_a_graph_written_down_in_another_order_runs_as_the_same_cell(tmp_path):
    """Otherwise one key would stand for two numbers: weights are drawn in the order of the graph's nodes."""
    turned = tmp_path / "turned.toml"
    turned.write_text(
        'name = "turned"\nnotation = "equations"\ngenotype = """\n'
        "o = sigmoid(linear(h, x))\ng = tanh(linear(x, h))\nf = sigmoid(linear(x, h))\n"
        "i = sigmoid(linear(h, x))\nc' = g * i + c * f\nh' = tanh(c') * o\n\"\"\"\n",
        encoding="utf-8",
    )
    (first,) = make_plan(ONE, ["lstm"], [0]).jobs
    (second,) = make_plan(ONE, [turned], [0]).jobs
    assert first.key == second.key
    assert first.subject.cell == second.subject.cell
