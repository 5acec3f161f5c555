"""Safetensors files with JSON metadata and a digest in the header, written atomically."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from cellzoo.errors import DataError
from cellzoo.system.atomic import output_errors, write_atomically
from cellzoo.system.regular_file import read_json, require_regular

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

CONTENT = "content"
DIGEST = "sha256"


def write_tensors(path: Path, tensors: Mapping[str, Tensor], content: Mapping[str, Any]) -> None:
    """Write tensors and metadata atomically.

    Args:
        path: The file; an existing one is replaced, its folder is created.
        tensors: Name -> tensor on any device; no two may share memory.
        content: JSON-serialisable metadata; floats are stored exactly.

    Raises:
        OutputError: The folder or the file cannot be written.
    """
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(content, sort_keys=True)
    metadata = {CONTENT: text, DIGEST: _digest(stored, text)}
    with output_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, save(stored, metadata))


def read_tensors(path: Path, *, check: bool = True) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file that `write_tensors` wrote.

    Args:
        path: The file.
        check: Whether to compare the content with its digest; if not, tensors are loaded on first use.

    Returns:
        Tensors on the CPU, and the JSON content.

    Raises:
        DataError: The file is missing, damaged or was not written by `write_tensors`.
    """
    try:
        require_regular(path)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
        content = read_json(metadata[CONTENT])
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except SafetensorError as error:
        raise DataError(f"{path}: is not a complete safetensors file ({error}); delete it") from error
    except KeyError as error:
        raise DataError(f"{path}: its header lacks the JSON that cellzoo puts there; delete it") from error
    except ValueError as error:
        raise DataError(f"{path}: the JSON in its header cannot be read ({error!s:.200}); delete it") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: the JSON in its header is not a table; delete it")
    if check and metadata.get(DIGEST) != _digest(tensors, metadata[CONTENT]):
        raise DataError(f"{path}: its content does not fit the sha256 in its header; delete it")
    return tensors, content


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
