"""Declared features of taggers: parsing, caching, pooling, and errors."""

from __future__ import annotations

import pytest
import torch
from flair.data import Dictionary, Sentence
from flair.embeddings import FlairEmbeddings
from flair.models import LanguageModel
from tagging_samples import CPU, TINY
from tiny_bert import bert, write_bert

from cellzoo.cli.main import main
from cellzoo.errors import CellzooError, DataError, DataNotFoundError
from tasks.data.locate import find
from tasks.embeddings.features import Feature, parse_features
from tasks.tagging.problem import KIND
from tasks.tagging.settings import TaggingSettings

TOKENS = ["Ada", "saw", "the", "train", "near", "Oslo", "and", "Ada", "left"]
BOTH = [Feature("flair", "flair:lm forward"), Feature("flair", "flair:lm backward")]
TAGS = ["B-person", "O", "O", "O", "O", "B-place", "O", "B-person", "O"]


def write_language_model(path, forward, seed=0):
    dictionary = Dictionary(add_unk=True)
    for letter in "\n abcdefghijklmnopqrstuvwxyzAO":
        dictionary.add_item(letter)
    torch.manual_seed(seed)
    path.parent.mkdir(exist_ok=True)
    LanguageModel(dictionary, forward, hidden_size=6, nlayers=1, embedding_size=4).save(path)


@pytest.fixture
def folder(tmp_path):
    text = "".join(
        "".join(f"{token}\t{tag}\n" for token, tag in list(zip(TOKENS, TAGS, strict=True))[number % 3 :]) + "\n"
        for number in range(12)
    )
    (tmp_path / "a.conll").write_text(text)
    (tmp_path / "v.txt").write_text("ada 1 2\nsaw 3 4\noslo 5 6\n")
    for seed, direction in enumerate(("forward", "backward")):
        write_language_model(tmp_path / f"lm/some-{direction}.pt", direction == "forward", seed)
    write_bert(tmp_path / "bert")
    return tmp_path


def build(folder, features, cache=None, **settings):
    chosen = TaggingSettings(**{**TINY, "corpus": "conll:a.conll", "features": features, **settings})
    data = {name: find(name, folder) for name in KIND.outline(chosen).data}
    KIND.check(data, chosen)
    return KIND.build(data, chosen, CPU, cache)


def read(tagging, sentence):
    """Return the features of a sentence's tokens, (T, E)."""
    import cellzoo
    from tasks.embeddings.batch import token_features

    size = tagging.layer
    rnn = cellzoo.rnn("gru", size.input_size, size.hidden_size, bidirectional=size.bidirectional)
    model = tagging.model(rnn, torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        return token_features(model.embeddings, [sentence])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("glove-6b-50d + char", [Feature("vectors", "glove-6b-50d"), Feature("char")]),
        ("glove:a b.txt+words", [Feature("vectors", "glove:a b.txt"), Feature("words")]),
        (
            "flair:lm forward + backward",
            [Feature("flair", "flair:lm forward"), Feature("flair", "flair:lm backward")],
        ),
        ("flair:lm", [Feature("flair", "flair:lm forward"), Feature("flair", "flair:lm backward")]),
        ("flair:a/b.pt + char", [Feature("flair", "flair:a/b.pt"), Feature("char")]),
        (
            "flair:lm pooled forward + backward",
            [Feature("flair", "flair:lm forward", True), Feature("flair", "flair:lm backward", True)],
        ),
        ("transformer:some/one", [Feature("transformer", "transformer:some/one")]),
    ],
)
def test_a_line_is_read(text, found):
    assert list(parse_features(text)) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("glove-6b-51d + char", "'glove-6b-51d' is not known; expected words, char, flair:SOURCE"),
        ("wnut17", "'wnut17' is not known"),
        ("char + backward", "'backward' must follow a part flair:SOURCE"),
        ("char + ", "a part is empty"),
        ("flair:", "a part is empty"),
        ("char + char", "'char' is given twice"),
        ("flair:lm forward + forward", "'flair:lm forward' is given twice"),
    ],
)
def test_a_line_that_is_wrong(text, words):
    with pytest.raises(CellzooError) as caught:
        parse_features(text)
    assert words in str(caught.value)


def test_characters_of_no_size(folder):
    with pytest.raises(CellzooError, match="char needs a character_hidden above 0"):
        build(folder, "char", character_hidden=0)


def test_each_part_gives_what_flair_gives_in_the_order_of_the_line(folder):
    tagging = build(folder, "transformer:bert + glove:v.txt + flair:lm forward + backward", folder / "cache")
    sentence = Sentence(TOKENS)
    got = read(tagging, sentence)
    expected = [bert(folder / "bert"), None]
    expected += [
        FlairEmbeddings(str(folder / f"lm/some-{direction}.pt")) for direction in ("forward", "backward")
    ]
    columns = []
    for embeddings in expected:
        if embeddings is None:
            rows = {"Ada": [1, 2], "saw": [3, 4], "Oslo": [5, 6]}
            columns.append(torch.tensor([rows.get(token, [0, 0]) for token in TOKENS]).float())
            continue
        embeddings.eval()
        fresh = Sentence(TOKENS)
        embeddings.embed(fresh)
        columns.append(torch.stack([token.embedding for token in fresh]))
    assert tagging.layer.input_size == 8 + 2 + 6 + 6
    # The transformer computes longer sentences together with shorter ones, padded.
    torch.testing.assert_close(got, torch.cat(columns, 1).detach(), rtol=0, atol=1e-5)


def test_they_are_computed_once_for_all_runs_of_a_folder(folder, monkeypatch):
    computed = []
    original = FlairEmbeddings._add_embeddings_internal

    def counted(self, sentences):
        # To learn their size, Flair embeds one sentence whenever it loads a model.
        computed.extend(one.to_plain_string() for one in sentences if one.to_plain_string() != "hello")
        return original(self, sentences)

    monkeypatch.setattr(FlairEmbeddings, "_add_embeddings_internal", counted)
    build(folder, "flair:lm forward + char", folder / "cache")
    assert len(computed) == 3
    second = build(folder, "flair:lm forward + char", folder / "cache")
    read(second, Sentence(TOKENS))
    assert len(computed) == 3
    write_language_model(folder / "lm/some-forward.pt", forward=True, seed=7)
    build(folder, "flair:lm forward + char", folder / "cache")
    assert len(computed) == 6


def test_pooled_features_are_the_smallest_of_all_training_occurrences(folder):
    tagging = build(folder, "flair:lm pooled forward", folder / "cache")
    assert tagging.layer.input_size == 12
    embeddings = FlairEmbeddings(str(folder / "lm/some-forward.pt"))
    embeddings.eval()
    seen: dict[str, list[torch.Tensor]] = {}
    for start in range(3):
        sentence = Sentence(TOKENS[start:])
        embeddings.embed(sentence)
        for token in sentence:
            seen.setdefault(token.text, []).append(token.embedding)
    new = Sentence([*TOKENS, "unseen"])
    embeddings.embed(new)
    own = torch.stack([token.embedding for token in new])
    pooled = [torch.stack(seen[token]).amin(0) for token in TOKENS] + [own[-1]]
    got = read(tagging, Sentence([*TOKENS, "unseen"]))
    torch.testing.assert_close(got, torch.cat([own, torch.stack(pooled)], 1).detach(), rtol=0, atol=1e-6)


def test_a_run_with_them_has_their_digests_in_its_record(folder, capsys):
    out = folder / "out"
    arguments = ["run", "conll-tagging", "--cells", "gru", "--data", str(folder), "--out", str(out)]
    arguments += ["--set", "corpus=conll:a.conll", "--set", "features=flair:lm forward + glove:v.txt + char"]
    arguments += ["--set", "character_hidden=3"]
    arguments += ["--set", "epochs=1", "--set", "hidden_size=4", "--executor", "serial"]
    assert main([*arguments, "--dry-run"]) == 0
    assert main(arguments) == 0, capsys.readouterr()
    record = next((out / "records").glob("*.json")).read_text()
    for name in ("flair:lm forward", "glove:v.txt"):
        digest = next(iter(find(name, folder).sha256.values()))
        assert f'"{name}"' in record
        assert digest in record


def test_what_is_not_there_or_something_else_is_said(folder, monkeypatch):
    monkeypatch.setenv("FLAIR_CACHE_ROOT", str(folder / "flair"))
    with pytest.raises(
        DataNotFoundError, match=r'has no model of that name.*FlairEmbeddings\("news-forward"\)'
    ):
        find("flair:news forward", folder)
    kept = folder / "flair/embeddings"
    kept.mkdir(parents=True)
    for name in ("news-forward-0.4.1.pt", "news-forward-fast-0.4.1.pt", "news-backward-0.4.1.pt"):
        write_language_model(kept / name, forward=True)
    assert find("flair:news forward", folder).files["model"].name == "news-forward-0.4.1.pt"
    with pytest.raises(DataNotFoundError, match="hf download some/one"):
        find("transformer:some/one", folder)
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=r"has no config\.json"):
        find("transformer:empty", folder)
    with pytest.raises(DataError, match=r"expected one file \*forward\*\.pt .*there is none"):
        find("flair:empty forward", folder)
    (folder / "lm/some-forward.pt").write_bytes(b"not a model")
    with pytest.raises(DataError, match=r"some-forward\.pt: cannot be loaded as 'flair:lm forward'"):
        build(folder, "flair:lm forward")


def test_a_transformer_in_the_hubs_cache_is_named(folder, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(folder / "hub"))
    place = folder / "hub/models--some--one"
    (place / "refs").mkdir(parents=True)
    (place / "refs/main").write_text("abc123")
    write_bert(place / "snapshots/abc123")
    found = find("transformer:some/one")
    assert set(found.sha256) >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert found.sha256["model.safetensors"] == find("transformer:bert", folder).sha256["model.safetensors"]
