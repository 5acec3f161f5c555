"""Fetching data sets from a server on this machine, with all that goes wrong with servers."""

from __future__ import annotations

import gzip
import io
import socket
import tarfile
import zipfile

import pytest
from file_server import serving

from cellzoo.cli.main import main
from cellzoo.errors import DataError, DataNotFoundError, OutputError
from tasks.commands.fetching import Lines
from tasks.data import download as downloading
from tasks.data.catalog import find_set
from tasks.data.download import DownloadError, download
from tasks.data.fetch import fetch
from tasks.data.locate import find
from tasks.data.read import content_digest

BYTES = bytes(range(256)) * 2000
TRAIN, TEST = "x\tO\n\n" * 10, "y\tB-k\n"
TOY = """
name = "toy"
title = "Toy"
format = "tags"
obtain = "the author"

[files]
train = "toy/a.conll"
test = "toy/b.conll"

[sha256]
{digests}

[counts]
test = {{ sentences = 1 }}

[[fetch]]
path = "toy/a.conll.gz"
url = ["{server}/moved/a.conll.gz", "{server}/a.conll.gz"]

[[fetch]]
path = "toy.zip"
url = "{server}/other-name.zip"
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CELLZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CELLZOO_DATA", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(downloading, "PAUSE", 0.0)
    return tmp_path / "cache"


@pytest.fixture
def server():
    with serving() as server:
        yield server


def zipped(**members):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "/").replace("_conll", ".conll"), text)
    return packed.getvalue()


@pytest.fixture
def toy(tmp_path, server):
    """A data set on the server, whose digests are those of the same content in plain files elsewhere."""
    plain = tmp_path / "plain"
    (plain / "toy").mkdir(parents=True)
    (plain / "toy/a.conll").write_text(TRAIN)
    (plain / "toy/b.conll").write_text(TEST)
    path = tmp_path / "toy.toml"
    path.write_text(TOY.format(server=server.address, digests=""))
    known = content_digest(find(str(path), plain))
    lines = "\n".join(f'{role} = "{digest}"' for role, digest in known.items())
    path.write_text(TOY.format(server=server.address, digests=lines))
    server.files = {
        "a.conll.gz": gzip.compress(TRAIN.encode()),
        "other-name.zip": zipped(again__toy__b_conll=TEST),
    }
    return str(path)


def left_over(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_a_file_comes_whole_and_its_size_is_told(tmp_path, server):
    server.files["a"] = BYTES
    told = []
    download(server.url("a"), tmp_path / "a", lambda *size: told.append(size))
    assert (tmp_path / "a").read_bytes() == BYTES
    assert told[-1] == (len(BYTES), len(BYTES))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert left_over(tmp_path) == ["a"]


def test_what_breaks_off_goes_on_where_it_was_by_itself(tmp_path, server):
    server.files["a"] = BYTES
    server.break_after = [100_000, 50_000]
    download(server.url("a"), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BYTES
    assert server.asked == [("/a", None), ("/a", "bytes=100000-"), ("/a", "bytes=150000-")]


def test_what_broke_off_every_time_goes_on_with_the_next_call(tmp_path, server):
    server.files["a"] = BYTES
    server.break_after = [100_000, 0, 50_000]
    with pytest.raises(
        DownloadError, match=r"broke off after 150,000 of 512,000 bytes; 150,000 bytes are kept"
    ):
        download(server.url("a"), tmp_path / "a")
    assert not (tmp_path / "a").exists()
    server.asked.clear()
    download(server.url("a"), tmp_path / "a")
    assert server.asked == [("/a", "bytes=150000-")]
    assert (tmp_path / "a").read_bytes() == BYTES


@pytest.mark.parametrize("takes_ranges", [True, False])
def test_a_file_that_has_changed_meanwhile_is_fetched_anew(tmp_path, server, takes_ranges):
    server.files["a"] = BYTES
    server.break_after = [100_000] * 3
    with pytest.raises(DownloadError):
        download(server.url("a"), tmp_path / "a")
    server.files["a"] = other = BYTES[::-1]
    server.takes_ranges = takes_ranges
    download(server.url("a"), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == other


def test_a_shorter_file_than_what_is_here_is_fetched_anew(tmp_path, server):
    server.files["a"] = BYTES
    server.break_after = [100_000] * 3
    with pytest.raises(DownloadError):
        download(server.url("a"), tmp_path / "a")
    server.files["a"] = BYTES[:300]
    download(server.url("a"), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BYTES[:300]


def test_a_server_without_ranges_begins_again(tmp_path, server):
    server.files["a"] = BYTES
    server.takes_ranges = False
    server.break_after = [100_000]
    download(server.url("a"), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BYTES


@pytest.mark.parametrize(
    ("status", "tries", "words"), [(404, 1, "answers 404 Not Found"), (403, 1, "403"), (503, 3, "503 Service")]
)
def test_answers_that_last_are_not_asked_for_again(tmp_path, server, status, tries, words):
    server.status = status
    with pytest.raises(DownloadError, match=words):
        download(server.url("a"), tmp_path / "a")
    assert len(server.asked) == tries
    assert left_over(tmp_path) == []


def test_nobody_is_there(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/a"
        with pytest.raises(DownloadError, match=r"/a: the server cannot be reached \(Connection refused\)"):
            download(url, tmp_path / "a")


def test_a_server_that_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(downloading, "TIMEOUT", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(DownloadError, match="is silent for"):
            download(f"http://127.0.0.1:{silent.getsockname()[1]}/a", tmp_path / "a")


def test_a_data_set_is_fetched_once_and_found_from_then_on(toy, cache, server):
    found, is_new = fetch(toy)
    assert is_new
    assert (found.origin, found.notes) == ("cache", ())
    assert left_over(cache) == ["a.conll.gz", "toy.zip"]
    asked = [path for path, _ in server.asked]
    assert asked == ["/moved/a.conll.gz", "/a.conll.gz", "/other-name.zip"]
    again, is_new = fetch(toy)
    assert (again.sha256, is_new) == (found.sha256, False)
    assert len(server.asked) == len(asked)


def test_another_content_is_refused_and_what_was_there_stays(toy, cache, server):
    server.files["a.conll.gz"] = gzip.compress(b"z\tO\n\n" * 10)
    with pytest.raises(DataError) as caught:
        fetch(toy)
    message = str(caught.value)
    assert "is not what was published, and is not kept" in message
    assert "a.conll.gz: another content than the published one" in message
    assert "get the files from the author on another machine and name their folder by --data DIR" in message
    assert left_over(cache) == []
    server.files["a.conll.gz"] = b"<html>Please log in</html>"
    with pytest.raises(DataError, match=r"a\.conll\.gz: cannot be read: Not a gzipped file"):
        fetch(toy)
    server.files["a.conll.gz"] = gzip.compress(TRAIN.encode())
    assert fetch(toy)[1]


def test_an_archive_without_the_file_is_refused(toy, cache, server):
    server.files["other-name.zip"] = zipped(other=TEST)
    with pytest.raises(DataError, match=r"the files that came do not hold .*toy/b\.conll"):
        fetch(toy)
    assert left_over(cache) == []


def test_one_file_of_two_is_absent_and_what_came_is_kept_for_the_next_time(toy, cache, server):
    whole = server.files.pop("other-name.zip")
    with pytest.raises(DataError, match=r"could not be fetched(.|\n)*other-name.zip: the server answers 404"):
        fetch(toy)
    with pytest.raises(DataNotFoundError, match="To get it: cellzoo data fetch toy"):
        find(toy)
    server.files["other-name.zip"] = whole
    server.asked.clear()
    fetch(toy)
    assert [path for path, _ in server.asked] == ["/other-name.zip"]


def test_a_tar_archive_of_the_original_is_read(tmp_path, server):
    text = " one two \n" * 12
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for split in ("train", "valid", "test"):
            entry = tarfile.TarInfo(f"./simple-examples/data/ptb.{split}.txt")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    (tmp_path / "simple-examples.tgz").write_bytes(packed.getvalue())
    found = find("ptb", tmp_path)
    assert found.parts["dev"].lines()[:1] == [" one two "]
    assert find_set("ptb").fetch[0].path == "simple-examples.tgz"


def test_a_cache_that_cannot_be_written(toy, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CELLZOO_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="cannot be written"):
        fetch(toy)


def test_the_command(toy, cache, server, capsys):
    assert main(["data", "fetch", toy, "small-ner"]) == 0
    shown = capsys.readouterr().out
    assert (
        f"toy.toml: fetched, {cache / 'data/toy/a.conll.gz'}, {cache / 'data/toy.zip'}!again/toy/b.conll"
        in shown
    )
    assert "small-ner: there already (shipped with cellzoo)" in shown
    assert main(["data", "where", toy]) == 0
    shown = capsys.readouterr().out
    assert "found (cache), Toy" in shown
    assert f"cache of what is fetched: {cache / 'data'}" in shown


def test_a_set_that_fails_does_not_keep_the_others_back(toy, cache, server, capsys):
    assert main(["data", "fetch", "conll2003", toy, "--from", "original"]) == 3
    captured = capsys.readouterr()
    assert "toy.toml: fetched" in captured.out
    assert "'conll2003': is not to be had from an original address" in captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fetch"], "name what to fetch"),
        (["fetch", "toy", "--data", "."], "not into --data"),
        (["where", "--from", "hub"], "data fetch NAME --from hub"),
        (["fetch", "wnut-17"], "Did you mean 'wnut17'"),
        (["fetch", "--suite", "glu"], "Did you mean 'glue'"),
    ],
)
def test_bad_input(capsys, arguments, words):
    assert main(["data", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_every_address_of_ours_is_below_the_data_folder_and_not_said_twice():
    for name in ("wnut17", "conll2000", "ptb", "wikitext-2", "rte", "qnli", "glove-6b-50d", "men"):
        files = find_set(name).fetch
        assert files
        assert len({file.path for file in files}) == len(files)


def test_the_time_left_is_said_every_ten_seconds():
    now, lines = [0.0], []
    report = Lines(lines.append, lambda: now[0])
    for second in range(0, 26, 5):
        now[0] = second
        report("http://a/b", 1_000_000 + second * 1_000_000, 51_000_000)
    assert lines == ["http://a/b: 11.0 of 51.0 MB, 40 s left", "http://a/b: 21.0 of 51.0 MB, 30 s left"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/\u00e4.txt", "http://[bad/x.txt"])
def test_what_is_not_a_web_address_is_said_at_once(tmp_path, url):
    with pytest.raises(DownloadError, match="is not a valid web address"):
        download(url, tmp_path / "x")
