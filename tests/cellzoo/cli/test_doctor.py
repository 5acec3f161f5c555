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
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch
from one_command import PROJECT, invoke

from cellzoo import doctor
from cellzoo.doctor import Finding, Status, examine
from cellzoo.runtime import RUNTIMES, prepare


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in ("CELLZOO_DATA", "XDG_CACHE_HOME", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "CXX"):
        monkeypatch.delenv(name, raising=False)


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


def test_the_text_says_the_same(run):
    code, output, _ = run()
    assert code == 0
    lines = output.splitlines()
    assert lines[-1].startswith("no faults; ")
    for finding in examine():
        pattern = rf"^{finding.state.value} +{re.escape(finding.topic)}  "
        assert re.search(pattern, output, re.MULTILINE), finding.topic
        if finding.topic not in ("cache", "temporary files"):  # free space changes
            assert any(line.endswith(f"  {finding.message}") for line in lines)


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

    found = examine(checks=[fail, fail_late])
    assert [one.topic for one in found] == ["fail", "first", "fail late"]
    assert [one.state for one in found] == [Status.FAULT, Status.OK, Status.FAULT]
    assert found[0].message == "the check failed: OSError: no"


def by_topic(findings):
    return {finding.topic: finding for finding in findings}


def test_requirements_are_read(monkeypatch):
    lines = ["torch>=2.4", "absent-a>=1; extra == 'nlp'", 'absent-b >=1, <2 ; extra == "hub"']
    lines += ["absent-c>=1; python_version < '3'", "safetensors>=0; python_version >= '3'"]
    monkeypatch.setattr(doctor, "requires", lambda name: lines)
    found = by_topic(doctor.packages())
    assert re.fullmatch(r"torch \S+, safetensors \S+", found["packages"].message)
    assert found["extra nlp"].message.startswith("absent-a is not installed (")
    assert found["extra hub"].message.startswith("absent-b is not installed (")
    assert found["extra export"].message.startswith("the installed version does not have this extra (")


@pytest.mark.parametrize(("version", "is_well"), [("2.13.0+cpu", True), ("2.3.1", False), ("2.10", True)])
def test_a_version_that_will_not_do_is_a_fault(monkeypatch, version, is_well):
    monkeypatch.setattr(doctor, "requires", lambda name: ["torch>=2.4"])
    monkeypatch.setattr(doctor, "installed", lambda name: version)
    found = by_topic(doctor.packages())["packages"]
    assert (found.state is Status.OK) == is_well
    assert found.message == (f"torch {version}" if is_well else f"torch is {version}, not >=2.4")


def test_extras_are_those_of_the_project():
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    assert set(doctor.EXTRAS) == set(project["optional-dependencies"]) - {"dev"}


def missing(monkeypatch, *packages):
    original = doctor.installed
    monkeypatch.setattr(doctor, "installed", lambda name: None if name in packages else original(name))


def test_a_missing_extra_gets_the_command_that_adds_it(monkeypatch):
    missing(monkeypatch, "accelerate", "onnx")
    found = by_topic(doctor.packages())
    hub = found["extra hub"]
    assert (hub.state, "accelerate is not installed" in hub.message) == (Status.ABSENT, True)
    assert re.fullmatch(r"pip install .*\[hub\]'", hub.advice)
    assert found["extra export"].state is Status.ABSENT


def test_a_missing_package_is_a_fault(monkeypatch):
    missing(monkeypatch, "safetensors")
    found = by_topic(doctor.packages())["packages"]
    assert (found.state, found.message) == (Status.FAULT, "safetensors is not installed")
    assert found.advice.startswith("pip install")


def test_commands_to_install_it(monkeypatch, tmp_path):
    assert doctor.install_command() == f"pip install --editable '{PROJECT.parent}'"
    monkeypatch.setattr(doctor, "SOURCES", tmp_path)
    assert doctor.install_command("hub") == "pip install 'cellzoo[hub]'"


def test_what_is_not_installed_says_so(monkeypatch):
    def requires(name):
        raise PackageNotFoundError

    monkeypatch.setattr(doctor, "requires", requires)
    (found,) = doctor.packages()
    assert (found.state, found.message.startswith("not installed")) == (Status.ABSENT, True)


def test_an_old_python_is_a_fault(monkeypatch):
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=" + ".".join(map(str, doctor._OLDEST_PYTHON))
    monkeypatch.setattr(platform, "python_version_tuple", lambda: ("3", "9", "1"))
    (found,) = doctor.python()
    assert found.state is Status.FAULT
    assert "3.11" in found.advice


@pytest.mark.parametrize(
    ("value", "state"), [("4", Status.OK), ("4,2", Status.OK), ("many", Status.FAULT), ("0", Status.FAULT)]
)
def test_thread_variables(monkeypatch, value, state):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    found = by_topic(doctor.processor_and_threads())["threads"]
    assert found.state is state
    assert f"OMP_NUM_THREADS={value}" in found.message


def torch_of(monkeypatch, tmp_path, text, driver=False):
    """Pretend that torch's version.py says `text`."""
    (tmp_path / "version.py").write_text(text, encoding="utf-8")
    spec = types.SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(doctor, "find_spec", lambda name: spec)
    monkeypatch.setattr(doctor, "_NVIDIA_DRIVER", tmp_path if driver else tmp_path / "none")


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
        (CPU, True, Status.ABSENT, "torch is built for the CPU only"),
        (CUDA, False, Status.ABSENT, "no NVIDIA driver"),
        (CUDA, True, Status.OK, "there are an NVIDIA driver and a build of torch for it"),
    ],
)
def test_cuda(monkeypatch, tmp_path, text, driver, state, words):
    torch_of(monkeypatch, tmp_path, text, driver)
    found = by_topic(doctor.torch_and_gpu())["CUDA"]
    assert found.state is state
    assert words in found.message


def test_builds_of_torch(monkeypatch, tmp_path):
    torch_of(monkeypatch, tmp_path, CPU)
    assert by_topic(doctor.torch_and_gpu())["torch"].message == "9.1+cpu, built for the CPU only"
    torch_of(monkeypatch, tmp_path, CUDA)
    assert by_topic(doctor.torch_and_gpu())["torch"].message == "9.1+cpu, built for CUDA 12.8"
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    assert [one.state for one in doctor.torch_and_gpu()] == [Status.FAULT]


def test_a_broken_installation_of_torch_is_a_finding(monkeypatch, tmp_path):
    torch_of(monkeypatch, tmp_path, "__version__ = (\n")
    found = examine(checks=[doctor.torch_and_gpu])
    assert found[0].state is Status.FAULT
    assert "SyntaxError" in found[0].message


def test_the_native_engine_here(monkeypatch):
    monkeypatch.setattr(doctor, "status", lambda: (True, "instruction set avx2"))
    assert next(doctor.native_engine()) == Finding("native engine", Status.OK, "instruction set avx2")


def test_a_native_engine_that_was_not_built_says_how_to_build_it(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "status", lambda: (False, "it was not built"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor.sysconfig, "get_config_var", lambda name: "absent++ -pthread")
    found = next(doctor.native_engine())
    assert (found.state, found.message) == (Status.ABSENT, "it was not built; cells run with the engine torch")
    assert "no C++ compiler was found; install one" in found.advice
    compiler = tmp_path / "mine++"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", "mine++ -O2")
    found = next(doctor.native_engine())
    assert f"there is a compiler ({compiler})" in found.advice
    assert "pip install --force-reinstall --no-deps --editable" in found.advice


def test_full_runs_every_engine():
    found = by_topic(examine(full=True))
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
        lambda name, cell, _: Wrong(prepare("reference", cell)) if name == "torch" else prepare(name, cell),
    )
    found = by_topic(doctor.engines())
    assert found["engine torch"].state is Status.FAULT
    assert "differ from those of the reference" in found["engine torch"].message
    assert found["engine reference"].state is Status.OK


def test_the_data_folder(monkeypatch, tmp_path):
    assert next(doctor.data()).state is Status.ABSENT
    monkeypatch.setenv("CELLZOO_DATA", str(tmp_path / "none"))
    assert next(doctor.data()).state is Status.FAULT
    (tmp_path / "wnut17").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setenv("CELLZOO_DATA", str(tmp_path))
    found = next(doctor.data())
    assert (found.state, ", 1 folder;" in found.message) == (Status.OK, True)
    monkeypatch.setenv("CELLZOO_DATA", str(tmp_path / "file"))
    assert "is not a folder" in next(doctor.data()).message


def test_the_cache_is_made_where_it_can_be(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not" / "yet"))
    assert next(doctor.cache()).state is Status.OK
    assert not (tmp_path / "not").exists()
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "below"))
    found = next(doctor.cache())
    assert (found.state, "cannot be written" in found.message) == (Status.ABSENT, True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1_000_000))
    assert "that is little" in next(doctor.cache()).advice


def test_without_a_home_the_cache_is_absent(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert next(doctor.cache()).message == "there is no home folder"


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


def test_no_folder_for_temporary_files_is_a_fault_with_advice(monkeypatch):
    def fail():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", fail)
    (found,) = doctor.temporary_files()
    assert (found.state, "TMPDIR" in found.advice) == (Status.FAULT, True)
