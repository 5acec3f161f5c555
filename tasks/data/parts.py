r"""Files as people have them: plain, gzipped, or a member of an archive; read whole, with one clear error.

One policy for all text: UTF-8 (or the encoding that is named), a byte order mark at the start of the file, or
of a line where files were joined, is not part of the text, and a line ends in `\n`, `\r\n`, or, in a file that
has no `\n`, in `\r`.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import re
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, cast

from cellzoo.errors import DataError
from tasks.data.archives import FAULTS, find_member, open_member, packed_again

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_TEXT = 2**30
"""Bytes of a text that is read whole. The largest known one, WikiText-103, has half as many."""
_BLOCK = 2**20
MARK = "\ufeff"
"""Byte order mark."""
_JOINED = re.compile(rf"(?m)^{MARK}(?=[^\s{MARK}])")
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_MOST_NULS = 0.1
"""Share of NUL characters from which a text is one of UTF-16 without its mark."""


@dataclass(frozen=True)
class Part:
    """A file, or a member of a zip or tar archive.

    Attributes:
        path: The file; it is unpacked while it is read if its name ends in `.gz`.
        member: Name within the archive; empty for the file itself.
    """

    path: Path
    member: str = ""

    def __str__(self) -> str:
        return f"{self.path}!{self.member}" if self.member else str(self.path)

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open the content as bytes.

        Raises:
            DataError: It cannot be opened or read, is not a regular file, or is damaged.
        """
        self.require_regular()
        try:
            if self.member:
                with open_member(self.path, self.member) as stream:
                    yield stream
            elif self.path.suffix == ".gz":
                with gzip.open(self.path, "rb") as unpacked:
                    yield cast("IO[bytes]", unpacked)
            else:
                with self.path.open("rb") as plain:
                    yield plain
        except FAULTS as error:
            raise DataError(f"{self}: cannot be read: {getattr(error, 'strerror', None) or error}") from error

    def require_regular(self) -> None:
        """See to it that the file is there and has an end.

        Raises:
            DataError: It does not exist, or is a folder, a pipe or a device.
        """
        try:
            mode = self.path.stat().st_mode
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self.path}: cannot be read: {getattr(error, 'strerror', None) or error}"
            ) from error
        if not stat.S_ISREG(mode):
            raise DataError(f"{self.path}: is not a regular file")

    def read(self, limit: int = MAX_TEXT) -> bytes:
        """Read all of it.

        Raises:
            DataError: As in `open`; also more than `limit` bytes.
        """
        self.require_regular()
        is_packed = self.member or self.path.suffix == ".gz"
        is_larger = not is_packed and self.path.stat().st_size > limit
        content = b""
        if not is_larger:
            with self.open() as stream:
                content = stream.read(limit + 1)
        if is_larger or len(content) > limit:
            raise DataError(f"{self}: holds more than {limit:,} bytes; take a smaller text")
        return content

    def digest(self) -> str:
        """The sha256 of the content, whatever it is packed in, as 64 hexadecimal digits; read in blocks."""
        digest = hashlib.sha256()
        with self.open() as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
        return digest.hexdigest()

    def lines(self, encoding: str = "utf-8") -> list[str]:
        """Read the lines of a text, without their ends; an end after the last line makes no further line.

        Lines are never cut at characters that occur inside words, such as U+0085 and U+2028.

        Raises:
            DataError: As in `read`; also no text in this encoding, or nothing but white space.
        """
        content = self.read()
        if not content.strip():
            size = "0 bytes" if not content else "only white space"
            raise DataError(f"{self}: is empty ({size})")
        text = self._decode(content, encoding).removeprefix(MARK)
        if "\n" not in text:
            text = text.replace("\r", "\n")
        if MARK in text:
            text = _JOINED.sub("", text)
        lines = text.removesuffix("\n").split("\n")
        return [line.rstrip("\r") for line in lines]

    def each_line(self, encoding: str = "utf-8") -> Iterator[str]:
        """The same lines as those of `lines`, one after the other, without reading all of a file of UTF-8.

        Raises:
            DataError: As in `lines`.
        """
        if encoding.lower() not in ("utf-8", "utf8") or self._has_one_line():
            yield from self.lines(encoding)
            return
        with self.open() as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    text = line.decode()
                except UnicodeDecodeError as error:
                    raise DataError(
                        f"{self}:{number}: is not UTF-8 text ({error.reason}). {_advice('latin-1')}"
                    ) from error
                text = text.removeprefix(MARK) if number == 1 else _JOINED.sub("", text)
                yield text.removesuffix("\n").rstrip("\r")

    def _has_one_line(self) -> bool:
        """Whether the file begins with a very long line, as one does whose lines end otherwise, or nowhere."""
        with self.open() as stream:
            return b"\n" not in stream.read(_BLOCK)

    def _decode(self, content: bytes, encoding: str) -> str:
        try:
            codec = codecs.lookup(encoding).name
            text = content.decode(encoding)
        except UnicodeDecodeError as error:
            raise self._not_in(encoding, content, error.start) from error
        except (LookupError, ValueError) as error:
            raise DataError(
                f"{self}: encoding {encoding!r:.40} is not known, such as utf-8 or latin-1"
            ) from error
        marked = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "")
        if marked and not codec.startswith(marked):
            raise self._not_in(encoding, content, 0)
        if text.count("\0") > _MOST_NULS * len(text):
            raise DataError(
                f"{self}: is not {encoding.upper()} text ({text.count(chr(0)):,} of {len(text):,} characters "
                f"are NUL); is it UTF-16? {_advice('utf-16-le')}"
            )
        return text

    def _not_in(self, encoding: str, content: bytes, offset: int) -> DataError:
        """Say that a text is not in an encoding, and which one it is in as far as its mark tells."""
        line = content.count(b"\n", 0, offset) + 1
        found = " ".join(f"{byte:02X}" for byte in content[offset : offset + 4])
        marked = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "")
        advice = f"its mark says {marked.upper()}" if marked else "it has another encoding"
        return DataError(
            f"{self}:{line}: is not {encoding.upper()} text (bytes {found} at offset {offset}); {advice}. "
            f"{_advice(marked or 'latin-1')}"
        )


def _advice(encoding: str) -> str:
    return (
        f"Convert it to UTF-8, or name its encoding: --set encoding={encoding} for a tagged corpus, "
        f'encoding = "{encoding}" in a data set\'s own file for other text'
    )


def find_part(folder: Path, names: tuple[str, ...]) -> Part | None:
    """Find the first of some files in a folder; if none is there, in archives that hold one with its folders.

    Args:
        folder: Where.
        names: Paths below it, each tried also with `.gz`; `archive.zip!member` is a member of an archive.

    Raises:
        DataError: An archive that is named is damaged.
    """
    for name in names:
        path, _, member = name.partition("!")
        if member:
            if (folder / path).is_file() and (found := find_member(folder / path, member)):
                return Part(folder / path, found)
            continue
        for candidate in (folder / path, folder / f"{path}.gz"):
            if candidate.is_file():
                return Part(candidate)
    for name in names:
        for archive, member in packed_again(folder, name) if "!" not in name else ():
            with suppress(DataError):  # it was not named, so it need not be whole
                if found := find_member(archive, member):
                    return Part(archive, found)
    return None
