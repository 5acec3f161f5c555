"""What `cellzoo bench --benchmark tagger` times."""

import pytest
import torch

from cellzoo.bench.case import LSTM, Shape, benchmark_cases
from cellzoo.errors import CellzooError
from tasks.tagging.benchmark import cases

SHAPE = Shape("small", 3, 8, 6, 5, packed=True)


def test_steps_learn_and_engines_agree():
    for case in benchmark_cases("tagger", [SHAPE], "float32", ("reference", "native")):
        assert list(case.flops) == [LSTM, "reference", "native"]
        losses = {}
        for name in case.flops:
            step = case.build(name, SHAPE)
            # Dropout draws; the same for all.
            torch.manual_seed(1)
            losses[name] = torch.stack([step()[0] for _ in range(30)])
            assert losses[name][-10:].mean() < losses[name][:10].mean()
        torch.testing.assert_close(losses["native"][:5], losses["reference"][:5], rtol=1e-4, atol=1e-3)


def test_what_taggers_do_not_run_is_refused():
    for shape, dtype in ((Shape("padded", 3, 8, 6, 5), "float32"), (SHAPE, "float64")):
        with pytest.raises(CellzooError, match="taggers run packed batches of float32"):
            cases(shape, dtype, ())
