"""Loads the compiled library and declares its C interface."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

_NAME = "_engine"
_ABI_VERSION = 4
INSTRUCTION_SETS = {"baseline": 1, "avx2": 2, "avx512": 3}
_POINTER = ctypes.c_void_p
_INT = ctypes.c_int64
_INTS = ctypes.POINTER(_INT)
_DOUBLES = ctypes.POINTER(ctypes.c_double)


class Call(ctypes.Structure):
    """Arguments of a call, `cellzoo_call` in `api.h`."""

    _fields_ = (
        ("dtype", _INT),
        ("isa", _INT),
        ("precision", _INT),
        ("threads", _INT),
        ("steps", _INT),
        ("batch", _INT),
        ("rows", _INT),
        ("batch_sizes", _INTS),
        ("reverse", _INT),
        ("training", _INT),
        ("inputs", _POINTER),
        ("outputs", _POINTER),
        ("initial", _POINTER),
        ("final", _POINTER),
        ("masks", _POINTER),
        ("weights", _POINTER),
        ("parameters", _POINTER),
        ("saved", _POINTER),
        ("scratch", _POINTER),
        ("grad_outputs", _POINTER),
        ("grad_final", _POINTER),
        ("grad_inputs", _POINTER),
        ("grad_initial", _POINTER),
        ("grad_weights", _POINTER),
        ("grad_parameters", _POINTER),
        ("norm_statistics", _POINTER),
    )


class LibraryError(RuntimeError):
    """The library refused a call."""


class PlanError(LibraryError):
    """The library refused a plan or its sizes, without computing anything."""


_MESSAGES = {
    -1: "the plan is malformed or beyond its limits",
    -2: "the call is malformed",
    -3: "out of memory",
    -4: "the processor lacks the instruction set",
}


def check(code: int) -> None:
    """Raise the error of a status code of the library.

    Raises:
        MemoryError: The library could not allocate memory.
        PlanError: It refused the plan.
        LibraryError: It refused the call.
    """
    if code == -3:
        raise MemoryError("the native engine is out of memory")
    if code:
        kind = PlanError if code == -1 else LibraryError
        raise kind(f"the native engine: {_MESSAGES.get(code, f'status {code}')}")


@lru_cache(maxsize=1)
def load() -> ctypes.CDLL:
    """Load the library.

    Raises:
        OSError: It was not built, or cannot be loaded; the message says which.
    """
    folder = Path(__file__).parent
    found = next(
        (path for suffix in EXTENSION_SUFFIXES if (path := folder / f"{_NAME}{suffix}").exists()), None
    )
    if found is None:
        raise OSError("it was not built; that needs a C++17 compiler when cellzoo is installed")
    library = ctypes.CDLL(str(found))
    library.cellzoo_abi_version.restype = _INT
    if (version := library.cellzoo_abi_version()) != _ABI_VERSION:
        raise OSError(
            f"{found.name} has version {version} of the interface, not {_ABI_VERSION}; install cellzoo again"
        )
    for name in ("cellzoo_forward", "cellzoo_backward"):
        function = getattr(library, name)
        function.argtypes = [_INTS, _INT, _DOUBLES, ctypes.POINTER(Call)]
        function.restype = _INT
    library.cellzoo_workspace.argtypes = [_INTS, _INT, ctypes.POINTER(Call), _INT, _INTS]
    library.cellzoo_workspace.restype = _INT
    library.cellzoo_isa.restype = _INT
    library.cellzoo_bfloat16.restype = _INT
    library.cellzoo_lanes.argtypes = [_INT, _INT]
    library.cellzoo_lanes.restype = _INT
    library.cellzoo_allocate.argtypes = [_INT]
    library.cellzoo_allocate.restype = _POINTER
    library.cellzoo_free.argtypes = [_POINTER]
    library.cellzoo_free.restype = None
    return library


def has_bfloat16() -> bool:
    """Whether the library has bfloat16 products on this processor."""
    return is_available() and bool(load().cellzoo_bfloat16())


def is_available() -> bool:
    """Whether the library can be loaded."""
    return status()[0]


@lru_cache(maxsize=1)
def status() -> tuple[bool, str]:
    """Whether the library can be loaded, and its instruction set, or the reason why not."""
    try:
        library = load()
    except OSError as error:
        return False, str(error)
    best = library.cellzoo_isa()
    name = next((name for name, number in INSTRUCTION_SETS.items() if number == best), str(best))
    return True, f"instruction set {name}"
