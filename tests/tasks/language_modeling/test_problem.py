"""The problem of language modelling: batches, loss, perplexity, items, on texts of any kind."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from language_models import NO_DROPOUT, SMALL, model_of, problem_on, python, random_words, weights, write_text
from real_data import data_folder
from supernets import generator

import cellzoo
from cellzoo.errors import CellzooError, DataError
from search.supernets.layout import Layout
from search.supernets.network import Supernet
from search.supernets.relaxation import JointSoftmax
from tasks.data.locate import find
from tasks.data.read import read_texts
from tasks.language_modeling.model import LanguageModelOutput
from tasks.language_modeling.modeling import segment_loss
from tasks.language_modeling.problem import KIND
from tasks.problem import LayerSpec
from tasks.settings import configure
from tasks.sizing import sized
from tasks.training.fit import recurrent_layer


@pytest.fixture
def words(tmp_path):
    return write_text(tmp_path / "words.txt")


def numbers_of(path, cut):
    """The words of a part of the file, numbered by hand: <unk> 0, <eos> 1, then by frequency and alphabet."""
    lines = path.read_text().splitlines()
    train = lines[: len(lines) - 2 * (len(lines) // 10)]
    counted = [word for line in train for word in line.split()]
    ranked = sorted(set(counted), key=lambda word: (-counted.count(word), word))
    number = {word: place for place, word in enumerate(ranked, start=2)}
    return [n for line in lines[cut] for n in [*(number[word] for word in line.split()), 1]]


def test_training_segments_cover_the_text_once_and_in_order(words):
    problem = problem_on(words, jitter="halved")
    batches = list(problem.train_batches(generator(1)))
    assert [batch.starts for batch in batches] == [True] + [False] * (len(batches) - 1)
    targets = torch.cat([batch.content[1] for batch in batches])  # (T, B)
    expected = numbers_of(words, slice(0, 96))
    length = len(expected) // SMALL["batch_size"]
    assert targets.t().reshape(-1).tolist() == expected[: length * SMALL["batch_size"]]
    inputs = torch.cat([batch.content[0] for batch in batches])
    assert torch.equal(inputs[1:], targets[:-1])
    assert all(batch.scale == len(batch.content[0]) / SMALL["bptt"] for batch in batches)
    assert sum(batch.tokens for batch in batches) == targets.numel()
    again = list(problem.train_batches(generator(1)))
    assert [batch.scale for batch in again] == [batch.scale for batch in batches]


def test_a_cell_of_another_width_keeps_the_embedding(words):
    """A tied decoder reads the outputs through a linear map: logits are (h P') E' + b."""
    cell = cellzoo.load("gru")
    target = 2 * LayerSpec(SMALL["hidden_size"], SMALL["hidden_size"]).num_parameters(cell)
    problem, held = sized(problem_on(words, cell_parameters=target), cell)
    rnn = recurrent_layer(cell, problem.layer, generator())
    model = problem.model(rnn, generator()).eval()
    assert problem.layer.input_size == SMALL["hidden_size"] < held.hidden_size == rnn.hidden_size
    assert sum(weight.numel() for weight in rnn.parameters()) == held.reached
    tokens = torch.randint(0, 10, (7, 2), generator=generator(3))
    with torch.no_grad():
        embedding, projection = model.embedding, model.projection  # (V, E), (E, H)
        output, _ = rnn(embedding[tokens])
        expected = output @ projection.t() @ embedding.t() + model.decoder_bias
        assert torch.allclose(model(tokens).logits, expected, atol=1e-6)
    assert math.isfinite(problem.evaluate(model, "dev").metrics["loss"])
    untied, _ = sized(problem_on(words, tied=False, cell_flops=4000), cell)
    assert model_of(untied, "gru").projection is None


def test_the_layers_of_awd_are_of_equal_terms_between_the_embeddings(words):
    cell = cellzoo.load("lstm")
    problem, held = sized(
        problem_on(words, model="awd", num_layers=3, embedding_size=6, cell_parameters=5000), cell
    )
    assert problem.layer.sizes == (
        (6, held.hidden_size),
        (held.hidden_size, held.hidden_size),
        (held.hidden_size, 6),
    )
    assert abs(held.reached - 5000) < 500
    with pytest.raises(CellzooError, match="nothing can be equal"):
        problem_on(words, model="awd", cell_parameters=5000)


def test_held_out_segments_come_again_and_again(words):
    problem = problem_on(words, validation_batch_size=2, bptt=8)
    batches = list(itertools.islice(problem.validation_batches(generator()), 60))
    starts = [place for place, batch in enumerate(batches) if batch.starts]
    expected = numbers_of(words, slice(96, 108))
    length = len(expected) // 2
    period = math.ceil(length / 8)
    assert starts == list(range(0, 60, period))
    first = torch.cat([batch.content[1] for batch in batches[:period]])
    assert first.t().reshape(-1).tolist() == expected[: 2 * length]
    assert torch.equal(batches[0].content[0], batches[period].content[0])
    # 96 words of dev have room for 4 streams of one segment, unless a number is asked for.
    assert next(problem_on(words, batch_size=64).validation_batches(generator())).content[0].shape == (10, 9)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_loss_is_that_of_the_words_and_the_state_is_carried(words, cell):
    problem = problem_on(words, beta=0.7, alpha=0.3, jitter="none")
    model = model_of(problem, cell).eval()
    batches = list(problem.train_batches(generator(1)))[:2]
    first = problem.loss(model, batches[0], None)
    second = problem.loss(model, batches[1], first.carry)
    inputs, targets = (torch.cat([b.content[part] for b in batches]) for part in (0, 1))  # (T, B)
    raw, _ = model.rnn(F.embedding(inputs, model.embedding))
    logits = raw @ model.embedding.t() + model.decoder_bias
    losses = -logits.log_softmax(2).gather(2, targets.unsqueeze(2)).squeeze(2)  # (T, B)
    steps = SMALL["bptt"]
    assert first.loss.item() == pytest.approx(losses[:steps].mean().item(), rel=1e-6)
    assert second.loss.item() == pytest.approx(losses[steps:].mean().item(), rel=1e-6)
    penalty = 0.3 * raw[:steps].square().mean() + 0.7 * (raw[1:steps] - raw[: steps - 1]).square().mean()
    assert first.penalised.item() == pytest.approx((first.loss + penalty).item(), rel=1e-6)
    carried = first.carry if cell == "lstm" else (first.carry,)
    assert not any(state.requires_grad for state in carried)


def test_penalties_on_activations_by_hand():
    logits = torch.randn(3, 2, 5, dtype=torch.float64, generator=generator())
    targets = torch.tensor([[0, 1], [2, 3], [4, 0]])
    raw = torch.tensor([[[1.0], [2.0]], [[4.0], [2.0]], [[4.0], [-1.0]]], dtype=torch.float64)  # (T, B, H)
    dropped = 2 * raw
    output = LanguageModelOutput(logits, raw[-1:], raw, dropped)
    loss, penalised = segment_loss(output, targets, alpha=0.5, beta=0.1)
    rows = [-logits[t, b].log_softmax(0)[targets[t, b]].item() for t in range(3) for b in range(2)]
    assert loss.item() == pytest.approx(math.fsum(rows) / 6, rel=1e-14)
    activation = 4 * (1 + 4 + 16 + 4 + 16 + 1) / 6
    slowness = (9 + 0 + 0 + 9) / 4
    assert penalised.item() - loss.item() == pytest.approx(0.5 * activation + 0.1 * slowness, rel=1e-12)
    one_step = LanguageModelOutput(logits[:1], raw[:1], raw[:1], dropped[:1])
    loss, penalised = segment_loss(one_step, targets[:1], alpha=0.0, beta=0.1)
    assert penalised.item() == loss.item()


def supernet_model(problem):
    # Batch normalisation looks at the whole batch, which no evaluation can be free of.
    layout = Layout(nodes=3, normalisation="none")
    rnn = Supernet(layout, problem.layer, JointSoftmax(layout, problem.layer, generator(1)), generator(2))
    return problem.model(rnn, generator(3))


def models_of(problem):
    return [model_of(problem, cell) for cell in ("gru", "lstm", "darts-v2")] + [supernet_model(problem)]


def test_a_search_and_an_evaluation_have_one_model(words):
    problem = problem_on(words, **NO_DROPOUT)
    cell, supernet = model_of(problem), supernet_model(problem)
    assert type(cell) is type(supernet)
    around = [
        {name: tensor for name, tensor in weights(model).items() if not name.startswith("rnn.")}
        for model in (cell, supernet)
    ]
    assert {name: tensor.shape for name, tensor in around[0].items()} == {
        name: tensor.shape for name, tensor in around[1].items()
    }
    for model in (cell, supernet):
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        before = problem.evaluate(model, "dev").metrics["loss"]
        carry = None
        for batch in itertools.chain(*(problem.train_batches(generator(seed)) for seed in range(5))):
            result = problem.loss(model, batch, None if batch.starts else carry)
            carry = result.carry
            optimizer.zero_grad()
            result.penalised.backward()
            optimizer.step()
        assert problem.evaluate(model, "dev").metrics["loss"] < before - 0.1


def test_neither_streams_nor_context_nor_batches_change_an_evaluation(words):
    settings = {"evaluation_streams": 1, "embedding_range": 0.5}
    exact = problem_on(words, **settings)
    changes = [{"evaluation_streams": streams, "evaluation_context": 96} for streams in (2, 7, 96, 97, 5000)]
    changes += [{"batch_size": 2}, {"bptt": 3}, {"validation_batch_size": 5}, {"evaluation_context": 0}]
    for model in models_of(exact):
        expected = exact.evaluate(model, "dev")
        for change in changes:
            found = problem_on(words, **{**settings, **change}).evaluate(model, "dev")
            assert found.metrics == pytest.approx(dict(expected.metrics), rel=1e-6)
            assert [item["tokens"] for item in found.items] == [item["tokens"] for item in expected.items]
            for one, other in zip(found.items, expected.items, strict=True):
                assert one["nll"] == pytest.approx(other["nll"], rel=1e-5)
        assert model.training


def test_an_evaluation_draws_no_random_number_and_reports_its_end(words):
    problem, heard = problem_on(words), []
    model = model_of(problem)
    before = torch.get_rng_state()
    problem.evaluate(model, "test", heard.append)
    assert torch.equal(torch.get_rng_state(), before)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


def test_a_uniform_model_has_the_size_of_the_vocabulary_as_perplexity(words):
    problem = problem_on(words)
    model = model_of(problem)
    with torch.no_grad():
        model.embedding.zero_()
    assert problem.facts["vocabulary"] == 14
    for split in ("train", "dev", "test"):
        assert problem.evaluate(model, split).metrics["perplexity"] == pytest.approx(14, rel=1e-6)


def test_perplexity_of_a_model_beyond_measure_is_infinite(words):
    problem = problem_on(words)
    model = model_of(problem)
    with torch.no_grad():
        model.decoder_bias[0] = 1e4
    assert problem.evaluate(model, "dev").metrics["perplexity"] == math.inf


def test_perplexities_follow_from_the_items_and_every_line_is_one(words):
    problem = problem_on(words)
    model = model_of(problem)
    for split in ("test", "dev"):
        found = problem.evaluate(model, split)
        assert [item["index"] for item in found.items] == list(range(12))
        assert all((item["split"], item["tokens"]) == (split, 8) for item in found.items)
        mean = math.fsum(item["nll"] for item in found.items) / (12 * 8)
        assert found.metrics["perplexity"] == pytest.approx(math.exp(mean), rel=1e-12)


def test_limits_on_words_take_the_start_of_the_text(words):
    problem = problem_on(words, train_words=300, dev_words=51)
    assert (problem.facts["train words"], problem.facts["dev words"]) == (300, 51)
    found = problem.evaluate(model_of(problem), "dev")
    assert [item["tokens"] for item in found.items] == [8] * 6 + [3]
    assert sum(batch.tokens for batch in problem.train_batches(generator())) == 300


def test_the_initial_range_of_weights_can_be_set(words):
    problem = problem_on(words, weight_range=0.04)
    largest = [
        max(weight.abs().max().item() for weight in model_of(problem, cell).rnn.parameters())
        for cell in ("lstm", "darts-v2")
    ]
    assert all(0.03 < value <= 0.04 for value in largest)
    own = max(weight.abs().max().item() for weight in model_of(problem_on(words)).rnn.parameters())
    assert 0.3 < own <= 8**-0.5


def test_the_vectors_are_the_embeddings_of_words(words):
    problem = problem_on(words)
    model = model_of(problem)
    found, vectors = problem.vectors(model)
    assert set(found) == {f"w{n}" for n in range(12)}
    number = problem.text.vocabulary.index[found[3]]
    assert torch.equal(vectors[3], model.embedding[number])
    assert vectors.shape == (12, 8)
    assert problem.embedding_parameters(model) == 14 * 8


@pytest.mark.parametrize(("name", "size"), [("ptb", 10_000), ("wikitext-2", 33_278)])
def test_vocabulary_and_words_of_the_real_corpora(name, size):
    problem = problem_on(name, data_folder(name), dev_words=20_000)
    assert problem.facts["vocabulary"] == size
    assert problem.facts["train words"] == {"ptb": 929_589, "wikitext-2": 2_088_628}[name]
    if name == "ptb":  # as counted with grep
        assert [problem.facts[f"{split} <unk>"] for split in ("train", "test")] == [45_020, 4_794]


def test_penn_treebank_has_an_item_a_line():
    settings = {**NO_DROPOUT, "hidden_size": 2, "evaluation_streams": 50, "train_words": 2000}
    problem = problem_on(
        "ptb", data_folder("ptb"), min_count=1000, **settings
    )  # few words, so that it is quick
    found = problem.evaluate(model_of(problem), "test")
    assert (len(found.items), sum(item["tokens"] for item in found.items)) == (3761, 82_430)


def test_an_item_of_the_news_is_a_document_with_its_end():
    problem = problem_on("news", hidden_size=2)
    documents = read_texts(find("news"))
    for split in ("dev", "test"):
        items = problem.evaluate(model_of(problem), split).items
        assert [item["tokens"] for item in items] == [len(document) + 1 for document in documents[split]]


def test_a_text_smaller_than_a_batch_is_refused_by_name(words):
    with pytest.raises(
        DataError, match=r"words\.txt: the train text has 768 words, fewer than one batch of 256 streams x 35"
    ):
        problem_on(words, batch_size=256, bptt=35)
    with pytest.raises(
        DataError, match=r"words\.txt: the dev text has 96 words.*smaller validation_batch_size"
    ):
        problem_on(words, validation_batch_size=64)


def test_a_text_without_held_out_lines(tmp_path):
    path = tmp_path / "short.txt"
    path.write_text("one two three\n" * 9)
    with pytest.raises(DataError, match=r"short\.txt: the dev split is empty"):
        problem_on(path)
    path.write_text("one two\n" * 16 + "\n" * 4)
    with pytest.raises(DataError, match="the dev split is empty"):
        problem_on(path)
    path.write_text("one two <eos>\n" * 16 + "<eos>\n" * 4)
    with pytest.raises(DataError, match=r"short\.txt: the dev split has no word"):
        problem_on(path)


def test_a_vocabulary_of_one_word(tmp_path):
    path = tmp_path / "one.txt"
    path.write_text("echo echo echo\n" * 200)
    with pytest.raises(DataError, match=r"one\.txt: the training text has a vocabulary of 1 word"):
        problem_on(path)
    with pytest.raises(DataError, match=r"0 word.*smaller min_count"):
        problem_on(path, min_count=1000)


@pytest.mark.parametrize("mark", ["<eos>", "</s>", "<EOS>", "<|endoftext|>"])
def test_lines_that_end_in_a_mark_get_no_second_one(words, mark):
    marked = words.with_name("marked.txt")
    marked.write_text("".join(f"{line} {mark}\n" for line in words.read_text().splitlines()))
    plain, problem = problem_on(words), problem_on(marked)
    for split in ("train", "dev", "test"):
        assert torch.equal(problem.text.words[split], plain.text.words[split])
        assert torch.equal(problem.text.lengths[split], plain.text.lengths[split])
    assert problem.facts == plain.facts
    (note,) = problem.text.notes
    assert (
        note == f"the lines of train, dev, test end in {mark!r} already: it counts as <eos>, and none is added"
    )
    assert note in problem.evaluate(model_of(problem), "test").notes
    assert plain.text.notes == ()


def test_reserved_words_elsewhere_are_counted_and_said(words):
    lines = words.read_text().splitlines()
    lines[0] = f"{lines[0]} <eos> w1 <unk>"  # of train
    lines[110] = "<unk> w2 <eos>"  # of test
    words.write_text("\n".join(f"<s> {line}" for line in lines))
    problem = problem_on(words)
    assert problem.text.notes == (
        "the lines of train, dev, test begin with '<s>', which is predicted like a word: "
        "the perplexity is lower than without it",
        "'<eos>' also occurs within lines (train 1, test 1); it counts as the end of a line, too",
    )
    assert [problem.facts[f"{split} <unk>"] for split in ("train", "dev", "test")] == [1, 0, 1]
    assert [problem.facts[f"{split} words"] for split in ("train", "dev")] == [96 * 9 + 3, 12 * 9]
    assert "train, dev, test" not in problem.text.notes[1]
    assert problem.text.lengths["test"].tolist()[2] == 1 + 3 + 1


def test_marks_that_are_taken_for_words_are_said(words):
    lines = words.read_text().splitlines()
    lines = [line.replace("w3", "<UNK>") + "<eos>" for line in lines]
    words.write_text("\n".join(lines) + "\n")
    count = sum(line.split().count("<UNK>") for line in lines)
    problem = problem_on(words)
    first, second = problem.text.notes
    assert first == f"'<UNK>' stands in the text ({count} times) and counts as a word, not as <unk>"
    assert second.startswith("120 lines end in a word such as '")
    assert problem.facts["test <unk>"] == 0


def test_an_empty_line_for_each_sentence_is_said(words):
    lines = words.read_text().splitlines()
    words.write_text("\n\n".join(lines) + "\n")
    (note,) = problem_on(words).text.notes
    assert note.startswith("119 of 239 lines are empty: each counts as one more <eos>")
    words.write_text("".join(f"\n{line}\n" if place % 2 else f"{line}\n" for place, line in enumerate(lines)))
    assert problem_on(words).text.notes == ()


def test_rare_words_are_unknown_and_their_share_is_said(words):
    lines = words.read_text().splitlines()
    lines[119] = "w0 never seen before"  # the last line of test
    words.write_text("\n".join(lines) + "\n")
    found = problem_on(words).evaluate(model_of(problem_on(words)), "test")
    assert found.notes == (f"test: vocabulary of 14 words; {3 / 93:.2%} of the words are <unk>",)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("hidden_size", 0, "at least 1"),
        ("batch_size", -1, "at least 1"),
        ("dropout_h", 1.0, "below 1"),
        ("dropout", -0.1, "at least 0"),
        ("beta", -1e-3, "at least 0"),
        ("min_count", 0, "at least 1"),
        ("train_words", -1, "at least 0"),
        ("jitter", "some", "'none', 'gaussian' or 'halved'"),
        ("model", "triple", "'single' or 'awd'"),
        ("embedding_size", 3, "a tied decoder needs embedding_size = hidden_size, not 3 and 850"),
        ("weight_drop", 0.5, "need model = 'awd'"),
    ],
)
def test_settings_out_of_range_are_named(name, value, words):
    with pytest.raises(CellzooError, match=words):
        configure(KIND.settings, {name: value}, "task 'text-lm'")


def test_the_outline_names_data_and_metrics():
    outline = KIND.outline(configure(KIND.settings, {"corpus": "wikitext-2"}, "the test"))
    assert (outline.data, outline.selection) == (("wikitext-2",), "perplexity")
    assert [(metric.name, metric.higher_is_better) for metric in outline.metrics] == [
        ("perplexity", False),
        ("bits_per_character", False),
    ]
    assert outline.final == ()
    outline = KIND.outline(configure(KIND.settings, {"dynamic": True}, "the test"))
    assert [metric.name for metric in outline.final] == ["dynamic_perplexity"]


def test_one_endless_line_is_cut_at_words(words):
    text = words.read_text().split()
    words.write_text(" ".join(text))
    problem = problem_on(words)
    cut, tenth = len(text) - 2 * (len(text) // 10), len(text) // 10
    names = problem.text.vocabulary.words
    shown = {split: [names[number] for number in numbers] for split, numbers in problem.text.words.items()}
    assert shown["train"] == [*text[:cut], "<eos>"]
    assert shown["dev"] == [*text[cut : cut + tenth], "<eos>"]
    assert shown["test"] == [*text[cut + tenth :], "<eos>"]
    assert problem.text.notes == ("the text is one line: it is cut at words, a tenth for dev and one for test",)


def test_bits_a_character_count_the_text_as_it_is_written(words):
    lines = words.read_text().splitlines()
    lines[119] = "w0 unheard of"  # the last line of test, three words of which two are <unk>
    words.write_text("\n".join(lines) + "\n")
    problem = problem_on(words)
    found = problem.evaluate(model_of(problem), "test")
    assert [item["characters"] for item in found.items] == [len(line) + 1 for line in lines[108:]]
    size = len("\n".join(lines[108:])) + 1
    nll = math.fsum(item["nll"] for item in found.items)
    assert found.metrics["bits_per_character"] == pytest.approx(nll / math.log(2) / size, rel=1e-12)


def test_lines_that_are_cut_have_the_characters_of_their_words(words):
    problem = problem_on(words, dev_words=43, bptt=5)  # eight words a line with its end
    lines = words.read_text().splitlines()[96:102]
    kept = [*lines[:5], " ".join(lines[5].split()[:3])]
    assert problem.text.characters["dev"].tolist() == [len(line) + 1 for line in kept]


def test_the_kind_imports_nothing_heavy():
    script = (
        "import sys, tasks.language_modeling.problem\n"
        "print(sorted({'torch', 'numpy', 'scipy', 'gensim', 'safetensors'} & set(sys.modules)))"
    )
    done = python(script)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_an_untied_decoder_takes_any_width(words):
    problem = problem_on(words, tied=False, embedding_size=3)
    model = model_of(problem)
    assert recurrent_layer(cellzoo.load("gru"), problem.layer, generator()).input_size == 3
    assert model(random_words(8, 11).view(4, 2)).logits.shape == (4, 2, 14)
    assert model.tied_weights == ()
