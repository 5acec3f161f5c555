"""Download one file: it goes on where it broke off, and is there whole or not at all."""

from __future__ import annotations

import http.client
import json
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import IO, TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from cellzoo.errors import DataError
from cellzoo.system.atomic import output_errors, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TIMEOUT = 30.0
"""Seconds without a byte after which a server counts as silent."""
TRIES = 3
PAUSE = 1.0
"""Seconds before the second try; before the third, twice as many."""
_BLOCK = 2**16
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_LASTING = frozenset({400, 401, 403, 404, 405, 410, 451})
"""Answers that will be the same in a minute."""


class DownloadError(DataError):
    """A file that could not be downloaded; says the address and why."""


@dataclass(frozen=True)
class _Answer:
    """What a server answers: the bytes from `start` on, of a file of `total` bytes, if it says so."""

    stream: IO[bytes]
    start: int
    total: int | None
    tag: str


def download(
    url: str,
    path: Path,
    report: Callable[[int, int | None], None] = lambda done, total: None,
) -> None:
    """Download a file.

    What has come of it is kept beside it as `NAME.part`, with the tag that the server gave it as
    `NAME.part.json`, and the next call goes on from there if the server still has the same file.

    Args:
        url: Address.
        path: The file that is written; its folder exists.
        report: Takes the bytes that are there and those of the whole file, if known.

    Raises:
        DownloadError: The server cannot be reached, does not have the file, or broke off every time.
        OutputError: The file cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    for left in reversed(range(TRIES)):
        try:
            _go_on(url, part, report)
        except HTTPError as error:
            with error:
                if error.code == 416:  # what is here is not the beginning of what is there
                    _forget(part)
                if error.code in _LASTING or not left:
                    raise DownloadError(f"{url}: the server answers {error.code} {error.reason}") from error
        except (http.client.HTTPException, OSError, _BrokenOffError) as error:
            if not left:
                raise DownloadError(f"{url}: {_reason(error)}{_kept(part)}") from error
        except ValueError as error:  # such as letters beyond ASCII, or a bracket that is not closed
            raise DownloadError(f"{url}: is not a valid web address ({error})") from error
        else:
            break
        time.sleep(PAUSE * (TRIES - left))
    with output_errors(path):
        part.replace(path)
        _tag_file(part).unlink(missing_ok=True)


class _BrokenOffError(Exception):
    """The connection ended before the file."""


def _go_on(url: str, part: Path, report: Callable[[int, int | None], None]) -> None:
    there, tag = _kept_from(url, part)
    headers = {"User-Agent": f"cellzoo/{version('cellzoo')}", "Accept-Encoding": "identity"}
    if there:
        headers["Range"] = f"bytes={there}-"
        if tag and not tag.startswith("W/"):
            headers["If-Range"] = tag
    with urlopen(Request(url, headers=headers), timeout=TIMEOUT) as response:  # noqa: S310 - see WebAddress
        answer = _read_answer(response, there)
        if answer.start and answer.tag != tag:
            _forget(part)
            raise _BrokenOffError("the file has changed on the server since its beginning was fetched")
        with output_errors(part):
            write_atomically(_tag_file(part), json.dumps({"url": url, "tag": answer.tag}).encode())
            sink = part.open("r+b" if answer.start else "wb")
        done = answer.start
        with sink:
            sink.seek(done)
            for block in _blocks(answer.stream):
                with output_errors(part):
                    sink.write(block)
                done += len(block)
                report(done, answer.total)
            with output_errors(part):
                sink.flush()
                os.fsync(sink.fileno())
    if answer.total is not None and done != answer.total:
        raise _BrokenOffError(f"the server broke off after {done:,} of {answer.total:,} bytes")


def _read_answer(response: Any, there: int) -> _Answer:
    headers = response.headers
    tag = headers.get("ETag", "") or headers.get("Last-Modified", "")
    span = _RANGE.match(headers.get("Content-Range", "")) if response.status == 206 else None
    if span and int(span[1]) == there:
        return _Answer(response, there, int(span[2]) if span[2] != "*" else None, tag)
    if response.status == 206:
        raise _BrokenOffError("the server sent another part of the file than was asked for")
    length = headers.get("Content-Length", "")
    return _Answer(response, 0, int(length) if length.isdecimal() else None, tag)


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    try:
        while block := stream.read(_BLOCK):
            yield block
    except http.client.IncompleteRead as error:
        yield error.partial
        raise


def _tag_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _kept_from(url: str, part: Path) -> tuple[int, str]:
    """How many bytes of the file are here, and the tag that it had; (0, "") where they are another file's."""
    with suppress(OSError, ValueError, AttributeError):
        known = json.loads(_tag_file(part).read_text(encoding="utf-8"))
        if known.get("url") == url:
            return part.stat().st_size, str(known.get("tag", ""))
    return 0, ""


def _forget(part: Path) -> None:
    with output_errors(part):
        part.unlink(missing_ok=True)
        _tag_file(part).unlink(missing_ok=True)


def _kept(part: Path) -> str:
    size = part.stat().st_size if part.is_file() else 0
    return f"; {size:,} bytes are kept, and the same command goes on from there" if size else ""


def _reason(error: Exception) -> str:
    inner = error.reason if isinstance(error, URLError) else error
    if isinstance(inner, _BrokenOffError):
        return str(inner)
    if isinstance(inner, TimeoutError):
        return f"the server is silent for {TIMEOUT:.0f} s"
    if isinstance(inner, http.client.HTTPException):
        return f"the server broke off ({type(inner).__name__})"
    words = getattr(inner, "strerror", None) or str(inner)
    return f"the server cannot be reached ({words})"
