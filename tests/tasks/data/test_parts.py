"""Files as people have them, and what is not a file."""

from __future__ import annotations

import gzip
import os
import zipfile

import pytest

from cellzoo.errors import DataError
from tasks.data.parts import Part, find_part
from tasks.data.vectors import read_vectors

TEXT = b"one\ntwo\n"


def test_plain_gzipped_and_zipped_files_hold_the_same(tmp_path):
    (tmp_path / "a.txt").write_bytes(TEXT)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(TEXT))
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("inner/a.txt", TEXT)
    parts = [find_part(tmp_path, names) for names in (("a.txt",), ("b.txt",), ("absent", "c.zip!inner/a.txt"))]
    assert [part.lines() for part in parts] == [["one", "two"]] * 3
    assert len({part.digest() for part in parts}) == 1
    assert find_part(tmp_path, ("absent", "c.zip!absent")) is None


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"a\nb", ["a", "b"]),
        (b"a\n\nb\n", ["a", "", "b"]),
        (b"\xef\xbb\xbfa\r\nb\r\n", ["a", "b"]),
        (b"a\rb\r", ["a", "b"]),
        ("a\u2028b\nc\x85".encode(), ["a\u2028b", "c\x85"]),
        ("a\n\ufeffb\nc\ufeff\n".encode(), ["a", "b", "c\ufeff"]),
        ("\ufeffa\n\ufeffb\r\n".encode(), ["a", "b"]),
        ("\ufeff\ufeffa\r\ufeffb".encode(), ["a", "b"]),
        ("a\n\ufeff\tb".encode(), ["a", "\ufeff\tb"]),
    ],
)
def test_lines(tmp_path, content, lines):
    (tmp_path / "a").write_bytes(content)
    assert Part(tmp_path / "a").lines() == lines


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_a_text_in_another_unicode_encoding_is_read_where_that_is_named(tmp_path, encoding):
    mark = "" if encoding in ("utf-16", "utf-32", "utf-8-sig") else "\ufeff"
    (tmp_path / "a").write_bytes((mark + "zwölf\nBoxer\n").encode(encoding))
    assert Part(tmp_path / "a").lines(encoding) == ["zwölf", "Boxer"]


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        ("ab\n".encode("utf-16"), "utf-8", "its mark says UTF-16. .* encoding=utf-16"),
        ("ab\n".encode("utf-32"), "utf-8", "its mark says UTF-32. .* encoding=utf-32"),
        ("ab\n".encode("utf-32"), "utf-16", "its mark says UTF-32"),
        (b"\xef\xbb\xbfab\n", "latin-1", "its mark says UTF-8. .* encoding=utf-8"),
        ("ab\n".encode("utf-16"), "cp1252", "its mark says UTF-16"),
        ("abc\nd\n".encode("utf-16-le"), "utf-8", "6 of 12 characters are NUL"),
        ("Köln\n".encode("latin-1"), "utf-8", "it has another encoding. .* encoding=latin-1"),
        (b"ab\n", "hex", "encoding 'hex' is not known"),
        (b"ab\n", "undefined", "encoding 'undefined' is not known"),
        (b"ab\n", "utf\0", "is not known"),
    ],
)
def test_a_text_in_another_encoding_is_refused_and_the_right_one_named(tmp_path, content, encoding, message):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError, match=message):
        Part(tmp_path / "a").lines(encoding)


@pytest.mark.parametrize("cut", [3, 12, 25])
def test_damaged_archives_are_named(tmp_path, cut):
    (tmp_path / "a.gz").write_bytes(gzip.compress(TEXT * 99)[:cut])
    with pytest.raises(DataError, match=r"a\.gz: cannot be read"):
        Part(tmp_path / "a.gz").read()
    with zipfile.ZipFile(tmp_path / "whole.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", TEXT * 99)
    (tmp_path / "a.zip").write_bytes((tmp_path / "whole.zip").read_bytes()[:cut])
    with pytest.raises(DataError, match=r"a\.zip"):
        find_part(tmp_path, ("a.zip!a",))


def test_every_byte_of_an_archive_may_be_wrong(tmp_path):
    with zipfile.ZipFile(tmp_path / "whole.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", TEXT * 20)
    whole = bytearray((tmp_path / "whole.zip").read_bytes())
    for place in range(len(whole)):
        for flip in (0x01, 0x80, 0xFF):
            changed = bytearray(whole)
            changed[place] ^= flip
            (tmp_path / "a.zip").write_bytes(changed)
            try:
                content = Part(tmp_path / "a.zip", "a").read()
            except DataError:
                continue
            assert content == TEXT * 20


def test_pipes_devices_and_folders_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, type(tmp_path)("/dev/zero")):
        with pytest.raises(DataError, match="is not a regular file"):
            Part(path).read()


def test_what_unpacks_to_too_much_is_refused(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(10**6)))
    with pytest.raises(DataError, match="more than 1,000 bytes"):
        Part(tmp_path / "a.gz").read(limit=1000)


def test_what_is_too_large_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "a.txt").open("wb") as stream:
        stream.truncate(2**33)
    with pytest.raises(DataError, match="more than 1,073,741,824 bytes"):
        Part(tmp_path / "a.txt").lines()


def test_vectors_without_ends_of_lines_are_refused(tmp_path):
    (tmp_path / "bomb.txt.gz").write_bytes(gzip.compress(b"word " + bytes(10**7)))
    with pytest.raises(DataError, match=r"bomb\.txt\.gz:1: has more than 262,144 bytes"):
        read_vectors(Part(tmp_path / "bomb.txt.gz"))
