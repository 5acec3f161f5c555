"""A hash of everything that the values of frozen embeddings depend on: equal hashes mean equal vectors.

Only classes whose vectors depend on nothing but the tokens of a sentence are supported. This excludes
embeddings that remember other sentences (`PooledFlairEmbeddings`), read labels, or read neighbouring sentences
(`use_context`).
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch
from flair.embeddings import FlairEmbeddings, OneHotEmbeddings, TransformerWordEmbeddings, WordEmbeddings
from flair.embeddings.transformer import SENTENCE_BOUNDARY_TAG

from cellzoo.errors import CellzooError
from tasks.embeddings.batch import parts

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BytesIO

    from flair.embeddings import TokenEmbeddings
    from torch import Tensor

_PACKAGES = ("flair", "torch", "transformers")
_NO_MATTER = ("name", "model", "fine_tune", "context_length", "context_dropout", "tokenizer_data")
_NO_MATTER_IN_CONFIG = ("_name_or_path", "dtype", "torch_dtype", "transformers_version")
_LEFT_BY_CALLS = ("padding", "truncation")


def identity(embeddings: TokenEmbeddings, name: str | None = None) -> str:
    """Hash the weights of embeddings, their settings, and the packages that compute them.

    Args:
        embeddings: The embeddings, or a stack of them.
        name: Any further text to hash; required for classes that are not supported here, and then has to
            identify their settings.

    Returns:
        64 hexadecimal digits.

    Raises:
        CellzooError: The vectors depend on more than the tokens, or it is unknown what they depend on.
    """
    digest = hashlib.sha256()
    packages = [f"{package} {version(package)}" for package in _PACKAGES]
    digest.update(json.dumps([packages, name]).encode())
    for part in sorted(parts(embeddings), key=lambda part: part.name):
        described = _describe(part, known_by_name=name is not None)
        digest.update(json.dumps([type(part).__qualname__, described], sort_keys=True, default=str).encode())
        for key, tensor in sorted(_weights(part).items()):
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(json.dumps([key, str(tensor.dtype), list(tensor.shape)]).encode())
            digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _describe(part: TokenEmbeddings, *, known_by_name: bool) -> Any:
    if type(part) in _SETTINGS:
        return _SETTINGS[type(part)](part)
    if known_by_name:
        return None
    known = ", ".join(sorted(kind.__name__ for kind in _SETTINGS))
    raise CellzooError(
        f"embeddings {part.name!r}: it is unknown what the vectors of {type(part).__name__} depend on; if it "
        f"is only the tokens of a sentence, identify the embeddings by identity='...' (known classes: {known})"
    )


def _weights(part: TokenEmbeddings) -> dict[str, Tensor]:
    weights = part.state_dict()
    if isinstance(part, TransformerWordEmbeddings):
        row = part.tokenizer.get_added_vocab().get(SENTENCE_BOUNDARY_TAG)
        if row is not None:
            # The vector of the separator between sentences, which Flair draws anew each time; it is not used.
            table = part.model.get_input_embeddings().weight
            for key, tensor in weights.items():
                if tensor.data_ptr() == table.data_ptr():
                    weights[key] = torch.cat([tensor[:row], tensor[row + 1 :]])
    return weights


def _require(part: TokenEmbeddings, holds: bool, what: str) -> None:
    if not holds:
        raise CellzooError(
            f"embeddings {part.name!r}: with {what} the vectors depend on more than a sentence's tokens, "
            "so they cannot be cached"
        )


def _words(part: WordEmbeddings) -> Any:
    _require(part, part.field is None, f"field={part.field!r}")
    return [sorted(part.vocab.items()), part.layer_norm is not None]


def _one_hot(part: OneHotEmbeddings) -> Any:
    _require(part, part.field == "text", f"field={part.field!r}")
    return [part.vocab_dictionary.get_items(), part.layer_norm is not None]


def _flair(part: FlairEmbeddings) -> Any:
    _require(part, part.tokenized_lm, "tokenized_lm=False")
    lm = part.lm
    settings = [part.is_lower, part.with_whitespace, part.chars_per_chunk]
    return [*settings, lm.dictionary.get_items(), lm.is_forward_lm, lm.document_delimiter, lm.nlayers]


def _transformer(part: TransformerWordEmbeddings) -> Any:
    _require(part, not part.context_length, "use_context")
    _require(part, part.feature_extractor is None, "a feature extractor")
    _require(part, not (part.needs_manual_ocr or part.tokenizer_needs_ocr_boxes), "boxes of tokens")
    settings = part.to_params()
    config = {
        key: value for key, value in settings["config_state_dict"].items() if key not in _NO_MATTER_IN_CONFIG
    }
    rest = {key: value for key, value in settings.items() if key not in _NO_MATTER}
    return [rest | {"config_state_dict": config}, part.stride, _tokenizer(part, settings["tokenizer_data"])]


def _tokenizer(part: TransformerWordEmbeddings, archive: BytesIO) -> Any:
    tokenizer = part.tokenizer
    settings = [type(tokenizer).__name__, tokenizer.model_max_length, tokenizer.pad_token_id]
    if tokenizer.is_fast:
        rules = json.loads(tokenizer.backend_tokenizer.to_str())
        return [*settings, {key: value for key, value in rules.items() if key not in _LEFT_BY_CALLS}]
    with zipfile.ZipFile(archive) as files:
        names = sorted(files.namelist())
        return [*settings, {name: hashlib.sha256(files.read(name)).hexdigest() for name in names}]


_SETTINGS: dict[type, Callable[[Any], Any]] = {
    FlairEmbeddings: _flair,
    OneHotEmbeddings: _one_hot,
    TransformerWordEmbeddings: _transformer,
    WordEmbeddings: _words,
}
