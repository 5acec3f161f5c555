"""What every registered task must keep to, whoever wrote it."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from tasks.data.known import KNOWN

from cellzoo.errors import CellzooError
from tasks.registry import build_task, task_class, task_names
from tasks.runs.record import NAME_PATTERN
from tasks.settings import configure, plain, setting_types
from tasks.task import Metric

pytestmark = pytest.mark.parametrize("name", task_names())


def test_its_name_and_title_can_stand_in_a_record(name):
    task = task_class(name)
    assert task.name == name
    assert re.fullmatch(NAME_PATTERN, name)
    assert task.title.strip()
    assert isinstance(task.revision, int)
    assert task.revision >= 1
    assert task.__doc__


def test_it_declares_metrics_that_differ(name):
    metrics = task_class(name).metrics
    assert metrics
    assert all(isinstance(metric, Metric) for metric in metrics)
    names = [metric.name for metric in metrics]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", metric) for metric in names)
    assert all(metric.title.strip() and 0 <= metric.digits <= 12 for metric in metrics)


def test_its_data_sets_are_known(name):
    task = task_class(name)
    assert set(task.data) <= set(KNOWN)
    assert len(set(task.data)) == len(task.data)


def test_what_it_comes_after_is_another_task_and_baselines_can_stand_in_a_record(name):
    task = task_class(name)
    assert task.after is None or task.after in set(task_names()) - {name}
    assert all(re.fullmatch(NAME_PATTERN, baseline) for baseline in task.baselines)


def test_its_configuration_is_frozen_and_plain_with_a_default_for_everything(name):
    config_class = task_class(name).Config
    config = config_class()
    assert build_task(name).config == config
    assert dataclasses.is_dataclass(config_class)
    first = dataclasses.fields(config)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, first, getattr(config, first))
    assert set(setting_types(config_class)) == set(plain(config))
    json.dumps(plain(config), allow_nan=False)


def test_its_defaults_are_of_the_types_they_claim(name):
    config_class = task_class(name).Config
    config = config_class()
    written = plain(config)
    assert configure(config_class, written, name) == config
    assert plain(configure(config_class, {}, name)) == written, "a default of another type changes the key"


def test_every_setting_enters_the_key(name):
    config_class = task_class(name).Config
    excluded = [field.name for field in dataclasses.fields(config_class) if not field.init or not field.compare]
    assert excluded == []


def test_a_setting_of_the_wrong_type_is_one_message(name):
    for setting in setting_types(task_class(name).Config):
        with pytest.raises(CellzooError, match=f"setting '{setting}' of task '{name}'"):
            build_task(name, {setting: {"no": "table"}})


def test_it_takes_a_configuration_or_none(name):
    made = task_class(name)
    config = made.Config()
    assert made(config).config is config
    assert made().config == made(None).config == config
