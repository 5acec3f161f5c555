"""The signature of a number: what it says, and what changes it."""

from __future__ import annotations

import hashlib

import pytest
from board_records import record

from tasks.runs.record import HeldEqual, RunRecord
from tasks.runs.signature import features_of, signature

DATA = '{"corpus": {"test": "' + "b" * 64 + '", "train": "' + "a" * 64 + '"}}'


def made(seed=0, **options):
    content = record("lstm", seed, **options)
    content.pop("digest", None)
    return RunRecord.model_validate(content)


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def test_a_line_from_scratch():
    """The digests are of JSON with sorted keys, made here by hand."""
    settings = '{"epochs": 3, "rate": 0.5}'
    records = [made(seed, configuration={"rate": 0.5, "epochs": 3}) for seed in (0, 1, 7)]
    cell = records[0].cell.hash[:8]
    assert signature(records) == (
        f"small-ner:r1|settings:{sha(settings)}|data:{sha(DATA)}|cell:lstm@{cell}|seeds:0,1,7|cellzoo:0.1.0"
    )


def test_features_stand_for_themselves():
    configuration = {"features": "", "vectors": "glove-6b-50d", "character_hidden": 25, "epochs": 2}
    line = signature([made(configuration=configuration)])
    rest = sha('{"character_hidden": 25, "epochs": 2}')
    assert f"|features:glove-6b-50d+char|settings:{rest}|" in line


@pytest.mark.parametrize(
    ("features", "vectors", "characters", "said"),
    [
        ("", "", 25, "words+char"),
        ("", "", 0, "words"),
        ("glove:/home/me/my vectors.txt + char", "", 5, "glove:my_vectors.txt+char"),
        ("flair:/lms/news forward pooled", "", 5, "pooled:flair:news_forward"),
        ("transformer:/m/tiny-bert", "", 0, "transformer:tiny-bert"),
        ("no|such", "", 0, "no_such"),
    ],
)
def test_what_is_read_of_each_token(features, vectors, characters, said):
    found = features_of({"features": features, "vectors": vectors, "character_hidden": characters})
    assert found == said


def test_language_models_have_no_features():
    assert features_of({"hidden_size": 3}) == ""


def test_what_changes_it_and_what_does_not():
    first = signature([made()])
    same = [made(package="9.9"), made(metrics={"f1": 1.0}), made(seconds={"train": 99.0}), made(title="Other")]
    assert {signature([one]) for one in same} == {first}
    others = [
        made(revision=2),
        made(hash_of="gru"),
        made(configuration={"epochs": 9}),
        made(data={"test": "e" * 64}),
        made(3),
        made(baseline=True),
        made().model_copy(update={"held": HeldEqual(quantity="flops", target=9, reached=9, hidden_size=3)}),
        made().model_copy(update={"purpose": "confirmation"}),
        made().model_copy(update={"cell": made().cell.model_copy(update={"init": {"*": 0.1}})}),
        made().model_copy(update={"code": made().code.model_copy(update={"version": "9.0"})}),
    ]
    assert len({first, *(signature([one]) for one in others)}) == 1 + len(others)
