"""Data sets of the Hugging Face hub, from Parquet and Arrow files that lie as the hub's packages lay them."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

import pytest
from real_data import data_folder

from cellzoo.cli.main import main
from cellzoo.errors import DataError, DataNotFoundError, MissingDependencyError
from tasks.data import hub as hub_module
from tasks.data.catalog import find_set
from tasks.data.check import check
from tasks.data.fetch import fetch
from tasks.data.locate import find

datasets = pytest.importorskip("datasets")

COMMIT = "c0ffee" * 6 + "0123"
ENTAILMENT = datasets.ClassLabel(names=["entailment", "not_entailment"])
TOY = f"""
name = "toy"
title = "Toy"
format = "examples"
files = {{ train = "glue_data/Toy/train.tsv", dev = "Toy/dev.tsv", test = "Toy/test.tsv" }}

[table]
first = "question"
second = "sentence"
label = "label"
labels = ["entailment", "not_entailment"]
metrics = ["accuracy"]

[hub]
repository = "some-one/toy"
revision = "{COMMIT}"
config = "small"
splits = {{ train = "train", dev = "validation", test = "test" }}
columns = ["question", "sentence", "label"]
"""
FEATURES = datasets.Features(
    {"question": datasets.Value("string"), "sentence": datasets.Value("string"), "label": ENTAILMENT}
)
SPLITS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CELLZOO_CACHE", str(tmp_path / "cache"))
    for name in ("CELLZOO_DATA", "HF_HUB_CACHE", "HF_DATASETS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path / "hf"


@pytest.fixture
def toy(tmp_path):
    (tmp_path / "toy.toml").write_text(TOY)
    return str(tmp_path / "toy.toml")


def lay_parquet(home, hub, splits, *, shards=1, nested=False):
    """As `huggingface_hub` lays downloaded files; a branch is a file that holds its commit."""
    place = home / "hub" / f"datasets--{hub.repository.replace('/', '--')}"
    commit = hub.revision
    if "/" in commit:
        commit = "1" * 40
        (place / "refs" / hub.revision).parent.mkdir(parents=True, exist_ok=True)
        (place / "refs" / hub.revision).write_text(commit)
    folder = place / "snapshots" / commit / hub.config
    for split, rows in splits.items():
        for shard in range(shards):
            name = f"{split}/{shard:04}.parquet" if nested else f"{split}-{shard:05}-of-{shards:05}.parquet"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            rows.shard(shards, shard, contiguous=True).to_parquet(str(folder / name))
    return folder


def lay_arrow(home, hub, splits):
    """As `datasets.load_dataset` lays what it has prepared."""
    from datasets.arrow_writer import ArrowWriter

    owner, name = hub.repository.split("/")
    folder = home / "datasets" / f"{owner}___{name}" / hub.config / "0.0.0" / hub.revision
    folder.mkdir(parents=True)
    for split, rows in splits.items():
        with ArrowWriter(features=rows.features, path=str(folder / f"{name}-{split}.arrow")) as writer:
            for row in rows:
                writer.write(row)
            writer.finalize()
    return folder


def toy_splits():
    rows = {"question": ["What ?", 'a "b'] * 6, "sentence": ["This one.", "no\u2028t"] * 6, "label": [1, 0] * 6}
    splits = {split: datasets.Dataset.from_dict(rows, FEATURES) for split in SPLITS[:2]}
    return {**splits, "test": datasets.Dataset.from_dict({**rows, "label": [-1] * 12}, FEATURES)}


def original(folder):
    lines = [f'{n}\tWhat ?\tThis one.\tnot_entailment\n{n}\ta "b\tno\u2028t\tentailment\n' for n in range(6)]
    for name in ("glue_data/Toy/train", "Toy/dev", "Toy/test"):
        path = folder / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "index\tquestion\tsentence\tlabel\n" + "".join(lines)
        if name.endswith("test"):
            text = "\n".join(line.rpartition("\t")[0] for line in text.removesuffix("\n").split("\n"))
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("lay", "options"),
    [(lay_parquet, {}), (lay_parquet, {"shards": 3}), (lay_parquet, {"nested": True}), (lay_arrow, {})],
)
def test_what_the_hubs_packages_left_is_found_without_the_net(toy, tmp_path, home, lay, options):
    expected = find(toy, original(tmp_path / "original")).sha256
    with pytest.raises(
        DataNotFoundError, match="Hugging Face hub, some-one/toy at c0ffeec0ffee: nothing fetched"
    ):
        find(toy)
    lay(home, find_set(toy).hub, toy_splits(), **options)
    found = find(toy)
    assert found.origin == "Hugging Face hub, some-one/toy at c0ffeec0ffee"
    assert found.sha256 == expected


def test_once_written_no_run_needs_the_package(toy, home, monkeypatch):
    lay_parquet(home, find_set(toy).hub, toy_splits())
    first = find(toy)
    monkeypatch.setattr(hub_module, "require", lambda *_: pytest.fail("the package was asked for"))
    assert find(toy).sha256 == first.sha256


def test_the_package_is_not_installed(toy, home, monkeypatch):
    lay_parquet(home, find_set(toy).hub, toy_splits())
    monkeypatch.setattr("cellzoo.system.extras.find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'cellzoo\[datasets\]'"):
        find(toy)


@pytest.mark.parametrize("cut", [0, 10, 300])
@pytest.mark.parametrize("lay", [lay_parquet, lay_arrow])
def test_a_broken_file_is_named(toy, home, tmp_path, lay, cut):
    folder = lay(home, find_set(toy).hub, toy_splits())
    path = next(path for path in folder.rglob("*") if "validation" in path.name)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError) as caught:
        find(toy)
    assert str(path) in str(caught.value)
    assert "Delete the file and fetch the data set again" in str(caught.value)
    assert [one for one in (tmp_path / "cache").rglob("*") if one.is_file()] == []


def test_a_column_that_is_not_there_and_a_text_that_no_file_can_say(toy, home):
    splits = toy_splits()
    hub = find_set(toy).hub
    folder = lay_parquet(home, hub, splits | {"train": splits["train"].rename_column("sentence", "text")})
    with pytest.raises(DataError, match="has no column 'sentence'; it has question, text, label"):
        find(toy)
    odd = datasets.Dataset.from_dict({"question": ["a\tb"], "sentence": ["c"], "label": [0]}, FEATURES)
    for path in folder.glob("train*"):
        path.unlink()
    lay_parquet(home, hub, {"train": odd})
    with pytest.raises(DataError, match=r"row 0: 'a\\tb' is not text without tabs"):
        find(toy)


def test_offline_and_not_there_is_one_message(toy, capsys):
    assert main(["data", "fetch", toy]) == 3
    message = capsys.readouterr().err
    assert message.startswith("cellzoo: error: data set 'some-one/toy' at c0ffee")
    assert "could not be had from the Hugging Face hub" in message
    assert "HF_HUB_OFFLINE" in message
    assert "Traceback" not in message


HUB = """
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
root, commit = Path(sys.argv[1]), sys.argv[2]
names = [str(path.relative_to(root)) for path in root.rglob("*.parquet")]
class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self): self.answer(False)
    def do_GET(self): self.answer(True)
    def answer(self, whole):
        resolve = f"/datasets/some-one/toy/resolve/{commit}/"
        if self.path.startswith("/api/datasets/some-one/toy/revision/"):
            files = [{"rfilename": name} for name in names]
            body = json.dumps({"id": "some-one/toy", "sha": commit, "siblings": files}).encode()
            kind = "application/json"
        elif self.path.startswith(resolve) and self.path[len(resolve):] in names:
            body, kind = (root / self.path[len(resolve):]).read_bytes(), "application/octet-stream"
        else:
            self.send_error(404); return
        self.send_response(200)
        for key, value in (("Content-Length", len(body)), ("Content-Type", kind), ("ETag", f'"{hash(body):x}"'),
                           ("X-Repo-Commit", commit)):
            self.send_header(key, str(value))
        self.end_headers()
        if whole: self.wfile.write(body)
    def log_message(self, *a): pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def test_the_command_asks_the_hub_for_the_pinned_revision(toy, tmp_path, home, monkeypatch):
    """The hub's packages read its address when they are imported, so the command is a process of its own."""
    hub = find_set(toy).hub
    laid = lay_parquet(tmp_path / "server", hub, toy_splits())
    expected = find(toy, original(tmp_path / "original")).sha256
    serving = subprocess.Popen(
        [sys.executable, "-c", HUB, str(laid.parent), COMMIT], stdout=subprocess.PIPE, text=True
    )
    try:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{serving.stdout.readline().strip()}")
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        code = f"import sys; from cellzoo.cli.main import main; sys.exit(main(['data', 'fetch', {toy!r}]))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    finally:
        serving.kill()
        serving.wait()
    assert done.returncode == 0, done.stderr
    assert "toy.toml: fetched" in done.stdout
    assert find(toy).sha256 == expected
    assert (home / "hub").is_dir()


# The hub's columns and types are those of its data cards: class numbers, -1 where a label is kept back, scores
# in single precision, tags as numbers of names.
GLUE = {
    "cola": ("CoLA", 3, None, 1, ["unacceptable", "acceptable"]),
    "sst-2": ("SST-2", 0, None, 1, ["negative", "positive"]),
    "mrpc": ("MRPC", 3, 4, 0, ["not_equivalent", "equivalent"]),
    "sts-b": ("STS-B", 7, 8, 9, None),
    "rte": ("RTE", 1, 2, 3, ["entailment", "not_entailment"]),
    "wnli": ("WNLI", 1, 2, 3, ["not_entailment", "entailment"]),
}


def glue_rows(name, split):
    folder, first, second, label, classes = GLUE[name]
    text = (data_folder("glue_data") / f"glue_data/{folder}/{split}.tsv").read_text("utf-8-sig")
    rows = [line.split("\t") for line in text.removesuffix("\n").split("\n")]
    if name != "cola" or split == "test":
        rows = rows[1:]
    if split == "test" and name in ("cola", "sst-2"):
        first = 1
    numbers = {"not_entailment": 1, "entailment": 0} if name == "rte" else {"0": 0, "1": 1}
    columns = find_set(name).hub.columns
    content = {columns[0]: [row[first] for row in rows]}
    features = {columns[0]: datasets.Value("string")}
    if second is not None:
        content[columns[1]] = [row[second] for row in rows]
        features[columns[1]] = datasets.Value("string")
    kept_back = split == "test"
    if classes is None:
        content["label"] = [-1.0 if kept_back else float(row[label]) for row in rows]
        features["label"] = datasets.Value("float32")
    else:
        content["label"] = [-1 if kept_back else numbers[row[label]] for row in rows]
        features["label"] = datasets.ClassLabel(names=classes)
    content["idx"] = list(range(len(rows)))
    features["idx"] = datasets.Value("int32")
    return datasets.Dataset.from_dict(content, datasets.Features(features))


@pytest.mark.parametrize("name", GLUE)
@pytest.mark.parametrize("lay", [lay_parquet, lay_arrow])
def test_glue_from_the_hub_has_the_published_content(name, lay, home):
    hub = find_set(name).hub
    lay(
        home,
        hub,
        {split: glue_rows(name, file) for split, file in zip(SPLITS, ("train", "dev", "test"), strict=True)},
    )
    found, is_new = fetch(name)
    assert not is_new
    assert found.origin.startswith("Hugging Face hub, nyu-mll/glue")
    assert found.sha256 == find_set(name).sha256
    check(found)


def tagged_rows(path, column, tags):
    text = path.read_text("utf-8").replace("\n\t\n", "\n\n")
    sentences = [[line.split() for line in block.split("\n") if line.strip()] for block in text.split("\n\n")]
    sentences = [sentence for sentence in sentences if sentence]
    names = ["O", *sorted({row[-1] for sentence in sentences for row in sentence} - {"O"})]
    features = datasets.Features(
        {
            "tokens": datasets.List(datasets.Value("string")),
            column: datasets.List(datasets.ClassLabel(names=names)),
        }
    )
    content = {
        "tokens": [[row[0] for row in sentence] for sentence in sentences] + [[]],
        column: [[names.index(row[-1]) for row in sentence] for sentence in sentences] + [[]],
    }
    return datasets.Dataset.from_dict(content, features)


def test_tagged_corpora_from_the_hub_have_the_published_content(home):
    for name, column, files in (
        ("wnut17", "ner_tags", ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated")),
        ("conll2000", "chunk_tags", ("train.txt", "test.txt")),
    ):
        hub = find_set(name).hub
        folder = data_folder(name) / name
        rows = [tagged_rows(folder / file, column, None) for file in files]
        lay_parquet(home, hub, dict(zip(hub.splits.values(), rows, strict=True)), nested=True)
        found = find(name)
        assert found.sha256 == find_set(name).sha256
        check(found)


def test_wikitext_from_the_hub_has_the_published_content(home):
    name = "wikitext-2"
    files = {}
    with zipfile.ZipFile(data_folder(name) / "wikitext-2/wikitext-2-v1.zip") as archive:
        for split, file in (("train", "train"), ("validation", "valid"), ("test", "test")):
            lines = archive.read(f"wikitext-2/wiki.{file}.tokens").decode().removesuffix("\n").split("\n")
            files[split] = datasets.Dataset.from_dict(
                {"text": [f"{line}\n" if line.strip() else "" for line in lines]}
            )
    lay_parquet(home, find_set(name).hub, files)
    found = find(name)
    assert found.sha256 == find_set(name).sha256
    check(found)


def test_every_place_on_the_hub_is_pinned_or_said_to_be_a_branch():
    moving = {
        name for name in ("conll2000", "conll2003") if find_set(name).hub.revision == "refs/convert/parquet"
    }
    for name in (*GLUE, "qnli", "qqp", "mnli", "wnut17", "wikitext-2", *moving):
        hub = find_set(name).hub
        assert name in moving or len(hub.revision) == 40
        assert set(hub.splits) == set(find_set(name).files)
    assert json.loads(find_set("rte").model_dump_json())["hub"]["config"] == "rte"
