"""Tensors with JSON in one file: what is written comes back, and what was changed is refused."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from cellzoo.errors import DataError
from cellzoo.system.tensor_file import read_tensors, write_tensors

TENSORS = {"a": torch.tensor([1.5, -0.0]), "b": torch.arange(6, dtype=torch.uint8).view(2, 3)}
CONTENT = {"epoch": 3, "loss": 0.1 + 0.2, "words": ["é", "b"]}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "folder" / "file.safetensors"
    write_tensors(path, TENSORS, CONTENT)
    return path


def test_tensors_and_content_come_back_bit_for_bit(path):
    tensors, content = read_tensors(path)
    assert content == CONTENT
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name].view(torch.uint8), tensor.view(torch.uint8))


@pytest.mark.parametrize("what", ["tensor", "content"])
def test_a_changed_file_is_refused(path, what):
    with safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata())
    tensors = {name: tensor.clone() for name, tensor in TENSORS.items()}
    if what == "tensor":
        tensors["b"][0, 0] = 9
    else:
        metadata["content"] = metadata["content"].replace("3", "4", 1)
    save_file(tensors, path, metadata)
    with pytest.raises(DataError, match="does not fit the sha256"):
        read_tensors(path)


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_a_truncated_file_is_refused(path, length):
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match="delete it"):
        read_tensors(path)


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file(TENSORS, path)
    with pytest.raises(DataError, match="lacks the JSON"):
        read_tensors(path)
