"""Word vectors in files as people have them; text has a word and its numbers a line."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING

from cellzoo.errors import DataError
from cellzoo.system.text import shortened
from tasks.data.vector_tables import HEADER, binary_rows, gensim_table, kind_of, numpy_table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import numpy as np
    from torch import Tensor

    from tasks.data.parts import Part

_COUNT = re.compile("[0-9]{1,9}")
_LONGEST_LINE = 2**18
_LONGEST_HEADER = 64
_BLOCK = 2**14
"""Rows that are digested at once."""
_BYTES = 2**20
_SAMPLE = 1000
"""Rows that tell the number of values in a file without a header."""


@dataclass(frozen=True)
class WordVectors:
    """Words and their vectors.

    Attributes:
        words: All different, V of them, in the order of the file.
        vectors: (V, E), float32, on the CPU.
        rows: Rows of the whole file.
        notes: What a reader must know, a sentence each.
    """

    words: tuple[str, ...]
    vectors: Tensor
    rows: int
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """E."""
        return self.vectors.size(1)

    def digest(self) -> str:
        """Hash the words and the values that were read, whatever else the file holds: sha256, hexadecimal."""
        digest = hashlib.sha256()
        for word, row in sorted(zip(self.words, self.vectors.numpy(), strict=True), key=lambda pair: pair[0]):
            digest.update(word.encode("utf-8", "surrogatepass") + b"\n" + row.tobytes())
        return digest.hexdigest()


def read_vectors(part: Part, wanted: Collection[str] | None = None) -> WordVectors:
    """Read word vectors: text of GloVe, fastText and word2vec, word2vec's binary format, gensim's own.

    In text a word may hold spaces: the last SIZE fields of a line are its vector. Of a word that occurs twice
    the first row counts, as for gensim, and a note says so.

    Args:
        part: The file.
        wanted: Keep these words alone in memory, and check the values of theirs alone; None for all.

    Raises:
        MissingDependencyError: A package that the format needs is not installed.
        DataError: The file cannot be read, or a row has another number of values, or a value that is not a
            finite number. The message names file, line and word.
    """
    kind = kind_of(part)
    if kind == "text":
        return _read_text(part, wanted)
    rows = 0
    taken = _Taken(part, wanted)
    if kind == "binary":
        count, size, pairs = binary_rows(part)
        for word, vector in pairs:
            rows += 1
            if taken.wants(word):
                taken.add(word, vector)
        if rows != count:
            raise DataError(f"{part}: holds {rows:,} vectors; its first line says {count:,}. Is it complete?")
    else:
        words, matrix = gensim_table(part) if kind == "gensim" else numpy_table(part)
        rows, size = matrix.shape
        for row, word in enumerate(words):
            if taken.wants(word):
                taken.add(word, matrix[row])
    return taken.finish(size, rows)


def count_vectors(part: Part) -> tuple[int, int]:
    """Count words and the values of each; whether every line has so many is checked when vectors are used.

    Raises:
        DataError: As `read_vectors`.
    """
    kind = kind_of(part)
    if kind == "binary":
        count, size, _ = binary_rows(part)
        return count, size
    if kind != "text":
        words, matrix = gensim_table(part) if kind == "gensim" else numpy_table(part)
        return len(words), matrix.shape[1]
    _, size, lines = _text_rows(part)
    return sum(1 for _ in lines), size


def file_digest(part: Part) -> str:
    """Digest what a file of vectors holds, without the header that word2vec has and GloVe lacks."""
    kind = kind_of(part)
    digest = hashlib.sha256()
    if kind in ("gensim", "numpy"):
        words, matrix = gensim_table(part) if kind == "gensim" else numpy_table(part)
        digest.update("\n".join(words).encode("utf-8", "surrogatepass"))
        for start in range(0, len(words), _BLOCK):
            digest.update(matrix[start : start + _BLOCK].astype("<f4").tobytes())
        return digest.hexdigest()
    with part.open() as stream:
        first = stream.readline(_LONGEST_HEADER)
        if not HEADER.fullmatch(first):
            digest.update(first)
        while block := stream.read(_BYTES):
            digest.update(block)
    return digest.hexdigest()


class _Taken:
    """The vectors that are kept of a file."""

    def __init__(self, part: Part, wanted: Collection[str] | None) -> None:
        self._part = part
        self._wanted = wanted
        self._words: dict[str, None] = {}
        self._vectors: list[np.ndarray] = []
        self._doubled: dict[str, None] = {}

    def wants(self, word: str) -> bool:
        """Whether a row is to be kept; takes note of words that occur again."""
        if self._wanted is not None and word not in self._wanted:
            return False
        if word in self._words:
            self._doubled[word] = None
            return False
        return True

    def add(self, word: str, vector: np.ndarray) -> None:
        """Keep a vector, if its values are finite."""
        import numpy as np

        if not np.isfinite(vector).all():
            odd = vector[int(np.flatnonzero(~np.isfinite(vector))[0])]
            raise DataError(
                f"{self._part}: the word {shortened(word, 40)!r} has the value {odd}; expected a finite number"
            )
        self._words[word] = None
        self._vectors.append(np.array(vector, dtype=np.float32))

    def finish(self, size: int, rows: int) -> WordVectors:
        """All that was kept."""
        import numpy as np
        import torch

        matrix = np.stack(self._vectors) if self._vectors else np.zeros((0, size), dtype=np.float32)
        notes: tuple[str, ...] = ()
        if self._doubled:
            first = shortened(next(iter(self._doubled)), 40)
            others = f" and {len(self._doubled) - 1:,} more" if len(self._doubled) > 1 else ""
            notes = (f"{self._part}: the word {first!r}{others} stand twice; the first vector counts",)
        return WordVectors(tuple(self._words), torch.from_numpy(matrix), rows, notes)


def _read_text(part: Part, wanted: Collection[str] | None) -> WordVectors:
    count, size, lines = _text_rows(part)
    taken = _Taken(part, wanted)
    # Most lines of a large file are not wanted, and are told by their beginning and the number of their fields.
    beginnings = None if wanted is None else {word.partition(" ")[0] for word in wanted}
    rows = 0
    for number, line in lines:
        rows += 1
        if beginnings is not None and line.count(" ") == size and line[: line.index(" ")] not in beginnings:
            continue
        word, *values = line.rsplit(" ", size)
        if len(values) != size or not word or _ends_in_a_number(word):
            fields = line.split(" ")
            place = _place(part, number, fields[0])
            raise DataError(f"{place} has {len(fields) - 1} values; expected {size}")
        if taken.wants(word):
            taken.add(word, _vector(values, _place(part, number, word)))
    if not rows:
        raise DataError(
            f"{part}: holds no vector, only a first line with sizes; expected a word and its numbers a line"
        )
    if count is not None and rows != count:
        raise DataError(f"{part}: holds {rows:,} vectors; its first line says {count:,}. Is it complete?")
    return taken.finish(size, rows)


def _text_rows(part: Part) -> tuple[int | None, int, Iterator[tuple[int, str]]]:
    """The number of words that a header states (None without one), E, and the numbered lines of words.

    Raises:
        DataError: The file is empty, or its first lines are not words with their vectors.
    """
    lines = _lines(part)
    head = list(islice(lines, _SAMPLE))
    if not head:
        raise DataError(f"{part}: is empty; expected a word and its numbers a line")
    count, size = _header(head[0][1])
    if count is None:
        size = _common_size(part, head)
    return count, size, chain(head if count is None else head[1:], lines)


def _lines(part: Part) -> Iterator[tuple[int, str]]:
    """Give lines and their numbers, single spaces between the fields; empty ones are left out."""
    with part.open() as stream:
        for number, content in enumerate(iter(partial(stream.readline, _LONGEST_LINE), b""), start=1):
            if len(content) == _LONGEST_LINE:
                raise DataError(
                    f"{part}:{number}: has more than {_LONGEST_LINE:,} bytes; expected a word and its numbers "
                    "a line"
                )
            try:
                line = content.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise DataError(f"{part}:{number}: is not UTF-8 text ({error.reason})") from error
            line = line.replace("\t", " ").rstrip(" \r\n")
            if line:
                yield number, line


def _place(part: Part, number: int, word: str) -> str:
    return f"{part}:{number}: the word {shortened(word, 40)!r}"


def _vector(values: list[str], place: str) -> np.ndarray:
    """Read the values of a row; `place` begins the message."""
    import numpy as np

    try:
        with np.errstate(over="ignore"):
            vector = np.array(values, dtype=np.float32)
    except ValueError:
        odd = next(value for value in values if not _is_number(value))
        raise DataError(f"{place} has the value {shortened(odd, 40)!r}; expected a number") from None
    if not np.isfinite(vector).all():
        odd = values[int(np.flatnonzero(~np.isfinite(vector))[0])]
        raise DataError(f"{place} has the value {odd}; expected a finite number. Correct or delete the line")
    return vector


def _header(line: str) -> tuple[int | None, int]:
    """Read `COUNT SIZE`; (None, 0) for a line that is a word's."""
    fields = line.split(" ")
    if len(fields) == 2 and all(_COUNT.fullmatch(field) for field in fields) and int(fields[1]):
        return int(fields[0]), int(fields[1])
    return None, 0


def _common_size(part: Part, head: list[tuple[int, str]]) -> int:
    """Tell the number of values from the first rows, most of which have words without spaces."""
    counts = Counter(line.count(" ") for _, line in head)
    size = max(counts, key=lambda fields: (counts[fields], -fields))
    if size == 0:
        number, line = head[0]
        raise DataError(
            f"{part}:{number}: {shortened(line, 40)!r} is not a word with its vector; expected a word and its "
            "numbers, with single spaces between them"
        )
    return size


def _ends_in_a_number(word: str) -> bool:
    """Whether a word with spaces has a value at its end, so that the line has too many of them."""
    _, space, last = word.rpartition(" ")
    return bool(space) and _is_number(last)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
