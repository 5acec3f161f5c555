"""An engine that interprets plans in plain torch, on any device.

A plan's kernels become lists of functions that write into memory that is there: one product for all that read
the same value, elementwise operations in place. `compiled.py` compiles, `execution.py` runs.
"""

from cellzoo.runtime.torch_engine.runtime import ENGINE, TorchPlans, TorchRuntime

__all__ = ["ENGINE", "TorchPlans", "TorchRuntime"]
