"""Builds of the native engine that watch themselves, and processes that run in them."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "cellzoo" / "runtime" / "native"
_AVX2 = ["-mavx2", "-mfma"]
_AVX512 = [*_AVX2, "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl"]
INSTRUCTION_SETS = {
    "avx2": _AVX2,
    "avx512": _AVX512,
    "amx": [*_AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-bf16"],
}
RUNTIMES = {"address,undefined": ["libasan.so", "libubsan.so"], "thread": ["libtsan.so"]}


def build(folder: Path, sanitizer: str) -> Path:
    """Compile the library with a sanitizer, without optimisation, so that no access is left out."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++")
    is_x86 = platform.machine() in ("x86_64", "AMD64")
    common = ["-std=c++17", "-O0", "-g1", "-fPIC", "-pthread", f"-fsanitize={sanitizer}"]
    common += ["-fno-sanitize-recover=all"]
    common += [f"-DCELLZOO_{name.upper()}=1" for name in INSTRUCTION_SETS if is_x86]

    def compile_one(source: Path) -> str:
        name = source.stem.removeprefix("engine_")
        flags = INSTRUCTION_SETS.get(name, [])
        target = folder / f"{source.stem}.o"
        subprocess.run([compiler, *common, *flags, "-c", source, "-o", target], check=True)
        return str(target)

    sources = [
        source
        for source in sorted(SOURCES.glob("*.cpp"))
        if is_x86 or source.stem.removeprefix("engine_") not in INSTRUCTION_SETS
    ]
    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_one, sources))
    library = folder / f"_engine{EXTENSION_SUFFIXES[0]}"
    subprocess.run([compiler, *common, "-shared", *objects, "-o", library], check=True)
    return library


def run(script: str, library: Path, sanitizer: str, report: Path) -> str:
    """Run a script of this folder with the library in place of the built one; returns what was reported."""
    found = [
        subprocess.run(
            ["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in RUNTIMES[sanitizer]
    ]
    if not all(Path(path).is_file() for path in found):
        pytest.skip(f"needs {' and '.join(RUNTIMES[sanitizer])}")
    options = f"log_path={report}"
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(found),
        "ASAN_OPTIONS": f"detect_leaks=0:{options}",
        "UBSAN_OPTIONS": f"print_stacktrace=1:{options}",
        "TSAN_OPTIONS": f"exitcode=0:{options}",
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])]),
        "OMP_NUM_THREADS": "1",
    }
    # The thread sanitizer wants addresses that are not drawn at random.
    still = [setarch, "-R"] if sanitizer == "thread" and (setarch := shutil.which("setarch")) else []
    process = subprocess.run(
        [*still, sys.executable, str(HERE / script), str(library.with_name("_engine"))],
        env=environment,
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    reports = "".join(path.read_text() for path in sorted(report.parent.glob(f"{report.name}*")))
    assert process.returncode == 0, process.stdout + process.stderr + reports
    assert process.stdout.rstrip().endswith("done"), process.stdout
    return reports
