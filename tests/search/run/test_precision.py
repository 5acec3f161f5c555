"""The precision of a search: of a supernet's products, and of the trainings of a sampler's candidates."""

from __future__ import annotations

import pytest
import torch
from fake_search import search, toy
from sequence_sums import SequenceSums, Settings

from cellzoo.errors import CellzooError
from search.registry import find_method
from search.run.settings import method_settings
from tasks.runs.record_file import read_record
from tasks.training import fit

SUPERNETS = ["darts", "idarts", "egs", "ess", "enas", "random-ws"]


def test_a_search_names_it_unless_it_is_full(tmp_path):
    plain, full, rounded = (toy(tmp_path, "darts", **changes) for changes in ({}, *named("full", "bf16")))
    assert plain.config == full.config
    assert "precision" not in full.config.method_settings
    assert method_settings(full.config).precision == "full"
    assert rounded.config.method_settings == {**full.config.method_settings, "precision": "bf16"}
    assert rounded.job(0).key != full.job(0).key


def named(*precisions):
    return [{"precision": precision} for precision in precisions]


@pytest.mark.parametrize("name", SUPERNETS)
def test_the_supernet_has_it(name):
    problem = SequenceSums(Settings(), torch.device("cpu"))
    kind = find_method(name)
    method = kind.build(kind.settings(precision="bf16"), problem, torch.Generator())
    assert method.rnn.precision == "bf16"


@pytest.mark.parametrize("engine", ["torch", "reference"])
def test_engines_without_such_products_are_refused_by_name(tmp_path, engine):
    with pytest.raises(CellzooError, match=f"needs the engine 'auto' or 'native'; the engine is '{engine}'"):
        toy(tmp_path, "darts", precision="bf16", engine=engine)


@pytest.mark.parametrize(("name", "changes"), [("darts", {"epochs": 1}), ("random", {"trials": 1})])
def test_records_name_it_and_say_where_it_is_not_to_be_had(tmp_path, monkeypatch, name, changes):
    monkeypatch.setattr(fit, "has_bfloat16", lambda: False)
    search(toy(tmp_path, name, precision="bf16", **changes), tmp_path / "out")
    found = {
        record.task.name: record for record in map(read_record, (tmp_path / "out" / "records").glob("*.json"))
    }
    if name == "darts":
        assert found["search"].configuration["method_settings"]["precision"] == "bf16"
        trained = found["search"]
    else:
        assert found["search"].configuration["training_settings"]["precision"] == "bf16"
        trained = found["sums"]
        assert trained.configuration["precision"] == "bf16"
    assert "full precision" in trained.notes[-1]
