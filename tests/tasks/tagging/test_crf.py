"""The CRF's loss against Flair's, against all paths listed, and against finite differences."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
import torch
from flair.data import Dictionary
from flair.models.sequence_tagger_utils.crf import CRF
from flair.models.sequence_tagger_utils.viterbi import ViterbiDecoder, ViterbiLoss
from hypothesis import given, settings
from hypothesis import strategies as st
from tagging_samples import TRAIN, tagger

from tasks.tagging import crf
from tasks.tagging.corpus import flair_sentences
from tasks.tagging.crf_layers import EmissionCRF, EmissionDecoder, EmissionLoss
from tasks.tagging.viterbi import best_tags

RAGGED = [9, 9, 7, 4, 4, 1]


def dictionary(tags):
    made = Dictionary(add_unk=False)
    for number in range(tags):
        made.add_item(f"t{number}")
    made.set_start_stop_tags()
    return made


class Case:
    """Draw emissions, transitions and gold tags."""

    def __init__(self, lengths, tags=5, dtype=torch.float64, seed=0, scale=2.0):
        generator = torch.Generator().manual_seed(seed)
        self.dictionary = dictionary(tags)
        self.crf = CRF(self.dictionary, tags + 2, init_from_state_dict=False)
        with torch.no_grad():
            known = self.crf.transitions > -1e4
            self.crf.transitions[known] = torch.randn(int(known.sum()), generator=generator)
        self.crf.to(dtype)
        self.lengths = torch.tensor(lengths)
        size = (len(lengths), max(lengths), tags + 2)
        self.emissions = (scale * torch.randn(size, generator=generator)).to(dtype).requires_grad_()
        self.tags = torch.randint(tags, (sum(lengths),), generator=generator)

    def to(self, dtype):
        self.crf.to(dtype)
        self.emissions = self.emissions.detach().to(dtype).requires_grad_()
        return self

    def flairs(self):
        scores = (self.crf(self.emissions), self.lengths, self.crf.transitions)
        return self._result(ViterbiLoss(self.dictionary)(scores, self.tags))

    def ours(self):
        scores = (EmissionCRF(self.crf)(self.emissions), self.lengths, self.crf.transitions)
        return self._result(EmissionLoss(self.dictionary)(scores, self.tags))

    def _result(self, loss):
        return (loss.detach(), *torch.autograd.grad(3.0 * loss, [self.emissions, self.crf.transitions]))


def assert_equal(found, expected, tolerance):
    """Compare relative to the largest value, at least 1: gradients are sums of probabilities."""
    for one, other in zip(found, expected, strict=True):
        difference = (one.double() - other.double()).abs().max()
        assert difference <= tolerance * other.abs().max().clamp(min=1.0)


@pytest.fixture
def no_logs(monkeypatch):
    """Fail if the slow implementation is used."""
    monkeypatch.setattr(crf, "log_partition_in_logs", None)


@pytest.mark.parametrize("lengths", [RAGGED, [6, 6, 6], [8], [1], [1, 1, 1], [40, 3]], ids=str)
@pytest.mark.usefixtures("no_logs")
def test_loss_and_gradients_are_flairs(lengths):
    case = Case(lengths)
    assert_equal(case.ours(), case.flairs(), 1e-12)


@pytest.mark.parametrize("scale", [0.1, 2.0, 8.0])
@pytest.mark.usefixtures("no_logs")
def test_in_single_precision_they_are_those_of_double_precision(scale):
    case = Case([30, 25, *RAGGED], tags=25, dtype=torch.float32, scale=scale)
    found = case.ours()
    assert_equal(found, case.to(torch.float64).flairs(), 1e-6)


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    tags=st.integers(1, 7),
    seed=st.integers(0, 2**31),
    scale=st.sampled_from([0.0, 1.0, 20.0, 300.0]),
)
def test_any_lengths_and_scores_however_far_apart(lengths, tags, seed, scale):
    case = Case(sorted(lengths, reverse=True), tags, seed=seed, scale=scale)
    assert_equal(case.ours(), case.flairs(), 1e-12)


def test_the_order_of_the_sequences_does_not_matter():
    case = Case(RAGGED)
    order = [3, 0, 5, 1, 4, 2]
    tags = [case.tags.split(RAGGED)[index] for index in order]
    start, stop = 5, 6
    found = crf.crf_loss(
        case.emissions[order], case.crf.transitions, torch.cat(tags), case.lengths[order], start, stop
    )
    assert found.item() == pytest.approx(case.ours()[0].item(), rel=1e-13)


def test_what_lies_beyond_a_sequence_is_not_read():
    case = Case(RAGGED)
    expected = case.ours()
    with torch.no_grad():
        for row, length in enumerate(RAGGED):
            case.emissions[row, length:] = float("nan")
    assert all(torch.equal(one, other) for one, other in zip(case.ours(), expected, strict=True))
    assert case.ours()[1][5, 1:].abs().max() == 0


def test_log_z_sums_over_all_paths():
    case = Case([4, 2], tags=3)
    start, stop, moves = 3, 4, case.crf.transitions.detach()
    total = 0.0
    for scores, length in zip(case.emissions.detach(), case.lengths, strict=True):
        paths = [
            sum(scores[step, tag] for step, tag in enumerate(path))
            + sum(moves[to, came] for came, to in pairwise((start, *path, stop)))
            for path in product(range(5), repeat=int(length))
        ]
        total += torch.stack(paths).logsumexp(0)
    rows = torch.stack([case.emissions[0, 0], case.emissions[1, 0], case.emissions[0, 1], case.emissions[1, 1]])
    packed = torch.cat([rows, case.emissions[0, 2:]])
    for way in (crf.log_partition, crf.log_partition_in_logs):
        found = way(packed, case.crf.transitions, [2, 2, 1, 1], start, stop)
        assert found.item() == pytest.approx(total.item(), rel=1e-13)


def test_gradients_agree_with_finite_differences():
    case = Case([5, 3, 1], tags=3)

    def loss(emissions, transitions):
        return crf.crf_loss(emissions, transitions, case.tags, case.lengths, 3, 4)

    with torch.no_grad():
        case.crf.transitions.clamp_(min=-5)  # differences with -10000 lose their digits
    assert torch.autograd.gradcheck(loss, (case.emissions, case.crf.transitions))


# In logs a score of 60 itself has an error of 4e-6 in single precision, in Flair's loss as here.
@pytest.mark.parametrize(
    ("dtype", "gap", "tolerance"), [(torch.float32, 60.0, 2e-5), (torch.float64, 600.0, 1e-12)]
)
def test_where_probabilities_would_vanish_logs_are_taken(dtype, gap, tolerance, monkeypatch):
    """All but one tag are `gap` worse at each step, and that one can only be stayed in."""
    case = Case([6, 6, 4], tags=3, dtype=dtype)
    with torch.no_grad():
        case.emissions[:, ::2, 0] += gap
        case.emissions[:, 1::2, 1] += gap
        case.crf.transitions[1, 0] = case.crf.transitions[0, 1] = -gap
    taken = []
    slow = crf.log_partition_in_logs
    monkeypatch.setattr(crf, "log_partition_in_logs", lambda *given: taken.append(1) or slow(*given))
    found = case.ours()
    assert taken
    assert_equal(found, case.to(torch.float64).flairs(), tolerance)


def test_a_score_that_is_no_number_gives_a_loss_that_is_none():
    case = Case(RAGGED)
    with torch.no_grad():
        case.emissions[2, 1, 0] = float("nan")
    assert case.ours()[0].isnan()


def test_under_autocast_the_loss_keeps_its_precision():
    case = Case([30, *RAGGED], tags=25, dtype=torch.float32)
    with torch.no_grad():
        case.emissions.copy_(case.emissions.bfloat16())
    expected = case.ours()
    low = case.emissions.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = (low, case.lengths, case.crf.transitions)
        loss = EmissionLoss(case.dictionary)(scores, case.tags)
        gradient = torch.autograd.grad(3.0 * loss, [case.crf.transitions])[0]
    assert loss.dtype == torch.float32
    assert_equal((loss.detach(), gradient), (expected[0], expected[2]), 1e-6)


@pytest.mark.parametrize("probabilities", [False, True])
def test_decoding_is_flairs(probabilities):
    case = Case([6, 5, 2])
    flairs, ours = (kind(case.dictionary) for kind in (ViterbiDecoder, EmissionDecoder))
    sentences = flair_sentences(TRAIN[:1] * 3)
    with torch.no_grad():
        whole = (case.crf(case.emissions), case.lengths, case.crf.transitions)
        expected = flairs.decode(whole, probabilities, sentences)
        found = ours.decode((case.emissions, case.lengths, case.crf.transitions), probabilities, sentences)
    assert found[0] == expected[0]
    assert [len(tags) for tags in found[0]] == [6, 5, 2]
    scores = [[[[label.score for label in token] for token in s] for s in way[1]] for way in (found, expected)]
    assert scores[0] == scores[1]
    assert bool(scores[0]) == probabilities


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_the_best_tags_are_those_of_flairs_decoder(lengths, tags, seed):
    case = Case(sorted(lengths, reverse=True), tags, seed=seed)
    names = case.dictionary
    start, stop = (names.get_idx_for_item(name) for name in ("<START>", "<STOP>"))
    with torch.no_grad():
        found = best_tags(case.emissions, case.crf.transitions, case.lengths, start, stop)
        whole = (case.crf(case.emissions), case.lengths, case.crf.transitions)
        expected, _ = ViterbiDecoder(names).decode(whole, False, [])
    assert [[names.get_item_for_index(tag) for tag in one] for one in found] == [
        [tag for tag, _ in one] for one in expected
    ]


def test_a_tagger_takes_the_same_training_step_as_with_flairs_loss():
    ours, flairs = (tagger("LSTM", word_dropout=0.0, locked_dropout=0.0) for _ in range(2))
    flairs.crf = CRF(flairs.label_dictionary, flairs.tagset_size, init_from_state_dict=False)
    flairs.crf.load_state_dict(ours.crf.state_dict())
    flairs.loss_function = ViterbiLoss(flairs.label_dictionary)
    for model in (ours, flairs):
        loss, count = model.forward_loss(flair_sentences(TRAIN))
        assert count == sum(len(sentence.tokens) for sentence in TRAIN)
        (loss / count).backward()
    for (name, one), other in zip(ours.named_parameters(), flairs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-6, msg=name)
    assert [name for name, _ in flairs.named_parameters()] == [name for name, _ in ours.named_parameters()]


@pytest.mark.cuda
def test_on_a_gpu_the_loss_is_that_of_the_cpu():
    case = Case([30, *RAGGED], tags=25)
    emissions = case.emissions.detach().cuda().requires_grad_()
    transitions = case.crf.transitions.detach().cuda().requires_grad_()
    loss = crf.crf_loss(emissions, transitions, case.tags.cuda(), case.lengths, 25, 26)
    gradients = torch.autograd.grad(3.0 * loss, [emissions, transitions])
    assert_equal((loss.detach().cpu(), *(one.cpu() for one in gradients)), case.ours(), 1e-12)
