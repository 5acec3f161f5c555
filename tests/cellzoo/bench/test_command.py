"""`cellzoo bench` as a command: what is typed, what is shown, what is written."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from one_command import invoke

import cellzoo
from cellzoo.bench import cells
from cellzoo.bench import run as run_module
from cellzoo.runtime import RUNTIMES

TINY = "2x3x4x5"
QUICK = ("--shape", TINY, "--rounds", "4", "--engines", "reference")


@pytest.fixture
def bench(monkeypatch, capsys):
    """Run the command; gives (exit code, output, errors)."""

    def run(*arguments):
        code = invoke(monkeypatch, "bench", *arguments)
        output, errors = capsys.readouterr()
        assert "Traceback" not in output + errors
        return code, output, errors

    return run


def test_the_command_imports_no_torch():
    code = "import sys, cellzoo.cli.bench; print('torch' in sys.modules or 'rich' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_a_dry_run_lists_the_default_races(bench):
    code, output, _ = bench("--dry-run")
    assert code == 0
    lines = output.splitlines()
    assert lines[-1].startswith("24 cases of at most 11 rounds, 300 s together, CPU time, 1 thread")
    assert lines[0] == (
        "lstm, shape a (32x30x256x256), training step, float32: "
        f"{3 * 960 * cellzoo.load('lstm').flops(input_size=256, hidden_size=256) / 1e9:.3g} GFLOP; "
        "loop node by node"
    )
    assert sum("loop as in the DARTS code" in line for line in lines) == 8
    for engine in RUNTIMES[1:]:
        assert (engine in lines[1]) == (engine != "scan")


def test_a_scan_runs_beside_the_engines_where_the_cell_allows_one(bench):
    _, output, _ = bench("--cells", "mingru", "--dry-run")
    assert "scan" in output.splitlines()[1].replace(",", "").split()


def test_a_dry_run_says_what_was_asked_for(bench):
    arguments = ("--cells", "darts-v2,gru", "--shape", "d", "--shape", f"a,{TINY}", "--pass", "inference")
    code, output, _ = bench(*arguments, "--dtype", "float64", "--threads", "2", "--memory", "--dry-run")
    assert code == 0
    lines = output.splitlines()
    titles = [line.partition(": ")[0] for line in lines[:-1:2]]
    shapes = ["d (256x35x300x300)", "a (32x30x256x256)", TINY]
    cells = ["darts-v2", "gru"]
    assert titles == [f"{cell}, shape {shape}, inference, float64" for cell in cells for shape in shapes]
    assert "wall-clock time, 2 threads; then peak memory" in lines[-1]


def test_two_names_of_one_graph_race_once(bench):
    _, output, _ = bench("--cells", "darts-v2,darts", "--shape", TINY, "--pass", "training", "--dry-run")
    assert output.splitlines()[-1].startswith("1 cases")


def test_a_run_prints_a_table_and_writes_all_times(bench, tmp_path):
    path = tmp_path / "bench.json"
    code, output, errors = bench("--cells", "lstm", *QUICK, "--pass", "training", "--out", path)
    assert code == 0
    assert f"lstm, shape {TINY}, training step, float32: CPU time, 1 thread, 4 rounds" in output
    assert "1 of 1: lstm" in errors
    names = ["loop", "reference", "nn.LSTM", "nn.GRU", "bare products"]
    rows = [line.strip().split("  ")[0] for line in output.splitlines()]
    assert [row for row in rows if row in names] == names
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["finished"] is True
    assert content["versions"]["torch"] == torch.__version__
    assert content["versions"]["cellzoo"] == cellzoo.__version__
    assert content["settings"]["threads"] == [1]
    assert content["machine"]["processor"]
    (case,) = content["cases"]
    assert (case["cell"], case["pass"], case["shape"]["hidden_size"]) == ("lstm", "training", 5)
    seconds = {found["name"]: found["seconds"] for found in case["candidates"]}
    flops = {found["name"]: found["flops"] for found in case["candidates"]}
    assert list(seconds) == names
    for found in case["candidates"]:
        assert len(found["seconds"]) == 4
        for base, ratio in found["ratios"].items():
            ratios = np.array(found["seconds"]) / np.array(seconds[base])
            expected = np.percentile(ratios, [50, 25, 75])
            assert [ratio["median"], ratio["low"], ratio["high"]] == pytest.approx(list(expected))
        per_flop = np.median(np.array(found["seconds"]) / np.array(seconds["nn.LSTM"]))
        per_flop *= flops["nn.LSTM"] / flops[found["name"]]
        assert found["per_flop"]["median"] == pytest.approx(per_flop)


def test_counts_of_threads_have_a_table_each(bench, tmp_path):
    path = tmp_path / "bench.json"
    arguments = ("--cells", "lstm", *QUICK, "--pass", "inference", "--threads", "1, 2", "--beside", "nn.LSTM")
    code, output, _ = bench(*arguments, "--out", path)
    assert code == 0
    titles = [line for line in output.splitlines() if line.startswith("lstm, ")]
    assert [title.partition(": ")[2] for title in titles] == [
        "wall-clock time, 1 thread, 4 rounds",
        "wall-clock time, 2 threads, 4 rounds",
    ]
    assert output.count("1 to 2 threads") == 1
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["finished"], content["settings"]["threads"]) == (True, [1, 2])
    one, two = content["cases"]
    assert (one["threads"], two["threads"]) == (1, 2)
    for before, after in zip(one["candidates"], two["candidates"], strict=True):
        expected = np.median(np.array(before["seconds"]) / np.array(after["seconds"]))
        assert after["speedup"]["median"] == pytest.approx(expected)


def test_products_of_bfloat16_that_are_not_here_are_said(bench, monkeypatch):
    monkeypatch.setattr("cellzoo.runtime.native.binding.has_bfloat16", lambda: False)
    code, output, errors = bench("--precision", "bf16", *QUICK)
    assert (code, output) == (2, "")
    assert "--precision bf16: no products of bfloat16 here" in errors


def test_memory_gets_columns_of_its_own(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "peak_extra_bytes", lambda case, name, threads: 1000 * len(name))
    path = tmp_path / "bench.json"
    code, output, _ = bench("--cells", "gru", *QUICK, "--pass", "inference", "--memory", "--out", path)
    assert code == 0
    assert "Peak: the highest resident memory" in output
    (case,) = json.loads(path.read_text(encoding="utf-8"))["cases"]
    peaks = {found["name"]: (found["peak_bytes"], found["peak_ratio"]) for found in case["candidates"]}
    assert peaks["loop"] == (4000, 1.0)
    assert peaks["reference"] == (9000, 2.25)
    assert peaks["bare products"] == (None, None)


def failing_engine(monkeypatch):
    original = cells.build

    def build(name, shape, **options):
        if name == "reference":
            raise cellzoo.CellzooError("it is out of order")
        return original(name, shape, **options)

    monkeypatch.setattr(cells, "build", build)


def test_an_engine_that_was_asked_for_and_cannot_run_is_a_fault(bench, monkeypatch):
    failing_engine(monkeypatch)
    code, output, errors = bench("--cells", "gru", *QUICK, "--pass", "inference")
    assert code == 1
    assert "left out: reference: it is out of order" in output
    assert "nn.LSTM" in output
    assert "reference could not run 1 of 1 cases; the first is gru" in errors


def test_an_engine_that_nobody_asked_for_is_only_left_out(bench, monkeypatch):
    failing_engine(monkeypatch)
    code, output, _ = bench("--cells", "gru", "--shape", TINY, "--rounds", "3", "--pass", "inference")
    assert code == 0
    assert "left out: reference: it is out of order" in output


def test_what_was_done_before_an_interruption_is_kept(bench, tmp_path, monkeypatch):
    original = cells.build

    def build(name, shape, **options):
        if not options["training"]:
            raise KeyboardInterrupt
        return original(name, shape, **options)

    monkeypatch.setattr(cells, "build", build)
    path = tmp_path / "bench.json"
    code, _, errors = bench("--cells", "gru", *QUICK, "--out", path)
    assert (code, "interrupted" in errors) == (130, True)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["finished"] is False
    assert [case["pass"] for case in content["cases"]] == ["training"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cells", "lstn"], "unknown cell 'lstn'. Did you mean 'lstm'"),
        (["--cells", "lstm,,gru"], "an empty name"),
        (["--cells", "xyz*"], "unknown cell pattern 'xyz*'"),
        (["--cells", "no/such.toml"], "no/such.toml: no such cell file"),
        (["--shape", "32x30x256"], "unknown shape '32x30x256'"),
        (["--shape", "0x1x1x1"], "a size is 0"),
        (["--benchmark", "supernt"], "unknown benchmark 'supernt'. Did you mean 'supernet'"),
        (["--benchmark", "supernet", "--shape", "pages"], "runs padded sequences"),
        (["--engines", "nativ"], "unknown engine 'nativ'. Did you mean 'native'"),
        (["--engines", "auto"], "unknown engine 'auto'"),
        (["--engines", ""], "unknown engine ''"),
        (["--threads", "0"], "'0' is not a whole number from 1 to 1024"),
        (["--threads", "1,,2"], "'' is not a whole number from 1 to 1024"),
        (["--beside", "loop,nn.LSTN"], "unknown candidate 'nn.LSTN'. Known: bare products"),
        (["--precision", "fp16"], "invalid choice: 'fp16'"),
        (["--precision", "bf16", "--dtype", "float64"], "for cells in float32 on the CPU"),
        (["--precision", "bf16", "--benchmark", "tagger"], "for cells in float32 on the CPU"),
        (["--threads", "9" * 5000], "is not a whole number"),
        (["--rounds", "-3"], "'-3' is not a whole number from 1 to 10000"),
        (["--budget", "nan"], "'nan' is not a number of seconds above 0"),
        (["--budget", "0"], "'0' is not a number of seconds above 0"),
        (["--dtype", "float16"], "invalid choice: 'float16'"),
        (["--pass", "backward"], "invalid choice: 'backward'"),
    ],
)
def test_bad_input_is_one_message(bench, arguments, message):
    code, output, errors = bench(*arguments, "--dry-run")
    assert code == 2
    assert message in errors
    assert output == ""


def test_a_file_that_cannot_be_written_is_found_before_the_work(bench, tmp_path):
    code, output, errors = bench("--out", tmp_path / "no" / "bench.json")
    assert (code, output) == (5, "")
    assert "bench.json: cannot be written: No such file or directory" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "tpu"), "--device 'tpu': expected cpu, cuda, or cuda:N"),
        (("--device", "cuda:x"), "--device 'cuda:x': expected cpu, cuda, or cuda:N"),
        (("--device", "cuda:99"), "--device cuda:99: torch finds"),
    ],
)
def test_a_device_that_is_not_there_is_said(bench, arguments, message):
    code, output, errors = bench(*QUICK, *arguments)
    assert (code, output) == (2, "")
    assert message in errors


def test_times_on_another_device_are_those_of_the_wall():
    """Another device works on while the process waits."""
    settings = run_module.TimingSettings(device="cuda")
    assert str(settings) == "wall-clock time on cuda"
    assert settings.clock is time.perf_counter


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("shape", [TINY, f"{TINY}-packed"])
def test_cells_are_timed_on_a_gpu(bench, shape):
    arguments = ("--cells", "gru,darts-v2", "--shape", shape, "--rounds", "3", "--engines", "torch")
    code, output, _ = bench(*arguments, "--device", "cuda")
    assert code == 0
    assert "left out" not in output
