"""What the constructor takes and refuses, held against torch.nn.LSTM's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import cellzoo
from cellzoo.errors import UnknownNameError

NAMES = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")


@pytest.mark.parametrize(
    "arguments",
    [
        *((7, 5), (7, 5, 3), (7, 5, 2, False), (7, 5, 2, True, True), (3, 4, 2, True, False, 0.25, True)),
        (3, 4, 1, True, False, 0.0, False, 0, "cpu"),
        (3, 4, 1, False, True, 0.0, True, 0, None, torch.float64),
    ],
)
def test_positions_are_those_of_torch(arguments):
    theirs = nn.LSTM(*arguments)
    ours = cellzoo.rnn("lstm", *arguments)
    for name in (*NAMES, "proj_size"):
        assert getattr(ours, name) == getattr(theirs, name)
    x = torch.zeros(2, 6, arguments[0], dtype=theirs.all_weights[0][0].dtype)
    for found, expected in zip(ours(x)[1], theirs(x)[1], strict=True):
        assert found.shape == expected.shape


@pytest.mark.parametrize("dropout", [0.25, 1, 1.0])
@pytest.mark.parametrize("build", [nn.GRU, lambda *a, **k: cellzoo.rnn("gru", *a, **k)])
def test_dropout_with_one_layer_warns(build, dropout):
    with pytest.warns(UserWarning, match="dropout .*layer"):
        build(3, 4, dropout=dropout)


@pytest.mark.parametrize(("layers", "dropout"), [(1, 0.0), (1, 0), (2, 0.5), (3, 1.0)])
def test_no_warning_where_dropout_acts_or_is_off(layers, dropout):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cellzoo.rnn("darts-v2", 3, 4, layers, dropout=dropout)


@pytest.mark.parametrize("dropout", [True, False, -0.1, 1.5, float("nan"), "0.5"])
@pytest.mark.parametrize("build", [nn.LSTM, lambda *a, **k: cellzoo.rnn("lstm", *a, **k)])
def test_what_is_not_a_probability_is_refused(build, dropout):
    with pytest.raises(ValueError, match="dropout"):
        build(3, 4, 2, dropout=dropout)


@pytest.mark.parametrize("name", ["dropout_x", "dropout_h"])
def test_variational_probabilities_are_checked_alike(name):
    with pytest.raises(ValueError, match=f"{name} is True; it must be a probability, 0 to 1"):
        cellzoo.rnn("lstm", 3, 4, **{name: True})


@pytest.mark.parametrize(
    ("position", "value"), [(0, 7.0), (1, 5.5), (1, "5"), (1, None), (2, 2.0), (2, True), (0, torch.ones(1))]
)
def test_a_size_that_is_not_a_whole_number_is_named(position, value):
    arguments = [7, 5, 2]
    arguments[position] = value
    with pytest.raises(TypeError, match=rf"{NAMES[position]} is .*; it must be a whole number"):
        cellzoo.rnn("lstm", *arguments)


@pytest.mark.parametrize("value", [0, -3, 2**31, 2**63, 10**30])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_size_out_of_range_is_named(position, value):
    arguments = [7, 5, 2]
    arguments[position] = value
    with pytest.raises(ValueError, match=f"{NAMES[position]} is {value}; it must be at least 1"):
        cellzoo.rnn("lstm", *arguments)


def test_sizes_may_come_from_numpy():
    rnn = cellzoo.rnn("gru", np.int64(3), np.int32(4), np.int8(2))
    assert (rnn.input_size, rnn.hidden_size, rnn.num_layers) == (3, 4, 2)
    assert type(rnn.hidden_size) is int


@pytest.mark.parametrize("name", ["bias", "batch_first", "bidirectional"])
@pytest.mark.parametrize("value", [0.5, "yes", None, 1])
def test_a_choice_is_true_or_false(name, value):
    with pytest.raises(TypeError, match=f"{name} is {value!r}; it must be True or False"):
        cellzoo.rnn("lstm", 3, 4, **{name: value})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"proj_size": 3}, ValueError, "proj_size is 3; it must be 0: a projected state is another cell"),
        ({"proj_size": -1}, ValueError, "proj_size is -1; it must be 0"),
        ({"proj_size": True}, ValueError, "proj_size is True; it must be 0"),
        ({"proj_size": "cpu"}, TypeError, "proj_size is 'cpu'; as in torch.nn.LSTM it comes before device"),
        ({"proj_size": torch.device("cpu")}, TypeError, "it comes before device and dtype"),
        ({"device": torch.float64}, TypeError, "device is torch.float64; .* it comes before dtype"),
        ({"dtype": "float64"}, TypeError, "dtype is 'float64'; it must be a torch.dtype"),
    ],
)
def test_what_torch_takes_last_is_checked(options, error, message):
    with pytest.raises(error, match=message):
        cellzoo.rnn("gru", 3, 4, **options)


def test_a_name_in_place_of_the_cell_is_refused_and_told_what_takes_it():
    with pytest.raises(TypeError, match=r"must be a cellzoo\.Cell.*cellzoo\.rnn\('lstm'"):
        cellzoo.CellRNN("lstm", 3, 4)
    with pytest.raises(TypeError, match=r"cell is None; it must be a cellzoo\.Cell"):
        cellzoo.CellRNN(None, 3, 4)


@pytest.mark.parametrize("name", [None, 3, ["auto"]])
def test_an_engine_that_is_not_a_name_is_refused(name):
    with pytest.raises(UnknownNameError, match="unknown engine"):
        cellzoo.rnn("gru", 3, 4, runtime=name)
    with pytest.raises(UnknownNameError, match="unknown engine"), cellzoo.runtime.using(name):
        pass


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("given", [None, [1.0], np.zeros((2, 3), np.float32)])
def test_input_that_is_not_a_tensor_is_refused(given, grad):
    rnn = cellzoo.rnn("gru", 3, 4)
    with torch.set_grad_enabled(grad):
        with pytest.raises(TypeError, match=f"input is a {type(given).__name__}; it must be a torch.Tensor"):
            rnn(given)
        with pytest.raises(TypeError, match=f"x is a {type(given).__name__}; it must be a torch.Tensor"):
            rnn.step(given)


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("hx", [3.0, (None, None), (torch.zeros(1, 1, 4), None)])
def test_states_that_are_not_tensors_are_refused(hx, grad):
    rnn = cellzoo.rnn("lstm", 3, 4)
    with torch.set_grad_enabled(grad), pytest.raises(TypeError, match="must be a tuple of 2"):
        rnn(torch.zeros(2, 1, 3), hx)


@pytest.mark.parametrize("grad", [True, False])
def test_input_of_other_dimensions_is_refused(grad):
    rnn = cellzoo.rnn("gru", 3, 4)
    with torch.set_grad_enabled(grad):
        with pytest.raises(ValueError, match="input has 0 dimensions"):
            rnn(torch.tensor(1.0))
        with pytest.raises(ValueError, match="packed data of 3 dimensions"):
            rnn(nn.utils.rnn.pack_sequence([torch.zeros(5, 2, 3)]))
