"""Initialisation of the weights of a cell: a setting of the task, and part of the key of a record."""

from __future__ import annotations

import pytest
import torch
from board_records import record

import cellzoo
from cellzoo.cells.canonical import canonical_form
from cellzoo.errors import RecordError
from tasks.problem import LayerSpec
from tasks.runs.record import RunRecord
from tasks.runs.record_file import encode_record, read_record
from tasks.runs.record_key import init_in_use, key_of, record_key, subject_key
from tasks.runs.subjects import resolve_cells
from tasks.training.fit import recurrent_layer


def layer(name, **options):
    return recurrent_layer(cellzoo.load(name), LayerSpec(8, 8, **options), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("stacked", [{}, {"below": (6,)}])
@pytest.mark.parametrize("weight_range", [None, 0.01])
def test_published_rules_go_before_the_range_of_the_rest(stacked, weight_range):
    weights = dict(layer("lstm", init="published", weight_range=weight_range, **stacked).named_parameters())
    biases = {name: weight for name, weight in weights.items() if name.endswith("f_1_b")}
    assert len(biases) == (2 if stacked else 1)
    for name, weight in weights.items():
        if name in biases:
            assert (weight == 1).all()
        else:
            assert weight.abs().max() <= (weight_range or 6**-0.5)


def test_uniform_is_the_default_and_what_it_was():
    """Records from before the setting existed were made with the same random draws."""
    generator = torch.Generator().manual_seed(0)
    shapes = cellzoo.load("lstm").parameter_shapes(input_size=8, hidden_size=8).values()
    for bound, options in ((8**-0.5, {}), (0.04, {"weight_range": 0.04})):
        generator.manual_seed(0)
        drawn = [torch.empty(shape).uniform_(-(8**-0.5), 8**-0.5, generator=generator) for shape in shapes]
        if options:
            drawn = [torch.empty(shape).uniform_(-bound, bound, generator=generator) for shape in shapes]
        for weight, expected in zip(layer("lstm", **options).parameters(), drawn, strict=True):
            assert torch.equal(weight, expected)


def test_subjects_keep_the_rules_of_their_files():
    (subject,), _ = resolve_cells(["lstm"])
    assert dict(subject.init) == {"f_1_b": 1}
    assert subject.cell == canonical_form(cellzoo.load("lstm"))
    assert len(subject.cell.init) == 1
    weights = cellzoo.CellRNN(subject.cell, 8, 8, init="published").direction(0).weights
    assert sum((weight == 1).all().item() for weight in weights.values()) == 1


def content_with(init):
    content = record("lstm", configuration={"init": "published"})
    content["cell"]["init"] = init
    content["key"] = record_key(
        task="small-ner",
        revision=1,
        subject=subject_key(content["cell"]["hash"], init),
        configuration=content["configuration"],
        data={name: data["sha256"] for name, data in content["data"].items()},
        seed=0,
    )
    return content


def test_the_rules_in_use_are_part_of_the_key(tmp_path):
    contents = [content_with(init) for init in ({}, {"f_1_b": 1}, {"f_1_b": 2.0}, {"all": "uniform(0.04)"})]
    assert len({content["key"] for content in contents}) == 4
    for content in contents:
        (tmp_path / "one.json").write_bytes(encode_record(RunRecord.model_validate(content)))
        found = read_record(tmp_path / "one.json")
        assert found.cell.init == content["cell"]["init"]
        assert key_of(found) == found.key
    edited = {**contents[1], "key": contents[0]["key"]}
    (tmp_path / "one.json").write_bytes(encode_record(RunRecord.model_validate(edited)))
    with pytest.raises(RecordError, match="key"):
        read_record(tmp_path / "one.json")


def test_rules_that_are_not_in_use_are_not_in_the_record():
    assert init_in_use({"init": "published"}, {"f_1_b": 1}) == {"f_1_b": 1}
    assert init_in_use({"init": "uniform"}, {"f_1_b": 1}) == {}
    assert init_in_use({}, {"f_1_b": 1}) == {}
    assert subject_key("hash", {}) == "hash"
