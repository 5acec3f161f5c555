"""Which engine `auto` takes, and what happens where the native one is missing."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from functools import partial

import pytest
import torch
from engine_cases import Case, call, draw
from torch.autograd import forward_ad
from torch.func import functional_call

import cellzoo
from cellzoo.errors import CellzooError, UnknownNameError
from cellzoo.runtime import RUNTIMES, prepare, release_memory
from cellzoo.runtime.auto import AutoRuntime, choose
from cellzoo.runtime.native import binding
from cellzoo.runtime.reference import ReferenceRuntime

CPU = torch.device("cpu")
needs_native = pytest.mark.skipif(not binding.is_available(), reason=binding.status()[1])


@pytest.fixture
def fresh(monkeypatch):
    """What was found out about the library is forgotten before and after."""

    def forget():
        binding.load.cache_clear()
        binding.status.cache_clear()

    forget()
    yield monkeypatch
    monkeypatch.undo()
    forget()


@pytest.fixture
def missing(fresh):
    """No compiled library lies where it should."""
    fresh.setattr(binding, "_NAME", "_not_built")
    return fresh


class Recorder:
    """Stands for every engine, and remembers which one ran."""

    def __init__(self):
        self.ran = []

    def prepare(self, name, cell):
        reference = ReferenceRuntime(cell)

        def run(*arguments, **options):
            self.ran.append(name)
            return reference(*arguments, **options)

        return run


def run_auto(recorder, dtype=torch.float32, device="cpu"):
    cell, case = cellzoo.load("lstm"), Case()
    tensors = draw(cell, case).map(lambda tensor: tensor.to(device, dtype))
    runtime = AutoRuntime(cell, recorder.prepare)
    call(runtime, case, tensors)
    return runtime, case, tensors


@needs_native
@pytest.mark.parametrize(
    ("dtype", "device", "name"),
    [
        (torch.float32, "cpu", "native"),
        (torch.float64, "cpu", "native"),
        (torch.bfloat16, "cpu", "torch"),
        (torch.float32, "meta", "reference"),
    ],
)
def test_the_choice_follows_the_tensors(dtype, device, name):
    assert choose(torch.device(device), dtype) == name
    recorder = Recorder()
    run_auto(recorder, dtype, device)
    assert recorder.ran == [name]


def test_other_devices_run_on_torch():
    assert choose(torch.device("cuda"), torch.float32) == "torch"
    assert choose(torch.device("cuda"), torch.float16) == "torch"


@needs_native
def test_the_choice_is_made_at_every_call():
    recorder = Recorder()
    runtime, case, tensors = run_auto(recorder)
    call(runtime, case, tensors.map(torch.Tensor.bfloat16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        call(runtime, case, replace(tensors, inputs=tensors.inputs.bfloat16()))
    call(runtime, case, tensors.map(torch.Tensor.double))
    assert recorder.ran == ["native", "torch", "native", "native"]


@pytest.mark.filterwarnings("ignore")  # Tracing is deprecated, and still what ONNX export of old models does.
def test_while_torch_traces_the_reference_runs():
    seen = []

    def traced(x):
        seen.append(choose(CPU, x.dtype))
        return x + 1

    torch.jit.trace(traced, torch.ones(1), check_trace=False)
    assert seen == ["reference"]


def test_transforms_of_torch_run_on_the_reference():
    """torch.func, and forward-mode differentiation, see through operations of torch alone."""
    rnn = cellzoo.rnn("gru", 3, 4, dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weights = {name: value.detach() for name, value in rnn.named_parameters()}

    def loss(weights, x):
        return functional_call(rnn, weights, (x,))[0].square().sum()

    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss(weights, leaf), leaf)
    close = partial(torch.testing.assert_close, rtol=1e-10, atol=1e-10)
    close(torch.func.grad(loss, argnums=1)(weights, x), expected)
    close(torch.func.jvp(lambda part: loss(weights, part), (x,), (x,))[1], (expected * x).sum())
    many = torch.stack([x, 2 * x])
    close(torch.func.vmap(loss, in_dims=(None, 0))(weights, many)[1], loss(weights, 2 * x))
    with forward_ad.dual_level():
        output = rnn(forward_ad.make_dual(x, x))[0]
        tangent = forward_ad.unpack_dual(output.square().sum()).tangent
    close(tangent, (expected * x).sum())
    assert rnn.runtime == choose(CPU, torch.float64) != "reference"


def test_the_layer_says_which_engine_runs_it():
    rnn = cellzoo.rnn("lstm", 3, 4)
    assert rnn.runtime == choose(CPU, torch.float32)
    assert rnn.to(torch.bfloat16).runtime == "torch"
    assert rnn.to("meta").runtime == "reference"
    for name in RUNTIMES:
        if name not in ("auto", "native") or (name == "native" and binding.is_available()):
            assert cellzoo.rnn("lstm", 3, 4, runtime=name).runtime == name


def test_an_unknown_engine_is_named():
    with pytest.raises(UnknownNameError, match=r"engine 'cudnn'.*auto, native, reference, scan, torch"):
        prepare("cudnn", cellzoo.load("lstm"))


@pytest.mark.parametrize(
    "runtime", ["auto", "reference", "torch", *(["native"] if binding.is_available() else [])]
)
def test_a_layer_moves_between_dtypes(runtime):
    """What was prepared for one dtype does not serve another."""
    rnn = cellzoo.rnn("gru", 3, 4, runtime=runtime, dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wide = rnn(x)[0]
    torch.testing.assert_close(rnn.float()(x.float())[0].double(), wide, rtol=1e-5, atol=1e-5)
    assert rnn.float()(x.float())[0].dtype == torch.float32


def test_without_a_library_auto_takes_torch(missing):
    assert not binding.is_available()
    assert choose(CPU, torch.float32) == "torch"
    rnn = cellzoo.rnn("darts-v2", 3, 4)
    assert rnn.runtime == "torch"
    x = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(1))
    reference = cellzoo.rnn("darts-v2", 3, 4, runtime="reference")
    reference.load_state_dict(rnn.state_dict())
    found, expected = (
        [output, *torch.autograd.grad(output.sum(), list(layer.parameters()))]
        for layer in (rnn, reference)
        for output in [layer(x)[0]]
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_without_a_library_native_says_why(missing):
    with pytest.raises(CellzooError) as caught:
        cellzoo.rnn("lstm", 3, 4, runtime="native")
    text = str(caught.value)
    assert "'native' is not available: it was not built; that needs a C++17 compiler" in text
    assert "use runtime='torch'" in text
    assert "cellzoo doctor" in text
    assert "\n" not in text
    release_memory()


def test_a_library_that_does_not_load_is_as_if_it_were_missing(fresh, tmp_path):
    """Built for another machine, or cut off."""
    broken = tmp_path / f"broken{binding.EXTENSION_SUFFIXES[0]}"
    broken.write_bytes(b"\x7fELF, or so it says")
    fresh.setattr(binding, "_NAME", str(tmp_path / "broken"))
    assert choose(CPU, torch.float32) == "torch"
    with pytest.raises(CellzooError, match=r"'native' is not available: .*broken"):
        cellzoo.rnn("lstm", 3, 4, runtime="native")


@needs_native
def test_a_library_of_another_version_is_not_used(fresh, tmp_path):
    fresh.setattr(binding, "_ABI_VERSION", 99)
    available, reason = binding.status()
    assert not available
    assert "version" in reason
    assert "not 99; install cellzoo again" in reason
    assert choose(CPU, torch.float32) == "torch"


@needs_native
def test_a_layer_saved_where_native_is_loads_where_it_is_not(fresh):
    rnn = cellzoo.rnn("lstm", 3, 4, dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = rnn(x)[0]
    saved = io.BytesIO()
    torch.save(rnn, saved)
    binding.load.cache_clear()
    binding.status.cache_clear()
    fresh.setattr(binding, "_NAME", "_not_built")
    saved.seek(0)
    loaded = torch.load(saved, weights_only=False)
    assert loaded.runtime == "torch"
    torch.testing.assert_close(loaded(x)[0], expected, rtol=1e-12, atol=1e-12)


@needs_native
def test_the_library_needs_nothing_of_torch(fresh, tmp_path):
    """A copy of it in another place loads and runs: it finds nothing beside itself."""
    (built,) = (
        path for path in binding.Path(binding.__file__).parent.glob("_engine*") if path.suffix != ".cpp"
    )
    shutil.copy(built, tmp_path / f"copy{binding.EXTENSION_SUFFIXES[0]}")
    assert b"torch" not in built.read_bytes()
    fresh.setattr(binding, "_NAME", str(tmp_path / "copy"))
    assert binding.is_available()
    cell, case = cellzoo.load("lstm"), Case()
    tensors = draw(cell, case)
    outputs = call(prepare("native", cell), case, tensors)["outputs"]
    torch.testing.assert_close(outputs, call(ReferenceRuntime(cell), case, tensors)["outputs"])
