"""The classifier above a recurrent layer."""

from __future__ import annotations

import pytest
import torch

from cellzoo.heads import TextHead


@pytest.mark.parametrize("pooling", ["max", "mean", "last"])
def test_half_precision_gives_what_single_precision_gives(pooling):
    torch.manual_seed(0)
    options = {"units": 4, "pairs": True, "cross_attention": True, "bidirectional": True, "dropout": 0.0}
    head = TextHead(4, 2, pooling=pooling, **options)
    states, lengths = torch.randn(4, 3, 4), torch.tensor([3, 2, 1, 3])
    expected = head(states, lengths)
    found = head.half()(states.half(), lengths)
    torch.testing.assert_close(found.float(), expected, rtol=1e-2, atol=1e-2)
