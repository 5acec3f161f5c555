"""Character language models: what they read, and the file that Flair loads, against Flair's own model."""

from __future__ import annotations

import math

import pytest
import torch
from flair.data import Sentence
from flair.embeddings import FlairEmbeddings
from flair.models import LanguageModel

import cellzoo
from cellzoo.cli.main import main
from cellzoo.errors import CellzooError, DataError
from tasks.data.locate import find
from tasks.language_modeling.characters import KIND, CharacterSettings, read_characters
from tasks.language_modeling.flair_file import write_flair_file
from tasks.tagging.flair_language_model import load_language_model

TEXT = " the cat sat\n\non the mat \nunder a caf\u00e9\n" * 30
SMALL = {"corpus": "text:a.txt", "hidden_size": 5, "embedding_size": 4, "batch_size": 4, "bptt": 20}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT)
    return tmp_path


def problem(folder, **settings):
    chosen = CharacterSettings(**{**SMALL, **settings})
    return KIND.build({"text:a.txt": find("text:a.txt", folder)}, chosen, torch.device("cpu"))


def model_of(made, cell):
    torch.manual_seed(1)
    rnn = cellzoo.rnn(cell, made.layer.input_size, made.layer.hidden_size)
    return made.model(rnn, torch.Generator().manual_seed(0)).eval()


def test_notes_speak_of_characters(folder):
    made = problem(folder)
    (note,) = made.evaluate(model_of(made, "gru"), "dev").notes
    assert (
        note == f"dev: vocabulary of {len(made.text.vocabulary)} characters; 0.00% of the characters are <unk>"
    )


def test_lines_are_read_as_characters_with_their_ends(folder):
    found = find("text:a.txt", folder)
    text = read_characters(found, CharacterSettings(**SMALL))
    shown = "".join(
        "\n" if word == "<eos>" else word
        for word in map(text.vocabulary.words.__getitem__, text.words["train"])
    )
    stripped = "\n".join(line.strip() for line in TEXT.split("\n"))
    assert stripped.startswith(shown)
    assert set(text.vocabulary.words) == {"<unk>", "<eos>", *set(TEXT)} - {"\n"}
    assert text.lengths["train"][:3].tolist() == [12, 1, 11]
    backward = read_characters(found, CharacterSettings(**SMALL, direction="backward"))
    shown_back = "".join(
        "\n" if word == "<eos>" else word
        for word in map(backward.vocabulary.words.__getitem__, backward.words["train"])
    )
    assert shown_back == "".join(f"{line[::-1]}\n" for line in reversed(shown.removesuffix("\n").split("\n")))


def test_a_uniform_model_has_the_size_of_the_vocabulary_as_perplexity(folder):
    made = problem(folder)
    model = model_of(made, "lstm")
    with torch.no_grad():
        model.decoder.zero_()
    values = made.evaluate(model, "test").metrics
    assert math.isclose(values["perplexity"], len(made.text.vocabulary), rel_tol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru", "darts-v2"])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_flair_loads_the_file_and_scores_as_we_do(folder, cell, direction):
    made = problem(folder, direction=direction)
    model = model_of(made, cell)
    path = folder / "lm.pt"
    write_flair_file(made, model, path)
    flairs = LanguageModel.load_language_model(path) if cell == "lstm" else load_language_model(path)
    assert flairs.is_forward_lm == (direction == "forward")
    for code, word in enumerate(made.text.vocabulary.words):
        item = "\n" if word == "<eos>" else word
        assert flairs.dictionary.get_idx_for_item(item) == code
    tokens = made.text.words["dev"][:40].view(20, 2)
    with torch.no_grad():
        ours = model(tokens).logits
        theirs, _, _ = flairs.forward(tokens, flairs.init_hidden(2))
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)
    sentence = Sentence(["the", "cat"])
    FlairEmbeddings(flairs).embed(sentence)
    assert sentence[0].embedding.shape == (5,)


def test_a_cell_whose_states_are_not_of_the_hidden_size_is_refused(folder):
    made = problem(folder)
    with pytest.raises(CellzooError, match="whose states all have the hidden size"):
        write_flair_file(made, model_of(made, "qrnn"), folder / "lm.pt")


def test_a_run_leaves_a_file_that_is_a_feature(folder):
    out = folder / "out"
    settings = ["--set", "corpus=text:a.txt", "--set", "hidden_size=6", "--set", "embedding_size=4"]
    settings += ["--set", "batch_size=4", "--set", "bptt=20", "--set", "epochs=1"]
    arguments = ["--cells", "lstm,darts-v2", "--data", str(folder), "--out", str(out), "--executor", "serial"]
    assert main(["run", "char-lm", *arguments, *settings]) == 0
    files = sorted((out / "artifacts").glob("*.flair.pt"))
    assert len(files) == 2
    for path in files:
        found = find(f"flair:{path}")
        embeddings = FlairEmbeddings(load_language_model(found.files["model"]))
        assert embeddings.embedding_length == 6


@pytest.mark.parametrize(
    ("text", "words"),
    [("\n \n", "is empty"), ("a\n" * 20, "fewer than two characters"), ("abc\n" * 3, "the dev split has no")],
)
def test_texts_that_say_nothing(folder, text, words):
    (folder / "a.txt").write_text(text)
    with pytest.raises(DataError, match=words):
        problem(folder)


def test_other_data_and_other_models_are_refused(folder):
    with pytest.raises(CellzooError, match="tied = false"):
        problem(folder, tied=True, embedding_size=5)
    with pytest.raises(DataError, match="is not a text of lines"):
        read_characters(find("news"), CharacterSettings())
