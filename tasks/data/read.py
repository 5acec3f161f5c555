"""Read a data set that was found, by its format; read once in a process, however many runs ask for it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from cellzoo.errors import CellzooError, DataError
from tasks.data.conll import Reading, TaggedText, read_conll
from tasks.data.examples import read_examples as read_example_file
from tasks.data.long_texts import LongLines, is_long
from tasks.data.news import read_news, split_news
from tasks.data.own import split_items
from tasks.data.vector_tables import files_beside
from tasks.data.vectors import file_digest, read_vectors
from tasks.data.word_pairs import read_pairs as read_pair_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tasks.data.catalog import Table
    from tasks.data.conll import TaggedSentence
    from tasks.data.examples import Examples
    from tasks.data.found import FoundData
    from tasks.data.parts import Part
    from tasks.data.splits import Split
    from tasks.data.tags import Scheme
    from tasks.data.vectors import WordVectors
    from tasks.data.word_pairs import WordPair


UNLABELLED = ("test", "test_mismatched", "diagnostic")
"""Roles of a data set of examples whose files have no labels: GLUE keeps them."""


@dataclass(frozen=True)
class TaggedData:
    """A tagged corpus.

    Attributes:
        splits: Split -> sentences. Where there is no dev file, dev is the last tenth of train.
        scheme: In which the tags of the files are written; `tokens` where tags label single tokens.
        notes: What was recognised or repaired, a sentence each.
    """

    splits: Mapping[Split, Sequence[TaggedSentence]]
    scheme: Scheme
    notes: tuple[str, ...]


def read_tagged(found: FoundData, reading: Reading | None = None) -> TaggedData:
    """Read a tagged corpus.

    Args:
        found: A data set of the format `tags`.
        reading: How its column files are read; None reads them as its data set says.

    Raises:
        DataError: A file cannot be read or is malformed, a split has no sentence, or files have different
            schemes.
    """
    _require_format(found, "tags")
    reading = reading or found.data_set.reading
    texts = {role: _tagged(*_stamp(part), reading) for role, part in found.parts.items()}
    kinds = {text.scheme == "tokens" for text in texts.values()}
    if len(kinds) > 1:
        schemes = ", ".join(f"{found.parts[role]} {text.scheme}" for role, text in texts.items())
        raise DataError(f"{found.name}: some files tag spans and others single tokens ({schemes})")
    splits = split_items({role: text.sentences for role, text in texts.items()})
    for split, sentences in splits.items():
        if not sentences:
            raise DataError(
                f"{found.places}: the {split} split is empty. Take a corpus of at least 10 sentences, or give "
                "files "
                "of their own: TRAIN,DEV,TEST"
            )
    notes = tuple(note for text in texts.values() for note in text.notes)
    if "dev" not in texts:
        whole = texts["all" if "all" in texts else "train"].sentences
        notes += (f"{found.name}: has no dev file; {_place_of_dev(splits, len(whole))}",)
    return TaggedData(splits, next(iter(texts.values())).scheme, notes)


def _place_of_dev(splits: Mapping[Split, Sequence[TaggedSentence]], count: int) -> str:
    first = len(splits["train"]) + 1
    last = len(splits["train"]) + len(splits["dev"])
    return f"dev is its sentences {first:,} to {last:,} of {count:,} for training"


def read_texts(found: FoundData) -> dict[Split, Sequence[list[str]]]:
    """Read a text for language models.

    Args:
        found: A data set of the format `lines` or `news`.

    Returns:
        Split -> lines or documents, each a list of words, without `<eos>`; a line may be empty. Those of a long
        file are `LongLines`.

    Raises:
        DataError: A file cannot be read, or a split has no word.
    """
    _require_format(found, "lines", "news")
    if found.data_set.format == "news":
        splits = cast("dict[Split, Sequence[list[str]]]", split_news(_news(*_stamp(found.parts["text"]))))
    else:
        encoding = found.data_set.encoding
        parts = {role: _documents(part, encoding) for role, part in found.parts.items()}
        splits = split_items(parts)
        if is_one_line(found, parts):
            [line] = parts["all"]
            splits = {split: [list(words)] for split, words in split_items({"all": line}).items()}
    for split, lines in splits.items():
        if not any(lines):
            raise DataError(
                f"{found.places}: the {split} split is empty: {len(lines)} lines and no word. "
                "Take a text of at least 10 lines, or give files of their own: TRAIN,DEV,TEST"
            )
    return splits


def is_one_line(found: FoundData, texts: Mapping[Any, Sequence[list[str]]]) -> bool:
    """Whether a text is one endless line in one file, which is cut at words.

    Args:
        found: The text.
        texts: Its lines, by file or by split.
    """
    return "all" in found.parts and all(len(lines) == 1 for lines in texts.values())


def read_pairs(found: FoundData) -> list[WordPair]:
    """Read word pairs that people scored.

    Args:
        found: A data set of the format `pairs`.

    Raises:
        DataError: The file cannot be read or is malformed.
    """
    _require_format(found, "pairs")
    return list(_pairs(*_stamp(found.parts["pairs"]), found.data_set.encoding))


def read_examples(found: FoundData) -> dict[str, Examples]:
    """Read labelled texts.

    Args:
        found: A data set of the format `examples`.

    Returns:
        Role -> examples; those of the roles in `UNLABELLED` have no label.

    Raises:
        DataError: A file cannot be read or is malformed.
    """
    _require_format(found, "examples")
    tables = {role: _table_of(found, role) for role in found.parts}
    return {
        role: _examples(*_stamp(found.parts[role]), table, found.data_set.encoding)
        for role, table in tables.items()
        if table is not None
    }


def read_word_vectors(found: FoundData, wanted: Collection[str] | None = None) -> WordVectors:
    """Read word vectors, cut to the words that are wanted; see `tasks.data.vectors.read_vectors`.

    Raises:
        DataError: As there; also another width than the data set has, or none of the words.
    """
    _require_format(found, "vectors")
    part = found.parts["vectors"]
    read = _vectors(*_stamp(part, files_beside(part)), None if wanted is None else frozenset(wanted))
    size = found.data_set.counts.get("vectors", {}).get("dimensions", read.size)
    if read.size != size:
        raise DataError(
            f"{found.places}: has vectors of {read.size} values; those of {found.name} have {size}. "
            "A file of your own is named by glove:FILE"
        )
    if wanted and not read.words:
        raise DataError(
            f"{found.places}: has a vector for none of the {len(wanted):,} words that are looked up, such as "
            f"{min(wanted)!r:.40}; give word vectors of the language of the text"
        )
    return read


def content_digest(found: FoundData) -> dict[str, str]:
    """Digest what a data set holds, role by role: what its reader yields, not how the files are packed.

    Raises:
        DataError: A file cannot be read or is malformed.
    """
    kind, reading = found.data_set.format, found.data_set.reading
    return {
        role: _digest(
            *_stamp(part, files_beside(part) if kind == "vectors" else ()),
            kind,
            reading,
            _table_of(found, role),
        )
        for role, part in found.parts.items()
    }


@lru_cache(maxsize=64)
def _digest(part: Part, stamp: Any, kind: str, reading: Reading, table: Table | None) -> str:
    if kind == "vectors":
        return file_digest(part)
    digest = hashlib.sha256()
    for item in _items(part, stamp, kind, reading, table):
        digest.update(item.encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _items(part: Part, stamp: Any, kind: str, reading: Reading, table: Table | None) -> Iterator[str]:
    if kind == "tags":
        for sentence in _tagged(part, stamp, reading).sentences:
            yield from ("\t".join(pair) for pair in zip(sentence.tokens, sentence.tags, strict=True))
            yield ""
    elif kind == "pairs":
        pairs = _pairs(part, stamp, reading.encoding)
        yield from (f"{pair.word1}\t{pair.word2}\t{pair.score!r}" for pair in pairs)
    elif table is not None:
        rows = _examples(part, stamp, table, reading.encoding).rows
        yield from (f"{row.first}\t{row.second}\t{_label_text(row.label, table)}" for row in rows)
    else:
        documents = _news(part, stamp) if kind == "news" else _documents(part, reading.encoding)
        yield from (" ".join(words) for words in documents)


def _label_text(label: float | None, table: Table) -> str:
    """A label as it is digested; scores to six digits, as the Hugging Face hub has them in single precision."""
    return repr(label) if label is None or table.labels else f"{label:.6g}"


def _table_of(found: FoundData, role: str) -> Table | None:
    """The columns of a file of examples; None for other files."""
    table = found.data_set.table
    return table.without_labels() if table is not None and role in UNLABELLED else table


def _stamp(part: Part, beside: Iterable[Path] = ()) -> tuple[Part, Any]:
    """A file and what changes when its content or that of files beside it does, to keep what was read."""
    part.require_regular()
    states = [path.stat() for path in (part.path, *beside)]
    return part, tuple((state.st_size, state.st_mtime_ns, state.st_ino) for state in states)


@lru_cache(maxsize=8)
def _tagged(part: Part, stamp: Any, reading: Reading) -> TaggedText:
    return read_conll(part, reading)


@lru_cache(maxsize=2)  # large where all words are wanted
def _vectors(part: Part, stamp: Any, wanted: frozenset[str] | None) -> WordVectors:
    return read_vectors(part, wanted)


@lru_cache(maxsize=8)
def _lines(part: Part, stamp: Any, encoding: str) -> list[list[str]]:
    return [line.split() for line in part.lines(encoding)]


def _documents(part: Part, encoding: str) -> Sequence[list[str]]:
    """Lines of words: a list that is kept, or what stands for one where the file is long."""
    part.require_regular()
    if is_long(part):
        return cast("Sequence[list[str]]", LongLines.of(part, encoding))
    return _lines(*_stamp(part), encoding)


@lru_cache(maxsize=32)
def _examples(part: Part, stamp: Any, table: Table, encoding: str) -> Examples:
    return read_example_file(part, table, encoding)


@lru_cache(maxsize=2)
def _news(part: Part, stamp: Any) -> list[list[str]]:
    return read_news(part)


@lru_cache(maxsize=16)
def _pairs(part: Part, stamp: Any, encoding: str) -> list[WordPair]:
    return read_pair_file(part, encoding)


def _require_format(found: FoundData, *formats: str) -> None:
    if found.data_set.format not in formats:
        raise CellzooError(
            f"data set {found.name!r} has the format {found.data_set.format!r}; expected {' or '.join(formats)}"
        )


def with_reading(found: FoundData, **changes: Any) -> Reading:
    """How a data set's column files are read, with changes where they are not None."""
    return replace(
        found.data_set.reading, **{name: value for name, value in changes.items() if value is not None}
    )
