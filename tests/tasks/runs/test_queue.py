"""The queue: order, results out of order, jobs that come after others, and growth."""

from __future__ import annotations

from board_records import record
from hypothesis import given
from hypothesis import strategies as st

from tasks.registry import TaskSource
from tasks.runs.events import Failure, Silent
from tasks.runs.job import Job
from tasks.runs.queue import JobQueue
from tasks.runs.record import RunRecord
from tasks.task import Subject

RECORD = RunRecord.model_validate(record())


def job(name, after=None, work=""):
    source = TaskSource("m:C", "test")
    subject = Subject(name, None, "zoo")
    return Job(source, "t", 1, "T", {}, subject, 0, name, name, name, work=work or name, after=after)


class Diary(Silent):
    def __init__(self):
        self.heard = []

    def added(self, jobs):
        self.heard.append(("added", *(job.key for job in jobs)))

    def finished(self, job, record):
        self.heard.append(("finished", job.key))

    def failed(self, failure):
        self.heard.append(("failed", failure.job.key))


def take_all(ledger):
    taken = []
    while (job := ledger.take()) is not None:
        taken.append(job)
    return taken


def test_jobs_are_given_out_in_order_and_those_after_others_are_held_back():
    ledger = JobQueue(Silent())
    ledger.add([job("a"), job("b", after="a"), job("c"), job("d", after="elsewhere")])
    taken = take_all(ledger)
    assert [one.key for one in taken] == ["a", "c", "d"]
    ledger.done(taken[1], RECORD)
    assert ledger.take() is None, "b comes after a, not after c"
    ledger.done(taken[0], RECORD)
    assert ledger.take().key == "b"
    assert set(ledger.records) == ledger.made == {"a", "c"}


def test_jobs_that_share_a_work_folder_are_not_given_out_together():
    ledger = JobQueue(Silent())
    ledger.add([job("short", work="w"), job("long", work="w"), job("other")])
    first, other = take_all(ledger)
    assert (first.key, other.key) == ("short", "other")
    ledger.fail(Failure(first, "no"))
    assert ledger.take().key == "long"


def test_a_failure_takes_along_what_comes_after_and_may_stop_all():
    diary = Diary()
    ledger = JobQueue(diary)
    ledger.add([job("a"), job("b", after="a"), job("c", after="b"), job("d")])
    ledger.fail(Failure(ledger.take(), "broken"))
    assert diary.heard == [("failed", "a"), ("failed", "b"), ("failed", "c")]
    assert [failure.message for failure in ledger.failures[1:]] == [
        "not started: it needs what t a seed 0 leaves behind",
        "not started: it needs what t b seed 0 leaves behind",
    ]
    last = ledger.take()
    assert last.key == "d"
    ledger.add([job("e")])
    ledger.fail(Failure(last, "disk full", stops_all=True))
    assert ledger.stopped
    assert ledger.take() is None


def test_results_make_further_jobs_possible_and_failures_do_too():
    def grow(done, result):
        if isinstance(result, Failure):
            return [job(f"{done.key}-instead")]
        return [job(f"{done.key}+"), job("shared")] if len(done.key) < 3 else []

    diary = Diary()
    ledger = JobQueue(diary, grow=grow)
    ledger.add([job("a"), job("b")])
    ledger.begin(0, 2)
    a, b = take_all(ledger)
    ledger.done(b, RECORD)
    ledger.fail(Failure(a, "no"))
    assert [one.key for one in take_all(ledger)] == ["b+", "shared", "a-instead"]
    assert ("added", "b+", "shared") in diary.heard
    assert ("added", "a-instead") in diary.heard


def test_a_failed_job_that_is_given_again_is_done_again():
    again = []

    def grow(done, result):
        return [done] if isinstance(result, Failure) and not again and not again.append(done) else []

    diary = Diary()
    ledger = JobQueue(diary, grow=grow)
    ledger.add([job("a")])
    ledger.begin(0, 1)
    (first,) = take_all(ledger)
    ledger.fail(Failure(first, "its process died"))
    assert ledger.failures == []
    assert take_all(ledger) == [first]
    ledger.fail(Failure(first, "its process died"))
    assert [failure.job for failure in ledger.failures] == [first]
    assert take_all(ledger) == []


def test_a_queue_that_was_stopped_is_gone_through_again_to_where_it_was():
    there = {"a": RECORD, "a+": RECORD}
    asked = []

    def grow(done, result):
        asked.append(done.key)
        return [job(f"{done.key}+")]

    ledger = JobQueue(Silent(), lookup=lambda one: there.get(one.key), grow=grow)
    ledger.add([job("a"), job("b")])
    assert asked == ["a", "a+"]
    assert [one.key for one in take_all(ledger)] == ["b", "a++"]
    assert set(ledger.records) == {"a", "a+"}
    assert ledger.made == set()


@given(st.lists(st.integers(0, 30), max_size=12), st.randoms(use_true_random=False))
def test_every_job_is_settled_once_whatever_the_order_of_results(parents, source):
    jobs = [job(str(n), after=str(parent) if parent < n else None) for n, parent in enumerate(parents)]
    diary = Diary()
    ledger = JobQueue(diary)
    ledger.add(jobs)
    ledger.add(jobs)
    running, settled = [], set()
    while True:
        running += take_all(ledger)
        assert all(one.after is None or one.after in settled for one in running)
        if not running:
            break
        one = running.pop(source.randrange(len(running)))
        if source.random() < 0.3:
            ledger.fail(Failure(one, "no"))
        else:
            ledger.done(one, RECORD)
        settled |= {key for _, key in diary.heard}
    assert sorted(key for _, key in diary.heard) == sorted(one.key for one in jobs)
