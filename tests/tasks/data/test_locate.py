"""Finding data sets, digests of their content, and what is not the published one."""

from __future__ import annotations

import gzip
import importlib.util
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from io import BytesIO
from types import SimpleNamespace

import pytest
from real_data import data_folder

from cellzoo.errors import DataError, DataNotFoundError, UnknownNameError
from tasks.data.catalog import find_set, set_names
from tasks.data.check import check
from tasks.data.locate import VARIANT, find
from tasks.data.own import split_items
from tasks.data.read import read_pairs, read_tagged, read_texts

TOY = """
name = "toy"
title = "Toy"
format = "tags"
obtain = "nowhere"

[files]
train = "toy/a.conll"
test = ["toy/b.conll", "toy.zip!b.conll"]

[counts]
test = { sentences = 1 }
"""
TEXT = {"a": "x\tO\n\n" * 10, "b": "y\tB-k\n"}


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch):
    monkeypatch.delenv("CELLZOO_DATA", raising=False)


@pytest.fixture
def toy(tmp_path):
    """A data set of the user's own: two small files, and the file that describes them elsewhere."""
    folder = tmp_path / "described"
    folder.mkdir()
    (folder / "toy.toml").write_text(TOY)
    return str(folder / "toy.toml")


def lay(folder):
    (folder / "toy").mkdir(parents=True)
    for name, text in TEXT.items():
        (folder / f"toy/{name}.conll").write_text(text)
    return folder


def test_the_option_comes_before_the_variable(toy, tmp_path, monkeypatch):
    first, second = lay(tmp_path / "first"), lay(tmp_path / "second")
    monkeypatch.setenv("CELLZOO_DATA", str(second))
    found = find(toy, first)
    assert (found.origin, found.files["train"]) == ("--data", first / "toy/a.conll")
    found = find(toy)
    assert (found.origin, found.files["train"]) == ("CELLZOO_DATA", second / "toy/a.conll")
    (first / "toy/b.conll").unlink()
    assert find(toy, first).origin == "CELLZOO_DATA"


def test_files_beside_the_file_of_a_data_set_are_found_first(tmp_path):
    (lay(tmp_path) / "toy.toml").write_text(TOY)
    assert find(str(tmp_path / "toy.toml")).origin == "beside its file"


def test_digests_are_of_content_not_of_containers(toy, tmp_path):
    plain = find(toy, lay(tmp_path / "plain")).sha256
    other = lay(tmp_path / "other")
    (other / "toy/a.conll").rename(other / "toy/kept")
    (other / "toy/a.conll.gz").write_bytes(gzip.compress(TEXT["a"].replace("\n", "\r\n").encode()))
    (other / "toy/b.conll").unlink()
    with zipfile.ZipFile(other / "toy.zip", "w") as archive:
        archive.writestr("b.conll", "\ufeff" + TEXT["b"].rstrip("\n"))
    assert find(toy, other).sha256 == plain
    (other / "toy/b.conll").write_text("z\tB-k\n")
    assert find(toy, other).sha256 != plain


def test_another_content_is_a_variant_that_runs_and_is_named(tmp_path):
    folder = data_folder("wnut17") / "wnut17"
    shutil.copytree(folder, tmp_path / "wnut17", copy_function=shutil.copyfile)
    published = find("wnut17", tmp_path)
    assert not published.notes
    path = tmp_path / "wnut17/emerging.dev.conll"
    path.write_text(path.read_text().replace("\tO\n", "\tO\n", 1).replace("Hello", "Bye") + "\nlast\tO\n")
    variant = find("wnut17", tmp_path)
    assert VARIANT in variant.origin
    assert str(path) in variant.notes[0]
    assert variant.sha256["train"] == published.sha256["train"]
    assert variant.sha256["dev"] != published.sha256["dev"]
    with pytest.raises(DataError, match="dev has 1,010 sentences; published are 1,009"):
        check(variant)


def test_nothing_found_lists_every_place_and_every_file(toy, tmp_path, monkeypatch):
    folder = lay(tmp_path / "here")
    (folder / "toy/b.conll").unlink()
    monkeypatch.setenv("CELLZOO_DATA", str(tmp_path / "gone"))
    with pytest.raises(DataNotFoundError) as caught:
        find(toy, folder)
    message = str(caught.value)
    assert f"--data: {folder} has no toy/b.conll" in message
    assert f"CELLZOO_DATA: {tmp_path / 'gone'} is not a folder" in message
    assert "toy/b.conll or toy.zip!b.conll" in message
    assert "The files are from nowhere" in message
    assert caught.value.exit_code == 3


def test_says_when_the_folder_is_one_too_deep(toy, tmp_path):
    with pytest.raises(DataNotFoundError, match="has the files themselves; name the folder that holds toy/a"):
        find(toy, lay(tmp_path) / "toy")


def test_the_option_must_name_a_folder(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(DataError, match="is not a folder"):
        find("small-ner", file)
    with pytest.raises(DataError, match="does not exist"):
        find("news", tmp_path / "absent")


def test_unknown_name():
    with pytest.raises(UnknownNameError, match="Did you mean 'wnut17'"):
        find("wnut-17")


@pytest.mark.parametrize("name", ["news", "wordsim-353", "simlex-999", "small-ner"])
def test_what_packages_ship_has_the_published_content(name):
    found = find(name)
    assert found.origin.startswith("gensim " if name != "small-ner" else "shipped with cellzoo")
    assert found.sha256 == find_set(name).sha256
    check(found)


def test_gensim_is_found_without_being_imported():
    code = (
        "import sys, tasks.commands.data\n"
        "from tasks.data.locate import find\n"
        "find('news'), find('small-ner')\n"
        "print(sorted({'gensim', 'torch', 'flair', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_gensim_is_not_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DataNotFoundError) as caught:
        find("simlex-999")
    assert "package gensim: not installed; pip install 'cellzoo[nlp]'" in str(caught.value)


def test_gensim_comes_without_its_test_data(monkeypatch, tmp_path):
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    with pytest.raises(DataNotFoundError, match=r"has no test/test_data/simlex999\.txt"):
        find("simlex-999")


PUBLISHED = ["wnut17", "conll2000", "ptb", "wikitext-2", "men", "mc-30", "mturk-287", "mturk-771", "rg-65"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_original_files_have_the_published_content_and_counts(name):
    found = find(
        name, data_folder({"men": "word-sim"}.get(name, name if name in PUBLISHED[:4] else "word-sim"))
    )
    assert not found.notes
    assert found.sha256 == find_set(name).sha256
    check(found)


def test_an_archive_packed_again_is_the_same_data(tmp_path):
    original = data_folder("wikitext-2") / "wikitext-2/wikitext-2-v1.zip"
    (tmp_path / "wikitext-2").mkdir()
    with (
        zipfile.ZipFile(original) as old,
        zipfile.ZipFile(tmp_path / "wikitext-2/wikitext-2-v1.zip", "w") as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert find("wikitext-2", tmp_path).sha256 == find_set("wikitext-2").sha256


FORMS = {
    "wnut17": ("wnut17", ["wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"]),
    "conll2000": ("conll2000", ["train.txt", "test.txt"]),
    "ptb": ("ptb", ["ptb.train.txt", "ptb.valid.txt", "ptb.test.txt"]),
    "rte": ("glue_data/RTE", ["train.tsv", "dev.tsv", "test.tsv"]),
    "cola": ("glue_data/CoLA", ["train.tsv", "dev.tsv", "test.tsv"]),
    "mrpc": ("glue_data/MRPC", ["train.tsv", "dev.tsv", "test.tsv"]),
    "sts-b": ("glue_data/STS-B", ["train.tsv", "dev.tsv", "test.tsv"]),
    "wnli": ("glue_data/WNLI", ["train.tsv", "dev.tsv", "test.tsv"]),
    "sst-2": ("glue_data/SST-2", ["train.tsv", "dev.tsv", "test.tsv"]),
}


@pytest.mark.parametrize("form", ["zip of the folder", "zip of its files", "zip of everything", "tar", "gzip"])
@pytest.mark.parametrize("name", FORMS)
def test_every_form_in_which_people_hold_a_set_has_the_published_content(name, form, tmp_path):
    folder, files = FORMS[name]
    last = folder.rpartition("/")[2]
    contents = {file: (data_folder(folder) / folder / file).read_bytes() for file in files}
    if form == "gzip":
        (tmp_path / folder).mkdir(parents=True)
        for file, content in contents.items():
            (tmp_path / folder / f"{file}.gz").write_bytes(gzip.compress(content, 1))
    elif form == "tar":
        with tarfile.open(tmp_path / f"{last}.tar.gz", "w:gz", compresslevel=1) as tar:
            for file, content in contents.items():
                entry = tarfile.TarInfo(f"./{last}/{file}")
                entry.size = len(content)
                tar.addfile(entry, BytesIO(content))
    else:
        inside = {
            "zip of the folder": f"{last}/",
            "zip of its files": "",
            "zip of everything": f"my data/{last}/",
        }
        outside = {"zip of everything": "everything"}.get(form, last)
        with zipfile.ZipFile(
            tmp_path / f"{outside}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1
        ) as archive:
            for file, content in contents.items():
                archive.writestr(inside[form] + file, content)
                archive.writestr(f"__MACOSX/{inside[form]}._{file}", b"other")
    found = find(name, tmp_path)
    assert not found.notes
    assert found.sha256 == find_set(name).sha256


def test_an_archive_beside_that_is_damaged_or_holds_others_does_not_matter(tmp_path):
    lay(tmp_path / "plain")
    (tmp_path / "plain/toy.toml").write_text(TOY)
    (tmp_path / "plain/broken.zip").write_bytes(b"PK")
    (tmp_path / "plain/toy/b.conll").rename(tmp_path / "b.conll")
    with zipfile.ZipFile(tmp_path / "plain/some.zip", "w") as archive:
        archive.writestr("not-toy/b.conll", "z\tO\n")
        archive.writestr("deep/er/toy/b.conll", "y\tO\n")
        archive.writestr("deep/toy/b.conll", TEXT["b"])
    found = find(str(tmp_path / "plain/toy.toml"))
    assert str(found.parts["test"]).endswith("some.zip!deep/toy/b.conll")


def test_original_glove_is_taken(tmp_path):
    (tmp_path / "glove.6B.50d.txt").write_text("the" + " 0.5" * 50 + "\n")
    found = find("glove-6b-50d", tmp_path)
    assert found.files["vectors"] == tmp_path / "glove.6B.50d.txt"
    headed = tmp_path / "headed"
    headed.mkdir()
    (headed / "glove.6B.50d.txt.gz").write_bytes(gzip.compress(("1 50\nthe" + " 0.5" * 50 + "\n").encode()))
    assert find("glove-6b-50d", headed).sha256 == found.sha256


def test_every_data_set_that_comes_with_the_package_is_whole():
    assert {"wnut17", "conll2003", "ptb", "news", "small-ner"} <= set(set_names())
    for name in set_names():
        data_set = find_set(name)
        assert data_set.name == name
        assert set(data_set.sha256) <= set(data_set.files)
        assert all(len(digest) == 64 for digest in data_set.sha256.values())
        assert json.loads(data_set.model_dump_json())["title"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("format", "fromat"), "unknown key 'fromat'. Did you mean 'format'"),
        (('"tags"', '"tag"'), "key 'format' is 'tag'; it must be 'tags', 'lines'"),
        (('"toy/a.conll"', '"../a.conll"'), "must be a path below the data folder"),
        (('"toy/a.conll"', '"/etc/passwd"'), "must be a path below the data folder"),
        (('"toy/a.conll"', "7"), "key 'files.train' is 7; it must be a list"),
        (('name = "toy"', ""), "key 'name' is missing"),
        (('name = "toy"', "name = "), "is not TOML"),
        (("sentences = 1", 'sentences = "1"'), "it must be a whole number"),
        (('name = "toy"', 'name = "My Toy"'), "key 'name' is 'My Toy'; it must match ^[a-z0-9]"),
        (
            ('test = ["toy', 'dev = ["toy'),
            "key 'files' has train, dev; a data set of the format 'tags' needs all",
        ),
        (('"tags"', '"pairs"'), "a data set of the format 'pairs' needs pairs"),
        (
            ("[files]", '[package]\nname = "a.b"\n\n[files]'),
            "key 'package.name' is 'a.b'; it must match",
        ),
    ],
)
def test_a_malformed_file_is_named_with_its_key(tmp_path, change, words):
    path = tmp_path / "toy.toml"
    path.write_text(TOY.replace(*change))
    with pytest.raises(DataError) as caught:
        find(str(path))
    assert str(path) in str(caught.value)
    assert words in str(caught.value)


def test_files_by_name(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("one\n")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"one\n"))
    found = find("text:a.txt", tmp_path)
    assert found.files == {"all": tmp_path / "a.txt"}
    assert found.sha256["all"] == find("text:b.txt", tmp_path).sha256["all"]
    assert set(find("text:a.txt,b.txt", tmp_path).files) == {"train", "test"}
    assert set(find("text:a.txt,b.txt,a.txt", tmp_path).files) == {"train", "dev", "test"}
    monkeypatch.chdir(tmp_path)
    assert find("text:a.txt").files["all"].name == "a.txt"


@pytest.mark.parametrize("files", ["", "a,", "a,b,c,d", "/etc/passwd", "../a", "a/../../b"])
def test_names_that_are_refused(tmp_path, files):
    with pytest.raises(DataError, match=r"expected one to three files|must lie below the folder"):
        find(f"text:{files}", tmp_path)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(DataNotFoundError, match=r"absent\.txt: no such file"):
        find("text:absent.txt", tmp_path)
    with pytest.raises(DataNotFoundError, match="by --data DIR"):
        find("text:absent.txt")


def test_one_file_is_cut_eight_to_one_to_one():
    splits = split_items({"all": list(range(57))})
    assert [list(splits[split]) for split in ("train", "dev", "test")] == [
        list(range(47)),
        list(range(47, 52)),
        list(range(52, 57)),
    ]
    splits = split_items({"train": list(range(20)), "test": [99]})
    assert (list(splits["train"]), list(splits["dev"]), splits["test"]) == (list(range(18)), [18, 19], [99])


def test_lines_become_words_and_empty_lines_count(tmp_path):
    (tmp_path / "a.txt").write_text("\ufeff one  two \r\n\r\nthree\r\n")
    (tmp_path / "b.txt").write_text("four")
    splits = read_texts(find("text:a.txt,b.txt,b.txt", tmp_path))
    assert splits == {"train": [["one", "two"], [], ["three"]], "dev": [["four"]], "test": [["four"]]}


@pytest.mark.parametrize("kind", ["text", "conll"])
def test_a_split_that_gets_nothing_is_named(tmp_path, kind):
    (tmp_path / "a").write_text("a\tO\n\nb\tO\n" if kind == "conll" else "one\ntwo\n")
    with pytest.raises(DataError, match=r"/a: the dev split is empty"):
        (read_tagged if kind == "conll" else read_texts)(find(f"{kind}:a", tmp_path))


def test_spans_and_tokens_do_not_mix(tmp_path):
    (tmp_path / "a").write_text("a\tB-x\n")
    (tmp_path / "b").write_text("a\tNN\n")
    with pytest.raises(DataError, match="some files tag spans and others single tokens"):
        read_tagged(find("conll:a,b,a", tmp_path))


def test_a_set_is_read_by_its_own_reader_alone():
    with pytest.raises(Exception, match="has the format 'news'; expected tags"):
        read_tagged(find("news"))
    assert len(read_pairs(find("simlex-999"))) == 999


CONLL2003 = """\
-DOCSTART- -X- O O

EU NNP I-NP I-ORG
rejects VBZ I-VP O
German JJ I-NP I-MISC
call NN I-NP O

Peter NNP I-NP I-PER
Blackburn NNP I-NP I-PER
Paris NNP B-NP I-LOC
Texas NNP I-NP B-LOC

"""


def test_original_conll2003_files_are_read(tmp_path):
    for name, first in (("eng.train", "-X- O O"), ("eng.testa", "-X- O O"), ("eng.testb", "-X- -X- O")):
        (tmp_path / name).write_text(CONLL2003.replace("-X- O O", first))
    found = find("conll2003", tmp_path)
    for sentences in read_tagged(found).splits.values():
        assert [s.tags for s in sentences] == [
            ("B-ORG", "O", "B-MISC", "O"),
            ("B-PER", "I-PER", "B-LOC", "B-LOC"),
        ]
