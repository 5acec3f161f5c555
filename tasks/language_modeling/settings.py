"""Settings and metrics of the problem kinds for language models."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, Self

from pydantic import model_validator

from tasks.equal_terms import EqualTerms
from tasks.metric import Metric
from tasks.settings import Count, NotNegative, Positive, Probability, Size

PERPLEXITY = Metric("perplexity", "perplexity", higher_is_better=False)
BITS = Metric("bits_per_character", "bits a character", higher_is_better=False, digits=3)
DEFAULT_CLUSTERS = 2
DYNAMIC = Metric("dynamic_perplexity", "perplexity, dynamic evaluation", higher_is_better=False)


class LanguageModelingSettings(EqualTerms):
    """Settings of the text and the model; the defaults are those of DARTS' evaluation on Penn Treebank.

    Source: quark0/darts rnn/train.py, except `evaluation_streams` and `evaluation_context`.

    Attributes:
        corpus: Name of a data set of text: `ptb`, `wikitext-2`, `news`, or `text:FILES`.
        min_count: Words with fewer occurrences in the training text count as `<unk>`.
        train_words: Number of words to use from the start of the training text; 0 for all.
        dev_words: The same for the dev text.
        model: `single`: one recurrent layer (Liu et al. 2019, arXiv 1806.09055, section 3.2). `awd`: several,
            with weight drop (Merity et al. 2018, arXiv 1708.02182), as NAS-Bench-NLP has it.
        hidden_size: `single`: size of the layer. `awd`: size of all layers except the last, which has the size
            of the embedding. If parameters or the like are held equal for all cells, this size is adapted to
            each cell; a tied decoder of `single` then reads the layer's outputs through a linear map to the
            embedding size.
        embedding_size: Size of the embedding; 0 for `hidden_size`, the only choice for a tied decoder of
            `single`.
        num_layers: Recurrent layers of `awd`.
        tied: Whether embedding and decoder are one tensor.
        embedding_range: Embedding and decoder start uniform in ± this; the decoder's bias starts at 0.
        init: `uniform`: the cell's weights start uniform in ± `weight_range`. `published`: as given in the cell
            file, if it has an initialisation.
        weight_range: Weights without a published initialisation start uniform in ± this; 0 takes the layer's
            default of ±1 / sqrt(H), with which the activations of small layers do not vanish. The DARTS code
            has 0.04.
        dropout: Locked dropout on the outputs of the recurrent layers.
        dropout_e: Dropout of whole words in the embedding.
        dropout_i: Locked dropout on embedded words.
        dropout_x: Dropout on the cell's input, one mask per segment.
        dropout_h: Dropout on the states and nodes that the cell's matrices read, one mask per segment.
        dropout_between: `awd`: locked dropout between layers.
        weight_drop: `awd`: probability of dropping a weight of a matrix that does not read the input x.
        weight_drop_mode: `fixed`: such matrices are trained. `reference_frozen`: they keep their initial
            values, as in all published runs of NAS-Bench-NLP, whose code wraps the masked matrix in a new
            parameter.
        softmax: `full`, or `adaptive` for large vocabularies (Grave et al. 2017, arXiv 1609.04309); the latter
            needs `tied = false`.
        cutoffs: First words of the clusters of rarer words of an adaptive softmax, such as [2000, 10000]; []
            takes a twentieth and a quarter of the vocabulary.
        softmax_chunk: Number of words whose scores over the vocabulary are in memory at once; 0 for those of a
            segment. Affects memory only.
        batch_size: Parallel streams of training text.
        validation_batch_size: Parallel streams of dev text that train the architecture in a search; 0 for
            `batch_size`, or fewer if the dev text is too short.
        bptt: Words per segment of truncated back-propagation.
        jitter: `none`: all segments have `bptt` words. `gaussian`: lengths are drawn with standard deviation 5
            around `bptt`, or with probability 0.05 around half of it (DARTS' evaluation, AWD-LSTM). `halved`:
            one segment in twenty is half as long (DARTS' search).
        alpha: Activation regularisation: weight of the mean square of the dropped outputs.
        beta: Temporal activation regularisation: weight of the mean square of the change of the outputs.
        evaluation_streams: Number of parts in which dev and test are read in parallel; every word is predicted
            once.
        evaluation_context: Words before a part that are read to compute its initial state, so that the number
            of parts hardly changes the perplexity.
        dynamic: Whether to also compute the perplexity by dynamic evaluation (Krause et al. 2018, arXiv
            1709.07432), where the model is trained on each `dynamic_segment` words after predicting them.
        dynamic_segment: Words between two updates.
        dynamic_rate: Learning rate of the updates.
        dynamic_decay: Strength of the decay towards the trained weights. The paper tunes rate and decay on dev.
        dynamic_epsilon: Added to the root mean squares of gradients.
    """

    corpus: str = "ptb"
    min_count: Size = 1
    train_words: Count = 0
    dev_words: Count = 0
    model: Literal["single", "awd"] = "single"
    hidden_size: Size = 850
    embedding_size: Count = 0
    num_layers: Size = 1
    tied: bool = True
    embedding_range: Positive = 0.04
    init: Literal["uniform", "published"] = "uniform"
    weight_range: NotNegative = 0.0
    dropout: Probability = 0.75
    dropout_e: Probability = 0.1
    dropout_i: Probability = 0.2
    dropout_x: Probability = 0.75
    dropout_h: Probability = 0.25
    dropout_between: Probability = 0.0
    weight_drop: Probability = 0.0
    weight_drop_mode: Literal["fixed", "reference_frozen"] = "fixed"
    softmax: Literal["full", "adaptive"] = "full"
    cutoffs: tuple[Size, ...] = ()
    softmax_chunk: Count = 0
    batch_size: Size = 64
    validation_batch_size: Count = 0
    bptt: Size = 35
    jitter: Literal["none", "gaussian", "halved"] = "gaussian"
    alpha: NotNegative = 0.0
    beta: NotNegative = 1e-3
    evaluation_streams: Size = 10
    evaluation_context: Count = 128
    dynamic: bool = False
    dynamic_segment: Size = 5
    dynamic_rate: Positive = 0.002
    dynamic_decay: NotNegative = 0.02
    dynamic_epsilon: Positive = 1e-3

    @property
    def embedding_width(self) -> int:
        """E."""
        return self.embedding_size or self.hidden_size

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.softmax == "adaptive" and self.tied:
            raise ValueError("softmax = 'adaptive' cannot be tied to the embedding; set tied = false")
        clusters = len(self.cutoffs) or DEFAULT_CLUSTERS
        width = self.embedding_width if self.model == "awd" else self.hidden_size
        if self.softmax == "adaptive" and width < 4**clusters:
            raise ValueError(
                f"an adaptive softmax with {clusters} clusters of rarer words, each a quarter as wide as the "
                f"one before, needs a width of at least {4**clusters}, not {width}"
            )
        if self.softmax == "adaptive" and self.softmax_chunk:
            raise ValueError("softmax_chunk is for softmax = 'full'; an adaptive one needs no chunks")
        if self.cutoffs and self.softmax == "full":
            raise ValueError("cutoffs need softmax = 'adaptive'")
        if any(b <= a for a, b in pairwise(self.cutoffs)):
            raise ValueError(f"cutoffs = {list(self.cutoffs)} must be in ascending order")
        if self.model == "awd":
            if self.target is not None and self.num_layers == 1:
                raise ValueError(
                    "the only layer of model = 'awd' is as wide as the embedding: nothing can be equal"
                )
            return self
        if self.tied and self.embedding_width != self.hidden_size:
            raise ValueError(
                f"a tied decoder needs embedding_size = hidden_size, not {self.embedding_size} and "
                f"{self.hidden_size}; set embedding_size = 0 or tied = false"
            )
        if self.num_layers > 1 or self.dropout_between or self.weight_drop:
            raise ValueError("num_layers, dropout_between and weight_drop need model = 'awd'")
        return self


MEASURES = dict.fromkeys(
    ("dynamic", "dynamic_segment", "dynamic_rate", "dynamic_decay", "dynamic_epsilon"), DYNAMIC.name
)
"""Settings that affect nothing but one metric; see `tasks.problem.ProblemKind`."""


def final_metrics(settings: LanguageModelingSettings) -> tuple[Metric, ...]:
    """Metrics that are computed once, after the training."""
    return (DYNAMIC,) if settings.dynamic else ()
