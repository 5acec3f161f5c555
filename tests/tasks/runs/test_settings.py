"""Settings: strict types, clear messages, one canonical form."""

from __future__ import annotations

from typing import Literal, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import model_validator

from cellzoo.errors import CellzooError, UnknownNameError
from tasks.settings import Positive, Probability, Settings, Size, Typed, configure, join, part, plain


class Config(Settings):
    epochs: Size = 4
    rate: float = 0.5
    name: str = "adam"
    mode: Literal["fast", "slow"] = "fast"
    crf: bool = True
    limit: int | None = None
    sizes: tuple[int, ...] = (1, 2)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.mode == "slow" and self.crf:
            raise ValueError("mode = 'slow' needs crf = false")
        return self


class Other(Settings):
    dropout: Probability = 0.5
    clip: Positive = 5.0


def test_what_is_not_given_keeps_its_default():
    assert configure(Config, {}, "t") == Config()
    assert configure(Config, {"rate": 0.25, "sizes": [5]}, "t") == Config(rate=0.25, sizes=(5,))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("epochs", "3", "is '3'; it must be a whole number"),
        ("epochs", 3.5, "is 3.5; it must be a whole number"),
        ("epochs", True, "is True; it must be a whole number"),
        ("epochs", 2**31, "is 2147483648; it must be at most 2,147,483,647"),
        ("rate", "fast", "is 'fast'; it must be a number"),
        ("rate", float("nan"), "nan is not a plain finite value"),
        ("rate", float("inf"), "inf is not a plain finite value"),
        ("rate", None, "is None; it must be a number"),
        ("name", 3, "is 3; it must be text"),
        ("mode", "quick", "is 'quick'; it must be 'fast' or 'slow'"),
        ("crf", 1, "is 1; it must be true or false"),
        ("sizes", [1, "2"], "is '2'; it must be a whole number"),
        ("sizes", 3, "is 3; it must be a list"),
        ("epochs", object(), "is not a plain finite value"),
        ("epochs", 0, "is 0; it must be at least 1"),
        ("mode", "slow", "needs crf = false"),
    ],
)
def test_a_wrong_value_names_file_task_and_setting(key, value, words):
    with pytest.raises(CellzooError) as caught:
        configure(Config, {key: value}, "t", "suite.toml")
    message = str(caught.value)
    assert message.startswith("suite.toml: ")
    assert words in message
    assert key in message
    assert "of t" in message


def test_an_unknown_setting_is_answered_with_the_closest_one():
    with pytest.raises(UnknownNameError, match=r"t: unknown setting 'epoch'\. Did you mean 'epochs'\?"):
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
    result = getattr(configure(Config, {key: Typed(text), "crf": False}, "t"), key)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(("key", "text"), [("epochs", "many"), ("epochs", "1.5"), ("crf", "1"), ("sizes", "4")])
def test_typed_text_of_the_wrong_type_is_refused(key, text):
    with pytest.raises(CellzooError, match=f"--set: setting '{key}' of t is .*{text}"):
        configure(Config, {key: Typed(text)}, "t", "--set")


def test_settings_are_joined_flat_with_the_values_of_the_parts_as_defaults():
    flat = join("t", Config(epochs=7), Other(clip=0.25))
    config = configure(flat, {"dropout": 0.0}, "t")
    assert plain(config) == {**plain(Config(epochs=7)), "dropout": 0.0, "clip": 0.25}
    assert part(config, Config) == Config(epochs=7)
    assert part(config, Other) == Other(dropout=0.0, clip=0.25)


@pytest.mark.parametrize(
    ("values", "words"),
    [({"dropout": 1.0}, "below 1"), ({"epochs": 0}, "at least 1"), ({"mode": "slow"}, "needs crf = false")],
)
def test_joined_settings_keep_the_ranges_and_the_rules_of_their_parts(values, words):
    with pytest.raises(CellzooError, match=words):
        configure(join("t", Config(), Other()), values, "t")


def test_parts_with_a_setting_of_one_name_are_refused():
    class Third(Settings):
        epochs: int = 3

    with pytest.raises(CellzooError, match="t: Third and another part both have a setting 'epochs'"):
        join("t", Config(), Third())


@given(st.integers(-1000, 1000), st.lists(st.integers(), max_size=4))
def test_equal_values_have_one_written_form(number, sizes):
    written = [
        plain(configure(Config, {"rate": rate, "sizes": given}, "t"))
        for rate, given in ((number, sizes), (float(number), tuple(sizes)))
    ]
    assert written[0] == written[1]
    assert type(written[0]["rate"]) is type(written[1]["rate"]) is float
