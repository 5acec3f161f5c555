"""Settings: strict types, clear messages, one canonical form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellzoo.errors import CellzooError, UnknownNameError
from tasks.settings import Typed, configure, plain


@dataclass(frozen=True)
class Config:
    epochs: int = 4
    rate: float = 0.5
    name: str = "adam"
    mode: Literal["fast", "slow"] = "fast"
    crf: bool = True
    limit: int | None = None
    sizes: tuple[int, ...] = (1, 2)

    def __post_init__(self):
        if self.epochs < 1:
            raise ValueError(f"epochs is {self.epochs}; at least 1 is needed")


def test_what_is_not_given_keeps_its_default():
    assert configure(Config, {}, "t") == Config()
    assert configure(Config, {"rate": 0.25, "sizes": [5]}, "t") == Config(rate=0.25, sizes=(5,))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("epochs", "3", "valid integer, not '3'"),
        ("epochs", 3.5, "valid integer, not 3.5"),
        ("epochs", True, "valid integer, not True"),
        ("rate", "fast", "valid number, not 'fast'"),
        ("rate", float("nan"), "no plain finite value"),
        ("rate", float("inf"), "no plain finite value"),
        ("rate", None, "valid number, not None"),
        ("name", 3, "valid string, not 3"),
        ("mode", "quick", "'fast' or 'slow', not 'quick'"),
        ("crf", 1, "valid boolean, not 1"),
        ("sizes", [1, "2"], "valid integer"),
        ("sizes", 3, "not 3"),
        ("epochs", object(), "no plain finite value"),
        ("epochs", 0, "at least 1 is needed"),
    ],
)
def test_a_wrong_value_names_file_task_and_setting(key, value, words):
    with pytest.raises(CellzooError) as caught:
        configure(Config, {key: value}, "t", "suite.toml")
    message = str(caught.value)
    assert message.startswith("suite.toml: ")
    assert words in message
    assert key in message
    assert "'t'" in message


def test_an_unknown_setting_is_answered_with_the_closest_one():
    with pytest.raises(UnknownNameError, match=r"task 't': unknown setting 'epoch'\. Did you mean 'epochs'\?"):
        configure(Config, {"epoch": 3}, "t")


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("epochs", "7", 7),
        ("rate", "1e-3", 0.001),
        ("rate", "2", 2.0),
        ("name", "7", "7"),
        ("name", "sgd", "sgd"),
        ("mode", "slow", "slow"),
        ("crf", "false", False),
        ("limit", "null", None),
        ("limit", "3", 3),
        ("sizes", "[4,5,6]", (4, 5, 6)),
    ],
)
def test_typed_text_is_read_as_the_type_of_the_setting(key, text, value):
    result = getattr(configure(Config, {key: Typed(text)}, "t"), key)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("key", "text"), [("epochs", "many"), ("epochs", "1.5"), ("rate", "1e999"), ("crf", "1"), ("sizes", "4")]
)
def test_typed_text_of_the_wrong_type_is_refused(key, text):
    with pytest.raises(CellzooError, match=f"setting '{key}' of task 't': .*{text}"):
        configure(Config, {key: Typed(text)}, "t", "--set")


@given(st.integers(-1000, 1000), st.lists(st.integers(), max_size=4))
def test_equal_values_have_one_written_form(number, sizes):
    written = [
        plain(configure(Config, {"rate": rate, "sizes": given}, "t"))
        for rate, given in ((number, sizes), (float(number), tuple(sizes)))
    ]
    assert written[0] == written[1]
    assert type(written[0]["rate"]) is type(written[1]["rate"]) is float
