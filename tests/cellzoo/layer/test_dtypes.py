"""One dtype for what a layer takes, and one for what it gives."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

import cellzoo
from cellzoo.runtime.native import binding

E, H = 4, 4
ENGINES = ["auto", "reference", "torch", *(["native"] if binding.is_available() else [])]


@pytest.mark.parametrize("name", cellzoo.list_cells())
def test_autocast_gives_outputs_and_states_of_one_dtype(name):
    rnn = cellzoo.rnn(name, E, H)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, final = rnn(torch.ones(3, 2, E))
    states = final if isinstance(final, tuple) else (final,)
    assert {state.dtype for state in states} == {output.dtype}
    output.sum().backward()


@pytest.mark.parametrize("runtime", ["reference", "torch"])
def test_autocast_through_layers_that_carry_other_dtypes(runtime):
    """A state that only adds up, and an output that is a product."""
    cell = cellzoo.parse("s' = add(s, h)\nh' = tanh(linear(x, h))\n", "equations")
    rnn = cellzoo.CellRNN(cell, E, H, 2, bidirectional=False, runtime=runtime)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, final = rnn(pack_sequence([torch.ones(3, E), torch.ones(1, E)]))
    assert {output.data.dtype} == {state.dtype for state in final}


@pytest.mark.parametrize("runtime", ENGINES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool])
def test_an_input_of_another_dtype_is_refused_as_torch_refuses_it(runtime, dtype):
    x = torch.ones(3, 2, E, dtype=dtype)
    with pytest.raises(ValueError, match="type"):
        nn.LSTM(E, H)(x)
    rnn = cellzoo.rnn("lstm", E, H, runtime=runtime)
    with pytest.raises(ValueError, match=rf"input is {dtype}, but the weights are torch.float32"):
        rnn(x)
    with pytest.raises(ValueError, match=rf"input is {dtype}, but the weights are torch.float32"):
        rnn(pack_sequence([x[:, 0]]))


@pytest.mark.parametrize("runtime", ENGINES)
def test_states_of_another_dtype_are_refused(runtime):
    rnn = cellzoo.rnn("gru", E, H, runtime=runtime)
    with pytest.raises(ValueError, match=r"hx is torch.float64, but the weights are torch.float32"):
        rnn(torch.ones(3, 2, E), torch.zeros(1, 2, H, dtype=torch.float64))
