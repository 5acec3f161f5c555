"""Baselines that replace the recurrent layer and ignore the order of words."""

from __future__ import annotations

import pytest
import torch
from sequence_sums import SequenceSums, Settings
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from cellzoo.errors import UnknownNameError
from tasks.layers.baselines import BASELINES, baseline_layer
from tasks.problem import LayerSpec
from tasks.training.fit import fit
from tasks.training.loop import Place
from tasks.training.settings import TrainingSettings

SPEC = LayerSpec(3, 4, bidirectional=True)


def layer(name):
    return baseline_layer(name, SPEC, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", BASELINES)
def test_each_word_by_itself_padded_or_packed(name):
    rnn, x = layer(name), torch.randn(5, 2, 3)
    output, _ = rnn(x)
    assert output.shape == (5, 2, 8)
    turned, _ = rnn(x.flip(0))
    torch.testing.assert_close(turned.flip(0), output)
    packed, _ = rnn(pack_padded_sequence(x, torch.tensor([5, 3])))
    padded, _ = pad_packed_sequence(packed)
    torch.testing.assert_close(padded[:3], output[:3])


def test_constant_is_zero_and_has_nothing_to_train():
    rnn = layer("constant")
    assert not list(rnn.parameters())
    assert not rnn(torch.randn(5, 2, 3))[0].any()


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_is_trained_like_a_cell(name, tmp_path):
    problem = SequenceSums(Settings(), torch.device("cpu"))
    place = Place(tmp_path, "a" * 64, "toy", lambda *_: None)
    fitted = fit(problem, name, TrainingSettings(epochs=2, optimizer="adam", learning_rate=0.01), 0, place)
    assert fitted.standing.epoch == 2


def test_unknown():
    with pytest.raises(UnknownNameError, match="unknown baseline 'majority'"):
        layer("majority")
