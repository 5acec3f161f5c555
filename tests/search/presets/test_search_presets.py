"""The presets that come along: everything in them is a setting, and has the value that its source says."""

from __future__ import annotations

import pytest
from search.methods.registry import kinds
from search.objectives.registry import kinds as objectives

from search.run.presets import preset_names, read_preset, settings_for

EVERYWHERE = [
    (preset, method, objective)
    for preset in preset_names()
    for method in read_preset(preset)["methods"]
    for objective in objectives()
]


@pytest.mark.parametrize(("preset", "method", "objective"), EVERYWHERE)
def test_every_table_of_a_preset_is_valid(preset, method, objective):
    settings = settings_for(preset, method, objectives()[objective])
    assert settings.epochs >= 1


def test_small_has_every_method():
    assert set(read_preset("small")["methods"]) == set(kinds())


def test_official_keeps_the_quirks_of_the_codes_and_paper_does_not():
    language = objectives()["language-modeling"]
    official = {name: settings_for("official", name, language) for name in ("darts", "idarts", "egs")}
    paper = {name: settings_for("paper", name, language) for name in ("darts", "idarts", "egs")}
    for name in ("darts", "idarts"):
        quirks, exact = official[name].plain_method, paper[name].plain_method
        for quirk in ("cap_coefficient", "same_masks", "move_tied"):
            assert (quirks[quirk], exact[quirk]) == (False, True)
        assert quirks["order"] == exact["order"] == 2
        assert (quirks["normalisation"], exact["normalisation"]) == ("running", "batch")
    assert official["idarts"].plain_method["skip_start"]
    assert not paper["idarts"].plain_method["skip_start"]
    assert (official["idarts"].epochs, paper["idarts"].epochs) == (50, 40)
    batches = [found["idarts"].plain_objective["batch_size"] for found in (official, paper)]
    assert batches == [128, 256]
    assert (official["egs"].plain_method["levels"], paper["egs"].plain_method["levels"]) == ("bilevel", "joint")
    assert (official["egs"].plain_method["divide"], paper["egs"].plain_method["divide"]) == ("edge", "none")


def test_the_search_of_darts_has_the_settings_of_its_code():
    settings = settings_for("paper", "darts", objectives()["language-modeling"])
    expected = {"learning_rate": 20.0, "clip": 0.25, "weight_decay": 5e-7, "nodes": 8, "weight_range": 0.04}
    expected |= {"architecture_learning_rate": 3e-3, "architecture_weight_decay": 1e-3}
    assert settings.plain_method | expected == settings.plain_method
    around = {"hidden_size": 300, "batch_size": 256, "bptt": 35, "dropout": 0.75, "dropout_h": 0.25}
    around |= {"dropout_x": 0.75, "dropout_i": 0.2, "dropout_e": 0.0, "beta": 1e-3, "alpha": 0.0}
    assert settings.plain_objective | around == settings.plain_objective
