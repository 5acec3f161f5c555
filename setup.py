"""Builds the native engine, where there is a C++ compiler; everything else is in pyproject.toml.

The engine's kernels are compiled once for each instruction set, each with its own flags, into one library that
chooses at run time. It is optional: without it the package installs, and cells run on torch alone.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

NATIVE = Path("cellzoo", "runtime", "native")
COMMON = [
    "library.cpp",
    "layout.cpp",
    "plan_reader.cpp",
    "plan_check.cpp",
    "amx.cpp",
    "barriers.cpp",
    "split.cpp",
    "team.cpp",
    "engine_baseline.cpp",
]
# NaN and infinity must behave as in torch, so not -ffast-math.
FLAGS = ["-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"]
FLAGS += ["-fvisibility=hidden", "-pthread", "-g0"]
AVX2 = ["-mavx2", "-mfma"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl"]
INSTRUCTION_SETS = {
    "avx2": AVX2,
    "avx512": AVX512,
    "amx": [*AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-bf16"],
}
IS_X86 = platform.machine().lower() in ("x86_64", "amd64") and sys.maxsize > 2**32


class BuildNative(build_ext):
    """Compiles each source with the flags of its instruction set."""

    def build_extension(self, ext: Extension) -> None:
        """Compile and link; the extension is optional, so what fails here is a warning."""
        macros: list[tuple[str, str]] = []
        objects: list[str] = []
        for name, flags in INSTRUCTION_SETS.items() if IS_X86 else ():
            try:
                objects += self._compile(ext, [str(NATIVE / f"engine_{name}.cpp")], [], flags)
                macros.append((f"CELLZOO_{name.upper()}", "1"))
            except CompileError:
                self.warn(f"this compiler does not know {name}; the engine will do without")
        objects += self._compile(ext, ext.sources, macros, [])
        path = Path(self.get_ext_fullpath(ext.name))
        path.parent.mkdir(parents=True, exist_ok=True)
        self.compiler.link_shared_object(
            objects, str(path), extra_postargs=["-pthread"], build_temp=self.build_temp, target_lang="c++"
        )

    def _compile(
        self, ext: Extension, sources: list[str], macros: list[tuple[str, str]], flags: list[str]
    ) -> list[str]:
        return self.compiler.compile(
            sources,
            output_dir=self.build_temp,
            macros=macros,
            depends=ext.depends,
            extra_postargs=[*FLAGS, *flags],
        )


setup(
    ext_modules=[
        Extension(
            "cellzoo.runtime.native._engine",
            [str(NATIVE / name) for name in COMMON],
            depends=sorted(str(path) for path in NATIVE.glob("*.h")),
            language="c++",
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildNative},
)
