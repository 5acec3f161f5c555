"""The presets of the package: all keys are settings, and the values are those of their sources."""

from __future__ import annotations

import pytest

from cellzoo.errors import CellzooError, UnknownNameError
from search.registry import method_names, preset_names
from search.run.presets import read_preset
from search.run.request import configure_search
from search.run.settings import outline_of
from tasks.settings import Typed, plain

TASKS = ("ptb", "wnut17")
EVERYWHERE = [
    (preset, method, task)
    for preset in preset_names()
    for method in read_preset(preset).methods
    for task in TASKS
]


@pytest.mark.parametrize(("preset", "method", "task"), EVERYWHERE)
def test_every_table_of_a_preset_is_valid(preset, method, task):
    found = configure_search(method, task, preset=preset)
    assert found.is_sampled == (found.config.epochs == 0)
    for stage in ("brief", "full"):
        assert plain(found.retraining(stage, {}))["epochs"] >= 1


def test_small_has_every_method():
    assert set(read_preset("small").methods) == set(method_names())


def both(method, task="ptb"):
    return [configure_search(method, task, preset=preset).config for preset in ("official", "paper")]


def test_official_keeps_the_quirks_of_the_codes_and_paper_does_not():
    for name in ("darts", "idarts"):
        quirks, exact = (config.method_settings for config in both(name))
        for quirk in ("cap_coefficient", "same_masks", "move_tied"):
            assert (quirks[quirk], exact[quirk]) == (False, True)
        assert (quirks["normalisation"], exact["normalisation"]) == ("running", "batch")
    assert [config.method_settings["order"] for config in both("darts")] == [2, 2]
    official, paper = both("idarts")
    assert (official.method_settings["skip_start"], paper.method_settings["skip_start"]) == (True, False)
    assert (official.epochs, paper.epochs) == (50, 40)
    assert (official.problem_settings["batch_size"], paper.problem_settings["batch_size"]) == (128, 256)
    official, paper = (config.method_settings for config in both("egs"))
    assert (official["levels"], paper["levels"]) == ("bilevel", "joint")
    assert (official["divide"], paper["divide"]) == ("edge", "none")
    assert (official["architecture_momentum"], official["architecture_weight_decay"]) == (0.5, 0.0)


def test_the_search_of_darts_has_the_settings_of_its_code():
    config = configure_search("darts", "ptb", preset="paper").config
    expected = {"learning_rate": 20.0, "clip": 0.25, "weight_decay": 5e-7, "nodes": 8, "optimizer": "sgd"}
    expected |= {"architecture_learning_rate": 3e-3, "architecture_weight_decay": 1e-3}
    assert config.method_settings | expected == config.method_settings
    around = {"hidden_size": 300, "batch_size": 256, "bptt": 35, "dropout": 0.75, "dropout_h": 0.25}
    around |= {"dropout_x": 0.75, "dropout_i": 0.2, "dropout_e": 0.0, "beta": 1e-3, "alpha": 0.0}
    around |= {"validation_batch_size": 256, "evaluation_streams": 10, "jitter": "halved"}
    around |= {"weight_range": 0.04, "embedding_range": 0.04}
    assert config.problem_settings | around == config.problem_settings


def test_random_search_with_shared_weights_has_the_settings_of_li_and_talwalkar():
    config = configure_search("random-ws", "ptb", preset="paper").config
    own = {"normalisation": "none", "clip": 0.1, "weight_decay": 8e-7, "candidates": 1000}
    assert config.method_settings | own == config.method_settings
    around = {"hidden_size": 850, "batch_size": 64, "validation_batch_size": 1024, "dropout_e": 0.1}
    assert config.problem_settings | around == config.problem_settings


@pytest.mark.parametrize(
    ("method", "epochs"), [("darts", 1600), ("egs", 1600), ("idarts", 3000), ("ess", 3000), ("random-ws", 3600)]
)
def test_the_evaluation_is_as_long_as_each_paper_says(method, epochs):
    full = plain(configure_search(method, "ptb", preset="paper").retraining("full", {}))
    assert full["epochs"] == epochs
    around = {
        "hidden_size": 850,
        "batch_size": 64,
        "dropout_e": 0.1,
        "weight_decay": 8e-7,
        "jitter": "gaussian",
    }
    around |= {"averaging": "plateau", "averaging_window": 5, "learning_rate": 20.0, "clip": 0.25}
    assert full | around == full


def test_taggers_of_idarts_are_annealed_after_two_epochs_without_gain():
    full = plain(configure_search("idarts", "wnut17", preset="paper").retraining("full", {}))
    assert (full["anneal_factor"], full["anneal_patience"], full["hidden_size"]) == (0.25, 1, 512)


def test_fenas_has_the_settings_of_its_paper():
    config = configure_search("fenas", "ptb", preset="paper").config
    own = {"trials": 5000, "population": 100, "sample": 25, "epochs": 20, "nodes": 9, "start": ["lstm"]}
    assert config.method_settings | own == config.method_settings
    training = {"optimizer": "adam", "learning_rate": 1e-3, "clip": 0.25, "weight_decay": 8e-6}
    assert config.training_settings | training == config.training_settings
    assert config.problem_settings["hidden_size"] == 300
    full = plain(configure_search("fenas", "ptb", preset="paper").retraining("full", {}))
    assert full["hidden_size"] == 900


@pytest.mark.parametrize("preset", ["paper", "small"])
def test_a_search_on_glue_chooses_on_a_part_of_train_and_never_on_what_is_reported(preset):
    for task in ("rte", "sst-2", "wnli"):
        outline = outline_of(configure_search("fenas", task, preset=preset).config)
        assert (outline.dev, outline.test) == ("inner dev", "dev")


TINY = """\
epochs = 3
[methods.darts]
nodes = 3
learning_rate = 1.0
[methods.darts.on.tagging]
learning_rate = 0.25
[methods.random-ws]
nodes = 3
[problems.language-modeling]
bptt = 8
[problems.language-modeling.for.random-ws]
bptt = 6
[then.language-modeling.brief]
epochs = 1
"""


def test_presets_by_layer(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)

    def config(method, task="ptb", **changes):
        changes = {name.replace("__", "."): value for name, value in changes.items()}
        return configure_search(method, task, preset=str(path), changes=changes).config

    assert config("darts").problem_settings["bptt"] == 8
    assert config("random-ws").problem_settings["bptt"] == 6
    assert config("darts").method_settings["learning_rate"] == 1.0
    assert config("darts", "wnut17").method_settings["learning_rate"] == 0.25
    changed = config("darts", method__learning_rate=Typed("2.5"), task__bptt=Typed("4"), epochs=9)
    assert changed.method_settings["learning_rate"] == 2.5
    assert (changed.problem_settings["bptt"], changed.epochs) == (4, 9)
    with pytest.raises(UnknownNameError, match=r"unknown setting 'method\.bptt'"):
        config("darts", method__bptt=4)
    with pytest.raises(CellzooError, match=r"expected method\.NAME or task\.NAME"):
        config("darts", other__bptt=4)
    with pytest.raises(CellzooError, match="has no settings for the method 'enas'"):
        config("enas")
    with pytest.raises(CellzooError, match=r"there is no table \[then\.tagging\.brief\]"):
        configure_search("darts", "wnut17", preset=str(path)).retraining("brief", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs =", "is not TOML"),
        ("epoch = 3", "unknown key 'epoch'"),
        ("epochs = 0", "key 'epochs' is 0; it must be at least 1"),
        ("methods = 3", "key 'methods' .* must be a table"),
        ("[methods.darts]\non = 3", r"key 'methods\.darts\.on' .* must be a table"),
        ("[methods.darts.on]\ntagging = 3", r"key 'methods\.darts\.on\.tagging' .* must be a table"),
        ("[problems.tagging.for]\ndarts = 3", r"key 'problems\.tagging\.for\.darts' .* must be a table"),
        ("[then.tagging]\nbrief = 3", r"key 'then\.tagging\.brief' .* must be a table"),
        ("[then.tagging.long]\nepochs = 3", r"then\.tagging\.long"),
    ],
)
def test_presets_that_are_malformed(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(CellzooError, match=message):
        read_preset(str(path))
    with pytest.raises(CellzooError, match="cannot be read"):
        read_preset(str(tmp_path / "absent.toml"))
