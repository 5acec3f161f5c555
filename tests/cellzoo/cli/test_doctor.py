"""`cellzoo doctor`: findings in known and in broken surroundings, output, exit code, speed."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tomllib
import types
from importlib import import_module
from pathlib import Path

import pytest
import torch
from one_command import PROJECT, invoke

import cellzoo.doctor as doctor
from cellzoo.doctor import Finding, Status, engines, examine, folders, hardware, installation
from cellzoo.runtime import RUNTIMES, prepare


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    declared = installation._declared
    declared.cache_clear()
    for name in ("CELLZOO_DATA", "XDG_CACHE_HOME", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "CXX"):
        monkeypatch.delenv(name, raising=False)
    yield
    declared.cache_clear()


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command; gives (exit code, output, errors)."""

    def call(*arguments):
        code = invoke(monkeypatch, "doctor", *arguments)
        return code, *capsys.readouterr()

    return call


def test_here_everything_needed_is_found(run):
    code, output, errors = run("--json")
    content = json.loads(output)
    assert (code, errors, content["ok"]) == (0, "", True)
    found = {row["topic"]: row for row in content["findings"]}
    assert found["Python"]["message"].startswith(platform.python_version())
    assert found["torch"]["message"].startswith(torch.__version__)
    assert f"torch {torch.__version__}" in found["packages"]["message"]
    assert {"native engine", "CUDA", "extra nlp", "extra hub", "extra export", "data", "cache"} <= set(found)
    assert all(row["state"] in ("ok", "absent") for row in content["findings"])


def test_the_text_says_the_same(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    code, output, _ = run()
    assert code == 0
    *blocks, last = output.splitlines()
    for finding in examine():
        pattern = rf"^{finding.state.value} +{re.escape(finding.topic)}  "
        assert re.search(pattern, output, re.MULTILINE), finding.topic
    assert last.startswith("no faults; ")
    spaced = " ".join(output.split())
    assert all(" ".join(finding.message.split()) in spaced for finding in examine())
    assert max(map(len, blocks)) <= 70


def test_it_imports_no_torch():
    code = (
        "import sys; from cellzoo.doctor import examine; examine();"
        "print([name for name in ('torch', 'numpy', 'flair', 'rich') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_fault_changes_the_exit_code_and_stands_with_its_advice(run, monkeypatch):
    faults = [Finding("a", Status.FAULT, "is broken", "mend it"), Finding("b", Status.OK, "fine")]
    monkeypatch.setattr(doctor, "examine", lambda *, full: faults)
    code, output, _ = run()
    assert code == 1
    assert output.splitlines()[:3] == ["fault   a  is broken", "           -> mend it", "ok      b  fine"]
    assert "1 fault;" in output
    code, output, _ = run("--json")
    assert (code, json.loads(output)["ok"]) == (1, False)


def test_a_check_that_fails_is_a_finding(monkeypatch):
    def fail():
        raise OSError("no\nsuch luck")

    def fail_late():
        yield Finding("first", Status.OK, "fine")
        raise ValueError

    module = types.SimpleNamespace(fail=fail, fail_late=fail_late)
    monkeypatch.setitem(sys.modules, "cellzoo.doctor.mock", module)
    checks = [("x", "mock", "fail"), ("y", "mock", "fail_late"), ("z", "mock", "gone"), ("w", "nowhere", "f")]
    found = examine(checks=checks)
    assert [one.topic for one in found] == ["x", "first", "y", "z", "w"]
    assert [one.state for one in found].count(Status.FAULT) == 4
    assert found[0].message == "could not be looked at: OSError: no"
    assert "ModuleNotFoundError" in found[4].message


def test_every_check_is_there():
    for _, module, name in (*doctor.CHECKS, *doctor.FULL_CHECKS):
        assert callable(getattr(import_module(f"cellzoo.doctor.{module}"), name))


def test_requirements_are_read(monkeypatch):
    lines = ("torch>=2.4", "flair==0.15.1; extra == 'nlp'", 'a-b [x] >=1, <2 ; extra == "hub"', "???")
    monkeypatch.setattr(installation, "_declared", lambda: installation._Declared(">=3.11", lines))
    names = {extra: [one.name for one in installation._needed_by(extra)] for extra in ("", "nlp", "hub")}
    assert names == {"": ["torch"], "nlp": ["flair"], "hub": ["a-b"]}


@pytest.mark.parametrize(("version", "is_well"), [("2.13.0+cpu", True), ("2.3.1", False), ("2.10", True)])
def test_a_version_that_will_not_do_is_a_fault(monkeypatch, version, is_well):
    monkeypatch.setattr(installation, "_declared", lambda: installation._Declared(">=3.11", ("torch>=2.4",)))
    monkeypatch.setattr(installation, "installed", lambda name: version)
    found = installation.check_packages()
    assert (found.state is Status.OK) == is_well
    assert found.message == (f"torch {version}" if is_well else f"torch is {version}, not >=2.4")


def test_extras_are_those_of_the_project():
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    assert set(installation.EXTRAS) == set(project["optional-dependencies"]) - {"dev"}


def missing(monkeypatch, *packages):
    original = installation.installed
    monkeypatch.setattr(installation, "installed", lambda name: None if name in packages else original(name))


def test_a_missing_extra_gets_the_command_that_adds_it(monkeypatch):
    missing(monkeypatch, "accelerate", "onnx")
    found = {finding.topic: finding for finding in installation.check_extras()}
    hub = found["extra hub"]
    assert (hub.state, "accelerate is not installed" in hub.message) == (Status.ABSENT, True)
    assert re.fullmatch(r"pip install .*\[hub\]'", hub.advice)
    assert found["extra export"].state is Status.ABSENT


def test_a_missing_package_is_a_fault(monkeypatch):
    missing(monkeypatch, "safetensors")
    found = installation.check_packages()
    assert (found.state, found.message) == (Status.FAULT, "safetensors is not installed")
    assert found.advice.startswith("pip install")


def test_away_from_its_sources_the_installation_is_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(installation, "SOURCES", tmp_path)
    monkeypatch.setattr(installation, "requires", lambda name: ["torch>=99", "x>=1; extra == 'hub'"])
    assert installation.install_command("hub") == "pip install 'cellzoo[hub]'"
    found = installation.check_packages()
    assert found.message == f"torch is {torch.__version__}, not >=99"
    extras = {finding.topic: finding for finding in installation.check_extras()}
    assert "x is not installed" in extras["extra hub"].message
    assert "does not know it" in extras["extra nlp"].message


def test_an_old_python_is_a_fault(monkeypatch):
    monkeypatch.setattr(platform, "python_version", lambda: "3.9.1")
    found = installation.check_python()
    assert found.state is Status.FAULT
    assert ">=3.11" in found.advice


@pytest.mark.parametrize(
    ("value", "state"), [("4", Status.OK), ("4,2", Status.OK), ("many", Status.FAULT), ("0", Status.FAULT)]
)
def test_thread_variables(monkeypatch, value, state):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    found = hardware.check_threads()
    assert found.state is state
    assert f"OMP_NUM_THREADS={value}" in found.message


def torch_of(monkeypatch, tmp_path, text, driver=False):
    """Pretend that torch's version.py says `text`."""
    (tmp_path / "version.py").write_text(text, encoding="utf-8")
    spec = types.SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(hardware, "find_spec", lambda name: spec)
    monkeypatch.setattr(hardware, "_NVIDIA_DRIVER", tmp_path if driver else tmp_path / "none")


CPU = """\
from typing import Optional
__version__ = '9.1+cpu'
cuda: Optional[str] = None
hip: Optional[str] = None
"""
CUDA = CPU.replace("cuda: Optional[str] = None", "cuda: Optional[str] = '12.8'")


@pytest.mark.parametrize(
    ("text", "driver", "state", "words"),
    [
        (CPU, False, Status.ABSENT, "cells run on the CPU"),
        (CPU, True, Status.ABSENT, "torch is built for the CPU alone"),
        (CUDA, False, Status.ABSENT, "no driver"),
        (CUDA, True, Status.OK, "driver and torch's build are here"),
    ],
)
def test_cuda(monkeypatch, tmp_path, text, driver, state, words):
    torch_of(monkeypatch, tmp_path, text, driver)
    found = hardware.check_cuda()
    assert found.state is state
    assert words in found.message


def test_builds_of_torch(monkeypatch, tmp_path):
    torch_of(monkeypatch, tmp_path, CPU)
    assert hardware.check_torch().message == "9.1+cpu, built for the CPU alone"
    torch_of(monkeypatch, tmp_path, CUDA)
    assert hardware.check_torch().message == "9.1+cpu, built for CUDA 12.8"
    monkeypatch.setattr(hardware, "find_spec", lambda name: None)
    assert hardware.check_torch().state is Status.FAULT
    assert hardware.check_cuda().state is Status.ABSENT


def test_a_broken_installation_of_torch_is_a_finding(monkeypatch, tmp_path):
    torch_of(monkeypatch, tmp_path, "__version__ = (\n")
    found = examine(checks=[("torch", "hardware", "check_torch")])
    assert found[0].state is Status.FAULT
    assert "SyntaxError" in found[0].message


def test_the_native_engine_here(monkeypatch):
    monkeypatch.setattr(engines, "status", lambda: (True, "instruction set avx2"))
    assert engines.check_native() == Finding("native engine", Status.OK, "instruction set avx2")


def test_a_native_engine_that_was_not_built_says_how_to_build_it(monkeypatch, tmp_path):
    monkeypatch.setattr(engines, "status", lambda: (False, "it was not built"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(engines.sysconfig, "get_config_var", lambda name: "absent++ -pthread")
    found = engines.check_native()
    assert (found.state, found.message) == (Status.ABSENT, "it was not built; cells run by the engine torch")
    assert "no C++ compiler is here; install one" in found.advice
    compiler = tmp_path / "mine++"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", "mine++ -O2")
    found = engines.check_native()
    assert f"a compiler is here ({compiler})" in found.advice
    assert "pip install --force-reinstall --no-deps --editable" in found.advice


def test_full_runs_every_engine():
    found = {finding.topic: finding for finding in examine(full=True)}
    for name in RUNTIMES:
        assert found[f"engine {name}"].state is not Status.FAULT
    assert found["engine reference"].state is Status.OK
    assert f"{torch.get_num_threads()} threads" in found["torch's CPU"].message


def test_full_finds_an_engine_with_wrong_results(monkeypatch):
    class Wrong:
        def __init__(self, engine):
            self.engine = engine

        def __call__(self, *arguments, **options):
            output, states = self.engine(*arguments, **options)
            return output * 1.01, states

    monkeypatch.setattr(
        "cellzoo.direction.prepare",
        lambda name, cell: Wrong(prepare("reference", cell)) if name == "torch" else prepare(name, cell),
    )
    found = {finding.topic: finding for finding in engines.check_engines()}
    assert found["engine torch"].state is Status.FAULT
    assert "differ from the reference's" in found["engine torch"].message
    assert found["engine reference"].state is Status.OK


def test_the_data_folder(monkeypatch, tmp_path):
    assert folders.check_data().state is Status.ABSENT
    monkeypatch.setenv("CELLZOO_DATA", str(tmp_path / "none"))
    assert folders.check_data().state is Status.FAULT
    (tmp_path / "wnut17").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setenv("CELLZOO_DATA", str(tmp_path))
    found = folders.check_data()
    assert (found.state, ", 1 folder;" in found.message) == (Status.OK, True)
    monkeypatch.setenv("CELLZOO_DATA", str(tmp_path / "file"))
    assert "is not a folder" in folders.check_data().message


def test_the_cache_is_made_where_it_can_be(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not" / "yet"))
    assert folders.check_cache().state is Status.OK
    assert not (tmp_path / "not").exists()
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "below"))
    found = folders.check_cache()
    assert (found.state, "cannot be written" in found.message) == (Status.ABSENT, True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(folders.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1_000_000))
    assert "that is little" in folders.check_cache().advice


def test_without_a_home_the_cache_is_absent(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert folders.check_cache().message == "there is no home folder"


def test_it_survives_an_empty_environment():
    """No variable but what Python needs to start."""
    code = "import sys; from cellzoo.doctor import examine; print(len(examine()))"
    root = str(PROJECT.parent)
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
        cwd=os.sep,
    )
    assert found.stderr == ""
    assert int(found.stdout) == len(examine())
