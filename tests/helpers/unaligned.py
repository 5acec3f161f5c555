"""Tensors whose first number lies at an address that is not a multiple of its size."""

from __future__ import annotations

import torch

import cellzoo


def unaligned(tensor, offset=1):
    """The same numbers, `offset` bytes past an aligned address, as in a buffer read from a file."""
    tensor = tensor.detach().contiguous()
    memory = torch.empty(tensor.numel() * tensor.element_size() + 64, dtype=torch.uint8).numpy()
    start = -memory.ctypes.data % 64 + offset
    memory[start : start + tensor.numel() * tensor.element_size()] = tensor.view(-1).view(torch.uint8).numpy()
    found = torch.frombuffer(memory, dtype=tensor.dtype, count=tensor.numel(), offset=start).view(tensor.shape)
    assert found.data_ptr() % tensor.element_size() == offset % tensor.element_size() != 0
    return found


def run_unaligned():
    """Inputs, states, weights and gradients of both precisions, in the native engine, against the reference."""
    for name, dtype, tolerance in (("lstm", torch.float64, 1e-12), ("darts-v2", torch.float32, 1e-5)):
        results = []
        for runtime, place in (("reference", torch.Tensor.clone), ("native", unaligned)):
            rnn = cellzoo.rnn(name, 5, 19, dtype=dtype, runtime=runtime)
            rnn.reset_parameters(torch.Generator().manual_seed(1))
            for parameter in rnn.parameters():
                parameter.data = place(parameter.data)
            generator = torch.Generator().manual_seed(2)
            x = place(torch.randn(6, 3, 5, dtype=dtype, generator=generator)).requires_grad_()
            states = [place(torch.randn(1, 3, 19, dtype=dtype, generator=generator)) for _ in rnn.cell.states]
            output, _ = rnn(x, tuple(states) if len(states) > 1 else states[0])
            toward = place(torch.randn(6, 3, 19, dtype=dtype, generator=generator))
            results.append([output, *torch.autograd.grad(output, [x, *rnn.parameters()], toward)])
        for expected, found in zip(*results, strict=True):
            torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
