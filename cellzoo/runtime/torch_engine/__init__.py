"""The engine `torch`, which runs plans by torch operations, on any device.

The kernels of a plan are compiled to lists of functions that write to preallocated memory: products with a
common source are joined, and elementwise operations work in place. `compiled.py` compiles, `execution.py` runs.
"""

from cellzoo.runtime.torch_engine.runtime import ENGINE, TorchPlans, TorchRuntime

__all__ = ["ENGINE", "TorchPlans", "TorchRuntime"]
